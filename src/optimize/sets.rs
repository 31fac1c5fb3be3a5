//! The sets that the lines of a table ask, each once: rules that name the same sets are weighed together.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::classes::{Classes, classes};
use super::lines::{Item, Lines, masks};
use super::masks::{Kind, price};
use super::price::Price;
use crate::field::{Cond, Conds, Field};
use crate::hash::QuickBuild;

/// Most masks for which the price of merging them is worked out.
const MERGED_MAX: usize = 300;

/// Most masks of all forms together that are held: 32 MB.
const HELD_MAX: usize = 2_000_000;

/// Filters by their masks: numbers of kinds, each with how many filters have it.
pub type Tally = Vec<(usize, u64)>;

/// What sets take on their own, entries and masks: `None` for what cannot be asked so.
type Alone = HashMap<(Field, usize), Option<(u64, u64)>, QuickBuild>;

/// Ethertype, fields, and for each field the number of its mixture of masks.
type Form = (Option<u16>, Vec<(Field, usize)>);

/// The lines of a table, and what they have in common.
pub struct Sets<'a> {
    /// The lines themselves.
    pub lines: Lines<'a>,
    /// For each line, the number of each of its sets.
    numbers: Vec<Vec<usize>>,
    /// For each line, the first line of its form.
    forms: Vec<usize>,
    /// For each set, its mixture of masks.
    mixture: Vec<usize>,
    mixtures: Vec<Mixture>,
    kinds: RefCell<Kinds>,
    /// For each set that was asked for, what it takes on its own: entries and masks.
    alone: RefCell<Alone>,
}

/// The masks of a set (their numbers), each with how many of its conditions have it.
type Mixture = Vec<(usize, u64)>;

/// The masks met so far.
#[derive(Default)]
struct Kinds {
    list: Vec<Kind>,
    /// Those that ask nothing, by protocol.
    bare: HashMap<u16, usize, QuickBuild>,
    /// What fields are asked under, and the numbers of that.
    asked: Vec<Option<u128>>,
    numbers: HashMap<Option<u128>, usize, QuickBuild>,
    /// A mask that asks for one more field.
    longer: HashMap<(usize, Field, usize), usize, QuickBuild>,
    /// The filters of each form (lines of one mixture of masks) that was asked for, by its first item.
    of: HashMap<Item, Rc<Tally>, QuickBuild>,
    /// How long these lists are together.
    held: usize,
    /// For each mask, filters that are being counted.
    counts: Vec<u64>,
}

impl Kinds {
    fn bare(&mut self, protocol: u16) -> usize {
        *self.bare.entry(protocol).or_insert_with(|| {
            self.list.push((protocol, Vec::new()));
            self.list.len() - 1
        })
    }

    /// The mixture of a set.
    fn mixture(&mut self, conds: &[Cond]) -> Mixture {
        let number = |(mask, count)| {
            let new = || {
                self.asked.push(mask);
                self.asked.len() - 1
            };
            (*self.numbers.entry(mask).or_insert_with(new), count)
        };
        masks(conds).into_iter().map(number).collect()
    }

    fn longer(&mut self, kind: usize, field: Field, mask: usize) -> usize {
        *self.longer.entry((kind, field, mask)).or_insert_with(|| {
            let (protocol, shape) = self.list.get(kind).cloned().unwrap_or_default();
            let asked = (field, self.asked.get(mask).copied().flatten());
            self.list.push((protocol, [shape.as_slice(), &[asked]].concat()));
            self.list.len() - 1
        })
    }

    fn hold(&mut self, item: Item, tally: &Rc<Tally>) {
        if self.held > HELD_MAX {
            self.of.clear();
            self.held = 0;
        }
        self.held += tally.len();
        self.of.insert(item, Rc::clone(tally));
    }

