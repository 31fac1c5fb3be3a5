//! The meaning of a policy as a diagram: [`ir::eval`](crate::ir::eval) for all packets at once, in the same order of ideas.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::commit::Case;
use super::diagram::{FALSE, Full, Node, TRUE};
use super::list::Line;
use super::matching::neighbour_talk;
use super::vars::View;
use super::world::{Effect, Meaning, World};
use crate::abi::eth;
use crate::field::{Cond, Field};
use crate::ir::outcome::{Fate, Origin, Outcome, Sets};
use crate::ir::policy::{Actions, Attach, Policy, Rule, Verdict};

/// What has happened to a packet so far, where that decides what rules mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Context {
    /// Whether it is IP, where known.
    pub ip: Option<bool>,
    /// Its last pass through each zone; empty for what never enters conntrack.
    pub views: BTreeMap<u16, View>,
    /// What `continue` rules have set, by zone.
    pub pending: BTreeMap<u16, Sets>,
    /// Conntrack passes.
    pub passes: Vec<(u16, bool)>,
    /// Rules still to come that set something, and that no packet matches which has matched those that have set the above:
    /// without that there would be a way for each subset of the rules.
    pub excluded: BTreeSet<usize>,
}

impl Context {
    /// Whether fragments have become one datagram.
    pub fn whole(&self) -> bool {
        !self.views.is_empty()
    }
}

/// Which list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Prefilter,
    Rules,
}

/// A policy on its way into a diagram.
pub(super) struct Rules<'a> {
    pub world: &'a mut World,
    pub policy: &'a Policy,
    pub attach: &'a Attach,
    lists: HashMap<(Part, usize, Context), Node>,
    /// Conditions of rules that set something.
    conditions: HashMap<(Part, usize, Context), Node>,
}

/// What an allowing rule does, as far as it depends on the rule.
pub(super) type Allowing<'r> = (Verdict, Option<u16>, &'r Actions);

/// The meaning of one block of a policy.
///
/// # Errors
/// [`Full`]
pub fn meaning(world: &mut World, policy: &Policy, attach: &Attach) -> Result<Node, Full> {
    Rules::new(world, policy, attach).list(Part::Prefilter, 0, &Context::default())
}

impl<'a> Rules<'a> {
    pub(super) fn new(world: &'a mut World, policy: &'a Policy, attach: &'a Attach) -> Self {
        Self { world, policy, attach, lists: HashMap::new(), conditions: HashMap::new() }
    }
}

