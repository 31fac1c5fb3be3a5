//! The words of a description, and values of fields in them.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::is_ip;
use crate::abi::{eth, ipproto};
use crate::field::Field;
use crate::field::value::{Mac, ones, prefixes};
use crate::source::braced;
use crate::verify::alphabet::Alphabet;
use crate::verify::diagram::{FALSE, Full, Node, TRUE};
use crate::verify::show::{DSCP, dscp, flags, protocol};
use crate::verify::world::World;

/// Fields of a header, in the order of the words, but for the type of ICMP.
pub const ORDER: [Field; 13] = [
    Field::VlanId,
    Field::EthSrc,
    Field::EthDst,
    Field::Ipv4Src,
    Field::Ipv6Src,
    Field::SrcPort,
    Field::Ipv4Dst,
    Field::Ipv6Dst,
    Field::DstPort,
    Field::IcmpCode,
    Field::TcpFlags,
    Field::IpTos,
    Field::IpTtl,
];

/// Values that are listed at most.
const MOST: usize = 8;

/// What is known of the packets described.
#[derive(Clone, Debug, Default)]
pub struct Words {
    pub tagged: bool,
    pub any_tag: bool,
    /// The values named, and whether all others belong to it.
    pub ethertypes: Option<(Vec<u128>, bool)>,
    pub protos: Option<(Vec<u128>, bool)>,
    /// Whether whole datagrams, first pieces and later pieces belong to it.
    pub fragment: Option<[bool; 3]>,
    vlan: Option<String>,
    from: [Vec<String>; 2],
    to: [Vec<String>; 2],
    /// Further words of the header.
    pub more: Vec<String>,
    /// Words of conntrack.
    pub states: Vec<String>,
}

impl Words {
    pub fn field(&mut self, field: Field, text: String) {
        match field {
            Field::VlanId => self.vlan = Some(text),
            Field::Ipv4Src | Field::Ipv6Src => self.from[0].push(text),
            Field::SrcPort => self.from[1].push(text),
            Field::Ipv4Dst | Field::Ipv6Dst => self.to[0].push(text),
            Field::DstPort => self.to[1].push(text),
            Field::EthSrc => self.more.push(format!("from mac {text}")),
            Field::EthDst => self.more.push(format!("to mac {text}")),
            Field::IcmpCode => self.more.push(format!("code {text}")),
            Field::TcpFlags => self.more.push(format!("flags {text}")),
            Field::IpTos if text.contains("0x") => self.more.push(format!("tos {text}")),
            Field::IpTos => self.more.push(format!("dscp {text}")),
            _ => self.more.push(format!("ttl {text}")),
        }
    }

    pub fn text(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.kinds());
        for (word, [addresses, ports]) in [("from", &self.from), ("to", &self.to)] {
            if addresses.is_empty() && ports.is_empty() {
                continue;
            }
            words.push(word.to_owned());
            words.push(addresses.join(" or "));
            words.extend(ports.iter().map(|ports| format!("port {ports}")));
        }
        words.extend(self.more.iter().cloned());
        match (&self.vlan, self.tagged, self.any_tag) {
            (Some(id), ..) => words.push(format!("vlan {id}")),
            (None, true, _) => words.push("with any vlan".to_owned()),
            (None, _, true) => words.push("with or without vlan".to_owned()),
            _ => {}
        }
        words.extend(self.fragment.and_then(|pieces| self.pieces(pieces)));
        words.retain(|word| !word.is_empty());
        let mut text = words.join(" ");
        if text.is_empty() {
            "every packet".clone_into(&mut text);
        }
        for state in &self.states {
            text.push_str(", ");
            text.push_str(state);
        }
        text
    }

    fn kinds(&self) -> Vec<String> {
        let mut words = Vec::new();
        let family = self.ethertypes.as_ref().map(|(values, others)| (values.as_slice(), *others));
        let ip = [eth::P_IP, eth::P_IPV6].map(u128::from);
        match family {
            None => {}
            Some((values, true)) => {
                // The symbols always named: what is not among them is left out.
                let out = ip.into_iter().chain([eth::P_ARP.into()]).filter(|value| !values.contains(value));
                let out: Vec<String> = out.map(ethertype).collect();
                words.push(if out.is_empty() { "other frames".to_owned() } else { format!("not {}", braced(&out)) });
            }
            Some((values, false)) => {
                let icmp = |one: u8, family: u128| {
                    values == [family] && self.protos.as_ref().is_some_and(|(list, o)| !o && *list == [u128::from(one)])
                };
                let clear = icmp(ipproto::ICMP, ip[0]) || icmp(ipproto::ICMPV6, ip[1]);
                let both = ip.iter().all(|value| values.contains(value)) && values.len() == ip.len();
                if !(clear || both && self.protos.is_some()) {
                    let names: Vec<String> = values.iter().copied().map(ethertype).collect();
                    words.push(names.join("/"));
                }
            }
        }
        let all_ip = family.is_none_or(|(values, others)| others || values.iter().any(|value| is_ip(*value)));
        if let Some((values, others)) = self.protos.as_ref().filter(|_| all_ip) {
            let name = |value: u128| u8::try_from(value).map_or_else(|_| value.to_string(), protocol);
            let names: Vec<String> = values.iter().copied().map(name).collect();
            words.push(match (others, names.is_empty()) {
                (false, _) => names.join("/"),
                (true, true) => "other protocols".to_owned(),
                (true, false) => format!("{}/other protocols", names.join("/")),
            });
        }
        words
    }

    fn pieces(&self, pieces: [bool; 3]) -> Option<String> {
        let ports = !self.from[1].is_empty() || !self.to[1].is_empty();
        let word = match pieces {
            // Pieces have no ports that a rule could see.
            [true, false, false] if ports => return None,
            [true, false, false] => "fragment none",
            [false, true, true] => "fragment any",
            [false, true, false] => "fragment first",
            [false, false, true] => "fragment later",
            [true, true, false] => "not fragment later",
            _ => "not fragment first",
        };
        Some(word.to_owned())
    }
}

