//! The Policy: what the file means. No names are left to look up, every value is in range, prerequisites are added,
//! sets are expanded into conditions per field, groups are in place.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::abi::ct_state as k;
use crate::field::{Cond, Conds, Field};
use crate::source::{SourceMap, Span, one_line};

/// One file with its includes: the whole policy of a network namespace.
#[derive(Clone, Debug)]
pub struct Policy {
    /// One per `policy` block (or one for all bare rules), in the order written.
    pub attaches: Vec<Attach>,
    /// The two mark bits that stand for "source / destination translated by a rule of ours".
    pub nat_bits: NatBits,
    /// Whether anything in the file needs them (a `snat` or `dnat` match, or a helper in a translating zone).
    pub nat_bits_used: bool,
    /// Zones in which some rule of the file translates, or says `nat`: every pass through them applies the translation on record.
    pub translating: BTreeSet<u16>,
    /// What the file asserts, in the order written.
    pub asserts: Vec<Assertion>,
}

/// `assert "..." never allow ...`
#[derive(Clone, Debug)]
pub struct Assertion {
    /// Its words.
    pub name: String,
    /// The statement.
    pub span: Span,
    /// For each policy that it speaks of (an index into [`Policy::attaches`]), the rule that would match what is never to be allowed there.
    /// Its verdict means nothing. `Untracked` among its states stands for frames that have none.
    pub rules: Vec<(usize, Rule)>,
}

/// Mark bits reserved by `reserve mark`; by default 0x80000000 and 0x40000000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatBits {
    /// Set on connections whose source a rule translates (the higher bit).
    pub snat: u32,
    /// Set on connections whose destination a rule translates (the lower bit).
    pub dnat: u32,
}

impl NatBits {
    /// Both bits.
    #[must_use]
    pub const fn both(self) -> u32 {
        self.snat | self.dnat
    }
}

impl Default for NatBits {
    fn default() -> Self {
        Self { snat: 0x8000_0000, dnat: 0x4000_0000 }
    }
}

/// Which side of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Packets that the device receives.
    Ingress,
    /// Packets that the device sends.
    Egress,
}

impl Hook {
    /// The word of the language and of tc.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// A policy on a set of devices and one hook.
#[derive(Clone, Debug)]
pub struct Attach {
    /// The policy's name; empty for bare rules.
    pub name: String,
    /// Where its header stands.
    pub span: Span,
    /// Device names, sorted, no duplicates.
    pub devices: Vec<String>,
    /// Which hook.
    pub hook: Hook,
    /// Conntrack zones in the order of their passes, no duplicates; empty for an untracked policy.
    pub passes: Vec<u16>,
    /// Rules on the packet as it came, before conntrack.
    pub prefilter: Vec<Rule>,
    /// Rules after it.
    pub rules: Vec<Rule>,
    /// The last word. Its `verdict` is `Allow` or `Drop`, it matches everything.
    pub default: RuleInfo,
    /// Whether the default allows.
    pub default_allow: bool,
}

impl Attach {
    /// Whether packets go through conntrack.
    #[must_use]
    pub fn tracked(&self) -> bool {
        !self.passes.is_empty()
    }

    /// Its rules, in the order in which packets meet them.
    pub fn all_rules(&self) -> impl Iterator<Item = &Rule> + Clone {
        self.prefilter.iter().chain(&self.rules)
    }

    /// VLAN ids whose ARP and neighbour discovery are accepted by themselves: those that some rule names and does not drop. A tag
    /// that is only ever dropped is shut out altogether.
    #[must_use]
    pub fn tags_served(&self) -> BTreeSet<u16> {
        let serving = self.all_rules().filter(|rule| rule.verdict != Verdict::Drop);
        serving.flat_map(|rule| &rule.alts).filter_map(|alt| alt.vlan.as_ref()).flatten().copied().collect()
    }

