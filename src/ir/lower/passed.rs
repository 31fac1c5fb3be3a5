//! Rules that go on: what packets have matched of them, and which packets fit several.

use std::collections::HashMap;

use crate::field::{Cond, Conds, Field};
use crate::ir::graph::Tail;
use crate::ir::policy::{Rule, Verdict};

use super::actions::Pending;
use super::facts::Facts;
use super::list::{Sets, sets_of};
use super::{Live, Part};

/// The rules of a part that can match, where this is known.
#[derive(Clone, Copy)]
pub(super) struct List<'l> {
    pub part: Part,
    pub facts: &'l Facts,
    /// Place of the part's first rule among all of the policy.
    pub first: usize,
    pub live: &'l [Live<'l>],
}

/// What packets have matched on their way through a list: rules that set something and go on.
#[derive(Clone, Default)]
pub(super) struct Passed {
    /// What they set.
    pub set: Vec<Pending>,
    /// Their places in the list.
    pub rules: Vec<usize>,
}

/// What follows behind a place of a list, for packets that have matched these rules.
pub(super) type Known = HashMap<(usize, Vec<usize>), Tail>;

impl Passed {
    /// The same, where the rule at this place was matched, too.
    pub fn with(&self, place: usize, set: Option<Pending>) -> Self {
        let mut with = self.clone();
        with.rules.extend(set.is_some().then_some(place));
        with.set.extend(set);
        with
    }

    /// Whether no packet that has matched these rules matches this one.
    pub fn excludes(&self, list: &List<'_>, rule: &Live<'_>) -> bool {
        let own = sets_of(rule, list.facts);
        let others = self.rules.iter().filter_map(|place| list.live.get(*place));
        let meets = |other: &Live<'_>| {
            let other = sets_of(other, list.facts);
            other.iter().any(|other| own.iter().any(|own| meet(own, other)))
        };
        !others.into_iter().all(meets)
    }
}

/// What a `continue` rule sets, if anything.
pub(super) fn pending_of(live: &Live<'_>, zone: u16) -> Option<Pending> {
    let actions = &live.rule.actions;
    let sets = actions.set_mark.is_some() || actions.set_label.is_some();
    (live.rule.verdict == Verdict::Continue && sets).then_some(Pending {
        zone,
        mark: actions.set_mark,
        label: actions.set_label,
    })
}

/// Whether packets that the rule matches go on to the rules behind it.
pub(super) fn goes_on(rule: &Rule) -> bool {
    match rule.verdict {
        Verdict::Continue => true,
        Verdict::Drop => rule.actions.limit.is_some(),
        Verdict::Allow | Verdict::AllowStateless => false,
    }
}

/// Whether some packet fits two of these products, or two combinations of one.
pub(super) fn meets_itself(list: &[(Option<u16>, Sets)]) -> bool {
    list.iter().enumerate().any(|(at, one)| {
        one.1.iter().any(|(field, conds)| overlap(*field, conds))
            || list.iter().skip(at + 1).any(|other| meet(one, other))
    })
}

/// Whether some packet fits both products.
fn meet((ether, sets): &(Option<u16>, Sets), (other, more): &(Option<u16>, Sets)) -> bool {
    let asked = |field: Field| more.iter().find(|(known, _)| *known == field);
    let meets = |(field, conds): &(Field, Conds)| {
        asked(*field).is_none_or(|(_, others)| conds.iter().any(|x| others.iter().any(|y| x.overlaps(*y))))
    };
    (ether.is_none() || other.is_none() || ether == other) && sets.iter().all(meets)
}

/// Whether some value satisfies two of these conditions. Sets may be long.
fn overlap(field: Field, conds: &[Cond]) -> bool {
    let intervals = conds.iter().map(|cond| cond.interval(field.row().bits));
    if let Some(mut sorted) = intervals.collect::<Option<Vec<_>>>() {
        sorted.sort_unstable();
        return sorted.iter().zip(sorted.iter().skip(1)).any(|((_, last), (next, _))| next <= last);
    }
    conds.iter().enumerate().any(|(at, cond)| conds.iter().skip(at + 1).any(|other| cond.overlaps(*other)))
}
