//! What an apply would change, rule by rule.
//!
//! A rule of the file is *the same* as a live one if it means the same, wherever it stood; *changed* if only its identity
//! (its `@id`, or its policy and position) is found; else *new*. What is live and not taken by a rule of the file is *gone*.

use std::collections::BTreeMap;

use super::record::Record;
use crate::emit::netlink::Live;
use crate::emit::netlink::live::Counters;
use crate::emit::program::{Placement, Program, Role, RuleRef};

/// The difference between a file and what is live.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Generation and digest that are live; `None` if nothing is.
    pub live: Option<(u16, u64)>,
    /// Generation that an apply would make.
    pub next: u16,
    /// Digest of the file's Program.
    pub digest: u64,
    /// The file's rules in order, gone rules behind those of their policy.
    pub rows: Vec<Row>,
    /// Devices that would get our clsact.
    pub attached: Vec<String>,
    /// Devices that would be open.
    pub detached: Vec<String>,
    /// The same rules are live, but the kernel holds other filters than they become.
    pub repair: bool,
    /// Filters that are live.
    pub filters_live: usize,
    /// Filters that would be.
    pub filters_next: usize,
}

/// What becomes of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Not live yet.
    New,
    /// Live with another meaning.
    Changed,
    /// Live with the same meaning, before or behind other rules than now.
    Moved,
    /// Live, and not in the file.
    Gone,
    /// Live as it is.
    Same,
}

/// One rule of the plan.
#[derive(Clone, Debug)]
pub struct Row {
    /// What becomes of it.
    pub change: Change,
    /// The rule; of a gone rule what the record knows, `None` if there is no record.
    pub rule: Option<RuleRef>,
    /// What it was before, where that is known and not the same.
    pub before: Option<RuleRef>,
    /// Filters that it becomes.
    pub added: usize,
    /// Filters that it is now.
    pub removed: usize,
    /// What its live filters counted.
    pub counters: Counters,
}

/// A rule that is live.
struct Held<'a> {
    role: Role,
    ident: u32,
    meaning: u64,
    words: Option<&'a RuleRef>,
    /// Position in the record's order.
    order: Option<usize>,
    filters: usize,
    counters: Counters,
}

/// Whether people wrote it.
fn written(role: Role) -> bool {
    matches!(role, Role::Rule | Role::Default)
}

/// Compares a Program, placed as an apply would place it, with what is live.
#[must_use]
pub fn plan(program: &Program, placement: &Placement, live: &Live, record: Option<&Record>) -> Plan {
    let counts = filters_by_rule(program, placement);
    let held = held(live, record);
    let rules: Vec<(usize, &RuleRef)> =
        program.rules.iter().enumerate().filter(|(_, rule)| written(rule.role)).collect();
    let partners = partners(&rules, &held);
    let moved = moved(&partners, &held);

    let mut rows = Vec::with_capacity(rules.len());
    for (at, (index, rule)) in rules.iter().enumerate() {
        let partner = partners.get(at).copied().flatten().and_then(|held_at| Some((held_at, held.get(held_at)?)));
        let added = counts.get(*index).copied().unwrap_or_default();
        rows.push(row(rule, added, partner.map(|(_, held)| held), moved.get(at) == Some(&true)));
    }
    insert_gone(&mut rows, &partners, &held);
    let attaches = program.attaches.iter().zip(&placement.blocks);
    let entries = attaches.map(|(attached, blocks)| blocks.len() * attached.entry.filters.len());
    Plan {
        live: live.current(),
        next: placement.generation,
        digest: program.digest,
        rows,
        attached: Vec::new(),
        detached: Vec::new(),
        repair: false,
        filters_live: live.rules().iter().map(|rule| rule.filters).sum(),
        filters_next: counts.iter().sum::<usize>() + entries.sum::<usize>(),
    }
}

impl Plan {
    /// Whether an apply would change anything: the rules, their order, or the devices.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.live.is_none_or(|(_, digest)| digest != self.digest)
            || !self.attached.is_empty()
            || !self.detached.is_empty()
            || self.repair
    }

    /// How many rules have this fate.
    #[must_use]
    pub fn count(&self, change: Change) -> usize {
        self.rows.iter().filter(|row| row.change == change).count()
    }
}

fn row(rule: &RuleRef, added: usize, partner: Option<&Held>, moved: bool) -> Row {
    let Some(held) = partner else {
        let counters = Counters::default();
        return Row { change: Change::New, rule: Some(rule.clone()), before: None, added, removed: 0, counters };
    };
    let change = match (held.meaning == rule.meaning, moved) {
        (true, false) => Change::Same,
        (true, true) => Change::Moved,
        (false, _) => Change::Changed,
    };
    let before = held.words.filter(|_| change != Change::Same).cloned();
    Row { change, rule: Some(rule.clone()), before, added, removed: held.filters, counters: held.counters }
}

