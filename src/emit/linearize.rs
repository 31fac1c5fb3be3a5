//! Graph -> Program: chains numbered, products multiplied out, prios and handles allotted.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::abi::{ACTIONS_MAX, eth};
use crate::declare_lints;
use crate::diag::{Diagnostic, Diagnostics};
use crate::field::{Cond, Conds, Field, Key};
use crate::hash::{QuickBuild, fnv};
use crate::ir::graph::{End, Frame, Graph, HookGraph, Line, Step, Table, TableId, Tail};
use crate::ir::policy::{Attach, Policy};
use crate::optimize::notes::{Count, Notes, Tally};
use crate::optimize::price::Scale;
use crate::optimize::prios::{Placed, prios};
use crate::optimize::{DEPTH_MAX, dead, masks, spend};
use crate::source::Span;

use super::cost;
use super::program::{Action, Attached, CHAINS_MAX, Chain, Control, Filter, Mirred, Police, Program, Role, RuleRef};

declare_lints! {
    /// More gotos on one way than the kernel makes.
    pub TOO_DEEP: Error = "too-deep", "a packet would need more gotos than the kernel makes",
        "The kernel makes at most 16 gotos for a packet and drops it at the next. Each zone, each mark or label that is asked \
         of a zone before another one costs one, and so does each `continue` rule that sets something, where a packet may match \
         it and those before it. Use fewer of them in one policy.";
    /// More chains, prios or filters than fit.
    pub TOO_LARGE: Error = "too-large", "the policy becomes more chains, prios or filters than the kernel can number",
        "A chain has at most 65,535 prios and a policy at most 65,535 chains here. A prio is needed wherever rules of \
         different shape overlap: put rules of one shape together, and use sets instead of many alternating rules.";
    /// More actions than a filter can have.
    pub TOO_MANY_ACTIONS: Error = "too-many-actions", "a rule with more actions than the kernel runs",
        "The kernel runs at most 32 actions of a filter and ignores all others without a word, the verdict at the end too. Copies, \
         commits, a limit, `clear` and the verdict are one each.\n\nExample: `drop tcp` with 32 `mirror to`.\n\n\
         Remedy: put some of them on a `continue` rule of its own before this one.";
    /// More filters than the limit.
    pub TOO_MANY_FILTERS: Error = "too-many-filters", "the policy becomes more filters than allowed",
        "A filter compares each field with one value, so a rule needs one for each value of its sets, and for the combinations of sets that cannot be asked one \
         after the other. A million filters are 2.4 GB of kernel memory: a policy that large is mostly a slip, so it is refused. \
         `--max-filters N` sets another limit, lower or higher.\n\n\
         Remedy: write prefixes and ranges that cover more in the rule that is named, the one that takes most of them; \
         `compile --stats` shows all rules by their filters.";
}

/// Filters that a policy file may become: 2.4 GB in the kernel, and seconds to load (performance.md 1.2).
pub const FILTERS_MAX: u64 = 1_000_000;

/// Prios of the entry filters in chain 0: IPv4, IPv6, 802.1Q, everything else. They never change, so that `apply` can
/// replace each in place.
const ENTRY: [(Frame, u16, u16); 4] = [
    (Frame::Ip4, 1, eth::P_IP),
    (Frame::Ip6, 2, eth::P_IPV6),
    (Frame::Tagged, 3, eth::P_8021Q),
    (Frame::Other, 4, eth::P_ALL),
];

/// Linearizes every policy of the graph; an error where it would become more than `filters_max` filters.
#[must_use]
pub fn linearize(graph: Graph, policy: &Policy, scale: Scale, filters_max: u64, diags: &mut Diagnostics) -> Program {
    noted(graph, policy, scale, filters_max, diags).0
}

