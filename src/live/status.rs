//! What is live now: generation, devices, what is not as `apply` left it, and per rule what it counted.

mod json;
mod problems;

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::SystemTime;

use super::age;
use super::counts::{Counted, HOOKS, counted, is_exact, policies};
use super::record::Record;
use super::report::count;
use crate::emit::cost::report::grouped;
use crate::emit::json::role_word;
use crate::emit::netlink::Live;
use crate::emit::program::{Role, RuleRef};
use crate::source::braced;

pub use json::VERSION;
pub use problems::Problem;

/// What is live, with words where a record has them.
pub struct Status<'a> {
    live: &'a Live,
    record: Option<&'a Record>,
    /// Whether the record is of what is live, and not only of a policy that looks like it.
    exact: bool,
    /// The policy of each block, as an index into the record.
    policies: BTreeMap<u32, usize>,
    rules: Vec<Counted<'a>>,
    problems: Vec<Problem>,
    now: SystemTime,
}

/// Roles that are shown: what people wrote, and what is accepted whatever they wrote.
const fn is_shown(role: Role) -> bool {
    matches!(role, Role::Rule | Role::Default | Role::Implicit | Role::Entry)
}

impl<'a> Status<'a> {
    /// Pairs what the kernel holds with the words of `record`. `devices` are those of the network namespace.
    #[must_use]
    pub fn new(live: &'a Live, record: Option<&'a Record>, devices: &BTreeMap<String, u32>, now: SystemTime) -> Self {
        let exact = record.is_some_and(|record| is_exact(live, record));
        let record_of_it = record.filter(|_| exact);
        let policies = record_of_it.map(|record| policies(live, record)).unwrap_or_default();
        let problems = problems::problems(live, record_of_it, &policies, devices);
        Self { live, record, exact, policies, rules: counted(live, record), problems, now }
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
        self.heading(out)?;
        for problem in &self.problems {
            writeln!(out, "warning: {}", problem.text)?;
        }
        if !self.rules.iter().any(|rule| is_shown(rule.role)) {
            return Ok(());
        }
        writeln!(out, "{:>14} {:>16}  rule", "packets", "bytes")?;
        let width = self
            .rules
            .iter()
            .filter(|rule| is_shown(rule.role))
            .filter_map(|rule| rule.words)
            .map(|words| label(words).chars().count())
            .max();
        let width = width.unwrap_or_default();
        for (at, attach) in self.record.iter().filter(|_| self.exact).flat_map(|record| &record.attaches).enumerate() {
            writeln!(out, "{}{}", attach.title(), blocks(&self.blocks_of(at)))?;
            self.rows(out, width, |rule| rule.policy == Some(at))?;
        }
        for number in self.live.blocks.keys() {
            let mut of_block = self.rules.iter().filter(|rule| rule.block == Some(*number) && is_shown(rule.role));
            if of_block.next().is_some() {
                writeln!(out, "{}{}", users(self.live, *number), blocks(&[*number]))?;
                self.rows(out, width, |rule| rule.block == Some(*number))?;
            }
        }
        Ok(())
    }

    fn heading(&self, out: &mut String) -> fmt::Result {
        let Some((generation, digest)) = self.live.current() else {
            let several = self.live.generations().len() > 1;
            return writeln!(out, "{} generation is live", if several { "no single" } else { "no" });
        };
        write!(out, "generation {generation}")?;
        if let Some(seconds) = self.live.age() {
            write!(out, ", live since {} ({})", age::utc_before(self.now, seconds), age::words(seconds))?;
        }
        let all = self.live.counts(|_, _, _| ()).remove(&()).unwrap_or_default();
        writeln!(out, ", {}, program {digest:016x}", count(all.filters + all.entries, "filter"))
    }

    /// The rules that people wrote, and what the compiler accepts on its own.
    fn rows(&self, out: &mut String, width: usize, wanted: impl Fn(&Counted) -> bool) -> fmt::Result {
        for rule in self.rules.iter().filter(|rule| is_shown(rule.role) && wanted(rule)) {
            let counters = rule.count.counters;
            let filters = rule.count.filters + rule.count.entries;
            write!(out, "{:>14} {:>16}  ", grouped(counters.packets), grouped(counters.bytes))?;
            match rule.words {
                Some(words) if width > 0 => write!(out, "{:>width$}  {}", label(words), words.text)?,
                Some(words) => write!(out, "{}", words.text)?,
                None if rule.role == Role::Entry => write!(out, "entry filter prio {}", rule.ident)?,
                None => write!(out, "{} {:08x} ({})", role_word(rule.role), rule.ident, count(filters, "filter"))?,
            }
            if self.exact && filters == 0 {
                write!(out, "  [became no filter]")?;
            }
            if counters.over_limit > 0 {
                write!(out, "  [{} over the limit]", grouped(counters.over_limit))?;
            }
            if counters.lost > 0 {
                write!(out, "  [{} lost in conntrack or at the target device]", grouped(counters.lost))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// The blocks of a policy.
    fn blocks_of(&self, policy: usize) -> Vec<u32> {
        self.policies.iter().filter(|(_, at)| **at == policy).map(|(block, _)| *block).collect()
    }
}

/// `@web`, or the rule's position; empty for what the compiler adds and for defaults.
fn label(rule: &RuleRef) -> String {
    match (rule.id(), rule.role) {
        (Some(id), _) => format!("@{id}"),
        (None, Role::Rule) => rule.position.to_string(),
        _ => String::new(),
    }
}

/// `, block 208666625`
fn blocks(list: &[u32]) -> String {
    let numbers: Vec<String> = list.iter().map(u32::to_string).collect();
    match numbers.as_slice() {
        [] => String::new(),
        [one] => format!(", block {one}"),
        many => format!(", blocks {}", many.join(", ")),
    }
}

/// The devices and the hook that a block serves: `{ eth0, eth1 } ingress`.
fn users(live: &Live, block: u32) -> String {
    for hook in HOOKS {
        let own = live.devices.iter().map(|device| &device.blocks).filter(|blocks| blocks.on(hook) == block);
        let names: Vec<String> = own.map(|blocks| blocks.device.clone()).collect();
        if !names.is_empty() {
            return format!("{} {}", braced(&names), hook.word());
        }
    }
    "no device".to_owned()
}

#[cfg(test)]
pub(super) mod tests;
