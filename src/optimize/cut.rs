//! A long list of lines, cut by some bits of an address.
//!
//! ```text
//! before   one chain   10,000 lines under 300 masks: a packet meets them all, and every list of ranges is walked to its end
//! after    chain A     src 0.0.0.0/6 -> B, src 4.0.0.0/6 -> C ...   otherwise the lines that ask nothing of it
//!          chain B     the lines that a source in 0.0.0.0/6 can match, in their order
//! ```
//!
//! The bits of an address have one value in a packet, so it goes to one of the chains. There it finds every line that it can
//! match, in the order that they had: those that ask for this value, and those that ask nothing of these bits; the rest
//! of the table's way is the same. So it meets the same first line, and as often, as before.
//!
//! Lines that ask nothing of the address stand in every chain: filters are spent for lookups, by the budget that masks have
//! (performance.md 3: "chain tree"). What is weighed is the mean over the lines, each as likely as another to be the one that a packet meets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::lines::{Item, Lines};
use super::notes::Note;
use super::price::Scale;
use crate::field::value::values_within;
use crate::field::{Cond, Field};
use crate::ir::graph::{End, Graph, Line, Table, TableId, Tail};

/// Fields that lists are cut by. All others are asked in few ways, or need a protocol beside them.
const FIELDS: [Field; 4] = [Field::Ipv4Src, Field::Ipv4Dst, Field::Ipv6Src, Field::Ipv6Dst];

/// Numbers of bits that are tried.
const WIDTHS: [u32; 4] = [2, 4, 6, 8];

/// Cuts on one way.
const LEVELS: usize = 2;

/// What a list costs.
#[derive(Clone, Copy, Default)]
struct Cost {
    filters: u64,
    /// Lookups, and a fortieth of one for each range that is walked (performance.md 2.2), on the scale of filters.
    packet: u64,
}

/// A way to cut.
struct Cut {
    field: Field,
    bits: Bits,
    /// For each value the lines that ask for it, and those that do not care.
    values: BTreeMap<u128, Vec<usize>>,
    cost: Cost,
}

/// Puts the table into the graph, cut where that pays. `dispatch` is the origin of filters that only lead on.
pub fn cut(graph: &mut Graph, table: &Table, dispatch: usize, scale: Scale) -> TableId {
    let before = graph.len();
    let id = build(graph, table, table.lines.clone(), LEVELS, dispatch, scale);
    let chains = graph.len() - before;
    if chains > 1 {
        let filters = table.lines.iter().map(Line::product).fold(0, u64::saturating_add);
        let text = format!("{filters} filters in one chain -> {chains} chains: each holds what can match there");
        graph.notes.list.push(Note { pass: "cut", at: table.title.clone(), text });
    }
    id
}

fn build(graph: &mut Graph, table: &Table, lines: Vec<Line>, levels: usize, dispatch: usize, scale: Scale) -> TableId {
    let of = |lines, otherwise| Table { frame: table.frame, title: table.title.clone(), lines, otherwise };
    let cut = if levels == 0 { None } else { best(&lines, table, scale) };
    let Some(Cut { field, bits, values, .. }) = cut else { return graph.table(of(lines, table.otherwise.clone())) };
    let mask = bits.mask();
    let goto = |id| Tail { steps: Vec::new(), end: End::Goto(id), rule: dispatch };
    let mut ways: Vec<Line> = Vec::new();
    let mut place: HashMap<TableId, usize> = HashMap::new();
    for (value, rows) in values {
        let here = rows.iter().filter_map(|row| lines.get(*row)).filter_map(|line| within(line, field, value, mask));
        let id = build(graph, table, here.collect(), levels - 1, dispatch, scale);
        let at = *place.entry(id).or_insert_with(|| {
            ways.push(Line { ether: None, sets: vec![(field, Vec::new())], tail: goto(id) });
            ways.len() - 1
        });
        if let Some((_, conds)) = ways.get_mut(at).and_then(|way| way.sets.last_mut()) {
            conds.push(Cond::Bits { value, mask });
        }
    }
    let rest: Vec<Line> = lines.into_iter().filter(|line| bits.leaves_open(line, field)).collect();
    let otherwise = if rest.is_empty() {
        table.otherwise.clone()
    } else {
        goto(build(graph, table, rest, levels - 1, dispatch, scale))
    };
    graph.table(of(ways, otherwise))
}