/// As [`linearize`], with what all passes have done.
#[must_use]
pub fn noted(
    graph: Graph,
    policy: &Policy,
    scale: Scale,
    filters_max: u64,
    diags: &mut Diagnostics,
) -> (Program, Notes) {
    let too_many = if graph.is_full() {
        cost::limit::together(policy, graph.most.unwrap_or(filters_max))
    } else {
        too_many_filters(&graph, policy, filters_max)
    };
    if let Some(finding) = too_many.or_else(|| too_many_actions(&graph, policy)) {
        diags.push(finding);
        return (Program { attaches: Vec::new(), rules: Rc::unwrap_or_clone(graph.rules), digest: 0 }, graph.notes);
    }
    let mut tally = Tally::default();
    let mut attaches = Vec::with_capacity(graph.hooks.len());
    for (hook, attach) in graph.hooks.iter().zip(&policy.attaches) {
        let depth = graph.depth(hook);
        if depth > DEPTH_MAX {
            let message = format!("policy needs {depth} gotos on one way, the kernel makes {DEPTH_MAX}");
            let help = "ask fewer marks and labels of the zones before the last, and use fewer `continue` rules that set something";
            diags.push(Diagnostic::new(&TOO_DEEP, attach.span, message).help(help));
            continue;
        }
        if let Some(attached) = attached(&graph, hook, attach, (scale, &mut tally), diags) {
            attaches.push(attached);
        }
    }
    let identities: Vec<_> = graph.rules.iter().map(|rule| (rule.role, rule.ident, rule.meaning)).collect();
    let digest = fnv(&(&attaches, identities));
    let mut notes = graph.notes;
    tally.add(&mut notes, &graph.rules);
    (Program { attaches, rules: Rc::unwrap_or_clone(graph.rules), digest }, notes)
}

/// An error that names the rule with the most filters, where all of them are too many. Counted before they are made.
fn too_many_filters(graph: &Graph, policy: &Policy, filters_max: u64) -> Option<Diagnostic> {
    let mut by_rule = vec![0u64; graph.rules.len()];
    for table in graph.hooks.iter().flat_map(|hook| graph.reachable(hook)).filter_map(|id| graph.get(id)) {
        for line in &table.lines {
            if let Some(count) = by_rule.get_mut(line.tail.rule) {
                *count = count.saturating_add(line.product());
            }
        }
    }
    let all = by_rule.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
    if all <= filters_max {
        return None;
    }
    let rules = graph.rules.iter().zip(by_rule).filter(|(rule, _)| rule.role == Role::Rule);
    let (most, count) = rules.max_by_key(|(_, count)| *count)?;
    let span = span_of(most, policy)?;
    let message =
        format!("the policy becomes {all} filters, {count} of them for this rule; {filters_max} is the limit");
    Some(
        Diagnostic::new(&TOO_MANY_FILTERS, span, message)
            .help("write prefixes and ranges that cover more, or allow more with `--max-filters`"),
    )
}

/// An error for the first rule that needs more actions than the kernel runs: it would ignore the last ones, and so the verdict.
fn too_many_actions(graph: &Graph, policy: &Policy) -> Option<Diagnostic> {
    let tables = graph.hooks.iter().flat_map(|hook| graph.reachable(hook)).filter_map(|id| graph.get(id));
    let tails = tables.flat_map(Table::tails);
    let entries = graph.hooks.iter().flat_map(|hook| hook.entries.iter().map(|(_, tail)| tail));
    let needs = |tail: &Tail| actions(tail, &HashMap::new()).len();
    let tail = tails.chain(entries).find(|tail| needs(tail) > usize::from(ACTIONS_MAX))?;
    let span = span_of(graph.rules.get(tail.rule)?, policy).or_else(|| policy.attaches.first().map(|it| it.span))?;
    let message = format!("this becomes {} actions, and the kernel runs {ACTIONS_MAX} of a filter", needs(tail));
    let help = "put some of them on a `continue` rule of its own before this one";
    Some(Diagnostic::new(&TOO_MANY_ACTIONS, span, message).help(help))
}

/// Where the rule is written; `None` for what the compiler adds.
fn span_of(rule: &RuleRef, policy: &Policy) -> Option<Span> {
    let mut own = policy.attaches.iter().filter(|attach| attach.name == rule.policy);
    own.find_map(|attach| attach.rule(rule.ident)).map(|info| info.span)
}

