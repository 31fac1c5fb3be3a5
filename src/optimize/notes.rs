//! What the passes did, for `compile --explain`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::dead::Dead;
use super::kinds::Kinds;
use super::prios::Placed;
use crate::emit::program::RuleRef;
use crate::field::Field;
use crate::ir::graph::Table;

/// One thing that a pass did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The pass: the name of its file.
    pub pass: &'static str,
    /// The rule at hand, as `gw.pol:12:5`; else the chain's title.
    pub at: String,
    /// What was done, and why.
    pub text: String,
}

impl Note {
    /// What became of products that were sorted by these fields: filters, and chains.
    #[must_use]
    pub fn split(at: String, fields: &BTreeSet<Field>, combinations: u64, (filters, chains): (u64, usize)) -> Self {
        let fields: Vec<&str> = fields.iter().map(|field| field.row().name).collect();
        let fields = fields.join(", ");
        let text = format!("split by {fields}: {combinations} combinations -> {filters} filters in {chains} chains");
        Self { pass: "factor", at, text }
    }
}

/// All that was done.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// In the order in which it was done; what is about rules comes last.
    pub list: Vec<Note>,
    /// For each rule that lost filters, the rules that take their packets: indices into `Program::rules`.
    pub taken: BTreeMap<usize, BTreeSet<usize>>,
}

/// The notes as lines of text.
#[must_use]
pub fn text(notes: &[Note]) -> String {
    notes.iter().flat_map(|note| [&note.at, ": ", note.pass, ": ", &note.text, "\n"]).collect()
}

/// What a pass was about: the place of its rule, where all lines of the table are of one; else the table's title.
#[must_use]
pub fn place(table: &Table, rules: &[RuleRef]) -> String {
    let own: BTreeSet<usize> = table.lines.iter().map(|line| line.tail.rule).collect();
    let only = own.first().filter(|_| own.len() == 1).and_then(|rule| rules.get(*rule));
    only.map(|rule| &rule.place).filter(|place| !place.is_empty()).unwrap_or(&table.title).clone()
}

/// Most rules that are named for one.
const BY_MAX: usize = 3;

fn words(rule: &RuleRef) -> String {
    if rule.place.is_empty() { format!("`{}`", rule.text) } else { format!("`{}` ({})", rule.text, rule.place) }
}

fn where_written(rule: &RuleRef) -> String {
    if rule.place.is_empty() { rule.policy.clone() } else { rule.place.clone() }
}

/// Filters, their masks, and the prios of filters in the order of the rules: one for each run of one mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Filters.
    pub filters: usize,
    masks: usize,
    runs: usize,
}

impl Count {
    /// Counts them.
    #[must_use]
    pub fn of(filters: &[(u16, Placed)]) -> Self {
        let (numbers, kinds) = Kinds::of(filters);
        Self { filters: filters.len(), masks: kinds.len(), runs: numbers.chunk_by(|one, next| one == next).count() }
    }
}

/// What was done to the filters of all chains.
#[derive(Debug, Default)]
pub struct Tally {
    notes: Vec<Note>,
    /// For each rule, how many of its filters no packet reaches, and the rules that take these.
    dead: BTreeMap<usize, (usize, BTreeSet<usize>)>,
}

impl Tally {
    /// Filters of this table that were left out of so many.
    pub fn dead(&mut self, table: &Table, filters: usize, dead: &[Dead]) {
        if dead.is_empty() {
            return;
        }
        let rule = |line: usize| table.lines.get(line).map(|line| line.tail.rule);
        for dead in dead.chunk_by(|one, next| one == next) {
            let Some((own, by)) = dead.first().and_then(|dead| rule(dead.line).zip(rule(dead.by))) else { continue };
            let (count, known) = self.dead.entry(own).or_default();
            *count += dead.len();
            known.insert(by);
        }
        let left = filters - dead.len();
        self.note("dead", table, format!("{filters} filters -> {left}: no packet reaches the others"));
    }

    /// What merging masks did.
    pub fn masks(&mut self, table: &Table, before: Count, after: Count) {
        if before.masks != after.masks || before.filters != after.filters {
            let text = format!(
                "{} masks -> {}, {} filters -> {}: a mask costs every packet, a filter is loaded once",
                before.masks, after.masks, before.filters, after.filters
            );
            self.note("masks", table, text);
        }
    }

    /// What ordering did.
    pub fn prios(&mut self, table: &Table, before: Count, after: usize) {
        if after < before.runs {
            let text = format!(
                "{} prios -> {after}: filters that share no packet, or do the same, may change places",
                before.runs
            );
            self.note("prios", table, text);
        }
    }

    /// Adds it to what was done before.
    pub fn add(self, notes: &mut Notes, rules: &[RuleRef]) {
        notes.list.extend(self.notes);
        for (own, (count, taken)) in self.dead {
            let Some(rule) = rules.get(own) else { continue };
            let by: Vec<String> = taken.iter().filter_map(|by| rules.get(*by)).take(BY_MAX).map(words).collect();
            let filters = if count == 1 { "1 filter".to_owned() } else { format!("{count} filters") };
            let text = format!("{filters} of `{}` can never match: {} before it", rule.text, by.join(", "));
            notes.list.push(Note { pass: "dead", at: where_written(rule), text });
            notes.taken.insert(own, taken);
        }
    }

    fn note(&mut self, pass: &'static str, table: &Table, text: String) {
        self.notes.push(Note { pass, at: table.title.clone(), text });
    }
}
