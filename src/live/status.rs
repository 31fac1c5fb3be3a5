//! What is live now: devices, generation, and per rule what it counted.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;

use super::record::{AttachWords, Record};
use super::report::{Words, count, grouped};
use crate::emit::json::role_word;
use crate::emit::netlink::Live;
use crate::emit::netlink::live::{LiveRule, Origin};
use crate::emit::program::{Role, RuleRef};

/// Version of the JSON's shape.
pub const VERSION: u32 = 1;

/// What is live, with words where a record has them.
pub struct Status<'a> {
    live: &'a Live,
    record: Option<&'a Record>,
    rules: Vec<(LiveRule, Option<&'a RuleRef>)>,
}

impl<'a> Status<'a> {
    /// Pairs what the kernel holds with the words of `record`, in the record's order.
    #[must_use]
    pub fn new(live: &'a Live, record: Option<&'a Record>) -> Self {
        let mark = |rule: &RuleRef| (rule.role, rule.ident, rule.meaning);
        let known: BTreeMap<_, _> = record
            .iter()
            .flat_map(|record| record.rules.iter().enumerate())
            .map(|(at, rule)| (mark(rule), (at, rule)))
            .collect();
        let words = |origin: Origin| known.get(&(origin.role, origin.ident, origin.meaning));
        let mut rules: Vec<_> = live.rules();
        rules.sort_by_key(|rule| (words(rule.origin).map_or(usize::MAX, |(at, _)| *at), rule.origin));
        let rules = rules.into_iter().map(|rule| (rule, words(rule.origin).map(|(_, rule)| *rule))).collect();
        Self { live, record, rules }
    }

    /// For people; every line ends in a newline.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write_text(&mut out);
        out
    }

    fn write_text(&self, out: &mut String) -> fmt::Result {
        if self.live.is_empty() {
            return writeln!(out, "Nothing of ctpolicy is live in this network namespace.");
        }
        match self.live.current() {
            Some((generation, digest)) => writeln!(out, "generation {generation}, program {digest:016x}")?,
            None => writeln!(out, "no single generation is live: a switch broke off; apply again")?,
        }
        for device in &self.live.devices {
            let blocks = &device.blocks;
            writeln!(out, "{}: ingress block {}, egress block {}", blocks.device, blocks.ingress, blocks.egress)?;
        }
        if self.record.is_none() {
            writeln!(
                out,
                "The words of the rules are not known here: `ctpolicy status FILE` takes them from the policy."
            )?;
        }
        writeln!(out, "{:>14} {:>16}  rule", "packets", "bytes")?;
        for attach in self.record.iter().flat_map(|record| &record.attaches) {
            writeln!(out, "{}", title(attach))?;
            self.rows(out, |rule| rule.is_some_and(|rule| rule.policy == attach.policy))?;
        }
        let attached = |rule: &RuleRef| {
            let attaches = self.record.iter().flat_map(|record| &record.attaches);
            attaches.into_iter().any(|attach| attach.policy == rule.policy)
        };
        self.rows(out, |rule| rule.is_none_or(|rule| !attached(rule)))
    }

    /// The rules that people wrote, and what the compiler accepts on its own.
    fn rows(&self, out: &mut String, wanted: impl Fn(Option<&RuleRef>) -> bool) -> fmt::Result {
        let shown = |role| matches!(role, Role::Rule | Role::Default | Role::Implicit);
        for (rule, words) in self.rules.iter().filter(|(rule, words)| shown(rule.origin.role) && wanted(*words)) {
            let counters = rule.counters;
            write!(out, "{:>14} {:>16}  ", grouped(counters.packets), grouped(counters.bytes))?;
            match words {
                Some(words) if words.position > 0 => write!(out, "{}  {}", words.position, words.text)?,
                Some(words) => write!(out, "{}", words.text)?,
                None => write!(
                    out,
                    "{} {:08x} ({})",
                    role_word(rule.origin.role),
                    rule.origin.ident,
                    count(rule.filters, "filter")
                )?,
            }
            match counters.drops {
                0 => writeln!(out)?,
                drops => writeln!(out, "  [{} dropped on the way]", grouped(drops))?,
            }
        }
        Ok(())
    }

    /// For programs; ends in a newline.
    ///
    /// # Errors
    /// None in practice; the serializer's own, if a value had no JSON form.
    pub fn json(&self) -> serde_json::Result<String> {
        let current = self.live.current();
        let document = Document {
            version: VERSION,
            generation: current.map(|(generation, _)| generation),
            digest: current.map(|(_, digest)| format!("{digest:016x}")),
            devices: self
                .live
                .devices
                .iter()
                .map(|device| DeviceJson {
                    device: &device.blocks.device,
                    ingress_block: device.blocks.ingress,
                    egress_block: device.blocks.egress,
                })
                .collect(),
            policies: self.record.map(|record| record.attaches.as_slice()).unwrap_or_default(),
            rules: self.rules.iter().map(|(rule, words)| rule_json(rule, *words)).collect(),
        };
        let mut text = serde_json::to_string_pretty(&document)?;
        text.push('\n');
        Ok(text)
    }
}

fn title(attach: &AttachWords) -> String {
    let what = if attach.policy.is_empty() { "rules".to_owned() } else { format!("policy {}", attach.policy) };
    format!("{what} on {} {}", attach.devices.join(", "), attach.hook)
}

fn rule_json<'a>(rule: &LiveRule, words: Option<&'a RuleRef>) -> RuleJson<'a> {
    RuleJson {
        role: role_word(rule.origin.role),
        ident: format!("{:08x}", rule.origin.ident),
        meaning: format!("{:016x}", rule.origin.meaning),
        rule: words.map(Words::from),
        filters: rule.filters,
        packets: rule.counters.packets,
        bytes: rule.counters.bytes,
        drops: rule.counters.drops,
    }
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    /// `null` where nothing, or no single generation, is live.
    generation: Option<u16>,
    digest: Option<String>,
    devices: Vec<DeviceJson<'a>>,
    policies: &'a [AttachWords],
    rules: Vec<RuleJson<'a>>,
}

#[derive(Serialize)]
struct DeviceJson<'a> {
    device: &'a str,
    ingress_block: u32,
    egress_block: u32,
}

#[derive(Serialize)]
struct RuleJson<'a> {
    role: &'static str,
    ident: String,
    meaning: String,
    /// `null` where neither file nor record knows it.
    rule: Option<Words<'a>>,
    filters: usize,
    packets: u64,
    bytes: u64,
    drops: u64,
}
