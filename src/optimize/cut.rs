//! A long list of lines, cut by the bits of one field, or in two.
//!
//! ```text
//! before   one chain   10,000 lines under 300 masks: a packet meets them all, and every list of ranges is walked to its end
//! cut      chain A     dst 192.0.2.0/24 -> B, dst 198.51.100.0/24 -> C ...   otherwise the lines that may match elsewhere
//!          chain B     the lines that a packet to 192.0.2.0/24 can match, in their order
//! in two   chain A     the first lines, cut by their destinations; in each chain of theirs otherwise -> B
//!          chain B     the last lines, which ask for no destination, cut by their sources
//! ```
//!
//! Cut: the bits of a field have one value in a packet, so it goes to one of the chains. There it finds every line that it can
//! match, in the order that they had: those that ask for this value, those that ask less of these bits and agree with
//! it, and those that ask nothing of them. Where the packet has none of the values, it finds all lines but those that ask for
//! one of them. So it meets the same first line, and as often, as before; the rest of the table's way is the same. What a
//! chain knows of the field, its lines ask no more: that the bits have the value, or that they have none of the values (of
//! ports 1024-65535 nothing is left to ask behind a cut by the ports below).
//!
//! In two: a packet that no line of the first chain decides goes on with the others, as it did in one list.
//!
//! Lines that ask less stand in several chains: filters are spent for lookups, out of the budget that the masks have too
//! (performance.md 3: "chain tree"). To cut in two spares lines that ask nothing of a field a copy in every chain; it costs a
//! goto, and a packet that meets none of the first lines pays for both. [`plan`] says what is worth most.

mod cost;
mod plan;
mod sorted;

use std::rc::Rc;

use super::notes::Note;
use super::price::Scale;
use super::ways::{Place, Ways};
use crate::field::{Cond, Field};
use crate::ir::graph::{Graph, Line, Table, TableId, Tail};
use plan::{Plan, plan};
use sorted::{Asking, Sorted};

/// A way to cut by a field.
struct Cut {
    field: Field,
    /// The bits that count.
    mask: u128,
    /// The protocol that flower wants beside a port; empty where none is needed.
    guard: Vec<Cond>,
    /// The lines of each value, and of none.
    sorted: Sorted,
}

/// Puts the table into the graph, cut where that pays, over at most `levels` further gotos. `dispatch` is the origin of filters
/// that only lead on.
pub fn cut(graph: &mut Graph, table: Rc<Table>, levels: usize, dispatch: usize, scale: Scale) -> TableId {
    let before = graph.len();
    let filters = table.lines.iter().map(Line::product).fold(0, u64::saturating_add);
    let most = scale.cutting(filters);
    let id = match plan(&table.lines, levels, most, scale) {
        Plan::Flat => return graph.table(table),
        plan => {
            let mut cutting = Cutting { place: Place { graph, table: &table, dispatch }, scale };
            let way = cutting.follow(plan, table.lines.clone(), &table.otherwise, levels, most);
            cutting.place.end(way)
        }
    };
    let chains = graph.len() - before;
    if chains > 1 {
        let text = format!("{filters} filters in one chain -> {chains} chains: each holds what can match there");
        graph.notes.list.push(Note { pass: "cut", at: table.title.clone(), text });
    }
    id
}

struct Cutting<'a> {
    place: Place<'a>,
    scale: Scale,
}

impl Cutting<'_> {
    /// What is done with a packet that meets these lines, and `rest` after them: over at most so many gotos but the first, in about so
    /// many filters.
    fn build(&mut self, mut lines: Vec<Line>, rest: &Tail, levels: usize, most: u64) -> Tail {
        let mut rest = rest.clone();
        if let Some(at) = lines.iter().position(Line::always) {
            rest = lines.drain(at..).next().map_or(rest, |line| line.tail);
        }
        if lines.is_empty() {
            return rest;
        }
        let plan = plan(&lines, levels, most, self.scale);
        self.follow(plan, lines, &rest, levels, most)
    }

    fn follow(&mut self, plan: Plan, mut lines: Vec<Line>, rest: &Tail, levels: usize, most: u64) -> Tail {
        match plan {
            Plan::Flat => self.place.tail(lines, rest.clone()),
            Plan::Cut(cut) => self.cut(&lines, &cut, rest, levels, most),
            Plan::Two(at, first) => {
                let last = lines.split_off(at);
                let below = levels.saturating_sub(1) / 2;
                let rest = self.build(last, rest, below, most.saturating_sub(first));
                // Where the others come to nothing, there is no goto.
                self.build(lines, &rest, levels.saturating_sub(1 + below), first)
            }
        }
    }

    fn cut(&mut self, lines: &[Line], cut: &Cut, rest: &Tail, levels: usize, most: u64) -> Tail {
        let sorted = &cut.sorted;
        let all = sorted.filters.iter().fold(sorted.rest_filters, |sum, own| sum.saturating_add(*own)).max(1);
        // What is left of the budget goes to all alike.
        let share = |own: u64| u64::try_from(u128::from(own) * u128::from(most) / u128::from(all)).unwrap_or(u64::MAX);
        let beyond = sorted.rest.iter().filter_map(|asking| Some(outside(lines.get(asking.row)?, cut.field, *asking)));
        let beyond: Vec<Line> = beyond.collect();
        let otherwise = self.build(beyond, rest, levels.saturating_sub(1), share(sorted.rest_filters));
        let mut ways = Ways::by(cut.field, &cut.guard);
        for ((value, rows), own) in sorted.values.iter().zip(&sorted.filters) {
            let rows = sorted.with_free(rows);
            let here = rows.iter().filter_map(|row| lines.get(*row)).filter_map(|line| within(line, cut, *value));
            let tail = self.build(here.collect(), rest, levels.saturating_sub(1), share(*own));
            ways.add(tail.clone(), Cond::Bits { value: *value, mask: cut.mask }, &tail);
        }
        ways.tail(&mut self.place, otherwise)
    }
}

