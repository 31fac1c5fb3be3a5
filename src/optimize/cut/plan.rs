//! What is done with a list of lines: it stays, it is cut by a field, or in two.

use super::Cut;
use super::cost::{Cost, Weights};
use super::sorted::Sorted;
use crate::field::{Cond, Field};
use crate::ir::graph::Line;
use crate::optimize::price::Scale;
use crate::optimize::ways::guard;

/// Fields that lists are cut by, with the numbers of leading bits that are tried. All others are asked in few ways.
const FIELDS: [(Field, &[u8]); 7] = [
    (Field::IpProto, &[8]),
    (Field::Ipv4Src, &[4, 8, 12, 16, 20, 24, 28, 32]),
    (Field::Ipv4Dst, &[4, 8, 12, 16, 20, 24, 28, 32]),
    (Field::Ipv6Src, &[16, 32, 48, 64, 128]),
    (Field::Ipv6Dst, &[16, 32, 48, 64, 128]),
    (Field::SrcPort, &[6, 16]),
    (Field::DstPort, &[6, 16]),
];

/// Leading bits of a port that tell those below 1024 from all others.
const LOW_BITS: u8 = 6;

/// Lines that a list must have to be cut in two.
const TWO_MIN: usize = 24;

/// What a line that asks nothing of a field costs the first part of a list that is cut by it, in lines that ask it.
const FREE_WEIGHT: i64 = 4;

/// What is done with a list.
pub(super) enum Plan {
    Flat,
    Cut(Box<Cut>),
    /// In two before this line, and the filters for the first part.
    Two(usize, u64),
}

/// The cheapest of at most so many filters, where one pays.
pub(super) fn plan(lines: &[Line], levels: usize, most: u64, scale: Scale) -> Plan {
    if levels == 0 {
        return Plan::Flat;
    }
    let mut weights = Weights::of(lines);
    let flat = weights.flat(0..lines.len(), scale);
    if flat.packet() < scale.small {
        return Plan::Flat;
    }
    let asked = |field: &Field| lines.iter().any(|line| line.asked(*field).is_some());
    let fields: Vec<Field> = FIELDS.iter().map(|(field, _)| *field).filter(asked).collect();
    weights.know(lines, &fields);
    let list = List { lines, fields, weights, scale };
    let worth = |cost: &Cost| cost.packet() <= scale.worth_cutting(flat.packet());
    let cut = list.best(0, lines.len(), most).filter(|(cost, _)| worth(cost));
    let two = if levels > 2 { list.two(most).filter(|(cost, _)| worth(cost)) } else { None };
    match (cut, two) {
        (Some((cost, _)), Some((two, plan))) if score(two) < score(cost) => plan,
        (None, Some((_, plan))) => plan,
        (Some((_, cut)), _) => Plan::Cut(Box::new(cut)),
        (None, None) => Plan::Flat,
    }
}

/// A lookup saved is worth having, and worth more the fewer filters it takes: others are to be saved with them.
fn score(cost: Cost) -> (u128, u64) {
    let packet = u128::from(cost.packet());
    (packet * packet * u128::from(cost.filters), cost.filters)
}

struct List<'a> {
    lines: &'a [Line],
    fields: Vec<Field>,
    weights: Weights,
    scale: Scale,
}

