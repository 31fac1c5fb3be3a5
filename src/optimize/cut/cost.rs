//! What a list of lines costs as one chain, and cut: an estimate, in time that grows with the lines.

use std::collections::HashMap;
use std::hash::Hasher;

use super::sorted::{Asking, Sorted};
use crate::field::{Cond, Field};
use crate::hash::Fnv;
use crate::ir::graph::Line;
use crate::optimize::price::Scale;

/// Filters, and what packets pay, in hundredths of a lookup (as [`Scale::visit`] has it).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub filters: u64,
    /// Of a packet that one of the lines decides, each as likely as another.
    pub mean: u64,
    /// Of a packet that none of them decides, in the mean.
    pub full: u64,
    /// Of the dearest packet.
    pub worst: u64,
}

impl Cost {
    /// What is weighed.
    pub const fn packet(self) -> u64 {
        (self.mean.saturating_add(self.worst.saturating_mul(2))) / 3
    }

    /// The lists one after the other, where so many lines are in each.
    pub fn then(self, lines: u64, next: Self, next_lines: u64, scale: Scale) -> Self {
        let passed = self.full + scale.goto;
        let sum = self.mean.saturating_mul(lines).saturating_add((passed + next.mean).saturating_mul(next_lines));
        Self {
            filters: self.filters.saturating_add(next.filters),
            mean: sum / (lines + next_lines).max(1),
            full: passed + next.full,
            worst: self.worst + scale.goto + next.worst,
        }
    }
}

/// A line in a chain.
#[derive(Clone, Copy, Default)]
struct Row {
    /// Its mask.
    name: usize,
    /// How many masks it has: some fields are asked under several.
    masks: u64,
    filters: u64,
    ranges: bool,
}

/// The lines of a list.
pub(super) struct Weights {
    plain: Vec<Row>,
    /// The same where a field is known, for lines that ask it.
    known: Vec<Vec<(Field, Row)>>,
    /// Masks by their hashes.
    names: HashMap<u64, usize>,
}

impl Weights {
    pub fn of(lines: &[Line]) -> Self {
        let mut weights = Self { plain: Vec::with_capacity(lines.len()), known: Vec::new(), names: HashMap::new() };
        for line in lines {
            let row = weights.name(row(line, None));
            weights.plain.push(row);
        }
        weights
    }

    /// Weighs the lines where one of these fields is known, too.
    pub fn know(&mut self, lines: &[Line], fields: &[Field]) {
        self.known = Vec::with_capacity(lines.len());
        for line in lines {
            let asked = line.sets.iter().map(|(field, _)| *field).filter(|field| fields.contains(field));
            let known = asked.map(|field| (field, self.name(row(line, Some(field))))).collect();
            self.known.push(known);
        }
    }

    fn name(&mut self, (row, hash): (Row, u64)) -> Row {
        let next = self.names.len();
        Row { name: *self.names.entry(hash).or_insert(next), ..row }
    }

    /// What these lines cost as one chain.
    pub fn flat(&self, rows: impl Iterator<Item = usize>, scale: Scale) -> Cost {
        let mut chain = Chain::new(self.names.len(), scale);
        chain.start();
        rows.filter_map(|row| self.plain.get(row)).for_each(|row| chain.add(*row));
        chain.cost()
    }

    /// What a cut costs; the filters of each value are noted there.
    pub fn cut(&self, sorted: &mut Sorted, field: Field, scale: Scale) -> Cost {
        let mut chain = Chain::new(self.names.len(), scale);
        sorted.free.iter().filter_map(|row| self.plain.get(*row)).for_each(|row| chain.add_everywhere(*row));
        let mut all = Cost::default();
        let mut weight = 0u64;
        let mut take = |cost: Cost, own: usize| {
            let own = own as u64;
            all.filters = all.filters.saturating_add(cost.filters).saturating_add(scale.chain + 1);
            all.mean = all.mean.saturating_add(cost.mean.saturating_mul(own));
            all.full = all.full.saturating_add(cost.full.saturating_mul(own));
            all.worst = all.worst.max(cost.worst);
            weight += own;
            cost.filters
        };
        for (_, rows) in &sorted.values {
            chain.start();
            rows.iter().filter_map(|asking| self.knowing(asking, field)).for_each(|row| chain.add(row));
            sorted.filters.push(take(chain.cost(), rows.len()));
        }
        let mut chain = Chain::new(self.names.len(), scale);
        chain.start();
        sorted.rest.iter().filter_map(|asking| self.knowing(asking, field)).for_each(|row| chain.add(row));
        let mut rest = chain.cost();
        // The chain's last filter leads there.
        rest.mean += scale.visit;
        rest.full += scale.visit;
        rest.worst += scale.visit;
        sorted.rest_filters = take(rest, sorted.rest.len());
        let way = scale.visit + scale.goto;
        let weight = weight.max(1);
        Cost { mean: all.mean / weight + way, full: all.full / weight + way, worst: all.worst + way, ..all }
    }

