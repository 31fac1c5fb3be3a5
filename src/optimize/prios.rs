//! First match with the fewest (prio, mask) visits that simple means give.
//!
//! A prio holds filters of one protocol and one mask, so nothing ever depends on the order in which the kernel tries the
//! masks of a prio (kernel-facts 2.1: creation order). A filter joins the earliest prio of its mask that lies behind
//! every filter before it that it overlaps; where there is none, it opens a new prio at the end. Moving a filter before
//! others that no packet shares with it changes no verdict, so first-match order is kept.

use std::collections::HashMap;

use crate::abi::eth;
use crate::field::{Cond, Field, Key};

/// Fields with their masks, `None` for a range: what flower calls a mask.
pub type Shape = Vec<(Field, Option<u128>)>;

/// The mask of these keys.
#[must_use]
pub fn shape_of(keys: &[Key]) -> Shape {
    keys.iter().map(|key| (key.field, key.cond.mask())).collect()
}

/// Which filters of a group agree on some bits: projected values to members. Never iterated.
struct Index {
    fields: Vec<(Field, u128)>,
    members: HashMap<Vec<u128>, Vec<usize>>,
}

/// One prio.
struct Group {
    protocol: u16,
    shape: Shape,
    members: Vec<Placed>,
    indexes: Vec<Index>,
    /// The first and the last line that its members come from.
    lines: (usize, usize),
}

/// A filter in its place.
pub struct Placed {
    /// In canonical order.
    pub keys: Vec<Key>,
    /// The caller's number of its line.
    pub line: usize,
    /// Whether the packet may go on to later prios.
    pub goes_on: bool,
}

/// The prios of one chain.
#[derive(Default)]
pub struct Prios {
    groups: Vec<Group>,
}

impl Prios {
    /// Places the next filter in first-match order. A filter whose very key stands earlier can never match and is left out.
    pub fn place(&mut self, protocol: u16, filter: Placed) {
        let shape = shape_of(&filter.keys);
        let mut place = None;
        for (at, group) in self.groups.iter_mut().enumerate().rev() {
            let (same, apart) = (group.protocol == protocol, ![group.protocol, protocol].contains(&eth::P_ALL));
            if !same && apart {
                continue;
            }
            let same = same && group.shape == shape;
            if !same && group.lines == (filter.line, filter.line) {
                // Filters of one line do the same, so their order decides nothing.
                continue;
            }
            if let Some(member) = group.overlapping(&filter.keys) {
                if same && !member.goes_on && member.keys == filter.keys {
                    return;
                }
                break;
            }
            if same {
                place = Some(at);
            }
        }
        if let Some(group) = place.and_then(|at| self.groups.get_mut(at)) {
            group.push(filter);
        } else {
            let lines = (filter.line, filter.line);
            let mut group = Group { protocol, shape, members: Vec::new(), indexes: Vec::new(), lines };
            group.push(filter);
            self.groups.push(group);
        }
    }

    /// Protocol and filters of each prio, in order.
    pub fn into_prios(self) -> impl Iterator<Item = (u16, Vec<Placed>)> {
        self.groups.into_iter().map(|group| (group.protocol, group.members))
    }
}

impl Group {
    fn push(&mut self, filter: Placed) {
        let at = self.members.len();
        for index in &mut self.indexes {
            let projected = project(&index.fields, &filter.keys);
            index.members.entry(projected).or_default().push(at);
        }
        self.lines.1 = self.lines.1.max(filter.line);
        self.members.push(filter);
    }

    /// A filter of this group that shares a packet with these keys.
    fn overlapping(&mut self, keys: &[Key]) -> Option<&Placed> {
        let mut fields = Vec::new();
        let mut ranges = false;
        for (field, mask) in &self.shape {
            let Some(key) = keys.iter().find(|key| key.field == *field) else { continue };
            match (mask, key.cond) {
                (Some(mask), Cond::Bits { mask: other, .. }) if mask & other != 0 => {
                    fields.push((*field, mask & other));
                }
                (Some(_), Cond::Bits { .. }) => {}
                _ => ranges = true,
            }
        }
        let known = self.indexes.iter().position(|index| index.fields == fields);
        let at = known.unwrap_or_else(|| {
            let mut members: HashMap<Vec<u128>, Vec<usize>> = HashMap::new();
            for (at, member) in self.members.iter().enumerate() {
                members.entry(project(&fields, &member.keys)).or_default().push(at);
            }
            self.indexes.push(Index { fields: fields.clone(), members });
            self.indexes.len() - 1
        });
        let candidates = self.indexes.get(at)?.members.get(&project(&fields, keys))?;
        let mut candidates = candidates.iter().filter_map(|at| self.members.get(*at));
        if ranges {
            return candidates.find(|member| overlap(&member.keys, keys));
        }
        candidates.next()
    }
}

/// The values of these bits.
fn project(fields: &[(Field, u128)], keys: &[Key]) -> Vec<u128> {
    let mut at = keys.iter();
    fields
        .iter()
        .map(|(field, mask)| match at.find(|key| key.field == *field).map(|key| key.cond) {
            Some(Cond::Bits { value, .. }) => value & mask,
            _ => 0,
        })
        .collect()
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

    fn layout(filters: Vec<Vec<Key>>) -> Vec<Vec<usize>> {
        let mut prios = Prios::default();
        for (line, keys) in filters.into_iter().enumerate() {
            prios.place(1, Placed { keys, line, goes_on: false });
        }
        prios.into_prios().map(|(_, members)| members.iter().map(|member| member.line).collect()).collect()
    }

    #[test]
    fn one_mask_is_one_prio_however_many() {
        let filters = (0..100u128).map(|n| vec![key(Field::Ipv4Src, n, 0xffff_ffff)]).collect();
        assert_eq!(layout(filters), vec![(0..100).collect::<Vec<_>>()]);
    }

    #[test]
    fn overlapping_filters_keep_their_order() {
        let host = |n| vec![key(Field::Ipv4Src, n, 0xffff_ffff)];
        let net = |n| vec![key(Field::Ipv4Src, n, 0xffff_ff00)];
        // 0x101 lies in 0x100/24, 0x201 does not: it may join the first prio, 0x102 may not.
        assert_eq!(layout(vec![host(0x101), net(0x100), host(0x201), host(0x102)]), vec![vec![0, 2], vec![1], vec![3]]);
    }

    #[test]
    fn a_second_filter_with_the_same_key_is_dead() {
        let filter = vec![key(Field::DstPort, 80, 0xffff)];
        assert_eq!(layout(vec![filter.clone(), filter]), vec![vec![0]]);
    }

    #[test]
    fn overlapping_ranges_of_one_mask_are_apart() {
        let range = |lo, hi| vec![Key { field: Field::DstPort, cond: Cond::Range { lo, hi } }];
        assert_eq!(layout(vec![range(1, 10), range(5, 20), range(30, 40)]), vec![vec![0, 2], vec![1]]);
    }
}
