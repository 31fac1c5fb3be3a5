//! A plan in words, and as JSON, whose shape stands in `docs/json.md`. A change that breaks a reader raises [`VERSION`].

use std::fmt::{self, Write};

use serde::Serialize;

use super::plan::{Change, Plan, Row};
use crate::emit::cost::report::grouped;
use crate::emit::program::{Program, RuleRef};
use crate::emit::tc::{attach_title, rule_title};

/// Version of the JSON's shape.
pub const VERSION: u32 = 1;

/// Widest that the column of rules becomes before the next column steps aside.
const WIDEST: usize = 60;

/// The plan in words; every line ends in a newline.
#[must_use]
pub fn text(plan: &Plan, program: &Program) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_text(&mut out, plan, program);
    out
}

fn write_text(out: &mut String, plan: &Plan, program: &Program) -> fmt::Result {
    match plan.live {
        Some((generation, _)) if !plan.changes() => {
            return writeln!(out, "No changes: generation {generation} is live and is what the file says.");
        }
        Some((generation, _)) => writeln!(out, "generation {generation} -> {}", plan.next)?,
        None => writeln!(out, "nothing is live -> generation {}", plan.next)?,
    }
    writeln!(out, "+ new   ~ changed   > moved   - gone")?;
    for device in &plan.attached {
        writeln!(out, "+ device {device}")?;
    }
    for device in &plan.detached {
        writeln!(out, "- device {device}: open after this, the file does not name it")?;
    }
    let width = plan.rows.iter().filter(|row| row.change != Change::Same).map(|row| words(row).chars().count()).max();
    let width = width.unwrap_or_default().min(WIDEST);
    for attached in &program.attaches {
        writeln!(out, "{}", attach_title(attached))?;
        policy(out, plan, &attached.name, width)?;
    }
    let gone = |row: &&Row| {
        let policy = row.rule.as_ref().map(|rule| &rule.policy);
        policy.is_none_or(|name| program.attaches.iter().all(|attached| attached.name != *name))
    };
    for row in plan.rows.iter().filter(gone) {
        line(out, row, width)?;
    }
    summary(out, plan)
}

fn policy(out: &mut String, plan: &Plan, name: &str, width: usize) -> fmt::Result {
    let mut same = 0;
    for row in plan.rows.iter().filter(|row| row.rule.as_ref().is_some_and(|rule| rule.policy == name)) {
        if row.change == Change::Same {
            same += 1;
        } else {
            line(out, row, width)?;
        }
    }
    if same == 0 { Ok(()) } else { writeln!(out, "    {} the same", count(same, "rule")) }
}

const fn sign(change: Change) -> char {
    match change {
        Change::New => '+',
        Change::Changed => '~',
        Change::Moved => '>',
        Change::Gone => '-',
        Change::Same => ' ',
    }
}

fn words(row: &Row) -> String {
    row.rule.as_ref().map_or_else(|| format!("rule {:08x}, in no record", row.ident), |rule| rule.text.clone())
}

fn line(out: &mut String, row: &Row, width: usize) -> fmt::Result {
    let place = row.rule.as_ref().map(|rule| rule.place.as_str()).unwrap_or_default();
    write!(out, "  {} {:width$}  {place}", sign(row.change), words(row))?;
    match row.change {
        Change::New => write!(out, "  +{}", count(row.added, "filter"))?,
        Change::Changed => write!(out, "  +{} -{} filters", row.added, row.removed)?,
        Change::Gone => write!(out, "  -{}", count(row.removed, "filter"))?,
        Change::Moved | Change::Same => {}
    }
    if row.change == Change::Gone && row.counters.packets > 0 {
        write!(out, ", {} packets so far", grouped(row.counters.packets))?;
    }
    match (&row.before, row.change) {
        (Some(before), Change::Changed) => writeln!(out, "\n    was: {}", before.text),
        (Some(before), Change::Moved) => writeln!(out, "  from position {}", before.position),
        _ => writeln!(out),
    }
}