impl Rules<'_> {
    /// The rules of a part from this one on, and what follows them.
    pub(super) fn list(&mut self, part: Part, start: usize, context: &Context) -> Result<Node, Full> {
        let key = (part, start, context.clone());
        if let Some(node) = self.lists.get(&key) {
            return Ok(*node);
        }
        let rules = rules_of(self.attach, part).get(start..).unwrap_or_default();
        let excluded = |at: usize| context.excluded.contains(&(start + at));
        let end = rules.iter().enumerate().position(|(at, rule)| sets(rule) && !excluded(at));
        let mut rest = match end.and_then(|at| Some((at, rules.get(at)?))) {
            Some((at, rule)) => self.setting(part, start + at, rule, context)?,
            None if part == Part::Prefilter => self.after_prefilter(context)?,
            None => self.end_of_rules(context)?,
        };
        let mut allows: HashMap<Allowing<'_>, Node> = HashMap::new();
        // Rules that decide, the last first, not yet joined to the rest.
        let mut batch: Vec<Line> = Vec::new();
        for (at, rule) in rules.iter().enumerate().take(end.unwrap_or(rules.len())).rev() {
            if excluded(at) {
                continue;
            }
            let decision = self.decision(rule, context, &mut allows)?;
            let Some(decision) = decision else {
                rest = self.join(&mut batch, rest)?;
                let inner = self.passed(rule, rest)?;
                let condition = self.condition(rule, context)?;
                rest = self.world.diagram.ite(condition, inner, rest)?;
                continue;
            };
            for guard in self.guards(rule, context)?.into_iter().rev() {
                batch.extend(guard.line(self.world, decision)?);
            }
        }
        rest = self.join(&mut batch, rest)?;
        self.lists.insert(key, rest);
        Ok(rest)
    }

    fn join(&mut self, batch: &mut Vec<Line>, rest: Node) -> Result<Node, Full> {
        batch.reverse();
        let list = self.world.first_of(batch)?;
        batch.clear();
        self.world.diagram.first(list, rest)
    }

    /// From a `continue` rule on that sets something.
    fn setting(&mut self, part: Part, at: usize, rule: &Rule, context: &Context) -> Result<Node, Full> {
        let mut unset = context.clone();
        unset.excluded.retain(|later| *later > at);
        let Some(zone) = self.attach.passes.get(rule.pass) else { return self.list(part, at + 1, &unset) };
        let condition = self.setting_condition(part, at, rule, context)?;
        let mut set = unset.clone();
        let pending = set.pending.entry(*zone).or_default();
        *pending = pending.then(Sets::of(&rule.actions));
        for (later, other) in rules_of(self.attach, part).iter().enumerate().skip(at + 1).filter(|(_, rule)| sets(rule))
        {
            let other = self.setting_condition(part, later, other, context)?;
            if self.world.diagram.and(condition, other)? == FALSE {
                set.excluded.insert(later);
            }
        }
        let unset = self.list(part, at + 1, &unset)?;
        let set = self.list(part, at + 1, &set)?;
        let inner = self.passed(rule, set)?;
        self.world.diagram.ite(condition, inner, unset)
    }

    /// Whether a rule matches that sets something.
    fn setting_condition(&mut self, part: Part, at: usize, rule: &Rule, context: &Context) -> Result<Node, Full> {
        let key = (part, at, Context { pending: BTreeMap::new(), excluded: BTreeSet::new(), ..context.clone() });
        if let Some(node) = self.conditions.get(&key) {
            return Ok(*node);
        }
        let node = self.condition(rule, context)?;
        self.conditions.insert(key, node);
        Ok(node)
    }

    /// Before the rest, what a rule does that lets the packet go on; what exceeds its limit is dropped.
    fn passed(&mut self, rule: &Rule, rest: Node) -> Result<Node, Full> {
        let mut node = rest;
        for out in rule.actions.mirror.iter().rev() {
            node = self.world.after(&Effect::Mirror(out.clone()), node)?;
        }
        if rule.actions.limit.is_none() {
            return Ok(node);
        }
        let dropped = self.outcome(Fate::Drop, origin(rule), &Context::default(), false)?;
        let exceeds = self.world.variable(self.world.vars.exceeds(rule.info.ident))?;
        let node = self.world.diagram.ite(exceeds, dropped, node)?;
        self.world.after(&Effect::Limit(rule.info.ident), node)
    }

    /// What becomes of a packet that the rule matches; `None` where it goes on.
    pub(super) fn decision<'r>(
        &mut self,
        rule: &'r Rule,
        context: &Context,
        allows: &mut HashMap<Allowing<'r>, Node>,
    ) -> Result<Option<Node>, Full> {
        let origin = origin(rule);
        let inner = match rule.verdict {
            Verdict::Continue => return Ok(None),
            Verdict::Drop if rule.actions.limit.is_some() => return Ok(None),
            Verdict::Drop => self.outcome(Fate::Drop, origin, context, false)?,
            Verdict::Allow | Verdict::AllowStateless => {
                let zone = self.attach.passes.get(rule.pass).copied();
                let key = (rule.verdict, zone, &*rule.actions);
                let node = if let Some(node) = allows.get(&key) {
                    *node
                } else {
                    let node = self.allow(rule.verdict, zone, &rule.actions, Origin::Machinery, context)?;
                    *allows.entry(key).or_insert(node)
                };
                if self.world.attribute { self.world.after(&Effect::Decide(origin), node)? } else { node }
            }
        };
        self.passed(rule, inner).map(Some)
    }

    fn allow(
        &mut self,
        verdict: Verdict,
        zone: Option<u16>,
        actions: &Actions,
        origin: Origin,
        context: &Context,
    ) -> Result<Node, Full> {
        let blank = self.blank(Fate::Accept, origin, context, false);
        let policy = self.policy;
        let attach = self.attach;
        let outcome = |case: &mut Case<'_>| {
            let in_conntrack = !context.views.is_empty();
            let carries = in_conntrack || (actions.clear && case.carried());
            let stateless = verdict == Verdict::AllowStateless;
            Outcome {
                commits: case.commits(policy, attach, context, (actions, zone, verdict)),
                cleared: (actions.clear && carries) || (stateless && in_conntrack),
                verdict: actions.redirect.clone().map_or(Fate::Accept, Fate::Redirect),
                ..blank.clone()
            }
        };
        self.explore(&mut Vec::new(), &outcome)
    }

    fn after_prefilter(&mut self, context: &Context) -> Result<Node, Full> {
        if !self.attach.tracked() {
            return self.list(Part::Rules, 0, context);
        }
        let other = self.list(Part::Rules, 0, &Context { ip: Some(false), ..context.clone() })?;
        let known = BTreeMap::new();
        let tracked = Context { ip: Some(true), ..context.clone() };
        let tracked = self.track(self.attach.passes.clone(), tracked, &known)?;
        let is_ip = self.world.ethertype(&[eth::P_IP, eth::P_IPV6])?;
        let node = self.world.diagram.ite(is_ip, tracked, other)?;
        self.or_implicit(node)
    }

    /// What becomes of packets that no rule decides.
    pub(super) fn end_of_rules(&mut self, context: &Context) -> Result<Node, Full> {
        let attach = self.attach;
        let node = if attach.default_allow {
            let zone = attach.passes.last().copied();
            self.allow(Verdict::Allow, zone, &Actions::default(), Origin::Default, context)?
        } else {
            self.outcome(Fate::Drop, Origin::Default, context, false)?
        };
        if attach.tracked() { Ok(node) } else { self.or_implicit(node) }
    }

    /// ARP, neighbour discovery and MLD are accepted, where no rule has decided.
    pub(super) fn or_implicit(&mut self, node: Node) -> Result<Node, Full> {
        let ids = self.attach.tags_served().into_iter().map(|id| Cond::exact(Field::VlanId, id.into()));
        let ids: Vec<Cond> = ids.collect();
        let talk = neighbour_talk(self.world)?;
        let named = self.world.any(Field::VlanId, None, &ids)?;
        let tag = self.world.diagram.node(super::vars::Vars::TAG, TRUE, named)?;
        let implicit = self.world.diagram.and(tag, talk)?;
        let accepted = self.outcome(Fate::Accept, Origin::Implicit, &Context::default(), false)?;
        self.world.diagram.ite(implicit, accepted, node)
    }

    /// Whether the rule matches.
    fn condition(&mut self, rule: &Rule, context: &Context) -> Result<Node, Full> {
        let mut node = FALSE;
        for guard in self.guards(rule, context)? {
            let one = guard.node(self.world)?;
            node = self.world.diagram.or(one, node)?;
        }
        Ok(node)
    }

    fn outcome(&mut self, verdict: Fate, rule: Origin, context: &Context, cleared: bool) -> Result<Node, Full> {
        let outcome = self.blank(verdict, rule, context, cleared);
        self.world.meaning(Meaning::Outcome(outcome))
    }

    fn blank(&self, verdict: Fate, rule: Origin, context: &Context, cleared: bool) -> Outcome {
        let passes = if verdict == Fate::Drop { Vec::new() } else { context.passes.clone() };
        let rule = if self.world.attribute { rule } else { Origin::Machinery };
        Outcome { verdict, rule, passes, commits: Vec::new(), cleared, mirrors: Vec::new(), limits: Vec::new() }
    }
}

fn rules_of(attach: &Attach, part: Part) -> &[Rule] {
    if part == Part::Prefilter { &attach.prefilter } else { &attach.rules }
}

/// Whether the rule goes on and sets something.
fn sets(rule: &Rule) -> bool {
    rule.verdict == Verdict::Continue && Sets::of(&rule.actions).any()
}

fn origin(rule: &Rule) -> Origin {
    Origin::Rule { ident: rule.info.ident, meaning: rule.info.meaning }
}
