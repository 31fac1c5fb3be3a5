//! The variables of a packet, in their order.
//!
//! First what splits packets into kinds (tag, ethertype, IP protocol, fragment), then the header's bits (as letters: see
//! [`Alphabet`]) in the order of [`ORDER`], then what conntrack says of it, last the budgets exceeded. So a list of rules that
//! act by state is one diagram of headers, with small diagrams of states in place of its leaves.
//! Ethertypes, IP protocols and devices are compared as wholes only, so they are numbered: one number for each that policy
//! or Program names, all others are one ("other").

use super::alphabet::Alphabet;
use super::diagram::Literal;
use super::names::{Names, Symbols};
use crate::abi::{eth, ipproto};
use crate::field::Field;
use crate::field::table::FIELDS;
use crate::ir::policy::State;

/// Which lookup in conntrack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// None of ours: what the packet carries already.
    Carried,
    /// A pass through a zone.
    Pass {
        /// Which.
        zone: u16,
        /// Not the first through that zone.
        again: bool,
    },
}

/// States by the number in a view's three bits, after a pass. The first is what a diagram's way shows that does not ask.
pub const AFTER_PASS: [State; 8] = [
    State::New,
    State::Established,
    State::EstablishedReply,
    State::Related,
    State::RelatedReply,
    State::Invalid,
    State::Invalid,
    State::Invalid,
];

/// The same for what a packet carries.
pub const CARRIED: [State; 8] = [
    State::Untracked,
    State::New,
    State::Established,
    State::EstablishedReply,
    State::Related,
    State::RelatedReply,
    State::Invalid,
    State::Invalid,
];

/// The order of a header's fields. A port stands behind its address, the destination before the source: of the orders tried on
/// rule sets of the shapes of ClassBench's seeds, the one that never was far from the best (the plain order of the table takes
/// eight times the nodes for `fw1`, ports first three times for `ipc1`).
const ORDER: [Field; 15] = [
    Field::VlanId,
    Field::EthSrc,
    Field::EthDst,
    Field::Ipv4Dst,
    Field::Ipv6Dst,
    Field::DstPort,
    Field::Ipv4Src,
    Field::Ipv6Src,
    Field::SrcPort,
    Field::IcmpType,
    Field::IcmpCode,
    Field::TcpFlags,
    Field::IpTos,
    Field::IpTtl,
    Field::IpFlags,
];

/// Bits of a state.
const STATE_BITS: u32 = 3;

/// Levels of all variables.
#[derive(Clone, Debug)]
pub struct Vars {
    /// Ethertypes, behind the tag.
    pub ethertypes: Symbols,
    /// IP protocols.
    pub protos: Symbols,
    /// Arrival devices.
    pub devices: Symbols,
    zones: Vec<u16>,
    limits: Vec<u32>,
    /// Alphabet and first variable of each field; those of marks and labels are the same for all views.
    fields: Vec<(Alphabet, u32)>,
    /// Where each header field begins, and where the last ends, ascending.
    starts: Vec<u32>,
    states: u32,
    views: u32,
    /// Variables of a view behind its state: translated, mark, label.
    view_width: u32,
    budgets: u32,
}

impl Vars {
    /// Whether the frame has a tag.
    pub const TAG: u32 = 0;

