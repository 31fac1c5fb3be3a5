//! A rule's matches as they are gathered: one slot per thing that can be matched, joined by *and*.

use super::address::Addrs;
use super::devices::Devices;
use super::icmp::Messages;
use super::masked::Piece;
use super::protocol::Frames;
use super::service::ServiceSet;
use super::sets::Domain;
use super::{Cx, info};
use crate::diag::Diagnostic;
use crate::field::value::Intervals;
use crate::ir::policy::StateSet;
use crate::source::Span;

crate::declare_lints! {
    /// Matches that no packet satisfies together.
    pub IMPOSSIBLE_MATCH: Error = "impossible-match", "matches that no packet satisfies together",
        "Matches are joined by `and`. Where two of them exclude each other the rule never matches, which is not what anybody writes on \
         purpose.\n\nExample:\n\n    allow established related\n\nRemedy: braces mean `any of`: `allow { established, related }`.";
    /// A rule that speaks of neither IP version.
    pub NO_FAMILY: Error = "no-family", "a rule that speaks of neither IPv4 nor IPv6",
        "A rule speaks of both IP versions unless an address, a protocol or a translation fixes one. Here one part leaves only IPv4 and \
         another only IPv6.\n\nExample:\n\n    allow from 10.0.0.0/8 to 2001:db8::1\n\nRemedy: write one rule for each version.";
    /// A port match without a protocol that has ports.
    pub PORT_WITHOUT_PROTOCOL: Error = "port-without-protocol", "a port match without `tcp`, `udp` or `sctp`",
        "Only these three have ports; a filter that compared the same bytes of another protocol would match at random.\n\nExample:\n\n    \
         allow to port 53\n\nRemedy: name the protocol: `allow { tcp, udp } to port 53`, or `allow service dns`.";
}

/// What was matched, and the first match that did.
pub type Slot<T> = Option<(T, Span)>;

/// The matches of one rule.
#[derive(Default)]
pub struct Draft {
    /// `from zone`.
    pub zone: Slot<u16>,
    /// State words.
    pub states: Slot<StateSet>,
    /// `snat` as a match.
    pub snat: Slot<bool>,
    /// `dnat` as a match.
    pub dnat: Slot<bool>,
    /// The connection's mark.
    pub mark: Slot<Vec<Piece>>,
    /// The connection's label.
    pub label: Slot<Vec<Piece>>,
    /// Protocol words.
    pub frames: Slot<Frames>,
    /// Services.
    pub service: Slot<ServiceSet>,
    /// ICMP messages.
    pub icmp: Slot<Messages>,
    /// ICMPv6 messages.
    pub icmp6: Slot<Messages>,
    /// Source addresses.
    pub src: Slot<Addrs>,
    /// Destination addresses.
    pub dst: Slot<Addrs>,
    /// Source ports.
    pub sport: Slot<Intervals>,
    /// Destination ports.
    pub dport: Slot<Intervals>,
    /// Source hardware addresses.
    pub smac: Slot<Intervals>,
    /// Destination hardware addresses.
    pub dmac: Slot<Intervals>,
    /// Arrival devices.
    pub arrival: Slot<Devices>,
    /// TCP flags.
    pub flags: Slot<Vec<Piece>>,
    /// DSCP classes.
    pub dscp: Slot<Intervals>,
    /// TTL or hop limit.
    pub ttl: Slot<Intervals>,
    /// VLANs.
    pub vlan: Slot<Intervals>,
    /// Fragment bits.
    pub fragment: Slot<Vec<Piece>>,
    /// The first part of the rule that only IP packets can have.
    pub ip_only: Option<Span>,
    /// A part of the rule could not be read; that was reported.
    pub broken: bool,
}

/// Joins a further match of the same kind; false after reporting that no packet satisfies both, or where there is no value.
pub fn join<D: Domain>(
    domain: &D,
    slot: &mut Slot<D::Value>,
    value: Option<D::Value>,
    span: Span,
    cx: &mut Cx<'_>,
) -> bool {
    let Some(value) = value else { return false };
    let Some((old, first)) = slot.take() else {
        *slot = Some((value, span));
        return true;
    };
    let both = domain.intersect(&old, &value);
    if domain.is_empty(&both) {
        *slot = Some((old, first));
        cx.report(contradiction(first, span, cx));
        return false;
    }
    *slot = Some((both, first));
    true
}

/// Two matches that exclude each other.
pub fn contradiction(first: Span, second: Span, cx: &Cx<'_>) -> Diagnostic {
    let (a, b) = (cx.quote(first), cx.quote(second));
    let finding =
        Diagnostic::new(&IMPOSSIBLE_MATCH, second, format!("no packet is both {a} and {b}")).because(first, "and this");
    let words = (info::one_line(cx.text(first)), info::one_line(cx.text(second)));
    let single = |words: &str| !words.contains([' ', '{']);
    if single(&words.0) && single(&words.1) {
        finding.help(format!("write `{{ {}, {} }}` to match either", words.0, words.1))
    } else {
        finding.help("write two rules to match either")
    }
}
