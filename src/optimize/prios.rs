//! First match with few lookups: which filters share a prio, and in which order the prios stand.
//!
//! A prio holds filters of one protocol and one mask, so nothing ever depends on the order in which the kernel tries the
//! masks of a prio (kernel-facts 2.1: creation order). A filter may stand before or behind another that no packet shares
//! with it, or that does just the same; behind all others that come before it in the rules. So first match is kept.
//!
//! Among the orders that keep it, a mask is taken that can be finished at once, the one of most lines first; else the one of the first
//! filter in the rules that waits for nothing. (The best order is a shortest common supersequence, which is NP-hard to find. The mask with
//! most filters ready gave one and a half to two times as many prios on ClassBench-like sets.)

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::hash::Hasher;

use super::kinds::Kinds;
use crate::abi::eth;
use crate::field::{Cond, Field, Key};
use crate::hash::{Quick, QuickBuild};

/// Fields with their masks, `None` for a range: what flower calls a mask.
pub type Shape = Vec<(Field, Option<u128>)>;

/// The mask of these keys.
#[must_use]
pub fn shape_of(keys: &[Key]) -> Shape {
    keys.iter().map(|key| (key.field, key.cond.mask())).collect()
}

/// A filter in its place.
#[derive(Clone, Debug)]
pub struct Placed {
    /// In canonical order.
    pub keys: Vec<Key>,
    /// The caller's number of its line.
    pub line: usize,
    /// What it does: equal numbers for equal tails.
    pub does: usize,
    /// Whether the packet may go on to later prios.
    pub goes_on: bool,
}

/// Protocol and filters of each prio, in order, from filters in first-match order. A filter whose very key stands
/// earlier can never match and is left out.
#[must_use]
pub fn prios(filters: Vec<(u16, Placed)>) -> Vec<(u16, Vec<Placed>)> {
    let mut order = Order::new(&filters);
    let rounds = order.run();
    let mut places: Vec<Option<Placed>> = Vec::with_capacity(filters.len());
    let mut protocols = Vec::with_capacity(filters.len());
    for (protocol, filter) in filters {
        protocols.push(protocol);
        places.push(Some(filter));
    }
    let mut take = |at: usize| places.get_mut(at).and_then(Option::take);
    let protocol = |round: &[usize]| round.first().and_then(|at| protocols.get(*at)).copied().unwrap_or(eth::P_ALL);
    rounds.into_iter().map(|round| (protocol(&round), round.into_iter().filter_map(&mut take).collect())).collect()
}

/// Filters of one protocol and mask.
struct Kind {
    protocol: u16,
    shape: Shape,
    /// Its filters, in first-match order.
    members: Vec<usize>,
    /// Lines that these are of, and the last of them.
    lines: usize,
    last: Option<usize>,
    /// Whether one of its filters can share a packet with another of them.
    meets_itself: bool,
    /// Filters that wait for none, the first of them, and how many are left in all.
    ready: Vec<usize>,
    first: Option<usize>,
    left: usize,
    /// Its filters by what they ask of some bits.
    indexes: HashMap<Vec<(Field, u128)>, Index, QuickBuild>,
}

/// Which filters of a kind agree on some bits: hashes of these bits with the filters, sorted; and for each number of entries
/// the number before the last of them that may be of interest, since filters that have their place are of none.
struct Index {
    entries: Vec<(u64, usize)>,
    fewer: Vec<usize>,
}

/// The filters, and how far they are ordered.
struct Order<'a> {
    filters: &'a [(u16, Placed)],
    kinds: Vec<Kind>,
    kind_of: Vec<usize>,
    /// Filters that have their place.
    done: Vec<bool>,
    /// For each filter, the kind up to which nothing holds it back any more.
    seen: Vec<usize>,
    /// For each filter, those that wait for it (each waits for one at a time).
    waiting: Vec<Vec<usize>>,
}

impl<'a> Order<'a> {
    fn new(filters: &'a [(u16, Placed)]) -> Self {
        let (kind_of, kinds) = Kinds::of(filters);
        let mut kinds: Vec<Kind> = kinds.into_iter().map(Kind::new).collect();
        let mut done = vec![false; filters.len()];
        let mut decided: HashSet<(usize, &[Key]), QuickBuild> = HashSet::default();
        decided.reserve(filters.len());
        for ((at, (_, filter)), (kind, done)) in filters.iter().enumerate().zip(kind_of.iter().copied().zip(&mut done))
        {
            if decided.contains(&(kind, filter.keys.as_slice())) {
                *done = true;
                continue;
            }
            if !filter.goes_on {
                decided.insert((kind, &filter.keys));
            }
            if let Some(kind) = kinds.get_mut(kind) {
                kind.meets_itself |= filter.goes_on;
                kind.members.push(at);
                kind.left += 1;
                kind.lines += usize::from(kind.last.replace(filter.line) != Some(filter.line));
            }
        }
        let waiting = vec![Vec::new(); filters.len()];
        Self { filters, kinds, kind_of, done, seen: vec![0; filters.len()], waiting }
    }

