//! A bound on the filters of a policy: it is refused with the rule that takes most of them.

use crate::declare_lints;
use crate::diag::{Diagnostic, Diagnostics};
use crate::emit::program::Program;
use crate::ir::policy::{Policy, RuleInfo};
use crate::source::Span;

declare_lints! {
    /// More filters than the user allows.
    pub TOO_MANY_FILTERS: Error = "too-many-filters", "the policy becomes more filters than `--max-filters` allows",
        "Each filter takes about 2.4 KB of kernel memory and some microseconds to load; a network card has room for so many. \
         `--max-filters N` refuses a policy that would become more, and points at the rule that takes most of them. \
         The sets of one rule may multiply: with 100 sources and 100 destinations, 10,000 filters.\n\n\
         Example: `ctpolicy compile --max-filters 10000 gateway.pol`\n\n\
         Remedy: shorten the sets of that rule (`compile --stats` shows all rules by their filters), take wider \
         networks, split it by the set that is long, or allow more.";
}

/// Reports a policy of more than `max` filters.
pub fn check(program: &Program, policy: &Policy, max: usize, diags: &mut Diagnostics) {
    let filters = program.filters().count();
    if filters <= max {
        return;
    }
    let message = format!("policy becomes {filters} filters, {max} are allowed");
    let rules = super::rules(program, policy);
    let Some((most, span)) = rules.iter().find_map(|rule| {
        let origin = program.rules.get(rule.rule)?;
        Some((rule, span(policy, &origin.policy, origin.position)?))
    }) else {
        return;
    };
    let s = if most.filters == 1 { "filter" } else { "filters" };
    let mut found =
        Diagnostic::new(&TOO_MANY_FILTERS, span, message).here(format!("this rule becomes {} {s}", most.filters)).help(
            "shorten its sets or split it, or allow more with `--max-filters`; `compile --stats` shows the other rules",
        );
    if most.lists > 1 && most.filters > most.lists {
        found = found.note(format!("its sets hold {} entries together, and multiply", most.lists));
    }
    diags.push(found);
}

/// Where the rule stands; the policy's header for what the compiler adds.
fn span(policy: &Policy, name: &str, position: usize) -> Option<Span> {
    let attach = policy.attaches.iter().find(|attach| attach.name == name)?;
    let infos = attach.prefilter.iter().chain(&attach.rules).map(|rule| &rule.info).chain([&attach.default]);
    let found = infos.into_iter().find(|info: &&RuleInfo| info.position == position && position != 0);
    Some(found.map_or(attach.span, |info| info.span))
}
