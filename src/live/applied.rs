//! What an apply did, in words and as JSON; the shape stands in `docs/json.md`. A change that breaks a reader raises [`VERSION`].

use serde::Serialize;

use super::plan::{Change, Plan};
use super::report::{Devices, count};
use crate::emit::netlink::{Outcome, Receipt};

/// Version of the shape.
pub const VERSION: u32 = 1;

/// In one or two lines: what is live, what that changed, and what is open now.
#[must_use]
pub fn text(receipt: &Receipt, plan: &Plan) -> String {
    let generation = receipt.placement.generation;
    if receipt.outcome == Outcome::Unchanged {
        return format!("No changes: generation {generation} is live and is what the file says.\n");
    }
    let before = match plan.live {
        Some((before, _)) => format!("before: {before}"),
        None if receipt.was.generations().is_empty() => "nothing was before".to_owned(),
        None => "several were before".to_owned(),
    };
    let open = match receipt.detached.as_slice() {
        [] => String::new(),
        devices => format!("Open now, for the file does not name them: {}.\n", devices.join(", ")),
    };
    let on = match receipt.attached.as_slice() {
        [] => String::new(),
        devices => format!("; new on {}", devices.join(", ")),
    };
    format!(
        "Generation {generation} is live ({before}): {}; {}{on}.\n{open}",
        changes(plan),
        count(receipt.filters, "filter")
    )
}

/// `2 rules added, 1 removed, 11 as before`
fn changes(plan: &Plan) -> String {
    let words = [
        (Change::New, "added"),
        (Change::Changed, "changed"),
        (Change::Moved, "moved"),
        (Change::Gone, "removed"),
        (Change::Same, "as before"),
    ];
    let mut parts: Vec<String> = Vec::new();
    for (number, word) in words.map(|(change, word)| (plan.count(change), word)) {
        match number {
            0 => {}
            _ if parts.is_empty() => parts.push(format!("{} {word}", count(number, "rule"))),
            _ => parts.push(format!("{number} {word}")),
        }
    }
    if parts.is_empty() { "no rules".to_owned() } else { parts.join(", ") }
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    outcome: &'static str,
    generation: Generations,
    digest: String,
    devices: Devices<'a>,
    rules: Rules,
    filters: usize,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Generations {
    before: Option<u16>,
    live: u16,
}

#[derive(Serialize)]
struct Rules {
    add: usize,
    change: usize,
    #[serde(rename = "move")]
    moved: usize,
    remove: usize,
    same: usize,
}

/// As JSON, which ends in a newline.
///
/// # Errors
/// None in practice; the serializer's own, if a value had no JSON form.
pub fn json(receipt: &Receipt, plan: &Plan) -> serde_json::Result<String> {
    let document = Document {
        version: VERSION,
        outcome: match receipt.outcome {
            Outcome::Applied => "applied",
            Outcome::Unchanged => "unchanged",
            Outcome::DryRun => "planned",
        },
        generation: Generations {
            before: plan.live.map(|(generation, _)| generation),
            live: receipt.placement.generation,
        },
        digest: format!("{:016x}", receipt.digest),
        devices: Devices { add: &receipt.attached, remove: &receipt.detached },
        rules: Rules {
            add: plan.count(Change::New),
            change: plan.count(Change::Changed),
            moved: plan.count(Change::Moved),
            remove: plan.count(Change::Gone),
            same: plan.count(Change::Same),
        },
        filters: receipt.filters,
        notes: &receipt.notes,
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}
