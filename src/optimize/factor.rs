//! Products of sets, factored over chains.
//!
//!     before   one chain   src1 x dst1 x port1 -> allow, src1 x dst1 x port2 -> allow ... (100 x 100 x 10 filters)
//!     after    chain A     src1 -> B, src2 -> B ...   otherwise the rest of the rules
//!              chain B     dst1 -> C ...              otherwise the rest
//!              chain C     port1 -> allow ...         otherwise the rest   (210 filters, three lookups)
//!
//! The list of lines is split by the values of one field into classes ([`super::classes`]): in each class the field is
//! known, so lines that it rules out are left out and the others ask it no more. Their order does not change, every
//! class keeps all lines that can match in it, and the classes cover all values; so each packet meets the same first
//! line as before. A packet that nothing in a class takes goes on with the very lines it would have met.
//!
//! Flat chains cost a packet least, so a list stays flat unless factoring is cheaper by [`Price`].

use std::collections::{BTreeMap, HashMap, HashSet};

use super::classes::{Classes, classes};
use super::masks::{self, Kind};
use super::price::{Price, Scale};
use super::prios::Shape;
use crate::field::{Cond, Field};
use crate::ir::graph::{End, Graph, Line, Table, TableId, Tail};

/// Most classes times lines that are weighed up: more would not become a good layout.
const WORK_MAX: usize = 2_000_000;

/// Most masks for which the price of merging them is worked out.
const MERGED_MAX: usize = 300;

/// A line of the table with the fields that are already known (bits by `Field`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Item {
    line: usize,
    known: u32,
}

/// The factoring of one table.
struct Factoring<'a> {
    graph: &'a mut Graph,
    table: &'a Table,
    dispatch: usize,
    scale: Scale,
    /// Ways on that are already built.
    built: HashMap<(Vec<Item>, Tail, usize), Tail>,
}

/// Puts the table into the graph, factored over at most `levels` further gotos. `dispatch` is the origin of filters that
/// only lead on.
pub fn factor(graph: &mut Graph, table: Table, levels: usize, dispatch: usize, scale: Scale) -> TableId {
    let items: Vec<Item> = (0..table.lines.len()).map(|line| Item { line, known: 0 }).collect();
    let mut factoring = Factoring { graph, table: &table, dispatch, scale, built: HashMap::new() };
    if factoring.flat_price(&items).weight(scale) <= scale.small {
        return graph.table(table);
    }
    let rest = table.otherwise.clone();
    let tail = factoring.build(&items, &rest, levels);
    match tail.end {
        End::Goto(id) if tail.steps.is_empty() => id,
        _ => {
            let Table { frame, title, .. } = table;
            graph.table(Table { frame, title, lines: Vec::new(), otherwise: tail })
        }
    }
}

