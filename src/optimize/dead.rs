//! Filters that no packet can reach.
//!
//! ```text
//! before   from 10.0.0.0/8 -> drop, tcp from 10.1.0.0/16 to port 80 -> allow
//! after    from 10.0.0.0/8 -> drop                    no packet ever came to the other: a mask less for all
//! ```
//!
//! A filter is left out where one that stands before it takes every packet that it could match, and decides. Nothing is
//! left for it, so leaving it out changes neither a verdict nor a counter. Its rule keeps its name and its place: `plan`
//! and `status` show that it became no filter, and a rule of which nothing is left is a finding (`never-matches`).
//!
//! What is *redundant* stays: a filter whose packets would meet the same verdict further down counts them for its own rule, and
//! a counter for each rule is what `status` promises.
//!
//! A filter is looked up in the masks before it that ask no more than its own does: as a packet would be, so it takes time in
//! proportion to filters times masks. What only several filters take together is not seen.

use std::collections::HashMap;
use std::hash::Hasher;

use super::kinds::Kinds;
use super::prios::{Placed, Shape};
use crate::abi::eth;
use crate::field::Key;
use crate::field::value::is_port_prefix;
use crate::hash::{Quick, QuickBuild};

/// Most masks that are held against each other.
const MASKS_MAX: usize = 3_000;

/// Most ranges of one mask that are tried for a filter: those of one list may all differ.
const RANGES_MAX: usize = 64;

/// A filter that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dead {
    /// Its line.
    pub line: usize,
    /// The line that takes all of it.
    pub by: usize,
}

/// The filters that packets can reach, and the others. Order is kept.
#[must_use]
pub fn prune(filters: Vec<(u16, Placed)>) -> (Vec<(u16, Placed)>, Vec<Dead>) {
    let Some(masks) = Masks::of(&filters) else { return (filters, Vec::new()) };
    let dead = masks.dead(&filters);
    if dead.is_empty() {
        return (filters, Vec::new());
    }
    let mut next = dead.iter().peekable();
    let mut left = Vec::with_capacity(filters.len() - dead.len());
    for (at, filter) in filters.into_iter().enumerate() {
        if next.next_if(|(dead, _)| *dead == at).is_none() {
            left.push(filter);
        }
    }
    (left, dead.into_iter().map(|(_, dead)| dead).collect())
}

/// Filters of one protocol and mask that decide, by what they ask.
struct Mask {
    protocol: u16,
    shape: Shape,
    /// The first and the last place among all filters, by a hash of the bits that are asked; ranges are not hashed.
    filters: HashMap<u64, (usize, usize), QuickBuild>,
}

struct Masks {
    list: Vec<Mask>,
    /// For each filter, its mask.
    of: Vec<usize>,
    /// For each mask, those that ask no more.
    wider: Vec<Vec<usize>>,
    /// For each filter, the next of its mask with the same hash.
    next: Vec<Option<usize>>,
}

impl Masks {
    /// The masks of these filters; `None` where there are too many.
    fn of(filters: &[(u16, Placed)]) -> Option<Self> {
        let (of, kinds) = Kinds::of(filters);
        if kinds.len() > MASKS_MAX {
            return None;
        }
        let mask = |(protocol, shape)| Mask { protocol, shape, filters: HashMap::default() };
        let list: Vec<Mask> = kinds.into_iter().map(mask).collect();
        let wider = |narrow: &Mask| -> Vec<usize> {
            let all = list.iter().enumerate();
            all.filter(|(_, wide)| wide.may_cover(narrow)).map(|(at, _)| at).collect()
        };
        let wider = list.iter().map(wider).collect();
        Some(Self { list, of, wider, next: vec![None; filters.len()] })
    }

    /// The filters that can never match, by their places.
    fn dead(mut self, filters: &[(u16, Placed)]) -> Vec<(usize, Dead)> {
        let mut dead = Vec::new();
        for (at, ((_, filter), mask)) in filters.iter().zip(&self.of).enumerate() {
            let wider = self.wider.get(*mask).into_iter().flatten().filter_map(|wide| self.list.get(*wide));
            if let Some(by) = wider.filter_map(|wide| wide.covering(&filter.keys, filters, &self.next)).min() {
                dead.push((at, Dead { line: filter.line, by }));
            } else if !filter.goes_on
                && let Some(mask) = self.list.get_mut(*mask)
                && let Some(hash) = mask.hash(&filter.keys)
            {
                let (_, last) = mask.filters.entry(hash).or_insert((at, at));
                let before = std::mem::replace(last, at);
                self.next.get_mut(before).filter(|_| before != at).into_iter().for_each(|next| *next = Some(at));
            }
        }
        dead
    }
}

impl Mask {
    /// Whether a filter of this mask may match all that one of the other does: it asks the same bits, or fewer.
    fn may_cover(&self, narrow: &Self) -> bool {
        if ![eth::P_ALL, narrow.protocol].contains(&self.protocol) || self.shape.len() > narrow.shape.len() {
            return false;
        }
        self.shape.iter().all(|(field, wide)| {
            let asked = narrow.shape.iter().find(|(other, _)| other == field);
            asked.is_some_and(|(_, asked)| match (wide, asked) {
                (None, _) => true,
                (Some(wide), Some(asked)) => wide & asked == *wide,
                (Some(wide), None) => is_port_prefix(*wide),
            })
        })
    }