impl List<'_> {
    /// The best cut of these lines by a field, in at most so many filters.
    fn best(&self, from: usize, to: usize, most: u64) -> Option<(Cost, Cut)> {
        let lines = self.lines.get(from..to)?;
        let mut best: Option<(Cost, Cut)> = None;
        for (field, widths) in FIELDS.iter().filter(|(field, _)| self.fields.contains(field)) {
            let Some(guard) = guard(lines, *field) else { continue };
            let low = field.is_layer4().then_some((LOW_BITS, Some(0)));
            for (width, only) in widths.iter().map(|width| (*width, None)).chain(low) {
                let bits = u32::from(field.row().bits).saturating_sub(width.into());
                let mask = field.row().full_mask() & !((1u128 << bits) - 1);
                let Some(mut sorted) = Sorted::of(lines, from, (*field, mask), only, most) else { continue };
                let cost = self.weights.cut(&mut sorted, *field, self.scale);
                if cost.filters <= most && best.as_ref().is_none_or(|(known, _)| score(cost) < score(*known)) {
                    best = Some((cost, Cut { field: *field, mask, guard: guard.clone(), sorted }));
                }
            }
        }
        best
    }

    /// The best way to cut the list in two.
    fn two(&self, most: u64) -> Option<(Cost, Plan)> {
        let all = self.lines.len();
        if all < TWO_MIN && self.scale.small > 0 {
            return None;
        }
        let mut places: Vec<usize> = self.fields.iter().filter_map(|field| parting(self.lines, *field)).collect();
        places.sort_unstable();
        places.dedup();
        let filters = self.weights.flat(0..all, self.scale).filters;
        let part = |from: usize, to: usize| {
            let flat = self.weights.flat(from..to, self.scale);
            let own = u128::from(flat.filters) * u128::from(most) / u128::from(filters.max(1));
            let own = u64::try_from(own).unwrap_or(u64::MAX);
            let cut = self.best(from, to, own).map(|(cost, _)| cost);
            (cut.filter(|cost| cost.packet() <= self.scale.worth_cutting(flat.packet())).unwrap_or(flat), own)
        };
        let ways = places.into_iter().map(|at| {
            let ((first, own), (last, _)) = (part(0, at), part(at, all));
            (first.then(at as u64, last, (all - at) as u64, self.scale), Plan::Two(at, own))
        });
        ways.min_by_key(|(cost, _)| score(*cost))
    }
}

/// Where a list parts best into lines that ask for the field and lines that do not.
fn parting(lines: &[Line], field: Field) -> Option<usize> {
    let (mut sum, mut most, mut place) = (0i64, 0i64, 0);
    for (line, at) in lines.iter().zip(1..) {
        sum += if asks_much(line, field) { 1 } else { -FREE_WEIGHT };
        if sum > most {
            (most, place) = (sum, at);
        }
    }
    (place > 0 && place < lines.len()).then_some(place)
}

/// Whether the line asks for a quarter of the field's bits or more.
fn asks_much(line: &Line, field: Field) -> bool {
    let bits = u32::from(field.row().bits);
    let much = |cond: &Cond| cond.mask().is_some_and(|mask| mask.count_ones() >= bits / 4);
    line.asked(field).is_some_and(|conds| conds.iter().all(much))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::field::value::ones;
    use crate::ir::graph::{End, Tail};

    /// A line for each of so many networks and eight lengths of prefixes.
    fn lines(field: Field, networks: u128) -> Vec<Line> {
        let pairs = (0..networks).flat_map(|network: u128| (25u8..=32).map(move |length| (network, length)));
        let line = |(network, length): (u128, u8)| {
            let cond = Cond::Bits { value: network << 24 | 0x00a0_0000, mask: ones(32) & !ones(32 - length) };
            let tail = Tail { steps: Vec::new(), end: End::Pass, rule: 0 };
            Line { ether: None, sets: vec![(field, cond.into())], tail }
        };
        pairs.map(line).collect()
    }

    #[test]
    fn lines_that_ask_for_different_fields_are_parted() {
        let list = [lines(Field::Ipv4Dst, 2), lines(Field::Ipv4Src, 1)].concat();
        assert_eq!(parting(&list, Field::Ipv4Dst), Some(16));
        assert_eq!(parting(&list, Field::Ipv4Src), None);
        assert_eq!(parting(&lines(Field::Ipv4Dst, 2), Field::Ipv4Dst), None);
    }

    #[test]
    fn a_list_of_one_line_or_without_a_goto_left_stays() {
        let list = lines(Field::Ipv4Dst, 64);
        assert!(matches!(plan(&list[..1], 8, 100, Scale::USUAL), Plan::Flat));
        assert!(matches!(plan(&list, 0, 10_000, Scale::USUAL), Plan::Flat));
    }
}
