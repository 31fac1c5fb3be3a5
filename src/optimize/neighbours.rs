//! Neighbour discovery behind conntrack, out of the way of everything else.
//!
//! ```text
//! before   chain 1   icmp6 type 130..136, 143 -> pass      one mask, missed by every other packet
//!                    otherwise -> ct, goto 2
//!          chain 2   state: ... invalid -> drop
//! after    chain 1   no fragment -> ct, goto 3             one mask, met by every packet: a lookup less
//!                    fragment -> ct, goto 2
//!          chain 2   state: ... invalid -> drop
//!          chain 3   state: ... invalid -> goto 4
//!          chain 4   icmp6 type 130..136, 143 -> pass, otherwise -> drop
//! ```
//!
//! Conntrack has nothing to do with ICMPv6 130-136 and 143: in every zone it leaves them without an entry, which flower shows
//! as invalid (kernel-facts 2.2). So they are among the packets of that state, nothing of the passes stays with them,
//! and the line decides for the same packets as before. Fragments are the exception: conntrack makes them whole, and flower
//! sees the type that it did not see before. They keep to the old way, for a router advertisement in pieces is a known
//! means to slip past a filter (RFC 6980, RFC 7113) and was never allowed by the line.

use std::rc::Rc;

use super::notes::Note;
use crate::abi::{ct_state, ip_flags};
use crate::emit::program::{Ct, Role};
use crate::field::{Cond, Field};
use crate::ir::graph::{End, Graph, Line, Step, Table, TableId, Tail};

/// The graph with the implicit line of every IPv6 table behind the lookup that the table ends in; `None` where no table ends so.
#[must_use]
pub fn behind(graph: &Graph) -> Option<Graph> {
    let mut tables = graph.hooks.iter().flat_map(|hook| graph.reachable(hook)).filter_map(|id| graph.get(id));
    let any = tables.any(|table| state_table(graph, &table.otherwise).is_some());
    any.then(|| rebuilt(graph))
}

fn rebuilt(graph: &Graph) -> Graph {
    graph.rebuilt(|graph, hook, table| {
        let title = table.title.clone();
        match moved(graph, hook.dispatch, Rc::unwrap_or_clone(table)) {
            Ok(table) => {
                let text =
                    "neighbour discovery is told from other invalid packets: established IPv6 pays a lookup less";
                graph.notes.list.push(Note { pass: "neighbours", at: title, text: text.to_owned() });
                graph.table(table)
            }
            Err(table) => graph.table(table),
        }
    })
}

/// The table with its implicit line moved; as it was, where that cannot be. `dispatch` is the origin of lines that only lead on.
fn moved(graph: &mut Graph, dispatch: usize, mut table: Table) -> Result<Table, Table> {
    let Some(state) = state_table(graph, &table.otherwise).cloned() else { return Err(table) };
    let Some(line) = table.lines.pop_if(|line| is_implicit(graph, line)) else { return Err(table) };
    let Some(state) = with_neighbours(graph, dispatch, state, &line) else {
        table.lines.push(line);
        return Err(table);
    };
    let fragment = u128::from(ip_flags::IS_FRAGMENT);
    let tail = Tail { end: End::Goto(graph.table(state)), ..table.otherwise.clone() };
    for (value, tail) in [(0, tail), (fragment, table.otherwise.clone())] {
        let cond = Cond::Bits { value, mask: fragment };
        table.lines.push(Line { ether: None, sets: vec![(Field::IpFlags, cond.into())], tail });
    }
    Ok(table)
}

/// Whether it is the implicit line of neighbour discovery.
pub fn is_implicit(graph: &Graph, line: &Line) -> bool {
    graph.rules.get(line.tail.rule).is_some_and(|rule| rule.role == Role::Implicit)
        && line.sets.iter().any(|(field, _)| *field == Field::IcmpType)
}

/// The table of states that this tail goes to behind a pass through conntrack, and nothing else.
fn state_table<'g>(graph: &'g Graph, tail: &Tail) -> Option<&'g Table> {
    let tracks = |step: &Step| matches!(step, Step::Ct(Ct::Track { .. }));
    let table = graph.target(tail).filter(|_| !tail.steps.is_empty() && tail.steps.iter().all(tracks))?;
    table.lines.iter().any(is_invalid).then_some(table)
}

/// Whether it is the line of a table of states for what is invalid.
fn is_invalid(line: &Line) -> bool {
    let invalid = u128::from(ct_state::TRK | ct_state::INV);
    match line.sets.as_slice() {
        [(Field::CtState, conds)] => matches!(conds.as_slice(), [Cond::Bits { value, .. }] if *value == invalid),
        _ => false,
    }
}

/// The table of states, where what is invalid meets this line first.
fn with_neighbours(graph: &mut Graph, dispatch: usize, mut state: Table, line: &Line) -> Option<Table> {
    let at = state.lines.iter().position(is_invalid)?;
    let invalid = state.lines.get_mut(at)?;
    let title = format!("{}, invalid", state.title);
    let lines = vec![line.clone()];
    let table = Table { frame: state.frame, title, lines, otherwise: invalid.tail.clone() };
    let id: TableId = graph.table(table);
    invalid.tail = Tail { steps: Vec::new(), end: End::Goto(id), rule: dispatch };
    Some(state)
}