    /// The line of a filter of this mask that matches all that these keys do.
    fn covering(&self, keys: &[Key], filters: &[(u16, Placed)], next: &[Option<usize>]) -> Option<usize> {
        if self.filters.is_empty() {
            return None;
        }
        let (first, _) = *self.filters.get(&self.hash(keys)?)?;
        let places = std::iter::successors(Some(first), |at| next.get(*at).copied().flatten());
        let mut candidates = places.take(RANGES_MAX).filter_map(|at| filters.get(at)).map(|(_, filter)| filter);
        candidates.find(|candidate| candidate.keys.iter().all(|key| covers(*key, keys))).map(|candidate| candidate.line)
    }

    /// A hash of what these keys ask of the bits of this mask; `None` where they leave one of them open.
    fn hash(&self, keys: &[Key]) -> Option<u64> {
        let mut hasher = Quick::default();
        for (field, mask) in &self.shape {
            let Some(mask) = mask else { continue };
            let key = keys.iter().find(|key| key.field == *field)?;
            hasher.write_u128(key.cond.known(*mask)?);
        }
        Some(hasher.finish())
    }
}

/// Whether all that satisfies these keys satisfies this one.
fn covers(wide: Key, keys: &[Key]) -> bool {
    keys.iter().any(|key| key.field == wide.field && wide.cond.covers(key.cond))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::value::ones;
    use crate::field::{Cond, Field};
    use proptest::prelude::*;

    fn filter(line: usize, keys: Vec<Key>, goes_on: bool) -> (u16, Placed) {
        (eth::P_IP, Placed { keys, line, does: line, goes_on })
    }

    fn source(value: u128, length: u8) -> Key {
        let mask = ones(32) & !ones(32 - length);
        Key { field: Field::Ipv4Src, cond: Cond::Bits { value: value & mask, mask } }
    }

    fn ports(lo: u16, hi: u16) -> Key {
        Key { field: Field::DstPort, cond: Cond::Range { lo, hi } }
    }

    fn dead(filters: Vec<(u16, Placed)>) -> Vec<(usize, usize)> {
        prune(filters).1.into_iter().map(|dead| (dead.line, dead.by)).collect()
    }

    #[test]
    fn what_a_wider_filter_takes_is_dead() {
        let net = || filter(0, vec![source(0x0a00_0000, 8)], false);
        let host = |line| filter(line, vec![source(0x0a01_0203, 32), Key::exact(Field::DstPort, 80)], false);
        let other = filter(2, vec![source(0x0b00_0000, 32), Key::exact(Field::DstPort, 80)], false);
        assert_eq!(dead(vec![net(), host(1), other, host(3)]), [(1, 0), (3, 0)]);
        assert_eq!(dead(vec![host(1), net()]), []);
    }

    #[test]
    fn a_filter_that_goes_on_takes_nothing_but_can_be_dead() {
        let key = || vec![Key::exact(Field::DstPort, 80)];
        assert_eq!(dead(vec![filter(0, key(), true), filter(1, key(), false), filter(2, key(), true)]), [(2, 1)]);
    }

    #[test]
    fn ranges_take_ranges_and_ports_within_them() {
        let within = vec![
            filter(0, vec![ports(1000, 2000)], false),
            filter(1, vec![ports(1000, 1999)], false),
            filter(2, vec![Key::exact(Field::DstPort, 2000)], false),
            filter(3, vec![ports(2000, 2001)], false),
        ];
        assert_eq!(dead(within), [(1, 0), (2, 0)]);
        let block = Key { field: Field::DstPort, cond: Cond::Bits { value: 1024, mask: 0xfc00 } };
        assert_eq!(
            dead(vec![
                filter(0, vec![block], false),
                filter(1, vec![ports(1030, 2047)], false),
                filter(2, vec![ports(1030, 2048)], false)
            ]),
            [(1, 0)]
        );
    }

    proptest! {
        #[test]
        fn no_packet_misses_what_was_left_out(
            rules in proptest::collection::vec((0u128..8, 29u8..=32, 0u16..8, 0u16..4, proptest::bool::weighted(0.2)), 1..24),
        ) {
            let filters: Vec<_> = rules
                .iter()
                .enumerate()
                .map(|(line, (net, length, lo, size, goes_on))| {
                    let port = if *size == 0 { Key::exact(Field::DstPort, (*lo).into()) } else { ports(*lo, lo + size) };
                    filter(line, vec![source(*net, *length), port], *goes_on)
                })
                .collect();
            let (left, _) = prune(filters.clone());
            let hits = |list: &[(u16, Placed)], net: u128, port: u128| {
                let fits = |filter: &Placed| {
                    filter.keys.iter().all(|key| key.cond.matches(if key.field == Field::DstPort { port } else { net }))
                };
                let hits: Vec<(usize, bool)> =
                    list.iter().filter(|(_, f)| fits(f)).map(|(_, f)| (f.line, f.goes_on)).collect();
                let end = hits.iter().position(|(_, goes_on)| !goes_on).map_or(hits.len(), |at| at + 1);
                hits[..end].to_vec()
            };
            for (net, port) in (0..8).flat_map(|net| (0..13).map(move |port| (net, port))) {
                prop_assert_eq!(hits(&filters, net, port), hits(&left, net, port));
            }
        }
    }
}
