//! A table that sorts packets by one field, with a line for each way on.

use std::collections::HashMap;
use std::hash::Hash;

use crate::field::{Cond, Conds, Field};
use crate::ir::graph::{End, Graph, Line, Table, TableId, Tail};

/// The lines of such a table. Values of one way (`K` tells which) share a line.
pub struct Ways<K> {
    field: Field,
    guard: Option<Conds>,
    /// Values and tail of each line.
    lines: Vec<(Vec<Cond>, Tail)>,
    place: HashMap<K, usize>,
}

impl<K: Eq + Hash> Ways<K> {
    /// No way yet. `guard`: what [`guard`] says of the field.
    pub fn by(field: Field, guard: &[Cond]) -> Self {
        let guard = (!guard.is_empty()).then(|| guard.iter().copied().collect());
        Self { field, guard, lines: Vec::new(), place: HashMap::new() }
    }

    /// Packets of this value go this way.
    pub fn add(&mut self, way: K, cond: Cond, tail: &Tail) {
        let at = *self.place.entry(way).or_insert_with(|| {
            self.lines.push((Vec::new(), tail.clone()));
            self.lines.len() - 1
        });
        if let Some((conds, _)) = self.lines.get_mut(at) {
            conds.push(cond);
        }
    }

    /// What is done with a packet that is sorted so, and takes `otherwise` where it has none of the values.
    pub fn tail(self, place: &mut Place<'_>, otherwise: Tail) -> Tail {
        // Where all ways are one, nothing need be asked.
        if self.lines.iter().all(|(_, tail)| *tail == otherwise) {
            return otherwise;
        }
        let guard = self.guard.map(|guard| (Field::IpProto, guard));
        let line = |(conds, tail): (Vec<Cond>, Tail)| {
            let sets = guard.clone().into_iter().chain([(self.field, conds.into())]);
            Line { ether: None, sets: sets.collect(), tail }
        };
        place.tail(self.lines.into_iter().map(line).collect(), otherwise)
    }
}

/// Where a table that becomes several is put.
pub struct Place<'a> {
    /// The graph that takes them.
    pub graph: &'a mut Graph,
    /// The table that they replace.
    pub table: &'a Table,
    /// The origin of lines that only lead on: an index into [`Graph::rules`].
    pub dispatch: usize,
}

impl Place<'_> {
    /// A way to a table of these lines.
    pub fn tail(&mut self, lines: Vec<Line>, otherwise: Tail) -> Tail {
        if lines.is_empty() {
            return otherwise;
        }
        let id = self.put(lines, otherwise);
        Tail { steps: Vec::new(), end: End::Goto(id), rule: self.dispatch }
    }

    /// The table that this way leads to; where it does more than lead on, one that does it.
    pub fn end(&mut self, way: Tail) -> TableId {
        way.goto().filter(|_| way.steps.is_empty()).unwrap_or_else(|| self.put(Vec::new(), way))
    }

    fn put(&mut self, lines: Vec<Line>, otherwise: Tail) -> TableId {
        let Table { frame, title, .. } = self.table;
        self.graph.table(Table { frame: *frame, title: title.clone(), lines, otherwise })
    }
}

/// The protocol that flower wants beside a port or ICMP field; empty where none is needed, `None` where the lines that ask for
/// the field do not agree on one.
pub fn guard<'a>(lines: impl IntoIterator<Item = &'a Line>, field: Field) -> Option<Vec<Cond>> {
    let mut found: &[Cond] = &[];
    for line in lines.into_iter().filter(|line| field.is_layer4() && line.asked(field).is_some()) {
        let conds = line.asked(Field::IpProto)?;
        if conds.len() != 1 || (!found.is_empty() && found != conds) {
            return None;
        }
        found = conds;
    }
    Some(found.to_vec())
}
