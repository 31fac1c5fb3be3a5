//! The variables of a packet, in their order.
//!
//! First what splits packets into kinds (tag, ethertype, IP protocol, fragment), then the header's bits in the order of
//! [`Field`] (as letters: see [`Alphabet`]), then what conntrack says of it, last the budgets exceeded. So a list of rules that
//! act by state is one diagram of headers, with small diagrams of states in place of its leaves.
//! Ethertypes, IP protocols and devices are compared as wholes only, so they are numbered: one number for each that policy
//! or Program names, all others are one ("other").

use std::collections::{BTreeMap, BTreeSet};

use super::alphabet::Alphabet;
use super::diagram::Literal;
use crate::abi::{eth, ipproto};
use crate::emit::program::{Action, Attached, Ct, Filter};
use crate::field::table::FIELDS;
use crate::field::value::prefixes;
use crate::field::{Cond, Field};
use crate::ir::packet::device_value;
use crate::ir::policy::{Attach, Link, NatBits, State};

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

/// Values that are compared as wholes, numbered.
#[derive(Clone, Debug)]
pub struct Symbols {
    base: u32,
    width: u32,
    values: Vec<u128>,
}

impl Symbols {
    /// For values of a field of so many bits, `first` and `named` among them.
    fn new(base: u32, bits: u32, first: &[u128], named: &BTreeSet<u128>) -> Self {
        let mut values = first.to_vec();
        values.extend(named.iter().filter(|value| !first.contains(value)));
        // One number more than there are values, for all others; none where there are no others (`not udp` names all).
        let whole = u32::try_from(values.len()).ok() == 1u32.checked_shl(bits);
        let numbers = values.len() - usize::from(whole);
        let width = usize::BITS - numbers.leading_zeros();
        Self { base, width, values }
    }

    fn end(&self) -> u32 {
        self.base + self.width
    }

    /// The literals of this value; `None` for a value that was not named (it is one of the others).
    #[must_use]
    pub fn literals(&self, value: u128) -> Option<Vec<Literal>> {
        let number = self.values.iter().position(|known| *known == value)?;
        Some((0..self.width).map(|at| (self.base + at, number >> (self.width - 1 - at) & 1 == 1)).collect())
    }

    /// The variables that are set in a packet of this value.
    pub fn set(&self, value: u128) -> impl Iterator<Item = u32> {
        let number = self.values.iter().position(|known| *known == value).unwrap_or(self.values.len());
        (0..self.width).filter(move |at| number >> (self.width - 1 - at) & 1 == 1).map(|at| self.base + at)
    }

    /// The value of a packet with these bits; `None` for all others.
    pub fn value(&self, assigned: impl Fn(u32) -> bool) -> Option<u128> {
        let number = (0..self.width).fold(0, |number, at| number << 1 | usize::from(assigned(self.base + at)));
        self.values.get(number).copied()
    }

    /// The values named.
    #[must_use]
    pub fn values(&self) -> &[u128] {
        &self.values
    }
}

/// What policies and Programs speak of: which variables there are.
#[derive(Clone, Debug, Default)]
pub struct Names {
    ethertypes: BTreeSet<u128>,
    protos: BTreeSet<u128>,
    devices: BTreeSet<u128>,
    zones: BTreeSet<u16>,
    limits: BTreeSet<u32>,
    asked: BTreeMap<Field, BTreeSet<(u128, u128)>>,
}

/// ICMPv6 types that hold the link together: neighbour discovery and MLD.
pub const NEIGHBOUR_TALK: [u128; 8] = [130, 131, 132, 133, 134, 135, 136, 143];