/// What the line asks of the field.
fn asked(line: &Line, field: Field) -> Option<&[Cond]> {
    line.sets.iter().find(|(known, _)| *known == field).map(|(_, conds)| conds.as_slice())
}

/// The line where the field has this value under the mask; `None` where it cannot match there.
fn within(line: &Line, field: Field, value: u128, mask: u128) -> Option<Line> {
    let mut line = line.clone();
    let here = Cond::Bits { value, mask };
    if let Some((_, conds)) = line.sets.iter_mut().find(|(known, _)| *known == field) {
        conds.retain(|cond| cond.overlaps(here));
        if conds.is_empty() {
            return None;
        }
        if conds.iter().any(|cond| cond.covers(here)) {
            line.sets.retain(|(known, _)| *known != field);
        }
    }
    Some(line)
}

/// The cheapest cut, where one pays.
fn best(lines: &[Line], table: &Table, scale: Scale) -> Option<Cut> {
    let weights = Weights::of(lines, table, scale);
    let flat = weights.cost(0..lines.len(), scale);
    if flat.packet < scale.small {
        return None;
    }
    let most = flat.filters.saturating_add(flat.filters.saturating_mul(scale.growth) / 200);
    let tried = FIELDS.into_iter().flat_map(|field| WIDTHS.map(|width| (field, width)));
    let cuts = tried.filter_map(|(field, width)| weights.weigh(lines, field, width, most, scale));
    let cheapest = cuts.min_by_key(|cut| (cut.cost.packet, cut.cost.filters))?;
    (cheapest.cost.packet <= scale.worth(flat.packet)).then_some(cheapest)
}

/// The bits of an address that a list is cut by. `tc` writes no mask of an address but a prefix, so those above count too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits {
    /// So many bits, from the first one on that lines differ in.
    window: u128,
    /// Those above, and what all lines that ask for them want there.
    above: u128,
    common: u128,
}

impl Bits {
    fn of(lines: &[Line], field: Field, width: u32) -> Option<Self> {
        let conds = || lines.iter().filter_map(|line| asked(line, field)).flatten();
        let (mut ones, mut zeros) = (0, 0);
        for cond in conds() {
            let Cond::Bits { value, mask } = *cond else { return None };
            ones |= value;
            zeros |= mask & !value;
        }
        let top = (ones & zeros).checked_ilog2()?;
        let low = (top + 1).saturating_sub(width);
        let window = (low..=top).fold(0, |mask, bit| mask | 1u128 << bit);
        let full = field.row().full_mask();
        let above = full & !(window | ((1u128 << low) - 1));
        Some(Self { window, above, common: ones & above })
    }

    const fn mask(self) -> u128 {
        self.window | self.above
    }

    /// Whether the line can match where none of the values is that lines ask for.
    fn leaves_open(self, line: &Line, field: Field) -> bool {
        let wide = |cond: &Cond| cond.mask().is_none_or(|mask| mask & self.above != self.above);
        asked(line, field).is_none_or(|conds| conds.iter().any(wide))
    }
}

/// The masks of each line, with its filters under each.
struct Weights {
    masks: Vec<Vec<(usize, u64)>>,
    /// For each mask, whether it has ranges.
    ranges: Vec<bool>,
}

