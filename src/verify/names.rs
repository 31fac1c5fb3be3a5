//! What policies and Programs speak of: the values that variables must tell apart.

use std::collections::{BTreeMap, BTreeSet};

use super::alphabet::Alphabet;
use super::diagram::Literal;
use crate::abi::{eth, ipproto};
use crate::emit::program::{Action, Attached, Ct, Filter};
use crate::field::value::prefixes;
use crate::field::{Cond, Field};
use crate::ir::packet::device_value;
use crate::ir::policy::{Attach, Link, NatBits};

/// Values that are compared as wholes, numbered.
#[derive(Clone, Debug)]
pub struct Symbols {
    base: u32,
    width: u32,
    values: Vec<u128>,
}

impl Symbols {
    pub(super) fn new(base: u32, bits: u8, first: &[u128], named: &BTreeSet<u128>) -> Self {
        let mut values = first.to_vec();
        values.extend(named.iter().filter(|value| !first.contains(value)));
        // One number more than there are values, for all others, if there are others.
        let width = (usize::BITS - values.len().leading_zeros()).min(bits.into());
        Self { base, width, values }
    }

    pub(super) fn end(&self) -> u32 {
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

    /// Its variables.
    #[must_use]
    pub fn levels(&self) -> std::ops::Range<u32> {
        self.base..self.end()
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
    pub(super) ethertypes: BTreeSet<u128>,
    pub(super) protos: BTreeSet<u128>,
    pub(super) devices: BTreeSet<u128>,
    pub(super) zones: BTreeSet<u16>,
    pub(super) limits: BTreeSet<u32>,
    asked: BTreeMap<Field, BTreeSet<(u128, u128)>>,
}

/// ICMPv6 types that hold the link together: neighbour discovery and MLD.
pub const NEIGHBOUR_TALK: [u128; 8] = [130, 131, 132, 133, 134, 135, 136, 143];

/// For each family the types of errors, which conntrack shows as related to a connection or as invalid, and of answers, which begin no
/// connection (`nf_conntrack_icmpv4_error` and `valid_new` in `net/netfilter/nf_conntrack_proto_icmp.c`; the same for ICMPv6).
pub const ICMP_KINDS: [(u16, u8, &[Cond], &[Cond]); 2] = [
    (
        eth::P_IP,
        ipproto::ICMP,
        &[icmp(3), icmp(4), icmp(5), icmp(11), icmp(12)],
        &[icmp(0), icmp(14), icmp(16), icmp(18)],
    ),
    (eth::P_IPV6, ipproto::ICMPV6, &[Cond::Bits { value: 0, mask: 0x80 }], &[icmp(129)]),
];

const fn icmp(kind: u128) -> Cond {
    Cond::Bits { value: kind, mask: 0xff }
}

impl Names {
    /// Adds the types of ICMP that conntrack tells apart.
    pub fn icmp_kinds(&mut self) {
        for (_, _, errors, answers) in ICMP_KINDS {
            errors.iter().chain(answers).for_each(|cond| self.cond(Field::IcmpType, *cond));
        }
    }

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
        for rule in attach.all_rules() {
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
            for action in filter.actions.iter() {
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

    pub(super) fn cond(&mut self, field: Field, cond: Cond) {
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

    pub(super) fn alphabet(&self, field: Field) -> Alphabet {
        let nothing = BTreeSet::new();
        Alphabet::new(field.row().bits, self.asked.get(&field).unwrap_or(&nothing))
    }
}
