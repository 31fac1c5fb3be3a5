//! Which frames and protocols: `ip`, `tcp`, `proto 47`, `arp`, `ethertype`, `service`, `icmp`.

use std::collections::BTreeMap;

use super::names::{self, Found, Value};
use super::number::{self, MALFORMED_VALUE, PORTS, VALUE_OUT_OF_RANGE};
use super::sets::{self, Domain};
use super::{Cx, catalogue, words};
use crate::abi::{eth, ipproto};
use crate::diag::Diagnostic;
use crate::field::value::Intervals;
use crate::parse::ast::{DefineKind, Icmp, Set};
use crate::source::Span;

crate::declare_lints! {
    /// An ICMP type of the other IP version.
    pub WRONG_ICMP_VERSION: Error = "wrong-icmp-version", "an ICMP type word of the other IP version",
        "ICMP and ICMPv6 number their messages differently, and some messages exist in one of them only.\n\nExample:\n\n    \
         allow icmp neighbour-solicitation\n\nRemedy: write `icmp6` for ICMPv6 and `icmp` for ICMP.";
    /// An ethertype that the language says in its own words.
    pub ETHERTYPE_OF_IP: Error = "ethertype-of-ip", "an ethertype that has a word of its own",
        "IPv4, IPv6 and VLAN tags are not just ethertypes: the first two go through conntrack, and tagged frames are matched by what is \
         behind the tag.\n\nExample:\n\n    drop ethertype 0x0800\n\nRemedy: write `ip`, `ip6` or `vlan N`.";
    /// `not` before a link-level match.
    pub UNBOUNDED_LINK: Error = "unbounded-link", "`not` before `arp` or `ethertype`",
        "No filter can say `every ethertype but this one`. A rule that names no ethertype speaks of IP only.\n\nExample:\n\n    \
         drop not arp\n\nRemedy: decide about `arp` in a rule of its own, before the one for the rest; `default` takes what is left.";
}

/// A set of the 256 IP protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocols([u128; 2]);

impl Protocols {
    /// All 256.
    pub const ALL: Self = Self([u128::MAX; 2]);

    /// Only this one.
    #[must_use]
    pub const fn one(protocol: u8) -> Self {
        if protocol < 128 { Self([1 << protocol, 0]) } else { Self([0, 1 << (protocol - 128)]) }
    }

    const fn and(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    const fn or(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    const fn not(self) -> Self {
        Self([!self.0[0], !self.0[1]])
    }

    /// Whether it is in it.
    #[must_use]
    pub const fn contains(self, protocol: u8) -> bool {
        let bit = Self::one(protocol);
        bit.0[0] & self.0[0] | bit.0[1] & self.0[1] != 0
    }

    /// Whether none is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0[0] == 0 && self.0[1] == 0
    }

    /// The protocols, lowest first.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=255).filter(move |protocol| self.contains(*protocol))
    }
}

/// Which frames: protocols of each IP version, and other ethertypes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Protocols over IPv4.
    pub ip4: Protocols,
    /// Protocols over IPv6.
    pub ip6: Protocols,
    /// Other ethertypes, sorted.
    pub ether: Vec<u16>,
}

impl Frames {
    /// Every IP packet.
    pub const IP: Self = Self { ip4: Protocols::ALL, ip6: Protocols::ALL, ether: Vec::new() };

    /// This protocol over both IP versions.
    #[must_use]
    pub fn of(protocol: u8) -> Self {
        Self { ip4: Protocols::one(protocol), ip6: Protocols::one(protocol), ether: Vec::new() }
    }

    fn ethertype(ethertype: u16) -> Self {
        Self { ether: vec![ethertype], ..Self::default() }
    }

    /// What a protocol word stands for.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "ip" => Self { ip4: Protocols::ALL, ..Self::default() },
            "ip6" => Self { ip6: Protocols::ALL, ..Self::default() },
            "icmp" => Self { ip4: Protocols::one(ipproto::ICMP), ..Self::default() },
            "icmp6" => Self { ip6: Protocols::one(ipproto::ICMPV6), ..Self::default() },
            "arp" => Self::ethertype(eth::P_ARP),
            "tcp" | "udp" | "sctp" | "gre" | "esp" => Self::of(catalogue::find_protocol(word)?),
            _ => return None,
        })
    }
}

