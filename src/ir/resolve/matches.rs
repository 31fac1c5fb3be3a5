//! From each match as written to the draft's slots.

use super::address::Nets;
use super::devices::DeviceSets;
use super::draft::{Draft, Slot, contradiction, join};
use super::icmp::IcmpTypes;
use super::masked::{Masked, Piece};
use super::number::{DSCPS, MACS, PORTS, TTLS, VLANS};
use super::protocol::{FrameSets, Frames};
use super::rule::{Place, Stage};
use super::service::Services;
use super::sets::{self, Domain};
use super::{Cx, alone, info, states, unknown, zones};
use crate::abi::ip_flags;
use crate::diag::Diagnostic;
use crate::parse::ast::{End, Icmp, Match, MatchKind, Set};
use crate::source::Span;

crate::declare_lints! {
    /// A port without an end.
    pub BARE_PORT: Error = "bare-port", "a port with neither `from` nor `to`",
        "A packet has two ports, and which one is meant decides what the rule does.\n\nExample:\n\n    allow tcp port 80\n\n\
         Remedy: write `to port 80` for the server's side, `from port 80` for what it answers.";
    /// A fragment match after conntrack.
    pub FRAGMENT_AFTER_TRACKING: Error = "fragment-after-tracking", "a `fragment` match after conntrack",
        "Conntrack puts fragments together, so no rule after it ever sees one.\n\nExample:\n\n    \
         policy p on eth0 ingress zone 1 {\n        drop fragment any\n        default drop\n    }\n\n\
         Remedy: move the rule into `prefilter { ... }`.";
}

/// Joins one match.
pub fn read(part: &Match, place: &Place<'_, '_>, draft: &mut Draft, cx: &mut Cx<'_>) {
    let span = part.span;
    match &part.kind {
        MatchKind::Words(set) => alone::words(set, span, place, draft, cx),
        MatchKind::FromZone(word) => from_zone(*word, span, place, draft, cx),
        MatchKind::Proto(set) => frames(FrameSets::Proto.read(set, cx), span, draft, cx),
        MatchKind::EtherType(set) => frames(FrameSets::EtherType.read(set, cx), span, draft, cx),
        MatchKind::Service(set) => {
            let value = sets::value(&Services, set, cx);
            draft.broken |= !join(&Services, &mut draft.service, value, span, cx);
            draft.ip_only.get_or_insert(span);
        }
        MatchKind::Icmp(icmp) => icmp_match(icmp, span, draft, cx),
        MatchKind::End(end) => end_match(end, span, draft, cx),
        MatchKind::BarePort(set) => {
            let value = info::one_line(cx.text(set.span()));
            let finding = Diagnostic::new(&BARE_PORT, span, format!("`port {value}` does not say which end is meant"));
            let ends = || format!("write `to port {value}` or `from port {value}`");
            cx.report(finding.help(unknown::pair(&value).unwrap_or_else(ends)));
            draft.broken = true;
        }
        MatchKind::In(set) => {
            let value = sets::value(&DeviceSets, set, cx);
            draft.broken |= !join(&DeviceSets, &mut draft.arrival, value, span, cx);
        }
        MatchKind::Mark(set) => {
            tracked_mask(&Masked::marks(), set, span, place, (&mut draft.mark, &mut draft.broken), cx);
        }
        MatchKind::Label(set) => {
            tracked_mask(&Masked::labels(), set, span, place, (&mut draft.label, &mut draft.broken), cx);
        }
        MatchKind::TcpFlags(set) => {
            frames(Frames::of_word("tcp"), span, draft, cx);
            draft.broken |= !masked(&Masked::tcp_flags(), &mut draft.flags, set, span, cx);
            draft.ip_only.get_or_insert(span);
        }
        MatchKind::Dscp(set) => {
            let value = sets::value(&DSCPS, set, cx);
            draft.broken |= !join(&DSCPS, &mut draft.dscp, value, span, cx);
            draft.ip_only.get_or_insert(span);
        }
        MatchKind::Ttl(set) => {
            let value = sets::value(&TTLS, set, cx);
            draft.broken |= !join(&TTLS, &mut draft.ttl, value, span, cx);
            draft.ip_only.get_or_insert(span);
        }
        MatchKind::Vlan(set) => {
            let value = sets::value(&VLANS, set, cx);
            draft.broken |= !join(&VLANS, &mut draft.vlan, value, span, cx);
        }
        MatchKind::Fragment(set) => fragment(set, span, place, draft, cx),
    }
    // What is tracked is an IP packet.
    if matches!(part.kind, MatchKind::Mark(_) | MatchKind::Label(_)) {
        draft.ip_only.get_or_insert(span);
    }
}

fn masked(domain: &Masked, slot: &mut Slot<Vec<Piece>>, set: &Set, span: Span, cx: &mut Cx<'_>) -> bool {
    let value = sets::value(domain, set, cx);
    join(domain, slot, value, span, cx) && !domain.overflowed(span, cx)
}

