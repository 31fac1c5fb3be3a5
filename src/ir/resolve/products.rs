//! The conditions of an alternative: every field must satisfy one of its conditions.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::protocol::Protocols;
use super::service::PORT_PROTOCOLS;
use super::shared::Shared;
use crate::abi::ipproto;
use crate::field::value::{Intervals, ones, prefixes};
use crate::field::{Cond, Conds, Field};
use crate::ir::packet::device_value;
use crate::ir::policy::{Alt, Link};

/// Conditions, field by field.
type Sets = Vec<(Field, Conds)>;

/// Conditions on fields that any protocol has.
fn common(draft: &Draft, link: Option<Link>, shared: &mut Shared) -> Sets {
    let mut sets = Vec::new();
    if let Some((devices, _)) = draft.arrival.as_ref().filter(|(devices, _)| !devices.negated) {
        let conds = devices.names.iter().map(|name| Cond::exact(Field::InDev, device_value(name)));
        sets.push((Field::InDev, conds.collect()));
    }
    prefix_set(&mut sets, Field::EthSrc, draft.smac.as_ref().map(|(macs, _)| macs), 0, shared);
    prefix_set(&mut sets, Field::EthDst, draft.dmac.as_ref().map(|(macs, _)| macs), 0, shared);
    let (src, dst) = (draft.src.as_ref().map(|(addrs, _)| addrs), draft.dst.as_ref().map(|(addrs, _)| addrs));
    match link {
        Some(Link::Ip4) => {
            prefix_set(&mut sets, Field::Ipv4Src, src.map(|addrs| &addrs.v4), 0, shared);
            prefix_set(&mut sets, Field::Ipv4Dst, dst.map(|addrs| &addrs.v4), 0, shared);
        }
        Some(Link::Ip6) => {
            prefix_set(&mut sets, Field::Ipv6Src, src.map(|addrs| &addrs.v6), 0, shared);
            prefix_set(&mut sets, Field::Ipv6Dst, dst.map(|addrs| &addrs.v6), 0, shared);
        }
        Some(Link::Ether(_)) | None => return sets,
    }
    prefix_set(&mut sets, Field::IpTos, draft.dscp.as_ref().map(|(classes, _)| classes), 2, shared);
    prefix_set(&mut sets, Field::IpTtl, draft.ttl.as_ref().map(|(ttls, _)| ttls), 0, shared);
    if let Some((pieces, _)) = &draft.fragment {
        sets.push((Field::IpFlags, super::masked::conditions(pieces).into()));
    }
    sets
}

/// Adds the fewest prefixes that make up the set; nothing where it is everything. The value stands `shift` bits up in the field.
fn prefix_set(sets: &mut Sets, field: Field, values: Option<&Intervals>, shift: u8, shared: &mut Shared) {
    let Some(values) = values else { return };
    let bits = field.row().bits - shift;
    if values.list() == [(0, ones(bits))] {
        return;
    }
    let conds = || {
        let mut conds = Vec::with_capacity(values.list().len());
        for (lo, hi) in values.list() {
            if lo == hi {
                conds.push(Cond::Bits { value: lo << shift, mask: ones(bits) << shift });
            } else {
                let cond = |(value, mask)| Cond::Bits { value: value << shift, mask: mask << shift };
                conds.extend(prefixes(*lo, *hi, bits).into_iter().map(cond));
            }
        }
        conds
    };
    sets.push((field, shared.of(field, values, conds)));
}

/// Keeps no room to spare: there may be a hundred thousand alternatives.
fn finish(draft: &Draft, link: Link, mut sets: Sets) -> Alt {
    sets.sort_by_key(|(field, _)| *field);
    sets.shrink_to_fit();
    let vlan = draft.vlan.as_ref().map(|(ids, _)| {
        let numbers = ids.list().iter().flat_map(|(lo, hi)| *lo..=*hi);
        numbers.filter_map(|id| u16::try_from(id).ok()).collect()
    });
    let not_in = draft.arrival.as_ref().filter(|(devices, _)| devices.negated);
    let not_in = not_in.map(|(devices, _)| devices.names.iter().cloned().collect()).unwrap_or_default();
    Alt { link, vlan, not_in, sets }
}

/// The alternative of an ethertype that is not IP.
pub fn ether(draft: &Draft, ethertype: u16, shared: &mut Shared) -> Alt {
    finish(draft, Link::Ether(ethertype), common(draft, None, shared))
}

