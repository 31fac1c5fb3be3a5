//! What only shows when a rule is whole, or when a policy's rules stand side by side.

use super::Cx;
use super::alts::only_implicit;
use super::rule::{Place, Stage};
use crate::abi::{eth, ipproto};
use crate::diag::Diagnostic;
use crate::field::{Cond, Field};
use crate::ir::early::{self, Late, Later};
use crate::ir::policy::{Actions, Alt, Attach, Link, Rule, State, Verdict};

crate::declare_lints! {
    /// A rule that can only match what is accepted before it.
    pub ACCEPTED_BEFORE: Error = "accepted-before", "a rule that can only match ARP or neighbour discovery, after conntrack",
        "In a tracked policy ARP, IPv6 neighbour discovery and MLD are accepted before conntrack, which would drop the one and call the others \
         invalid. A rule after conntrack never sees them.\n\nExample:\n\n    \
         policy p on eth0 ingress zone 1 {\n        drop arp\n        default drop\n    }\n\nRemedy: move the rule into `prefilter { ... }`, \
         which decides first.";
    /// A match on a mark that a `continue` before it sets.
    pub NOT_STORED_YET: Warning = "not-stored-yet", "a `mark` or `label` match that a `continue` before it seems to set",
        "`mark` and `label` ask what is stored with the connection. What a `continue` sets is stored by the rule that allows the packet, so \
         the rules in between do not see it: a `new` packet does not carry the mark yet.\n\nExample:\n\n    \
         continue new from 10.0.0.0/8, set mark 1\n    allow new mark 1\n\n\
         Remedy: match what the `continue` matched, as in `allow new from 10.0.0.0/8, set mark 1`; or, where marked connections are \
         meant, `allow established mark 1`.";
    /// An allow of port 0 alone.
    pub PORT_ZERO: Warning = "port-zero", "an `allow` for port 0",
        "Port 0 is a port like any other to the kernel, and nothing listens on it. Elsewhere it often means every port; here a rule that names no \
         port does.\n\nExample:\n\n    allow tcp to port 0\n\nRemedy: leave `port` out, or name the port that was meant. \
         (A `drop` for port 0 is fine.)";
    /// A drop by port that fragments pass.
    pub FRAGMENTS_PASS: Warning = "fragments-pass", "a `drop` by port, where fragments have no ports",
        "Before conntrack, and in policies without it, the kernel sees no ports in any fragment, not even in the first. What is dropped by \
         port passes in fragments.\n\nExample:\n\n    prefilter { drop udp to port 53 }\n\nRemedy: drop fragments too, in the same place: \
         `drop fragment any`; or track connections, which puts fragments together.";
    /// A policy that redirects everything but ARP and ND.
    pub NEIGHBOURS_NOT_REDIRECTED: Warning = "neighbours-not-redirected", "a policy that redirects all it allows, but not ARP and neighbour discovery",
        "ARP and neighbour discovery are accepted by themselves, not redirected. Where a policy sends all it allows out of another device, the \
         two sides then cannot find each other's hardware address.\n\nExample:\n\n    \
         policy a on port0 ingress zone 1 {\n        allow from any, redirect to port1\n        default drop\n    }\n\n\
         Remedy: `prefilter { allow arp, redirect to port1; allow icmp6 type 133-136, redirect to port1 }`.";
    /// Storing with an established connection, decided behind a rewritten header.
    pub STORED_TOO_LATE: Error = "stored-too-late", "storing a mark with established connections of one zone, where another zone decides",
        "A policy with several zones passes each in turn, and the packet's header is translated on the way. What `set mark`, `set label` and \
         `commit force` store with an established connection must be stored behind the pass through its zone, before the next one: \
         behind that, the zone would not find the connection under the translated header. So it must be known by then that this rule decides, or, with \
         `continue`, that a later one allows. It is not where a rule before it asks for the state in a later zone, matches addresses or ports that a later zone may \
         translate, acts in a later zone, or has a limit.\n\nExample:\n\n    \
         policy p on eth0 ingress zone 3 then 2 {\n        drop invalid                                     # of zone 2\n        allow established from zone 3, set mark 1\n        \
         allow new, snat 192.0.2.1 in zone 3\n        default drop\n    }\n\n\
         Remedy: put the rule that stores first; or store with the connection's first packet (`allow new from zone 3, set mark 1`).";
    /// An allow that accepts invalid packets.
    pub INVALID_ALLOWED: Note = "invalid-allowed", "an `allow` without a state word also accepts invalid packets",
        "A rule without a state word matches packets in every state, `invalid` ones too: packets that belong to no connection and begin none. \
         Rules that translate, set or commit leave them out by themselves.\n\nExample:\n\n    \
         policy p on eth0 ingress zone 1 {\n        allow tcp to port 22\n        default drop\n    }\n\n\
         Remedy: `drop invalid` before it, or `allow new tcp to port 22`.";
}

