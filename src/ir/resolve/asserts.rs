//! Assertions: what is never allowed, as a rule of each policy that it speaks of.

use std::collections::BTreeSet;

use super::header::{self, Scope};
use super::rule::{self, Place, Stage};
use super::{Cx, checks, devices, matches, sets, states, zones};
use crate::diag::Diagnostic;
use crate::ir::policy::{Assertion, Attach, Rule, RuleInfo, State, StateSet};
use crate::parse::ast::{self, Ast, ItemKind, MatchKind};
use crate::source::{Span, braced};

crate::declare_lints! {
    /// An assertion about packets that there are not.
    pub EMPTY_ASSERTION: Error = "empty-assertion", "an assertion that no packet could break",
        "No packet satisfies all matches of the assertion, so it would hold whatever the rules say. ARP and neighbour discovery are accepted by themselves, \
         and no assertion speaks of them.\n\nExample:\n\n    assert \"no discovery\" never allow icmp6 neighbour-solicitation\n\n\
         Remedy: correct the matches.";
    /// An assertion with `snat` or `dnat`.
    pub TRANSLATED_ASSERTION: Error = "translated-assertion", "an assertion that asks for a translation",
        "`snat` and `dnat` as matches ask for bits of the mark that rules keep only where other rules ask for them. An assertion changes no filter, so it \
         cannot ask.\n\nExample:\n\n    assert \"nothing translated\" never allow tracked dnat\n\n\
         Remedy: name addresses instead, as rules see them: behind the translation.";
    /// An assertion that asks nothing.
    pub IDLE_ASSERTION: Error = "idle-assertion", "an assertion that speaks of no policy",
        "An assertion is asked of the policies of its file, or of those on the devices (and the hook) that it names. Where there is none, or \
         none passes the zone that it names, it would hold whatever the rules say.\n\nExample:\n\n    \
         assert \"no telnet\" on eth7 ingress never allow tcp to port 23\n\n\
         Remedy: name the devices of a policy, or leave `on` out.";
}

/// All assertions of the files.
pub fn read<'a>(asts: &'a [Ast], scopes: &[Scope<'a>], attaches: &[Attach], cx: &mut Cx<'a>) -> Vec<Assertion> {
    let mut found = Vec::new();
    for item in asts.iter().flat_map(|ast| &ast.items) {
        if let ItemKind::Assert(assertion) = &item.kind {
            let before = cx.diags.list().len();
            let rules = rules(assertion, item.span, scopes, attaches, cx);
            retold(before, scopes, cx);
            once(before, cx);
            let name = cx.text(assertion.name).to_owned();
            found.push(Assertion { name, span: item.span, rules });
        }
    }
    found
}

