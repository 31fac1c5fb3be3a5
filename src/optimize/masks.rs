//! Fewer masks for more filters.
//!
//! ```text
//! before   src 10.1.0.1/32, 10.1.0.2/31, 10.1.0.4/31      three masks: three lookups for every packet
//! after    src 10.1.0.1, 10.1.0.2, 10.1.0.3 ... 10.1.0.5  one mask, one lookup, five filters
//! ```
//!
//! A lookup is paid for by every packet, a filter once (performance.md 0). So the mask of a group of filters is made
//! finer, until it equals another group's, wherever that takes few enough filters: each is written out for all values of
//! the bits that it did not ask (controlled prefix expansion: Srinivasan and Varghese 1999, here for all fields at once).
//! A range of ports becomes all its blocks of one size: flower walks ranges one by one, and no NIC takes them.
//!
//! A filter and all values of its free bits match the same packets, do the same, and stand at the same place among the
//! lines: no verdict changes.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::price::Scale;
use super::prios::{Placed, Shape, shape_of};
use crate::emit::cost::model;
use crate::field::value::{ones, values_within};
use crate::field::{Cond, Field, Key};

/// A protocol and a mask.
pub type Kind = (u16, Shape);

/// The same filters, first-match order kept, over fewer masks.
#[must_use]
pub fn merge(filters: Vec<(u16, Placed)>, scale: Scale) -> Vec<(u16, Placed)> {
    let filters = blocks(filters, scale);
    let plan = plan(&filters, scale);
    if plan.is_empty() {
        return filters;
    }
    let mut out = Vec::with_capacity(filters.len());
    for (protocol, filter) in filters {
        match plan.get(&(protocol, shape_of(&filter.keys))) {
            Some(target) => finer(&filter, target, &mut |keys| {
                out.push((protocol, Placed { keys, ..filter }));
            }),
            None => out.push((protocol, filter)),
        }
    }
    out
}

/// The mask that each group is to get, where it is another than its own.
fn plan(filters: &[(u16, Placed)], scale: Scale) -> HashMap<Kind, Shape> {
    let mut groups: BTreeMap<Kind, u64> = BTreeMap::new();
    for (protocol, filter) in filters {
        *groups.entry((*protocol, shape_of(&filter.keys))).or_default() += 1;
    }
    let merging = Merging::of(groups.iter().map(|(kind, count)| (kind, *count)), scale);
    let mut plan = HashMap::new();
    for (at, kind) in groups.keys().enumerate() {
        let target = merging.target(at);
        if let Some(Some(group)) = merging.groups.get(target)
            && *group.shape != kind.1
        {
            plan.insert(kind.clone(), group.shape.clone().into_owned());
        }
    }
    plan
}

/// Filters and masks that so many filters of each mask would become; the masks in order, each once.
#[must_use]
pub fn price<'k>(groups: impl Iterator<Item = (&'k Kind, u64)>, scale: Scale) -> (u64, u64) {
    let merging = Merging::of(groups, scale);
    let left = merging.groups.iter().flatten();
    left.fold((0, 0), |(filters, masks), group| (group.count.saturating_add(filters), masks + 1))
}

/// Filters under one mask.
struct Group<'k> {
    protocol: u16,
    shape: Cow<'k, Shape>,
    count: u64,
}

/// Groups that become one, the cheapest pair first.
struct Merging<'k> {
    /// `None` once it has become part of another.
    groups: Vec<Option<Group<'k>>>,
    /// For each group, the one that it has become part of.
    into: Vec<usize>,
    /// Further filters, both groups.
    queue: BinaryHeap<Reverse<(u64, usize, usize)>>,
}