    /// The sum of so many of each of these, in order.
    fn sum<'t>(&mut self, tallies: impl Iterator<Item = (&'t Tally, u64)>) -> Tally {
        self.counts.resize(self.list.len(), 0);
        let mut met: Vec<usize> = Vec::new();
        for (tally, times) in tallies {
            for (kind, count) in tally {
                let Some(sum) = self.counts.get_mut(*kind) else { continue };
                if *sum == 0 {
                    met.push(*kind);
                }
                *sum = sum.saturating_add(count.saturating_mul(times));
            }
        }
        met.sort_unstable();
        let take = |kind: usize| (kind, self.counts.get_mut(kind).map(std::mem::take).unwrap_or_default());
        met.into_iter().map(take).collect()
    }
}

/// Lines that ask a field for the same set.
pub struct Group<'a> {
    /// What they ask for.
    pub conds: &'a [Cond],
    /// Their places among the items that were grouped, ascending.
    pub places: Vec<usize>,
    /// Their filters where the field is known.
    pub filters: u64,
}

impl<'a> Sets<'a> {
    /// Numbers the sets of these lines.
    #[must_use]
    pub fn of(lines: Lines<'a>) -> Self {
        let mut kinds = Kinds::default();
        let mut known: HashMap<&[Cond], usize, QuickBuild> = HashMap::default();
        // For each set, the number of its mixture of masks.
        let mut mixture: Vec<usize> = Vec::new();
        let mut mixtures: Vec<Mixture> = Vec::new();
        let mut known_mixtures: HashMap<Mixture, usize, QuickBuild> = HashMap::default();
        let mut shapes: HashMap<Form, usize, QuickBuild> = HashMap::default();
        let (mut numbers, mut forms) = (Vec::new(), Vec::new());
        for (at, line) in lines.table.lines.iter().enumerate() {
            let number = |(_, conds): &'a (Field, Conds)| {
                let next = known.len();
                *known.entry(conds.as_slice()).or_insert_with(|| {
                    mixture.push(*known_mixtures.entry(kinds.mixture(conds)).or_insert_with_key(|masks| {
                        mixtures.push(masks.clone());
                        mixtures.len() - 1
                    }));
                    next
                })
            };
            let own: Vec<usize> = line.sets.iter().map(number).collect();
            let pairs = line.sets.iter().zip(&own);
            let form =
                pairs.map(|((field, _), set)| (*field, mixture.get(*set).copied().unwrap_or_default())).collect();
            forms.push(*shapes.entry((line.ether, form)).or_insert(at));
            numbers.push(own);
        }
        Self { lines, numbers, forms, mixture, mixtures, kinds: RefCell::new(kinds), alone: RefCell::default() }
    }

    /// The fields that are not known yet, with their conditions and the numbers of these.
    fn open(&self, item: Item) -> impl Iterator<Item = (Field, &'a Conds, usize)> {
        let numbers = self.numbers.get(item.line).into_iter().flatten();
        self.lines
            .all(item)
            .zip(numbers)
            .filter(move |((field, _), _)| !item.knows(*field))
            .map(|(set, number)| (set.0, set.1, *number))
    }

    /// The items that ask a field, by what they ask for, in the order of the first of each; and the places of those that do not.
    #[must_use]
    pub fn groups(&self, items: &[Item], field: Field) -> (Vec<Group<'a>>, Vec<usize>) {
        let (mut groups, mut free): (Vec<Group<'a>>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut place: HashMap<usize, usize, QuickBuild> = HashMap::default();
        for (at, item) in items.iter().enumerate() {
            let Some((_, conds, set)) = self.open(*item).find(|(known, ..)| *known == field) else {
                free.push(at);
                continue;
            };
            let group = *place.entry(set).or_insert_with(|| {
                groups.push(Group { conds, places: Vec::new(), filters: 0 });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(group) {
                group.places.push(at);
                group.filters = group.filters.saturating_add(self.lines.product(item.knowing(field)));
            }
        }
        (groups, free)
    }

    /// The filters of a group of these items, where the field is known.
    #[must_use]
    pub fn tally_of(&self, items: &[Item], group: &Group<'_>, field: Field) -> Tally {
        self.tally(group.places.iter().filter_map(|at| items.get(*at)).map(|item| item.knowing(field)))
    }

    /// The first item of its form.
    fn form(&self, item: Item) -> Item {
        item.at(self.forms.get(item.line).copied().unwrap_or(item.line))
    }

    /// The filters of these items.
    fn tally(&self, items: impl Iterator<Item = Item>) -> Tally {
        let mut forms: Vec<Item> = items.map(|item| self.form(item)).collect();
        forms.sort_unstable();
        let forms = forms.chunk_by(|one, next| one == next);
        let all = forms.filter_map(|same| Some((self.masks(*same.first()?), same.len() as u64)));
        let all: Vec<(Rc<Tally>, u64)> = all.collect();
        self.kinds.borrow_mut().sum(all.iter().map(|(tally, times)| (&**tally, *times)))
    }

    /// All these filters.
    pub fn together<'t>(&self, tallies: impl Iterator<Item = &'t Tally>) -> Tally {
        self.kinds.borrow_mut().sum(tallies.map(|tally| (tally, 1)))
    }

    /// The filters of one item.
    fn masks(&self, item: Item) -> Rc<Tally> {
        let mut kinds = self.kinds.borrow_mut();
        if let Some(tally) = kinds.of.get(&item) {
            return tally.clone();
        }
        let ether = self.lines.line(item).and_then(|line| line.ether).unwrap_or_default();
        let mut tally: Tally = vec![(kinds.bare(ether), 1)];
        for (field, _, set) in self.open(item) {
            let Some(masks) = self.mixture.get(set).and_then(|mixture| self.mixtures.get(*mixture)) else { continue };
            let mut longer = Tally::with_capacity(tally.len() * masks.len());
            for (kind, count) in tally {
                for (mask, n) in masks {
                    longer.push((kinds.longer(kind, field, *mask), count.saturating_mul(*n)));
                }
            }
            tally = longer;
        }
        let tally = Rc::new(tally);
        kinds.hold(item, &tally);
        tally
    }

    /// What the items cost as one table, each mask met once.
    #[must_use]
    pub fn flat_price(&self, items: &[Item]) -> Price {
        self.price(&self.tally(items.iter().copied()))
    }

    /// What these filters cost as one table, each mask met once.
    #[must_use]
    pub fn price(&self, tally: &Tally) -> Price {
        let kinds = self.kinds.borrow();
        let mut list: Vec<(&Kind, u64)> =
            tally.iter().filter_map(|(kind, count)| Some((kinds.list.get(*kind)?, *count))).collect();
        // A mask with ranges is up to three times as dear (performance.md 2.2).
        let ranges = list.iter().filter(|((_, shape), _)| shape.iter().any(|(_, mask)| mask.is_none())).count() as u64;
        let (filters, masks) = match list.as_slice() {
            [] => (0, 0),
            [(_, count)] => (*count, 1),
            _ if list.len() <= MERGED_MAX => {
                list.sort_unstable();
                price(list.into_iter(), self.lines.scale)
            }
            _ => (filters(tally), list.len() as u64),
        };
        Price { filters, visits: masks + ranges, gotos: 0, chains: 1 }
    }

    /// A line's fields asked one after the other, those with one condition for nothing.
    #[must_use]
    pub fn chained_price(&self, item: Item) -> Price {
        let mut price = Price::default();
        for (field, conds, set) in self.open(item).filter(|(_, conds, _)| conds.len() > 1) {
            let of = |classes: Classes| (classes.list.len() as u64, classes.masks() as u64);
            let mut alone = self.alone.borrow_mut();
            let Some((entries, masks)) = *alone.entry((field, set)).or_insert_with(|| classes(field, &[conds]).map(of))
            else {
                return Price::MOST;
            };
            price.filters += entries;
            price.visits += masks;
            price.gotos += 1;
            price.chains += 1;
        }
        price
    }
}

/// All filters.
#[must_use]
pub fn filters(tally: &Tally) -> u64 {
    tally.iter().fold(0u64, |sum, (_, count)| sum.saturating_add(*count))
}
