//! A bound on the filters of a policy: it is refused with the rule that takes most of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Diagnostics};
use crate::emit::linearize::TOO_MANY_FILTERS;
use crate::emit::program::Program;
use crate::field::{Conds, Field};
use crate::hash::fnv;
use crate::ir::policy::{Alt, Attach, Policy, Rule};
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

/// Refuses a policy whose rules name more values of one field than there may be filters: a filter compares with one. To share the filters
/// of so many rules takes minutes, and helps only where most of them match nothing.
#[must_use]
pub fn values(policy: &Policy, max: u64) -> Option<Diagnostic> {
    policy.attaches.iter().find_map(|attach| too_many_values(attach, max))
}

fn too_many_values(attach: &Attach, max: u64) -> Option<Diagnostic> {
    let mut written: BTreeMap<Field, u64> = BTreeMap::new();
    sets(attach.all_rules()).for_each(|(field, conds)| *written.entry(field).or_default() += conds.len() as u64);
    written.into_iter().filter(|(_, written)| *written > max).find_map(|(field, _)| {
        let of = |rule| sets(std::iter::once(rule)).filter(move |(known, _)| *known == field).map(|(_, conds)| conds);
        // A list that rules share is looked at once.
        let mut lists: Vec<&Conds> = attach.all_rules().flat_map(of).collect();
        lists.sort_unstable_by_key(|conds| conds.as_ptr());
        lists.dedup_by_key(|conds| conds.as_ptr());
        // Two values with one hash count once: there may be a few more.
        let mut hashes: Vec<u64> = lists.into_iter().flatten().map(fnv).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let all = hashes.len() as u64;
        let count = |rule| of(rule).map(|conds| conds.len()).sum::<usize>();
        let (_, most) = attach.all_rules().enumerate().max_by_key(|(at, rule)| (count(*rule), Reverse(*at)))?;
        let message = format!(
            "the rules hold {all} values of `{}`, and a filter compares with one; {max} filters are the limit",
            field.row().name
        );
        let help = "write prefixes and ranges that cover more, or allow more with `--max-filters`";
        let found = Diagnostic::new(&TOO_MANY_FILTERS, most.info.span, message);
        (all > max).then(|| found.here(format!("{} of them stand in this rule", count(most))).help(help))
    })
}

/// Refuses a policy of more filters than that, however its sets are asked one after the other. Named is the rule of most
/// combinations; where others share the blame, it is said how many.
#[must_use]
pub fn together(policy: &Policy, max: u64) -> Option<Diagnostic> {
    let rules = policy.attaches.iter().flat_map(Attach::all_rules);
    let (_, most) = rules.clone().enumerate().max_by_key(|(at, rule)| (combinations(rule), Reverse(*at)))?;
    let message = format!("the policy becomes more than {max} filters");
    let found = Diagnostic::new(&TOO_MANY_FILTERS, most.info.span, message)
        .here(format!("this rule combines {} values", factors(most)))
        .help("write prefixes that cover more, use sets that do not overlap, or allow more with `--max-filters`");
    let combines = |rule: &&Rule| rule.alts.iter().any(|alt| alt.product() > 1);
    let others = rules.filter(combines).count().saturating_sub(1);
    Some(match others {
        0 => found,
        _ => found.note(format!(
            "{others} other rules combine sets too: a value in two sets takes the filters of the rules of both, \
             and rules that share no sets share no filters"
        )),
    })
}

/// Filters of a rule whose sets are multiplied out.
fn combinations(rule: &Rule) -> u64 {
    rule.alts.iter().map(Alt::product).fold(0, u64::saturating_add)
}

/// The sizes of the sets of a rule's largest alternative: `20 x 20 x 5`.
fn factors(rule: &Rule) -> String {
    let Some(largest) = rule.alts.iter().max_by_key(|alt| alt.product()).filter(|alt| alt.product() > 1) else {
        return "1".to_owned();
    };
    let sizes = largest.sets.iter().map(|(_, conds)| conds.len()).filter(|count| *count > 1);
    sizes.map(|size| size.to_string()).collect::<Vec<_>>().join(" x ")
}

/// What the rules ask of each field.
fn sets<'r>(rules: impl Iterator<Item = &'r Rule>) -> impl Iterator<Item = (Field, &'r Conds)> {
    rules.flat_map(|rule| &rule.alts).flat_map(|alt| &alt.sets).map(|(field, conds)| (*field, conds))
}

/// Where the rule stands; the policy's header for what the compiler adds.
fn span(policy: &Policy, name: &str, position: usize) -> Option<Span> {
    let attach = policy.attaches.iter().find(|attach| attach.name == name)?;
    let mut infos = attach.all_rules().map(|rule| &rule.info).chain([&attach.default]);
    let found = infos.find(|info| info.position == position && position != 0);
    Some(found.map_or(attach.span, |info| info.span))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ir::resolve::Options;
    use crate::pipeline::meaning;

    #[test]
    fn rules_that_are_too_many_together_are_counted() {
        let set = |base: u32| {
            let hosts: Vec<String> = (1..=9).map(|host| format!("10.{base}.{}.1", host * 7)).collect();
            hosts.join(", ")
        };
        let rule = |from, to| format!("    allow tcp from {{ {} }} to {{ {} }} port 80\n", set(from), set(to));
        let rules = [rule(1, 2), rule(3, 4), rule(5, 6)].concat();
        let text = format!("policy p on lo ingress {{\n    allow udp\n{rules}    default drop\n}}\n");
        let files = BTreeMap::from([("p.pol".to_owned(), text.into_bytes())]);
        let policy = meaning("p.pol", &files, &Options::default()).unwrap().policy.unwrap();
        let found = together(&policy, 20).unwrap();
        assert_eq!(found.message, "the policy becomes more than 20 filters");
        let said = format!("{found:?}");
        assert!(said.contains("combines 9 x 9 values") && said.contains("2 other rules"), "{said}");
    }

    #[test]
    fn a_policy_of_too_many_values_names_the_rule_with_most() {
        let text = "net web = { 10.0.0.1, 10.0.1.1 }\npolicy p on lo ingress {\n    allow from web\n    drop tcp from web\n    \
                    allow from { 10.0.2.1, 10.0.3.1, 10.0.4.1 }\n    default drop\n}\n";
        let files = BTreeMap::from([("p.pol".to_owned(), text.as_bytes().to_vec())]);
        let compiled = meaning("p.pol", &files, &Options::default()).unwrap();
        let policy = compiled.policy.unwrap();
        // Seven are written, and five of them differ.
        assert!(values(&policy, 5).is_none());
        let finding = values(&policy, 4).unwrap();
        assert!(compiled.map.text(finding.primary.span).starts_with("allow from { 10.0.2.1"), "{finding:?}");
        assert!(finding.message.starts_with("the rules hold 5 values of"), "{finding:?}");
    }
}