/// Frames by protocol words, or by what stands after `proto` or `ethertype`.
pub enum FrameSets {
    /// `tcp`, `arp` ...
    Words,
    /// After `proto`.
    Proto,
    /// After `ethertype`.
    EtherType,
}

impl FrameSets {
    /// The frames of a set.
    pub fn read(&self, set: &Set, cx: &mut Cx<'_>) -> Option<Frames> {
        for (span, negated) in sets::words(set) {
            let link = matches!(self, Self::EtherType) || cx.text(span) == "arp";
            if negated && link {
                let message = format!("`not` cannot stand before {}", cx.quote(span));
                let help = "a rule that names no `arp` or `ethertype` speaks of IP only; decide about others in a rule of their own";
                cx.report(Diagnostic::new(&UNBOUNDED_LINK, set.span, message).help(help));
                return None;
            }
        }
        sets::value(self, set, cx)
    }
}

fn ethertype(span: Span, cx: &mut Cx<'_>) -> Option<Frames> {
    let text = cx.text(span);
    let finding = match number::number(text).map(u16::try_from) {
        None => Diagnostic::new(&MALFORMED_VALUE, span, format!("`{text}` is no ethertype")).help("ethertypes are written `0x88cc`"),
        Some(Ok(value @ (eth::P_IP | eth::P_IPV6 | eth::P_8021Q))) => {
            let word = match value {
                eth::P_IP => "ip",
                eth::P_IPV6 => "ip6",
                _ => "vlan N",
            };
            Diagnostic::new(&ETHERTYPE_OF_IP, span, format!("ethertype `{text}` has a word of its own")).help(format!("write `{word}`"))
        }
        Some(Ok(value)) if value >= eth::P_802_3_MIN => return Some(Frames::ethertype(value)),
        Some(_) => Diagnostic::new(&VALUE_OUT_OF_RANGE, span, format!("ethertype `{text}` is out of range"))
            .help("ethertypes go from 0x600 to 0xffff"),
    };
    cx.report(finding);
    None
}

impl Domain for FrameSets {
    type Value = Frames;

    fn word(&self, span: Span, cx: &mut Cx<'_>) -> Option<Frames> {
        match self {
            Self::Words => Frames::of_word(cx.text(span)),
            Self::EtherType => ethertype(span, cx),
            // `proto icmp` is `icmp`; a number is that number over both IP versions.
            Self::Proto => match cx.text(span) {
                word @ ("icmp" | "icmp6") => Frames::of_word(word),
                _ => {
                    let numbers = number::PROTOCOLS.word(span, cx)?;
                    let chosen = (0..=255u8)
                        .filter(|protocol| numbers.contains((*protocol).into()))
                        .fold(Protocols::default(), |all, protocol| all.or(Protocols::one(protocol)));
                    Some(Frames { ip4: chosen, ip6: chosen, ether: Vec::new() })
                }
            },
        }
    }

    fn union(&self, parts: Vec<Frames>) -> Frames {
        let mut all = parts.into_iter().fold(Frames::default(), |mut all, part| {
            all.ether.extend(part.ether);
            Frames { ip4: all.ip4.or(part.ip4), ip6: all.ip6.or(part.ip6), ether: all.ether }
        });
        all.ether.sort_unstable();
        all.ether.dedup();
        all
    }

    fn intersect(&self, a: &Frames, b: &Frames) -> Frames {
        let ether = a.ether.iter().copied().filter(|ethertype| b.ether.contains(ethertype)).collect();
        Frames { ip4: a.ip4.and(b.ip4), ip6: a.ip6.and(b.ip6), ether }
    }

    // Within IP: `not` before other ethertypes is refused before it comes here.
    fn complement(&self, value: &Frames) -> Frames {
        Frames { ip4: value.ip4.not(), ip6: value.ip6.not(), ether: Vec::new() }
    }

    fn is_empty(&self, value: &Frames) -> bool {
        value.ip4.is_empty() && value.ip6.is_empty() && value.ether.is_empty()
    }
}

/// The protocols that have ports, in the order of [`ServiceSet::ports`].
pub const PORT_PROTOCOLS: [u8; 3] = [ipproto::TCP, ipproto::UDP, ipproto::SCTP];

/// Protocols with their destination ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSet {
    /// Destination ports of TCP, UDP, SCTP.
    pub ports: [Intervals; 3],
    /// Whether all other protocols are in it (after `not`).
    pub others: bool,
}

