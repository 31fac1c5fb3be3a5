//! From the syntax tree to the [`Policy`]: names are looked up, sets worked out, values checked, prerequisites added.
//!
//! 1. [`collect`], [`names`]: all definitions, in any order, each worked out once.
//! 2. [`header`]: what each policy stands on; [`flatten`]: its rules with groups in place.
//! 3. [`rule`]: each rule's matches ([`matches`], gathered in a [`draft`]) and actions ([`actions`], [`nat`]), then the
//!    header alternatives that it becomes ([`alts`], [`products`]).
//! 4. [`checks`]: what only shows when a policy's rules stand side by side.
//!
//! [`salvage`] looks at what is left of statements that could not be read.
//!
//! Nothing stops at the first mistake. What is `None` was reported where it stands, and whatever depends on it stays silent.

mod actions;
mod address;
mod alone;
mod alts;
mod asserts;
mod bits;
pub mod catalogue;
mod checks;
mod collect;
mod devices;
mod draft;
mod flatten;
mod header;
mod icmp;
mod info;
mod limit;
mod masked;
mod matches;
mod names;
mod nat;
mod number;
mod parallel;
mod products;
mod protocol;
mod reserve;
mod rule;
mod salvage;
mod service;
mod sets;
mod shared;
mod states;
mod unknown;
mod words;
mod zones;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::policy::{Actions, Hook, NatBits, Policy};
use crate::diag::{Diagnostic, Diagnostics, Lint};
use crate::parse::ast::Ast;
use crate::source::{FileId, SourceMap, Span};
pub use asserts::EMPTY_ASSERTION;

/// What the command line adds to a file.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where rules outside any policy stand: `--on DEV --hook HOOK [--zone N]`.
    pub bare: Option<BareAttach>,
    /// `--default allow`: what the implied default of rules outside any policy does.
    pub default_allow: bool,
    /// Addresses of devices, for `masquerade`.
    pub addresses: BTreeMap<String, Addresses>,
    /// `--max-filters N`: a policy of more is refused; `None` for the usual limit.
    pub filters_max: Option<usize>,
    /// `--filter-budget 2x`: filters, in percent of those that the rules need, that may be spent to save packets lookups;
    /// `None` for the usual.
    pub growth: Option<u32>,
}

/// The attach point of rules outside any policy.
#[derive(Clone, Debug)]
pub struct BareAttach {
    /// Devices, or names of interfaces that the file defines.
    pub devices: Vec<String>,
    /// The hook.
    pub hook: Hook,
    /// The conntrack zone.
    pub zone: Option<u16>,
}

/// The addresses of a device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    /// IPv4.
    pub v4: Option<Ipv4Addr>,
    /// IPv6.
    pub v6: Option<Ipv6Addr>,
}

/// The lints of all files of this room.
pub const LINTS: &[&[&Lint]] = &[
    actions::LINTS,
    alone::LINTS,
    address::LINTS,
    asserts::LINTS,
    bits::LINTS,
    checks::LINTS,
    collect::LINTS,
    devices::LINTS,
    draft::LINTS,
    flatten::LINTS,
    header::LINTS,
    icmp::LINTS,
    info::LINTS,
    limit::LINTS,
    masked::LINTS,
    matches::LINTS,
    names::LINTS,
    nat::LINTS,
    number::LINTS,
    protocol::LINTS,
    reserve::LINTS,
    sets::LINTS,
    states::LINTS,
];

/// Which bits of the mark are reserved, and whether anything needs them.
#[derive(Clone, Copy, Default)]
struct Marks {
    bits: NatBits,
    used: bool,
}

/// What resolving works on.
pub(crate) struct Cx<'a> {
    map: &'a SourceMap,
    options: &'a Options,
    diags: &'a mut Diagnostics,
    names: names::Names<'a>,
    marks: Marks,
    translating: BTreeSet<u16>,
    /// What most rules do.
    nothing: Arc<Actions>,
    /// What most rules ask.
    conds: shared::Shared,
    /// Policies of which it was told that they name no zone.
    told: BTreeSet<Span>,
}

