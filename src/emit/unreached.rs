//! Rules of which nothing is left in the Program: no packet reaches them.
//!
//! A Program decides every packet by the rule that the policy decides it by, so a rule without a filter decides none. Why,
//! the policy tells, where one rule before it takes all it could match; else the optimizer, which saw what takes each filter.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::program::Program;
use crate::declare_lints;
use crate::diag::{Diagnostic, Diagnostics};
use crate::field::{Cond, Conds, Field};
use crate::hash::QuickBuild;
use crate::ir::packet::device_value;
use crate::ir::policy::{Alt, Attach, Hook, Policy, Rule, StateSet, Verdict};
use crate::optimize::notes::Notes;
use crate::source::Span;

declare_lints! {
    /// A rule that no packet reaches.
    pub NEVER_MATCHES: Warning = "never-matches", "a rule that no packet ever reaches",
        "The first rule that matches decides, so a rule whose packets are all taken by rules before it does nothing. It becomes no \
         filter, and `status` will always show it with 0 packets.\n\n\
         Example: `drop from 10.0.0.0/8` and, after it, `allow tcp from 10.1.0.0/16 to port 22`: no packet from 10.1.0.0/16 is left \
         for the second. A group that several policies `use` is only reported where a rule of it is reached in none of them. On ingress a packet arrives by one of the policy's own devices, so \
         `in` any other matches nothing.\n\n\
         Remedy: put the narrower rule first, narrow the wider one, or delete the rule if the other does what you mean.";
}

/// Most pairs of rules that are held against each other to tell why; a policy with more dead rules is told which, not why.
const WORK_MAX: usize = 4_000_000;

/// Lists of which no more pairs are held against each other are short.
const SHORT: usize = 8;

/// Most rules that are shown beside one.
const SHOWN_MAX: usize = 3;

/// Warns of every rule that no packet reaches, wherever it is used.
pub fn check(program: &Program, policy: &Policy, notes: &Notes, diags: &mut Diagnostics) {
    let name = |rule: usize| program.rules.get(rule).map(|rule| (rule.policy.as_str(), rule.position));
    let reached: HashSet<(&str, usize), QuickBuild> =
        program.filters().filter_map(|filter| name(filter.rule)).collect();
    let mut written: HashMap<(&str, usize), &Rule, QuickBuild> = HashMap::default();
    let mut alive: HashSet<Span, QuickBuild> = HashSet::default();
    let mut dead: BTreeMap<Span, (&Rule, Option<&Rule>, bool)> = BTreeMap::new();
    let mut work = 0;
    for attach in &policy.attaches {
        let untranslated = untranslated(policy, attach);
        for (at, rule) in attach.all_rules().enumerate() {
            let name = (attach.name.as_str(), rule.info.position);
            written.insert(name, rule);
            let early = at < attach.prefilter.len();
            let is_reached = reached.contains(&name);
            // A rule that is reached can still be one that only fragments reach: those before conntrack see them.
            let (part, before) = match (early, is_reached) {
                (true, false) => (&attach.prefilter, at),
                (false, false) => (&attach.rules, at - attach.prefilter.len()),
                (false, true) if untranslated => (&attach.prefilter, attach.prefilter.len()),
                (_, true) => (&attach.prefilter, 0),
            };
            work += before;
            let before = part.get(..before).filter(|_| work <= WORK_MAX).unwrap_or_default();
            let by =
                before.iter().find(|other| (!is_reached || sees_all(other)) && decides(other) && covers(other, rule));
            let elsewhere = arrives_elsewhere(attach, rule);
            if is_reached && by.is_none() && !elsewhere {
                alive.insert(rule.info.span);
            } else {
                dead.entry(rule.info.span).or_insert((rule, by, elsewhere));
            }
        }
    }
    dead.retain(|span, _| !alive.contains(span));
    let mut taken: HashMap<Span, Vec<&Rule>> = HashMap::new();
    for (rule, by) in &notes.taken {
        if let Some(rule) = name(*rule).and_then(|name| written.get(&name)) {
            let by = by.iter().filter_map(|by| name(*by)).filter_map(|name| written.get(&name)).copied();
            taken.entry(rule.info.span).or_default().extend(by);
        }
    }
    for (rule, by, elsewhere) in dead.into_values() {
        if elsewhere {
            let found =
                Diagnostic::new(&NEVER_MATCHES, rule.info.span, "no packet of this policy arrives by such a device");
            diags.push(
                found.help(
                    "a policy on ingress sees what its own devices receive: name one of those, or leave `in` out",
                ),
            );
            continue;
        }
        let several = taken.remove(&rule.info.span).unwrap_or_default();
        diags.push(finding(rule, by, &several));
    }
}