impl ServiceSet {
    /// The ports that belong to a protocol; `None` for one without ports.
    #[must_use]
    pub fn ports_of(&self, protocol: u8) -> Option<&Intervals> {
        PORT_PROTOCOLS.iter().zip(&self.ports).find(|(known, _)| **known == protocol).map(|(_, ports)| ports)
    }

    fn map2(a: &Self, b: &Self, ports: impl Fn(&Intervals, &Intervals) -> Intervals) -> [Intervals; 3] {
        let [a0, a1, a2] = &a.ports;
        let [b0, b1, b2] = &b.ports;
        [ports(a0, b0), ports(a1, b1), ports(a2, b2)]
    }

    fn of(protocol: u8, interval: &Intervals) -> Option<Self> {
        let mut set = Self::default();
        let slot = PORT_PROTOCOLS.iter().position(|known| *known == protocol)?;
        *set.ports.get_mut(slot)? = interval.clone();
        Some(set)
    }
}

/// The kind of set that services are in.
pub struct Services;

impl Services {
    /// `udp/53`
    fn pair(protocol: &str, port: &str, span: Span, cx: &mut Cx<'_>) -> Option<ServiceSet> {
        let Some(number) = catalogue::find_protocol(protocol).filter(|number| PORT_PROTOCOLS.contains(number)) else {
            let message = format!("a service is of `tcp`, `udp` or `sctp`, not of `{protocol}`");
            cx.report(Diagnostic::new(&MALFORMED_VALUE, span, message).help("services are written `udp/53`"));
            return None;
        };
        // The port stands at the end of the word.
        let length = u32::try_from(port.len()).ok()?;
        let ports = PORTS.word(Span { lo: span.hi - length, hi: span.hi }, cx)?;
        ServiceSet::of(number, &ports)
    }
}

impl Domain for Services {
    type Value = ServiceSet;

    fn word(&self, span: Span, cx: &mut Cx<'_>) -> Option<ServiceSet> {
        let text = cx.text(span);
        if let Some((protocol, port)) = text.split_once('/') {
            return Self::pair(protocol, port, span, cx);
        }
        match names::lookup(DefineKind::Service, text, span, cx) {
            Found::Value(value) => match &*value {
                Value::Service(service) => Some(service.clone()),
                _ => None,
            },
            Found::Failed => None,
            Found::Nothing => {
                let Some(service) = catalogue::find_service(text) else {
                    names::report_unknown(DefineKind::Service, span, cx);
                    return None;
                };
                let parts = service.ports.iter().filter_map(|(protocol, lo, hi)| {
                    ServiceSet::of(*protocol, &Intervals::new(vec![((*lo).into(), (*hi).into())]))
                });
                Some(self.union(parts.collect()))
            }
        }
    }

    fn union(&self, parts: Vec<ServiceSet>) -> ServiceSet {
        parts.into_iter().fold(ServiceSet::default(), |all, part| ServiceSet {
            ports: ServiceSet::map2(&all, &part, |a, b| PORTS.union(vec![a.clone(), b.clone()])),
            others: all.others || part.others,
        })
    }

    fn intersect(&self, a: &ServiceSet, b: &ServiceSet) -> ServiceSet {
        ServiceSet { ports: ServiceSet::map2(a, b, Intervals::intersect), others: a.others && b.others }
    }

    fn complement(&self, value: &ServiceSet) -> ServiceSet {
        ServiceSet { ports: ServiceSet::map2(value, value, |ports, _| ports.complement(PORTS.bits)), others: !value.others }
    }

    fn is_empty(&self, value: &ServiceSet) -> bool {
        !value.others && value.ports.iter().all(Intervals::is_empty)
    }
}

/// ICMP types, each with its codes.
pub type Messages = BTreeMap<u8, Intervals>;

/// The kind of set that ICMP types are in.
pub struct IcmpTypes {
    /// ICMPv6.
    pub v6: bool,
}

impl IcmpTypes {
    /// The messages that a match names.
    pub fn read(icmp: &Icmp, cx: &mut Cx<'_>) -> Option<Messages> {
        let kind = Self { v6: icmp.v6 };
        let types = sets::value(&kind, &icmp.types, cx);
        let codes = match &icmp.codes {
            Some(codes) => sets::value(&number::CODES, codes, cx)?,
            None => return types,
        };
        let both: Messages = types?
            .into_iter()
            .map(|(kind, own)| (kind, own.intersect(&codes)))
            .filter(|(_, codes)| !codes.is_empty())
            .collect();
        if both.is_empty() {
            let span = icmp.codes.as_ref().map_or(icmp.types.span, |codes| codes.span);
            let message = format!("{} stands for a code of its own", cx.quote(icmp.types.span));
            cx.report(Diagnostic::new(&super::draft::IMPOSSIBLE_MATCH, span, message).help("leave out `code`, or write the type as a number"));
            return None;
        }
        Some(both)
    }

