//! Outcome: what becomes of a packet, and what it leaves behind. Both evaluators answer with it.

use std::net::IpAddr;

use super::policy::{Actions, Attach, Nat, NatSide, Out, Policy, RuleInfo, State};
use crate::abi::{eth, ipproto};
use crate::field::Field;
use crate::ir::packet::{CtView, Packet};

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Where it goes.
    pub verdict: Fate,
    /// Who decided.
    pub rule: Origin,
    /// Conntrack passes, in order, with whether the translation on record is applied before the next one. Empty for
    /// dropped packets: nothing of a pass outlives them.
    pub passes: Vec<(u16, bool)>,
    /// Commits that took effect, in order.
    pub commits: Vec<Committed>,
    /// Whether conntrack's entry was taken off before the packet left.
    pub cleared: bool,
    /// Copies, in order.
    pub mirrors: Vec<Out>,
    /// Rules (`RuleInfo::ident`) whose budget was asked, in order.
    pub limits: Vec<u32>,
}

/// Where a packet goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Into the stack, or out of the device.
    Accept,
    /// Nowhere.
    Drop,
    /// To another device.
    Redirect(Out),
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A rule.
    Rule {
        /// Which.
        ident: u32,
        /// What it means.
        meaning: u64,
    },
    /// The policy's default.
    Default,
    /// The implicit accept of ARP, neighbour discovery and MLD.
    Implicit,
    /// A filter that the compiler added and that should decide nothing.
    Machinery,
}

impl Origin {
    /// The rule, or the default, of this block; `None` for what the compiler adds.
    #[must_use]
    pub fn info(self, attach: &Attach) -> Option<&RuleInfo> {
        match self {
            Self::Rule { ident, .. } => attach.rule(ident),
            Self::Default => Some(&attach.default),
            Self::Implicit | Self::Machinery => None,
        }
    }
}

/// A commit that took effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Committed {
    /// In which zone.
    pub zone: u16,
    /// Ends a connection of the other direction.
    pub force: bool,
    /// Value and mask.
    pub mark: Option<(u32, u32)>,
    /// Value and mask.
    pub label: Option<(u128, u128)>,
    /// Translation.
    pub nat: Option<Translation>,
    /// Name, family and IP protocol of the helper.
    pub helper: Option<(String, bool, u8)>,
}

/// A translation that a commit asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Translation {
    /// Into this range.
    To {
        /// Which end.
        side: NatSide,
        /// First and last address.
        addresses: (IpAddr, IpAddr),
        /// First and last port.
        ports: Option<(u16, u16)>,
    },
    /// As its master's, for the first packet of a helper's connection: see [`takes_record`].
    OnRecord,
}

impl Translation {
    /// What a rule's `snat` or `dnat` asks for a packet of this family; `None` where it names no address of it.
    #[must_use]
    pub fn range(nat: Nat, v6: bool) -> Option<Self> {
        let addresses = if v6 {
            nat.v6.map(|(first, last)| (first.into(), last.into()))
        } else {
            nat.v4.map(|(first, last)| (first.into(), last.into()))
        };
        addresses.map(|addresses| Self::To { side: nat.side, addresses, ports: nat.ports })
    }
}

/// What `continue` rules of a zone have set so far, or what one rule sets. Value and mask each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sets {
    /// On the connection's mark.
    pub mark: Option<(u32, u32)>,
    /// On its label.
    pub label: Option<(u128, u128)>,
}

impl Sets {
    /// What the actions of a rule set.
    #[must_use]
    pub fn of(actions: &Actions) -> Self {
        Self { mark: actions.set_mark, label: actions.set_label }
    }

    /// What a rule that translates says in the mark, where the file's rules ask for it.
    #[must_use]
    pub fn reserved(policy: &Policy, nat: Nat) -> Self {
        let bits = policy.nat_bits;
        let bit = if nat.side == NatSide::Source { bits.snat } else { bits.dnat };
        Self { mark: policy.nat_bits_used.then_some((bit, bit)), label: None }
    }

    /// Whether anything is set.
    #[must_use]
    pub fn any(self) -> bool {
        self.mark.is_some() || self.label.is_some()
    }

    /// What stands after `later`, which wins bit by bit.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        let mark = match (self.mark, later.mark) {
            (Some((v1, m1)), Some((v2, m2))) => Some(((v1 & !m2) | v2, m1 | m2)),
            (first, second) => second.or(first),
        };
        let label = match (self.label, later.label) {
            (Some((v1, m1)), Some((v2, m2))) => Some(((v1 & !m2) | v2, m1 | m2)),
            (first, second) => second.or(first),
        };
        Self { mark, label }
    }
}

/// Whether another pass came after the last one through this zone, and one of them may have translated the packet.
/// `passes` as in [`Outcome::passes`].
#[must_use]
pub fn overtaken(passes: &[(u16, bool)], zone: u16) -> bool {
    let last = passes.iter().rposition(|(passed, _)| *passed == zone);
    last.is_some_and(|at| at + 1 < passes.len() && passes.iter().skip(at).any(|(_, translates)| *translates))
}

/// Whether a commit with any `nat` applies the translation that is on record, whatever range it names: for ICMP errors in
/// the original direction, and for the first packet of a helper's connection whose master is translated
/// (`nf_ct_nat_execute` in net/netfilter/nf_nat_ovs.c; kernel-facts 2.2 and 2.3).
#[must_use]
pub fn takes_record(packet: &Packet, view: CtView) -> bool {
    view.state == State::Related && (is_icmp(packet) || view.translated)
}

/// Whether the packet is an ICMP error about a connection of this zone. It begins none of its own: a commit can store
/// something with the connection that it is about, and else does nothing.
#[must_use]
pub fn is_error(packet: &Packet, view: CtView) -> bool {
    matches!(view.state, State::Related | State::RelatedReply) && is_icmp(packet)
}

/// ICMP in IPv4, or ICMPv6 in IPv6.
#[must_use]
pub fn is_icmp(packet: &Packet) -> bool {
    let proto = if packet.ethertype == eth::P_IPV6 { ipproto::ICMPV6 } else { ipproto::ICMP };
    packet.is_ip() && packet.get(Field::IpProto) == Some(u128::from(proto))
}
