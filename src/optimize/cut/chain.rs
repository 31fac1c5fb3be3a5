//! What a chain costs, line by line: an estimate.

use std::hash::Hasher;

use crate::emit::cost::model;
use crate::field::{Cond, Field};
use crate::hash::Fnv;
use crate::ir::graph::Line;
use crate::optimize::blocks::block;
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

    /// Adds what other packets pay, in another chain.
    pub const fn add(&mut self, other: Self) {
        self.filters = self.filters.saturating_add(other.filters);
        self.weight += other.weight;
        self.sum = self.sum.saturating_add(other.sum);
        self.full = self.full.saturating_add(other.full.saturating_mul(other.weight));
    }
}

/// A line in a chain.
#[derive(Clone, Copy, Default)]
pub(super) struct Row {
    /// Its mask.
    pub name: usize,
    /// How many masks it has: some fields are asked under several.
    pub masks: u64,
    pub filters: u64,
    /// What a packet pays for each of its filters with ranges, in hundredths of a lookup.
    pub walk: u64,
}

/// A chain that is added up.
pub(super) struct Chain {
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
}

impl Chain {
    pub fn new(names: usize, scale: Scale) -> Self {
        let (free, own) = (Sum::default(), Sum::default());
        Self { scale, round: 0, met: vec![(0, 0); names], everywhere: vec![None; names], free, own }
    }

    /// Begins another chain.
    pub fn start(&mut self) {
        self.round += 1;
        self.own = self.free;
    }

    /// Adds a line, with so many packets.
    pub fn add(&mut self, row: Row, weight: u64) {
        let everywhere = self.everywhere.get(row.name).copied().flatten();
        let Some((round, packets)) = self.met.get_mut(row.name) else { return };
        let new = *round != self.round;
        if new {
            (*round, *packets) = (self.round, everywhere.unwrap_or(0));
        }
        self.own.add(row, weight, *packets, new && everywhere.is_none(), self.scale);
        *packets += weight;
    }

    /// Adds a line that stands in all chains.
    pub fn add_everywhere(&mut self, row: Row, weight: u64) {
        let Some(packets) = self.everywhere.get_mut(row.name) else { return };
        self.free.add(row, weight, packets.unwrap_or(0), packets.is_none(), self.scale);
        *packets = Some(packets.unwrap_or(0) + weight);
    }

    /// The packets of all its lines.
    pub const fn packets(&self) -> u64 {
        self.own.weight
    }

    /// What it costs packets that paid so much before, and pay this for the way to it.
    pub fn cost(&self, missing: Missing, before: u64, way: u64) -> Cost {
        let Sum { filters, masks, walked, weight, squares } = self.own;
        let visit = self.scale.visit;
        let full = masks.saturating_add(walked).saturating_add(visit);
        // Where all of `n` masks have as many packets each, the mean one is found at the (n + 1) / 2nd.
        let even = u128::from(weight) * u128::from(weight) * u128::from(visit) / squares.max(1);
        let found = u64::midpoint(u64::try_from(even).unwrap_or(u64::MAX).min(masks), visit) + walked / 2;
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
        self.walked =
            self.walked.saturating_add(row.filters.saturating_mul(row.walk).saturating_mul(scale.visit) / 100);
        self.weight += weight;
        self.squares += u128::from(weight) * (2 * u128::from(packets) + u128::from(weight));
    }
}

/// The line, and a hash of its masks.
pub(super) fn row(line: &Line, without: Option<Field>) -> (Row, u64) {
    let layer4 = |field: &Field| field.is_layer4() && Some(*field) != without;
    let needs_proto = line.sets.iter().any(|(field, _)| layer4(field));
    // With a port its protocol is known.
    let proto_known = without.is_some_and(|field| field == Field::IpProto || field.is_layer4()) && !needs_proto;
    let mut hasher = Fnv::default();
    hasher.write_u16(line.ether.unwrap_or_default());
    let mut row = Row { name: 0, masks: 1, filters: 1, walk: 0 };
    for (field, conds) in &line.sets {
        let kept = *field == Field::IpProto && needs_proto;
        if (Some(*field) == without && !kept) || (*field == Field::IpProto && proto_known) {
            continue;
        }
        row.filters = row.filters.saturating_mul(conds.len() as u64);
        row.walk = conds.iter().map(walk).max().unwrap_or(0).max(row.walk);
        hasher.write_usize(*field as usize);
        let mut masks: Vec<Option<u128>> = conds.iter().map(|cond| rough(*cond, *field)).collect();
        if masks.len() > 1 {
            masks.sort_unstable();
            masks.dedup();
        }
        row.masks = row.masks.saturating_mul(masks.len() as u64);
        for mask in masks {
            hasher.write_u128(mask.unwrap_or_default());
        }
    }
    (row, hasher.finish())
}

/// Ranges of so few blocks are written out as these, where many would be walked.
const BLOCKS_FEW: u64 = 64;

/// What comparing a packet with a range costs in the mean, in hundredths of a lookup (of 800 instructions): where its port is in the range,
/// the other keys are looked up.
fn walk(cond: &Cond) -> u64 {
    let Cond::Range { lo, hi } = *cond else { return 0 };
    let width = u64::from(hi.saturating_sub(lo)) + 1;
    let found = if width >> block(lo, hi) > BLOCKS_FEW { model::RANGE_LOOKUP * width / (1 << 16) } else { 0 };
    (model::RANGE_FILTER + found) / 8
}

/// The mask of a condition, as it may become by merging: the lengths of prefixes in steps of two bits.
fn rough(cond: Cond, field: Field) -> Option<u128> {
    let mask = cond.mask()?;
    let host = field.row().full_mask() & !mask;
    let prefix = host & host.wrapping_add(1) == 0;
    let bits = host.count_ones() & !1;
    Some(if prefix && field.row().bits >= 32 { field.row().full_mask() & !((1u128 << bits) - 1) } else { mask })
}