fn attached(
    graph: &Graph,
    hook: &HookGraph,
    attach: &Attach,
    (scale, tally): (Scale, &mut Tally),
    diags: &mut Diagnostics,
) -> Option<Attached> {
    let order = graph.reachable(hook);
    if u32::try_from(order.len()).map_or(true, |count| count > CHAINS_MAX) {
        let message = format!("policy becomes {} chains, at most {CHAINS_MAX} fit", order.len());
        diags.push(Diagnostic::new(&TOO_LARGE, attach.span, message));
        return None;
    }
    // A chain's number is higher than those of all chains that go to it: some hardware wants gotos to go forward.
    let numbers: HashMap<TableId, u32> = order.iter().copied().zip(1..).collect();
    let mut chains = Vec::with_capacity(order.len());
    let tables: Vec<&Table> = order.iter().filter_map(|id| graph.get(*id)).collect();
    let scales = spend::scales(&tables, hook.needed, scale);
    for ((table, scale), index) in tables.into_iter().zip(scales).zip(1..) {
        let Some(filters) = filters(table, &numbers, scale, tally) else {
            let message = format!("the rules for `{}` need more than 65,535 prios", table.title);
            let help = "put rules of one shape together, or use sets";
            diags.push(Diagnostic::new(&TOO_LARGE, attach.span, message).help(help));
            return None;
        };
        chains.push(Chain { index, title: table.title.clone(), filters });
    }
    let entry = ENTRY
        .iter()
        .filter_map(|(frame, prio, protocol)| {
            let (_, tail) = hook.entries.iter().find(|(known, _)| known == frame)?;
            let actions = actions(tail, &numbers).into();
            Some(Filter { prio: *prio, handle: 1, protocol: *protocol, keys: Vec::new(), actions, rule: tail.rule })
        })
        .collect();
    let entry = Chain { index: 0, title: format!("entry of {}", hook.hook.word()), filters: entry };
    Some(Attached { name: hook.name.clone(), devices: hook.devices.clone(), hook: hook.hook, entry, chains })
}

/// The filters of one table, `None` where prios run out.
fn filters(table: &Table, numbers: &HashMap<TableId, u32>, scale: Scale, tally: &mut Tally) -> Option<Vec<Filter>> {
    let count = table.lines.iter().map(Line::product).fold(0, u64::saturating_add).min(FILTERS_MAX);
    let mut all = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
    let mut tails: HashMap<&Tail, usize, QuickBuild> = HashMap::default();
    let mut same = Same { numbers, known: HashMap::default() };
    for (at, line) in table.lines.iter().enumerate() {
        let protocol = protocol(table.frame, line);
        let goes_on = line.tail.end == End::Continue;
        let next = tails.len();
        let does = *tails.entry(&line.tail).or_insert(next);
        product(&sets(table.frame, line), &mut |keys| {
            all.push((protocol, Placed { keys: keys.to_vec(), line: at, does, goes_on }));
        });
    }
    drop(tails);
    let mut filters = Vec::new();
    let mut prio = 0u16;
    for (protocol, members) in cheaper(table, all, scale, tally) {
        prio = prio.checked_add(1)?;
        for (member, handle) in members.into_iter().zip(1..) {
            let tail = &table.lines.get(member.line)?.tail;
            let actions = same.actions(tail);
            filters.push(Filter { prio, handle, protocol, keys: member.keys, actions, rule: tail.rule });
        }
    }
    let last = prio.checked_add(1)?;
    let tail = &table.otherwise;
    let actions = same.actions(tail);
    filters.push(Filter { prio: last, handle: 1, protocol: eth::P_ALL, keys: Vec::new(), actions, rule: tail.rule });
    Some(filters)
}

/// The filters of a table, by prio: without those that no packet reaches, over few masks, in few prios. Without a price for masks
/// all of them, as they stand.
fn cheaper(table: &Table, filters: Vec<(u16, Placed)>, scale: Scale, tally: &mut Tally) -> Vec<(u16, Vec<Placed>)> {
    if scale.mask == 0 {
        return prios(masks::merge(filters, scale));
    }
    let count = Count::of(&filters);
    let (filters, dead) = dead::prune(filters);
    tally.dead(table, count.filters, &dead);
    let reached = Count::of(&filters);
    let filters = masks::merge(filters, scale);
    tally.masks(table, reached, Count::of(&filters));
    let prios = prios(filters);
    tally.prios(table, count, prios.len());
    prios
}

