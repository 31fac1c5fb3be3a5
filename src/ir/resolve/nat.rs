//! Translations: pools, ports, and the zones that record them.

use std::sync::Arc;

use super::actions::{REPEATED_ACTION, Read};
use super::address::{Addrs, Nets, Stretch};
use super::number::{PORTS, VALUE_OUT_OF_RANGE};
use super::rule::Place;
use super::sets::Domain;
use super::{Cx, zones};
use crate::diag::Diagnostic;
use crate::field::value::Intervals;
use crate::ir::policy::{Nat, NatSide, Rule, State};
use crate::parse::ast::{self, Action, ActionKind};
use crate::source::Span;

crate::declare_lints! {
    /// Source and destination translation in one rule and zone.
    pub TWO_TRANSLATIONS: Error = "two-translations", "source and destination translation in one rule and one zone",
        "The kernel's ct action records one translation with a connection, so translating both ends takes two zones, each recording one \
         (hairpin).\n\nExample:\n\n    allow new tcp to 203.0.113.2, dnat 10.0.0.80, snat 10.0.0.1\n\n\
         Remedy: `allow new tcp to 203.0.113.2, dnat 10.0.0.80 in zone 2, snat 10.0.0.1 in zone 1`.";
    /// A pool of both IP versions.
    pub MIXED_POOL: Error = "mixed-pool", "a pool with IPv4 and IPv6 addresses",
        "A packet keeps its IP version when it is translated, so the pool fixes the rule's.\n\nExample:\n\n    \
         net out = { 203.0.113.2, 2001:db8::2 }\n    allow from any, snat out\n\nRemedy: write one rule for each version.";
    /// A pool that is not one stretch of addresses.
    pub SCATTERED_POOL: Error = "scattered-pool", "a pool or a port that is not one stretch",
        "The kernel translates into one range of addresses, from the first to the last, and one range of ports.\n\nExample:\n\n    \
         net out = { 203.0.113.2, 203.0.113.9 }\n    allow from 10.0.0.0/8, snat out\n\nRemedy: give an address, a range or a prefix; for \
         several, write several rules that share the clients among them.";
    /// `dnat ... port` on a protocol without ports.
    pub NAT_PORT_WITHOUT_PROTOCOL: Error = "nat-port-without-protocol", "`dnat` to a port, without `tcp`, `udp` or `sctp`",
        "Only these three have a port to translate to.\n\nExample:\n\n    allow to 203.0.113.2, dnat 10.0.0.80 port 8080\n\n\
         Remedy: name the protocol: `allow tcp to 203.0.113.2, dnat 10.0.0.80 port 8080`.";
    /// `masquerade` without an address.
    pub UNKNOWN_DEVICE_ADDRESS: Error = "unknown-device-address", "`masquerade` without the device's address",
        "`masquerade` is `snat` to the address that the policy's device has when the policy is applied. On another machine, and for policies \
         on several devices, that address is not known.\n\nExample:\n\n    ctpolicy compile gateway.pol\n\n\
         Remedy: `--address DEV=ADDR` for compiling off the machine; one policy for each device, or `snat ADDR`.";
    /// A translation that no connection ever gets.
    pub NEVER_NEW: Warning = "never-new", "a translation on a rule that never sees a new connection",
        "A connection is translated when it begins. A rule that sees only established packets makes its zone one where translations are \
         applied, but adds none.\n\nExample:\n\n    allow established from zone 7, snat 10.0.0.0/24\n\n\
         Remedy: put the translation on the rule that allows `new` packets; here `nat` says what the rule does.";
}

/// Reads one translation into the rule's actions; `None` after reporting.
pub fn read(
    action: &Action,
    written: &ast::Nat,
    zone: Option<u16>,
    place: &Place<'_, '_>,
    read: &mut Read,
    cx: &mut Cx<'_>,
) -> Option<()> {
    let side = if matches!(action.kind, ActionKind::Dnat(_)) { NatSide::Destination } else { NatSide::Source };
    let zone = match written.zone {
        Some(word) => zones::zone(word, cx)?,
        None => zone?,
    };
    let pool = match written.pool {
        Some(word) => pool(word, cx),
        None => device_address(action.span, place, cx),
    };
    let ports = match written.port {
        Some(word) => Some(ports(word, cx)?),
        None => None,
    };
    let pool = pool?;
    if side == NatSide::Destination && ports.is_some() {
        read.asked.ports = Some(action.span);
    }
    let span = written.pool.unwrap_or(action.span);
    let [no_v4, no_v6] = &mut read.excluded;
    if pool.v4.is_none() {
        no_v4.get_or_insert(span);
    }
    if pool.v6.is_none() {
        no_v6.get_or_insert(span);
    }
    if let Some((_, other, first)) = read.asked.translations.iter().find(|(known, ..)| *known == zone) {
        let finding = if *other == side {
            let message = format!("{} is a second one of its kind", cx.quote(action.span));
            Diagnostic::new(&REPEATED_ACTION, action.span, message).help("keep one of the two")
        } else {
            let words = cx.quote(action.span);
            Diagnostic::new(
                &TWO_TRANSLATIONS,
                action.span,
                "source and destination translation in one rule and one zone",
            )
            .help(format!("let another zone record one of them: `{} in zone N`", words.trim_matches('`')))
        };
        cx.report(finding.because(*first, "the first is here"));
        return None;
    }
    read.asked.translations.push((zone, side, action.span));
    read.actions.nat.push((zone, Nat { side, v4: pool.v4, v6: pool.v6, ports }));
    cx.translating.insert(zone);
    Some(())
}

