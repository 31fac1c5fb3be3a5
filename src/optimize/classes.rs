//! One field's values sorted into classes: which of several sets of conditions each value satisfies.
//!
//! What the factoring of products stands on. The answer is a first-match list of conditions on this field alone, with
//! the class of all other values; for prefixes it is the smallest such list there is (ORTC: Draves, King, Venkatachary
//! and Zill, "Constructing optimal IP routing tables", 1999).

use std::collections::{BTreeMap, HashMap};

use crate::field::value::{ones, values_within};
use crate::field::{Cond, Field, MaskKind};
use crate::hash::QuickBuild;

/// Largest number of values that is listed one by one.
const LISTED_MAX: u128 = 1 << 16;

/// Most members of all classes together: more is no way to sort anything.
const MEMBERS_MAX: usize = 1_000_000;

/// How the values of a field fall into classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// For each class, the sets that its values satisfy: indices, ascending.
    pub members: Vec<Vec<usize>>,
    /// Conditions and classes, the first that matches counts: longer prefixes stand before shorter ones.
    pub list: Vec<(Cond, usize)>,
    /// The class of all other values.
    pub otherwise: usize,
}

impl Classes {
    /// Number of different masks, that is, of lookups.
    #[must_use]
    pub fn masks(&self) -> usize {
        let mut masks: Vec<u128> = self.list.iter().filter_map(|(cond, _)| cond.mask()).collect();
        masks.sort_unstable();
        masks.dedup();
        masks.len()
    }
}

/// Sorts the values of a field by which of `sets` they satisfy. `None` where neither one mask nor prefixes
/// can say it, or where there is too much to say.
#[must_use]
pub fn classes(field: Field, sets: &[&[Cond]]) -> Option<Classes> {
    let conds = || sets.iter().flat_map(|set| set.iter().copied());
    let first = conds().next()?.mask();
    if let Some(first) = first
        && conds().all(|cond| cond.mask() == Some(first))
    {
        return Some(under_one_mask(first, sets));
    }
    let row = field.row();
    let by_prefix = row.mask != MaskKind::Exact && conds().all(|cond| cond.interval(row.bits).is_some());
    if by_prefix { by_prefixes(row.bits, sets) } else { None }
}

/// Numbers for sets of members, in the order of their first use.
#[derive(Default)]
struct Names {
    known: HashMap<Vec<usize>, usize, QuickBuild>,
    members: Vec<Vec<usize>>,
}

impl Names {
    fn of(&mut self, members: Vec<usize>) -> usize {
        if let Some(class) = self.known.get(&members) {
            return *class;
        }
        self.known.insert(members.clone(), self.members.len());
        self.members.push(members);
        self.members.len() - 1
    }
}

/// All conditions ask the same bits: one lookup.
fn under_one_mask(mask: u128, sets: &[&[Cond]]) -> Classes {
    let mut names = Names::default();
    let nothing = names.of(Vec::new());
    let mut values: BTreeMap<u128, Vec<usize>> = BTreeMap::new();
    for (member, set) in sets.iter().enumerate() {
        for cond in *set {
            if let Cond::Bits { value, .. } = cond {
                let members = values.entry(*value).or_default();
                if members.last() != Some(&member) {
                    members.push(member);
                }
            }
        }
    }
    let mut class_of: BTreeMap<u128, usize> = BTreeMap::new();
    for (value, members) in values {
        class_of.insert(value, names.of(members));
    }
    // Where the bits are few, any class may be the one that needs no filters: `not tcp` is one filter then, not 255.
    let domain = 1u128.checked_shl(mask.count_ones()).filter(|size| *size <= LISTED_MAX);
    let mut otherwise = nothing;
    if let Some(size) = domain {
        let mut counts = vec![0u128; names.members.len()];
        for class in class_of.values() {
            if let Some(count) = counts.get_mut(*class) {
                *count += 1;
            }
        }
        let listed = u128::try_from(class_of.len()).unwrap_or(size);
        if let Some(count) = counts.get_mut(nothing) {
            *count = size - listed;
        }
        let most = counts.iter().copied().max().unwrap_or_default();
        otherwise = counts.iter().position(|count| *count == most).unwrap_or(nothing);
        if otherwise != nothing {
            for value in values_within(mask) {
                class_of.entry(value).or_insert(nothing);
            }
        }
    }
    let list = class_of.into_iter().filter(|(_, class)| *class != otherwise);
    let list = list.map(|(value, class)| (Cond::Bits { value, mask }, class)).collect();
    Classes { members: names.members, list, otherwise }
}

