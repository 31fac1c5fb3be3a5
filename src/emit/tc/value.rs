//! How `tc` reads the values of flower keys: one form per [`Kind`] of the field table.
//!
//! iproute2 reads numbers in several bases: TTL and TOS take their masks in base 16, ICMP in base 10, and `ip_proto` takes any
//! number in base 16 (`ip_proto 47` is protocol 0x47). Seen with iproute2 6.1 in the bytes that it sends.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::abi::{ct_state, eth, ip_flags, ipproto};
use crate::field::value::{self, Mac};
use crate::field::{Cond, Field, Key, Kind, Row};

/// Words of `ct_state`, in the order of printing.
const CT_STATES: [(u16, &str); 6] = [
    (ct_state::TRK, "trk"),
    (ct_state::NEW, "new"),
    (ct_state::EST, "est"),
    (ct_state::REL, "rel"),
    (ct_state::RPL, "rpl"),
    (ct_state::INV, "inv"),
];

/// Words of `ip_flags`.
const IP_FLAGS: [(u32, &str); 2] = [(ip_flags::IS_FRAGMENT, "frag"), (ip_flags::FRAG_IS_FIRST, "firstfrag")];

/// Names that `ip_proto` takes.
const IP_PROTOS: [(u8, &str); 5] = [
    (ipproto::TCP, "tcp"),
    (ipproto::UDP, "udp"),
    (ipproto::SCTP, "sctp"),
    (ipproto::ICMP, "icmp"),
    (ipproto::ICMPV6, "icmpv6"),
];

/// Names of ethertypes.
const ETHER_TYPES: [(u16, &str); 5] =
    [(eth::P_ALL, "all"), (eth::P_IP, "ip"), (eth::P_IPV6, "ipv6"), (eth::P_ARP, "arp"), (eth::P_8021Q, "802.1Q")];

/// A key as `tc filter` takes it, in a filter of this network protocol: `dst_port 8000-8080`.
pub struct KeyWords<'a>(pub &'a Key, pub u16);

impl fmt::Display for KeyWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key, network) = self;
        let word = key.field.row().tc;
        match (key.field, key.cond) {
            (Field::IpProto, Cond::Bits { value, .. }) if foreign_icmp(value, *network) => {
                write!(f, "{word} {value:#x}")
            }
            _ => write!(f, "{word} {}", KeyValue(key)),
        }
    }
}

/// Whether `tc` refuses the name of this protocol: `icmp` goes with IPv4 alone, `icmpv6` with IPv6; their numbers with any.
fn foreign_icmp(proto: u128, network: u16) -> bool {
    (proto == u128::from(ipproto::ICMP) && network != eth::P_IP)
        || (proto == u128::from(ipproto::ICMPV6) && network != eth::P_IPV6)
}

/// The value of a key alone: `8000-8080`.
pub struct KeyValue<'a>(pub &'a Key);

impl fmt::Display for KeyValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.cond {
            Cond::Range { lo, hi } => write!(f, "{lo}-{hi}"),
            Cond::Bits { value, mask } => bits(f, self.0.field.row(), value, mask),
        }
    }
}

/// `value[/mask]` in the form of the field's kind.
#[expect(clippy::cast_possible_truncation, reason = "a field's value is as wide as its row says")]
fn bits(f: &mut fmt::Formatter<'_>, row: &Row, value: u128, mask: u128) -> fmt::Result {
    let whole = mask == row.full_mask();
    match row.kind {
        Kind::Mac => masked(f, whole, &Mac(value), &Mac(mask)),
        Kind::Ipv4 => masked(f, whole, &Ipv4Addr::from_bits(value as u32), &mask.count_ones()),
        Kind::Ipv6 => masked(f, whole, &Ipv6Addr::from_bits(value), &mask.count_ones()),
        // `tc` 6.1 reads port 0 as none at all, but not behind a mask (flower_parse_port).
        Kind::Port => masked(f, whole && value != 0, &value, &format_args!("{mask:#x}")),
        Kind::U8MaskHex | Kind::U16Host => masked(f, whole, &value, &format_args!("{mask:#x}")),
        Kind::U8 => masked(f, whole, &value, &mask),
        Kind::U8Hex | Kind::U16Hex | Kind::U32Host => {
            masked(f, whole, &format_args!("{value:#x}"), &format_args!("{mask:#x}"))
        }
        Kind::IpProto => f.write_str(&ip_proto(value as u8)),
        Kind::EtherType => f.write_str(&ether_type(value as u16)),
        Kind::FragmentFlags => fragment_flags(f, value as u32, mask as u32),
        Kind::CtState => state_flags(f, value as u16, mask as u16),
        Kind::Label => masked(f, whole, &Label(value), &Label(mask)),
        Kind::Name => f.write_str(&device_name(value)),
    }
}