/// The line where the field has this value under the mask; `None` where it cannot match there.
fn within(line: &Line, cut: &Cut, value: u128) -> Option<Line> {
    let mut line = line.clone();
    know(&mut line, cut.field, Cond::Bits { value, mask: cut.mask })?;
    // A port is only there beside its protocol, so that is known too.
    for guard in &cut.guard {
        know(&mut line, Field::IpProto, *guard)?;
    }
    Some(line)
}

/// Leaves out what the line need not ask where this is known of the field; `None` where it cannot match there.
fn know(line: &mut Line, field: Field, here: Cond) -> Option<()> {
    let Some((_, conds)) = line.sets.iter_mut().find(|(known, _)| *known == field) else { return Some(()) };
    conds.retain(|cond| cond.overlaps(here));
    if conds.is_empty() {
        return None;
    }
    let sure = conds.iter().any(|cond| cond.covers(here));
    // Flower reads nothing behind the IP header without the protocol.
    let needed = field == Field::IpProto && line.sets.iter().any(|(other, _)| other.is_layer4());
    if sure && !needed {
        line.sets.retain(|(known, _)| *known != field);
    }
    Some(())
}

/// The line where the field has none of the values.
fn outside(line: &Line, field: Field, asking: Asking) -> Line {
    let mut line = line.clone();
    if asking.known {
        line.sets.retain(|(known, _)| *known != field);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::value::ones;
    use crate::ir::graph::End;

    fn line(sets: Vec<(Field, Vec<Cond>)>) -> Line {
        let sets = sets.into_iter().map(|(field, conds)| (field, conds.into())).collect();
        Line { ether: None, sets, tail: Tail { steps: Vec::new(), end: End::Pass, rule: 0 } }
    }

    fn by(field: Field, mask: u128, guard: Vec<Cond>) -> Cut {
        Cut { field, mask, guard, sorted: Sorted::default() }
    }

    fn net(value: u128, length: u8) -> Cond {
        Cond::Bits { value, mask: ones(32) & !ones(32 - length) }
    }

    #[test]
    fn a_line_asks_no_more_what_its_chain_knows() {
        let cut = by(Field::Ipv4Dst, 0xffff_0000, Vec::new());
        let ask = |value, length| line(vec![(Field::Ipv4Dst, vec![net(value, length)])]);
        assert_eq!(within(&ask(0x0a01_0000, 16), &cut, 0x0a01_0000), Some(line(vec![])));
        assert_eq!(within(&ask(0x0a00_0000, 8), &cut, 0x0a01_0000), Some(line(vec![])));
        assert_eq!(within(&ask(0x0a01_0200, 24), &cut, 0x0a01_0000), Some(ask(0x0a01_0200, 24)));
        assert_eq!(within(&ask(0x0a02_0000, 16), &cut, 0x0a01_0000), None);
    }

    #[test]
    fn the_protocol_stays_beside_a_port_and_goes_where_none_is_asked() {
        let tcp = || Cond::exact(Field::IpProto, 6);
        let port = |port| Cond::exact(Field::DstPort, port);
        let cut = by(Field::DstPort, 0xffff, vec![tcp()]);
        let both = |field, cond| line(vec![(Field::IpProto, vec![tcp()]), (field, vec![cond])]);
        assert_eq!(within(&both(Field::DstPort, port(80)), &cut, 80), Some(line(vec![])));
        assert_eq!(within(&both(Field::DstPort, port(80)), &cut, 81), None);
        assert_eq!(within(&both(Field::SrcPort, port(53)), &cut, 80), Some(both(Field::SrcPort, port(53))));
        let udp = line(vec![(Field::IpProto, vec![Cond::exact(Field::IpProto, 17)])]);
        assert_eq!(within(&udp, &cut, 80), None);
    }
}