/// Whether the rule asks for devices by which none of this block's packets arrives: on ingress, those that it is not on.
fn arrives_elsewhere(attach: &Attach, rule: &Rule) -> bool {
    let own = |cond: &Cond| attach.devices.iter().any(|device| cond.matches(device_value(device)));
    let elsewhere = |alt: &Alt| {
        let asked = alt.sets.iter().find(|(field, _)| *field == Field::InDev);
        asked.is_some_and(|(_, conds)| !conds.iter().any(own))
    };
    attach.hook == Hook::Ingress && rule.alts.iter().all(elsewhere)
}

/// Whether packets look the same before conntrack and after it.
fn untranslated(policy: &Policy, attach: &Attach) -> bool {
    attach.passes.iter().all(|zone| !policy.translating.contains(zone))
}

/// Whether a rule before conntrack sees what it asks of whole datagrams in fragments as well.
fn sees_all(rule: &Rule) -> bool {
    let fields = || rule.alts.iter().flat_map(|alt| &alt.sets).map(|(field, _)| *field);
    fields().all(|field| !field.is_layer4() && field != Field::IpFlags)
}

fn finding(rule: &Rule, by: Option<&Rule>, several: &[&Rule]) -> Diagnostic {
    let found = Diagnostic::new(&NEVER_MATCHES, rule.info.span, "no packet reaches this rule");
    if let Some(other) = by {
        let same = (other.verdict, &other.actions) == (rule.verdict, &rule.actions);
        let delete = "delete it: the other rule does the same for its packets";
        let found = found.because(other.info.span, "takes every packet that it could match");
        return found.help(if same { delete } else { "put it before the other rule, narrow that one, or delete it" });
    }
    let several = several.iter().take(SHOWN_MAX);
    let found = several.fold(found, |found, other| found.because(other.info.span, "takes some of its packets"));
    found.help("put it before the rules that take its packets, narrow those, or delete it")
}

/// Whether no packet that matches the rule goes on.
fn decides(rule: &Rule) -> bool {
    match rule.verdict {
        Verdict::Allow | Verdict::AllowStateless => true,
        Verdict::Drop => rule.actions.limit.is_none(),
        Verdict::Continue => false,
    }
}

/// Whether the rule asks nothing of its connection that the other does not ask as well.
fn asks_no_more(wide: &Rule, rule: &Rule) -> bool {
    let nothing = (&wide.mark, &wide.label, wide.snat, wide.dnat) == (&None, &None, None, None);
    let same = wide.pass == rule.pass
        && (&wide.mark, &wide.label, wide.snat, wide.dnat) == (&rule.mark, &rule.label, rule.snat, rule.dnat);
    nothing || same
}

/// Whether the first rule matches all that the second does, as far as that can be told rule by rule.
fn covers(wide: &Rule, rule: &Rule) -> bool {
    let zones = wide.actions.nat.is_empty() && wide.actions.commit_zones.is_empty();
    let all = wide.states.and(StateSet::TRACKED) == StateSet::TRACKED;
    let states = all || (wide.pass == rule.pass && wide.states.and(rule.states) == rule.states);
    let alts = || rule.alts.iter().all(|alt| wide.alts.iter().any(|other| alt_covers(other, alt)));
    (zones || wide.actions == rule.actions) && states && asks_no_more(wide, rule) && alts()
}

fn set_covers(wide: &Conds, own: &Conds) -> bool {
    wide == own || own.iter().all(|cond| wide.iter().any(|other| other.covers(*cond)))
}

fn alt_covers(wide: &Alt, alt: &Alt) -> bool {
    let vlan = match (&wide.vlan, &alt.vlan) {
        (None, None) => true,
        (Some(wide), Some(own)) => own.iter().all(|id| wide.contains(id)),
        _ => false,
    };
    // Short lists first: most rules that differ do so there.
    let fields = |short: bool| {
        wide.sets.iter().all(|(field, wide)| {
            let own = alt.sets.iter().find(|(other, _)| other == field);
            own.is_some_and(|(_, own)| (wide.len() * own.len() <= SHORT) != short || set_covers(wide, own))
        })
    };
    let devices = || wide.not_in.iter().all(|device| alt.not_in.contains(device));
    wide.link == alt.link && vlan && devices() && fields(true) && fields(false)
}
