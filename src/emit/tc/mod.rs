//! The Program as a script for `tc -batch`.
//!
//! The script starts from devices without a clsact qdisc. It makes them, then the chains from the first to the last, and the
//! entry filters (chain 0) last of all, so that no packet meets a ruleset that is not whole.

mod action;
mod filter;
mod value;

use std::fmt::{self, Write};

use crate::emit::program::{Action, Attached, Chain, Ct, Filter, Placement, Program, RuleRef, chain_number};
use crate::ir::policy::Hook;
use crate::source::braced;
use filter::FilterLine;

pub use filter::rule_title;
pub use value::{KeyValue, ether_type};

/// iproute2 before this version cannot write a conntrack helper.
pub const HELPER_SINCE: (u16, u16) = (6, 3);

/// Which `tc` will read the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Version of iproute2: major, minor.
    pub iproute2: (u16, u16),
}

impl Default for Options {
    fn default() -> Self {
        Self { iproute2: (6, 1) }
    }
}

/// What a script for this `tc` cannot say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum ScriptError {
    /// A conntrack helper needs a newer iproute2.
    #[error("{place}: iproute2 {}.{} cannot write the helper of `{rule}`", have.0, have.1)]
    #[diagnostic(help(
        "write the script for a newer tc with `--iproute2 {}.{}`, or load the policy without tc: `ctpolicy apply`",
        HELPER_SINCE.0,
        HELPER_SINCE.1
    ))]
    Helper {
        /// The rule's words.
        rule: String,
        /// Where it stands.
        place: String,
        /// The version asked for.
        have: (u16, u16),
    },
    /// An address under a mask that is no prefix.
    #[error("{place}: tc cannot write the address mask of `{rule}`")]
    #[diagnostic(help("load the policy without tc: `ctpolicy apply`"))]
    Mask {
        /// The rule's words.
        rule: String,
        /// Where it stands.
        place: String,
    },
}

/// The Program as lines for `tc -batch`. Same Program, same bytes.
///
/// # Errors
/// [`ScriptError`] when the `tc` of [`Options::iproute2`] has no words for a filter.
pub fn script(program: &Program, placement: &Placement, options: &Options) -> Result<String, ScriptError> {
    Ok(Script::of(program, placement.clone(), options)?.to_string())
}

/// A whole script, as [`script`] has it, to be written piece by piece: there may be very much of it.
pub struct Script<'a> {
    program: &'a Program,
    placement: Placement,
}

impl<'a> Script<'a> {
    /// Of this Program.
    ///
    /// # Errors
    /// As for [`script`].
    pub fn of(program: &'a Program, placement: Placement, options: &Options) -> Result<Self, ScriptError> {
        let chains = program.attaches.iter().flat_map(|attached| attached.chains.iter().chain([&attached.entry]));
        let mut filters = chains.flat_map(|chain| &chain.filters);
        filters.try_for_each(|filter| check(program, filter, options.iproute2))?;
        Ok(Self { program, placement })
    }
}

fn check(program: &Program, filter: &Filter, iproute2: (u16, u16)) -> Result<(), ScriptError> {
    let words = || {
        let rule = program.rules.get(filter.rule);
        rule.map(|rule| (rule.text.clone(), rule.place.clone())).unwrap_or_default()
    };
    if iproute2 < HELPER_SINCE && filter.actions.iter().any(has_helper) {
        let (rule, place) = words();
        return Err(ScriptError::Helper { rule, place, have: iproute2 });
    }
    if !filter.keys.iter().all(value::writable) {
        let (rule, place) = words();
        return Err(ScriptError::Mask { rule, place });
    }
    Ok(())
}

fn has_helper(action: &Action) -> bool {
    matches!(action, Action::Ct(Ct::Commit(commit), _) if commit.helper.is_some())
}

/// Text that came from the policy, made safe for one comment line.
struct Comment<'a>(&'a str);

impl fmt::Display for Comment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.0.split(char::is_control);
        parts.next().map_or(Ok(()), |first| f.write_str(first))?;
        parts.try_for_each(|part| f.write_char(' ').and_then(|()| f.write_str(part)))
    }
}

impl fmt::Display for Script<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header(f)?;
        for device in &self.placement.devices {
            writeln!(
                f,
                "qdisc add dev {} ingress_block {} egress_block {} clsact",
                device.device, device.ingress, device.egress
            )?;
        }
        for (attached, blocks) in self.attaches() {
            for block in blocks {
                write!(f, "\n# {}\n", attach_title(attached))?;
                attached.chains.iter().try_for_each(|chain| self.chain(f, *block, chain))?;
            }
        }
        for (attached, blocks) in self.attaches() {
            for block in blocks {
                write!(f, "\n# From here on it holds: {}\n", attach_title(attached))?;
                self.chain(f, *block, &attached.entry)?;
            }
        }
        Ok(())
    }
}

impl Script<'_> {
    fn attaches(&self) -> impl Iterator<Item = (&Attached, &Vec<u32>)> {
        self.program.attaches.iter().zip(&self.placement.blocks)
    }

    fn header(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# A ruleset by ctpolicy, generation {}.", self.placement.generation)?;
        writeln!(f, "# Load it with `tc -batch FILE`; its devices must not have a clsact or ingress qdisc yet.")?;
        let actions = self.attaches().flat_map(|(attached, _)| &attached.chains).flat_map(|chain| &chain.filters);
        if actions.flat_map(|filter| filter.actions.iter()).any(has_helper) {
            let (major, minor) = HELPER_SINCE;
            writeln!(f, "# It sets a conntrack helper: tc must be of iproute2 {major}.{minor} or newer.")?;
        }
        writeln!(f)
    }

    /// A chain's filters, each run of one rule under the rule's words.
    fn chain(&self, f: &mut fmt::Formatter<'_>, block: u32, chain: &Chain) -> fmt::Result {
        let number = chain_number(self.placement.generation, chain.index);
        writeln!(f, "\n# chain {number}: {}", Comment(&chain.title))?;
        let place = format!("block {block} chain {number}");
        let mut before = None;
        for filter in &chain.filters {
            let rule = self.program.rules.get(filter.rule);
            if before != Some(filter.rule) {
                rule.map_or(Ok(()), |rule| comment(f, rule))?;
            }
            before = Some(filter.rule);
            let generation = self.placement.generation;
            let cookie = self.program.cookie(chain, filter, generation);
            let line = FilterLine { filter, place: &place, generation, cookie };
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

/// `policy to-internet on wan egress`
#[must_use]
pub fn attach_title(attached: &Attached) -> String {
    place_title(&attached.name, &attached.devices, attached.hook)
}

/// The same of its parts.
#[must_use]
pub fn place_title(policy: &str, devices: &[String], hook: Hook) -> String {
    let what = if policy.is_empty() { "rules".to_owned() } else { format!("policy {policy}") };
    format!("{what} on {} {}", braced(devices), hook.word())
}

fn comment(f: &mut fmt::Formatter<'_>, rule: &RuleRef) -> fmt::Result {
    write!(f, "# {}", Comment(&rule_title(rule)))?;
    for (key, value) in &rule.annotations {
        write!(f, "  @{} {}", Comment(key), Comment(value))?;
    }
    writeln!(f)
}

#[cfg(test)]
mod tests;
