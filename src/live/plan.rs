//! What an apply would change, rule by rule.
//!
//! A rule of the file is *the same* as a live one if it means the same, wherever it stood; *changed* if only its identity
//! (its `@id`, its place between rules that stay, or its policy and position) is found; else *new*. What is live and not
//! taken by a rule of the file is *gone*.

mod pairs;

use std::collections::{BTreeMap, BTreeSet};

use super::counts::{Counted, counted};
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
    /// Which rule, for one without words.
    pub ident: u32,
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
    let partners = pairs::partners(&rules, &held);
    let moved = pairs::moved(&partners, &held);

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
        filters_live: live.counts(|_, _, _| ()).values().map(|count| count.filters + count.entries).sum(),
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
        return Row {
            change: Change::New,
            rule: Some(rule.clone()),
            ident: rule.ident,
            before: None,
            added,
            removed: 0,
            counters,
        };
    };
    let change = match (held.meaning == rule.meaning, moved) {
        (true, false) => Change::Same,
        (true, true) => Change::Moved,
        (false, _) => Change::Changed,
    };
    let before = held.words.filter(|_| change != Change::Same).cloned();
    Row {
        change,
        rule: Some(rule.clone()),
        ident: rule.ident,
        before,
        added,
        removed: held.filters,
        counters: held.counters,
    }
}

/// How many filters each of the Program's rules becomes, over all blocks, besides entry filters.
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
    let mut held: Vec<Held> = Vec::new();
    // Where no record tells the policies apart, a rule's filters in several blocks are one rule's.
    let mut known: BTreeMap<(Option<usize>, Role, u32, u64), usize> = BTreeMap::new();
    for rule in counted(live, record).into_iter().filter(|rule| written(rule.role)) {
        let Counted { policy, role, ident, meaning, words, order, count, .. } = rule;
        let at = *known.entry((policy, role, ident, meaning)).or_insert(held.len());
        if let Some(same) = held.get_mut(at) {
            same.filters += count.filters;
            same.counters.add(count.counters);
        } else {
            let (filters, counters) = (count.filters, count.counters);
            held.push(Held { role, ident, meaning, words, order, filters, counters });
        }
    }
    held.sort_by_key(|held| held.order.unwrap_or(usize::MAX));
    held
}

/// Puts gone rules behind the last rule of their policy; those without words, or of a policy that is gone, at the end.
fn insert_gone(rows: &mut Vec<Row>, partners: &[Option<usize>], held: &[Held]) {
    let taken: BTreeSet<usize> = partners.iter().flatten().copied().collect();
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
        all.push((
            place,
            Row { change: Change::Gone, rule, ident: gone.ident, before: None, added: 0, removed, counters },
        ));
    }
    // Stable: a gone rule comes behind the rule at its place.
    all.sort_by_key(|(place, _)| *place);
    rows.extend(all.into_iter().map(|(_, row)| row));
}

#[cfg(test)]
mod tests;
