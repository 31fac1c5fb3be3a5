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

use super::kinds::Kinds;
use super::masks::Kind;
use super::price::Scale;
use super::prios::{Placed, Shape};
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
    let (numbers, kinds) = Kinds::of(filters);
    own(filters, &numbers, &kinds).into_iter().zip(kinds).filter_map(|(own, kind)| Some((kind, own?))).collect()
}

/// The same, for each kind of filters: `None` where it has no ranges.
fn own(filters: &[(u16, Placed)], numbers: &[usize], kinds: &[Kind]) -> Vec<Option<Ranged>> {
    let new = || Ranged { count: 0, sizes: BTreeMap::new(), written: 0 };
    let has_ranges = |(_, shape): &Kind| shape.iter().any(|(_, mask)| mask.is_none());
    let mut ranged: Vec<Option<Ranged>> = kinds.iter().map(|kind| has_ranges(kind).then(new)).collect();
    for ((_, filter), kind) in filters.iter().zip(numbers) {
        let Some(Some(own)) = ranged.get_mut(*kind) else { continue };
        own.count += 1;
        for key in &filter.keys {
            if let Cond::Range { lo, hi } = key.cond {
                let size = own.sizes.entry(key.field).or_insert(u32::MAX);
                *size = (*size).min(block(lo, hi));
            }
        }
    }
    for ((_, filter), kind) in filters.iter().zip(numbers) {
        if let Some(Some(own)) = ranged.get_mut(*kind) {
            own.written += filter.keys.iter().fold(1u64, |product, key| product * blocks_of(key, &own.sizes));
        }
    }
    ranged
}

/// Ranges as all their blocks of one size, mask by mask, where that is cheaper.
#[must_use]
pub fn blocks(filters: Vec<(u16, Placed)>, scale: Scale) -> Vec<(u16, Placed)> {
    let (numbers, kinds) = Kinds::of(&filters);
    let mut ranged = own(&filters, &numbers, &kinds);
    for own in &mut ranged {
        *own = own.take().filter(|own| own.worth(scale));
    }
    if ranged.iter().all(Option::is_none) {
        return filters;
    }
    let mut out = Vec::with_capacity(filters.len());
    for ((protocol, filter), kind) in filters.into_iter().zip(numbers) {
        match ranged.get(kind) {
            Some(Some(Ranged { sizes, .. })) => {
                let sets: Vec<_> = filter.keys.iter().map(|key| (key.field, conds_of(key, sizes))).collect();
                product(&sets, &mut |keys| out.push((protocol, Placed { keys: keys.to_vec(), ..filter })));
            }
            _ => out.push((protocol, filter)),
        }
    }
    out
}

/// The size, in bits, of the largest blocks that a range is made of exactly.
fn block(lo: u16, hi: u16) -> u32 {
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
