//! Packets and outcomes in words.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::witness;
use crate::abi::{eth, ipproto};
use crate::emit::eval::Fault;
use crate::field::Field;
use crate::field::value::Mac;
use crate::ir::outcome::{Committed, Fate, Outcome, Translation};
use crate::ir::packet::{CtView, Fragment, Packet};
use crate::ir::policy::{Hook, NatSide, Out, State};
use crate::ir::resolve::catalogue::{DSCP_NAMES, TCP_FLAGS};
use crate::live::report::count;

/// A packet on one line, written like a rule: `tcp 198.51.100.7:40000 > 192.0.2.10:80 on eth0 ingress, new in zone 1`; `devices` are those where it is seen.
#[must_use]
pub fn packet(packet: &Packet, devices: &[String], hook: Hook) -> String {
    let get = |field: Field| packet.fields.get(&field).copied();
    let proto = get(Field::IpProto).and_then(|value| u8::try_from(value).ok());
    let mut text = match (packet.ethertype, proto) {
        (eth::P_ARP, _) => "arp".to_owned(),
        (eth::P_IP | eth::P_IPV6, Some(proto)) => protocol(proto),
        (eth::P_IP, None) => "ip".to_owned(),
        (eth::P_IPV6, None) => "ip6".to_owned(),
        (other, _) => format!("ethertype {other:#06x}"),
    };
    let end = |address: Field, other: Field, port: Field| {
        let v4 =
            get(address).and_then(|value| u32::try_from(value).ok()).map(|value| Ipv4Addr::from(value).to_string());
        let address = v4.or_else(|| get(other).map(|value| Ipv6Addr::from(value).to_string()))?;
        Some(match get(port) {
            Some(port) if address.contains(':') => format!("[{address}]:{port}"),
            Some(port) => format!("{address}:{port}"),
            None => address,
        })
    };
    let from = end(Field::Ipv4Src, Field::Ipv6Src, Field::SrcPort);
    let to = end(Field::Ipv4Dst, Field::Ipv6Dst, Field::DstPort);
    // Writing to a String cannot fail.
    if let (Some(from), Some(to)) = (from, to) {
        let _ = write!(text, " {from} > {to}");
    }
    if let Some(kind) = get(Field::IcmpType) {
        let _ = write!(text, " type {kind} code {}", get(Field::IcmpCode).unwrap_or_default());
    }
    match devices.first().filter(|_| !devices.contains(&packet.device)) {
        Some(device) => _ = write!(text, " on {device} {} (arrived by {})", hook.word(), packet.device),
        None => _ = write!(text, " on {} {}", packet.device, hook.word()),
    }
    if let Some(id) = packet.vlan {
        let _ = write!(text, " vlan {id}");
    }
    match packet.fragment {
        Some(Fragment::First) => text.push_str(" first fragment"),
        Some(Fragment::Later) => text.push_str(" later fragment"),
        None => {}
    }
    for field in [Field::EthSrc, Field::EthDst, Field::TcpFlags, Field::IpTos, Field::IpTtl] {
        if let Some(value) = get(field).filter(|value| *value != witness::usual(field)) {
            let _ = match field {
                Field::EthSrc => write!(text, " from mac {}", Mac(value)),
                Field::EthDst => write!(text, " to mac {}", Mac(value)),
                Field::TcpFlags => write!(text, " flags {}", flags(value)),
                Field::IpTos if value & !DSCP == 0 => write!(text, " dscp {}", dscp(value)),
                Field::IpTos => write!(text, " tos {value:#x}"),
                _ => write!(text, " ttl {value}"),
            };
        }
    }
    if let Some(view) = packet.carried {
        let _ = write!(text, ", {} in the host's conntrack", seen(view));
    }
    for (zone, view) in &packet.zones {
        let _ = write!(text, ", {} in zone {zone}", seen(*view));
    }
    for (zone, view) in packet.again.iter().filter(|(zone, view)| packet.view(**zone) != **view) {
        let _ = write!(text, ", then {} in zone {zone}", seen(*view));
    }
    if !packet.exceeds.is_empty() {
        text.push_str(", above the limit");
    }
    text
}

/// The bits of `IpTos` that are the DSCP.
pub(super) const DSCP: u128 = 0xfc;