    /// Variables for packets of everything named.
    #[must_use]
    pub fn new(names: &Names) -> Self {
        let always = [eth::P_IP, eth::P_IPV6, eth::P_ARP, eth::P_8021Q].map(u128::from);
        let ethertypes = Symbols::new(Self::TAG + 1, Field::VlanEthType.row().bits, &always, &names.ethertypes);
        let always = [ipproto::TCP, ipproto::UDP, ipproto::ICMP, ipproto::ICMPV6, ipproto::SCTP].map(u128::from);
        let protos = Symbols::new(ethertypes.end(), Field::IpProto.row().bits, &always, &names.protos);
        let zones: Vec<u16> = names.zones.iter().copied().collect();
        let views = 1 + 2 * u32::try_from(zones.len()).unwrap_or_default();
        let devices = Symbols::new(protos.end() + 2, Field::InDev.row().bits, &[], &names.devices);
        let mut next = devices.end();
        let mut shown = 1;
        let mut fields = Vec::with_capacity(FIELDS.len());
        for row in &FIELDS {
            let alphabet = names.alphabet(row.field);
            let width = alphabet.width();
            fields.push((alphabet, 0));
            if matches!(row.field, Field::CtMark | Field::CtLabel) {
                if let Some((_, base)) = fields.last_mut() {
                    *base = shown;
                }
                shown += width;
            }
        }
        let mut starts = Vec::with_capacity(ORDER.len() + 1);
        for field in ORDER {
            if let Some((alphabet, base)) = fields.get_mut(field as usize) {
                *base = next;
                starts.push(next);
                next += alphabet.width();
            }
        }
        let states = next;
        starts.push(states);
        next += views * STATE_BITS;
        let limits = names.limits.iter().copied().collect();
        let budgets = next + views * shown;
        Self {
            ethertypes,
            protos,
            devices,
            zones,
            limits,
            fields,
            starts,
            states,
            views: next,
            view_width: shown,
            budgets,
        }
    }

    /// Whether the packet is a piece of a datagram; the next level says, of pieces, whether it is the first.
    #[must_use]
    pub fn fragment(&self) -> u32 {
        self.protos.end()
    }

    /// Alphabet and first variable of a header field.
    #[must_use]
    pub fn field(&self, field: Field) -> Option<(&Alphabet, u32)> {
        self.fields.get(field as usize).map(|(alphabet, base)| (alphabet, *base))
    }

    /// The first level behind the header: what conntrack says stands there.
    #[must_use]
    pub fn behind_header(&self) -> u32 {
        self.states
    }

    /// The first level behind the field that has this level; all that stands before the fields counts as one.
    #[must_use]
    pub fn field_end(&self, level: u32) -> u32 {
        let at = self.starts.partition_point(|start| *start <= level);
        self.starts.get(at).copied().unwrap_or(u32::MAX)
    }

    /// Zones named.
    #[must_use]
    pub fn zones(&self) -> &[u16] {
        &self.zones
    }

    /// Level of the highest of a view's three bits of state.
    #[must_use]
    pub fn state(&self, view: View) -> u32 {
        self.states + self.number(view) * STATE_BITS
    }

    /// Level of "a translation is on record".
    #[must_use]
    pub fn translated(&self, view: View) -> u32 {
        self.views + self.number(view) * self.view_width
    }

    /// Alphabet and first variable of a view's mark (`CtMark`) or label.
    #[must_use]
    pub fn info(&self, view: View, field: Field) -> Option<(&Alphabet, u32)> {
        let (alphabet, base) = self.field(field)?;
        Some((alphabet, self.translated(view) + base))
    }

    /// All levels of a view but those of its state.
    #[must_use]
    pub fn infos(&self, view: View) -> std::ops::Range<u32> {
        let first = self.translated(view);
        first..first + self.view_width
    }

    /// Level of "the packet exceeds this rule's budget".
    #[must_use]
    pub fn exceeds(&self, ident: u32) -> u32 {
        let at = self.limits.partition_point(|known| *known < ident);
        self.budgets + u32::try_from(at).unwrap_or(u32::MAX / 2)
    }

    /// That a packet exceeds no budget.
    #[must_use]
    pub fn within_limits(&self) -> Vec<Literal> {
        self.limits.iter().map(|ident| (self.exceeds(*ident), false)).collect()
    }

    /// Rules with a budget.
    #[must_use]
    pub fn limits(&self) -> &[u32] {
        &self.limits
    }

    fn number(&self, view: View) -> u32 {
        let View::Pass { zone, again } = view else { return 0 };
        let at = self.zones.partition_point(|known| *known < zone);
        1 + 2 * u32::try_from(at).unwrap_or(u32::MAX / 2) + u32::from(again)
    }
}

/// States by number of a view's three bits.
#[must_use]
pub fn states_of(view: View) -> &'static [State; 8] {
    if view == View::Carried { &CARRIED } else { &AFTER_PASS }
}
