//! The meaning of a policy as a diagram: [`ir::eval`](crate::ir::eval) for all packets at once, in the same order of ideas.

use std::collections::{BTreeMap, HashMap};

use super::commit::{Case, Sets};
use super::diagram::{FALSE, Full, NONE, Node, TRUE};
use super::guard::{Facts, Guard, keeps_whole, only};
use super::vars::{NEIGHBOUR_TALK, View};
use super::world::{Effect, Meaning, World};
use crate::abi::{eth, ipproto};
use crate::field::{Cond, Field};
use crate::ir::outcome::{Fate, Origin, Outcome};
use crate::ir::packet::device_value;
use crate::ir::policy::{Actions, Alt, Attach, Link, Policy, Rule, State, StateSet, Verdict};

/// What has happened to a packet so far, where that decides what rules mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Context {
    /// Whether it is IP, where known.
    ip: Option<bool>,
    /// Its last pass through each zone; empty for what never enters conntrack.
    pub views: BTreeMap<u16, View>,
    /// What `continue` rules have set, by zone.
    pub pending: BTreeMap<u16, Sets>,
    /// Conntrack passes.
    pub passes: Vec<(u16, bool)>,
}

/// What comes behind a pass, by whether the record was applied and by the states that are possible.
type Follow<'f, T> = dyn FnMut(&mut T, bool, &BTreeMap<View, StateSet>) -> Result<Node, Full> + 'f;

impl Context {
    /// Whether fragments have become one datagram.
    fn whole(&self) -> bool {
        !self.views.is_empty()
    }
}

/// Which list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Prefilter,
    Rules,
}

/// A policy on its way into a diagram.
pub(super) struct Rules<'a> {
    pub world: &'a mut World,
    pub policy: &'a Policy,
    pub attach: &'a Attach,
    lists: HashMap<(Part, usize, Context), Node>,
}

/// What an allowing rule does, as far as it depends on the rule.
type Allowing<'r> = (Verdict, Option<u16>, &'r Actions, Option<Origin>);

/// The meaning of one block of a policy.
///
/// # Errors
/// [`Full`]
pub fn meaning(world: &mut World, policy: &Policy, attach: &Attach) -> Result<Node, Full> {
    Rules { world, policy, attach, lists: HashMap::new() }.list(Part::Prefilter, 0, &Context::default())
}

