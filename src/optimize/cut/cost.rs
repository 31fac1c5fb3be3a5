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
    /// Packets that come here, in parts of those of a line ([`super::tree`]).
    pub weight: u64,
    /// What all of them pay, and what a dear one counts for beyond that.
    pub sum: u64,
    /// What one pays in the mean that none of the lines decides.
    pub full: u64,
}

/// Packets that no line of a list decides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missing {
    /// Those that miss a line by little: by one address or port.
    pub near: u64,
    /// All others.
    pub far: u64,
}

impl Missing {
    /// Those that ask for a value of some bits, where so many of all packets do.
    pub fn within(self, own: u64, all: u64) -> Self {
        let near = self.share(own, all);
        // That which they miss may be what the values tell apart.
        Self { near: near - near / 4, far: 0 }
    }

    /// Those that meet a list of `own` packets first, before another of `last`.
    pub fn first(self, own: u64, last: u64) -> Self {
        let near = self.share(own, own + last);
        Self { near, far: self.far + self.near.saturating_sub(near) + last }
    }

    /// Those that meet another list of `last` packets after one of `own`.
    pub fn last(self, own: u64, last: u64) -> Self {
        let near = self.share(last, own + last);
        Self { near, far: self.far + self.near.saturating_sub(near) }
    }

    /// Those near to `own` of `all` packets.
    fn share(self, own: u64, all: u64) -> u64 {
        let near = u128::from(self.near) * u128::from(own) / u128::from(all.max(1));
        u64::try_from(near).unwrap_or(u64::MAX)
    }

    const fn all(self) -> u64 {
        self.near + self.far
    }
}

/// Lines that ask for so few bits share packets with most others, so that their masks cannot be put together: a mask is met for
/// each of their runs, but for those that order themselves (two in five were left on ClassBench's acl1).
const WIDE_BITS: u32 = 24;

/// A packet that pays so much (in hundredths of a lookup) counts for half as much again.
const STEEP: u64 = 4_000;

impl Cost {
    /// What one packet pays.
    pub fn packet(self) -> u64 {
        self.sum / self.weight.max(1)
    }

    /// The lists one after the other.
    pub fn then(self, next: Self, scale: Scale) -> Self {
        Self {
            filters: self.filters.saturating_add(next.filters),
            weight: self.weight,
            sum: self.sum.saturating_add(next.sum).saturating_add(scale.goto.saturating_mul(next.weight)),
            full: self.full + scale.goto + next.full,
        }
    }

    const fn add(&mut self, other: Self) {
        self.filters = self.filters.saturating_add(other.filters);
        self.weight += other.weight;
        self.sum = self.sum.saturating_add(other.sum);
        self.full = self.full.saturating_add(other.full.saturating_mul(other.weight));
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
    /// Whether it asks for few bits of addresses.
    wide: bool,
}

/// The lines of a list.
pub(super) struct Weights<'a> {
    /// The packets of each.
    own: &'a [u64],
    plain: Vec<Row>,
    /// The same where a field is known, for lines that ask it.
    known: Vec<Vec<(Field, Row)>>,
    /// Masks by their hashes.
    names: HashMap<u64, usize>,
}

impl<'a> Weights<'a> {
    pub fn of(lines: &[Line], own: &'a [u64]) -> Self {
        let mut weights =
            Self { own, plain: Vec::with_capacity(lines.len()), known: Vec::new(), names: HashMap::new() };
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

    /// The packets of these lines.
    pub fn own(&self, from: usize, to: usize) -> &'a [u64] {
        self.own.get(from..to).unwrap_or_default()
    }

    fn name(&mut self, (row, hash): (Row, u64)) -> Row {
        let next = self.names.len();
        Row { name: *self.names.entry(hash).or_insert(next), ..row }
    }

    /// What these lines cost as one chain, for packets that have paid so much `before`.
    pub fn flat(&self, rows: impl Iterator<Item = usize>, missing: Missing, before: u64, scale: Scale) -> Cost {
        let mut chain = Chain::new(self.names.len(), scale);
        chain.start();
        let both = rows.filter_map(|row| self.plain.get(row).zip(self.own.get(row)));
        both.for_each(|(row, weight)| chain.add(*row, *weight));
        chain.cost(missing, before, 0)
    }

    /// What a cut costs.
    pub fn cut(&self, sorted: &Sorted, field: Field, missing: Missing, before: u64, scale: Scale) -> Cost {
        let packets = sorted.packets();
        let mut beyond = missing;
        let mut chain = Chain::new(self.names.len(), scale);
        for free in &sorted.free {
            if let Some(row) = self.plain.get(free.row) {
                chain.add_everywhere(*row, free.weight);
            }
        }
        let way = scale.visit + scale.goto;
        let mut all = Cost::default();
        let mut take = |cost: Cost| {
            all.add(cost);
            all.filters = all.filters.saturating_add(scale.chain + 1);
        };
        for (_, rows) in &sorted.values {
            chain.start();
            self.fill(&mut chain, rows, field);
            let own = missing.within(chain.own.weight, packets);
            beyond.near = beyond.near.saturating_sub(own.near);
            take(chain.cost(own, before, way));
        }
        let mut chain = Chain::new(self.names.len(), scale);
        chain.start();
        self.fill(&mut chain, &sorted.rest, field);
        // The chain's last filter leads there.
        take(chain.cost(beyond, before, way + scale.visit));
        Cost { full: all.full / all.weight.max(1), ..all }
    }

