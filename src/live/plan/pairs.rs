//! Which live rule a rule of the file takes the place of.

use std::collections::{BTreeMap, BTreeSet};

use super::Held;
use crate::emit::program::{Role, RuleRef};

/// What two rules must have in common: role, identity, meaning.
type Mark = (Role, Option<u32>, Option<u64>);

/// A rule's own marks.
type Marks = fn(Role, u32, u64) -> Mark;

/// Rules of the file and the live rules that they take, as far as known.
struct Pairs<'a> {
    rules: &'a [(usize, &'a RuleRef)],
    held: &'a [Held<'a>],
    partners: Vec<Option<usize>>,
    taken: BTreeSet<usize>,
}

/// For each rule of the file the live rule that it takes: by identity and meaning, then by meaning, by `@id`, by the place
/// between rules that stay, and last by the bare position.
pub fn partners(rules: &[(usize, &RuleRef)], held: &[Held]) -> Vec<Option<usize>> {
    let mut pairs = Pairs { rules, held, partners: vec![None; rules.len()], taken: BTreeSet::new() };
    let any = |_: &RuleRef| true;
    pairs.by(|role, ident, meaning| (role, Some(ident), Some(meaning)), any);
    pairs.by(|role, _, meaning| (role, None, Some(meaning)), any);
    let named = |rule: &RuleRef| rule.id().is_some();
    pairs.by(|role, ident, _| (role, Some(ident), None), named);
    pairs.by_place();
    pairs.by(|role, ident, _| (role, Some(ident), None), any);
    pairs.partners
}

impl Pairs<'_> {
    fn take(&mut self, rule: usize, held: usize) {
        if let Some(partner) = self.partners.get_mut(rule) {
            *partner = Some(held);
            self.taken.insert(held);
        }
    }

    /// Whether the live rule is of the rule's policy, as far as its record tells.
    fn fits(&self, rule: &RuleRef, held: usize) -> bool {
        let words = self.held.get(held).and_then(|held| held.words);
        words.is_none_or(|words| words.policy == rule.policy)
    }

    /// Pairs what is left and has the same marks, in order.
    fn by(&mut self, marks: Marks, wanted: impl Fn(&RuleRef) -> bool) {
        let mut free: BTreeMap<Mark, Vec<usize>> = BTreeMap::new();
        for (at, held) in self.held.iter().enumerate().rev().filter(|(at, _)| !self.taken.contains(at)) {
            free.entry(marks(held.role, held.ident, held.meaning)).or_default().push(at);
        }
        for (at, (_, rule)) in self.rules.iter().enumerate() {
            if self.partners.get(at) != Some(&None) || !wanted(rule) {
                continue;
            }
            let Some(list) = free.get_mut(&marks(rule.role, rule.ident, rule.meaning)) else { continue };
            // The list is in reverse order, so that the last fitting one is the first that is live.
            let Some(found) = list.iter().rposition(|held| self.fits(rule, *held)) else { continue };
            let held = list.remove(found);
            self.take(at, held);
        }
    }

    /// Pairs what is left right behind two partners, or behind such a pair: a rule that was edited where it stood, whatever
    /// became of the rules before it. Only a record knows which live rules stand side by side.
    fn by_place(&mut self) {
        // Position in `held` of the live rule before the place at hand; before the first rule there is none.
        let mut before: Option<usize> = None;
        for at in 0..self.rules.len() {
            let Some((_, rule)) = self.rules.get(at).copied() else { break };
            if let Some(partner) = self.partners.get(at).copied().flatten() {
                before = Some(partner);
                continue;
            }
            let next = before.map_or(0, |held| held + 1);
            let known = self.held.get(next).is_some_and(|held| held.words.is_some() && held.role == rule.role);
            if known && !self.taken.contains(&next) && self.fits(rule, next) {
                self.take(at, next);
                before = Some(next);
            }
        }
    }
}

/// For each rule of the file whether it stands elsewhere among the rules that stay: those outside the longest run of
/// partners that is still in order. Where the record does not know the order, nothing is said to have moved.
pub fn moved(partners: &[Option<usize>], held: &[Held]) -> Vec<bool> {
    let order = |at: usize| held.get(at).and_then(|held| held.order);
    let known: Vec<(usize, usize)> =
        partners.iter().enumerate().filter_map(|(rule, at)| Some((rule, order((*at)?)?))).collect();
    let mut moved = vec![false; partners.len()];
    for (rule, _) in &known {
        if let Some(flag) = moved.get_mut(*rule) {
            *flag = true;
        }
    }
    for rule in longest_run(&known) {
        if let Some(flag) = moved.get_mut(rule) {
            *flag = false;
        }
    }
    moved
}

/// Keys of a longest subsequence with rising values.
fn longest_run(list: &[(usize, usize)]) -> Vec<usize> {
    // `tops` holds, for each length, the position in `list` with the smallest last value.
    let mut tops: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(list.len());
    let value = |at: usize| list.get(at).map(|(_, value)| *value);
    for at in 0..list.len() {
        let length = tops.partition_point(|top| value(*top) < value(at));
        before.push(length.checked_sub(1).and_then(|shorter| tops.get(shorter).copied()));
        match tops.get_mut(length) {
            Some(top) => *top = at,
            None => tops.push(at),
        }
    }
    let mut run = Vec::new();
    let mut at = tops.last().copied();
    while let Some(here) = at {
        run.extend(list.get(here).map(|(key, _)| *key));
        at = before.get(here).copied().flatten();
    }
    run
}