/// TCP flags as the language writes them: `syn,fin`.
pub(super) fn flags(bits: u128) -> String {
    let names = TCP_FLAGS.iter().filter(|(_, bit)| bits & u128::from(*bit) != 0).map(|(name, _)| *name);
    let known = TCP_FLAGS.iter().fold(0, |all, (_, bit)| all | u128::from(*bit));
    match bits {
        0 => "none".to_owned(),
        _ if bits & !known != 0 => format!("{bits:#x}"),
        _ => names.collect::<Vec<_>>().join(","),
    }
}

/// The class of a TOS byte: `af41`, or a number.
pub(super) fn dscp(tos: u128) -> String {
    let class = tos >> 2;
    let name = DSCP_NAMES.iter().find(|(_, known)| u128::from(*known) == class);
    name.map_or_else(|| class.to_string(), |(name, _)| (*name).to_owned())
}

pub(super) fn protocol(number: u8) -> String {
    match number {
        ipproto::TCP => "tcp".to_owned(),
        ipproto::UDP => "udp".to_owned(),
        ipproto::SCTP => "sctp".to_owned(),
        ipproto::ICMP => "icmp".to_owned(),
        ipproto::ICMPV6 => "icmpv6".to_owned(),
        other => format!("protocol {other}"),
    }
}

fn seen(view: CtView) -> String {
    let mut text = view.state.word().to_owned();
    if matches!(view.state, State::Invalid | State::Untracked) {
        return text;
    }
    if view.mark != 0 {
        let _ = write!(text, " mark {:#x}", view.mark);
    }
    if view.label != 0 {
        let _ = write!(text, " label {:#x}", view.label);
    }
    if view.translated {
        text.push_str(" translated");
    }
    text
}

/// What becomes of a packet, in one clause.
#[must_use]
pub fn outcome(outcome: &Outcome) -> String {
    let mut text = match &outcome.verdict {
        Fate::Accept => "accepted".to_owned(),
        Fate::Drop => "dropped".to_owned(),
        Fate::Redirect(out) => format!("redirected to {}", device(out)),
    };
    for out in &outcome.mirrors {
        let _ = write!(text, ", copied to {}", device(out));
    }
    if !outcome.limits.is_empty() {
        let _ = write!(text, ", within {}", count(outcome.limits.len(), "limit"));
    }
    for (zone, nat) in &outcome.passes {
        let _ = write!(text, ", {}looked up in zone {zone}", if *nat { "translated and " } else { "" });
    }
    for commit in &outcome.commits {
        let _ = write!(text, ", {}", committed(commit));
    }
    if outcome.cleared {
        text.push_str(", conntrack entry cleared");
    }
    text
}

fn committed(commit: &Committed) -> String {
    let mut text = format!("committed in zone {}", commit.zone);
    if commit.force {
        text.push_str(" by force");
    }
    if let Some((value, mask)) = commit.mark {
        let _ = write!(text, " mark {value:#x}/{mask:#x}");
    }
    if let Some((value, mask)) = commit.label {
        let _ = write!(text, " label {value:#x}/{mask:#x}");
    }
    match commit.nat {
        Some(Translation::OnRecord) => text.push_str(" translated as on record"),
        Some(Translation::To { side, addresses: (first, last), ports }) => {
            let word = if side == NatSide::Source { "snat" } else { "dnat" };
            let _ = write!(text, " {word} {first}");
            if first != last {
                let _ = write!(text, "-{last}");
            }
            if let Some((first, last)) = ports {
                let _ = write!(text, " port {first}");
                if first != last {
                    let _ = write!(text, "-{last}");
                }
            }
        }
        None => {}
    }
    if let Some((name, ..)) = &commit.helper {
        let _ = write!(text, " helper {name}");
    }
    text
}

fn device(out: &Out) -> String {
    if out.ingress { format!("the ingress of {}", out.device) } else { out.device.clone() }
}

/// The same for what filters do.
#[must_use]
pub fn result(done: &Result<Outcome, Fault>) -> String {
    match done {
        Ok(done) => outcome(done),
        Err(fault) => fault.to_string(),
    }
}

/// The block, as a person would call it.
#[must_use]
pub fn block(name: &str, devices: &[String], hook: Hook) -> String {
    let place = format!("{} {}", devices.join(", "), hook.word());
    if name.is_empty() { place } else { format!("policy `{name}` on {place}") }
}