    fn names(&self) -> (&'static [catalogue::IcmpName], &'static [catalogue::IcmpName]) {
        let (v4, v6) = (catalogue::ICMP_NAMES, catalogue::ICMP6_NAMES);
        if self.v6 { (v6, v4) } else { (v4, v6) }
    }
}

impl Domain for IcmpTypes {
    type Value = Messages;

    fn word(&self, span: Span, cx: &mut Cx<'_>) -> Option<Messages> {
        let text = cx.text(span);
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let types = number::TYPES.word(span, cx)?;
            return Some((0..=255u8).filter(|t| types.contains((*t).into())).map(|t| (t, Intervals::all(8))).collect());
        }
        let (own, other) = self.names();
        if let Some((_, kind, code)) = own.iter().find(|(name, ..)| *name == text) {
            let codes = code.map_or_else(|| Intervals::all(8), |code| Intervals::new(vec![(code.into(), code.into())]));
            return Some(Messages::from([(*kind, codes)]));
        }
        let (word, other_word, version, other_version) =
            if self.v6 { ("icmp6", "icmp", "ICMPv6", "ICMP") } else { ("icmp", "icmp6", "ICMP", "ICMPv6") };
        let finding = if other.iter().any(|(name, ..)| *name == text) {
            Diagnostic::new(&WRONG_ICMP_VERSION, span, format!("`{text}` is a message of {other_version}, not of {version}"))
                .help(format!("write `{other_word} {text}`"))
        } else {
            let near = words::nearest(text, own.iter().map(|(name, ..)| *name));
            let finding = Diagnostic::new(&names::UNKNOWN_NAME, span, format!("no {version} message is called `{text}`"));
            finding.help(near.map_or_else(|| format!("write its number: `{word} type N`"), words::did_you_mean))
        };
        cx.report(finding);
        None
    }

    fn union(&self, parts: Vec<Messages>) -> Messages {
        parts.into_iter().fold(Messages::new(), |mut all, part| {
            for (kind, codes) in part {
                let merged = number::CODES.union(vec![all.remove(&kind).unwrap_or_default(), codes]);
                all.insert(kind, merged);
            }
            all
        })
    }

    fn intersect(&self, a: &Messages, b: &Messages) -> Messages {
        a.iter()
            .filter_map(|(kind, codes)| Some((*kind, codes.intersect(b.get(kind)?))))
            .filter(|(_, codes)| !codes.is_empty())
            .collect()
    }

    fn complement(&self, value: &Messages) -> Messages {
        (0..=255u8)
            .map(|kind| (kind, value.get(&kind).map_or_else(|| Intervals::all(8), |codes| codes.complement(8))))
            .filter(|(_, codes)| !codes.is_empty())
            .collect()
    }

    fn is_empty(&self, value: &Messages) -> bool {
        value.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_a_set_of_256() {
        assert_eq!(Protocols::one(ipproto::SCTP).iter().collect::<Vec<_>>(), [132]);
        let rest = Protocols::one(6).not();
        assert_eq!(rest.iter().count(), 255);
        assert!(!rest.contains(6) && rest.contains(0) && rest.contains(255));
    }

    #[test]
    fn not_icmp_leaves_all_of_ipv6() {
        let frames = FrameSets::Words.complement(&Frames::of_word("icmp").unwrap());
        assert_eq!(frames.ip6, Protocols::ALL);
        assert!(!frames.ip4.contains(1) && frames.ip4.contains(6));
    }

    #[test]
    fn outside_of_a_type_with_a_code() {
        let kind = IcmpTypes { v6: false };
        let needed = Messages::from([(3, Intervals::new(vec![(4, 4)]))]);
        let outside = kind.complement(&needed);
        assert_eq!(outside.len(), 256);
        assert_eq!(outside[&3].list(), [(0, 3), (5, 255)]);
        assert_eq!(kind.complement(&outside), needed);
    }
}