    /// The rule with this [`RuleInfo::ident`].
    #[must_use]
    pub fn rule(&self, ident: u32) -> Option<&RuleInfo> {
        self.all_rules().map(|rule| &rule.info).find(|info| info.ident == ident)
    }
}

/// What identifies a rule, for people and for the kernel.
#[derive(Clone, Debug)]
pub struct RuleInfo {
    /// Where it is written.
    pub span: Span,
    /// The policy it stands in (after `use`).
    pub policy: Arc<str>,
    /// Its position there, from 1, prefilter and groups counted.
    pub position: usize,
    /// Its words, where they are not those at `span`: what stands for a `default` that is implied.
    pub said: Option<&'static str>,
    /// `@key value`, in the order written.
    pub annotations: Vec<(String, String)>,
    /// Hash of `@id`, or of policy and position: which rule this is.
    pub ident: u32,
    /// Hash of what the rule means: whether it is still the same.
    pub meaning: u64,
}

impl RuleInfo {
    /// Its words on one line.
    #[must_use]
    pub fn text(&self, map: &SourceMap) -> String {
        self.said.map_or_else(|| one_line(map.text(self.span)), str::to_owned)
    }
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which rule.
    pub info: RuleInfo,
    /// What happens.
    pub verdict: Verdict,
    /// Index into [`Attach::passes`]: the zone that the rule's state, mark and label words speak of. 0 in untracked policies.
    pub pass: usize,
    /// States of that zone in which it matches; everything in prefilters and untracked policies.
    pub states: StateSet,
    /// `snat` / `not snat` as a match: the packet's source is (not) translated.
    pub snat: Option<bool>,
    /// `dnat` / `not dnat` as a match.
    pub dnat: Option<bool>,
    /// Any of these on the connection's mark in that zone.
    pub mark: Option<Vec<Cond>>,
    /// Any of these on the connection's label in that zone.
    pub label: Option<Vec<Cond>>,
    /// Header matches: any of these. Never empty.
    pub alts: Vec<Alt>,
    /// What to do on the way. Rules that do nothing share one.
    pub actions: Arc<Actions>,
}

/// Verdict of a resolved rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Accept; in a tracked policy commit where the state is new or related.
    Allow,
    /// Accept, commit nothing, clear the entry.
    AllowStateless,
    /// Drop.
    Drop,
    /// Run the actions, go on.
    Continue,
}

/// One product of header conditions: every field must satisfy one of its conditions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Alt {
    /// Which frames.
    pub link: Link,
    /// VLAN ids; `None` for untagged frames.
    pub vlan: Option<Vec<u16>>,
    /// Arrival devices that the packet must not have come by.
    pub not_in: Vec<String>,
    /// Fields in canonical order, each at most once, each with a non-empty list. Ports come only with `IpProto` of
    /// TCP, UDP or SCTP; ICMP fields only with ICMP's; `IpProto` conditions of one alternative then hold one value.
    pub sets: Vec<(Field, Conds)>,
}

impl Alt {
    /// What it asks of a field; `None` where it asks nothing.
    #[must_use]
    pub fn asked(&self, field: Field) -> Option<&[Cond]> {
        self.sets.iter().find(|(known, _)| *known == field).map(|(_, conds)| conds.as_slice())
    }

    /// Its conditions multiplied out.
    #[must_use]
    pub fn product(&self) -> u64 {
        self.sets.iter().fold(1, |product, (_, conds)| product.saturating_mul(conds.len() as u64))
    }
}

/// Link-level class of a frame (behind its VLAN tag, if any).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// IPv4.
    Ip4,
    /// IPv6.
    Ip6,
    /// Another ethertype.
    Ether(u16),
}

/// What a rule does besides its verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actions {
    /// Drop what exceeds.
    pub limit: Option<Limit>,
    /// Copies.
    pub mirror: Vec<Out>,
    /// Translations, with the zone that records each.
    pub nat: Vec<(u16, Nat)>,
    /// `set mark`: value and mask, value within mask; the mask as effective (reserved bits left out where they are in use).
    pub set_mark: Option<(u32, u32)>,
    /// `set label`.
    pub set_label: Option<(u128, u128)>,
    /// `commit force`.
    pub force: bool,
    /// `commit zone Z`.
    pub commit_zones: Vec<u16>,
    /// `helper`.
    pub helper: Option<Helper>,
    /// `clear`.
    pub clear: bool,
    /// `redirect to`.
    pub redirect: Option<Out>,
}

