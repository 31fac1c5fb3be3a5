//! Random packets, aimed at the edges of a policy's rules.

use std::collections::{BTreeMap, BTreeSet};

use ctpolicy::abi::{eth, ipproto};
use ctpolicy::field::{Cond, Field};
use ctpolicy::ir::outcome::is_icmp;
use ctpolicy::ir::packet::{CtView, Fragment, Packet};
use ctpolicy::ir::policy::{Alt, Attach, Hook, Link, NatBits, Policy, Rule, State};

use crate::policies::{DEVICES, ETHERTYPES, VLANS, conds};
use crate::rng::Rng;

/// The same packet where it arrives at a device of the block: on ingress, no others do.
pub fn arrived(mut packet: Packet, attach: &Attach) -> Packet {
    if attach.hook == Hook::Ingress {
        packet.device.clone_from(&attach.devices[0]);
    }
    packet
}

const INVALID: CtView = CtView { state: State::Invalid, mark: 0, label: 0, translated: false };

/// A packet for this block: most often one that nearly fits one of its rules.
pub fn packet(rng: &mut Rng, policy: &Policy, block: usize) -> Packet {
    let attach = &policy.attaches[block];
    let all: Vec<&Rule> = attach.all_rules().collect();
    let rule = if all.is_empty() || rng.chance(15) { None } else { Some(*rng.pick(&all)) };
    let alt = rule.map(|rule| rng.pick(&rule.alts).clone());
    let ethertype = match alt.as_ref().map(|alt| alt.link) {
        _ if rng.chance(5) => *rng.pick(&[eth::P_IP, eth::P_IPV6, eth::P_ARP, 0x88cc, eth::P_8021Q]),
        None if rng.chance(10) => *rng.pick(&ETHERTYPES),
        None => *rng.pick(&[eth::P_IP, eth::P_IPV6]),
        Some(Link::Ip4) => eth::P_IP,
        Some(Link::Ip6) => eth::P_IPV6,
        Some(Link::Ether(other)) => other,
    };
    let mut packet = Packet::new(ethertype, DEVICES[rng.below(DEVICES.len())], &[]);
    packet.vlan = match alt.as_ref().and_then(|alt| alt.vlan.as_ref()) {
        _ if rng.chance(6) => Some(*rng.pick(&[0, 1, 100, 200, 4094])),
        Some(ids) if rng.chance(90) => Some(*rng.pick(ids)),
        _ => rng.chance(4).then(|| *rng.pick(&VLANS)),
    };
    if packet.is_ip() && rng.chance(12) {
        packet.fragment = Some(*rng.pick(&[Fragment::First, Fragment::Later]));
    }
    packet.fields = fields(rng, ethertype, alt.as_ref());
    if let Some(Cond::Bits { value, .. }) = set(alt.as_ref(), Field::InDev).first() {
        let name = value.to_be_bytes();
        String::from_utf8_lossy(&name).trim_end_matches('\0').clone_into(&mut packet.device);
    }
    let multicast_talk = ethertype == eth::P_IPV6
        && packet.fields.get(&Field::IpProto) == Some(&u128::from(ipproto::ICMPV6))
        && matches!(packet.fields.get(&Field::IcmpType), Some(130..=136 | 143));
    for zone in zones(attach) {
        let own = rule.filter(|rule| attach.passes.get(rule.pass) == Some(&zone));
        let mut view = view(rng, policy.nat_bits, own);
        if multicast_talk {
            view = INVALID;
        }
        packet.zones.insert(zone, view);
        if rng.chance(30) && !multicast_talk {
            packet.again.insert(zone, self::view(rng, policy.nat_bits, own));
        }
    }
    if is_icmp(&packet) && !multicast_talk {
        as_icmp(rng, &mut packet);
    }
    if attach.hook == Hook::Egress && packet.is_ip() && rng.chance(30) {
        packet.carried = Some(view(rng, policy.nat_bits, None));
    }
    packet.exceeds = all.iter().filter(|r| r.actions.limit.is_some() && rng.chance(30)).map(|r| r.info.ident).collect();
    packet
}

/// An ICMP error is related or invalid in every zone, other ICMP is neither related nor (here) a helper's, and an answer begins nothing.
fn as_icmp(rng: &mut Rng, packet: &mut Packet) {
    let kind = packet.fields.get(&Field::IcmpType).copied();
    let v6 = packet.ethertype == eth::P_IPV6;
    let error = if v6 { matches!(kind, Some(0..=127)) } else { matches!(kind, Some(3 | 4 | 5 | 11 | 12)) };
    let answer = if v6 { kind == Some(129) } else { matches!(kind, Some(0 | 14 | 16 | 18)) };
    let related = |state: State| matches!(state, State::Related | State::RelatedReply);
    for view in packet.zones.values_mut().chain(packet.again.values_mut()) {
        if error && !related(view.state) {
            *view = if rng.chance(30) { INVALID } else { CtView { state: State::RelatedReply, ..*view } };
        } else if !error && (related(view.state) || (answer && view.state == State::New)) {
            let states = [State::Established, State::EstablishedReply, State::New];
            view.state = *rng.pick(&states[..if answer { 2 } else { 3 }]);
        }
    }
}

