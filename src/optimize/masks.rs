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
//! An address that a mask does not ask counts as asked under no bits, for every packet has one. Ranges come as blocks where that is
//! cheaper ([`super::blocks`]).
//!
//! A filter and all values of its free bits match the same packets, do the same, and stand at the same place among the
//! lines: no verdict changes.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::blocks::{Ranged, blocks, ranged};
use super::kinds::Kinds;
use super::price::Scale;
use super::prios::{Placed, Shape};
use crate::abi::eth;
use crate::emit::cost::model;
use crate::emit::linearize::product;
use crate::field::value::values_within;
use crate::field::{Cond, Field, Key};

/// A protocol and a mask.
pub type Kind = (u16, Shape);

/// What is asked of a field: `None` is a range.
type Bits = Option<u128>;

/// The same filters, first-match order kept, over fewer masks.
#[must_use]
pub fn merge(filters: Vec<(u16, Placed)>, scale: Scale) -> Vec<(u16, Placed)> {
    let filters = blocks(filters, scale);
    let (numbers, kinds) = Kinds::of(&filters);
    let plan = plan(&numbers, &kinds, scale);
    if plan.is_empty() {
        return filters;
    }
    let mut out = Vec::with_capacity(filters.len());
    for ((protocol, filter), kind) in filters.into_iter().zip(numbers) {
        match plan.get(&kind) {
            Some(target) => finer(&filter, target, &mut |keys| {
                out.push((protocol, Placed { keys, ..filter }));
            }),
            None => out.push((protocol, filter)),
        }
    }
    out
}

/// The mask that each kind of filters is to get, where it is another than its own, by the numbers that the filters have.
fn plan(numbers: &[usize], kinds: &[Kind], scale: Scale) -> HashMap<usize, Shape> {
    let mut counts = vec![0u64; kinds.len()];
    for number in numbers {
        counts.get_mut(*number).into_iter().for_each(|count| *count += 1);
    }
    let mut groups: Vec<(&Kind, (u64, usize))> = kinds.iter().zip(counts.into_iter().zip(0..)).collect();
    groups.sort_unstable();
    let merging = Merging::of(groups.iter().map(|(kind, (count, _))| (*kind, *count)), scale);
    let mut plan = HashMap::new();
    for (at, (kind, (_, number))) in groups.iter().enumerate() {
        let target = merging.target(at);
        if let Some(Some(group)) = merging.groups.get(target)
            && *group.shape != kind.1
        {
            plan.insert(*number, group.shape.clone().into_owned());
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

/// What merging may do to the filters of a chain, at any scale.
pub struct Prospect {
    plain: BTreeMap<Kind, u64>,
    ranged: BTreeMap<Kind, Ranged>,
}

impl Prospect {
    /// Of so many filters of each mask without ranges, and these with ranges.
    #[must_use]
    pub fn of(plain: BTreeMap<Kind, u64>, lists: &[(u16, Placed)]) -> Self {
        Self { plain, ranged: ranged(lists) }
    }

    /// Filters and masks that become of them.
    #[must_use]
    pub fn at(&self, scale: Scale) -> (u64, u64) {
        if self.ranged.is_empty() {
            return price(self.plain.iter().map(|(kind, count)| (kind, *count)), scale);
        }
        let mut groups = self.plain.clone();
        for ((protocol, shape), own) in &self.ranged {
            let worth = own.worth(scale);
            let (shape, count) = if worth { (own.shape(shape), own.written) } else { (shape.clone(), own.count) };
            *groups.entry((*protocol, shape)).or_default() += count;
        }
        price(groups.iter().map(|(kind, count)| (kind, *count)), scale)
    }
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
            let Some(shape) = join(one.protocol, &one.shape, &other.shape) else { continue };
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

/// The fields of two masks with what each asks of them: 0 for an address that one does not ask, for every packet of these ethertypes
/// has it. `None` where they ask different fields else, or one a range.
fn both(protocol: u16, a: &Shape, b: &Shape) -> Option<Vec<(Field, Bits, Bits)>> {
    let mut fields = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let (one, other) = match (a.peek(), b.peek()) {
            (None, None) => return Some(fields),
            (Some(one), Some(other)) if one.0 == other.0 => (a.next(), b.next()),
            (Some(one), Some(other)) if one.0 < other.0 => (a.next(), None),
            (Some(_), None) => (a.next(), None),
            (_, Some(_)) => (None, b.next()),
        };
        let field = one.or(other).map(|(field, _)| *field)?;
        let always = one.is_some() && other.is_some() || always_there(protocol, field);
        let bits = |asked: Option<&(Field, Bits)>| asked.map_or(Some(0), |(_, mask)| *mask);
        let (one, other) = (bits(one), bits(other));
        if !always || one.is_some() != other.is_some() {
            return None;
        }
        fields.push((field, one, other));
    }
}

/// Whether every packet of this ethertype has the field.
const fn always_there(protocol: u16, field: Field) -> bool {
    match field {
        Field::Ipv4Src | Field::Ipv4Dst => protocol == eth::P_IP,
        Field::Ipv6Src | Field::Ipv6Dst => protocol == eth::P_IPV6,
        _ => false,
    }
}

/// The mask with the bits of both.
fn join(protocol: u16, a: &Shape, b: &Shape) -> Option<Shape> {
    let union = |(field, one, other): (Field, Bits, Bits)| (field, one.zip(other).map(|(one, other)| one | other));
    Some(both(protocol, a, b)?.into_iter().map(union).collect())
}

/// Filters that one mask for both groups takes beyond those they have.
fn further(a: &Group<'_>, b: &Group<'_>) -> Option<u64> {
    // Two fields more and one less: nothing that can be joined differs so much.
    if a.shape.len().abs_diff(b.shape.len()) > 2 {
        return None;
    }
    let (mut free_a, mut free_b) = (0u32, 0u32);
    for (_, one, other) in both(a.protocol, &a.shape, &b.shape)? {
        let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
        free_a += (other & !one).count_ones();
        free_b += (one & !other).count_ones();
    }
    let grown = |count: u64, free: u32| count.checked_mul(1u64.checked_shl(free)? - 1);
    let more = grown(a.count, free_a)?.checked_add(grown(b.count, free_b)?)?;
    // Every packet walks a list of ranges: one more mask must be dearer than what it grows by.
    let list = a.shape.iter().any(|(_, mask)| mask.is_none());
    (!list || more.saturating_mul(model::RANGE_FILTER) <= model::RANGE_MISS).then_some(more)
}

/// Calls `each` with the keys of the filter under the finer mask, for every value of the bits that it did not ask.
fn finer(filter: &Placed, target: &Shape, each: &mut impl FnMut(Vec<Key>)) {
    let conds = |(field, mask): &(Field, Bits)| {
        let own = filter.keys.iter().find(|key| key.field == *field).map(|key| key.cond);
        let conds: Vec<Cond> = match (mask, own.unwrap_or(Cond::Bits { value: 0, mask: 0 })) {
            (Some(mask), Cond::Bits { value, mask: own }) => {
                values_within(mask & !own).map(|open| Cond::Bits { value: value | open, mask: *mask }).collect()
            }
            (_, cond) => vec![cond],
        };
        (*field, conds)
    };
    product(&target.iter().map(conds).collect::<Vec<_>>(), &mut |keys| each(keys.to_vec()));
}