/// Prefixes and ranges: a longest-prefix-match list.
fn by_prefixes(bits: u8, sets: &[&[Cond]]) -> Option<Classes> {
    let mut names = Names::default();
    let blocks = blocks(bits, sets, &mut names)?;
    let mut trie = Trie::default();
    let root = trie.grow(0, 0, bits, &blocks);
    let nothing = names.known.get(&Vec::new()).copied();
    let mut list = Vec::new();
    let candidates = trie.nodes.get(root).map(|node| node.classes.clone()).unwrap_or_default();
    let otherwise = nothing.filter(|class| candidates.contains(class)).or(candidates.first().copied()).unwrap_or(0);
    trie.choose(root, otherwise, &mut list);
    list.sort_by_key(|(value, length, _)| (std::cmp::Reverse(*length), *value));
    let full = ones(bits);
    let cond =
        |value: u128, length: u8| Cond::Bits { value, mask: full & !(full.checked_shr(length.into()).unwrap_or(0)) };
    let list = list.into_iter().map(|(value, length, class)| (cond(value, length), class)).collect();
    Some(Classes { members: names.members, list, otherwise })
}

/// The field's values as adjacent intervals, each of one class: first and last value, class. `None` where that is too much.
fn blocks(bits: u8, sets: &[&[Cond]], names: &mut Names) -> Option<Vec<(u128, u128, usize)>> {
    let full = ones(bits);
    // Where a set begins (+1) or has ended (-1).
    let mut edges: Vec<(u128, usize, i32)> = Vec::new();
    for (member, set) in sets.iter().enumerate() {
        for (lo, hi) in set.iter().filter_map(|cond| cond.interval(bits)) {
            edges.push((lo, member, 1));
            if hi < full {
                edges.push((hi + 1, member, -1));
            }
        }
    }
    edges.sort_unstable();
    let mut active: BTreeMap<usize, i32> = BTreeMap::new();
    let mut blocks: Vec<(u128, u128, usize)> = Vec::new();
    let mut from = 0u128;
    let mut at = 0;
    let mut members = 0;
    loop {
        while let Some((_, member, change)) = edges.get(at).copied().filter(|edge| edge.0 == from) {
            let count = active.entry(member).or_insert(0);
            *count += change;
            if *count == 0 {
                active.remove(&member);
            }
            at += 1;
        }
        members += active.len();
        if members > MEMBERS_MAX {
            return None;
        }
        let class = names.of(active.keys().copied().collect());
        let next = edges.get(at).map(|edge| edge.0);
        let last = next.map_or(full, |next| next - 1);
        match blocks.last_mut() {
            Some((_, end, known)) if *known == class => *end = last,
            _ => blocks.push((from, last, class)),
        }
        match next {
            Some(next) => from = next,
            None => return Some(blocks),
        }
    }
}

/// A binary trie over the field's bits.
#[derive(Default)]
struct Trie {
    nodes: Vec<Node>,
}

struct Node {
    value: u128,
    length: u8,
    /// Classes with which this block needs the fewest entries.
    classes: Vec<usize>,
    children: Option<(usize, usize)>,
}

impl Trie {
    /// The node of a block of values, given the intervals that meet it.
    fn grow(&mut self, value: u128, length: u8, bits: u8, blocks: &[(u128, u128, usize)]) -> usize {
        let (classes, children) = match blocks {
            [(_, _, class)] => (vec![*class], None),
            _ if length == bits => (Vec::new(), None),
            _ => {
                let half = value | 1u128 << (bits - length - 1);
                let low = blocks.partition_point(|(lo, _, _)| *lo < half);
                let high = blocks.partition_point(|(_, hi, _)| *hi < half);
                let left = self.grow(value, length + 1, bits, blocks.get(..low).unwrap_or_default());
                let right = self.grow(half, length + 1, bits, blocks.get(high..).unwrap_or_default());
                (self.fewest(left, right), Some((left, right)))
            }
        };
        self.nodes.push(Node { value, length, classes, children });
        self.nodes.len() - 1
    }

