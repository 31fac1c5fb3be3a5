//! What it would cost to sort lines by a field, or to set those apart that explode.

use super::super::classes::{Classes, classes};
use super::super::lines::Item;
use super::super::price::Price;
use super::super::sets::{Group, Tally};
use super::super::ways::guard;
use super::{Factoring, Split};
use crate::field::table::FIELDS;
use crate::field::{Cond, Field};

/// Most classes times lines that are weighed up: more would not become a good layout.
const WORK_MAX: usize = 2_000_000;

/// Items that are sorted by a field.
struct Sorted<'i, 'a> {
    items: &'i [Item],
    field: Field,
    /// Those that ask it.
    groups: Vec<Group<'a>>,
    /// The places of those that do not.
    free: Vec<usize>,
    classes: Classes,
}

impl Factoring<'_> {
    /// The best field to sort by, where one costs less than this.
    pub(super) fn best_split(&self, items: &[Item], below: u64) -> Option<Split> {
        let open = items.iter().flat_map(|item| self.lines.open(*item));
        let asked = open.fold(0u32, |asked, (field, _)| asked | 1 << field as u32);
        let fields = FIELDS.iter().map(|row| row.field).filter(|field| asked & (1 << *field as u32) != 0);
        let (mut best, mut below) = (None, below);
        for field in fields {
            if let Some(split) = self.weigh(items, field, below) {
                below = split.price.weight(self.lines.scale);
                best = Some(split);
            }
        }
        best
    }

    /// What it costs to sort by this field, if each class is flat then. `None` where it cannot be done, or not below this.
    fn weigh(&self, items: &[Item], field: Field, below: u64) -> Option<Split> {
        if matches!(field, Field::CtState | Field::CtZone) {
            return None;
        }
        let asking = items.iter().filter(|item| field.is_layer4() && self.asks(**item, field));
        let guard = guard(asking.filter_map(|item| self.lines.line(*item)), field)?;
        let (groups, free) = self.sets.groups(items, field);
        let conds: Vec<&[Cond]> = groups.iter().map(|group| group.conds).collect();
        let classes = classes(field, &conds)?;
        if classes.members.len().saturating_mul(free.len()) > WORK_MAX {
            return None;
        }
        let sorted = Sorted { items, field, groups, free, classes };
        let price = self.classes_price(&sorted, below)?;
        let Sorted { groups, free, classes, .. } = sorted;
        let places = groups.into_iter().map(|group| group.places).collect();
        Some(Split { price, field, guard, classes, places, free })
    }

    /// What a sorting costs if each class is flat; `None` where that is not below so much.
    fn classes_price(&self, sorted: &Sorted<'_, '_>, below: u64) -> Option<Price> {
        let Sorted { items, field, groups, free, classes } = sorted;
        let free_items: Vec<Item> = free.iter().filter_map(|at| items.get(*at)).copied().collect();
        let free_price = self.sets.flat_price(&free_items);
        let mut price =
            Price { filters: classes.list.len() as u64, visits: classes.masks() as u64, gotos: 1, chains: 1 };
        // Whether the first line of a class decides where the field is known: the first of one of its groups, before all that ask nothing of it.
        let decides = |own: &[usize]| {
            let first = own.iter().filter_map(|group| groups.get(*group)?.places.first()).min();
            let first = first.filter(|at| free.first().is_none_or(|free| *at < free)).and_then(|at| items.get(*at));
            first.is_some_and(|first| self.lines.always(first.knowing(*field)))
        };
        let undecided = |own: &&Vec<usize>| !(decides(own) || (own.is_empty() && free.is_empty()));
        // Merging masks only adds filters: most sortings that are no good are told without it.
        let mut least = price;
        for own in classes.members.iter().filter(undecided) {
            let filters = own.iter().filter_map(|group| groups.get(*group)).map(|group| group.filters);
            least.filters = least.filters.saturating_add(filters.fold(free_price.filters, u64::saturating_add));
            least.chains += 1;
            if least.weight(self.lines.scale) >= below {
                return None;
            }
        }
        let tallies: Vec<Tally> = groups.iter().map(|group| self.sets.tally_of(items, group, *field)).collect();
        let mut most = 0;
        for own in classes.members.iter().filter(undecided) {
            let own = own.iter().filter_map(|group| tallies.get(*group));
            let class = self.sets.price(&self.sets.together(own));
            price.filters = price.filters.saturating_add(class.filters).saturating_add(free_price.filters);
            price.chains += 1;
            most = most.max(class.visits + free_price.visits);
        }
        price.visits += most;
        (price.weight(self.lines.scale) < below).then_some(price)
    }

    /// The first run of lines that explode (from, to), with the price of factoring it apart from what stands around it.
    pub(super) fn peel(&self, items: &[Item], below: u64) -> Option<(Price, usize, usize)> {
        let from = items.iter().position(|item| self.explodes(*item))?;
        let length = items.iter().skip(from).take_while(|item| self.explodes(**item)).count();
        let (head, run, tail) = (items.get(..from)?, items.get(from..from + length)?, items.get(from + length..)?);
        if head.is_empty() && tail.is_empty() {
            return None;
        }
        let own = match run {
            [only] => self.sets.chained_price(*only),
            _ => self.best_split(run, below)?.price,
        };
        let (before, after) = (self.sets.flat_price(head), self.sets.flat_price(tail));
        let price = Price {
            filters: before.filters.saturating_add(own.filters).saturating_add(after.filters),
            visits: before.visits + own.visits + after.visits,
            gotos: own.gotos + 2,
            chains: own.chains + 2,
        };
        Some((price, from, from + length))
    }

    /// Whether multiplying the line out costs more than asking its fields one after the other.
    fn explodes(&self, item: Item) -> bool {
        let flat = Price { filters: self.lines.product(item), visits: 1, ..Price::default() }.weight(self.lines.scale);
        flat > self.lines.scale.small && self.sets.chained_price(item).weight(self.lines.scale) < flat
    }
}
