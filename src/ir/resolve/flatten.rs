//! A policy's rules in one list: groups put in place, `prefilter` and `default` taken out, misplaced statements reported.

use super::header::Scope;
use super::names::{self, CYCLIC_DEFINITION, NESTING_MAX};
use super::{Cx, info};
use crate::diag::Diagnostic;
use crate::ir::policy::Hook;
use crate::parse::ast::{DefaultRule, Item, ItemKind, Rule};
use crate::parse::lints::NESTED_TOO_DEEP;
use crate::source::Span;

crate::declare_lints! {
    /// A statement where it cannot stand.
    pub MISPLACED_STATEMENT: Error = "misplaced-statement", "a statement where it cannot stand",
        "Definitions, groups, policies, `include`, `reserve` and `assert` stand at the top of a file; policies and groups hold rules.\n\nExample:\n\n    \
         policy p on eth0 ingress {\n        net office = 10.0.0.0/24\n        default drop\n    }\n\nRemedy: move the statement.";
    /// A rule that comes after the last word.
    pub RULE_AFTER_DEFAULT: Error = "rule-after-default", "a rule after `default`",
        "`default` decides about everything that is left, so a rule after it is never reached.\n\nExample:\n\n    default drop\n    \
         allow tcp to port 22\n\nRemedy: move the rule before `default`.";
    /// A `default` with matches or actions.
    pub DEFAULT_WITH_PARTS: Error = "default-with-parts", "matches or actions on `default`",
        "`default` decides about everything that is left; it matches all and does nothing else.\n\nExample:\n\n    default drop tcp\n\n\
         Remedy: write a rule before it: `drop tcp`.";
    /// A `prefilter` that is not the first.
    pub MISPLACED_PREFILTER: Error = "misplaced-prefilter", "a `prefilter` that is not the first in its policy",
        "A `prefilter` sees packets before every other rule, so it stands first, and once.\n\nExample:\n\n    allow established\n    \
         prefilter { drop from 240.0.0.0/4 }\n\nRemedy: move it to the top of the policy; join two into one.";
    /// More rules than a policy may have.
    pub TOO_MANY_RULES: Error = "too-many-rules", "a policy with more than 1,000,000 rules",
        "Groups that use groups multiply quickly. A policy holds a million rules at most, groups counted wherever they are used.\n\n\
         Remedy: use sets instead of many rules, and groups less often.";
}

/// Rules a policy may have: no kernel lists more in bearable time, and groups within groups must end somewhere.
const RULES_MAX: usize = 1_000_000;

/// A rule at its place in a policy.
#[derive(Clone, Copy)]
pub struct Placed<'a> {
    /// The statement.
    pub item: &'a Item,
    /// The rule in it.
    pub rule: &'a Rule,
}

/// A policy's rules.
#[derive(Default)]
pub struct Flat<'a> {
    /// Those of its `prefilter`.
    pub prefilter: Vec<Placed<'a>>,
    /// All others.
    pub rules: Vec<Placed<'a>>,
    /// Its last word.
    pub default: Option<(&'a Item, &'a DefaultRule)>,
    /// Some statement could not be read.
    pub broken: bool,
    /// `use` of groups around what is being added.
    stack: Vec<(&'a str, Span)>,
    /// Groups put in place so far.
    expanded: usize,
    full: bool,
}

/// The rules of a policy, or the rules outside of any.
pub fn policy<'a>(items: impl Iterator<Item = &'a Item>, cx: &mut Cx<'a>) -> Flat<'a> {
    let mut flat = Flat::default();
    let mut first: Option<Span> = None;
    for item in items {
        if let Some((default, _)) = flat.default
            && !matches!(item.kind, ItemKind::Error(_))
        {
            let what = if matches!(item.kind, ItemKind::Default(_)) {
                "a second `default`"
            } else {
                "nothing after `default` is reached"
            };
            let finding = Diagnostic::new(&RULE_AFTER_DEFAULT, item.span, what)
                .because(default.span, "this decides about all that is left");
            cx.report(finding.help("move `default` to the end of the policy"));
        }
        match &item.kind {
            ItemKind::Prefilter(block) => {
                if let Some(first) = first {
                    let keyword = block.name;
                    let finding =
                        Diagnostic::new(&MISPLACED_PREFILTER, keyword, "`prefilter` is not the first in its policy");
                    cx.report(
                        finding.because(first, "this stands before it").help("move it to the top; join two into one"),
                    );
                }
                add(&block.items, Part::Prefilter, &mut flat, cx);
            }
            ItemKind::Default(default) => {
                bare_default(item, default, cx);
                flat.default = flat.default.or(Some((item, default)));
            }
            _ => add(std::slice::from_ref(item), Part::Rules, &mut flat, cx),
        }
        first = first.or(Some(Span { lo: item.span.lo, hi: item.span.hi }));
    }
    flat
}

fn bare_default(item: &Item, default: &DefaultRule, cx: &mut Cx<'_>) {
    let parts = default.matches.iter().map(|part| part.span).chain(default.actions.iter().map(|action| action.span));
    let Some(span) = parts.reduce(Span::to) else { return };
    let word = if default.allow { "allow" } else { "drop" };
    let finding = Diagnostic::new(&DEFAULT_WITH_PARTS, span, "`default` takes no matches and no actions");
    let rest = info::one_line(cx.text(Span { lo: item.span.lo, hi: item.span.hi }));
    let rest = rest.strip_prefix("default ").unwrap_or(&rest).to_owned();
    cx.report(finding.help(format!("write the rule `{rest}`, and `default {word}` after it")));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Prefilter,
    Rules,
}