    /// What both halves can do with the same entry, else what either can.
    fn fewest(&self, left: usize, right: usize) -> Vec<usize> {
        let of = |node: usize| self.nodes.get(node).map(|node| node.classes.as_slice()).unwrap_or_default();
        let (left, right) = (of(left), of(right));
        let both: Vec<usize> = left.iter().copied().filter(|class| right.binary_search(class).is_ok()).collect();
        if !both.is_empty() {
            return both;
        }
        let mut either = [left, right].concat();
        either.sort_unstable();
        either.dedup();
        either
    }

    /// Entries of this node and those below, where `inherited` is what holds without them.
    fn choose(&self, node: usize, inherited: usize, list: &mut Vec<(u128, u8, usize)>) {
        let Some(node) = self.nodes.get(node) else { return };
        let mut class = inherited;
        if !node.classes.contains(&inherited)
            && let Some(first) = node.classes.first()
        {
            class = *first;
            list.push((node.value, node.length, class));
        }
        if let Some((left, right)) = node.children {
            self.choose(left, class, list);
            self.choose(right, class, list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::value::prefixes;
    use proptest::prelude::*;

    fn class_of(classes: &Classes, value: u128) -> &[usize] {
        let hit = classes.list.iter().find(|(cond, _)| cond.matches(value)).map(|(_, class)| *class);
        &classes.members[hit.unwrap_or(classes.otherwise)]
    }

    fn members(sets: &[Vec<Cond>], value: u128) -> Vec<usize> {
        (0..sets.len()).filter(|member| sets[*member].iter().any(|cond| cond.matches(value))).collect()
    }

    #[test]
    fn all_protocols_but_one_need_one_filter() {
        let not_tcp: Vec<Cond> = (0..256).filter(|n| *n != 6).map(|n| Cond::exact(Field::IpProto, n)).collect();
        let classes = classes(Field::IpProto, &[&not_tcp]).unwrap();
        assert_eq!(classes.list.len(), 1);
        assert_eq!((class_of(&classes, 6), class_of(&classes, 17)), ([].as_slice(), [0].as_slice()));
    }

    #[test]
    fn a_prefix_with_a_hole_needs_two_filters() {
        // 10.0.0.0/8 without 10.1.0.0/16: eight prefixes when written out.
        let (net, hole) = (0x0a00_0000, 0x0a01_0000);
        let parts = [(net, hole - 1), (hole + 0x1_0000, net + 0x00ff_ffff)];
        let conds: Vec<Cond> = parts
            .iter()
            .flat_map(|(lo, hi)| prefixes(*lo, *hi, 32))
            .map(|(value, mask)| Cond::Bits { value, mask })
            .collect();
        assert!(conds.len() >= 8);
        let classes = classes(Field::Ipv4Src, &[&conds]).unwrap();
        assert_eq!(classes.list.len(), 2);
        assert_eq!(classes.masks(), 2);
    }

    #[test]
    fn bits_here_and_there_are_not_sorted() {
        let conds = [Cond::Bits { value: 1, mask: 1 }, Cond::Bits { value: 2, mask: 2 }];
        assert_eq!(classes(Field::CtMark, &[&conds]), None);
        assert!(classes(Field::CtMark, &[&conds[..1]]).is_some());
    }

    proptest! {
        #[test]
        fn every_value_is_in_the_class_of_the_sets_that_it_satisfies(
            ranges in proptest::collection::vec(proptest::collection::vec((0u16..=2047, 0u16..=700), 1..4), 1..5),
        ) {
            let sets: Vec<Vec<Cond>> = ranges
                .iter()
                .map(|set| set.iter().map(|(lo, size)| Cond::Range { lo: *lo, hi: lo + size + 1 }).collect())
                .collect();
            let list: Vec<&[Cond]> = sets.iter().map(Vec::as_slice).collect();
            let classes = classes(Field::DstPort, &list).unwrap();
            for value in (0..3000).chain([65535]) {
                prop_assert_eq!(class_of(&classes, value), members(&sets, value));
            }
        }

        #[test]
        fn the_same_under_one_mask(sets in proptest::collection::vec(proptest::collection::vec(0u8..=255, 1..80), 1..5)) {
            let sets: Vec<Vec<Cond>> = sets
                .iter()
                .map(|set| set.iter().map(|value| Cond::exact(Field::IpProto, u128::from(*value))).collect())
                .collect();
            let list: Vec<&[Cond]> = sets.iter().map(Vec::as_slice).collect();
            let classes = classes(Field::IpProto, &list).unwrap();
            for value in 0..256 {
                prop_assert_eq!(class_of(&classes, value), members(&sets, value));
            }
        }
    }
}