fn masked(f: &mut fmt::Formatter<'_>, whole: bool, value: &dyn fmt::Display, mask: &dyn fmt::Display) -> fmt::Result {
    if whole { write!(f, "{value}") } else { write!(f, "{value}/{mask}") }
}

/// Whether `tc` can write this condition: addresses take prefixes only.
#[must_use]
pub fn writable(key: &Key) -> bool {
    let row = key.field.row();
    match (row.kind, key.cond) {
        (Kind::Ipv4 | Kind::Ipv6, Cond::Bits { mask, .. }) => {
            let host = row.full_mask() & !mask;
            host & host.wrapping_add(1) == 0
        }
        _ => true,
    }
}

/// `+trk+new-est`: `+` where the bit must be set, `-` where it must not.
fn state_flags(f: &mut fmt::Formatter<'_>, value: u16, mask: u16) -> fmt::Result {
    for (bit, word) in CT_STATES.iter().filter(|(bit, _)| mask & bit != 0) {
        f.write_char(if value & bit == 0 { '-' } else { '+' })?;
        f.write_str(word)?;
    }
    Ok(())
}

/// `frag/nofirstfrag`
fn fragment_flags(f: &mut fmt::Formatter<'_>, value: u32, mask: u32) -> fmt::Result {
    let mut slash = "";
    for (bit, word) in IP_FLAGS.iter().filter(|(bit, _)| mask & bit != 0) {
        let no = if value & bit == 0 { "no" } else { "" };
        write!(f, "{slash}{no}{word}")?;
        slash = "/";
    }
    Ok(())
}

/// A protocol by name where `tc` knows one, else in base 16.
#[must_use]
pub fn ip_proto(proto: u8) -> Cow<'static, str> {
    let name = IP_PROTOS.iter().find(|(number, _)| *number == proto).map(|(_, name)| Cow::Borrowed(*name));
    name.unwrap_or_else(|| format!("{proto:#x}").into())
}

/// An ethertype by name where `tc` knows one, else in base 16.
#[must_use]
pub fn ether_type(ether_type: u16) -> Cow<'static, str> {
    let name = ETHER_TYPES.iter().find(|(number, _)| *number == ether_type).map(|(_, name)| Cow::Borrowed(*name));
    name.unwrap_or_else(|| format!("{ether_type:#06x}").into())
}

/// The device's name that an `indev` key holds.
fn device_name(value: u128) -> String {
    let bytes = value.to_be_bytes();
    let name: Vec<u8> = bytes.into_iter().take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&name).into_owned()
}

/// A conntrack label: 32 hex digits, the lowest byte first (a shorter string would be padded on the right).
pub struct Label(pub u128);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_le_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// `VALUE[/MASK]` of a 32-bit mark.
pub struct Mark(pub u32, pub u32);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.1 == u32::MAX;
        masked(f, whole, &format_args!("{:#x}", self.0), &format_args!("{:#x}", self.1))
    }
}

/// `VALUE[/MASK]` of a label.
pub struct MaskedLabel(pub u128, pub u128);