    /// The filters of each prio, in order.
    fn run(&mut self) -> Vec<Vec<usize>> {
        let mut rounds = Vec::new();
        for at in 0..self.filters.len() {
            if !self.is_done(at) {
                self.wait(at);
            }
        }
        while let Some(next) = self.best() {
            let Some(kind) = self.kinds.get_mut(next) else { break };
            let mut round = std::mem::take(&mut kind.ready);
            kind.first = None;
            kind.left -= round.len();
            round.sort_unstable();
            for at in &round {
                if let Some(done) = self.done.get_mut(*at) {
                    *done = true;
                }
            }
            for at in &round {
                let waiting = self.waiting.get_mut(*at).map(std::mem::take).unwrap_or_default();
                for at in waiting {
                    self.wait(at);
                }
            }
            rounds.push(round);
        }
        rounds
    }

    fn is_done(&self, at: usize) -> bool {
        self.done.get(at).copied().unwrap_or(true)
    }

    /// A kind that can be finished, of most lines, for a packet is likelier to meet its own there; else any. The first in the rules among equals.
    fn best(&self) -> Option<usize> {
        let able = self.kinds.iter().enumerate().filter(|(_, kind)| !kind.ready.is_empty());
        let rank = |kind: &Kind| {
            let done = kind.ready.len() == kind.left;
            (done, if done { kind.lines } else { 0 }, Reverse(kind.first))
        };
        able.max_by_key(|(_, kind)| rank(kind)).map(|(at, _)| at)
    }

    /// Has the filter wait for one that must stand before it; where there is none, it is ready.
    fn wait(&mut self, at: usize) {
        let Some((protocol, filter)) = self.filters.get(at) else { return };
        let mut kind = self.seen.get(at).copied().unwrap_or_default();
        let own = self.kind_of.get(at).copied().unwrap_or_default();
        while let Some(other) = self.kinds.get_mut(kind) {
            let apart = ![other.protocol, *protocol].contains(&eth::P_ALL) && other.protocol != *protocol;
            let none_before = other.members.first().is_none_or(|first| *first >= at);
            let may = !apart && !none_before && (kind != own || other.meets_itself);
            if may && let Some(first) = other.before(at, filter, kind == own, self.filters, &self.done) {
                if let Some(seen) = self.seen.get_mut(at) {
                    *seen = kind;
                }
                if let Some(waiting) = self.waiting.get_mut(first) {
                    waiting.push(at);
                }
                return;
            }
            kind += 1;
        }
        if let Some(kind) = self.kinds.get_mut(own) {
            kind.ready.push(at);
            kind.first = Some(kind.first.map_or(at, |first| first.min(at)));
        }
    }
}

impl Kind {
    fn new((protocol, shape): (u16, Shape)) -> Self {
        let meets_itself = shape.iter().any(|(_, mask)| mask.is_none());
        Self {
            protocol,
            shape,
            members: Vec::new(),
            lines: 0,
            last: None,
            meets_itself,
            ready: Vec::new(),
            first: None,
            left: 0,
            indexes: HashMap::default(),
        }
    }

    /// The last filter of this kind that has no place yet, and must have one before the filter `at`: it comes before it in
    /// the rules, shares a packet with it, and does something else. It is likely to be placed after all others of the kind
    /// that must be, so that no filter waits often. (Within one prio no two filters share a packet, whatever
    /// they do: the kernel's order there is none of ours.)
    fn before(&mut self, at: usize, filter: &Placed, own: bool, all: &[(u16, Placed)], done: &[bool]) -> Option<usize> {
        let common = common(&self.shape, &filter.keys);
        let hash = hash_of(&common, &filter.keys);
        if !self.indexes.contains_key(&common) {
            let of = |member: &usize| all.get(*member).map(|(_, filter)| (hash_of(&common, &filter.keys), *member));
            let mut entries: Vec<(u64, usize)> = self.members.iter().filter_map(of).collect();
            entries.sort_unstable();
            let fewer = (0..=entries.len()).map(|count| count.saturating_sub(1)).collect();
            self.indexes.insert(common.clone(), Index { entries, fewer });
        }
        let index = self.indexes.get_mut(&common)?;
        let mut count = index.entries.partition_point(|entry| *entry < (hash, at));
        loop {
            count = index.live(count, done);
            let (other, member) = *index.entries.get(count.checked_sub(1)?)?;
            if other != hash {
                return None;
            }
            let (_, candidate) = all.get(member)?;
            if (own || candidate.does != filter.does) && overlap(&candidate.keys, &filter.keys) {
                return Some(member);
            }
            count -= 1;
        }
    }
}

