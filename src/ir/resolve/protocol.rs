//! Which frames and protocols: `ip`, `tcp`, `proto 47`, `arp`, `ethertype`.

use super::number::{self, MALFORMED_VALUE, VALUE_OUT_OF_RANGE};
use super::sets::{self, Domain};
use super::{Cx, catalogue};
use crate::abi::{eth, ipproto};
use crate::diag::Diagnostic;
use crate::parse::ast::Set;
use crate::source::Span;

crate::declare_lints! {
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

    /// In both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    /// In either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// In everything else.
    #[must_use]
    pub const fn complement(self) -> Self {
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
        [(0u8, self.0[0]), (128, self.0[1])].into_iter().flat_map(|(base, word)| {
            // Each step takes the lowest bit out.
            std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)))
                .take_while(|word| *word != 0)
                .filter_map(move |word| u8::try_from(word.trailing_zeros()).ok().map(|bit| base + bit))
        })
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
                cx.report(Diagnostic::new(&UNBOUNDED_LINK, set.span(), message).help(help));
                return None;
            }
        }
        sets::value(self, set, cx)
    }
}

fn ethertype(span: Span, cx: &mut Cx<'_>) -> Option<Frames> {
    let text = cx.text(span);
    let finding = match number::number(text).map(u16::try_from) {
        None => Diagnostic::new(&MALFORMED_VALUE, span, format!("`{text}` is no ethertype")).help(match text {
            "arp" | "ip" | "ip6" => format!("`{text}` is a match of its own: leave `ethertype` out"),
            "ipv4" => "write `ip` alone".to_owned(),
            "ipv6" => "write `ip6` alone".to_owned(),
            "vlan" | "8021q" | "802.1q" => "tagged frames are matched by `vlan N`".to_owned(),
            _ => "ethertypes are written `0x88cc`".to_owned(),
        }),
        Some(Ok(value @ (eth::P_IP | eth::P_IPV6 | eth::P_8021Q))) => {
            let word = match value {
                eth::P_IP => "ip",
                eth::P_IPV6 => "ip6",
                _ => "vlan N",
            };
            Diagnostic::new(&ETHERTYPE_OF_IP, span, format!("ethertype `{text}` has a word of its own"))
                .help(format!("write `{word}`"))
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
            Self::Proto if matches!(cx.text(span), "icmp" | "icmp6") => Frames::of_word(cx.text(span)),
            Self::Proto => {
                let numbers = number::PROTOCOLS.word(span, cx)?;
                let chosen = (0..=255u8)
                    .filter(|protocol| numbers.contains((*protocol).into()))
                    .fold(Protocols::default(), |all, protocol| all.or(Protocols::one(protocol)));
                Some(Frames { ip4: chosen, ip6: chosen, ether: Vec::new() })
            }
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
        Frames { ip4: value.ip4.complement(), ip6: value.ip6.complement(), ether: Vec::new() }
    }

    fn is_empty(&self, value: &Frames) -> bool {
        value.ip4.is_empty() && value.ip6.is_empty() && value.ether.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_a_set_of_256() {
        assert_eq!(Protocols::one(ipproto::SCTP).iter().collect::<Vec<_>>(), [132]);
        let rest = Protocols::one(6).complement();
        assert_eq!(rest.iter().count(), 255);
        assert!(!rest.contains(6) && rest.contains(0) && rest.contains(255));
    }

    #[test]
    fn not_icmp_leaves_all_of_ipv6() {
        let frames = FrameSets::Words.complement(&Frames::of_word("icmp").unwrap());
        assert_eq!(frames.ip6, Protocols::ALL);
        assert!(!frames.ip4.contains(1) && frames.ip4.contains(6));
    }
}
