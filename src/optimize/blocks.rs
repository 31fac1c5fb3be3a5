//! Ranges of ports as blocks.
//!
//! ```text
//! before   dst_port 1000-1019, dst_port 2000-2009       a list that every packet walks, and no NIC takes
//! after    dst_port 1000/0xfffe, 1002/0xfffe ...        one mask, one lookup, fifteen filters
//! ```
//!
//! The filters of a mask with ranges become all the blocks of one size that their ranges are made of: the largest size that fits all of them.
//! The blocks of a range match the same packets, do the same, and stand at its place: no verdict changes.

use std::collections::BTreeMap;

use super::masks::Kind;
use super::price::Scale;
use super::prios::{Placed, Shape, shape_of};
use crate::emit::linearize::product;
use crate::field::value::ones;
use crate::field::{Cond, Field, Key};

/// Filters of one mask with ranges, and what becomes of them as blocks.
pub struct Ranged {
    /// Filters.
    pub count: u64,
    /// For each field with a range the size of block that fits all.
    sizes: BTreeMap<Field, u32>,
    /// Blocks.
    pub written: u64,
}

impl Ranged {
    /// Whether blocks are cheaper. A mask with ranges is as cheap as another where nothing fits, three times as dear where one does, and a
    /// fortieth more for each that is walked (performance.md 2.2).
    #[must_use]
    pub const fn worth(&self, scale: Scale) -> bool {
        let more = self.written.saturating_sub(self.count);
        more <= scale.mask * 2 / 3 + self.count.saturating_mul(scale.mask) / 40
    }

    /// The mask of the blocks.
    #[must_use]
    pub fn shape(&self, shape: &Shape) -> Shape {
        let bits = |(field, mask): &(Field, Option<u128>)| {
            (*field, mask.or_else(|| self.sizes.get(field).map(|size| block_mask(*size))))
        };
        shape.iter().map(bits).collect()
    }
}

/// The masks with ranges among those of these filters.
#[must_use]
pub fn ranged(filters: &[(u16, Placed)]) -> BTreeMap<Kind, Ranged> {
    let mut ranged: BTreeMap<Kind, Ranged> = BTreeMap::new();
    let lists = || filters.iter().filter(|(_, filter)| filter.keys.iter().any(|key| key.cond.mask().is_none()));
    for (protocol, filter) in lists() {
        let new = || Ranged { count: 0, sizes: BTreeMap::new(), written: 0 };
        let own = ranged.entry((*protocol, shape_of(&filter.keys))).or_insert_with(new);
        own.count += 1;
        for key in &filter.keys {
            if let Cond::Range { lo, hi } = key.cond {
                let size = own.sizes.entry(key.field).or_insert(u32::MAX);
                *size = (*size).min(block(lo, hi));
            }
        }
    }
    for (protocol, filter) in lists() {
        if let Some(own) = ranged.get_mut(&(*protocol, shape_of(&filter.keys))) {
            own.written += filter.keys.iter().fold(1u64, |product, key| product * blocks_of(key, &own.sizes));
        }
    }
    ranged
}

/// Ranges as all their blocks of one size, mask by mask, where that is cheaper.
#[must_use]
pub fn blocks(filters: Vec<(u16, Placed)>, scale: Scale) -> Vec<(u16, Placed)> {
    let mut ranged = ranged(&filters);
    ranged.retain(|_, own| own.worth(scale));
    if ranged.is_empty() {
        return filters;
    }
    let mut out = Vec::with_capacity(filters.len());
    for (protocol, filter) in filters {
        match ranged.get(&(protocol, shape_of(&filter.keys))) {
            Some(Ranged { sizes, .. }) => {
                let sets: Vec<_> = filter.keys.iter().map(|key| (key.field, conds_of(key, sizes))).collect();
                product(&sets, &mut |keys| out.push((protocol, Placed { keys: keys.to_vec(), ..filter })));
            }
            None => out.push((protocol, filter)),
        }
    }
    out
}

/// The size, in bits, of the largest blocks that a range is made of exactly.
pub fn block(lo: u16, hi: u16) -> u32 {
    let above = u32::from(hi) + 1;
    u32::from(lo).trailing_zeros().min(above.trailing_zeros()).min(16)
}

fn block_mask(size: u32) -> u128 {
    ones(16) & !ones(u8::try_from(size).unwrap_or(0))
}

fn blocks_of(key: &Key, sizes: &BTreeMap<Field, u32>) -> u64 {
    match (key.cond, sizes.get(&key.field)) {
        (Cond::Range { lo, hi }, Some(size)) => (u64::from(hi) + 1 - u64::from(lo)) >> size,
        _ => 1,
    }
}

fn conds_of(key: &Key, sizes: &BTreeMap<Field, u32>) -> Vec<Cond> {
    match (key.cond, sizes.get(&key.field)) {
        (Cond::Range { lo, hi }, Some(size)) => {
            let mask = block_mask(*size);
            let first = u128::from(lo) >> size;
            let last = u128::from(hi) >> size;
            (first..=last).map(|block| Cond::Bits { value: block << size, mask }).collect()
        }
        (cond, _) => vec![cond],
    }
}
