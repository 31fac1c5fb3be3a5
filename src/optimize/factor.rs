//! Products of sets, factored over chains.
//!
//! ```text
//! before   one chain   src1 x dst1 x port1 -> allow, src1 x dst1 x port2 -> allow ... (100 x 100 x 10 filters)
//! after    chain A     src1 -> B, src2 -> B ...   otherwise the rest of the rules
//!          chain B     dst1 -> C ...              otherwise the rest
//!          chain C     port1 -> allow ...         otherwise the rest   (210 filters, three lookups)
//! ```
//!
//! The list of lines is split by the values of one field into classes ([`super::classes`]): in each class the field is
//! known, so lines that it rules out are left out and the others ask it no more. Their order does not change, every
//! class keeps all lines that can match in it, and the classes cover all values; so each packet meets the same first
//! line as before. A packet that nothing in a class takes goes on with the very lines it would have met.
//!
//! Flat chains cost a packet least, so a list stays flat unless factoring is cheaper by [`Price`].

mod weigh;

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::classes::Classes;
use super::lines::{Item, Lines};
use super::notes::{self, Note};
use super::price::{Price, Scale};
use super::sets::Sets;
use super::ways::{Place, Ways};
use crate::field::{Cond, Field};
use crate::hash::QuickBuild;
use crate::ir::graph::{Graph, Line, Table, TableId, Tail};

/// Most fields that a line on its own is asked one after the other.
const OWN_LEVELS: usize = 4;

/// A list of more lines is long.
const LONG: usize = 1_000;

/// The factoring of one table.
struct Factoring<'a> {
    place: Place<'a>,
    lines: Lines<'a>,
    sets: Sets<'a>,
    /// Ways on that are already built.
    built: HashMap<(Vec<Item>, Tail, usize), Tail, QuickBuild>,
    /// The fields that it sorts by.
    fields: BTreeSet<Field>,
}

/// A field to sort by.
struct Split {
    price: Price,
    field: Field,
    /// The protocol that flower wants beside a port or ICMP field.
    guard: Vec<Cond>,
    classes: Classes,
    /// The places of the lines that ask each of the sets that are sorted.
    places: Vec<Vec<usize>>,
    /// The places of those that ask nothing of the field.
    free: Vec<usize>,
}

/// Puts the table into the graph, factored over at most `levels` further gotos. `dispatch` is the origin of filters that
/// only lead on.
pub fn factor(graph: &mut Graph, table: Rc<Table>, levels: usize, dispatch: usize, scale: Scale) -> TableId {
    // What is too large is refused, whatever became of the rest of it.
    if graph.is_full() {
        let Table { frame, title, otherwise, .. } = &*table;
        let (title, otherwise) = (title.clone(), otherwise.clone());
        return graph.table(Table { frame: *frame, title, lines: Vec::new(), otherwise });
    }
    let items: Vec<Item> = (0..table.lines.len()).map(Item::new).collect();
    let lines = Lines { table: &table, scale };
    // A long list of lines that are no products is better cut.
    let products: u64 = items.iter().map(|item| lines.product(*item)).fold(0, u64::saturating_add);
    if items.len() > LONG && products <= 2 * items.len() as u64 {
        return graph.table(table);
    }
    let sets = Sets::of(lines);
    let flat = sets.flat_price(&items);
    // One lookup, and a filter for each line: nothing is cheaper.
    if flat.weight(scale) <= scale.small || (flat.visits <= 1 && flat.filters <= items.len() as u64) {
        return graph.table(table);
    }
    let before = (graph.held(), graph.len());
    let place = Place { graph, table: &table, dispatch };
    let mut factoring = Factoring { place, lines, sets, built: HashMap::default(), fields: BTreeSet::new() };
    let way = factoring.build(&items, &table.otherwise, levels);
    let (mut place, fields) = (factoring.place, factoring.fields);
    if !fields.is_empty() {
        let chains = place.graph.len() - before.1;
        // Each chain's last one too.
        let filters = (place.graph.held() - before.0).saturating_add(chains as u64);
        let note = Note::split(notes::place(&table, &place.graph.rules), &fields, products, (filters, chains));
        place.graph.notes.list.push(note);
    }
    place.end(way)
}