impl Names {
    /// Adds what a policy names, and what its meaning asks besides.
    pub fn of_policy(&mut self, attach: &Attach, nat_bits: NatBits) {
        for kind in NEIGHBOUR_TALK {
            self.cond(Field::IcmpType, Cond::exact(Field::IcmpType, kind));
        }
        for mask in [nat_bits.snat, nat_bits.dnat, nat_bits.both()].map(u128::from) {
            self.cond(Field::CtMark, Cond::Bits { value: 0, mask });
            self.cond(Field::CtMark, Cond::Bits { value: mask, mask });
        }
        self.zones.extend(&attach.passes);
        for rule in attach.prefilter.iter().chain(&attach.rules) {
            self.zones.extend(
                rule.actions.nat.iter().map(|(zone, _)| *zone).chain(rule.actions.commit_zones.iter().copied()),
            );
            if rule.actions.limit.is_some() {
                self.limits.insert(rule.info.ident);
            }
            for (field, conds) in [(Field::CtMark, &rule.mark), (Field::CtLabel, &rule.label)] {
                conds.iter().flatten().for_each(|cond| self.cond(field, *cond));
            }
            for alt in &rule.alts {
                for id in alt.vlan.iter().flatten() {
                    self.cond(Field::VlanId, Cond::exact(Field::VlanId, (*id).into()));
                }
                if let Link::Ether(other) = alt.link {
                    self.ethertypes.insert(other.into());
                }
                self.devices.extend(alt.not_in.iter().map(|name| device_value(name)));
                for (field, conds) in &alt.sets {
                    for cond in conds {
                        self.cond(*field, *cond);
                    }
                }
            }
        }
    }

    /// Adds what the filters of a block name. `ident` is the rule of a filter.
    pub fn of_program(&mut self, attached: &Attached, ident: impl Fn(&Filter) -> Option<u32>) {
        let chains = std::iter::once(&attached.entry).chain(&attached.chains);
        for filter in chains.flat_map(|chain| &chain.filters) {
            self.ethertypes.insert(filter.protocol.into());
            filter.keys.iter().for_each(|key| self.cond(key.field, key.cond));
            for action in &filter.actions {
                match action {
                    Action::Ct(Ct::Track { zone, .. }, _) => {
                        self.zones.insert(*zone);
                    }
                    Action::Ct(Ct::Commit(commit), _) => {
                        self.zones.insert(commit.zone);
                    }
                    Action::Police(_) => self.limits.extend(ident(filter)),
                    _ => {}
                }
            }
        }
    }

    fn cond(&mut self, field: Field, cond: Cond) {
        let parts = match cond {
            Cond::Bits { value, mask } => vec![(value, mask)],
            Cond::Range { lo, hi } => prefixes(lo.into(), hi.into(), field.row().bits),
        };
        match field {
            Field::VlanEthType => self.ethertypes.extend(parts.iter().map(|(value, _)| value)),
            Field::IpProto => self.protos.extend(parts.iter().map(|(value, _)| value)),
            Field::InDev => self.devices.extend(parts.iter().map(|(value, _)| value)),
            _ => self.asked.entry(field).or_default().extend(parts),
        }
    }

    fn alphabet(&self, field: Field) -> Alphabet {
        let nothing = BTreeSet::new();
        Alphabet::new(field.row().bits, self.asked.get(&field).unwrap_or(&nothing))
    }
}

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
        let ethertypes = Symbols::new(Self::TAG + 1, u16::BITS, &always, &names.ethertypes);
        let always = [ipproto::TCP, ipproto::UDP, ipproto::ICMP, ipproto::ICMPV6, ipproto::SCTP].map(u128::from);
        let protos = Symbols::new(ethertypes.end(), u8::BITS, &always, &names.protos);
        let zones: Vec<u16> = names.zones.iter().copied().collect();
        let views = 1 + 2 * u32::try_from(zones.len()).unwrap_or_default();
        let devices = Symbols::new(protos.end() + 2, u32::BITS, &[], &names.devices);
        let mut next = devices.end();
        let mut shown = 1;
        let mut fields = Vec::with_capacity(FIELDS.len());
        for row in &FIELDS {
            let alphabet = names.alphabet(row.field);
            let at = if matches!(row.field, Field::CtMark | Field::CtLabel) { &mut shown } else { &mut next };
            let base = *at;
            *at += alphabet.width();
            fields.push((alphabet, base));
        }
        let states = next;
        next += views * STATE_BITS;
        let limits = names.limits.iter().copied().collect();
        let budgets = next + views * shown;
        Self { ethertypes, protos, devices, zones, limits, fields, states, views: next, view_width: shown, budgets }
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
