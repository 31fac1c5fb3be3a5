//! A comparison as JSON, whose shape stands in `docs/json.md`.

use serde::Serialize;

use super::report::{Text, happens, verdict};
use super::{Class, Diff, Fate};
use crate::emit::program::{Role, RuleRef};
use crate::ir::lower::rule_ref;
use crate::ir::policy::Policy;
use crate::live::report::Words;
use crate::source::SourceMap;
use crate::verify::show;

/// Version of the shape. A change that breaks a reader raises it.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    same: bool,
    unfiltered: Vec<Place<'a>>,
    filtered: Vec<Place<'a>>,
    policies: Vec<Pair<'a>>,
    reserved: Option<(u32, u32)>,
    counts: serde_json::Map<String, serde_json::Value>,
    classes: Vec<ClassJson<'a>>,
    left_out: usize,
}

#[derive(Serialize)]
struct Place<'a> {
    policy: &'a str,
    devices: &'a [String],
    hook: &'static str,
}

#[derive(Serialize)]
struct Pair<'a> {
    old: &'a str,
    new: &'a str,
    devices: &'a [String],
    hook: &'static str,
    moved_from: Option<&'a [String]>,
    zones: &'a [(u16, u16)],
}

#[derive(Serialize)]
struct ClassJson<'a> {
    kind: &'static str,
    /// Index into `policies`.
    policy: usize,
    packets: &'a str,
    exact: bool,
    example: String,
    old: FateJson<'a>,
    new: FateJson<'a>,
}

#[derive(Serialize)]
struct FateJson<'a> {
    verdict: &'static str,
    text: String,
    default: bool,
    rule: Option<Words<'a>>,
    further_rules: usize,
    by_themselves: bool,
}

/// The comparison as JSON, which ends in a newline.
///
/// # Errors
/// None in practice; the serializer's own, if a value had no JSON form.
pub fn json(diff: &Diff, old: Text<'_>, new: Text<'_>) -> serde_json::Result<String> {
    let (before, after) = (rules(diff, old.map, |class| &class.old), rules(diff, new.map, |class| &class.new));
    let classes = diff.classes.iter().zip(before.iter().zip(&after));
    let classes = classes.map(|(class, (before, after))| ClassJson {
        kind: class.kind.name(),
        policy: class.block,
        packets: &class.packets.text,
        exact: class.packets.exact,
        example: show::packet(&class.example, &class.devices, class.hook),
        old: fate(class, &class.old, before.as_ref(), old.map),
        new: fate(class, &class.new, after.as_ref(), new.map),
    });
    let counts = diff.counts.iter().map(|(kind, count)| (kind.name().to_owned(), (*count).into()));
    let document = Document {
        version: VERSION,
        same: diff.is_same(),
        unfiltered: diff.gone.iter().filter_map(|alone| place(old.policy, alone.block, &alone.devices)).collect(),
        filtered: diff.come.iter().filter_map(|alone| place(new.policy, alone.block, &alone.devices)).collect(),
        policies: pairs(diff, old.policy, new.policy),
        reserved: diff.reserved,
        counts: counts.collect(),
        classes: classes.collect(),
        left_out: diff.left_out(),
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

fn place<'a>(policy: &'a Policy, block: usize, devices: &'a [String]) -> Option<Place<'a>> {
    let attach = policy.attaches.get(block)?;
    Some(Place { policy: &attach.name, devices, hook: attach.hook.word() })
}

fn pairs<'a>(diff: &'a Diff, old: &'a Policy, new: &'a Policy) -> Vec<Pair<'a>> {
    let pair = |block: &'a super::Block| {
        let (before, after) = (old.attaches.get(block.pair.old)?, new.attaches.get(block.pair.new)?);
        Some(Pair {
            old: &before.name,
            new: &after.name,
            devices: &block.pair.devices,
            hook: after.hook.word(),
            moved_from: block.pair.moved_from.as_deref(),
            zones: &block.zones,
        })
    };
    diff.blocks.iter().filter_map(pair).collect()
}

fn rules(diff: &Diff, map: &SourceMap, side: impl Fn(&Class) -> &Fate) -> Vec<Option<RuleRef>> {
    let decider = |fate: &Fate| {
        let role = if fate.is_default { Role::Default } else { Role::Rule };
        fate.rule.as_ref().map(|info| rule_ref(info, role, map))
    };
    diff.classes.iter().map(|class| decider(side(class))).collect()
}

fn fate<'a>(class: &Class, fate: &Fate, rule: Option<&'a RuleRef>, map: &SourceMap) -> FateJson<'a> {
    FateJson {
        verdict: verdict(&fate.outcome),
        text: happens(fate, class.kind, map).trim_end_matches(',').to_owned(),
        default: fate.is_default,
        rule: rule.map(Words::from),
        further_rules: fate.others.len(),
        by_themselves: fate.others_by_themselves,
    }
}
