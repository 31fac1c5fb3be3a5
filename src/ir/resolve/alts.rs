//! From a draft to the header alternatives: which kinds of frame a rule speaks of. `products` makes the conditions of each.

use super::draft::{Draft, IMPOSSIBLE_MATCH};
use super::protocol::{Frames, Protocols};
use super::service::PORT_PROTOCOLS;
use super::{Cx, info, products};
use crate::abi::{eth, ipproto};
use crate::diag::Diagnostic;
use crate::field::{Cond, Field};
use crate::ir::policy::{Alt, Link};
use crate::source::Span;

/// Which IP versions a rule cannot speak of, each with the part of the rule that says so: IPv4, IPv6.
pub type Excluded = [Option<Span>; 2];

/// The alternatives; `None` after reporting that there are none.
pub fn build(draft: &Draft, pool: Excluded, cx: &mut Cx<'_>) -> Option<Vec<Alt>> {
    let frames = frames(draft, cx)?;
    let mut excluded = [None, None];
    let said = draft.frames.as_ref().map(|(_, span)| *span);
    exclude(&mut excluded, [frames.ip4.is_empty(), frames.ip6.is_empty()], said);
    for (addrs, span) in [&draft.src, &draft.dst].into_iter().flatten() {
        exclude(&mut excluded, [addrs.v4.is_empty(), addrs.v6.is_empty()], Some(*span));
    }
    for (slot, span) in excluded.iter_mut().zip(pool) {
        *slot = slot.or(span);
    }
    if let (false, Some(span), Some((_, words))) = (frames.ether.is_empty(), draft.ip_only, &draft.frames) {
        let message =
            format!("{} also means frames that are no IP packets, which have no {}", cx.quote(*words), cx.quote(span));
        let finding = Diagnostic::new(&IMPOSSIBLE_MATCH, span, message).because(*words, "this is more than IP");
        cx.report(finding.help("write a rule of its own for what is not IP"));
        return None;
    }
    if let ([Some(no_v4), Some(no_v6)], true) = (excluded, frames.ether.is_empty()) {
        report_no_family(no_v4, no_v6, cx);
        return None;
    }
    ports_have_protocols(draft, &frames, excluded, cx)?;
    let mut alts = Vec::new();
    for (link, protocols, without) in [(Link::Ip4, frames.ip4, excluded[0]), (Link::Ip6, frames.ip6, excluded[1])] {
        if without.is_none() {
            products::ip(draft, link, protocols, &mut cx.conds, &mut alts);
        }
    }
    alts.extend(frames.ether.iter().map(|ethertype| products::ether(draft, *ethertype, &mut cx.conds)));
    alts.shrink_to_fit();
    Some(alts)
}

fn exclude(excluded: &mut Excluded, empty: [bool; 2], span: Option<Span>) {
    for (slot, empty) in excluded.iter_mut().zip(empty) {
        if empty && slot.is_none() {
            *slot = span;
        }
    }
}

/// The frames that protocol words and services leave.
fn frames(draft: &Draft, cx: &mut Cx<'_>) -> Option<Frames> {
    let mut frames = draft.frames.as_ref().map_or(Frames::IP, |(frames, _)| frames.clone());
    let Some((service, span)) = &draft.service else { return Some(frames) };
    let dport = draft.dport.as_ref().map(|(ports, _)| ports);
    let mut wanted = if service.others { Protocols::ALL } else { Protocols::default() };
    for (protocol, ports) in PORT_PROTOCOLS.into_iter().zip(&service.ports) {
        let one = Protocols::one(protocol);
        let some = dport.map_or(!ports.is_empty(), |asked| !asked.intersect(ports).is_empty());
        wanted = if some { wanted.or(one) } else { wanted.and(one.complement()) };
    }
    (frames.ip4, frames.ip6) = (frames.ip4.and(wanted), frames.ip6.and(wanted));
    if frames.ip4.is_empty() && frames.ip6.is_empty() {
        let other = draft.frames.as_ref().map(|(_, span)| *span).filter(|_| !wanted.is_empty());
        let other = other.or(draft.dport.as_ref().map(|(_, span)| *span)).unwrap_or(*span);
        let (first, second) = if other < *span { (other, *span) } else { (*span, other) };
        cx.report(super::draft::contradiction(first, second, cx));
        return None;
    }
    Some(frames)
}

fn report_no_family(no_v4: Span, no_v6: Span, cx: &mut Cx<'_>) {
    let (only_v6, only_v4) = (cx.quote(no_v4), cx.quote(no_v6));
    let message = format!("the rule speaks of no IP version: {only_v4} is IPv4, {only_v6} is IPv6");
    let (primary, other, text) =
        if no_v4 > no_v6 { (no_v4, no_v6, "this is IPv4") } else { (no_v6, no_v4, "this is IPv6") };
    let finding = Diagnostic::new(&super::draft::NO_FAMILY, primary, message).because(other, text);
    cx.report(finding.help("write one rule for IPv4 and one for IPv6, each with its own addresses"));
}

/// Ports need TCP, UDP or SCTP and nothing else.
fn ports_have_protocols(draft: &Draft, frames: &Frames, excluded: Excluded, cx: &mut Cx<'_>) -> Option<()> {
    let (ports, span) = match (&draft.sport, &draft.dport) {
        (Some((_, span)), None) | (None | Some(_), Some((_, span))) => (true, *span),
        (None, None) => (false, Span::default()),
    };
    let with_ports =
        PORT_PROTOCOLS.into_iter().fold(Protocols::default(), |all, protocol| all.or(Protocols::one(protocol)));
    let fits = |protocols: Protocols| protocols.and(with_ports.complement()).is_empty();
    let good =
        [(frames.ip4, excluded[0]), (frames.ip6, excluded[1])].into_iter().all(|(set, out)| out.is_some() || fits(set));
    if !ports || good {
        return Some(());
    }
    let words = info::one_line(cx.text(span));
    let finding = match &draft.frames {
        Some((_, protocol)) => {
            let message = format!("{} has packets without ports", cx.quote(*protocol));
            Diagnostic::new(&super::draft::PORT_WITHOUT_PROTOCOL, span, message)
                .because(*protocol, "this is not just tcp, udp or sctp")
        }
        None => Diagnostic::new(&super::draft::PORT_WITHOUT_PROTOCOL, span, "a port without `tcp`, `udp` or `sctp`"),
    };
    let example = if words.contains("port") { words } else { format!("port {words}") };
    cx.report(finding.help(format!("name the protocol: `tcp {example}`, or `{{ tcp, udp }} {example}`")));
    None
}

/// Whether the alternative can match nothing but ARP, or nothing but neighbour discovery and MLD.
#[must_use]
pub fn only_implicit(alt: &Alt) -> bool {
    if alt.vlan.is_some() {
        return false;
    }
    match alt.link {
        Link::Ether(ethertype) => ethertype == eth::P_ARP,
        Link::Ip4 => false,
        Link::Ip6 => {
            let icmp = alt.asked(Field::IpProto) == Some(&[Cond::exact(Field::IpProto, ipproto::ICMPV6.into())]);
            let allowed = |kind: u8| {
                alt.asked(Field::IcmpType).is_some_and(|conds| conds.iter().any(|cond| cond.matches(kind.into())))
            };
            icmp && alt.asked(Field::IcmpType).is_some()
                && (0..=255u8).filter(|kind| allowed(*kind)).all(super::catalogue::is_neighbour_discovery)
        }
    }
}