/// Adds one alternative for all protocols without conditions of their own, one or more for each other protocol.
pub fn ip(draft: &Draft, link: Link, protocols: Protocols, shared: &mut Shared, alts: &mut Vec<Alt>) {
    let only = |protocol: u8, shared: &mut Shared| (Field::IpProto, shared.exact(Field::IpProto, protocol.into()));
    let messages = match link {
        Link::Ip4 => draft.icmp.as_ref().map(|(messages, _)| (ipproto::ICMP, messages)),
        _ => draft.icmp6.as_ref().map(|(messages, _)| (ipproto::ICMPV6, messages)),
    };
    let mut rest = protocols;
    let mut products: Vec<(u8, Sets)> = Vec::new();
    for (protocol, messages) in messages.into_iter().filter(|(icmp, _)| protocols.contains(*icmp)) {
        rest = rest.and(Protocols::one(protocol).complement());
        let parts = message_sets(messages, shared);
        products.extend(parts.into_iter().map(|part| (protocol, [vec![only(protocol, shared)], part].concat())));
    }
    for protocol in PORT_PROTOCOLS.into_iter().filter(|protocol| protocols.contains(*protocol)) {
        let sets = transport(draft, protocol, only(protocol, shared), shared);
        // More than the protocol itself.
        if sets.len() > 1 {
            rest = rest.and(Protocols::one(protocol).complement());
            products.push((protocol, sets));
        }
    }
    products.sort_by_key(|(protocol, _)| *protocol);
    if rest == Protocols::ALL {
        products.insert(0, (0, Vec::new()));
    } else if !rest.is_empty() {
        let conds = rest.iter().map(|protocol| Cond::exact(Field::IpProto, protocol.into())).collect();
        products.insert(0, (0, vec![(Field::IpProto, conds)]));
    }
    let base = common(draft, Some(link), shared);
    let last = products.pop();
    for (_, mut sets) in products {
        sets.extend_from_slice(&base);
        alts.push(finish(draft, link, sets));
    }
    // Most rules have but one product, which needs no copy.
    if let Some((_, mut sets)) = last {
        sets.extend(base);
        alts.push(finish(draft, link, sets));
    }
}

/// Protocol, ports and flags of TCP, UDP or SCTP.
fn transport(draft: &Draft, protocol: u8, proto: (Field, Conds), shared: &mut Shared) -> Sets {
    let mut sets = vec![proto];
    let service = draft.service.as_ref().and_then(|(service, _)| service.ports_of(protocol));
    let dport = match (draft.dport.as_ref().map(|(ports, _)| ports), service) {
        (Some(asked), Some(service)) => Some(asked.intersect(service)),
        (asked, service) => asked.or(service).cloned(),
    };
    let sport = draft.sport.as_ref().map(|(ports, _)| ports);
    let (sport, dport) = ports(sport, dport.as_ref(), shared);
    sets.extend(sport.map(|conds| (Field::SrcPort, conds)));
    sets.extend(dport.map(|conds| (Field::DstPort, conds)));
    if let Some((pieces, _)) = draft.flags.as_ref().filter(|_| protocol == ipproto::TCP) {
        sets.push((Field::TcpFlags, super::masked::conditions(pieces).into()));
    }
    sets
}

/// Conditions on both ports. A filter with a range at one end and a single value at the other matches wrongly on kernels before 2025 (the
/// flow dissector fills one of the two keys only), so with ports at both ends ranges become masked values, unless there are only ranges.
/// A range from 0 is no range either: `tc` reads its lowest port as missing (iproute2 6.1, flower_parse_port).
fn ports(src: Option<&Intervals>, dst: Option<&Intervals>, shared: &mut Shared) -> (Option<Conds>, Option<Conds>) {
    let whole = |ports: &&Intervals| ports.list() != [(0, ones(16))];
    let (src, dst) = (src.filter(whole), dst.filter(whole));
    let ranges = |ports: &Intervals| ports.list().iter().filter(|(lo, hi)| lo != hi && *lo > 0).count();
    let masks = match (src, dst) {
        (Some(src), Some(dst)) => {
            let all = src.list().len() + dst.list().len();
            let some = ranges(src) + ranges(dst);
            some > 0 && some < all
        }
        _ => false,
    };
    let mut conds = |field, ports: &Intervals| {
        let make = || ports.list().iter().flat_map(|(lo, hi)| port_conds(*lo, *hi, masks)).collect();
        if masks { Conds::from(make()) } else { shared.of(field, ports, make) }
    };
    (src.map(|ports| conds(Field::SrcPort, ports)), dst.map(|ports| conds(Field::DstPort, ports)))
}

fn port_conds(lo: u128, hi: u128, masks: bool) -> Vec<Cond> {
    match (u16::try_from(lo), u16::try_from(hi)) {
        (Ok(lo), Ok(hi)) if lo == hi => vec![Cond::Bits { value: lo.into(), mask: ones(16) }],
        (Ok(lo), Ok(hi)) if lo > 0 && !masks => vec![Cond::Range { lo, hi }],
        _ => prefixes(lo, hi, 16).into_iter().map(|(value, mask)| Cond::Bits { value, mask }).collect(),
    }
}

/// Types with the same codes, and those codes.
type MessageGroup<'m> = (Vec<(u128, u128)>, &'m Intervals);

/// Type and code conditions: one product for all types with the same codes.
fn message_sets(messages: &super::icmp::Messages, shared: &mut Shared) -> Vec<Sets> {
    let mut by_codes: BTreeMap<&[(u128, u128)], MessageGroup<'_>> = BTreeMap::new();
    for (kind, codes) in messages {
        let kind = u128::from(*kind);
        by_codes.entry(codes.list()).or_insert_with(|| (Vec::new(), codes)).0.push((kind, kind));
    }
    let mut products: Vec<_> = by_codes
        .into_values()
        .map(|(types, codes)| {
            let mut sets = Vec::new();
            prefix_set(&mut sets, Field::IcmpType, Some(&Intervals::new(types)), 0, shared);
            prefix_set(&mut sets, Field::IcmpCode, Some(codes), 0, shared);
            sets
        })
        .collect();
    products.sort();
    products
}
