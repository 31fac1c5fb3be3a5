//! Lines by what they ask of some bits of a field.

use std::collections::HashMap;

use crate::field::value::{Intervals, ones};
use crate::field::{Cond, Field};
use crate::ir::graph::Line;

/// Most values that one chain tells apart: each is a chain, and chains of a block are a list in the kernel.
const VALUES_MAX: usize = 2_048;

/// Lines by the value that they ask for.
#[derive(Default)]
pub(super) struct Sorted {
    /// For each value, the lines that ask something that agrees with it, ascending.
    pub values: Vec<(u128, Vec<Asking>)>,
    /// Lines that ask nothing: they can match everywhere.
    pub free: Vec<usize>,
    /// Lines that can match where none of the values is, those that ask nothing among them.
    pub rest: Vec<Asking>,
    /// Filters of each value, and of none.
    pub filters: Vec<u64>,
    /// Filters of the rest.
    pub rest_filters: u64,
}

/// A line that asks something of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asking {
    pub row: usize,
    /// How many of its conditions may fit there; 0 where it asks nothing.
    pub conds: u64,
    /// Whether they take all that comes there.
    pub known: bool,
}

impl Sorted {
    /// The lines `from..` of this list. With `only`, the other values are none. `None` where there is nothing to cut, where there are too many
    /// values, or more than so many lines in all chains.
    pub fn of(
        lines: &[Line],
        from: usize,
        (field, mask): (Field, u128),
        only: Option<u128>,
        most: u64,
    ) -> Option<Self> {
        let known = || lines.iter().filter_map(|line| line.asked(field)).flatten().filter_map(|cond| cond.known(mask));
        let mut values: Vec<u128> = known().filter(|value| only.is_none_or(|only| only == *value)).collect();
        values.sort_unstable();
        values.dedup();
        if values.is_empty() || values.len() > VALUES_MAX {
            return None;
        }
        let places: HashMap<u128, usize> = values.iter().copied().zip(0..).collect();
        let mut sorted =
            Self { values: values.into_iter().map(|value| (value, Vec::new())).collect(), ..Self::default() };
        let mut rows = 0u64;
        for (row, line) in (from..).zip(lines) {
            let Some(conds) = line.asked(field) else {
                sorted.free.push(row);
                sorted.rest.push(Asking { row, conds: 0, known: false });
                continue;
            };
            let mut wide = 0;
            for cond in conds {
                let value = cond.known(mask);
                if let Some(at) = value.and_then(|value| places.get(&value)) {
                    rows += sorted.add(*at, row, *cond, mask);
                    continue;
                }
                wide += 1;
                if value.is_some() {
                    continue;
                }
                let (first, last) = span(*cond, mask);
                let near = sorted.values.partition_point(|(value, _)| *value < first);
                for at in near..sorted.values.len() {
                    let Some(value) = sorted.values.get(at).map(|(value, _)| *value).filter(|value| *value <= last)
                    else {
                        break;
                    };
                    if cond.overlaps(Cond::Bits { value, mask }) {
                        rows += sorted.add(at, row, *cond, mask);
                    }
                }
            }
            if wide > 0 {
                sorted.rest.push(Asking { row, conds: wide, known: false });
            }
            let copies = (sorted.free.len() as u64).saturating_mul(sorted.values.len() as u64);
            if rows.saturating_add(copies) > most {
                return None;
            }
        }
        if field.is_layer4() {
            sorted.know_rest(lines, from, field, mask);
        }
        (sorted.values.len() > 1 || !sorted.rest.is_empty()).then_some(sorted)
    }

    /// Finds the lines that take all ports that have none of the values. (Of other fields few conditions take all but some.)
    fn know_rest(&mut self, lines: &[Line], from: usize, field: Field, mask: u128) {
        let host = !mask & ones(16);
        let values = self.values.iter().map(|(value, _)| (*value, value | host)).collect();
        let elsewhere = Intervals::new(values).complement(16);
        for asking in self.rest.iter_mut().filter(|asking| asking.conds > 0) {
            let own = asking.row.checked_sub(from).and_then(|at| lines.get(at)).and_then(|line| line.asked(field));
            asking.known = own.and_then(ports_of).is_some_and(|own| elsewhere.minus(&own, 16).is_empty());
        }
    }

