//! Every number of the kernel's interface, under its kernel name. Nothing else in the crate holds a bare kernel number.
//!
//! Source: `include/uapi/linux/{pkt_cls,pkt_sched,rtnetlink,if_ether,in}.h` and `tc_act/*.h` of Linux 6.12; values never change once released.

/// Ethertypes (`linux/if_ether.h`).
pub mod eth {
    /// Every ethertype; as a filter's protocol: "all".
    pub const P_ALL: u16 = 0x0003;
    /// IPv4.
    pub const P_IP: u16 = 0x0800;
    /// ARP.
    pub const P_ARP: u16 = 0x0806;
    /// An 802.1Q VLAN tag.
    pub const P_8021Q: u16 = 0x8100;
    /// Lowest value that is an ethertype; below it is a length (`ETH_P_802_3_MIN`).
    pub const P_802_3_MIN: u16 = 0x0600;
    /// IPv6.
    pub const P_IPV6: u16 = 0x86dd;
}

/// IP protocol numbers (`linux/in.h`, `linux/in6.h`).
pub mod ipproto {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// IPv4 in IP.
    pub const IPIP: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// DCCP.
    pub const DCCP: u8 = 33;
    /// GRE.
    pub const GRE: u8 = 47;
    /// IPsec ESP.
    pub const ESP: u8 = 50;
    /// IPsec AH.
    pub const AH: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// OSPF.
    pub const OSPF: u8 = 89;
    /// PIM.
    pub const PIM: u8 = 103;
    /// VRRP.
    pub const VRRP: u8 = 112;
    /// L2TP.
    pub const L2TP: u8 = 115;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// UDP-Lite.
    pub const UDPLITE: u8 = 136;
}

/// `TCA_FLOWER_KEY_CT_FLAGS_*`: bits of flower's `ct_state`.
pub mod ct_state {
    /// First packet of a connection.
    pub const NEW: u16 = 1;
    /// A reply was seen.
    pub const EST: u16 = 2;
    /// Related to an existing connection.
    pub const REL: u16 = 4;
    /// Has been through conntrack.
    pub const TRK: u16 = 8;
    /// Invalid (since 5.12).
    pub const INV: u16 = 16;
    /// In the reply direction (since 5.12).
    pub const RPL: u16 = 32;
}

/// `TCA_FLOWER_KEY_FLAGS_*`: bits of flower's `ip_flags`.
pub mod ip_flags {
    /// Any fragment.
    pub const IS_FRAGMENT: u32 = 1;
    /// The first fragment.
    pub const FRAG_IS_FIRST: u32 = 2;
}

/// `TC_ACT_*`: control values of an action (`linux/pkt_cls.h`).
pub mod tc_act {
    /// Go on with the next filter.
    pub const UNSPEC: i32 = -1;
    /// Accept.
    pub const OK: i32 = 0;
    /// Drop.
    pub const SHOT: i32 = 2;
    /// Go on with the next action.
    pub const PIPE: i32 = 3;
    /// Consumed.
    pub const STOLEN: i32 = 4;
    /// Or'ed with a chain's number.
    pub const GOTO_CHAIN: i32 = 0x2000_0000;
}

/// Highest number of a chain (`TC_ACT_EXT_VAL_MASK`).
pub const CHAIN_MAX: u32 = 0x0fff_ffff;

/// Gotos a packet may make; the next one drops it (`max_reclassify_loop` in `net/sched/cls_api.c`, seen in the lab).
pub const GOTO_MAX: usize = 16;

/// Longest name of a device, without the final NUL (`IFNAMSIZ - 1`).
pub const IFNAME_MAX: usize = 15;

/// Longest burst of `act_police`, in nanoseconds at its rate: `tc_police.burst` is a u32 of 64 ns ticks (`PSCHED_SHIFT` 6).
pub const POLICE_BURST_MAX_NS: u64 = 64 * u32::MAX as u64;

/// Longest action cookie (`TC_COOKIE_MAX_SIZE`).
pub const COOKIE_MAX: usize = 16;