/// Adds rules, and those of the groups that they use.
fn add<'a>(items: &'a [Item], part: Part, flat: &mut Flat<'a>, cx: &mut Cx<'a>) {
    for item in items {
        if flat.full {
            return;
        }
        match &item.kind {
            ItemKind::Rule(rule) => {
                if flat.prefilter.len() + flat.rules.len() >= RULES_MAX {
                    too_many(item, flat, cx);
                    return;
                }
                let list = if part == Part::Prefilter { &mut flat.prefilter } else { &mut flat.rules };
                list.push(Placed { item, rule });
            }
            ItemKind::Use(name) => {
                // Groups of nothing but groups multiply too.
                flat.expanded += 1;
                if flat.expanded > RULES_MAX {
                    too_many(item, flat, cx);
                    return;
                }
                expand(*name, part, flat, cx);
            }
            ItemKind::Error(_) => flat.broken = true,
            other => misplaced(item, other, cx),
        }
    }
}

/// Reports that the policy is too large, and forgets its rules: looking at a million more would only make its writer wait.
fn too_many(item: &Item, flat: &mut Flat<'_>, cx: &mut Cx<'_>) {
    let message = format!("the policy has more than {RULES_MAX} rules, groups counted wherever they are used");
    cx.report(Diagnostic::new(&TOO_MANY_RULES, item.span, message).help("use sets instead of many rules"));
    flat.full = true;
    flat.prefilter.clear();
    flat.rules.clear();
}

fn expand<'a>(span: Span, part: Part, flat: &mut Flat<'a>, cx: &mut Cx<'a>) {
    let name = cx.text(span);
    if let Some(from) = flat.stack.iter().position(|(open, _)| *open == name) {
        let circle = flat.stack.get(from..).unwrap_or_default();
        let mut path: Vec<&str> = circle.iter().map(|(name, _)| *name).collect();
        path.push(name);
        let mut finding = Diagnostic::new(&CYCLIC_DEFINITION, span, format!("the group `{name}` uses itself"))
            .here(format!("back to `{name}`"))
            .note(format!("the circle: {}", path.join(" -> ")));
        for (inner, at) in circle.iter().skip(1) {
            finding = finding.because(*at, format!("uses `{inner}`"));
        }
        cx.report(finding.help("take one `use` out"));
        return;
    }
    if flat.stack.len() >= NESTING_MAX {
        let message = format!("groups are nested deeper than {NESTING_MAX}");
        cx.report(Diagnostic::new(&NESTED_TOO_DEEP, span, message).help("use the inner groups directly"));
        return;
    }
    match names::group(span, cx) {
        Some(block) => {
            flat.stack.push((name, span));
            add(&block.items, part, flat, cx);
            flat.stack.pop();
        }
        // Its rules are unknown, and the default may be among what could not be read.
        None => flat.broken = true,
    }
}

fn misplaced(item: &Item, kind: &ItemKind, cx: &mut Cx<'_>) {
    let (what, help) = match kind {
        ItemKind::Include(_) => ("`include`", "move it to the top of the file"),
        ItemKind::Define(_) => ("a definition", "move it out of the braces, to the top of the file"),
        ItemKind::ReserveMark(_) => ("`reserve`", "move it to the top of the file"),
        ItemKind::Assert(_) => ("an assertion", "move it out of the braces, to the top of the file"),
        ItemKind::Group(_) => ("a group", "move it out of the braces, and `use` it here"),
        ItemKind::Policy(_) => ("a policy", "move it out of the braces"),
        ItemKind::Prefilter(_) => ("`prefilter`", "move it to the top of a policy"),
        ItemKind::Default(_) => ("`default`", "move it to the end of the policy, behind all of its rules"),
        ItemKind::Use(_) | ItemKind::Rule(_) | ItemKind::Error(_) => return,
    };
    // The first line is enough: a whole block would bury the message.
    let first_line = cx.text(item.span).lines().next().unwrap_or_default().trim_end().len();
    let span = Span { lo: item.span.lo, hi: item.span.lo + u32::try_from(first_line).unwrap_or(0) };
    cx.report(Diagnostic::new(&MISPLACED_STATEMENT, span, format!("{what} cannot stand here")).help(help));
}

/// Groups that no policy uses, as policies that never come to be: their rules are looked at for mistakes.
pub fn unused_groups<'a>(cx: &mut Cx<'a>) -> Vec<Scope<'a>> {
    let blocks = names::unused_groups(cx);
    blocks.into_iter().map(|block| loose(cx.text(block.name), block.name, &block.items, cx)).collect()
}

/// Rules as a policy that never comes to be. Without a name they are those of a block whose header could not be read,
/// which may have been a policy.
pub fn loose<'a>(name: &'a str, span: Span, items: &'a [Item], cx: &mut Cx<'a>) -> Scope<'a> {
    let mut flat = Flat::default();
    if !name.is_empty() {
        flat.stack.push((name, span));
    }
    for item in items {
        match &item.kind {
            ItemKind::Prefilter(block) if name.is_empty() => add(&block.items, Part::Prefilter, &mut flat, cx),
            ItemKind::Default(default) if name.is_empty() => bare_default(item, default, cx),
            _ => add(std::slice::from_ref(item), Part::Rules, &mut flat, cx),
        }
    }
    Scope {
        name,
        span,
        devices: Vec::new(),
        hook: Hook::Ingress,
        passes: vec![0],
        home: Some(0),
        bare: false,
        loose: true,
        flat,
    }
}
