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
    mask: u128,
    /// For each value the lines that ask for it, and those that do not care.
    values: BTreeMap<u128, Vec<usize>>,
    cost: Cost,
}

/// Puts the table into the graph, cut where that pays. `dispatch` is the origin of filters that only lead on.
pub fn cut(graph: &mut Graph, table: &Table, dispatch: usize, scale: Scale) -> TableId {
    let before = graph.len();
    let masks = Weights::of(&table.lines, table, scale).cost(0..table.lines.len(), scale);
    let (lines, title) = (table.lines.clone(), table.title.clone());
    let id = build(graph, table, lines, LEVELS, dispatch, scale);
    let chains = graph.len() - before;
    if chains > 1 {
        let text =
            format!("{} filters in one chain -> {chains} chains: each holds what can match there", masks.filters);
        graph.notes.list.push(Note { pass: "cut", at: title, text });
    }
    id
}

fn build(graph: &mut Graph, table: &Table, lines: Vec<Line>, levels: usize, dispatch: usize, scale: Scale) -> TableId {
    let of = |lines, otherwise| Table { frame: table.frame, title: table.title.clone(), lines, otherwise };
    let cut = if levels == 0 { None } else { best(&lines, table, scale) };
    let Some(Cut { field, mask, values, .. }) = cut else { return graph.table(of(lines, table.otherwise.clone())) };
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
    let rest: Vec<Line> = lines.into_iter().filter(|line| asked(line, field).is_none()).collect();
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

/// The bits, so many, from the first one on that lines differ in.
fn bits(lines: &[Line], field: Field, width: u32) -> Option<u128> {
    let mut conds = lines.iter().filter_map(|line| asked(line, field)).flatten();
    let Some(Cond::Bits { value: first, mask: known }) = conds.next().copied() else { return None };
    let differ = conds.fold(0, |differ, cond| match cond {
        Cond::Bits { value, mask } => differ | ((value ^ first) & mask & known),
        Cond::Range { .. } => differ,
    });
    let top = differ.checked_ilog2()?;
    let low = (top + 1).saturating_sub(width);
    Some((low..=top).fold(0, |mask, bit| mask | 1u128 << bit))
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
        let mask = bits(lines, field, width)?;
        let mut values: BTreeMap<u128, Vec<usize>> = BTreeMap::new();
        let mut free = Vec::new();
        for (row, line) in lines.iter().enumerate() {
            let Some(conds) = asked(line, field) else {
                free.push(row);
                continue;
            };
            for cond in conds {
                let Cond::Bits { value, mask: own } = *cond else { return None };
                for open in values_within(mask & !own) {
                    let rows = values.entry(value & mask | open).or_default();
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
        let rest = self.cost(free.iter().copied(), scale);
        let mut take = |cost: Cost, own: usize| {
            filters = filters.saturating_add(cost.filters).saturating_add(scale.chain + 1);
            packet = packet.saturating_add(cost.packet.saturating_mul(own as u64));
            weight += own as u64;
        };
        take(rest, free.len());
        for rows in values.values_mut() {
            let own = rows.len();
            rows.extend_from_slice(&free);
            rows.sort_unstable();
            take(self.cost(rows.iter().copied(), scale), own);
        }
        let packet = packet / weight.max(1) + scale.visit + scale.goto;
        (filters <= most).then_some(Cut { field, mask, values, cost: Cost { filters, packet } })
    }
}