    fn fill(&self, chain: &mut Chain, rows: &[Asking], field: Field) {
        for asking in rows {
            if let Some(row) = self.knowing(asking, field) {
                chain.add(row, asking.weight);
            }
        }
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
    /// The round in which each mask was met last, and its packets there.
    met: Vec<(u32, u64)>,
    /// The packets of each mask that stands in every chain.
    everywhere: Vec<Option<u64>>,
    /// What stands in every chain, and what in this one.
    free: Sum,
    own: Sum,
}

/// Filters, what a packet pays that meets them all, packets, and the sum of the squares of the packets of each mask.
#[derive(Clone, Copy, Default)]
struct Sum {
    filters: u64,
    masks: u64,
    walked: u64,
    weight: u64,
    squares: u128,
    /// Runs of one mask among the lines that most others share packets with.
    runs: u64,
    last: usize,
}

impl Chain {
    fn new(names: usize, scale: Scale) -> Self {
        let (free, own) = (Sum::default(), Sum::default());
        Self { scale, round: 0, met: vec![(0, 0); names], everywhere: vec![None; names], free, own }
    }

    fn start(&mut self) {
        self.round += 1;
        self.own = self.free;
    }

    fn add(&mut self, row: Row, weight: u64) {
        let everywhere = self.everywhere.get(row.name).copied().flatten();
        let Some((round, packets)) = self.met.get_mut(row.name) else { return };
        let new = *round != self.round;
        if new {
            (*round, *packets) = (self.round, everywhere.unwrap_or(0));
        }
        self.own.add(row, weight, *packets, new && everywhere.is_none(), self.scale);
        *packets += weight;
    }

    fn add_everywhere(&mut self, row: Row, weight: u64) {
        let Some(packets) = self.everywhere.get_mut(row.name) else { return };
        self.free.add(row, weight, packets.unwrap_or(0), packets.is_none(), self.scale);
        *packets = Some(packets.unwrap_or(0) + weight);
    }

    /// What it costs packets that paid so much before, and pay this for the way to it.
    fn cost(&self, missing: Missing, before: u64, way: u64) -> Cost {
        let Sum { filters, masks, walked, weight, squares, runs, .. } = self.own;
        let visit = self.scale.visit;
        let again = runs.saturating_sub(1) * visit * 2 / 5;
        let full = masks.max(again).saturating_add(walked).saturating_add(visit);
        // Where all of `n` masks have as many packets each, the mean one is found at the (n + 1) / 2nd.
        let even = u128::from(weight) * u128::from(weight) * u128::from(visit) / squares.max(1);
        let found =
            u64::midpoint(u64::try_from(even).unwrap_or(u64::MAX).min(masks), visit).max(again / 2) + walked / 2;
        let dear = |packet: u64| {
            let all = before + packet;
            packet.saturating_add(all.saturating_mul(all) / (2 * STEEP))
        };
        let missing = missing.all().max(1);
        let sum = dear(way + found).saturating_mul(weight).saturating_add(dear(way + full).saturating_mul(missing));
        Cost { filters, weight: weight + missing, sum, full: way + full }
    }
}

impl Sum {
    /// Adds a line, where the mask has so many packets already.
    fn add(&mut self, row: Row, weight: u64, packets: u64, new: bool, scale: Scale) {
        self.filters = self.filters.saturating_add(row.filters);
        if new {
            self.masks = self.masks.saturating_add(scale.visit.saturating_mul(row.masks));
        }
        if row.ranges {
            // A fortieth of a lookup for each that is walked (performance.md 2.2).
            self.walked = self.walked.saturating_add(row.filters.saturating_mul(scale.visit) / 40);
        }
        if row.wide && self.last != row.name {
            self.runs += 1;
            self.last = row.name;
        }
        self.weight += weight;
        self.squares += u128::from(weight) * (2 * u128::from(packets) + u128::from(weight));
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
    let mut row = Row { name: 0, masks: 1, filters: 1, ranges: false, wide: false };
    let mut asked = 0;
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
        if field.row().bits >= 32 {
            asked += conds.iter().filter_map(|cond| cond.mask()).map(u128::count_ones).max().unwrap_or(0);
        } else {
            asked += 8;
        }
        for mask in masks {
            row.ranges |= mask.is_none();
            hasher.write_u128(mask.unwrap_or_default());
        }
    }
    row.wide = asked <= WIDE_BITS;
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
