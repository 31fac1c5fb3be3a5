//! A comparison in words.

use std::fmt::{self, Write};

use super::kind::Kind;
use super::pairs::Alone;
use super::{Block, Class, Diff, Fate, TooLarge};
use crate::ir::outcome::{Fate as Verdict, Outcome};
use crate::ir::policy::{Attach, Policy, RuleInfo};
use crate::live::report::count;
use crate::source::SourceMap;
use crate::verify::show;

/// Further rules of a class that are shown.
const OTHERS: usize = 2;

/// A policy with its text.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// What it means.
    pub policy: &'a Policy,
    /// Where its rules stand.
    pub map: &'a SourceMap,
}

/// The comparison in words; every line ends in a newline.
#[must_use]
pub fn text(diff: &Diff, old: Text<'_>, new: Text<'_>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_text(&mut out, diff, old, new);
    out
}

fn write_text(out: &mut String, diff: &Diff, old: Text<'_>, new: Text<'_>) -> fmt::Result {
    for alone in &diff.gone {
        let place = place(alone, old.policy);
        writeln!(out, "{place}: no policy filters there any more, every packet is accepted")?;
    }
    for alone in &diff.come {
        let place = place(alone, new.policy);
        writeln!(out, "{place}: filtered from now on; before, every packet was accepted")?;
    }
    if let Some((before, after)) = diff.reserved {
        writeln!(
            out,
            "reserved mark bits {before:#x} are {after:#x} now: which of the open connections are translated is unknown"
        )?;
    }
    for block in &diff.blocks {
        notes(out, block, old.policy, new.policy)?;
    }
    let mut last = None;
    for class in &diff.classes {
        if last != Some(class.block) {
            last = Some(class.block);
            let block = diff.blocks.get(class.block);
            let attach = block.and_then(|block| Some((block, new.policy.attaches.get(block.pair.new)?)));
            if let Some((block, attach)) = attach {
                writeln!(out, "{}", title(attach, &block.pair.devices))?;
            }
        }
        write_class(out, class, old.map, new.map)?;
    }
    let left_out = diff.left_out();
    if left_out > 0 {
        writeln!(out, "... and {left_out} more (`--max-classes N` shows N)")?;
    }
    if diff.is_same() {
        return writeln!(out, "No difference: both policies treat every packet alike (proven).");
    }
    summary(out, diff)
}

fn summary(out: &mut String, diff: &Diff) -> fmt::Result {
    if diff.counts.is_empty() {
        return writeln!(out, "No packet changes its fate where both policies filter (proven).");
    }
    let total: usize = diff.counts.iter().map(|(_, count)| count).sum();
    let kinds: Vec<String> = diff.counts.iter().map(|(kind, count)| format!("{count} {}", kind.word())).collect();
    let (classes, change) = if total == 1 { ("class", "changes its") } else { ("classes", "change their") };
    writeln!(out, "{total} {classes} of packets {change} fate: {}.", kinds.join(", "))
}

fn place(alone: &Alone, policy: &Policy) -> String {
    policy.attaches.get(alone.block).map(|attach| title(attach, &alone.devices)).unwrap_or_default()
}

/// The block, on these of its devices.
#[must_use]
pub fn title(attach: &Attach, devices: &[String]) -> String {
    show::block(&attach.name, devices, attach.hook)
}

fn notes(out: &mut String, block: &Block, old: &Policy, new: &Policy) -> fmt::Result {
    let (Some(before), Some(after)) = (old.attaches.get(block.pair.old), new.attaches.get(block.pair.new)) else {
        return Ok(());
    };
    let title = title(after, &block.pair.devices);
    if let Some(from) = &block.pair.moved_from {
        writeln!(out, "{title}: was on {}; its rules are compared as if the devices were the same", from.join(", "))?;
    }
    for (from, to) in &block.zones {
        writeln!(out, "{title}: conntrack zone {from} is zone {to} now: there, open connections are unknown")?;
    }
    if block.renamed {
        let name = |attach: &Attach| {
            if attach.name.is_empty() { "bare rules".to_owned() } else { format!("policy `{}`", attach.name) }
        };
        writeln!(out, "{title}: was {}", name(before))?;
    }
    Ok(())
}

