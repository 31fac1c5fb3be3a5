//! What is not as `apply` left it.

use std::collections::{BTreeMap, BTreeSet};

use super::users;
use crate::emit::netlink::Live;
use crate::emit::netlink::live::LiveFilter;
use crate::live::record::{AttachWords, Record};
use crate::live::report::count;

/// One thing that is not as `apply` left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// For programs: `half-switched`, `open`, `no-device`, `no-clsact`, `renamed`, `foreign-qdisc`, `foreign-filters`, `other-filters`,
    /// `left-over`.
    pub kind: &'static str,
    /// For people, in one line.
    pub text: String,
}

/// All of them; those that only a record of what is live can tell, with one.
pub fn problems(
    live: &Live,
    record: Option<&Record>,
    policies: &BTreeMap<u32, usize>,
    devices: &BTreeMap<String, u32>,
) -> Vec<Problem> {
    let mut out = Vec::new();
    generations(live, &mut out);
    for (at, attach) in record.iter().flat_map(|record| &record.attaches).enumerate() {
        missing_devices(live, attach, devices, &mut out);
        for number in policies.iter().filter(|(_, policy)| **policy == at).map(|(number, _)| *number) {
            other_devices(live, attach, number, &mut out);
            drift(live, attach, number, &mut out);
        }
    }
    for (number, block) in &live.blocks {
        let strangers: Vec<&LiveFilter> = block.foreign().collect();
        if let Some(first) = strangers.first() {
            let text = format!(
                "block {number} ({}) also holds {} that ctpolicy did not make (the first: {}, chain {} prio {})",
                users(live, *number),
                count(strangers.len(), "filter"),
                first.kind(),
                first.chain,
                first.prio
            );
            out.push(Problem { kind: "foreign-filters", text });
        }
    }
    let left: usize = live.blocks.values().map(|block| block.dead_chains().len()).sum();
    if left > 0 {
        let text = format!(
            "an apply broke off before its switch: {} of it, not in use; the next apply sweeps them",
            count(left, "chain")
        );
        out.push(Problem { kind: "left-over", text });
    }
    out
}

fn generations(live: &Live, out: &mut Vec<Problem>) {
    if !live.is_empty() && live.generations().is_empty() {
        let held = live.blocks.values().flat_map(|block| &block.filters).any(|filter| filter.origin().is_some());
        let remedy = if held { "`ctpolicy apply FILE` puts them back" } else { "`ctpolicy remove` takes it out" };
        let names: Vec<&str> = live.devices.iter().map(|device| device.blocks.device.as_str()).collect();
        let what = if held { "no entry filter of ours is left" } else { "our clsact is empty" };
        let text = format!("{}: {what}, so every packet passes; {remedy}", names.join(", "));
        out.push(Problem { kind: "open", text });
    }
    if live.generations().len() < 2 {
        return;
    }
    let mut parts = Vec::new();
    for (number, block) in &live.blocks {
        for (generation, digest) in block.live() {
            parts.push(format!("generation {generation} ({digest:016x}) on {}", users(live, *number)));
        }
    }
    let text = format!("a switch broke off: {}; `ctpolicy apply FILE` ends it", parts.join("; "));
    out.push(Problem { kind: "half-switched", text });
}

fn missing_devices(live: &Live, attach: &AttachWords, devices: &BTreeMap<String, u32>, out: &mut Vec<Problem>) {
    let (hook, policy) = (&attach.hook, attach.policy_quoted());
    for name in &attach.devices {
        if live.devices.iter().any(|device| device.blocks.device == *name) {
            continue;
        }
        let (kind, text) = if let Some(other) = live.others.iter().find(|other| other.device == *name) {
            let why = format!("it has a {} that ctpolicy did not make", other.kind);
            ("foreign-qdisc", format!("{name} {hook}: {why}, so {policy} is not in force there"))
        } else if devices.contains_key(name) {
            let why = "it lost its clsact (removed, or the device was made anew)";
            (
                "no-clsact",
                format!("{name} {hook}: {why}, so {policy} is not in force there; `ctpolicy apply FILE` puts it back"),
            )
        } else {
            let text = format!(
                "{name} {hook}: the device is gone, or has another name; once it is back, `ctpolicy apply FILE` puts {policy} on it"
            );
            ("no-device", text)
        };
        out.push(Problem { kind, text });
    }
}

/// Devices that share a policy's block, and are not named by it.
fn other_devices(live: &Live, attach: &AttachWords, number: u32, out: &mut Vec<Problem>) {
    let own = live.devices.iter().map(|device| &device.blocks).filter(|blocks| blocks.on(attach.hook()) == number);
    for blocks in own.filter(|blocks| !attach.devices.contains(&blocks.device)) {
        let (name, hook, policy) = (&blocks.device, &attach.hook, attach.policy_quoted());
        let text = format!(
            "{name} {hook}: {policy} is in force there, but does not name the device, which perhaps was renamed"
        );
        out.push(Problem { kind: "renamed", text });
    }
}

/// Compares how many filters a block holds with how many were loaded.
fn drift(live: &Live, attach: &AttachWords, number: u32, out: &mut Vec<Problem>) {
    let Some(block) = live.blocks.get(&number) else { return };
    let place = users(live, number);
    let entries = block.entries().filter(|filter| filter.origin().is_some()).count();
    let dead: BTreeSet<u32> = block.dead_chains().into_iter().collect();
    let used = |filter: &&LiveFilter| filter.origin().is_some() && !dead.contains(&filter.chain);
    let held = block.filters.iter().filter(used).count();
    let wanted = attach.entries.len();
    if entries < wanted {
        let text = format!(
            "{place}: block {number} has {entries} of its {wanted} entry filters, so some packets pass unfiltered; `ctpolicy apply FILE` puts them back"
        );
        out.push(Problem { kind: "open", text });
    } else if held != attach.filters {
        let text = format!(
            "{place}: block {number} holds {held} of our filters, {} were loaded; `ctpolicy apply FILE` loads them anew",
            attach.filters
        );
        out.push(Problem { kind: "other-filters", text });
    }
}
