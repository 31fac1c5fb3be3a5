//! FIELDS: one row per match field. Resolver, optimizer, both emitters and the evaluators read the row.

use super::value;

/// A match field of a filter. The order is the canonical order of keys in a filter and in print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Field {
    /// VLAN id of the outermost tag.
    VlanId,
    /// Ethertype behind the VLAN tag.
    VlanEthType,
    /// The device by which the packet arrived; the value is its name, padded with NUL to 16 bytes.
    InDev,
    /// Source hardware address.
    EthSrc,
    /// Destination hardware address.
    EthDst,
    /// IP protocol, behind IPv6 extension headers.
    IpProto,
    /// IPv4 source.
    Ipv4Src,
    /// IPv4 destination.
    Ipv4Dst,
    /// IPv6 source.
    Ipv6Src,
    /// IPv6 destination.
    Ipv6Dst,
    /// TCP, UDP or SCTP source port.
    SrcPort,
    /// TCP, UDP or SCTP destination port.
    DstPort,
    /// ICMP or ICMPv6 type.
    IcmpType,
    /// ICMP or ICMPv6 code.
    IcmpCode,
    /// TCP flags (12 bits).
    TcpFlags,
    /// IPv4 TOS or IPv6 traffic class.
    IpTos,
    /// IPv4 TTL or IPv6 hop limit.
    IpTtl,
    /// Fragment bits.
    IpFlags,
    /// State that the last conntrack pass saw.
    CtState,
    /// Zone of the last conntrack pass.
    CtZone,
    /// The connection's mark.
    CtMark,
    /// The connection's label; bit 0 of the value is bit 0 of the label.
    CtLabel,
}

/// How a field's value is written in `tc` and laid out in netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Six bytes, `02:00:00:00:00:01`.
    Mac,
    /// Four bytes in network order, dotted.
    Ipv4,
    /// Sixteen bytes in network order, coloned.
    Ipv6,
    /// Big-endian u16, decimal.
    Port,
    /// One byte, decimal.
    U8,
    /// One byte, decimal, its mask hexadecimal (so reads `tc` the TTL).
    U8MaskHex,
    /// One byte, hexadecimal.
    U8Hex,
    /// `tcp`, `udp` ... or a number.
    IpProto,
    /// Host-order u16, decimal.
    U16Host,
    /// Big-endian u16 ethertype.
    EtherType,
    /// Big-endian u16, hexadecimal.
    U16Hex,
    /// Big-endian u32 of flag bits, `frag/nofirstfrag`.
    FragmentFlags,
    /// Host-order u16 of state bits, `+trk+new-est`.
    CtState,
    /// Host-order u32.
    U32Host,
    /// Sixteen raw bytes, the lowest first.
    Label,
    /// A device's name, NUL-terminated.
    Name,
}

/// Which masks a field takes in flower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskKind {
    /// Only the whole value: flower has no mask attribute.
    Exact,
    /// Any bits.
    Bits,
    /// Any bits, or a range (`min < max`, both ends needed; since 5.0).
    BitsOrRange,
}

/// The netlink attributes of a field: value and mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// `TCA_FLOWER_KEY_*`
    pub value: u16,
    /// `TCA_FLOWER_KEY_*_MASK`, where there is one.
    pub mask: Option<u16>,
}

/// Everything the compiler knows of a field.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The field.
    pub field: Field,
    /// Its name in `--format json`, dumps and docs.
    pub name: &'static str,
    /// The keyword of `tc filter ... flower`.
    pub tc: &'static str,
    /// Width in bits.
    pub bits: u8,
    /// Form of its value.
    pub kind: Kind,
    /// Masks it takes.
    pub mask: MaskKind,
    /// Netlink attributes, by IP protocol where flower has several for one field: `(ip_proto, attribute)`, `None` for any.
    pub attrs: &'static [(Option<u8>, Attr)],
    /// For ranges: `TCA_FLOWER_KEY_PORT_*_MIN` and `_MAX`.
    pub range: Option<(u16, u16)>,
    /// Netlink payload in bytes.
    pub bytes: u8,
    /// One line for the docs.
    pub doc: &'static str,
}

impl Row {
    /// The mask that covers the whole field.
    #[must_use]
    pub const fn full_mask(&self) -> u128 {
        value::ones(self.bits)
    }
}

impl Field {
    /// The field's row.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "FIELDS is in the order of the enum, which a test holds")]
    pub fn row(self) -> &'static Row {
        &FIELDS[self as usize]
    }
}

impl Field {
    /// Whether it lies behind the IP header: a fragment shows nothing of it, and flower reads it beside an exact
    /// `ip_proto` only.
    #[must_use]
    pub const fn is_layer4(self) -> bool {
        matches!(self, Self::SrcPort | Self::DstPort | Self::IcmpType | Self::IcmpCode | Self::TcpFlags)
    }
}

