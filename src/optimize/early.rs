//! Drops that no state changes, before conntrack.
//!
//! ```text
//! before   chain 0   ct, goto 1
//!          chain 1   state: established -> goto 2, new -> goto 3, invalid -> goto 4
//!          chain 2   src 203.0.113.0/24 -> drop, otherwise -> pass
//!          chain 3   src 203.0.113.0/24 -> drop, tcp port 22 -> commit, otherwise -> drop
//!          chain 4   src 203.0.113.0/24 -> drop, otherwise -> drop
//! after    chain 0   goto 1
//!          chain 1   src 203.0.113.0/24 -> drop, otherwise -> ct, goto 2
//!          chain 2   state: established -> pass, new -> goto 3, invalid -> drop
//!          chain 3   tcp port 22 -> commit, otherwise -> drop
//! ```
//!
//! A flood is dropped without a lookup in conntrack, and a list of a thousand networks stands there once, not once a state.
//!
//! Why no verdict changes: the lines that move are the first of every state's list, so each packet they match is dropped
//! by them whatever its state. They ask only for what conntrack leaves as it is: addresses, in zones that translate nothing, and IPv4's protocol. (Conntrack makes fragments
//! whole. Those of one packet have the same addresses. IPv6's protocol may stand behind another header in each.) Neighbour discovery is
//! accepted before all rules: what such a line matches is asked for it first.

use std::collections::HashSet;
use std::rc::Rc;

use super::neighbours::is_implicit;
use super::notes::Note;
use super::price::Scale;
use crate::abi::ct_state;
use crate::emit::program::Ct;
use crate::field::{Cond, Field};
use crate::ir::graph::{End, Frame, Graph, Line, Step, Table, Tail};

/// The graph, with drops that no state changes before the lookup in conntrack, where that costs established packets nothing or
/// saves more filters than a lookup is worth; `None` where no list begins with such drops.
#[must_use]
pub fn drops(graph: &Graph, scale: Scale) -> Option<Graph> {
    let entries = graph.hooks.iter().flat_map(|hook| &hook.entries).map(|(_, tail)| tail);
    let tables = graph.hooks.iter().flat_map(|hook| graph.reachable(hook)).filter_map(|id| graph.get(id));
    let mut tails = tables.flat_map(Table::tails);
    let any =
        entries.chain(&mut tails).any(|tail| states(graph, tail).is_some_and(|states| common(graph, states).is_some()));
    any.then(|| moved(graph, scale))
}

fn moved(graph: &Graph, scale: Scale) -> Graph {
    let mut new = graph.rebuilt(|graph, hook, table| {
        let mut table = Rc::unwrap_or_clone(table);
        for line in &mut table.lines {
            own_table(graph, hook.dispatch, &mut line.tail, scale);
        }
        let free = !table.lines.is_empty();
        if let Some(found) = find(graph, &table.otherwise, free, scale) {
            let implicit = table.lines.pop_if(|line| is_implicit(graph, line));
            for drop in found.drops {
                table.lines.push(match &implicit {
                    Some(implicit) => behind_neighbours(graph, hook.dispatch, &table, drop, implicit),
                    None => drop,
                });
            }
            table.lines.extend(implicit);
            table.otherwise = found.tail;
        }
        graph.table(table)
    });
    for at in 0..new.hooks.len() {
        let Some(mut hook) = new.hooks.get(at).cloned() else { continue };
        for (_, tail) in &mut hook.entries {
            own_table(&mut new, hook.dispatch, tail, scale);
        }
        if let Some(slot) = new.hooks.get_mut(at) {
            *slot = hook;
        }
    }
    new
}

/// Lines that can stand before a lookup, and the tail with that lookup, without them behind it.
struct Found {
    drops: Vec<Line>,
    tail: Tail,
}

/// A tail that leads to a lookup leads to a table with the drops first.
fn own_table(graph: &mut Graph, dispatch: usize, tail: &mut Tail, scale: Scale) {
    let Some((frame, title)) = graph.target(tail).map(|table| (table.frame, table.title.clone())) else { return };
    if let Some(found) = find(graph, tail, false, scale) {
        let title = format!("{title}, not yet known");
        let table = Table { frame, title, lines: found.drops, otherwise: found.tail };
        *tail = Tail { steps: Vec::new(), end: End::Goto(graph.table(table)), rule: dispatch };
    }
}