/// How many filters each of the Program's rules becomes, over all blocks; entry filters name the Program, not a rule.
fn filters_by_rule(program: &Program, placement: &Placement) -> Vec<usize> {
    let mut counts = vec![0; program.rules.len()];
    for (attached, blocks) in program.attaches.iter().zip(&placement.blocks) {
        for filter in attached.chains.iter().flat_map(|chain| &chain.filters) {
            if let Some(count) = counts.get_mut(filter.rule) {
                *count += blocks.len();
            }
        }
    }
    counts
}

/// The live rules, in the record's order where it knows them.
fn held<'a>(live: &Live, record: Option<&'a Record>) -> Vec<Held<'a>> {
    let known: BTreeMap<(Role, u32, u64), (usize, &RuleRef)> = record
        .iter()
        .flat_map(|record| record.rules.iter().enumerate())
        .map(|(order, rule)| ((rule.role, rule.ident, rule.meaning), (order, rule)))
        .collect();
    let mut held: Vec<Held> = live
        .rules()
        .into_iter()
        .filter(|rule| written(rule.origin.role))
        .map(|rule| {
            let origin = rule.origin;
            let words = known.get(&(origin.role, origin.ident, origin.meaning));
            Held {
                role: origin.role,
                ident: origin.ident,
                meaning: origin.meaning,
                words: words.map(|(_, rule)| *rule),
                order: words.map(|(order, _)| *order),
                filters: rule.filters,
                counters: rule.counters,
            }
        })
        .collect();
    held.sort_by_key(|held| held.order.unwrap_or(usize::MAX));
    held
}

/// For each rule of the file the live rule that it takes: by identity and meaning, then by meaning, then by identity.
fn partners(rules: &[(usize, &RuleRef)], held: &[Held]) -> Vec<Option<usize>> {
    type Mark = (Role, Option<u32>, Option<u64>);
    let steps: [fn(Role, u32, u64) -> Mark; 3] = [
        |role, ident, meaning| (role, Some(ident), Some(meaning)),
        |role, _, meaning| (role, None, Some(meaning)),
        |role, ident, _| (role, Some(ident), None),
    ];
    let mut taken = vec![false; held.len()];
    let mut partners = vec![None; rules.len()];
    for mark in steps {
        let mut free: BTreeMap<Mark, Vec<usize>> = BTreeMap::new();
        for (at, held) in held.iter().enumerate().rev().filter(|(at, _)| taken.get(*at) == Some(&false)) {
            free.entry(mark(held.role, held.ident, held.meaning)).or_default().push(at);
        }
        for ((_, rule), partner) in rules.iter().zip(&mut partners).filter(|(_, partner)| partner.is_none()) {
            let Some(list) = free.get_mut(&mark(rule.role, rule.ident, rule.meaning)) else { continue };
            // The list is in reverse order, so that the last fitting one is the first that is live.
            let fits = |at: &usize| {
                let words = held.get(*at).and_then(|held| held.words);
                words.is_none_or(|words| words.policy == rule.policy)
            };
            let Some(found) = list.iter().rposition(fits) else { continue };
            let at = list.remove(found);
            if let Some(taken) = taken.get_mut(at) {
                *taken = true;
            }
            *partner = Some(at);
        }
    }
    partners
}

/// For each rule of the file whether it stands elsewhere among the rules that stay: those outside the longest run of
/// partners that is still in order. Where the record does not know the order, nothing is said to have moved.
fn moved(partners: &[Option<usize>], held: &[Held]) -> Vec<bool> {
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

/// Puts gone rules behind the last rule of their policy; those without words, or of a policy that is gone, at the end.
fn insert_gone(rows: &mut Vec<Row>, partners: &[Option<usize>], held: &[Held]) {
    let taken: std::collections::BTreeSet<usize> = partners.iter().flatten().copied().collect();
    let policy = |row: &Row| row.rule.as_ref().map(|rule| rule.policy.clone());
    let mut behind: BTreeMap<String, usize> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        behind.extend(policy(row).map(|name| (name, at)));
    }
    let mut all: Vec<(usize, Row)> = std::mem::take(rows).into_iter().enumerate().collect();
    for (_, gone) in held.iter().enumerate().filter(|(at, _)| !taken.contains(at)) {
        let place = gone.words.and_then(|words| behind.get(&words.policy)).copied().unwrap_or(usize::MAX);
        let rule = gone.words.cloned();
        let (removed, counters) = (gone.filters, gone.counters);
        all.push((place, Row { change: Change::Gone, rule, before: None, added: 0, removed, counters }));
    }
    // Stable: a gone rule comes behind the rule at its place.
    all.sort_by_key(|(place, _)| *place);
    rows.extend(all.into_iter().map(|(_, row)| row));
}

#[cfg(test)]
mod tests;
