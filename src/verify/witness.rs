//! A way through a diagram as a packet that goes it, and a packet as the way that it goes.

use std::collections::{BTreeMap, BTreeSet};

use super::alphabet::Alphabet;
use super::diagram::Literal;
use super::names::Symbols;
use super::vars::{Vars, View, states_of};
use crate::abi::{eth, ipproto};
use crate::field::Field;
use crate::ir::packet::{CtView, Fragment, Packet, device_value};
use crate::ir::policy::{Attach, State};

/// Values of the fields where a way does not say: documentation addresses (RFC 5737, RFC 3849, RFC 7042).
const PLAIN: [(Field, u128); 11] = [
    (Field::EthSrc, 0x0000_5e00_5301),
    (Field::EthDst, 0x0000_5e00_5302),
    (Field::Ipv4Src, 0xc633_6407),
    (Field::Ipv4Dst, 0xc000_020a),
    (Field::Ipv6Src, 0x2001_0db8_0000_0000_0000_0000_0000_0007),
    (Field::Ipv6Dst, 0x2001_0db8_0000_0001_0000_0000_0000_000a),
    (Field::SrcPort, 40_000),
    (Field::DstPort, 80),
    (Field::TcpFlags, 0x02),
    (Field::IcmpType, 8),
    (Field::IpTtl, 64),
];

/// The value that a packet has in this field where nothing asks.
#[must_use]
pub fn usual(field: Field) -> u128 {
    PLAIN.iter().find(|(known, _)| *known == field).map_or(0, |(_, value)| *value)
}

/// Values that people know, the best first: documentation addresses, else private ones, and common ports.
const FRIENDLY: [(Field, &[u128]); 6] = [
    (Field::Ipv4Src, &[0xc633_6407, 0xc000_0207, 0xcb00_7107, 0x0a00_0007, 0xac10_0007, 0xc0a8_0007]),
    (Field::Ipv4Dst, &[0xc000_020a, 0xc633_640a, 0xcb00_710a, 0x0a00_000a, 0xac10_000a, 0xc0a8_000a]),
    (Field::Ipv6Src, &[0x2001_0db8 << 96 | 7, 0x2001_0db8 << 96 | 1 << 64 | 7, 0xfd00 << 112 | 7]),
    (Field::Ipv6Dst, &[0x2001_0db8 << 96 | 1 << 64 | 0xa, 0x2001_0db8 << 96 | 0xa, 0xfd00 << 112 | 0xa]),
    (Field::SrcPort, &[40_000, 1024, 123, 53, 1]),
    (Field::DstPort, &[80, 443, 22, 53, 8080, 40_000, 1]),
];

/// The packet with values that people know, and without what need not be said, where it still is what is looked for.
#[must_use]
pub fn friendly(mut packet: Packet, is_one: impl Fn(&Packet) -> bool) -> Packet {
    let kinds: &[u128] = if packet.ethertype == eth::P_IPV6 { &[128, 1] } else { &[8, 3] };
    for (field, values) in FRIENDLY.into_iter().chain([(Field::IcmpType, kinds)]) {
        let Some(known) = packet.fields.get(&field).copied() else { continue };
        // Those before its own value are better.
        for value in values.iter().take_while(|value| **value != known) {
            packet.fields.insert(field, *value);
            if is_one(&packet) {
                break;
            }
            packet.fields.insert(field, known);
        }
    }
    // A second pass that shows what the first did is not worth a word.
    for zone in packet.again.keys().copied().collect::<Vec<u16>>() {
        let mut once = packet.clone();
        once.again.remove(&zone);
        if is_one(&once) {
            packet = once;
        }
    }
    packet
}

/// A packet that goes this way.
#[must_use]
pub fn packet(vars: &Vars, way: &[Literal], attach: &Attach) -> Packet {
    let way: BTreeMap<u32, bool> = way.iter().copied().collect();
    let set = |level: u32| way.get(&level) == Some(&true);
    let ethertype = symbol(&vars.ethertypes, &set, 0x88b5..=0xffff);
    let ethertype = u16::try_from(ethertype).unwrap_or_default();
    let mut packet = Packet::new(ethertype, &device(vars, &way, attach), &[]);
    let field = |field: Field| {
        let plain = usual(field);
        let value = |(alphabet, base): (&Alphabet, u32)| alphabet.value(base, plain, |level| way.get(&level).copied());
        vars.field(field).map_or(plain, value)
    };
    if set(Vars::TAG) {
        packet.vlan = u16::try_from(field(Field::VlanId)).ok();
    }
    let proto = symbol(&vars.protos, &set, 143..=254);
    if packet.is_ip() {
        packet.fields.insert(Field::IpProto, proto);
        if set(vars.fragment()) {
            packet.fragment = Some(if set(vars.fragment() + 1) { Fragment::First } else { Fragment::Later });
        }
        packet.carried = Some(view(vars, View::Carried, &way)).filter(|view| view.state != State::Untracked);
        for zone in vars.zones() {
            packet.zones.insert(*zone, view(vars, View::Pass { zone: *zone, again: false }, &way));
            let again = View::Pass { zone: *zone, again: true };
            if asked(vars, again, &way) {
                packet.again.insert(*zone, view(vars, again, &way));
            }
        }
    }
    for name in header(ethertype, proto) {
        packet.fields.insert(*name, field(*name));
    }
    packet.exceeds = vars.limits().iter().copied().filter(|ident| set(vars.exceeds(*ident))).collect();
    packet
}