fn tracked_mask(
    domain: &Masked,
    set: &Set,
    span: Span,
    place: &Place<'_, '_>,
    (slot, broken): (&mut Slot<Vec<Piece>>, &mut bool),
    cx: &mut Cx<'_>,
) {
    let available = states::available(span, place, cx);
    *broken |= !masked(domain, slot, set, span, cx) || !available;
}

fn from_zone(word: Span, span: Span, place: &Place<'_, '_>, draft: &mut Draft, cx: &mut Cx<'_>) {
    let Some(zone) = zones::zone(word, cx) else {
        draft.broken = true;
        return;
    };
    if place.stage == Stage::Prefilter {
        draft.broken |= !states::available(span, place, cx);
    }
    match draft.zone {
        Some((first_zone, first)) if first_zone != zone => {
            let finding = contradiction(first, span, cx);
            cx.report(finding.help("a rule speaks of one zone; write a rule for each"));
            draft.broken = true;
        }
        _ => draft.zone = Some((zone, span)),
    }
    draft.ip_only.get_or_insert(span);
}

/// Joins protocols.
pub fn frames(value: Option<Frames>, span: Span, draft: &mut Draft, cx: &mut Cx<'_>) {
    draft.broken |= !join(&FrameSets::Words, &mut draft.frames, value, span, cx);
}

fn icmp_match(icmp: &Icmp, span: Span, draft: &mut Draft, cx: &mut Cx<'_>) {
    frames(Frames::of_word(if icmp.v6 { "icmp6" } else { "icmp" }), span, draft, cx);
    let value = IcmpTypes::read(icmp, cx);
    let slot = if icmp.v6 { &mut draft.icmp6 } else { &mut draft.icmp };
    draft.broken |= !join(&IcmpTypes { v6: icmp.v6 }, slot, value, span, cx);
}

fn end_match(end: &End, span: Span, draft: &mut Draft, cx: &mut Cx<'_>) {
    // Each part is underlined with the word before it, where it stands alone.
    let alone = [&end.addr, &end.mac, &end.port].into_iter().flatten().count() == 1;
    let part = |set: &Set| if alone { span } else { set.span() };
    if let Some(set) = &end.addr {
        let value = sets::value(&Nets, set, cx);
        let slot = if end.to { &mut draft.dst } else { &mut draft.src };
        draft.broken |= !join(&Nets, slot, value, part(set), cx);
        draft.ip_only.get_or_insert(part(set));
    }
    if let Some(set) = &end.mac {
        let value = sets::value(&MACS, set, cx);
        let slot = if end.to { &mut draft.dmac } else { &mut draft.smac };
        draft.broken |= !join(&MACS, slot, value, part(set), cx);
    }
    if let Some(set) = &end.port {
        let value = sets::value(&PORTS, set, cx);
        let slot = if end.to { &mut draft.dport } else { &mut draft.sport };
        draft.broken |= !join(&PORTS, slot, value, part(set), cx);
        draft.ip_only.get_or_insert(part(set));
    }
}

fn fragment(set: &Set, span: Span, place: &Place<'_, '_>, draft: &mut Draft, cx: &mut Cx<'_>) {
    draft.ip_only.get_or_insert(span);
    let domain = Masked::fragments();
    if !masked(&domain, &mut draft.fragment, set, span, cx) {
        draft.broken = true;
    } else if place.stage == Stage::Tracked && !place.scope.loose {
        let whole = (0, u128::from(ip_flags::IS_FRAGMENT));
        // What conntrack has put together is no fragment, so `fragment none` always holds.
        if draft.fragment.take().is_some_and(|(pieces, _)| domain.union(vec![pieces]) != [whole]) {
            let finding = Diagnostic::new(
                &FRAGMENT_AFTER_TRACKING,
                span,
                format!("{} never matches after conntrack", cx.quote(span)),
            );
            cx.report(finding.help("conntrack puts fragments together: move the rule into `prefilter { ... }`"));
            draft.broken = true;
        }
    }
}

/// Fragments show nothing behind the IP header: a rule that asks them for ports never matches.
pub fn fragments_without_ports(draft: &mut Draft, cx: &mut Cx<'_>) {
    let Some((pieces, at)) = &draft.fragment else { return };
    let fragment = u128::from(ip_flags::IS_FRAGMENT);
    if !pieces.iter().all(|(value, _)| value & fragment != 0) {
        return;
    }
    let behind = [
        draft.dport.as_ref().map(|(_, span)| *span),
        draft.sport.as_ref().map(|(_, span)| *span),
        draft.service.as_ref().map(|(_, span)| *span),
        draft.flags.as_ref().map(|(_, span)| *span),
        draft.icmp.as_ref().map(|(_, span)| *span),
        draft.icmp6.as_ref().map(|(_, span)| *span),
    ];
    let Some(behind) = behind.into_iter().flatten().next() else { return };
    let message = format!("the kernel sees no {} in a fragment, not even in the first", cx.quote(behind));
    let finding = Diagnostic::new(&super::draft::IMPOSSIBLE_MATCH, behind, message)
        .because(*at, "the rule speaks of fragments only");
    cx.report(finding.help(format!("take it out: {} then means those of every port", cx.quote(*at))));
    draft.broken = true;
}