/// Mistakes of one file of a set that are reported; one wrong file would otherwise fill the screen.
const FILE_MISTAKES_MAX: usize = 20;

impl<'a> Cx<'a> {
    /// The text of a word.
    fn text(&self, span: Span) -> &'a str {
        self.map.text(span)
    }

    /// The words under a span on one line, in backticks, shortened where long.
    fn quote(&self, span: Span) -> String {
        let words = info::one_line(self.text(span));
        match words.char_indices().nth(50) {
            Some((end, _)) => format!("`{}...`", words.get(..end).unwrap_or_default()),
            None => format!("`{words}`"),
        }
    }

    /// The actions for a rule: those that do nothing are the same for all.
    fn shared(&self, actions: Actions) -> Arc<Actions> {
        if actions == *self.nothing { Arc::clone(&self.nothing) } else { Arc::new(actions) }
    }

    fn report(&mut self, finding: Diagnostic) {
        self.diags.push(finding);
    }

    /// Calls `read` for each line of a set's file; comments and blanks are taken off, empty lines left out.
    /// Reports what it returns as errors; `None` if there was one.
    fn lines(
        &mut self,
        file: FileId,
        mut read: impl FnMut(&'a str, Span) -> Result<(), Box<Diagnostic>>,
    ) -> Option<()> {
        let map: &'a SourceMap = self.map;
        let source = map.file(file)?;
        let (mut offset, mut mistakes) = (source.base, 0usize);
        for line in source.text.split_inclusive('\n') {
            let start = offset;
            offset += u32::try_from(line.len()).ok()?;
            let words = line.split('#').next().unwrap_or_default();
            let blank = words.len() - words.trim_start().len();
            let words = words.trim();
            if words.is_empty() {
                continue;
            }
            let lo = start + u32::try_from(blank).ok()?;
            let span = Span { lo, hi: lo + u32::try_from(words.len()).ok()? };
            if let Err(finding) = read(words, span) {
                mistakes += 1;
                if mistakes == FILE_MISTAKES_MAX {
                    self.report((*finding).note("no further mistakes of this file are shown"));
                    return None;
                }
                self.report(*finding);
            }
        }
        (mistakes == 0).then_some(())
    }
}

/// Works out what the files mean. Every mistake is reported into `diags`; where there is an error, the policy returned
/// lacks the parts at fault and must not be used.
pub fn resolve(asts: &[Ast], map: &SourceMap, options: &Options, diags: &mut Diagnostics) -> Policy {
    let names = collect::collect(asts, map, diags);
    let mut cx = Cx {
        map,
        options,
        diags,
        names,
        marks: Marks::default(),
        translating: BTreeSet::new(),
        nothing: Arc::default(),
        conds: shared::Shared::default(),
        told: BTreeSet::new(),
    };
    names::evaluate_all(&mut cx);
    reserve::read(asts, &mut cx);
    let scopes = header::scopes(asts, &mut cx);
    salvage::check(asts, &mut cx);
    let unused = flatten::unused_groups(&mut cx);
    cx.marks.used = reserve::needed(scopes.iter().chain(&unused), &mut cx);
    let attaches: Vec<_> = scopes.iter().map(|scope| rule::attach(scope, &mut cx)).collect();
    // Rules of unused groups are checked like any others, and then forgotten.
    checks::stored_too_late(&attaches, &mut cx);
    let translating = cx.translating.clone();
    for scope in &unused {
        rule::attach(scope, &mut cx);
    }
    let asserts = asserts::read(asts, &scopes, &attaches, &mut cx);
    unknown::report_unused(&mut cx);
    Policy { attaches, nat_bits: cx.marks.bits, nat_bits_used: cx.marks.used, translating, asserts }
}