fn ethertype(value: u128) -> String {
    match u16::try_from(value) {
        Ok(eth::P_IP) => "ip".to_owned(),
        Ok(eth::P_IPV6) => "ip6".to_owned(),
        Ok(eth::P_ARP) => "arp".to_owned(),
        _ => format!("ethertype {value:#06x}"),
    }
}

/// A set of a field's values in words; `None` where they are too many.
pub fn spell(
    world: &mut World,
    field: Field,
    alphabet: &Alphabet,
    base: u32,
    set: Node,
) -> Result<Option<String>, Full> {
    let rest = world.diagram.ite(set, FALSE, TRUE)?;
    let of = |set: Node| -> Option<Vec<String>> {
        let bits = field.row().bits;
        if as_ranges(field) {
            let ranges = alphabet.ranges(&world.diagram, base, set, bits, MOST)?;
            return Some(ranges.into_iter().map(|range| text(field, range)).collect());
        }
        let cubes = alphabet.cubes(&world.diagram, base, set, MOST)?;
        let classes = field == Field::IpTos && cubes.iter().all(|(_, mask)| *mask == DSCP);
        let cube = |(value, mask): (u128, u128)| match field {
            Field::IpTos if classes => dscp(value),
            Field::TcpFlags if value == mask => flags(value),
            Field::TcpFlags => format!("{}/{}", flags(value), flags(mask)),
            Field::EthSrc | Field::EthDst if mask == ones(bits) => Mac(value).to_string(),
            _ if mask == ones(bits) => format!("{value:#x}"),
            _ => format!("{value:#x}/{mask:#x}"),
        };
        Some(cubes.into_iter().map(cube).collect())
    };
    let list = of(set).map(|list| (list.len(), braced(&list)));
    let out = of(rest).map(|out| (out.len(), format!("not {}", braced(&out))));
    // As few values as can be; of ranges, as few letters.
    let size = |(count, text): &(usize, String)| (*count, if as_ranges(field) { text.len() } else { 0 });
    Ok([list, out].into_iter().flatten().min_by_key(size).map(|(_, text)| text))
}

/// Whether neighbouring values of the field belong together.
const fn as_ranges(field: Field) -> bool {
    matches!(
        field,
        Field::VlanId
            | Field::Ipv4Src
            | Field::Ipv4Dst
            | Field::Ipv6Src
            | Field::Ipv6Dst
            | Field::SrcPort
            | Field::DstPort
            | Field::IcmpType
            | Field::IcmpCode
            | Field::IpTtl
    )
}

fn text(field: Field, (lo, hi): (u128, u128)) -> String {
    let one = |value: u128| match field {
        Field::Ipv4Src | Field::Ipv4Dst => Ipv4Addr::from(u32::try_from(value).unwrap_or_default()).to_string(),
        Field::Ipv6Src | Field::Ipv6Dst => Ipv6Addr::from(value).to_string(),
        _ => value.to_string(),
    };
    if lo == hi {
        return one(lo);
    }
    let bits = field.row().bits;
    let is_address = bits >= 32;
    match prefixes(lo, hi, bits).as_slice() {
        [(value, mask)] if is_address => format!("{}/{}", one(*value), mask.count_ones()),
        _ => format!("{}-{}", one(lo), one(hi)),
    }
}
