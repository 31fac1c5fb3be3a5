//! The status for programs; the shape stands in `docs/json.md`. A change that breaks a reader raises [`VERSION`].

use serde::Serialize;

use super::Status;
use crate::emit::json::{DeviceJson, role_word};
use crate::live::age;
use crate::live::counts::Counted;
use crate::live::report::Words;

/// Version of the shape.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    generation: Option<u16>,
    digest: Option<String>,
    since: Option<String>,
    live_seconds: Option<u64>,
    devices: Vec<DeviceJson<'a>>,
    problems: Vec<ProblemJson<'a>>,
    policies: Vec<PolicyJson<'a>>,
    rules: Vec<RuleJson<'a>>,
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    kind: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct PolicyJson<'a> {
    policy: &'a str,
    devices: &'a [String],
    hook: &'a str,
    blocks: Vec<u32>,
    filters_per_block: usize,
}

#[derive(Serialize)]
struct RuleJson<'a> {
    role: &'static str,
    ident: String,
    meaning: String,
    rule: Option<Words<'a>>,
    block: Option<u32>,
    filters: usize,
    entry_filters: usize,
    packets: u64,
    bytes: u64,
    over_limit: u64,
    lost: u64,
}

impl<'a> From<&Counted<'a>> for RuleJson<'a> {
    fn from(rule: &Counted<'a>) -> Self {
        let counters = rule.count.counters;
        Self {
            role: role_word(rule.role),
            ident: format!("{:08x}", rule.ident),
            meaning: format!("{:016x}", rule.meaning),
            rule: rule.words.map(Words::from),
            block: rule.block,
            filters: rule.count.filters,
            entry_filters: rule.count.entries,
            packets: counters.packets,
            bytes: counters.bytes,
            over_limit: counters.over_limit,
            lost: counters.lost,
        }
    }
}

impl Status<'_> {
    /// For programs; ends in a newline.
    ///
    /// # Errors
    /// None in practice; the serializer's own, if a value had no JSON form.
    pub fn json(&self) -> serde_json::Result<String> {
        let current = self.live.current();
        let seconds = self.live.age();
        let attaches = self.record.iter().filter(|_| self.exact).flat_map(|record| &record.attaches).enumerate();
        let document = Document {
            version: VERSION,
            generation: current.map(|(generation, _)| generation),
            digest: current.map(|(_, digest)| format!("{digest:016x}")),
            since: seconds.map(|seconds| age::utc_before(self.now, seconds)),
            live_seconds: seconds,
            devices: self.live.devices.iter().map(|device| DeviceJson::from(&device.blocks)).collect(),
            problems: self
                .problems
                .iter()
                .map(|problem| ProblemJson { kind: problem.kind, text: &problem.text })
                .collect(),
            policies: attaches
                .map(|(at, attach)| PolicyJson {
                    policy: &attach.policy,
                    devices: &attach.devices,
                    hook: &attach.hook,
                    blocks: self.blocks_of(at),
                    filters_per_block: attach.filters,
                })
                .collect(),
            rules: self.rules.iter().map(RuleJson::from).collect(),
        };
        let mut text = serde_json::to_string_pretty(&document)?;
        text.push('\n');
        Ok(text)
    }
}