const fn attr(value: u16, mask: u16) -> Attr {
    Attr { value, mask: Some(mask) }
}

const fn exact(value: u16) -> Attr {
    Attr { value, mask: None }
}

use crate::abi::flower as a;
use crate::abi::ipproto;

/// All fields, in the order of [`Field`].
pub static FIELDS: [Row; 22] = [
    Row {
        field: Field::VlanId,
        name: "vlan",
        tc: "vlan_id",
        bits: 12,
        kind: Kind::U16Host,
        mask: MaskKind::Exact,
        attrs: &[(None, exact(a::KEY_VLAN_ID))],
        range: None,
        bytes: 2,
        doc: "VLAN id of the outermost 802.1Q tag",
    },
    Row {
        field: Field::VlanEthType,
        name: "vlan.type",
        tc: "vlan_ethtype",
        bits: 16,
        kind: Kind::EtherType,
        mask: MaskKind::Exact,
        attrs: &[(None, exact(a::KEY_VLAN_ETH_TYPE))],
        range: None,
        bytes: 2,
        doc: "ethertype behind the VLAN tag",
    },
    Row {
        field: Field::InDev,
        name: "in",
        tc: "indev",
        bits: 128,
        kind: Kind::Name,
        mask: MaskKind::Exact,
        attrs: &[(None, exact(a::INDEV))],
        range: None,
        bytes: 16,
        doc: "device by which the packet arrived, also on egress",
    },
    Row {
        field: Field::EthSrc,
        name: "mac.src",
        tc: "src_mac",
        bits: 48,
        kind: Kind::Mac,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_ETH_SRC, a::KEY_ETH_SRC_MASK))],
        range: None,
        bytes: 6,
        doc: "source hardware address",
    },
    Row {
        field: Field::EthDst,
        name: "mac.dst",
        tc: "dst_mac",
        bits: 48,
        kind: Kind::Mac,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_ETH_DST, a::KEY_ETH_DST_MASK))],
        range: None,
        bytes: 6,
        doc: "destination hardware address",
    },
    Row {
        field: Field::IpProto,
        name: "ip.proto",
        tc: "ip_proto",
        bits: 8,
        kind: Kind::IpProto,
        mask: MaskKind::Exact,
        attrs: &[(None, exact(a::KEY_IP_PROTO))],
        range: None,
        bytes: 1,
        doc: "IP protocol, behind IPv6 extension headers",
    },
    Row {
        field: Field::Ipv4Src,
        name: "ip.src",
        tc: "src_ip",
        bits: 32,
        kind: Kind::Ipv4,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_IPV4_SRC, a::KEY_IPV4_SRC_MASK))],
        range: None,
        bytes: 4,
        doc: "IPv4 source address",
    },
    Row {
        field: Field::Ipv4Dst,
        name: "ip.dst",
        tc: "dst_ip",
        bits: 32,
        kind: Kind::Ipv4,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_IPV4_DST, a::KEY_IPV4_DST_MASK))],
        range: None,
        bytes: 4,
        doc: "IPv4 destination address",
    },
    Row {
        field: Field::Ipv6Src,
        name: "ip6.src",
        tc: "src_ip",
        bits: 128,
        kind: Kind::Ipv6,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_IPV6_SRC, a::KEY_IPV6_SRC_MASK))],
        range: None,
        bytes: 16,
        doc: "IPv6 source address",
    },
    Row {
        field: Field::Ipv6Dst,
        name: "ip6.dst",
        tc: "dst_ip",
        bits: 128,
        kind: Kind::Ipv6,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_IPV6_DST, a::KEY_IPV6_DST_MASK))],
        range: None,
        bytes: 16,
        doc: "IPv6 destination address",
    },
    Row {
        field: Field::SrcPort,
        name: "port.src",
        tc: "src_port",
        bits: 16,
        kind: Kind::Port,
        mask: MaskKind::BitsOrRange,
        attrs: &[
            (Some(ipproto::TCP), attr(a::KEY_TCP_SRC, a::KEY_TCP_SRC_MASK)),
            (Some(ipproto::UDP), attr(a::KEY_UDP_SRC, a::KEY_UDP_SRC_MASK)),
            (Some(ipproto::SCTP), attr(a::KEY_SCTP_SRC, a::KEY_SCTP_SRC_MASK)),
        ],
        range: Some((a::KEY_PORT_SRC_MIN, a::KEY_PORT_SRC_MAX)),
        bytes: 2,
        doc: "source port of TCP, UDP or SCTP",
    },
    Row {
        field: Field::DstPort,
        name: "port.dst",
        tc: "dst_port",
        bits: 16,
        kind: Kind::Port,
        mask: MaskKind::BitsOrRange,
        attrs: &[
            (Some(ipproto::TCP), attr(a::KEY_TCP_DST, a::KEY_TCP_DST_MASK)),
            (Some(ipproto::UDP), attr(a::KEY_UDP_DST, a::KEY_UDP_DST_MASK)),
            (Some(ipproto::SCTP), attr(a::KEY_SCTP_DST, a::KEY_SCTP_DST_MASK)),
        ],
        range: Some((a::KEY_PORT_DST_MIN, a::KEY_PORT_DST_MAX)),
        bytes: 2,
        doc: "destination port of TCP, UDP or SCTP",
    },
    Row {
        field: Field::IcmpType,
        name: "icmp.type",
        tc: "type",
        bits: 8,
        kind: Kind::U8,
        mask: MaskKind::Bits,
        attrs: &[
            (Some(ipproto::ICMP), attr(a::KEY_ICMPV4_TYPE, a::KEY_ICMPV4_TYPE_MASK)),
            (Some(ipproto::ICMPV6), attr(a::KEY_ICMPV6_TYPE, a::KEY_ICMPV6_TYPE_MASK)),
        ],
        range: None,
        bytes: 1,
        doc: "ICMP or ICMPv6 type",
    },
    Row {
        field: Field::IcmpCode,
        name: "icmp.code",
        tc: "code",
        bits: 8,
        kind: Kind::U8,
        mask: MaskKind::Bits,
        attrs: &[
            (Some(ipproto::ICMP), attr(a::KEY_ICMPV4_CODE, a::KEY_ICMPV4_CODE_MASK)),
            (Some(ipproto::ICMPV6), attr(a::KEY_ICMPV6_CODE, a::KEY_ICMPV6_CODE_MASK)),
        ],
        range: None,
        bytes: 1,
        doc: "ICMP or ICMPv6 code",
    },
    Row {
        field: Field::TcpFlags,
        name: "tcp.flags",
        tc: "tcp_flags",
        bits: 12,
        kind: Kind::U16Hex,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_TCP_FLAGS, a::KEY_TCP_FLAGS_MASK))],
        range: None,
        bytes: 2,
        doc: "TCP flags",
    },
    Row {
        field: Field::IpTos,
        name: "ip.tos",
        tc: "ip_tos",
        bits: 8,
        kind: Kind::U8Hex,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_IP_TOS, a::KEY_IP_TOS_MASK))],
        range: None,
        bytes: 1,
        doc: "IPv4 TOS or IPv6 traffic class",
    },
    Row {
        field: Field::IpTtl,
        name: "ip.ttl",
        tc: "ip_ttl",
        bits: 8,
        kind: Kind::U8MaskHex,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_IP_TTL, a::KEY_IP_TTL_MASK))],
        range: None,
        bytes: 1,
        doc: "IPv4 TTL or IPv6 hop limit",
    },
    Row {
        field: Field::IpFlags,
        name: "ip.fragment",
        tc: "ip_flags",
        bits: 2,
        kind: Kind::FragmentFlags,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_FLAGS, a::KEY_FLAGS_MASK))],
        range: None,
        bytes: 4,
        doc: "fragment bits: 1 any fragment, 2 the first",
    },
    Row {
        field: Field::CtState,
        name: "ct.state",
        tc: "ct_state",
        bits: 6,
        kind: Kind::CtState,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_CT_STATE, a::KEY_CT_STATE_MASK))],
        range: None,
        bytes: 2,
        doc: "state that the last conntrack pass saw",
    },
    Row {
        field: Field::CtZone,
        name: "ct.zone",
        tc: "ct_zone",
        bits: 16,
        kind: Kind::U16Host,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_CT_ZONE, a::KEY_CT_ZONE_MASK))],
        range: None,
        bytes: 2,
        doc: "zone of the last conntrack pass",
    },
    Row {
        field: Field::CtMark,
        name: "ct.mark",
        tc: "ct_mark",
        bits: 32,
        kind: Kind::U32Host,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_CT_MARK, a::KEY_CT_MARK_MASK))],
        range: None,
        bytes: 4,
        doc: "mark of the connection",
    },
    Row {
        field: Field::CtLabel,
        name: "ct.label",
        tc: "ct_label",
        bits: 128,
        kind: Kind::Label,
        mask: MaskKind::Bits,
        attrs: &[(None, attr(a::KEY_CT_LABELS, a::KEY_CT_LABELS_MASK))],
        range: None,
        bytes: 16,
        doc: "label of the connection",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum() {
        for (index, row) in FIELDS.iter().enumerate() {
            assert_eq!(row.field as usize, index, "{}", row.name);
            assert_eq!(row.field.row().name, row.name);
        }
    }
}
