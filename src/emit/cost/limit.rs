//! A bound on the filters of a policy: it is refused with the rule that takes most of them.

use crate::diag::{Diagnostic, Diagnostics};
use crate::emit::linearize::TOO_MANY_FILTERS;
use crate::emit::program::Program;
use crate::ir::policy::Policy;
use crate::source::Span;

/// Reports a policy of more than `max` filters.
pub fn check(program: &Program, policy: &Policy, max: usize, diags: &mut Diagnostics) {
    let filters = program.filters().count();
    if filters <= max {
        return;
    }
    let message = format!("the policy becomes {filters} filters, {max} are allowed");
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
    let mut infos = attach.all_rules().map(|rule| &rule.info).chain([&attach.default]);
    let found = infos.find(|info| info.position == position && position != 0);
    Some(found.map_or(attach.span, |info| info.span))
}
