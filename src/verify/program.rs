//! The meaning of a Program as a diagram: [`emit::eval`](crate::emit::eval) for all packets at once.
//!
//! A goto never returns, so what a chain means depends only on what has happened to the packet before: its [`Context`].
//! Each chain is worked out once for each.

use std::collections::{BTreeSet, HashMap};

use super::chains::{controls, is_deep, prios};
use super::diagram::{Full, Node};
use super::list::Line;
use super::vars::View;
use super::world::{Effect, Meaning, World};
use crate::abi::{GOTO_MAX, eth};
use crate::emit::eval::Fault;
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

impl Context {
    /// Nothing.
    pub fn start() -> Self {
        Self {
            shown: Some(View::Carried),
            zone: 0,
            whole: false,
            passes: Vec::new(),
            stale: BTreeSet::new(),
            cleared: false,
            gotos: 0,
        }
    }
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
    Kernel::new(world, program, attached, is_deep(attached)).run(&attached.entry, &Context::start())
}

impl<'a> Kernel<'a> {
    /// `deep`: see [`is_deep`].
    pub(super) fn new(world: &'a mut World, program: &'a Program, attached: &'a Attached, deep: bool) -> Self {
        let zones = world.vars.zones().len() > 1;
        Self { world, program, attached, zones, deep, chains: HashMap::new() }
    }

    /// Takes as known what a chain comes to.
    pub(super) fn know(&mut self, index: u32, context: Context, node: Node) {
        self.chains.insert((index, context), node);
    }

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
    pub(super) fn run(&mut self, chain: &Chain, context: &Context) -> Result<Node, Full> {
        let mut ends = HashMap::new();
        let mut rest = self.world.meaning(Meaning::Fault(Fault::FellThrough(chain.index)))?;
        // Filters that decide, the last first, not yet joined to the rest.
        let mut batch: Vec<Line> = Vec::new();
        for filters in prios(chain).into_iter().rev() {
            let goes_on = filters.iter().any(|filter| controls(filter).any(|control| control == Control::Continue));
            if goes_on {
                rest = self.join(&mut batch, rest)?;
            }
            for filter in filters.into_iter().rev() {
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

    /// The filters of a chain as lines, in the order in which the kernel tries them; none goes on to a later prio.
    pub(super) fn lines(&mut self, chain: &Chain, context: &Context) -> Result<Vec<Line>, Full> {
        let rest = self.world.meaning(Meaning::Fault(Fault::FellThrough(chain.index)))?;
        let mut ends = HashMap::new();
        let mut lines = Vec::with_capacity(chain.filters.len());
        for filter in prios(chain).into_iter().flatten() {
            let guard = self.guard(filter, context)?;
            if !guard.is_never() {
                let end = self.end(filter, chain.index, context, rest, &mut ends)?;
                lines.extend(guard.line(self.world, end)?);
            }
        }
        lines.push(Line { literals: Vec::new(), conditions: Vec::new(), inside: rest });
        Ok(lines)
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