/// The table behind the lookup of this tail, in a zone that translates nothing.
fn states<'g>(graph: &'g Graph, tail: &Tail) -> Option<&'g Table> {
    let [Step::Ct(Ct::Track { nat: false, .. })] = tail.steps.as_slice() else { return None };
    graph.target(tail)
}

/// What can move before the lookup of this tail. `free`: a table stands there already.
fn find(graph: &mut Graph, tail: &Tail, free: bool, scale: Scale) -> Option<Found> {
    let mut states = states(graph, tail)?.clone();
    let count = common(graph, &states)?;
    let drops = graph.target(&states.lines.first()?.tail)?.lines.get(..count)?.to_vec();
    let filters = drops.iter().fold(0_u64, |sum, line| sum.saturating_add(line.product()));
    let lists = states.lines.iter().map(|state| &state.tail.end).collect::<HashSet<_>>().len() as u64;
    let saved = filters.saturating_mul(lists - 1);
    let established = states.lines.iter().filter(|state| is_established(state));
    let pays = established.filter_map(|state| graph.target(&state.tail)).any(|list| list.lines.len() > count);
    if !free && pays && saved < scale.visit + scale.goto {
        return None;
    }
    for state in &mut states.lines {
        let mut list = graph.target(&state.tail)?.clone();
        list.lines.drain(..count);
        state.tail = if list.lines.is_empty() {
            list.otherwise
        } else {
            Tail { end: End::Goto(graph.table(list)), ..state.tail.clone() }
        };
    }
    let word = if filters == 1 { "filter drops" } else { "filters drop" };
    let text = format!("{filters} {word} before conntrack, not behind it in {lists} chains by state");
    graph.notes.list.push(Note { pass: "early", at: states.title.clone(), text });
    Some(Found { drops, tail: Tail { end: End::Goto(graph.table(states)), ..tail.clone() } })
}

/// So many lines at the head of every state's list are the same, and can move.
fn common(graph: &Graph, states: &Table) -> Option<usize> {
    let list = |state: &Line| {
        let by_state = state.tail.steps.is_empty() && matches!(state.sets.as_slice(), [(Field::CtState, _)]);
        graph.target(&state.tail).filter(|_| by_state).map(|table| table.lines.as_slice())
    };
    let lists: Vec<&[Line]> = states.lines.iter().map(list).collect::<Option<_>>()?;
    let (first, others) = lists.split_first()?;
    let moves = |(at, line): &(usize, &Line)| {
        can_move(line, states.frame) && others.iter().all(|list| list.get(*at) == Some(*line))
    };
    Some(first.iter().enumerate().take_while(moves).count()).filter(|count| *count > 0)
}

/// Whether the line drops, by nothing that conntrack changes.
fn can_move(line: &Line, frame: Frame) -> bool {
    let kept = |field: Field| match field {
        Field::Ipv4Src | Field::Ipv4Dst | Field::Ipv6Src | Field::Ipv6Dst => true,
        Field::IpProto => !frame.is_ip6(),
        _ => false,
    };
    line.ether.is_none()
        && line.tail.steps.is_empty()
        && line.tail.end == End::Drop
        && line.sets.iter().all(|(field, _)| kept(*field))
}

/// Whether it is the line of a table of states for established packets.
fn is_established(line: &Line) -> bool {
    let has = |cond: &Cond| matches!(cond, Cond::Bits { value, .. } if value & u128::from(ct_state::EST) != 0);
    line.sets.iter().any(|(field, conds)| *field == Field::CtState && conds.iter().any(has))
}

/// The line, where what it matches is first asked whether it is neighbour discovery.
fn behind_neighbours(graph: &mut Graph, dispatch: usize, table: &Table, drop: Line, implicit: &Line) -> Line {
    let title = format!("{}, dropped", table.title);
    let table = Table { frame: table.frame, title, lines: vec![implicit.clone()], otherwise: drop.tail };
    Line { tail: Tail { steps: Vec::new(), end: End::Goto(graph.table(table)), rule: dispatch }, ..drop }
}