impl Weights {
    fn of(lines: &[Line], table: &Table, scale: Scale) -> Self {
        let list = Table { lines: lines.to_vec(), ..Table::clone(table) };
        let view = Lines { table: &list, scale };
        let mut names = HashMap::new();
        let mut ranges = Vec::new();
        let mut masks = Vec::with_capacity(lines.len());
        for (at, line) in lines.iter().enumerate() {
            let shapes = view.shapes(Item::new(at)).into_iter().map(|(shape, count)| {
                let name = *names.entry((line.ether, shape)).or_insert_with_key(|(_, shape)| {
                    ranges.push(shape.iter().any(|(_, mask)| mask.is_none()));
                    ranges.len() - 1
                });
                (name, count)
            });
            masks.push(shapes.collect());
        }
        Self { masks, ranges }
    }

    /// What these lines cost as one chain.
    fn cost(&self, rows: impl Iterator<Item = usize>, scale: Scale) -> Cost {
        let mut seen = BTreeSet::new();
        let mut cost = Cost::default();
        for (mask, count) in rows.filter_map(|row| self.masks.get(row)).flatten() {
            cost.filters = cost.filters.saturating_add(*count);
            if seen.insert(mask) {
                cost.packet = cost.packet.saturating_add(scale.visit);
            }
            if self.ranges.get(*mask) == Some(&true) {
                cost.packet = cost.packet.saturating_add(count.saturating_mul(scale.visit) / 40);
            }
        }
        cost
    }

    /// The cut by so many bits of this field; `None` where it would take more filters than that, or where there is nothing to cut.
    fn weigh(&self, lines: &[Line], field: Field, width: u32, most: u64, scale: Scale) -> Option<Cut> {
        let bits = Bits::of(lines, field, width)?;
        let mut values: BTreeMap<u128, Vec<usize>> = BTreeMap::new();
        let (mut free, mut rest) = (Vec::new(), Vec::new());
        for (row, line) in lines.iter().enumerate() {
            if bits.leaves_open(line, field) {
                rest.push(row);
            }
            let Some(conds) = asked(line, field) else {
                free.push(row);
                continue;
            };
            for cond in conds {
                let Cond::Bits { value, mask: own } = *cond else { return None };
                for open in values_within(bits.window & !own) {
                    let rows = values.entry(bits.common | (value & bits.window) | open).or_default();
                    if rows.last() != Some(&row) {
                        rows.push(row);
                    }
                }
            }
        }
        if values.len() < 2 {
            return None;
        }
        // A line is as likely as another to be the one that a packet meets.
        let (mut filters, mut packet, mut weight) = (0u64, 0u64, 0u64);
        let mut take = |cost: Cost, own: usize| {
            filters = filters.saturating_add(cost.filters).saturating_add(scale.chain + 1);
            packet = packet.saturating_add(cost.packet.saturating_mul(own as u64));
            weight += own as u64;
        };
        take(self.cost(rest.iter().copied(), scale), rest.len());
        for rows in values.values_mut() {
            let own = rows.len();
            rows.extend_from_slice(&free);
            rows.sort_unstable();
            take(self.cost(rows.iter().copied(), scale), own);
        }
        let packet = packet / weight.max(1) + scale.visit + scale.goto;
        (filters <= most).then_some(Cut { field, bits, values, cost: Cost { filters, packet } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::value::ones;

    fn line(value: u128, length: u8) -> Line {
        let mask = ones(32) & !ones(32 - length);
        let tail = Tail { steps: Vec::new(), end: End::Pass, rule: 0 };
        Line { ether: None, sets: vec![(Field::Ipv4Src, vec![Cond::Bits { value, mask }])], tail }
    }

    #[test]
    fn a_list_is_cut_by_a_prefix_below_what_its_lines_have_in_common() {
        let lines = [line(0x0a00_0000, 16), line(0x0a40_0000, 24), line(0x0a80_0000, 16), line(0, 4)];
        let bits = Bits::of(&lines, Field::Ipv4Src, 2).unwrap();
        assert_eq!(bits, Bits { window: 0x00c0_0000, above: 0xff00_0000, common: 0x0a00_0000 });
        assert_eq!(lines.each_ref().map(|line| bits.leaves_open(line, Field::Ipv4Src)), [false, false, false, true]);
    }
}