/// A rate, with the budget that may be spent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Bytes per second, and bytes.
    Bytes {
        /// Bytes per second.
        rate: u64,
        /// Bytes.
        burst: u32,
    },
    /// Packets per second, and packets.
    Packets {
        /// Packets per second.
        rate: u64,
        /// Packets.
        burst: u64,
    },
}

/// A translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nat {
    /// Which end.
    pub side: NatSide,
    /// First and last IPv4 address; `None` where the rule does not speak of IPv4.
    pub v4: Option<(Ipv4Addr, Ipv4Addr)>,
    /// First and last IPv6 address.
    pub v6: Option<(Ipv6Addr, Ipv6Addr)>,
    /// First and last port.
    pub ports: Option<(u16, u16)>,
}

/// Which end is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatSide {
    /// Source.
    Source,
    /// Destination.
    Destination,
}

/// A conntrack helper.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Helper {
    /// The kernel's name: `ftp`.
    pub name: String,
    /// IP protocol it works on.
    pub proto: u8,
}

/// A device to send to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Out {
    /// Its name.
    pub device: String,
    /// Into its ingress, not out of it.
    pub ingress: bool,
}

/// The seven things that flower can say of a packet's conntrack state; nothing else ever occurs (kernel-facts 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// Not been through conntrack.
    Untracked,
    /// First packet, or no reply yet.
    New,
    /// A reply was seen; original direction.
    Established,
    /// Reply direction.
    EstablishedReply,
    /// Related to a connection, original direction.
    Related,
    /// Related, reply direction.
    RelatedReply,
    /// Invalid.
    Invalid,
}

impl State {
    /// All, in order.
    pub const ALL: [Self; 7] = [
        Self::Untracked,
        Self::New,
        Self::Established,
        Self::EstablishedReply,
        Self::Related,
        Self::RelatedReply,
        Self::Invalid,
    ];

    /// Flower's bits for exactly this state.
    #[must_use]
    pub const fn bits(self) -> u16 {
        match self {
            Self::Untracked => 0,
            Self::New => k::TRK | k::NEW,
            Self::Established => k::TRK | k::EST,
            Self::EstablishedReply => k::TRK | k::EST | k::RPL,
            Self::Related => k::TRK | k::REL,
            Self::RelatedReply => k::TRK | k::REL | k::RPL,
            Self::Invalid => k::TRK | k::INV,
        }
    }

    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Untracked => "untracked",
            Self::New => "new",
            Self::Established => "established",
            Self::EstablishedReply => "established reply",
            Self::Related => "related",
            Self::RelatedReply => "related reply",
            Self::Invalid => "invalid",
        }
    }

    /// Whether the packet goes against the direction of its connection's first packet.
    #[must_use]
    pub const fn is_reply(self) -> bool {
        matches!(self, Self::EstablishedReply | Self::RelatedReply)
    }
}

/// A set of [`State`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateSet(pub u8);

impl StateSet {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// All seven.
    pub const ALL: Self = Self(0x7f);
    /// The six that a packet can have after a pass through conntrack.
    pub const TRACKED: Self = Self(0x7e);

    /// A set of these.
    #[must_use]
    pub fn of(states: &[State]) -> Self {
        Self(states.iter().fold(0, |bits, state| bits | 1 << *state as u8))
    }

    /// Whether it holds this state.
    #[must_use]
    pub const fn contains(self, state: State) -> bool {
        self.0 & (1 << state as u8) != 0
    }

    /// In both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// In either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// In neither.
    #[must_use]
    pub const fn not(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }

    /// Its states, in order.
    pub fn iter(self) -> impl Iterator<Item = State> {
        State::ALL.into_iter().filter(move |state| self.contains(*state))
    }
}