impl Factoring<'_> {
    /// What is done with a packet that meets these lines, and `rest` after them.
    fn build(&mut self, items: &[Item], rest: &Tail, levels: usize) -> Tail {
        let Some(first) = items.first() else { return rest.clone() };
        if self.always(*first)
            && let Some(line) = self.table.lines.get(first.line)
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
        let flat = self.flat_price(items);
        if levels == 0 || flat.weight(self.scale) <= self.scale.small {
            return self.flat(items, rest);
        }
        let split = self.best_split(items);
        let peel = if levels >= 3 { self.peel(items) } else { None };
        let split_price = split.as_ref().map_or(Price::MOST, |(price, ..)| *price);
        let peel_price = peel.as_ref().map_or(Price::MOST, |(price, ..)| *price);
        let best = split_price.weight(self.scale).min(peel_price.weight(self.scale));
        if best >= self.scale.worth(flat.weight(self.scale)) {
            return self.flat(items, rest);
        }
        if peel_price.weight(self.scale) < split_price.weight(self.scale)
            && let Some((_, run)) = peel
        {
            return self.peeled(items, run, rest, levels);
        }
        match split {
            Some((_, field, guard, classes)) => self.split(items, field, guard, &classes, rest, levels),
            None => self.flat(items, rest),
        }
    }

    /// One table of all lines.
    fn flat(&mut self, items: &[Item], rest: &Tail) -> Tail {
        let mut lines = Vec::with_capacity(items.len());
        let mut otherwise = rest.clone();
        for item in items {
            let Some(line) = self.table.lines.get(item.line) else { continue };
            if self.always(*item) {
                otherwise = line.tail.clone();
                break;
            }
            let sets = self.open(*item).map(|(field, conds)| (field, conds.to_vec())).collect();
            lines.push(Line { ether: line.ether, sets, tail: line.tail.clone() });
        }
        self.goto(lines, otherwise)
    }

    fn goto(&mut self, lines: Vec<Line>, otherwise: Tail) -> Tail {
        if lines.is_empty() {
            return otherwise;
        }
        let Table { frame, title, .. } = self.table;
        let id = self.graph.table(Table { frame: *frame, title: title.clone(), lines, otherwise });
        Tail { steps: Vec::new(), end: End::Goto(id), rule: self.dispatch }
    }

    /// A table that sorts by one field, and a way on for each class.
    fn split(
        &mut self,
        items: &[Item],
        field: Field,
        guard: Option<Cond>,
        classes: &Classes,
        rest: &Tail,
        levels: usize,
    ) -> Tail {
        let sets: Vec<usize> = (0..items.len()).filter(|at| self.asks(items, *at, field)).collect();
        let mut tails: Vec<Tail> = Vec::with_capacity(classes.members.len());
        for members in &classes.members {
            let inside: HashSet<usize> = members.iter().filter_map(|member| sets.get(*member)).copied().collect();
            let mut left = Vec::new();
            for (at, item) in items.iter().enumerate() {
                if !self.asks(items, at, field) {
                    left.push(*item);
                } else if inside.contains(&at) {
                    let known = if self.must_keep(*item, field) { item.known } else { item.known | 1 << field as u32 };
                    left.push(Item { known, ..*item });
                }
            }
            tails.push(self.build(&left, rest, levels - 1));
        }
        let otherwise = tails.get(classes.otherwise).cloned().unwrap_or_else(|| rest.clone());
        // All values of a class under one mask are one line; prefixes keep their order, the longest first.
        let mut lines: Vec<Line> = Vec::new();
        let mut place: HashMap<(usize, u128), usize> = HashMap::new();
        for (cond, class) in &classes.list {
            let Some(tail) = tails.get(*class) else { continue };
            let Cond::Bits { mask, .. } = cond else { continue };
            let at = *place.entry((*class, *mask)).or_insert_with(|| {
                let sets = guard.map(|guard| (Field::IpProto, vec![guard])).into_iter().chain([(field, Vec::new())]);
                lines.push(Line { ether: None, sets: sets.collect(), tail: tail.clone() });
                lines.len() - 1
            });
            if let Some((_, conds)) = lines.get_mut(at).and_then(|line| line.sets.last_mut()) {
                conds.push(*cond);
            }
        }
        if lines.iter().all(|line| line.tail == otherwise) {
            return otherwise;
        }
        self.goto(lines, otherwise)
    }

    /// The best field to sort by, with its price.
    fn best_split(&self, items: &[Item]) -> Option<(Price, Field, Option<Cond>, Classes)> {
        let fields: BTreeMap<Field, usize> = items.iter().flat_map(|item| self.open(*item)).fold(
            BTreeMap::new(),
            |mut fields, (field, _)| {
                *fields.entry(field).or_default() += 1;
                fields
            },
        );
        let mut best: Option<(Price, Field, Option<Cond>, Classes)> = None;
        for field in fields.into_keys() {
            let Some((price, guard, classes)) = self.weigh(items, field) else { continue };
            if best.as_ref().is_none_or(|(least, ..)| price.weight(self.scale) < least.weight(self.scale)) {
                best = Some((price, field, guard, classes));
            }
        }
        best
    }

    /// What it costs to sort by this field, if each class is flat then. `None` where it cannot be done.
    fn weigh(&self, items: &[Item], field: Field) -> Option<(Price, Option<Cond>, Classes)> {
        if field == Field::CtState || field == Field::CtZone {
            return None;
        }
        let asking: Vec<Item> = (0..items.len()).filter(|at| self.asks(items, *at, field)).map(|at| items[at]).collect();
        let guard = self.guard(&asking, field)?;
        let sets: Vec<&[Cond]> = asking.iter().filter_map(|item| self.conds(*item, field)).collect();
        let classes = classes(field, &sets)?;
        let free: Vec<Item> = items.iter().copied().filter(|item| self.conds(*item, field).is_none()).collect();
        if classes.members.len().saturating_mul(free.len()) > WORK_MAX {
            return None;
        }
        let free_price = self.flat_price(&free);
        let mut price = Price { filters: classes.list.len() as u64, visits: classes.masks() as u64, gotos: 1, chains: 1 };
        let mut most = 0;
        for members in &classes.members {
            let own: Vec<Item> = members
                .iter()
                .filter_map(|member| asking.get(*member))
                .map(|item| Item { known: item.known | 1 << field as u32, ..*item })
                .collect();
            if own.is_empty() && free.is_empty() {
                continue;
            }
            if let ([only], true) = (own.as_slice(), free.is_empty())
                && self.always(*only)
            {
                continue;
            }
            let class = self.flat_price(&own);
            price.filters = price.filters.saturating_add(class.filters).saturating_add(free_price.filters);
            price.chains += 1;
            most = most.max(class.visits + free_price.visits);
        }
        price.visits += most;
        Some((price, guard, classes))
    }

    /// The protocol that flower wants beside a port or ICMP field: `Some(None)` where none is needed, `None` where the
    /// lines do not agree on one.
    fn guard(&self, asking: &[Item], field: Field) -> Option<Option<Cond>> {
        if !field.is_layer4() {
            return Some(None);
        }
        let mut found = None;
        for item in asking {
            let line = self.table.lines.get(item.line)?;
            let (_, conds) = line.sets.iter().find(|(known, _)| *known == Field::IpProto)?;
            let [only] = conds.as_slice() else { return None };
            if found.is_some_and(|found| found != *only) {
                return None;
            }
            found = Some(*only);
        }
        Some(found)
    }

    /// The first run of lines that explode, with the price of factoring it apart from what stands around it.
    fn peel(&self, items: &[Item]) -> Option<(Price, (usize, usize))> {
        let start = items.iter().position(|item| self.explodes(*item))?;
        let length = items.iter().skip(start).take_while(|item| self.explodes(**item)).count();
        let (head, run, tail) =
            (items.get(..start)?, items.get(start..start + length)?, items.get(start + length..)?);
        if head.is_empty() && tail.is_empty() {
            return None;
        }
        let run_price = match run {
            [only] => self.chained_price(*only),
            _ => self.best_split(run)?.0,
        };
        let (before, after) = (self.flat_price(head), self.flat_price(tail));
        let price = Price {
            filters: before.filters.saturating_add(run_price.filters).saturating_add(after.filters),
            visits: before.visits + run_price.visits + after.visits,
            gotos: run_price.gotos + 2,
            chains: run_price.chains + 2,
        };
        Some((price, (start, start + length)))
    }

    fn peeled(&mut self, items: &[Item], run: (usize, usize), rest: &Tail, levels: usize) -> Tail {
        let (head, from) = items.split_at(run.0.min(items.len()));
        let (run, tail) = from.split_at((run.1 - run.0).min(from.len()));
        let own = (levels - 2).min(4);
        let rest = self.build(tail, rest, levels - 2 - own.min(levels - 2));
        // The run's last table goes on with the rest: one goto. Entering the run is another.
        let rest = self.build(run, &rest, own);
        self.flat(head, &rest)
    }

    /// Whether multiplying the line out costs more than asking its fields one after the other.
    fn explodes(&self, item: Item) -> bool {
        let flat = Price { filters: self.product(item), visits: 1, ..Price::default() };
        flat.weight(self.scale) > self.scale.small && self.chained_price(item).weight(self.scale) < flat.weight(self.scale)
    }

    /// A line's fields asked one after the other, the sets with one condition together.
    fn chained_price(&self, item: Item) -> Price {
        let mut price = Price::default();
        for (field, conds) in self.open(item).filter(|(_, conds)| conds.len() > 1) {
            let Some(classes) = classes(field, &[conds]) else { return Price::MOST };
            price.filters += classes.list.len() as u64;
            price.visits += classes.masks() as u64;
            price.gotos += 1;
            price.chains += 1;
        }
        price
    }

    /// What the lines cost as one table, each mask met once.
    fn flat_price(&self, items: &[Item]) -> Price {
        let mut kinds: BTreeMap<Kind, u64> = BTreeMap::new();
        for item in items {
            let ether = self.table.lines.get(item.line).and_then(|line| line.ether).unwrap_or_default();
            // The masks of each field, with how many conditions each has.
            let mut list: Vec<(Shape, u64)> = vec![(Shape::new(), 1)];
            for (field, conds) in self.open(*item) {
                let mut masks: BTreeMap<Option<u128>, u64> = BTreeMap::new();
                conds.iter().for_each(|cond| *masks.entry(cond.mask()).or_default() += 1);
                let longer = |(shape, count): &(Shape, u64)| {
                    let (shape, count) = (shape.clone(), *count);
                    let each = |(mask, n): (&Option<u128>, &u64)| {
                        ([shape.as_slice(), &[(field, *mask)]].concat(), count.saturating_mul(*n))
                    };
                    masks.iter().map(each).collect::<Vec<_>>()
                };
                list = list.iter().flat_map(longer).collect();
            }
            for (shape, count) in list {
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

    fn product(&self, item: Item) -> u64 {
        self.open(item).fold(1u64, |product, (_, conds)| product.saturating_mul(conds.len() as u64))
    }

    /// The fields that are not known yet, with their conditions.
    fn open(&self, item: Item) -> impl Iterator<Item = (Field, &[Cond])> {
        let line = self.table.lines.get(item.line);
        let sets = line.into_iter().flat_map(|line| &line.sets);
        sets.filter(move |(field, _)| item.known & (1 << *field as u32) == 0)
            .map(|(field, conds)| (*field, conds.as_slice()))
    }

    fn conds(&self, item: Item, field: Field) -> Option<&[Cond]> {
        self.open(item).find(|(known, _)| *known == field).map(|(_, conds)| conds)
    }

    fn asks(&self, items: &[Item], at: usize, field: Field) -> bool {
        items.get(at).is_some_and(|item| self.conds(*item, field).is_some())
    }

    /// Whether the line matches every packet that meets it, and decides.
    fn always(&self, item: Item) -> bool {
        let line = self.table.lines.get(item.line);
        line.is_some_and(|line| line.ether.is_none() && line.tail.end != End::Continue) && self.open(item).next().is_none()
    }

    /// The protocol stays in a line that asks for something behind it: flower reads nothing there without it.
    fn must_keep(&self, item: Item, field: Field) -> bool {
        field == Field::IpProto && self.open(item).any(|(other, _)| other.is_layer4())
    }
}