impl Index {
    /// So many of the first entries, or fewer: the last of them has no place yet.
    fn live(&mut self, from: usize, done: &[bool]) -> usize {
        let mut count = from;
        while let Some((_, member)) = count.checked_sub(1).and_then(|last| self.entries.get(last)) {
            if !done.get(*member).copied().unwrap_or(true) {
                break;
            }
            count = self.fewer.get(count).copied().unwrap_or_default();
        }
        // Shorten the way for the next to come by.
        let mut shortened = from;
        while shortened > count {
            let Some(fewer) = self.fewer.get_mut(shortened) else { break };
            shortened = std::mem::replace(fewer, count);
        }
        count
    }
}

/// The bits that both a mask and a filter ask.
fn common(shape: &Shape, keys: &[Key]) -> Vec<(Field, u128)> {
    let mut common = Vec::with_capacity(keys.len());
    for (field, mask) in shape {
        let Some(key) = keys.iter().find(|key| key.field == *field) else { continue };
        if let (Some(mask), Cond::Bits { mask: other, .. }) = (mask, key.cond)
            && mask & other != 0
        {
            common.push((*field, mask & other));
        }
    }
    common
}

/// A hash of these bits of the keys; equal bits, equal hashes.
fn hash_of(bits: &[(Field, u128)], keys: &[Key]) -> u64 {
    let mut hasher = Quick::default();
    let mut keys = keys.iter();
    for (field, mask) in bits {
        if let Some(Key { cond: Cond::Bits { value, .. }, .. }) = keys.find(|key| key.field == *field) {
            hasher.write_u128(value & mask);
        }
    }
    hasher.finish()
}

/// Whether some packet matches both.
fn overlap(a: &[Key], b: &[Key]) -> bool {
    a.iter().all(|x| b.iter().filter(|y| y.field == x.field).all(|y| x.cond.overlaps(y.cond)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(field: Field, value: u128, mask: u128) -> Key {
        Key { field, cond: Cond::Bits { value, mask } }
    }

    fn placed(line: usize, keys: Vec<Key>) -> (u16, Placed) {
        (1, Placed { keys, line, does: line, goes_on: false })
    }

    fn lines(filters: Vec<(u16, Placed)>) -> Vec<Vec<usize>> {
        prios(filters).into_iter().map(|(_, members)| members.iter().map(|member| member.line).collect()).collect()
    }

    fn layout(filters: Vec<Vec<Key>>) -> Vec<Vec<usize>> {
        lines(filters.into_iter().enumerate().map(|(line, keys)| placed(line, keys)).collect())
    }

    fn host(n: u128) -> Vec<Key> {
        vec![key(Field::Ipv4Src, n, 0xffff_ffff)]
    }

    fn net(n: u128) -> Vec<Key> {
        vec![key(Field::Ipv4Src, n, 0xffff_ff00)]
    }

    #[test]
    fn one_mask_is_one_prio_however_many() {
        assert_eq!(layout((0..100).map(host).collect()), vec![(0..100).collect::<Vec<_>>()]);
    }

    #[test]
    fn overlapping_filters_keep_their_order() {
        // 0x101 lies in 0x100/24, 0x201 does not: it may join the first prio, 0x102 may not.
        assert_eq!(layout(vec![host(0x101), net(0x100), host(0x201), host(0x102)]), vec![vec![0, 2], vec![1], vec![3]]);
    }

    #[test]
    fn filters_that_do_the_same_may_change_places() {
        let mut filters: Vec<_> = [host(0x101), net(0x100), host(0x102)].into_iter().enumerate().collect();
        let same = filters.drain(..).map(|(line, keys)| {
            let (protocol, filter) = placed(line, keys);
            (protocol, Placed { does: 7, ..filter })
        });
        assert_eq!(lines(same.collect()), vec![vec![0, 2], vec![1]]);
    }

    #[test]
    fn a_mask_that_can_be_finished_is_taken_first() {
        // By the number that is ready, the hosts would come first, and again behind the net that one of them must follow.
        let filters = vec![net(0x100), host(0x101), host(0x201), host(0x301)];
        assert_eq!(layout(filters), vec![vec![0], vec![1, 2, 3]]);
    }

    #[test]
    fn a_second_filter_with_the_same_key_is_dead() {
        let filter = vec![key(Field::DstPort, 80, 0xffff)];
        assert_eq!(layout(vec![filter.clone(), filter]), vec![vec![0]]);
    }

    #[test]
    fn behind_a_filter_that_goes_on_the_same_key_is_not() {
        let (protocol, first) = placed(0, host(1));
        let goes_on = (protocol, Placed { goes_on: true, ..first });
        assert_eq!(lines(vec![goes_on, placed(1, host(1)), placed(2, host(2))]), vec![vec![0, 2], vec![1]]);
    }

    #[test]
    fn overlapping_ranges_of_one_mask_are_apart() {
        let range = |lo, hi| vec![Key { field: Field::DstPort, cond: Cond::Range { lo, hi } }];
        assert_eq!(layout(vec![range(1, 10), range(5, 20), range(30, 40)]), vec![vec![0, 2], vec![1]]);
    }
}