impl fmt::Display for MaskedLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        masked(f, self.1 == value::ones(128), &Label(self.0), &Label(self.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;

    fn words(field: Field, value: u128, mask: u128) -> String {
        KeyWords(&Key { field, cond: Cond::Bits { value, mask } }, eth::P_IPV6).to_string()
    }

    fn exact(field: Field, value: u128) -> String {
        KeyWords(&Key::exact(field, value), eth::P_IPV6).to_string()
    }

    // Each spelling was given to iproute2 6.1 and the bytes it sent were read back.
    #[test]
    fn every_kind_has_the_form_that_tc_reads() {
        assert_eq!(words(Field::CtState, 9, 11), "ct_state +trk+new-est");
        assert_eq!(words(Field::CtState, 0, 8), "ct_state -trk");
        assert_eq!(exact(Field::CtLabel, 10), "ct_label 0a000000000000000000000000000000");
        assert_eq!(
            words(Field::CtLabel, 0x100, 0xff00),
            "ct_label 00010000000000000000000000000000/00ff0000000000000000000000000000"
        );
        assert_eq!(words(Field::CtMark, 0, 0x4000_0000), "ct_mark 0x0/0x40000000");
        assert_eq!(exact(Field::CtMark, 0x333), "ct_mark 0x333");
        assert_eq!(exact(Field::CtZone, 7), "ct_zone 7");
        assert_eq!(
            words(Field::EthDst, 0x0100_0000_0000, 0x0100_0000_0000),
            "dst_mac 01:00:00:00:00:00/01:00:00:00:00:00"
        );
        assert_eq!(exact(Field::EthSrc, 0x0200_0000_0001), "src_mac 02:00:00:00:00:01");
        assert_eq!(words(Field::Ipv4Src, 0x0a00_0000, 0xff00_0000), "src_ip 10.0.0.0/8");
        assert_eq!(exact(Field::Ipv4Dst, 0xc000_0201), "dst_ip 192.0.2.1");
        assert_eq!(words(Field::Ipv6Src, 0x2001_0db8 << 96, !0 << 96), "src_ip 2001:db8::/32");
        assert_eq!(words(Field::DstPort, 80, 0xfff0), "dst_port 80/0xfff0");
        assert_eq!(
            KeyWords(&Key { field: Field::DstPort, cond: Cond::Range { lo: 8000, hi: 8080 } }, eth::P_IP).to_string(),
            "dst_port 8000-8080"
        );
        assert_eq!(words(Field::TcpFlags, 2, 0x17), "tcp_flags 0x2/0x17");
        assert_eq!(words(Field::IpTos, 0x10, 0xfc), "ip_tos 0x10/0xfc");
        assert_eq!(exact(Field::VlanEthType, 0x0800), "vlan_ethtype ip");
        assert_eq!(exact(Field::VlanEthType, 0x88cc), "vlan_ethtype 0x88cc");
        assert_eq!(words(Field::IpFlags, 1, 3), "ip_flags frag/nofirstfrag");
        assert_eq!(words(Field::IpFlags, 0, 1), "ip_flags nofrag");
        assert_eq!(exact(Field::IcmpType, 8), "type 8");
    }

    #[test]
    fn numbers_stand_in_the_base_that_tc_expects() {
        assert_eq!(exact(Field::IpProto, 47), "ip_proto 0x2f");
        assert_eq!(exact(Field::IpProto, 58), "ip_proto icmpv6");
        // iproute2 refuses each name of ICMP in the other family: `Illegal "eth_type" for ip proto`.
        assert_eq!(exact(Field::IpProto, 1), "ip_proto 0x1");
        assert_eq!(KeyWords(&Key::exact(Field::IpProto, 1), eth::P_IP).to_string(), "ip_proto icmp");
        assert_eq!(KeyWords(&Key::exact(Field::IpProto, 58), eth::P_IP).to_string(), "ip_proto 0x3a");
        assert_eq!(words(Field::IcmpType, 8, 0xf8), "type 8/248");
        assert_eq!(words(Field::IpTtl, 64, 0xc0), "ip_ttl 64/0xc0");
    }

    #[test]
    fn device_names_lose_their_padding() {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(b"eth0");
        assert_eq!(exact(Field::InDev, u128::from_be_bytes(bytes)), "indev eth0");
    }

    #[test]
    fn addresses_are_writable_as_prefixes_only() {
        let key = |mask| Key { field: Field::Ipv4Src, cond: Cond::Bits { value: 0, mask } };
        assert!(writable(&key(0xff00_0000)) && writable(&key(0xffff_ffff)) && writable(&key(0)));
        assert!(!writable(&key(0xff00_ff00)) && !writable(&key(0x0000_ffff)));
    }
}