    /// The line where this is known of the field.
    fn knowing(&self, asking: &Asking, field: Field) -> Option<Row> {
        if asking.conds == 0 {
            return self.plain.get(asking.row).copied();
        }
        let known = self.known.get(asking.row)?.iter().find(|(known, _)| *known == field).map(|(_, row)| *row)?;
        if asking.known {
            return Some(known);
        }
        let plain = self.plain.get(asking.row)?;
        Some(Row { filters: known.filters.saturating_mul(asking.conds), ..*plain })
    }
}

/// A chain that is added up.
struct Chain {
    scale: Scale,
    round: u32,
    /// The round in which each mask was met last.
    met: Vec<u32>,
    /// What stands in every chain, and what in this one.
    free: (u64, u64),
    own: (u64, u64),
}

/// The round of what stands in every chain.
const EVERYWHERE: u32 = u32::MAX;

impl Chain {
    fn new(names: usize, scale: Scale) -> Self {
        Self { scale, round: 0, met: vec![0; names], free: (0, 0), own: (0, 0) }
    }

    fn start(&mut self) {
        self.round += 1;
        self.own = self.free;
    }

    fn add(&mut self, row: Row) {
        Self::count(&mut self.met, &mut self.own, row, self.round, self.scale);
    }

    fn add_everywhere(&mut self, row: Row) {
        Self::count(&mut self.met, &mut self.free, row, EVERYWHERE, self.scale);
    }

    fn count(met: &mut [u32], sum: &mut (u64, u64), row: Row, round: u32, scale: Scale) {
        let (filters, packet) = sum;
        *filters = filters.saturating_add(row.filters);
        if let Some(last) = met.get_mut(row.name).filter(|last| ![round, EVERYWHERE].contains(*last)) {
            *last = round;
            *packet = packet.saturating_add(scale.visit.saturating_mul(row.masks));
        }
        if row.ranges {
            // A fortieth of a lookup for each that is walked (performance.md 2.2).
            *packet = packet.saturating_add(row.filters.saturating_mul(scale.visit) / 40);
        }
    }

    const fn cost(&self) -> Cost {
        let (filters, packet) = self.own;
        let full = packet.saturating_add(self.scale.visit);
        Cost { filters, mean: u64::midpoint(packet, self.scale.visit), full, worst: full }
    }
}

/// The line, and a hash of its masks.
fn row(line: &Line, without: Option<Field>) -> (Row, u64) {
    let layer4 = |field: &Field| field.is_layer4() && Some(*field) != without;
    let needs_proto = line.sets.iter().any(|(field, _)| layer4(field));
    // With a port its protocol is known.
    let proto_known = without.is_some_and(|field| field == Field::IpProto || field.is_layer4()) && !needs_proto;
    let mut hasher = Fnv::default();
    hasher.write_u16(line.ether.unwrap_or_default());
    let mut row = Row { name: 0, masks: 1, filters: 1, ranges: false };
    for (field, conds) in &line.sets {
        let kept = *field == Field::IpProto && needs_proto;
        if (Some(*field) == without && !kept) || (*field == Field::IpProto && proto_known) {
            continue;
        }
        row.filters = row.filters.saturating_mul(conds.len() as u64);
        hasher.write_usize(*field as usize);
        let mut masks: Vec<Option<u128>> = conds.iter().map(|cond| rough(*cond, *field)).collect();
        if masks.len() > 1 {
            masks.sort_unstable();
            masks.dedup();
        }
        row.masks = row.masks.saturating_mul(masks.len() as u64);
        for mask in masks {
            row.ranges |= mask.is_none();
            hasher.write_u128(mask.unwrap_or_default());
        }
    }
    (row, hasher.finish())
}

/// The mask of a condition, as it may become by merging: the lengths of prefixes in steps of two bits.
fn rough(cond: Cond, field: Field) -> Option<u128> {
    let mask = cond.mask()?;
    let host = field.row().full_mask() & !mask;
    let prefix = host & host.wrapping_add(1) == 0;
    let bits = host.count_ones() & !1;
    Some(if prefix && field.row().bits >= 32 { field.row().full_mask() & !((1u128 << bits) - 1) } else { mask })
}