/// Looks at one rule; false after reporting an error.
pub fn rule(rule: &Rule, place: &Place<'_, '_>, cx: &mut Cx<'_>) -> bool {
    if place.stage == Stage::Tracked && !place.scope.loose && rule.alts.iter().all(only_implicit) {
        let arp = rule.alts.iter().any(|alt| alt.link == Link::Ether(eth::P_ARP));
        let what = if arp { "ARP is" } else { "neighbour discovery and MLD are" };
        let message = format!("{what} accepted before conntrack, so this rule never matches");
        let help = match rule.verdict {
            Verdict::Allow if *rule.actions == Actions::default() => "delete it: no rule is needed for that",
            _ => "move the rule into `prefilter { ... }`",
        };
        cx.report(Diagnostic::new(&ACCEPTED_BEFORE, rule.info.span, message).help(help));
        return false;
    }
    true
}

/// Looks at a policy's rules side by side.
pub fn run(attach: &Attach, cx: &mut Cx<'_>) {
    fragments_pass(&attach.prefilter, cx);
    port_zero(&attach.prefilter, cx);
    port_zero(&attach.rules, cx);
    if attach.tracked() {
        invalid_allowed(attach, cx);
        not_stored_yet(&attach.rules, cx);
    } else {
        fragments_pass(&attach.rules, cx);
    }
    neighbours_not_redirected(attach, cx);
}

/// Rules that ask `new` packets for bits that a `continue` before them sets.
fn not_stored_yet(rules: &[Rule], cx: &mut Cx<'_>) {
    let asks = |conds: Option<&Vec<Cond>>, (set, under): (u128, u128)| {
        conds.into_iter().flatten().any(|cond| match *cond {
            Cond::Bits { value, mask } => value & under != 0 && value & under == set & mask,
            Cond::Range { .. } => false,
        })
    };
    let mut storing: Vec<&Rule> = Vec::new();
    for rule in rules {
        let sets = |earlier: &&&Rule| {
            let (mark, label) = (earlier.actions.set_mark, earlier.actions.set_label);
            let mark = mark.map(|(value, mask)| (u128::from(value), u128::from(mask)));
            earlier.pass == rule.pass
                && (mark.is_some_and(|mark| asks(rule.mark.as_ref(), mark))
                    || label.is_some_and(|label| asks(rule.label.as_ref(), label)))
        };
        let asks_new = rule.states.contains(State::New);
        if let Some(earlier) = storing.iter().filter(|_| asks_new).find(sets) {
            let message = "a `new` packet does not carry yet what `continue` sets";
            let finding = Diagnostic::new(&NOT_STORED_YET, rule.info.span, message);
            let finding = finding.because(earlier.info.span, "this is stored by the rule that allows the packet");
            cx.report(
                finding.help(
                    "match what the `continue` matched; or write `established` where marked connections are meant",
                ),
            );
        }
        let stores = rule.actions.set_mark.is_some() || rule.actions.set_label.is_some();
        if rule.verdict == Verdict::Continue && stores {
            storing.push(rule);
        }
    }
}

/// Rules that allow nothing but port 0 at one end.
fn port_zero(rules: &[Rule], cx: &mut Cx<'_>) {
    let zero = |alt: &Alt, field| alt.asked(field).is_some_and(|conds| conds == [Cond::exact(field, 0)]);
    for rule in rules.iter().filter(|rule| rule.verdict == Verdict::Allow) {
        for (field, end) in [(Field::SrcPort, "from"), (Field::DstPort, "to")] {
            if !rule.alts.is_empty() && rule.alts.iter().all(|alt| zero(alt, field)) {
                let finding = Diagnostic::new(&PORT_ZERO, rule.info.span, "this allows port 0, which nothing uses");
                cx.report(finding.help(format!("leave `{end} port 0` out to allow every port")));
            }
        }
    }
}

/// Drops by port, unless some rule of the same list drops fragments.
fn fragments_pass(rules: &[Rule], cx: &mut Cx<'_>) {
    let asks = |alt: &Alt, field: Field| alt.asked(field).is_some();
    let drops = || rules.iter().filter(|rule| rule.verdict == Verdict::Drop);
    let on_fragments =
        |alt: &Alt| alt.asked(Field::IpFlags).is_some_and(|conds| conds.iter().any(|cond| cond.matches(1)));
    if drops().any(|rule| rule.alts.iter().any(on_fragments)) {
        return;
    }
    // Who writes `fragment none` knows.
    let any = |alt: &Alt| !asks(alt, Field::IpFlags);
    let ports = |alt: &Alt| asks(alt, Field::SrcPort) || asks(alt, Field::DstPort);
    let by_port = |rule: &&Rule| rule.alts.iter().any(|alt| ports(alt) && any(alt));
    let mut found = drops().filter(by_port);
    // One remedy serves them all.
    let Some(first) = found.next() else { return };
    let message = "fragments have no ports here, so this drop lets them pass";
    let mut finding = Diagnostic::new(&FRAGMENTS_PASS, first.info.span, message);
    let more = found.count();
    if more > 0 {
        finding = finding.note(format!("the same holds for {more} more `drop` by port of this list"));
    }
    cx.report(finding.help("drop them too: `drop fragment any`"));
}

