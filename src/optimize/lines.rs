//! Lines of a table of which some fields are known already, and what they would cost as one chain.

use std::collections::BTreeMap;

use super::masks::{self, Kind};
use super::price::{Price, Scale};
use super::prios::Shape;
use crate::field::{Cond, Field};
use crate::ir::graph::{End, Line, Table};

/// Most masks for which the price of merging them is worked out.
const MERGED_MAX: usize = 300;

/// A line of the table, with the fields that are already known (bits by `Field`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Item {
    /// Which line.
    pub line: usize,
    known: u32,
}

impl Item {
    /// The line as it stands.
    pub const fn new(line: usize) -> Self {
        Self { line, known: 0 }
    }

    /// The line where this field is known to fit.
    pub const fn knowing(self, field: Field) -> Self {
        Self { known: self.known | 1 << field as u32, ..self }
    }
}

/// The lines of a table.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    /// The table.
    pub table: &'a Table,
    /// What things are worth.
    pub scale: Scale,
}

impl<'a> Lines<'a> {
    /// The line itself.
    pub fn line(self, item: Item) -> Option<&'a Line> {
        self.table.lines.get(item.line)
    }

    /// The fields that are not known yet, with their conditions.
    pub fn open(self, item: Item) -> impl Iterator<Item = (Field, &'a [Cond])> {
        let sets = self.line(item).into_iter().flat_map(|line| &line.sets);
        sets.filter(move |(field, _)| item.known & (1 << *field as u32) == 0)
            .map(|(field, conds)| (*field, conds.as_slice()))
    }

    /// The conditions on a field, where it is asked and not known yet.
    pub fn conds(self, item: Item, field: Field) -> Option<&'a [Cond]> {
        self.open(item).find(|(known, _)| *known == field).map(|(_, conds)| conds)
    }

    /// Whether the line matches every packet that meets it, and decides.
    pub fn always(self, item: Item) -> bool {
        let decides = self.line(item).is_some_and(|line| line.ether.is_none() && line.tail.end != End::Continue);
        decides && self.open(item).next().is_none()
    }

    /// The line where this field is known to fit. The protocol stays in a line that asks for something behind it: flower
    /// reads nothing there without it.
    pub fn knowing(self, item: Item, field: Field) -> Item {
        let needed = field == Field::IpProto && self.open(item).any(|(other, _)| other.is_layer4());
        if needed { item } else { item.knowing(field) }
    }

    /// Filters of the line multiplied out.
    pub fn product(self, item: Item) -> u64 {
        self.open(item).fold(1u64, |product, (_, conds)| product.saturating_mul(conds.len() as u64))
    }

    /// What the lines cost as one table, each mask met once.
    pub fn flat_price(self, items: &[Item]) -> Price {
        let mut kinds: BTreeMap<Kind, u64> = BTreeMap::new();
        for item in items {
            let ether = self.line(*item).and_then(|line| line.ether).unwrap_or_default();
            for (shape, count) in self.shapes(*item) {
                let known = kinds.entry((ether, shape)).or_default();
                *known = known.saturating_add(count);
            }
        }
        // A mask with ranges is up to three times as dear (performance.md 2.2).
        let ranges = kinds.keys().filter(|(_, shape)| shape.iter().any(|(_, mask)| mask.is_none())).count() as u64;
        let (filters, masks) = if kinds.len() <= MERGED_MAX {
            masks::price(kinds, self.scale)
        } else {
            (kinds.values().fold(0u64, |sum, count| sum.saturating_add(*count)), kinds.len() as u64)
        };
        Price { filters, visits: masks + ranges, gotos: 0, chains: 1 }
    }

    /// The masks of a line's filters, with how many filters each has.
    pub fn shapes(self, item: Item) -> Vec<(Shape, u64)> {
        let mut list: Vec<(Shape, u64)> = vec![(Shape::new(), 1)];
        for (field, conds) in self.open(item) {
            let mut masks: BTreeMap<Option<u128>, u64> = BTreeMap::new();
            for cond in conds {
                *masks.entry(cond.mask()).or_default() += 1;
            }
            let longer = |(shape, count): &(Shape, u64)| {
                let each = |(mask, n): (&Option<u128>, &u64)| {
                    ([shape.as_slice(), &[(field, *mask)]].concat(), count.saturating_mul(*n))
                };
                masks.iter().map(each).collect::<Vec<_>>()
            };
            list = list.iter().flat_map(longer).collect();
        }
        list
    }
}