impl Rules<'_> {
    /// The rules of a part from this one on, and what follows them.
    fn list(&mut self, part: Part, start: usize, context: &Context) -> Result<Node, Full> {
        let key = (part, start, context.clone());
        if let Some(node) = self.lists.get(&key) {
            return Ok(*node);
        }
        let attach = self.attach;
        let rules = if part == Part::Prefilter { &attach.prefilter } else { &attach.rules };
        let rules = rules.get(start..).unwrap_or_default();
        let sets = |rule: &Rule| rule.verdict == Verdict::Continue && Sets::of(&rule.actions).any();
        let end = rules.iter().position(sets);
        let mut rest = match end.and_then(|at| Some((at, rules.get(at)?))) {
            Some((at, rule)) => self.setting(part, start + at, rule, context)?,
            None if part == Part::Prefilter => self.after_prefilter(context)?,
            None => self.end_of_rules(context)?,
        };
        let mut allows: HashMap<Allowing<'_>, Node> = HashMap::new();
        // Rules that decide, the last first, not yet joined to the rest.
        let mut batch = Vec::new();
        for rule in rules.iter().take(end.unwrap_or(rules.len())).rev() {
            let decision = self.decision(rule, context, &mut allows)?;
            let Some(decision) = decision else {
                rest = self.join(&mut batch, rest)?;
                let inner = self.passed(rule, rest)?;
                let condition = self.condition(rule, context)?;
                rest = self.world.diagram.ite(condition, inner, rest)?;
                continue;
            };
            for guard in self.guards(rule, context)?.into_iter().rev() {
                batch.push(guard.around(self.world, decision)?);
            }
        }
        rest = self.join(&mut batch, rest)?;
        self.lists.insert(key, rest);
        Ok(rest)
    }

    fn join(&mut self, batch: &mut Vec<Node>, rest: Node) -> Result<Node, Full> {
        batch.reverse();
        let list = self.world.first_of(batch)?;
        batch.clear();
        self.world.diagram.first(list, rest)
    }

    /// From a `continue` rule on that sets something.
    fn setting(&mut self, part: Part, at: usize, rule: &Rule, context: &Context) -> Result<Node, Full> {
        let unset = self.list(part, at + 1, context)?;
        let Some(zone) = self.attach.passes.get(rule.pass) else { return Ok(unset) };
        let mut set = context.clone();
        let pending = set.pending.entry(*zone).or_default();
        *pending = pending.then(Sets::of(&rule.actions));
        let set = self.list(part, at + 1, &set)?;
        let inner = self.passed(rule, set)?;
        let condition = self.condition(rule, context)?;
        self.world.diagram.ite(condition, inner, unset)
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
        let dropped = self.outcome(Fate::Drop, self.origin(rule), &Context::default(), false)?;
        let exceeds = self.world.variable(self.world.vars.exceeds(rule.info.ident))?;
        let node = self.world.diagram.ite(exceeds, dropped, node)?;
        self.world.after(&Effect::Limit(rule.info.ident), node)
    }

    /// What becomes of a packet that the rule matches; `None` where it goes on.
    fn decision<'r>(
        &mut self,
        rule: &'r Rule,
        context: &Context,
        allows: &mut HashMap<Allowing<'r>, Node>,
    ) -> Result<Option<Node>, Full> {
        let origin = self.origin(rule);
        let inner = match rule.verdict {
            Verdict::Continue => return Ok(None),
            Verdict::Drop if rule.actions.limit.is_some() => return Ok(None),
            Verdict::Drop => self.outcome(Fate::Drop, origin, context, false)?,
            Verdict::Allow | Verdict::AllowStateless => {
                let zone = self.attach.passes.get(rule.pass).copied();
                let key = (rule.verdict, zone, &rule.actions, self.world.attribute.then_some(origin));
                if let Some(node) = allows.get(&key) {
                    *node
                } else {
                    let node = self.allow(rule.verdict, zone, &rule.actions, origin, context)?;
                    *allows.entry(key).or_insert(node)
                }
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

    fn end_of_rules(&mut self, context: &Context) -> Result<Node, Full> {
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
    fn or_implicit(&mut self, node: Node) -> Result<Node, Full> {
        let alts = self.attach.prefilter.iter().chain(&self.attach.rules).flat_map(|rule| &rule.alts);
        let ids: std::collections::BTreeSet<u16> =
            alts.filter_map(|alt| alt.vlan.as_ref()).flatten().copied().collect();
        let ids: Vec<Cond> = ids.into_iter().map(|id| Cond::exact(Field::VlanId, id.into())).collect();
        let talk = neighbour_talk(self.world)?;
        let named = self.world.any(Field::VlanId, None, &ids)?;
        let tag = self.world.diagram.node(super::vars::Vars::TAG, TRUE, named)?;
        let implicit = self.world.diagram.and(tag, talk)?;
        let accepted = self.outcome(Fate::Accept, Origin::Implicit, &Context::default(), false)?;
        self.world.diagram.ite(implicit, accepted, node)
    }

    /// Conntrack, once per zone of the queue, and what follows. `known`: the states that a view can still have.
    fn track(
        &mut self,
        mut queue: Vec<u16>,
        mut context: Context,
        known: &BTreeMap<View, StateSet>,
    ) -> Result<Node, Full> {
        if queue.is_empty() {
            return self.list(Part::Rules, 0, &context);
        }
        let zone = queue.remove(0);
        let again = context.passes.iter().any(|(passed, _)| *passed == zone);
        let view = View::Pass { zone, again };
        let translates = self.policy.translating.contains(&zone);
        context.views.insert(zone, view);
        context.passes.push((zone, translates));
        let missed: Vec<u16> = self.attach.passes.iter().rev().copied().collect();
        let may = |other: &u16| {
            *other != zone
                && context.views.contains_key(other)
                && self.policy.translating.contains(other)
                && !queue.contains(other)
        };
        let missed: Vec<u16> = missed.into_iter().filter(may).collect();
        if !translates || missed.is_empty() {
            return self.track(queue, context, known);
        }
        // What an earlier zone does not know of an ICMP error is invalid there, not new.
        let [new, unknown] = [StateSet::of(&[State::New]), StateSet::of(&[State::New, State::Invalid])];
        let [established, related] = [State::EstablishedReply, State::RelatedReply].map(|state| StateSet::of(&[state]));
        self.split(view, established, known, &mut |rules, holds, known| {
            if holds {
                return rules.again((&missed, new), Vec::new(), &queue, &context, known);
            }
            rules.split(view, related, known, &mut |rules, holds, known| {
                let missed = if holds { missed.as_slice() } else { &[] };
                rules.again((missed, unknown), Vec::new(), &queue, &context, known)
            })
        })
    }

    /// Those of the zones that show one of these states are passed once more, before the others.
    fn again(
        &mut self,
        (missed, unknown): (&[u16], StateSet),
        chosen: Vec<u16>,
        queue: &[u16],
        context: &Context,
        known: &BTreeMap<View, StateSet>,
    ) -> Result<Node, Full> {
        let Some((zone, others)) = missed.split_first() else {
            let queue = chosen.into_iter().chain(queue.iter().copied()).collect();
            return self.track(queue, context.clone(), known);
        };
        let Some(view) = context.views.get(zone) else { return Ok(NONE) };
        self.split(*view, unknown, known, &mut |rules, holds, known| {
            let chosen = chosen.iter().copied().chain(holds.then_some(*zone)).collect();
            rules.again((others, unknown), chosen, queue, context, known)
        })
    }

    /// What follows where the view shows one of these states, and where it shows another.
    fn split(
        &mut self,
        view: View,
        states: StateSet,
        known: &BTreeMap<View, StateSet>,
        follow: &mut Follow<'_, Self>,
    ) -> Result<Node, Full> {
        let possible = known.get(&view).copied().unwrap_or(StateSet::TRACKED);
        let mut nodes = [NONE, NONE];
        for (node, (holds, states)) in nodes.iter_mut().zip([(false, states.not()), (true, states)]) {
            let left = possible.and(states);
            if left != StateSet::EMPTY {
                let mut known = known.clone();
                known.insert(view, left);
                *node = follow(self, holds, &known)?;
            }
        }
        let condition = self.world.states(view, states)?;
        let [otherwise, then] = nodes;
        match (possible.and(states), possible.and(states.not())) {
            (StateSet::EMPTY, _) => Ok(otherwise),
            (_, StateSet::EMPTY) => Ok(then),
            _ => self.world.diagram.ite(condition, then, otherwise),
        }
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

    /// When the rule matches: any of these.
    fn guards(&mut self, rule: &Rule, context: &Context) -> Result<Vec<Guard>, Full> {
        let states = self.states(rule, context)?;
        let mut guards = Vec::with_capacity(rule.alts.len());
        for alt in &rule.alts {
            let is_ip = matches!(alt.link, Link::Ip4 | Link::Ip6 | Link::Ether(eth::P_IP | eth::P_IPV6));
            if states.is_never() || context.ip.is_some_and(|known| known != is_ip) {
                continue;
            }
            let guard = self.headers(alt, states.clone(), context.whole())?;
            if !guard.is_never() {
                guards.push(guard);
            }
        }
        Ok(guards)
    }

    fn states(&mut self, rule: &Rule, context: &Context) -> Result<Guard, Full> {
        let mut guard = Guard::default();
        let Some(view) = self.attach.passes.get(rule.pass).and_then(|zone| context.views.get(zone)).copied() else {
            let every_state = rule.states.and(StateSet::TRACKED) == StateSet::TRACKED;
            let words = rule.mark.is_some() || rule.label.is_some() || rule.snat.is_some() || rule.dnat.is_some();
            if !every_state || words {
                guard.and(FALSE);
            }
            return Ok(guard);
        };
        guard.and(self.world.states(view, rule.states)?);
        for (field, conds) in [(Field::CtMark, &rule.mark), (Field::CtLabel, &rule.label)] {
            if let Some(conds) = conds {
                guard.and(self.world.info(view, field, conds)?);
            }
        }
        let bits = self.policy.nat_bits;
        for (wanted, there, back) in [(rule.snat, bits.snat, bits.dnat), (rule.dnat, bits.dnat, bits.snat)] {
            let Some(wanted) = wanted else { continue };
            let replies = self.world.states(view, StateSet::of(&[State::EstablishedReply, State::RelatedReply]))?;
            let mut cond = |bit: u32| {
                let value = if wanted { bit.into() } else { 0 };
                self.world.info(view, Field::CtMark, &[Cond::Bits { value, mask: bit.into() }])
            };
            let (there, back) = (cond(there)?, cond(back)?);
            guard.and(self.world.diagram.ite(replies, back, there)?);
        }
        // A rule that translates or commits never matches what is invalid, in none of the zones where it does so.
        let named = rule.actions.nat.iter().map(|(zone, _)| zone).chain(&rule.actions.commit_zones);
        for view in named.filter_map(|zone| context.views.get(zone)) {
            guard.and(self.world.states(*view, StateSet::of(&[State::Invalid]).not())?);
        }
        Ok(guard)
    }

    fn headers(&mut self, alt: &Alt, mut guard: Guard, whole: bool) -> Result<Guard, Full> {
        let ethertype = match alt.link {
            Link::Ip4 => eth::P_IP,
            Link::Ip6 => eth::P_IPV6,
            Link::Ether(other) => other,
        };
        guard.literals(self.world.vars.ethertypes.literals(ethertype.into()));
        guard.tag(alt.vlan.is_some());
        let of = |field: Field| alt.sets.iter().find(|(known, _)| *known == field).map(|(_, conds)| conds.as_slice());
        let facts = Facts {
            ethertype: Some(ethertype),
            proto: of(Field::IpProto).and_then(only),
            whole: whole || of(Field::IpFlags).is_some_and(keeps_whole),
        };
        if let Some(ids) = &alt.vlan {
            let ids: Vec<Cond> = ids.iter().map(|id| Cond::exact(Field::VlanId, (*id).into())).collect();
            guard.holds(self.world, Field::VlanId, &ids, facts)?;
        }
        if !alt.not_in.is_empty() {
            let values: Vec<u128> = alt.not_in.iter().map(|name| device_value(name)).collect();
            let inside = self.world.device(&values)?;
            guard.and(self.world.diagram.ite(inside, FALSE, TRUE)?);
        }
        for (field, conds) in &alt.sets {
            guard.present(self.world, *field, facts)?;
            // What was reassembled is no fragment, whatever it was.
            let facts = Facts { whole, ..facts };
            guard.holds(self.world, *field, conds, facts)?;
        }
        Ok(guard)
    }

    fn origin(&self, rule: &Rule) -> Origin {
        let _ = self;
        Origin::Rule { ident: rule.info.ident, meaning: rule.info.meaning }
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

/// ARP, IPv6 neighbour discovery and MLD: ICMPv6 130-136 and 143.
///
/// # Errors
/// [`Full`]
pub fn neighbour_talk(world: &mut World) -> Result<Node, Full> {
    let mut guard = Guard::default();
    let types: Vec<Cond> = NEIGHBOUR_TALK.map(|kind| Cond::exact(Field::IcmpType, kind)).to_vec();
    let facts = Facts { ethertype: Some(eth::P_IPV6), proto: Some(ipproto::ICMPV6.into()), whole: false };
    guard.literals(world.vars.ethertypes.literals(eth::P_IPV6.into()));
    guard.literals(world.vars.protos.literals(ipproto::ICMPV6.into()));
    guard.present(world, Field::IcmpType, facts)?;
    guard.holds(world, Field::IcmpType, &types, facts)?;
    let discovery = guard.node(world)?;
    let arp = world.ethertype(&[eth::P_ARP])?;
    world.diagram.or(arp, discovery)
}
