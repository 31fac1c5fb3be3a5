//! What a list of lines costs as one chain, and cut: an estimate, in time that grows with the lines.

use std::collections::HashMap;

use super::chain::{Chain, Cost, Missing, Row, row};
use super::sorted::{Asking, Sorted};
use crate::field::Field;
use crate::ir::graph::Line;
use crate::optimize::price::Scale;

/// The lines of a list.
pub(super) struct Weights<'a> {
    /// The packets of each.
    own: &'a [u64],
    plain: Vec<Row>,
    /// The same where a field is known, for lines that ask it.
    known: Vec<Vec<(Field, Row)>>,
    /// Masks by their hashes.
    names: HashMap<u64, usize>,
}

impl<'a> Weights<'a> {
    pub fn of(lines: &[Line], own: &'a [u64]) -> Self {
        let mut weights =
            Self { own, plain: Vec::with_capacity(lines.len()), known: Vec::new(), names: HashMap::new() };
        for line in lines {
            let row = weights.name(row(line, None));
            weights.plain.push(row);
        }
        weights
    }

    /// Weighs the lines where one of these fields is known, too.
    pub fn know(&mut self, lines: &[Line], fields: &[Field]) {
        self.known = Vec::with_capacity(lines.len());
        for line in lines {
            let asked = line.sets.iter().map(|(field, _)| *field).filter(|field| fields.contains(field));
            let known = asked.map(|field| (field, self.name(row(line, Some(field))))).collect();
            self.known.push(known);
        }
    }

    /// The packets of these lines.
    pub fn own(&self, from: usize, to: usize) -> &'a [u64] {
        self.own.get(from..to).unwrap_or_default()
    }

    fn name(&mut self, (row, hash): (Row, u64)) -> Row {
        let next = self.names.len();
        Row { name: *self.names.entry(hash).or_insert(next), ..row }
    }

    /// What these lines cost as one chain, for packets that have paid so much `before`.
    pub fn flat(&self, rows: impl Iterator<Item = usize>, missing: Missing, before: u64, scale: Scale) -> Cost {
        let mut chain = Chain::new(self.names.len(), scale);
        chain.start();
        let both = rows.filter_map(|row| self.plain.get(row).zip(self.own.get(row)));
        both.for_each(|(row, weight)| chain.add(*row, *weight));
        chain.cost(missing, before, 0)
    }

    /// What a cut costs.
    pub fn cut(&self, sorted: &Sorted, field: Field, missing: Missing, before: u64, scale: Scale) -> Cost {
        let packets = sorted.packets();
        let mut beyond = missing;
        let mut chain = Chain::new(self.names.len(), scale);
        for free in &sorted.free {
            if let Some(row) = self.plain.get(free.row) {
                chain.add_everywhere(*row, free.weight);
            }
        }
        let way = scale.visit + scale.goto;
        let mut all = Cost::default();
        let mut take = |cost: Cost| {
            all.add(cost);
            all.filters = all.filters.saturating_add(scale.chain + 1);
        };
        for (_, rows) in &sorted.values {
            chain.start();
            self.fill(&mut chain, rows, field);
            let own = missing.within(chain.packets(), packets);
            beyond.near = beyond.near.saturating_sub(own.near);
            take(chain.cost(own, before, way));
        }
        let mut chain = Chain::new(self.names.len(), scale);
        chain.start();
        self.fill(&mut chain, &sorted.rest, field);
        // The chain's last filter leads there.
        take(chain.cost(beyond, before, way + scale.visit));
        Cost { full: all.full / all.weight.max(1), ..all }
    }

    fn fill(&self, chain: &mut Chain, rows: &[Asking], field: Field) {
        for asking in rows {
            if let Some(row) = self.knowing(asking, field) {
                chain.add(row, asking.weight);
            }
        }
    }

    /// The line where this is known of the field.
    fn knowing(&self, asking: &Asking, field: Field) -> Option<Row> {
        if asking.conds == 0 {
            return self.plain.get(asking.row).copied();
        }
        let known = self.known.get(asking.row)?.iter().find(|(known, _)| *known == field).map(|(_, row)| *row)?;
        if asking.known {
            return Some(known);
        }
        let plain = self.plain.get(asking.row)?;
        Some(Row { filters: known.filters.saturating_mul(asking.conds), ..*plain })
    }
}
