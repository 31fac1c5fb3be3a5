//! The meaning of a Program as a diagram: [`emit::eval`](crate::emit::eval) for all packets at once.
//!
//! A goto never returns, so what a chain means depends only on what has happened to the packet before: its [`Context`].
//! Each chain is worked out once for each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::diagram::{Full, Node};
use super::list::Line;
use super::vars::View;
use super::world::{Effect, Meaning, World};
use crate::abi::{GOTO_MAX, eth};
use crate::emit::eval::{Fault, Masked, mask_of};
use crate::emit::program::{Action, Attached, Chain, Control, Filter, Program, Role, RuleRef};
use crate::ir::outcome::{Fate, Origin, Outcome};
use crate::ir::policy::Out;

/// What has happened to a packet before a chain, where that decides what the chain means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Context {
    /// The lookup whose answer flower shows; `None` after `ct clear`.
    pub shown: Option<View>,
    /// Zone of the entry that it carries.
    pub zone: u16,
    /// Fragments have become one datagram.
    pub whole: bool,
    /// Zones of the conntrack passes.
    pub passes: Vec<u16>,
    /// Zones whose last lookup saw a header that has been rewritten since.
    pub stale: BTreeSet<u16>,
    /// Its entry was taken off.
    pub cleared: bool,
    /// Gotos made; counted only where some way may make too many.
    pub gotos: usize,
}

/// A Program on its way into a diagram.
pub(super) struct Kernel<'a> {
    pub world: &'a mut World,
    pub program: &'a Program,
    pub attached: &'a Attached,
    /// Whether there are several zones: only then is a lookup ever stale.
    pub zones: bool,
    /// Whether some way may make too many gotos.
    deep: bool,
    chains: HashMap<(u32, Context), Node>,
}

/// A place in a filter's actions.
#[derive(Clone, Copy)]
pub(super) struct At<'f> {
    pub filter: &'f Filter,
    pub chain: u32,
    /// The actions left.
    pub actions: &'f [Action],
    /// What the later prios of the chain come to.
    pub rest: Node,
    /// Whether the outcome is to tell the filter's rule.
    pub named: bool,
}

/// The meaning of one block of a Program.
///
/// # Errors
/// [`Full`]
pub fn meaning(world: &mut World, program: &Program, attached: &Attached) -> Result<Node, Full> {
    let deep = depth(attached).is_none_or(|depth| depth > GOTO_MAX);
    let zones = world.vars.zones().len() > 1;
    let mut kernel = Kernel { world, program, attached, zones, deep, chains: HashMap::new() };
    let context = Context {
        shown: Some(View::Carried),
        zone: 0,
        whole: false,
        passes: Vec::new(),
        stale: BTreeSet::new(),
        cleared: false,
        gotos: 0,
    };
    kernel.run(&attached.entry, &context)
}

/// Gotos on the longest way; `None` where ways go round in circles or to chains that are not there.
fn depth(attached: &Attached) -> Option<usize> {
    fn visit(attached: &Attached, chain: &Chain, known: &mut HashMap<u32, Option<usize>>) -> Option<usize> {
        if let Some(depth) = known.get(&chain.index) {
            return *depth;
        }
        // Until it is known, a way back here is a circle.
        known.insert(chain.index, None);
        let mut deepest = 0;
        for next in chain.filters.iter().flat_map(gotos) {
            let next = attached.chain(next)?;
            deepest = deepest.max(1 + visit(attached, next, known)?);
        }
        known.insert(chain.index, Some(deepest));
        Some(deepest)
    }
    visit(attached, &attached.entry, &mut HashMap::new())
}

fn controls(filter: &Filter) -> impl Iterator<Item = Control> {
    filter.actions.iter().map(Action::control)
}

fn gotos(filter: &Filter) -> impl Iterator<Item = u32> {
    controls(filter).filter_map(|control| if let Control::Goto(next) = control { Some(next) } else { None })
}