/// `TCA_FLOWER_*`: attributes of the flower classifier. Payload in network order where the kernel calls it `be`;
/// ct_state, ct_zone, ct_mark, vlan_id are in host order.
pub mod flower {
    /// Arrival device, NUL-terminated.
    pub const INDEV: u16 = 2;
    /// The actions.
    pub const ACT: u16 = 3;
    /// Destination hardware address.
    pub const KEY_ETH_DST: u16 = 4;
    /// Its mask.
    pub const KEY_ETH_DST_MASK: u16 = 5;
    /// Source hardware address.
    pub const KEY_ETH_SRC: u16 = 6;
    /// Its mask.
    pub const KEY_ETH_SRC_MASK: u16 = 7;
    /// Ethertype.
    pub const KEY_ETH_TYPE: u16 = 8;
    /// IP protocol.
    pub const KEY_IP_PROTO: u16 = 9;
    /// IPv4 source.
    pub const KEY_IPV4_SRC: u16 = 10;
    /// Its mask.
    pub const KEY_IPV4_SRC_MASK: u16 = 11;
    /// IPv4 destination.
    pub const KEY_IPV4_DST: u16 = 12;
    /// Its mask.
    pub const KEY_IPV4_DST_MASK: u16 = 13;
    /// IPv6 source.
    pub const KEY_IPV6_SRC: u16 = 14;
    /// Its mask.
    pub const KEY_IPV6_SRC_MASK: u16 = 15;
    /// IPv6 destination.
    pub const KEY_IPV6_DST: u16 = 16;
    /// Its mask.
    pub const KEY_IPV6_DST_MASK: u16 = 17;
    /// TCP source port.
    pub const KEY_TCP_SRC: u16 = 18;
    /// TCP destination port.
    pub const KEY_TCP_DST: u16 = 19;
    /// UDP source port.
    pub const KEY_UDP_SRC: u16 = 20;
    /// UDP destination port.
    pub const KEY_UDP_DST: u16 = 21;
    /// `skip_hw`, `in_hw` ... bits.
    pub const FLAGS: u16 = 22;
    /// VLAN id (host order).
    pub const KEY_VLAN_ID: u16 = 23;
    /// Ethertype behind the VLAN tag.
    pub const KEY_VLAN_ETH_TYPE: u16 = 25;
    /// Mask of the TCP source port.
    pub const KEY_TCP_SRC_MASK: u16 = 35;
    /// Mask of the TCP destination port.
    pub const KEY_TCP_DST_MASK: u16 = 36;
    /// Mask of the UDP source port.
    pub const KEY_UDP_SRC_MASK: u16 = 37;
    /// Mask of the UDP destination port.
    pub const KEY_UDP_DST_MASK: u16 = 38;
    /// Mask of the SCTP source port (the masks come first).
    pub const KEY_SCTP_SRC_MASK: u16 = 39;
    /// Mask of the SCTP destination port.
    pub const KEY_SCTP_DST_MASK: u16 = 40;
    /// SCTP source port.
    pub const KEY_SCTP_SRC: u16 = 41;
    /// SCTP destination port.
    pub const KEY_SCTP_DST: u16 = 42;
    /// Fragment bits.
    pub const KEY_FLAGS: u16 = 47;
    /// Their mask, mandatory.
    pub const KEY_FLAGS_MASK: u16 = 48;
    /// ICMP code.
    pub const KEY_ICMPV4_CODE: u16 = 49;
    /// Its mask.
    pub const KEY_ICMPV4_CODE_MASK: u16 = 50;
    /// ICMP type.
    pub const KEY_ICMPV4_TYPE: u16 = 51;
    /// Its mask.
    pub const KEY_ICMPV4_TYPE_MASK: u16 = 52;
    /// ICMPv6 code.
    pub const KEY_ICMPV6_CODE: u16 = 53;
    /// Its mask.
    pub const KEY_ICMPV6_CODE_MASK: u16 = 54;
    /// ICMPv6 type.
    pub const KEY_ICMPV6_TYPE: u16 = 55;
    /// Its mask.
    pub const KEY_ICMPV6_TYPE_MASK: u16 = 56;
    /// TCP flags.
    pub const KEY_TCP_FLAGS: u16 = 71;
    /// Their mask.
    pub const KEY_TCP_FLAGS_MASK: u16 = 72;
    /// TOS or traffic class.
    pub const KEY_IP_TOS: u16 = 73;
    /// Its mask.
    pub const KEY_IP_TOS_MASK: u16 = 74;
    /// TTL or hop limit.
    pub const KEY_IP_TTL: u16 = 75;
    /// Its mask.
    pub const KEY_IP_TTL_MASK: u16 = 76;
    /// How many devices took it (dump only).
    pub const IN_HW_COUNT: u16 = 86;
    /// Lowest source port of a range (5.0).
    pub const KEY_PORT_SRC_MIN: u16 = 87;
    /// Highest.
    pub const KEY_PORT_SRC_MAX: u16 = 88;
    /// Lowest destination port of a range.
    pub const KEY_PORT_DST_MIN: u16 = 89;
    /// Highest.
    pub const KEY_PORT_DST_MAX: u16 = 90;
    /// Conntrack state (5.3).
    pub const KEY_CT_STATE: u16 = 91;
    /// Its mask.
    pub const KEY_CT_STATE_MASK: u16 = 92;
    /// Conntrack zone.
    pub const KEY_CT_ZONE: u16 = 93;
    /// Its mask.
    pub const KEY_CT_ZONE_MASK: u16 = 94;
    /// Conntrack mark.
    pub const KEY_CT_MARK: u16 = 95;
    /// Its mask.
    pub const KEY_CT_MARK_MASK: u16 = 96;
    /// Conntrack label.
    pub const KEY_CT_LABELS: u16 = 97;
    /// Its mask.
    pub const KEY_CT_LABELS_MASK: u16 = 98;
}