fn write_class(out: &mut String, class: &Class, old: &SourceMap, new: &SourceMap) -> fmt::Result {
    let packets = match (class.packets.text.as_str(), class.packets.exact) {
        ("", _) => "packets like this one".to_owned(),
        (text, true) => text.to_owned(),
        (text, false) => format!("some of: {text}"),
    };
    writeln!(out, "  {}: {packets}", class.kind.word())?;
    writeln!(out, "    e.g. {}", show::packet(&class.example, &class.devices, class.hook))?;
    for (word, fate, map) in [("old", &class.old, old), ("new", &class.new, new)] {
        write!(out, "    {word}: {}", happens(fate, class.kind, map))?;
        match &fate.rule {
            Some(rule) => write!(out, " by {}", quoted(rule, map))?,
            None => write!(out, " by itself, as ARP and neighbour discovery are")?,
        }
        writeln!(out, "{}", others(fate, map))?;
    }
    Ok(())
}

/// Who decides about others of the packets.
fn others(fate: &Fate, map: &SourceMap) -> String {
    let mut list: Vec<String> = fate.others.iter().take(OTHERS).map(|rule| quoted(rule, map)).collect();
    if let more @ 1.. = fate.others.len() - list.len() {
        list.push(count(more, "more rule"));
    }
    let more = if list.len() > OTHERS { list.pop() } else { None };
    let mut text = list.join(", ");
    if let Some(more) = more {
        text = format!("{text} and {more}");
    }
    match (text.is_empty(), fate.others_by_themselves) {
        (true, false) => text,
        (true, true) => "; others of them by themselves, as ARP and neighbour discovery are".to_owned(),
        (false, false) => format!("; others of them by {text}"),
        (false, true) => format!("; others of them by {text}, or by themselves, as ARP and neighbour discovery are"),
    }
}

/// A rule's words, and where they stand.
fn quoted(rule: &RuleInfo, map: &SourceMap) -> String {
    match map.find(rule.span).zip(map.line_col(rule.span)) {
        Some(((_, file), at)) => format!("`{}` ({}:{})", rule.text(map), file.name, at.line),
        None => format!("`{}`", rule.text(map)),
    }
}

/// What happens to a packet, as far as a change of this kind asks.
#[must_use]
pub fn happens(fate: &Fate, kind: Kind, map: &SourceMap) -> String {
    let outcome = &fate.outcome;
    let nothing = Outcome {
        verdict: outcome.verdict.clone(),
        rule: outcome.rule,
        passes: Vec::new(),
        commits: Vec::new(),
        cleared: false,
        mirrors: Vec::new(),
        limits: Vec::new(),
    };
    match kind {
        Kind::Opened | Kind::Closed | Kind::Redirected => show::outcome(&nothing),
        Kind::Copied => show::outcome(&Outcome { mirrors: outcome.mirrors.clone(), ..nothing }),
        Kind::Translated | Kind::Tracked | Kind::Marked => {
            show::outcome(&Outcome { limits: Vec::new(), ..outcome.clone() })
        }
        Kind::Limited => {
            let own = fate.rule.as_ref().map(|rule| rule.ident).unwrap_or_default();
            let limits: Vec<String> = fate.limits.iter().map(|rule| quoted(rule, map)).collect();
            let limits = match fate.limits.as_slice() {
                [] => "without a limit".to_owned(),
                [one] if one.ident == own => "within its limit".to_owned(),
                _ => format!("within the limit of {},", limits.join(" and of ")),
            };
            format!("{} {limits}", show::outcome(&nothing))
        }
    }
}

/// The verdict's word.
#[must_use]
pub fn verdict(outcome: &Outcome) -> &'static str {
    match outcome.verdict {
        Verdict::Accept => "allow",
        Verdict::Drop => "drop",
        Verdict::Redirect(_) => "redirect",
    }
}

/// Says that nothing is proven.
#[must_use]
pub fn too_large(large: &TooLarge, new: &Policy) -> String {
    let block = new.attaches.get(large.block).map(|attach| title(attach, &attach.devices)).unwrap_or_default();
    format!(
        "{block} is too large to compare: its packets were split into pieces, {} were compared and {} are left; they may differ",
        large.proven, large.left
    )
}