fn summary(out: &mut String, plan: &Plan) -> fmt::Result {
    let [add, change, moved, remove] =
        [Change::New, Change::Changed, Change::Moved, Change::Gone].map(|change| plan.count(change));
    if plan.repair {
        writeln!(
            out,
            "The rules are live, but not all of their filters are as they should be: an apply loads them anew."
        )?;
    } else if add + change + moved + remove == 0 && !plan.rows.is_empty() {
        writeln!(out, "Every rule is live as it is; devices, order or the compiler's own filters differ.")?;
    }
    let moved = if moved == 0 { String::new() } else { format!(", {moved} to move") };
    let changed = |row: &&Row| matches!(row.change, Change::New | Change::Changed | Change::Gone);
    let added: usize = plan.rows.iter().filter(changed).map(|row| row.added).sum();
    let removed: usize = plan.rows.iter().filter(changed).map(|row| row.removed).sum();
    writeln!(
        out,
        "Plan: {} to add, {change} to change{moved}, {remove} to remove; rules' filters +{added} -{removed}, {} in all ({} live).",
        count(add, "rule"),
        plan.filters_next,
        plan.filters_live
    )
}

/// `1 filter`, `2 filters`
pub(crate) fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    /// Whether an apply would change anything.
    changes: bool,
    generation: Generations,
    devices: Devices<'a>,
    filters: Filters,
    rules: Vec<RuleJson<'a>>,
}

#[derive(Serialize)]
struct Generations {
    live: Option<u16>,
    next: u16,
}

/// Devices that a policy comes to, and those that it leaves.
#[derive(Serialize)]
pub(super) struct Devices<'a> {
    pub add: &'a [String],
    pub remove: &'a [String],
}

#[derive(Serialize)]
struct Filters {
    live: usize,
    next: usize,
}

#[derive(Serialize)]
struct RuleJson<'a> {
    change: &'static str,
    ident: String,
    rule: Option<Words<'a>>,
    before: Option<Words<'a>>,
    filters_added: usize,
    filters_removed: usize,
    packets: u64,
    bytes: u64,
}

/// A rule in JSON: of `plan`, `status` and `diff`.
#[derive(Serialize)]
pub struct Words<'a> {
    policy: &'a str,
    id: Option<&'a str>,
    position: usize,
    title: String,
    text: &'a str,
    place: &'a str,
    annotations: Vec<[&'a str; 2]>,
}

impl<'a> From<&'a RuleRef> for Words<'a> {
    fn from(rule: &'a RuleRef) -> Self {
        Self {
            policy: &rule.policy,
            id: rule.id(),
            position: rule.position,
            title: rule_title(rule),
            text: &rule.text,
            place: &rule.place,
            annotations: rule.annotations.iter().map(|(key, value)| [key.as_str(), value.as_str()]).collect(),
        }
    }
}

/// The plan as JSON, which ends in a newline.
///
/// # Errors
/// None in practice; the serializer's own, if a value had no JSON form.
pub fn json(plan: &Plan) -> serde_json::Result<String> {
    let rule = |row: &'_ Row| -> &'static str {
        match row.change {
            Change::New => "add",
            Change::Changed => "change",
            Change::Moved => "move",
            Change::Gone => "remove",
            Change::Same => "same",
        }
    };
    let document = Document {
        version: VERSION,
        changes: plan.changes(),
        generation: Generations { live: plan.live.map(|(generation, _)| generation), next: plan.next },
        devices: Devices { add: &plan.attached, remove: &plan.detached },
        filters: Filters { live: plan.filters_live, next: plan.filters_next },
        rules: plan
            .rows
            .iter()
            .map(|row| RuleJson {
                change: rule(row),
                ident: format!("{:08x}", row.ident),
                rule: row.rule.as_ref().map(Words::from),
                before: row.before.as_ref().map(Words::from),
                filters_added: row.added,
                filters_removed: row.removed,
                packets: row.counters.packets,
                bytes: row.counters.bytes,
            })
            .collect(),
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(18442), "18,442");
        assert_eq!(grouped(1_000_000), "1,000,000");
    }
}