/// Rules that store something with an established connection of a zone that is not the last, where it is not known before
/// the next pass whether they decide; behind it, the commit would look up a translated header (kernel-facts 2.3).
pub fn stored_too_late(attaches: &[Attach], cx: &mut Cx<'_>) {
    for attach in attaches {
        for Late { stores, waits, why } in early::late(attach, &cx.translating) {
            let (Some(rule), Some(other)) = (attach.rules.get(stores), attach.rules.get(waits)) else { continue };
            let zone = attach.passes.get(rule.pass).copied().unwrap_or_default();
            let reason = match why {
                Later::State(other) => format!("asks for the state in zone {other}"),
                Later::Acts(other) => format!("acts in zone {other}, and never on what is invalid there"),
                Later::Header => "matches addresses or ports that a later zone may translate".to_owned(),
                Later::Limit => "has a limit, and what exceeds it is dropped".to_owned(),
            };
            let message = format!(
                "what this stores with established connections of zone {zone} must be stored before the packet is translated, and it is not known then which rule decides"
            );
            let finding = Diagnostic::new(&STORED_TOO_LATE, rule.info.span, message);
            let finding = if stores == waits {
                finding.note(format!("this rule {reason}"))
            } else {
                finding.because(other.info.span, format!("this {reason}"))
            };
            let first = if stores == waits || rule.verdict == Verdict::Continue { "" } else { "put this rule first, " };
            cx.report(finding.help(format!(
                "{first}store with new connections only (write `new`), or make {zone} the only zone of the policy"
            )));
        }
    }
}

/// The first `allow` that accepts invalid packets by saying nothing of states.
fn invalid_allowed(attach: &Attach, cx: &mut Cx<'_>) {
    // A rule that decides about every invalid IP packet in one of the passes.
    let decides = |rule: &Rule| {
        let plain = rule.mark.is_none()
            && rule.label.is_none()
            && rule.snat.is_none()
            && rule.dnat.is_none()
            && rule.actions.limit.is_none();
        let whole = |link: Link| {
            rule.alts
                .iter()
                .any(|alt| alt.link == link && alt.vlan.is_none() && alt.not_in.is_empty() && alt.sets.is_empty())
        };
        rule.verdict != Verdict::Continue
            && rule.states.contains(State::Invalid)
            && plain
            && whole(Link::Ip4)
            && whole(Link::Ip6)
    };
    for rule in &attach.rules {
        let ip = rule.alts.iter().any(|alt| !matches!(alt.link, Link::Ether(_)));
        let silent = rule.states.contains(State::Untracked) && rule.states.contains(State::Invalid);
        if rule.verdict == Verdict::Allow && silent && ip {
            let finding = Diagnostic::new(&INVALID_ALLOWED, rule.info.span, "this rule also accepts `invalid` packets");
            cx.report(finding.help("write `drop invalid` before it, or a state word in it"));
            return;
        }
        if decides(rule) {
            return;
        }
    }
}

fn neighbours_not_redirected(attach: &Attach, cx: &mut Cx<'_>) {
    let allows = || attach.rules.iter().filter(|rule| matches!(rule.verdict, Verdict::Allow | Verdict::AllowStateless));
    let redirects = |rule: &Rule| rule.actions.redirect.is_some();
    let Some(first) = allows().next() else { return };
    if attach.default_allow || !allows().all(redirects) {
        return;
    }
    let deciding: Vec<&Rule> =
        if attach.tracked() { attach.prefilter.iter().collect() } else { attach.all_rules().collect() };
    let speaks = |link: Link| allows().any(|rule| rule.alts.iter().any(|alt| alt.link == link));
    let arp = deciding.iter().any(|rule| rule.alts.iter().any(|alt| alt.link == Link::Ether(eth::P_ARP)));
    let discovery = |alt: &Alt| {
        let icmp = Cond::exact(Field::IpProto, ipproto::ICMPV6.into());
        alt.link == Link::Ip6 && alt.asked(Field::IpProto).is_none_or(|conds| conds.contains(&icmp))
    };
    let nd = deciding.iter().any(|rule| rule.alts.iter().any(discovery));
    let device = first.actions.redirect.as_ref().map_or("DEV", |out| out.device.as_str());
    let needed = [
        (speaks(Link::Ip4) && !arp, "ARP", "arp"),
        (speaks(Link::Ip6) && !nd, "neighbour discovery", "icmp6 type 133-136"),
    ];
    let missing: Vec<_> = needed.into_iter().filter(|(missing, ..)| *missing).collect();
    if missing.is_empty() {
        return;
    }
    let names: Vec<&str> = missing.iter().map(|(_, name, _)| *name).collect();
    let rules: Vec<String> =
        missing.iter().map(|(_, _, words)| format!("allow {words}, redirect to {device}")).collect();
    let message = format!("the policy redirects all that it allows, but not {}", names.join(" and "));
    let finding = Diagnostic::new(&NEIGHBOURS_NOT_REDIRECTED, attach.span, message)
        .because(first.info.span, "this is redirected")
        .help(format!("redirect it too: `prefilter {{ {} }}`", rules.join("; ")));
    cx.report(finding);
}
