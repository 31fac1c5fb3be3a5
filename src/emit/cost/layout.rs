//! A chain as the classifier walks it: prios in order, in each the masks in the order of their creation.

use std::collections::{BTreeMap, BTreeSet};

use super::model;
use super::worst::end;
use crate::emit::eval::{Mask, Masked, mask_of};
use crate::emit::program::{Chain, Control, Filter};
use crate::field::Cond;

/// A chain's prios.
pub struct Layout<'a> {
    pub prios: Vec<Prio<'a>>,
}

/// A prio: one protocol, one or more masks.
pub struct Prio<'a> {
    pub protocol: u16,
    pub tables: Vec<Table<'a>>,
}

/// A mask of a prio with its filters: a hash table, or a list where it has port ranges.
pub struct Table<'a> {
    pub mask: Vec<Masked>,
    /// In the order of insertion.
    pub filters: Vec<&'a Filter>,
}

impl<'a> Layout<'a> {
    /// Reads a chain. Filters are taken to be created in the order in which they stand.
    pub fn of(chain: &'a Chain) -> Self {
        let mut prios: BTreeMap<u16, (Prio<'a>, BTreeMap<Vec<Masked>, usize>)> = BTreeMap::new();
        for filter in &chain.filters {
            let new = || (Prio { protocol: filter.protocol, tables: Vec::new() }, BTreeMap::new());
            let (prio, known) = prios.entry(filter.prio).or_insert_with(new);
            let mask = mask_of(filter);
            let at = *known.entry(mask.clone()).or_insert(prio.tables.len());
            match prio.tables.get_mut(at) {
                Some(table) => table.filters.push(filter),
                None => prio.tables.push(Table { mask, filters: vec![filter] }),
            }
        }
        Self { prios: prios.into_values().map(|(prio, _)| prio).collect() }
    }

    /// Its hash tables.
    pub fn tables(&self) -> impl Iterator<Item = &Table<'a>> {
        self.prios.iter().flat_map(|prio| &prio.tables)
    }
}

impl Table<'_> {
    /// Whether it is a list of port ranges.
    pub fn is_list(&self) -> bool {
        self.mask.iter().any(|(_, part)| *part == Mask::Range)
    }

    /// Whether every packet finds a filter, none of which sends it on to the next prio: all values of a few bits are there.
    pub fn is_complete(&self) -> bool {
        let [(_, Mask::Bits(mask))] = self.mask.as_slice() else { return false };
        let values: BTreeSet<Cond> = self.filters.iter().flat_map(|filter| &filter.keys).map(|key| key.cond).collect();
        let all = 1usize.checked_shl(mask.count_ones());
        all == Some(values.len()) && self.filters.iter().all(|filter| end(filter) != Control::Continue)
    }

    /// The most that looking it up costs a packet, found or not, without the hit's own cost.
    pub fn most(&self, protocol: u16) -> u64 {
        if !self.is_list() {
            return model::miss(&self.mask, protocol);
        }
        let filters = u64::try_from(self.filters.len()).unwrap_or(u64::MAX);
        model::RANGE_MISS + model::RANGE_FILTER * filters + model::RANGE_LOOKUP * self.deepest()
    }

    /// The most filters whose range contains one port; where both ports are ranges, the smaller bound counts.
    fn deepest(&self) -> u64 {
        let ranges = self.mask.iter().filter(|(_, part)| *part == Mask::Range);
        let depth = |field| {
            let mut edges: Vec<(u32, i64)> = Vec::new();
            for key in self.filters.iter().flat_map(|filter| &filter.keys).filter(|key| key.field == field) {
                if let Cond::Range { lo, hi } = key.cond {
                    edges.extend([(u32::from(lo), 1), (u32::from(hi) + 1, -1)]);
                }
            }
            edges.sort_unstable();
            let mut open = 0;
            let depths = edges.iter().map(|(_, step)| {
                open += step;
                open
            });
            depths.max().unwrap_or_default()
        };
        ranges.map(|(field, _)| depth(*field)).min().and_then(|depth| u64::try_from(depth).ok()).unwrap_or_default()
    }
}