    /// Counts the line in for a value: 1 where it is new there.
    fn add(&mut self, at: usize, row: usize, cond: Cond, mask: u128) -> u64 {
        let Some((value, list)) = self.values.get_mut(at) else { return 0 };
        let covered = cond.covers(Cond::Bits { value: *value, mask });
        if let Some(last) = list.last_mut().filter(|last| last.row == row) {
            last.conds += 1;
            last.known |= covered;
            return 0;
        }
        list.push(Asking { row, conds: 1, known: covered });
        1
    }

    /// All lines of a value, in their order.
    pub fn with_free(&self, rows: &[Asking]) -> Vec<usize> {
        let mut all: Vec<usize> = rows.iter().map(|asking| asking.row).chain(self.free.iter().copied()).collect();
        all.sort_unstable();
        all
    }
}

/// The least and the greatest value of these bits that satisfies the condition; not all between them need to.
fn span(cond: Cond, mask: u128) -> (u128, u128) {
    match cond {
        Cond::Bits { value, mask: own } => (value & mask, (value & mask) | (mask & !own)),
        Cond::Range { lo, hi } => (u128::from(lo) & mask, u128::from(hi)),
    }
}

/// The ports that satisfy one of these conditions; `None` where they are no intervals.
fn ports_of(conds: &[Cond]) -> Option<Intervals> {
    conds.iter().map(|cond| cond.interval(16)).collect::<Option<_>>().map(Intervals::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::value::prefixes;
    use crate::ir::graph::{End, Tail};

    fn sorted(conds: &[Vec<Cond>], mask: u128, only: Option<u128>) -> Option<Sorted> {
        let line = |conds: &Vec<Cond>| {
            let sets = if conds.is_empty() { Vec::new() } else { vec![(Field::DstPort, conds.clone().into())] };
            Line { ether: None, sets, tail: Tail { steps: Vec::new(), end: End::Pass, rule: 0 } }
        };
        let lines: Vec<Line> = conds.iter().map(line).collect();
        Sorted::of(&lines, 0, (Field::DstPort, mask), only, 1_000)
    }

    fn range(lo: u16, hi: u16) -> Vec<Cond> {
        vec![Cond::Range { lo, hi }]
    }

    fn known(sorted: &Sorted) -> Vec<(usize, bool)> {
        sorted.rest.iter().map(|asking| (asking.row, asking.known)).collect()
    }

    #[test]
    fn what_takes_all_ports_that_are_left_need_not_be_asked() {
        let parts = prefixes(1024, 65535, 16).into_iter().map(|(value, mask)| Cond::Bits { value, mask }).collect();
        let port = |port| vec![Cond::exact(Field::DstPort, port)];
        let lists = [port(80), range(1024, 65535), range(53, 65535), range(1025, 65535), parts, port(8080), Vec::new()];
        let sorted = sorted(&lists, 0xfc00, Some(0)).unwrap();
        let low: Vec<(usize, bool)> = sorted.values[0].1.iter().map(|asking| (asking.row, asking.known)).collect();
        assert_eq!((sorted.values[0].0, low), (0, vec![(0, false), (2, false)]));
        assert_eq!(known(&sorted), [(1, true), (2, true), (3, false), (4, true), (5, false), (6, false)]);
        assert_eq!(sorted.free, [6]);
    }

    #[test]
    fn a_line_stands_wherever_it_can_match() {
        let lists =
            [vec![Cond::exact(Field::DstPort, 80), Cond::exact(Field::DstPort, 81)], range(70, 80), range(81, 90)];
        let sorted = sorted(&lists, 0xffff, None).unwrap();
        let rows = |at: usize| sorted.values[at].1.iter().map(|asking| asking.row).collect::<Vec<_>>();
        assert_eq!((sorted.values.len(), rows(0), rows(1)), (2, vec![0, 1], vec![0, 2]));
        assert_eq!(known(&sorted), [(1, false), (2, false)]);
    }

    #[test]
    fn one_value_for_all_is_no_cut() {
        assert!(sorted(&[range(1, 2), Vec::new()], 0xffff, None).is_none());
        let port = vec![Cond::exact(Field::DstPort, 80)];
        assert!(sorted(&[port.clone(), port], 0xffff, None).is_none());
    }
}
