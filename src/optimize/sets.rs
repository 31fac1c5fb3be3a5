//! The sets that the lines of a table ask, each once: rules that name the same sets are weighed together.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::classes::{Classes, classes};
use super::lines::{Item, Lines, masks, summed};
use super::masks::{Kind, price};
use super::price::Price;
use crate::field::{Cond, Field};
use crate::hash::QuickBuild;

/// Most masks for which the price of merging them is worked out.
const MERGED_MAX: usize = 300;

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
    kinds: RefCell<Kinds>,
    /// For each set that was asked for, what it takes on its own: entries and masks.
    alone: RefCell<Alone>,
}

/// The masks met so far.
#[derive(Default)]
struct Kinds {
    names: HashMap<Kind, usize, QuickBuild>,
    list: Vec<Kind>,
    /// The filters of each form (lines of one mixture of masks) that was asked for, by its first item.
    of: HashMap<Item, Rc<Tally>, QuickBuild>,
}

impl Kinds {
    fn name(&mut self, kind: Kind) -> usize {
        let next = self.list.len();
        let list = &mut self.list;
        *self.names.entry(kind).or_insert_with_key(|kind| {
            list.push(kind.clone());
            next
        })
    }
}

/// Lines that ask a field for the same set.
pub struct Group<'a> {
    /// What they ask for.
    pub conds: &'a [Cond],
    /// Their places among the items that were grouped, ascending.
    pub places: Vec<usize>,
    /// Their filters where the field is known.
    pub tally: Tally,
}

impl<'a> Sets<'a> {
    /// Numbers the sets of these lines.
    #[must_use]
    pub fn of(lines: Lines<'a>) -> Self {
        let mut known: HashMap<&[Cond], usize, QuickBuild> = HashMap::default();
        // For each set, the number of its mixture of masks.
        let mut mixture: Vec<usize> = Vec::new();
        let mut mixtures: HashMap<Vec<(Option<u128>, u64)>, usize, QuickBuild> = HashMap::default();
        let mut shapes: HashMap<Form, usize, QuickBuild> = HashMap::default();
        let (mut numbers, mut forms) = (Vec::new(), Vec::new());
        for (at, line) in lines.table.lines.iter().enumerate() {
            let number = |(_, conds): &'a (Field, Vec<Cond>)| {
                let next = known.len();
                *known.entry(conds.as_slice()).or_insert_with(|| {
                    let next_mixture = mixtures.len();
                    mixture.push(*mixtures.entry(masks(conds)).or_insert(next_mixture));
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
        Self { lines, numbers, forms, kinds: RefCell::default(), alone: RefCell::default() }
    }

    /// The set that a line asks a field for.
    fn number(&self, item: Item, field: Field) -> Option<usize> {
        let at = self.lines.line(item)?.sets.iter().position(|(known, _)| *known == field)?;
        self.numbers.get(item.line)?.get(at).copied()
    }

    /// The items that ask a field, by what they ask for, in the order of the first of each.
    #[must_use]
    pub fn groups(&self, items: &[Item], field: Field) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut place: HashMap<usize, usize, QuickBuild> = HashMap::default();
        // For each group, how many of its items are of each form.
        let mut forms: Vec<HashMap<Item, u64, QuickBuild>> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let (Some(conds), Some(set)) = (self.lines.conds(*item, field), self.number(*item, field)) else {
                continue;
            };
            let group = *place.entry(set).or_insert_with(|| {
                groups.push(Group { conds, places: Vec::new(), tally: Vec::new() });
                forms.push(HashMap::default());
                groups.len() - 1
            });
            if let (Some(group), Some(forms)) = (groups.get_mut(group), forms.get_mut(group)) {
                group.places.push(at);
                *forms.entry(self.form(item.knowing(field))).or_default() += 1;
            }
        }
        for (group, forms) in groups.iter_mut().zip(forms) {
            group.tally = self.sum(forms.into_iter());
        }
        groups
    }

    /// The first item of its form.
    fn form(&self, item: Item) -> Item {
        item.at(self.forms.get(item.line).copied().unwrap_or(item.line))
    }

    /// The filters of these items.
    #[must_use]
    pub fn tally(&self, items: &[Item]) -> Tally {
        let mut forms: HashMap<Item, u64, QuickBuild> = HashMap::default();
        for item in items {
            *forms.entry(self.form(*item)).or_default() += 1;
        }
        self.sum(forms.into_iter())
    }

    /// The filters of so many items of each form.
    fn sum(&self, forms: impl Iterator<Item = (Item, u64)>) -> Tally {
        let mut all = Tally::new();
        for (item, times) in forms {
            all.extend(self.masks(item).iter().map(|(kind, count)| (*kind, count.saturating_mul(times))));
        }
        summed(all)
    }

    /// The filters of one item.
    fn masks(&self, item: Item) -> Rc<Tally> {
        let mut kinds = self.kinds.borrow_mut();
        if let Some(tally) = kinds.of.get(&item) {
            return tally.clone();
        }
        let ether = self.lines.line(item).and_then(|line| line.ether).unwrap_or_default();
        let shapes = self.lines.shapes(item).into_iter();
        let tally: Tally = shapes.map(|(shape, count)| (kinds.name((ether, shape)), count)).collect();
        let tally = Rc::new(tally);
        kinds.of.insert(item, tally.clone());
        tally
    }

    /// What the items cost as one table, each mask met once.
    #[must_use]
    pub fn flat_price(&self, items: &[Item]) -> Price {
        self.price(&self.tally(items))
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
        for (field, conds) in self.lines.open(item).filter(|(_, conds)| conds.len() > 1) {
            let Some(set) = self.number(item, field) else { return Price::MOST };
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
