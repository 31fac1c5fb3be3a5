//! Lines of a table of which some fields are known already.

use super::price::Scale;
use super::prios::Shape;
use crate::field::{Cond, Conds, Field};
use crate::ir::graph::{End, Line, Table};

/// A line of the table, with the fields that are already known (bits by `Field`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// Another line, of which the same is known.
    pub const fn at(self, line: usize) -> Self {
        Self { line, ..self }
    }

    /// Whether this field is known to fit.
    pub const fn knows(self, field: Field) -> bool {
        self.known & (1 << field as u32) != 0
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
    pub fn open(self, item: Item) -> impl Iterator<Item = (Field, &'a Conds)> {
        self.all(item).filter(move |(field, _)| !item.knows(*field))
    }

    /// All fields that the line asks, known or not, with their conditions.
    pub fn all(self, item: Item) -> impl Iterator<Item = (Field, &'a Conds)> {
        self.line(item).into_iter().flat_map(|line| &line.sets).map(|(field, conds)| (*field, conds))
    }

    /// The conditions on a field, where it is asked and not known yet.
    pub fn conds(self, item: Item, field: Field) -> Option<&'a Conds> {
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

    /// The masks of a line's filters, with how many filters each has.
    pub fn shapes(self, item: Item) -> Vec<(Shape, u64)> {
        let mut list: Vec<(Shape, u64)> = vec![(Shape::new(), 1)];
        for (field, conds) in self.open(item) {
            let masks = masks(conds);
            let longer = |(shape, count): &(Shape, u64)| {
                let each = |(mask, n): &(Option<u128>, u64)| {
                    ([shape.as_slice(), &[(field, *mask)]].concat(), count.saturating_mul(*n))
                };
                masks.iter().map(each).collect::<Vec<_>>()
            };
            list = list.iter().flat_map(longer).collect();
        }
        list
    }
}

/// The masks of a set, each with how many of its conditions have it; a range has none.
pub fn masks(conds: &[Cond]) -> Vec<(Option<u128>, u64)> {
    summed(conds.iter().map(|cond| (cond.mask(), 1)).collect())
}

/// Each of them once, in order, with the sum of its counts.
pub fn summed<T: Ord>(mut counts: Vec<(T, u64)>) -> Vec<(T, u64)> {
    counts.sort_unstable();
    counts.dedup_by(|(other, more), (known, count)| {
        let same = other == known;
        if same {
            *count = count.saturating_add(*more);
        }
        same
    });
    counts
}