impl Factoring<'_> {
    /// What is done with a packet that meets these lines, and `rest` after them.
    fn build(&mut self, items: &[Item], rest: &Tail, levels: usize) -> Tail {
        let Some(first) = items.first().filter(|_| !self.place.graph.is_full()) else { return rest.clone() };
        if self.lines.always(*first)
            && let Some(line) = self.lines.line(*first)
        {
            return line.tail.clone();
        }
        let key = (items.to_vec(), rest.clone(), levels);
        if let Some(tail) = self.built.get(&key) {
            return tail.clone();
        }
        let tail = self.cheapest(items, rest, levels);
        self.built.insert(key, tail.clone());
        tail
    }

    fn cheapest(&mut self, items: &[Item], rest: &Tail, levels: usize) -> Tail {
        let weight = |price: Price| price.weight(self.lines.scale);
        let flat = weight(self.sets.flat_price(items));
        if levels == 0 || flat <= self.lines.scale.small {
            return self.flat(items, rest);
        }
        let worth = self.lines.scale.worth(flat);
        let split = self.best_split(items, worth);
        let peel = if levels > 2 { self.peel(items, worth) } else { None };
        let split_weight = split.as_ref().map_or(u64::MAX, |split| weight(split.price));
        let peel_weight = peel.as_ref().map_or(u64::MAX, |(price, ..)| weight(*price));
        if split_weight.min(peel_weight) >= worth {
            return self.flat(items, rest);
        }
        match (split, peel) {
            (_, Some((_, from, to))) if peel_weight < split_weight => self.peeled(items, from, to, rest, levels),
            (Some(split), _) => self.split(items, &split, rest, levels),
            _ => self.flat(items, rest),
        }
    }

    /// One table of all lines.
    fn flat(&mut self, items: &[Item], rest: &Tail) -> Tail {
        let mut lines = Vec::with_capacity(items.len());
        let mut otherwise = rest.clone();
        for item in items {
            let Some(line) = self.lines.line(*item) else { continue };
            if self.lines.always(*item) {
                otherwise = line.tail.clone();
                break;
            }
            let sets = self.lines.open(*item).map(|(field, conds)| (field, conds.clone())).collect();
            lines.push(Line { ether: line.ether, sets, tail: line.tail.clone() });
        }
        self.place.tail(lines, otherwise)
    }

    /// A table that sorts by one field, and a way on for each class.
    fn split(&mut self, items: &[Item], split: &Split, rest: &Tail, levels: usize) -> Tail {
        let Split { field, guard, classes, places, free, .. } = split;
        self.fields.insert(*field);
        let mut tails: Vec<Tail> = Vec::with_capacity(classes.members.len());
        for members in &classes.members {
            let asking = members.iter().filter_map(|member| places.get(*member)).flatten();
            let mut inside: Vec<usize> = asking.chain(free).copied().collect();
            inside.sort_unstable();
            let left = inside
                .into_iter()
                .filter_map(|at| items.get(at))
                .map(|item| if self.asks(*item, *field) { self.lines.knowing(*item, *field) } else { *item });
            let left: Vec<Item> = left.collect();
            tails.push(self.build(&left, rest, levels - 1));
        }
        let otherwise = tails.get(classes.otherwise).cloned().unwrap_or_else(|| rest.clone());
        // All values of a class under one mask are one line; prefixes keep their order, the longest first.
        let mut ways = Ways::by(*field, guard);
        for (cond, class) in &classes.list {
            if let Some(tail) = tails.get(*class) {
                ways.add((*class, cond.mask()), *cond, tail);
            }
        }
        ways.tail(&mut self.place, otherwise)
    }

    /// The lines before the run flat, then the run, then the rest: two gotos besides the run's own.
    fn peeled(&mut self, items: &[Item], from: usize, to: usize, rest: &Tail, levels: usize) -> Tail {
        let own = (levels - 2).min(OWN_LEVELS);
        let rest = self.build(items.get(to..).unwrap_or_default(), rest, levels - 2 - own);
        let rest = self.build(items.get(from..to).unwrap_or_default(), &rest, own);
        self.flat(items.get(..from).unwrap_or_default(), &rest)
    }

    fn asks(&self, item: Item, field: Field) -> bool {
        self.lines.conds(item, field).is_some()
    }
}
