//! What is not as `apply` left it.

use std::collections::{BTreeMap, BTreeSet};

use super::users;
use crate::emit::netlink::Live;
use crate::emit::netlink::live::{LiveBlock, LiveFilter};
use crate::live::record::{AttachWords, Record};
use crate::live::report::count;

/// One thing that is not as `apply` left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// For programs: `half-switched`, `open`, `no-device`, `no-clsact`, `foreign-qdisc`, `foreign-filters`, `other-filters`,
    /// `left-over`.
    pub kind: &'static str,
    /// For people, in one line.
    pub text: String,
}

/// All of them; those that only a record of what is live can tell, with one.
pub fn problems(live: &Live, record: Option<&Record>, devices: &BTreeMap<String, u32>) -> Vec<Problem> {
    let mut out = Vec::new();
    generations(live, &mut out);
    for attach in record.iter().flat_map(|record| &record.attaches) {
        missing_devices(live, attach, devices, &mut out);
        drift(live, attach, &mut out);
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
    let all: BTreeSet<(u16, u64)> = live.blocks.values().flat_map(LiveBlock::live).collect();
    if all.is_empty() && !live.is_empty() {
        let text = "no entry filter of ours is left, so every packet passes; `ctpolicy apply FILE` puts them back";
        out.push(Problem { kind: "open", text: text.to_owned() });
    }
    if all.len() < 2 {
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
    let title = if attach.policy.is_empty() { "its rules".to_owned() } else { format!("policy {}", attach.policy) };
    let hook = &attach.hook;
    for name in &attach.devices {
        if live.devices.iter().any(|device| device.blocks.device == *name) {
            continue;
        }
        let (kind, text) = if let Some(other) = live.others.iter().find(|other| other.device == *name) {
            let text = format!(
                "device {name} has a {} that ctpolicy did not make: {title} is not in force on its {hook}",
                other.kind
            );
            ("foreign-qdisc", text)
        } else if devices.contains_key(name) {
            let text = format!(
                "device {name} is open on {hook}: it lost its clsact (removed, or the device was made anew); `ctpolicy apply FILE` puts {title} back"
            );
            ("no-clsact", text)
        } else {
            let text =
                format!("device {name} is gone; once it is back, `ctpolicy apply FILE` puts {title} on its {hook}");
            ("no-device", text)
        };
        out.push(Problem { kind, text });
    }
}

/// Compares how many filters each block holds with how many were loaded.
fn drift(live: &Live, attach: &AttachWords, out: &mut Vec<Problem>) {
    for number in attach.blocks(live) {
        let Some(block) = live.blocks.get(&number) else { continue };
        let place = users(live, number);
        let entries = block.entries().filter(|filter| filter.origin().is_some()).count();
        let ours = block.filters.iter().filter(|filter| filter.origin().is_some()).count();
        let dead: BTreeSet<u32> = block.dead_chains().into_iter().collect();
        let unused = block.filters.iter().filter(|filter| dead.contains(&filter.chain) && filter.origin().is_some());
        let held = ours - unused.count();
        if entries < attach.entries.len() {
            let text = format!(
                "{place}: {entries} of {} are left in block {number}, so packets pass it by; `ctpolicy apply FILE` puts them back",
                count(attach.entries.len(), "entry filter")
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
}