impl<'k> Merging<'k> {
    fn of(groups: impl Iterator<Item = (&'k Kind, u64)>, scale: Scale) -> Self {
        let group = |((protocol, shape), count): (&'k Kind, u64)| {
            Some(Group { protocol: *protocol, shape: Cow::Borrowed(shape), count })
        };
        let groups: Vec<Option<Group<'k>>> = groups.map(group).collect();
        let filters = groups.iter().flatten().fold(0u64, |sum, group| sum.saturating_add(group.count));
        let into = (0..groups.len()).collect();
        let mut merging = Self { groups, into, queue: BinaryHeap::new() };
        merging.run(filters, scale);
        merging
    }

    fn run(&mut self, filters: u64, scale: Scale) {
        let budget = scale.budget(filters);
        let most = scale.mask.max(filters / scale.share);
        for a in 0..self.groups.len() {
            self.pair(a, most);
        }
        let mut all = filters;
        while let Some(Reverse((more, a, b))) = self.queue.pop() {
            if all.saturating_add(more) > budget {
                break;
            }
            let (Some(Some(one)), Some(Some(other))) = (self.groups.get(a), self.groups.get(b)) else { continue };
            let Some(shape) = join(&one.shape, &other.shape) else { continue };
            let merged = Group {
                protocol: one.protocol,
                shape: Cow::Owned(shape),
                count: one.count.saturating_add(other.count).saturating_add(more),
            };
            all = all.saturating_add(more);
            // A third group may have this very mask: then all three are one, at no further cost.
            let new = self.groups.len();
            for part in [a, b] {
                if let Some(slot) = self.groups.get_mut(part) {
                    *slot = None;
                }
                if let Some(slot) = self.into.get_mut(part) {
                    *slot = new;
                }
            }
            self.groups.push(Some(merged));
            self.into.push(new);
            self.pair(new, most);
        }
    }

    /// Weighs this group up against all before it.
    fn pair(&mut self, at: usize, most: u64) {
        let Some(Some(one)) = self.groups.get(at) else { return };
        for (other_at, other) in self.groups.iter().enumerate().take(at) {
            let Some(other) = other else { continue };
            if one.protocol != other.protocol {
                continue;
            }
            if let Some(more) = further(one, other).filter(|more| *more <= most) {
                self.queue.push(Reverse((more, other_at, at)));
            }
        }
    }

    fn target(&self, mut at: usize) -> usize {
        while let Some(next) = self.into.get(at).filter(|next| **next != at) {
            at = *next;
        }
        at
    }
}

/// The mask with the bits of both; `None` where they ask different fields, or one a range.
fn join(a: &Shape, b: &Shape) -> Option<Shape> {
    if a.len() != b.len() {
        return None;
    }
    let pairs = a.iter().zip(b);
    pairs
        .map(|((field, one), (other_field, other))| {
            (field == other_field).then_some(())?;
            match (one, other) {
                (Some(one), Some(other)) => Some((*field, Some(one | other))),
                (None, None) => Some((*field, None)),
                _ => None,
            }
        })
        .collect()
}

/// Filters that one mask for both groups takes beyond those they have.
fn further(a: &Group<'_>, b: &Group<'_>) -> Option<u64> {
    let (mut free_a, mut free_b) = (0u32, 0u32);
    if a.shape.len() != b.shape.len() {
        return None;
    }
    for ((field, one), (other_field, other)) in a.shape.iter().zip(b.shape.iter()) {
        if field != other_field {
            return None;
        }
        match (one, other) {
            (Some(one), Some(other)) => {
                free_a += (other & !one).count_ones();
                free_b += (one & !other).count_ones();
            }
            (None, None) => {}
            _ => return None,
        }
    }
    let grown = |count: u64, free: u32| count.checked_mul(1u64.checked_shl(free)? - 1);
    let more = grown(a.count, free_a)?.checked_add(grown(b.count, free_b)?)?;
    // Every packet walks a list of ranges: one more mask must be dearer than what it grows by.
    let list = a.shape.iter().any(|(_, mask)| mask.is_none());
    (!list || more.saturating_mul(model::RANGE_FILTER) <= model::RANGE_MISS).then_some(more)
}

/// Calls `each` with the keys of the filter under the finer mask, for every value of the bits that it did not ask.
fn finer(filter: &Placed, target: &Shape, each: &mut impl FnMut(Vec<Key>)) {
    let mut all: Vec<Vec<Key>> = vec![filter.keys.clone()];
    for (at, (field, mask)) in target.iter().enumerate() {
        let Some(Key { cond: Cond::Bits { mask: own, .. }, .. }) = filter.keys.get(at) else { continue };
        let Some(mask) = mask else { continue };
        let free = mask & !own;
        if free == 0 {
            continue;
        }
        let mut more = Vec::with_capacity(all.len() << free.count_ones().min(20));
        for keys in &all {
            for extra in values_within(free) {
                let mut keys = keys.clone();
                if let Some(key) = keys.get_mut(at)
                    && let Cond::Bits { value, .. } = key.cond
                {
                    *key = Key { field: *field, cond: Cond::Bits { value: value | extra, mask: *mask } };
                }
                more.push(keys);
            }
        }
        all = more;
    }
    all.into_iter().for_each(each);
}

/// Ranges as all their blocks of one size, mask by mask, where that is cheaper.
fn blocks(filters: Vec<(u16, Placed)>, scale: Scale) -> Vec<(u16, Placed)> {
    // For each mask with ranges: how many filters, and for each field with a range the size of block that fits all.
    let mut ranged: BTreeMap<Kind, (u64, BTreeMap<Field, u32>)> = BTreeMap::new();
    for (protocol, filter) in &filters {
        if filter.keys.iter().all(|key| key.cond.mask().is_some()) {
            continue;
        }
        let (count, sizes) = ranged.entry((*protocol, shape_of(&filter.keys))).or_default();
        *count += 1;
        for key in &filter.keys {
            if let Cond::Range { lo, hi } = key.cond {
                let size = sizes.entry(key.field).or_insert(u32::MAX);
                *size = (*size).min(block(lo, hi));
            }
        }
    }
    let mut written: BTreeMap<Kind, u64> = BTreeMap::new();
    for (protocol, filter) in &filters {
        let kind = (*protocol, shape_of(&filter.keys));
        if let Some((_, sizes)) = ranged.get(&kind) {
            let product = filter.keys.iter().fold(1u64, |product, key| product * blocks_of(key, sizes));
            *written.entry(kind).or_default() += product;
        }
    }
    ranged.retain(|kind, (count, _)| {
        let all = written.get(kind).copied().unwrap_or(u64::MAX);
        // A mask with ranges is as cheap as another where nothing fits, three times as dear where one does, and a fortieth
        // more for each that is walked (performance.md 2.2).
        all - *count <= scale.mask * 2 / 3 + *count * scale.mask / 40
    });
    if ranged.is_empty() {
        return filters;
    }
    let mut out = Vec::with_capacity(filters.len());
    for (protocol, filter) in filters {
        match ranged.get(&(protocol, shape_of(&filter.keys))) {
            Some((_, sizes)) => {
                let mut all: Vec<Vec<Key>> = vec![Vec::new()];
                for key in &filter.keys {
                    let conds = conds_of(key, sizes);
                    let longer = |keys: Vec<Key>| {
                        let conds = conds.clone();
                        conds.into_iter().map(move |cond| {
                            let mut keys = keys.clone();
                            keys.push(Key { field: key.field, cond });
                            keys
                        })
                    };
                    all = all.into_iter().flat_map(longer).collect();
                }
                out.extend(all.into_iter().map(|keys| (protocol, Placed { keys, ..filter })));
            }
            None => out.push((protocol, filter)),
        }
    }
    out
}

/// The size, in bits, of the largest blocks that a range is made of exactly.
fn block(lo: u16, hi: u16) -> u32 {
    let above = u32::from(hi) + 1;
    u32::from(lo).trailing_zeros().min(above.trailing_zeros()).min(16)
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
            let mask = ones(16) & !ones(u8::try_from(*size).unwrap_or(0));
            let first = u128::from(lo) >> size;
            let last = u128::from(hi) >> size;
            (first..=last).map(|block| Cond::Bits { value: block << size, mask }).collect()
        }
        (cond, _) => vec![cond],
    }
}