fn pool(word: Span, cx: &mut Cx<'_>) -> Option<Stretch> {
    let addrs: Addrs = Nets.word(word, cx)?;
    let words = cx.quote(word);
    let Some(pool) = addrs.stretch() else {
        let finding = Diagnostic::new(&SCATTERED_POOL, word, format!("{words} is not one stretch of addresses"));
        cx.report(finding.help("give an address, a range or a prefix"));
        return None;
    };
    if pool.v4.is_some() && pool.v6.is_some() {
        let finding = Diagnostic::new(&MIXED_POOL, word, format!("{words} has IPv4 and IPv6 addresses"));
        cx.report(finding.help("write one rule for each IP version"));
        return None;
    }
    // The kernel would really write 0.0.0.0 into the packet.
    if addrs.v4.contains(0) || addrs.v6.contains(0) {
        let finding = Diagnostic::new(&VALUE_OUT_OF_RANGE, word, format!("{words} holds the unspecified address"));
        cx.report(finding.help("name the addresses that packets shall have"));
        return None;
    }
    Some(pool)
}

fn ports(word: Span, cx: &mut Cx<'_>) -> Option<(u16, u16)> {
    let ports: Intervals = PORTS.word(word, cx)?;
    let finding = match ports.list() {
        [(0, _)] => Diagnostic::new(&VALUE_OUT_OF_RANGE, word, "nothing can be translated to port 0")
            .help("ports for translation go from 1 to 65535"),
        [(lo, hi)] => return Some((u16::try_from(*lo).ok()?, u16::try_from(*hi).ok()?)),
        _ => Diagnostic::new(&SCATTERED_POOL, word, format!("{} is not one stretch of ports", cx.quote(word)))
            .help("give a port or a range"),
    };
    cx.report(finding);
    None
}

/// The address of the policy's one device.
fn device_address(span: Span, place: &Place<'_, '_>, cx: &mut Cx<'_>) -> Option<Stretch> {
    let finding = match place.scope.devices.as_slice() {
        // A group that nothing uses, or devices that could not be read.
        [] => return None,
        [device] => match cx.options.addresses.get(device) {
            Some(addresses) if addresses.v4.is_some() || addresses.v6.is_some() => {
                return Some(Stretch {
                    v4: addresses.v4.map(|one| (one, one)),
                    v6: addresses.v6.map(|one| (one, one)),
                });
            }
            _ => Diagnostic::new(&UNKNOWN_DEVICE_ADDRESS, span, format!("the address of `{device}` is not known"))
                .help(format!("add `--address {device}=ADDR` to the command, or write `snat ADDR`")),
        },
        devices => {
            let message =
                format!("the policy stands on {} devices, and `masquerade` takes the address of one", devices.len());
            Diagnostic::new(&UNKNOWN_DEVICE_ADDRESS, span, message)
                .because(place.scope.span, "the devices are named here")
                .help("write one policy for each device, or `snat ADDR`")
        }
    };
    cx.report(finding);
    None
}

/// Takes out translations of a rule that never sees a connection begin: their zone is one where translations are applied, and no more.
pub fn leave_out_where_never_new(rule: &mut Rule, spans: &[(u16, NatSide, Span)], cx: &mut Cx<'_>) {
    if rule.states.contains(State::New) || rule.states.contains(State::Related) {
        return;
    }
    for (zone, _, span) in spans {
        let finding = Diagnostic::new(
            &NEVER_NEW,
            *span,
            "no connection is ever translated by this rule alone: it sees no `new` packet",
        )
        .note(format!("translations on record in zone {zone} are applied, as by `nat`"));
        cx.report(finding.help("put the translation on the rule that allows `new` packets"));
    }
    Arc::make_mut(&mut rule.actions).nat.clear();
}