/// The zones that a block's rules speak of.
fn zones(attach: &Attach) -> BTreeSet<u16> {
    let actions = || attach.rules.iter().map(|rule| &rule.actions);
    let translating = actions().flat_map(|actions| &actions.nat).map(|(zone, _)| *zone);
    let named = actions().flat_map(|actions| &actions.commit_zones).copied();
    attach.passes.iter().copied().chain(translating).chain(named).collect()
}

fn set(alt: Option<&Alt>, field: Field) -> &[Cond] {
    let sets = alt.map_or(&[][..], |alt| &alt.sets);
    sets.iter().find(|(other, _)| *other == field).map_or(&[], |(_, conds)| conds)
}

/// All headers that such a packet has.
fn fields(rng: &mut Rng, ethertype: u16, alt: Option<&Alt>) -> BTreeMap<Field, u128> {
    let mut list = BTreeMap::new();
    let mut put = |rng: &mut Rng, field: Field| {
        let wanted = set(alt, field);
        let value = if wanted.is_empty() || rng.chance(8) { any(rng, field) } else { edge(rng, field, wanted) };
        list.insert(field, value & field.row().full_mask());
        value
    };
    put(rng, Field::EthSrc);
    put(rng, Field::EthDst);
    let icmp = match ethertype {
        eth::P_IP => {
            put(rng, Field::Ipv4Src);
            put(rng, Field::Ipv4Dst);
            ipproto::ICMP
        }
        eth::P_IPV6 => {
            put(rng, Field::Ipv6Src);
            put(rng, Field::Ipv6Dst);
            ipproto::ICMPV6
        }
        _ => return list,
    };
    put(rng, Field::IpTos);
    put(rng, Field::IpTtl);
    let protos = [ipproto::TCP, ipproto::UDP, ipproto::SCTP, ipproto::GRE, ipproto::ICMP, ipproto::ICMPV6];
    let proto = match set(alt, Field::IpProto) {
        [] => u128::from(*rng.pick(&protos)),
        _ if rng.chance(6) => u128::from(*rng.pick(&protos)),
        wanted => match rng.pick(wanted) {
            Cond::Bits { value, .. } => *value,
            Cond::Range { lo, .. } => u128::from(*lo),
        },
    };
    let number = u8::try_from(proto).unwrap();
    if matches!(number, ipproto::TCP | ipproto::UDP | ipproto::SCTP) {
        put(rng, Field::SrcPort);
        put(rng, Field::DstPort);
    }
    if number == ipproto::TCP {
        put(rng, Field::TcpFlags);
    }
    if number == icmp {
        put(rng, Field::IcmpType);
        put(rng, Field::IcmpCode);
    }
    list.insert(Field::IpProto, proto);
    list
}

/// Any value that the universe's conditions speak of.
fn any(rng: &mut Rng, field: Field) -> u128 {
    let all = conds(field);
    if all.is_empty() { u128::from(rng.next()) } else { edge(rng, field, &all) }
}

/// A value at the edge of one of these conditions: just inside, or now and then just outside.
fn edge(rng: &mut Rng, field: Field, wanted: &[Cond]) -> u128 {
    let full = field.row().full_mask();
    let noise = (u128::from(rng.next()) << 64 | u128::from(rng.next())) & full;
    match *rng.pick(wanted) {
        Cond::Range { lo, hi } => {
            let (lo, hi) = (u128::from(lo), u128::from(hi));
            *rng.pick(&[lo, hi, lo, hi, lo.saturating_sub(1), (hi + 1).min(full), u128::midpoint(lo, hi)])
        }
        Cond::Bits { value, mask } => match rng.below(8) {
            // One masked bit is wrong.
            0 => value ^ (1u128 << rng.below(usize::from(field.row().bits))),
            1 | 2 => value,
            3 => value | (full & !mask),
            4 => value.wrapping_sub(1) & full,
            _ => value | (noise & !mask),
        },
    }
}

/// What a zone says; near what the rule asks if there is one.
fn view(rng: &mut Rng, bits: NatBits, rule: Option<&Rule>) -> CtView {
    let tracked = &State::ALL[1..];
    let states: Vec<State> = rule.map_or(tracked.to_vec(), |rule| rule.states.iter().collect());
    let states: Vec<State> = states.into_iter().filter(|state| *state != State::Untracked).collect();
    let state = if states.is_empty() || rng.chance(25) { *rng.pick(tracked) } else { *rng.pick(&states) };
    if state == State::Invalid {
        return INVALID;
    }
    let near = |rng: &mut Rng, field: Field, wanted: Option<&Vec<Cond>>| match wanted {
        Some(wanted) if rng.chance(80) => edge(rng, field, wanted),
        _ if rng.chance(40) => 0,
        _ => any(rng, field),
    };
    let mark = near(rng, Field::CtMark, rule.and_then(|rule| rule.mark.as_ref()));
    let translated = *rng.pick(&[0, bits.dnat, bits.snat, bits.both()]);
    let label = near(rng, Field::CtLabel, rule.and_then(|rule| rule.label.as_ref()));
    // The reserved bits tell of a translation; one that no rule of ours asked for tells nothing.
    let known = translated != 0 || (state != State::Related && rng.chance(20));
    CtView { state, mark: (u32::try_from(mark).unwrap() & !bits.both()) | translated, label, translated: known }
}