impl Kernel<'_> {
    /// What becomes of packets that go to this chain.
    pub(super) fn goto(&mut self, index: u32, context: &Context) -> Result<Node, Full> {
        let mut context = context.clone();
        if self.deep {
            context.gotos += 1;
            if context.gotos > GOTO_MAX {
                return self.world.meaning(Meaning::Fault(Fault::TooManyGotos));
            }
        }
        let key = (index, context);
        if let Some(node) = self.chains.get(&key) {
            return Ok(*node);
        }
        let Some(chain) = self.attached.chain(index) else {
            return self.world.meaning(Meaning::Fault(Fault::NoChain(index)));
        };
        let node = self.run(chain, &key.1)?;
        self.chains.insert(key, node);
        Ok(node)
    }

    /// Its prios, the last first.
    fn run(&mut self, chain: &Chain, context: &Context) -> Result<Node, Full> {
        let mut prios: BTreeMap<u16, Vec<&Filter>> = BTreeMap::new();
        for filter in &chain.filters {
            prios.entry(filter.prio).or_default().push(filter);
        }
        let mut ends = HashMap::new();
        let mut rest = self.world.meaning(Meaning::Fault(Fault::FellThrough(chain.index)))?;
        // Filters that decide, the last first, not yet joined to the rest.
        let mut batch: Vec<Line> = Vec::new();
        for filters in prios.into_values().rev() {
            let goes_on = filters.iter().any(|filter| controls(filter).any(|control| control == Control::Continue));
            if goes_on {
                rest = self.join(&mut batch, rest)?;
            }
            // A mask is as old as the first filter that has it; the kernel tries the oldest first.
            let mut masks: HashMap<Vec<Masked>, usize> = HashMap::new();
            let mut order: Vec<(usize, &Filter)> = Vec::with_capacity(filters.len());
            for (at, filter) in filters.into_iter().enumerate() {
                order.push((*masks.entry(mask_of(filter)).or_insert(at), filter));
            }
            order.sort_by_key(|(age, _)| *age);
            for (_, filter) in order.into_iter().rev() {
                let guard = self.guard(filter, context)?;
                if guard.is_never() {
                    continue;
                }
                let end = self.end(filter, chain.index, context, rest, &mut ends)?;
                batch.extend(guard.line(self.world, end)?);
            }
            if goes_on {
                rest = self.join(&mut batch, rest)?;
                ends.clear();
            }
        }
        self.join(&mut batch, rest)
    }

    fn join(&mut self, batch: &mut Vec<Line>, rest: Node) -> Result<Node, Full> {
        batch.reverse();
        let list = self.world.first_of(batch)?;
        batch.clear();
        self.world.diagram.first(list, rest)
    }

    /// What a filter's actions come to. `ends` holds what is known already: many filters act in the same way.
    fn end<'f>(
        &mut self,
        filter: &'f Filter,
        chain: u32,
        context: &Context,
        rest: Node,
        ends: &mut HashMap<(&'f [Action], Option<usize>), Node>,
    ) -> Result<Node, Full> {
        let rule = self.program.rules.get(filter.rule);
        // A filter that sends packets on does not decide.
        let decides = !controls(filter).any(|control| matches!(control, Control::Goto(_) | Control::Continue));
        // Whether what the actions come to depends on the rule in other ways than by its name.
        let apart = rule.is_none_or(|rule| rule.role == Role::Implicit)
            || filter.actions.iter().any(|action| matches!(action, Action::Police(_)));
        let key = (filter.actions.as_slice(), apart.then_some(filter.rule));
        let node = if let Some(node) = ends.get(&key) {
            *node
        } else {
            let at = At { filter, chain, actions: &filter.actions, rest, named: apart };
            let node = self.actions(at, context)?;
            *ends.entry(key).or_insert(node)
        };
        match rule {
            Some(rule) if self.world.attribute && decides && !apart => {
                self.world.after(&Effect::Decide(origin(rule)), node)
            }
            _ => Ok(node),
        }
    }

    /// What a control comes to.
    pub(super) fn control(&mut self, control: Control, at: At<'_>, context: &Context) -> Result<Node, Full> {
        match control {
            Control::Pass => self.done(Fate::Accept, at, context),
            Control::Drop => self.done(Fate::Drop, at, context),
            Control::Pipe => self.actions(at, context),
            Control::Continue => Ok(at.rest),
            Control::Goto(next) => self.goto(next, context),
        }
    }

    /// The end of a packet's way.
    pub(super) fn done(&mut self, verdict: Fate, at: At<'_>, context: &Context) -> Result<Node, Full> {
        let Some(rule) = self.program.rules.get(at.filter.rule) else {
            return self.world.meaning(Meaning::Fault(Fault::NoRule(at.chain)));
        };
        let origin = if self.world.attribute && at.named { origin(rule) } else { Origin::Machinery };
        let dropped = verdict == Fate::Drop;
        // Conntrack leaves neighbour discovery without an entry (`possible`): nothing of a pass stays with it.
        let bare = dropped || rule.role == Role::Implicit;
        let outcome = Outcome {
            verdict,
            rule: origin,
            // Whether a pass translates is added where that is known: see `Effect::Translate`.
            passes: if bare { Vec::new() } else { context.passes.iter().map(|zone| (*zone, false)).collect() },
            commits: Vec::new(),
            cleared: context.cleared && !dropped,
            mirrors: Vec::new(),
            limits: Vec::new(),
        };
        self.world.meaning(Meaning::Outcome(outcome))
    }

    /// What a list of actions comes to.
    pub(super) fn actions(&mut self, at: At<'_>, context: &Context) -> Result<Node, Full> {
        let Some((action, left)) = at.actions.split_first() else {
            return self.world.meaning(Meaning::Fault(Fault::NoVerdict(at.chain)));
        };
        let at = At { actions: left, ..at };
        match action {
            Action::Gact(control) => self.control(*control, at, context),
            Action::Ct(ct, control) => self.ct(ct, *control, at, context),
            Action::Mirred(mirred) => {
                let out = Out { device: mirred.device.clone(), ingress: mirred.ingress };
                if mirred.redirect {
                    return self.done(Fate::Redirect(out), at, context);
                }
                let node = self.actions(at, context)?;
                self.world.after(&Effect::Mirror(out), node)
            }
            Action::Police(police) => {
                let Some(rule) = self.program.rules.get(at.filter.rule) else {
                    return self.world.meaning(Meaning::Fault(Fault::NoRule(at.chain)));
                };
                let dropped = self.done(Fate::Drop, at, context)?;
                let conforms = self.control(police.conform, at, context)?;
                let exceeds = self.world.variable(self.world.vars.exceeds(rule.ident))?;
                let node = self.world.diagram.ite(exceeds, dropped, conforms)?;
                self.world.after(&Effect::Limit(rule.ident), node)
            }
        }
    }

    /// `node` where the packet is IP; act_ct drops all else.
    pub(super) fn ip_only(&mut self, node: Node, chain: u32) -> Result<Node, Full> {
        let fault = self.world.meaning(Meaning::Fault(Fault::NotIp(chain)))?;
        let is_ip = self.world.ethertype(&[eth::P_IP, eth::P_IPV6])?;
        self.world.diagram.ite(is_ip, node, fault)
    }
}

/// Who decides by a filter of this rule.
fn origin(rule: &RuleRef) -> Origin {
    match rule.role {
        Role::Rule => Origin::Rule { ident: rule.ident, meaning: rule.meaning },
        Role::Default => Origin::Default,
        Role::Implicit => Origin::Implicit,
        Role::Dispatch | Role::Entry => Origin::Machinery,
    }
}