/// Fields of a packet besides its IP protocol.
fn header(ethertype: u16, proto: u128) -> impl Iterator<Item = &'static Field> {
    const LINK: &[Field] = &[Field::EthSrc, Field::EthDst];
    const V4: &[Field] = &[Field::Ipv4Src, Field::Ipv4Dst, Field::IpTos, Field::IpTtl];
    const V6: &[Field] = &[Field::Ipv6Src, Field::Ipv6Dst, Field::IpTos, Field::IpTtl];
    const PORTS: &[Field] = &[Field::SrcPort, Field::DstPort];
    const TCP: &[Field] = &[Field::SrcPort, Field::DstPort, Field::TcpFlags];
    const ICMP: &[Field] = &[Field::IcmpType, Field::IcmpCode];
    let (network, icmp) = match ethertype {
        eth::P_IP => (V4, ipproto::ICMP),
        eth::P_IPV6 => (V6, ipproto::ICMPV6),
        _ => (&[][..], 0),
    };
    let transport = match u8::try_from(proto) {
        _ if network.is_empty() => &[][..],
        Ok(ipproto::TCP) => TCP,
        Ok(ipproto::UDP | ipproto::SCTP) => PORTS,
        Ok(other) if other == icmp => ICMP,
        _ => &[],
    };
    LINK.iter().chain(network).chain(transport)
}

/// A symbol's value; for "other", the first of these that is not named.
fn symbol(symbols: &Symbols, set: &impl Fn(u32) -> bool, others: std::ops::RangeInclusive<u128>) -> u128 {
    let other = || others.clone().find(|value| !symbols.values().contains(value));
    symbols.value(set).or_else(other).unwrap_or_default()
}

fn device(vars: &Vars, way: &BTreeMap<u32, bool>, attach: &Attach) -> String {
    let set = |level: u32| way.get(&level) == Some(&true);
    let first = || attach.devices.first().cloned().unwrap_or_else(|| "eth0".to_owned());
    if vars.devices.values().is_empty() {
        return first();
    }
    let name = |value: u128| String::from_utf8_lossy(&value.to_be_bytes()).trim_end_matches('\0').to_owned();
    let named: Vec<String> = vars.devices.values().iter().copied().map(name).collect();
    let own = || attach.devices.iter().find(|own| !named.contains(own)).cloned();
    let other = || (0..=named.len()).map(|at| format!("other{at}")).find(|other| !named.contains(other));
    vars.devices.value(set).map(name).or_else(own).or_else(other).unwrap_or_else(first)
}

/// Whether the way asks anything of this view.
fn asked(vars: &Vars, view: View, way: &BTreeMap<u32, bool>) -> bool {
    let state = vars.state(view);
    way.range(state..state + 3).chain(way.range(vars.infos(view))).next().is_some()
}

fn view(vars: &Vars, view: View, way: &BTreeMap<u32, bool>) -> CtView {
    let set = |level: u32| way.get(&level) == Some(&true);
    let base = vars.state(view);
    let number = (base..base + 3).fold(0, |number, level| number << 1 | usize::from(set(level)));
    let state = states_of(view).get(number).copied().unwrap_or(State::Invalid);
    let bits = |field: Field| {
        let value = |(alphabet, base): (&Alphabet, u32)| alphabet.value(base, 0, |level| way.get(&level).copied());
        vars.info(view, field).map_or(0, value)
    };
    if matches!(state, State::Invalid | State::Untracked) {
        return CtView { state, ..CtView::UNTRACKED };
    }
    CtView {
        state,
        mark: u32::try_from(bits(Field::CtMark)).unwrap_or_default(),
        label: bits(Field::CtLabel),
        translated: set(vars.translated(view)),
    }
}

/// The variables that are set for a packet.
#[must_use]
pub fn way(vars: &Vars, packet: &Packet) -> BTreeSet<u32> {
    let mut set = BTreeSet::new();
    set.extend(packet.vlan.map(|_| Vars::TAG));
    set.extend(vars.ethertypes.set(packet.ethertype.into()));
    set.extend(vars.devices.set(device_value(&packet.device)));
    set.extend(vars.protos.set(packet.fields.get(&Field::IpProto).copied().unwrap_or_default()));
    set.extend(packet.fragment.map(|_| vars.fragment()));
    set.extend(packet.fragment.filter(|piece| *piece == Fragment::First).map(|_| vars.fragment() + 1));
    let ids = packet.vlan.map(|id| (Field::VlanId, u128::from(id)));
    for (field, value) in packet.fields.iter().map(|(field, value)| (*field, *value)).chain(ids) {
        let place = vars.field(field).filter(|_| field != Field::IpProto);
        set.extend(place.into_iter().flat_map(|(alphabet, base)| alphabet.set(base, value)));
    }
    let mut view = |which: View, seen: CtView| {
        let number = states_of(which).iter().position(|state| *state == seen.state).unwrap_or_default();
        set.extend((0..3).filter(|at| number >> (2 - at) & 1 == 1).map(|at| vars.state(which) + at));
        set.extend(seen.translated.then(|| vars.translated(which)));
        for (field, value) in [(Field::CtMark, seen.mark.into()), (Field::CtLabel, seen.label)] {
            let place = vars.info(which, field);
            set.extend(place.into_iter().flat_map(|(alphabet, base)| alphabet.set(base, value)));
        }
    };
    view(View::Carried, packet.carried.unwrap_or(CtView::UNTRACKED));
    for zone in vars.zones() {
        view(View::Pass { zone: *zone, again: false }, packet.view(*zone));
        view(View::Pass { zone: *zone, again: true }, packet.view_after(*zone, 1));
    }
    set.extend(packet.exceeds.iter().filter(|ident| vars.limits().contains(ident)).map(|ident| vars.exceeds(*ident)));
    set
}