/// The ethertype under which the kernel looks the line up: the outermost one of the frame.
pub(crate) fn protocol(frame: Frame, line: &Line) -> u16 {
    match frame {
        Frame::Ip4 => eth::P_IP,
        Frame::Ip6 => eth::P_IPV6,
        Frame::Other => line.ether.unwrap_or(eth::P_ALL),
        Frame::Tagged | Frame::TaggedIp4 | Frame::TaggedIp6 | Frame::TaggedOther => eth::P_8021Q,
    }
}

/// The line's sets, with the inner ethertype that flower wants before it reads anything behind a VLAN tag.
fn sets(frame: Frame, line: &Line) -> Cow<'_, [(Field, Conds)]> {
    let inner = match frame {
        Frame::TaggedIp4 => eth::P_IP,
        Frame::TaggedIp6 => eth::P_IPV6,
        _ => return Cow::Borrowed(&line.sets),
    };
    let mut sets = line.sets.clone();
    sets.push((Field::VlanEthType, Cond::exact(Field::VlanEthType, u128::from(inner)).into()));
    sets.sort_by_key(|(field, _)| *field);
    Cow::Owned(sets)
}

/// Calls `each` with every combination of one condition per field, in order.
pub(crate) fn product<C: Deref<Target = [Cond]>>(sets: &[(Field, C)], each: &mut impl FnMut(&[Key])) {
    fn step<C: Deref<Target = [Cond]>>(sets: &[(Field, C)], keys: &mut Vec<Key>, each: &mut impl FnMut(&[Key])) {
        let Some(((field, conds), rest)) = sets.split_first() else {
            each(keys);
            return;
        };
        for cond in conds.iter() {
            // A mask without bits asks nothing.
            let empty = matches!(cond, Cond::Bits { mask: 0, .. });
            if !empty {
                keys.push(Key { field: *field, cond: *cond });
            }
            step(rest, keys, each);
            if !empty {
                keys.pop();
            }
        }
    }
    step(sets, &mut Vec::with_capacity(sets.len()), each);
}

/// The actions of a chain's filters: those of equal tails are shared.
struct Same<'t> {
    numbers: &'t HashMap<TableId, u32>,
    known: HashMap<(&'t [Step], &'t End), Arc<Vec<Action>>, QuickBuild>,
}

impl<'t> Same<'t> {
    fn actions(&mut self, tail: &'t Tail) -> Arc<Vec<Action>> {
        let new = || actions(tail, self.numbers).into();
        self.known.entry((&tail.steps, &tail.end)).or_insert_with(new).clone()
    }
}

/// Steps and end as actions. The end goes into the control of the last step where that can hold it, else into a gact.
fn actions(tail: &Tail, numbers: &HashMap<TableId, u32>) -> Vec<Action> {
    let mut actions: Vec<Action> = tail
        .steps
        .iter()
        .map(|step| match step {
            Step::Ct(ct) => Action::Ct(ct.clone(), Control::Pipe),
            Step::Mirror(out) => {
                Action::Mirred(Mirred { device: out.device.clone(), ingress: out.ingress, redirect: false })
            }
            Step::Police(police) => Action::Police(police.clone()),
        })
        .collect();
    let control = match &tail.end {
        End::Pass => Control::Pass,
        End::Drop => Control::Drop,
        End::Continue => Control::Continue,
        End::Goto(id) => numbers.get(id).map_or(Control::Drop, |number| Control::Goto(*number)),
        End::Redirect(out) => {
            actions.push(Action::Mirred(Mirred { device: out.device.clone(), ingress: out.ingress, redirect: true }));
            return actions;
        }
    };
    match (actions.last_mut(), control) {
        (Some(Action::Ct(_, last)), _) => *last = control,
        (Some(Action::Police(Police { conform, .. })), Control::Continue) => *conform = control,
        _ => actions.push(Action::Gact(control)),
    }
    actions
}