/// What a rule would be told to do is no advice for an assertion.
fn retold(before: usize, scopes: &[Scope<'_>], cx: &mut Cx<'_>) {
    let tracking: BTreeSet<&str> =
        scopes.iter().filter(|scope| scope.tracked()).flat_map(|scope| &scope.devices).map(String::as_str).collect();
    let tracking: Vec<&str> = tracking.into_iter().collect();
    for finding in cx.diags.list_mut().iter_mut().skip(before) {
        let lint = finding.lint.name;
        if lint == checks::ACCEPTED_BEFORE.name {
            let message = "ARP and neighbour discovery are accepted by themselves, and no assertion speaks of them";
            *finding = Diagnostic::new(&EMPTY_ASSERTION, finding.primary.span, message)
                .help("take the assertion out; a `prefilter` can drop such packets");
        } else if lint == matches::FRAGMENT_AFTER_TRACKING.name {
            let help = "conntrack puts fragments together: leave `fragment` out, or name the devices of policies without a zone with `on`";
            finding.help = Some(help.to_owned());
        } else if lint == states::MISSING_ZONE.name && !tracking.is_empty() {
            let devices = braced(&tracking);
            finding.help = Some(format!("ask it of policies with a zone only: `on {devices}` behind its name"));
        }
    }
}

/// A mistake shows once, however many policies are asked.
fn once(before: usize, cx: &mut Cx<'_>) {
    let mut seen = Vec::new();
    let mut at = 0;
    cx.diags.list_mut().retain(|finding| {
        at += 1;
        let key = (finding.lint.name, finding.primary.span);
        let first = at <= before || !seen.contains(&key);
        seen.push(key);
        first
    });
}

/// The assertion as a rule of each policy that it speaks of.
fn rules<'a>(
    assertion: &'a ast::Assertion,
    span: Span,
    scopes: &[Scope<'a>],
    attaches: &[Attach],
    cx: &mut Cx<'a>,
) -> Vec<(usize, Rule)> {
    let hook = assertion.hook.map(|hook| header::hook(hook, cx));
    let named = match &assertion.devices {
        None => None,
        Some(set) => match devices::listed(set, cx) {
            Some(devices) => Some(devices.names),
            None => return Vec::new(),
        },
    };
    let zone = assertion.rule.matches.iter().find_map(|part| match part.kind {
        MatchKind::FromZone(span) => Some((span, zones::peek(span, cx))),
        _ => None,
    });
    let mut rules = Vec::new();
    let mut asked = 0;
    for (at, (scope, attach)) in scopes.iter().zip(attaches).enumerate() {
        let here = named.as_ref().is_none_or(|names| scope.devices.iter().any(|device| names.contains(device)))
            && hook.is_none_or(|hook| hook == scope.hook)
            // A zone that could not be read is reported where it stands.
            && zone.is_none_or(|(_, zone)| zone.is_none_or(|zone| scope.passes.contains(&zone)));
        if !here {
            continue;
        }
        asked += 1;
        let stage = if scope.tracked() { Stage::Tracked } else { Stage::Untracked };
        let place = Place { scope, stage, has_zone: zone.is_some() };
        let info = RuleInfo {
            span,
            policy: attach.name.as_str().into(),
            position: 0,
            said: None,
            annotations: Vec::new(),
            ident: u32::MAX,
            meaning: 0,
        };
        // What tracks nothing knows no state: there every packet counts.
        let mut written = assertion.rule.clone();
        if stage == Stage::Untracked {
            written.matches.retain(|part| !is_state(part, cx));
        }
        if let Some(mut rule) = rule::rule(&written, info, &place, cx) {
            if rule.snat.is_some() || rule.dnat.is_some() {
                translation(span, cx);
                continue;
            }
            let words = rule.mark.is_some() || rule.label.is_some();
            if stage == Stage::Tracked && rule.states == StateSet::ALL && !words {
                rule.states = StateSet::of(&[State::New, State::Untracked]);
            }
            rules.push((at, rule));
        }
    }
    if asked == 0 {
        idle(assertion, zone.map(|(span, _)| span), span, cx);
    }
    rules
}

/// Whether the match consists of state words.
fn is_state(part: &ast::Match, cx: &Cx<'_>) -> bool {
    let MatchKind::Words(set) = &part.kind else { return false };
    let words = sets::words(set);
    !words.is_empty() && words.iter().all(|(span, _)| states::of_word(cx.text(*span)).is_some())
}

fn translation(span: Span, cx: &mut Cx<'_>) {
    let message = "an assertion cannot ask whether a packet is translated";
    let finding = Diagnostic::new(&TRANSLATED_ASSERTION, span, message);
    cx.report(finding.help("leave `snat` and `dnat` out: name the addresses as rules see them"));
}

fn idle(assertion: &ast::Assertion, zone: Option<Span>, all: Span, cx: &mut Cx<'_>) {
    let (span, message) = match (&assertion.devices, zone) {
        (Some(devices), _) => {
            let hook = assertion.hook.map(|hook| format!(" {}", cx.text(hook))).unwrap_or_default();
            let span = assertion.hook.map_or(devices.span(), |hook| devices.span().to(hook));
            (span, format!("no policy that this assertion could speak of stands on {}{hook}", cx.quote(devices.span())))
        }
        (None, Some(zone)) => (zone, format!("no policy of this file passes zone {}", cx.quote(zone))),
        (None, None) => (all, "there is no policy that this assertion could speak of".to_owned()),
    };
    let help = "name the devices, the hook and the zone of a policy of this file, or leave them out";
    cx.report(Diagnostic::new(&IDLE_ASSERTION, span, message).help(help));
}
