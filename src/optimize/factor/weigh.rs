//! What it would cost to sort lines by a field, or to set those apart that explode.

use std::collections::BTreeSet;

use super::super::classes::{Classes, classes};
use super::super::lines::{Item, summed};
use super::super::price::Price;
use super::super::sets::{self, Group, Tally};
use super::super::ways::guard;
use super::{Factoring, Split};
use crate::field::{Cond, Field};

/// Most classes times lines that are weighed up: more would not become a good layout.
const WORK_MAX: usize = 2_000_000;

impl Factoring<'_> {
    /// The best field to sort by, where one costs less than this.
    pub(super) fn best_split(&self, items: &[Item], below: u64) -> Option<Split> {
        let fields: BTreeSet<Field> =
            items.iter().flat_map(|item| self.lines.open(*item)).map(|(field, _)| field).collect();
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
        let asking = items.iter().filter(|item| self.asks(**item, field)).filter_map(|item| self.lines.line(*item));
        let guard = guard(asking, field)?;
        let groups = self.sets.groups(items, field);
        let conds: Vec<&[Cond]> = groups.iter().map(|group| group.conds).collect();
        let classes = classes(field, &conds)?;
        let free: Vec<usize> =
            (0..items.len()).filter(|at| items.get(*at).is_some_and(|it| !self.asks(*it, field))).collect();
        if classes.members.len().saturating_mul(free.len()) > WORK_MAX {
            return None;
        }
        let free_items: Vec<Item> = free.iter().filter_map(|at| items.get(*at)).copied().collect();
        // A line that asks nothing of the field, before that one, stands in the class too.
        let decides = |group: &Group<'_>| {
            let first = group.places.first().filter(|at| free.first().is_none_or(|free| *at < free));
            first.and_then(|at| items.get(*at)).is_some_and(|first| self.lines.always(first.knowing(field)))
        };
        let price = self.classes_price(&classes, &groups, &self.sets.tally(&free_items), &decides, below)?;
        let places = groups.into_iter().map(|group| group.places).collect();
        Some(Split { price, field, guard, classes, places, free })
    }

    /// What a sorting costs if each class is flat; `None` where that is not below so much. `decides` says whether the first line of
    /// a group decides where the field is known.
    fn classes_price(
        &self,
        classes: &Classes,
        groups: &[Group<'_>],
        free: &Tally,
        decides: &dyn Fn(&Group<'_>) -> bool,
        below: u64,
    ) -> Option<Price> {
        let free_price = self.sets.price(free);
        let mut price =
            Price { filters: classes.list.len() as u64, visits: classes.masks() as u64, gotos: 1, chains: 1 };
        let own = |members: &[usize]| -> Vec<&Group<'_>> {
            members.iter().filter_map(|member| groups.get(*member)).collect()
        };
        let undecided = |own: &[&Group<'_>]| {
            // Its first line is the first of one of its groups.
            let first = own.iter().min_by_key(|group| group.places.first());
            !(first.is_some_and(|group| decides(group)) || (own.is_empty() && free.is_empty()))
        };
        // Merging masks only adds filters: most sortings that are no good are told without it.
        let mut least = price;
        for own in classes.members.iter().map(|members| own(members)).filter(|own| undecided(own)) {
            let filters = own.iter().map(|group| sets::filters(&group.tally)).fold(0, u64::saturating_add);
            least.filters = least.filters.saturating_add(filters).saturating_add(free_price.filters);
            least.chains += 1;
            if least.weight(self.lines.scale) >= below {
                return None;
            }
        }
        let mut most = 0;
        for own in classes.members.iter().map(|members| own(members)).filter(|own| undecided(own)) {
            let class = self.sets.price(&summed(own.iter().flat_map(|group| &group.tally).copied().collect()));
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
