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
    /// A provider's tag (802.1ad).
    pub const P_8021AD: u16 = 0x88a8;
    /// A PPPoE session.
    pub const P_PPP_SES: u16 = 0x8864;
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
    /// The bits that tell values which carry a number (`TC_ACT_EXT_OPCODE`).
    pub const OPCODE: u32 = 0xf000_0000;
}

/// Gotos a packet may make; the next one drops it (`max_reclassify_loop` in `net/sched/cls_api.c`, seen in the lab).
pub const GOTO_MAX: usize = 16;

/// Longest name of a device, without the final NUL (`IFNAMSIZ - 1`).
pub const IFNAME_MAX: usize = 15;

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
    /// Bits: skip_hw 1, skip_sw 2, in_hw 4, not_in_hw 8, verbose 16.
    pub const FLAGS: u16 = 22;
    /// The bits of [`FLAGS`] that the user sets; the others are the kernel's report.
    pub const USER_FLAGS: u32 = 1 | 2 | 16;
    /// Bit of [`FLAGS`]: the filter is in hardware.
    pub const IN_HW: u32 = 4;
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

/// `RTM_*` messages of traffic control (`linux/rtnetlink.h`).
pub mod rtm {
    /// Make a qdisc.
    pub const NEWQDISC: u16 = 36;
    /// Remove one.
    pub const DELQDISC: u16 = 37;
    /// Dump them.
    pub const GETQDISC: u16 = 38;
    /// Make or replace a filter.
    pub const NEWTFILTER: u16 = 44;
    /// Remove a filter, a prio or a chain's content.
    pub const DELTFILTER: u16 = 45;
    /// Dump filters.
    pub const GETTFILTER: u16 = 46;
}

/// `TCA_*`: attributes of every traffic control message (`linux/rtnetlink.h`).
pub mod tca {
    /// Kind of qdisc or filter, NUL-terminated.
    pub const KIND: u16 = 1;
    /// What the kind takes.
    pub const OPTIONS: u16 = 2;
    /// Chain.
    pub const CHAIN: u16 = 11;
    /// Shared block of a qdisc's ingress side; read only when the qdisc is made.
    pub const INGRESS_BLOCK: u16 = 13;
    /// Shared block of its egress side.
    pub const EGRESS_BLOCK: u16 = 14;
}

/// `tcm_*` values and qdisc handles (`linux/pkt_sched.h`, `linux/rtnetlink.h`).
pub mod tcm {
    /// In place of a device's index: the parent is a block number.
    pub const IFINDEX_MAGIC_BLOCK: u32 = 0xffff_ffff;
    /// Parent of clsact and ingress (`TC_H_CLSACT`, `TC_H_INGRESS`).
    pub const PARENT_CLSACT: u32 = 0xffff_fff1;
    /// Handle of clsact and ingress.
    pub const HANDLE_CLSACT: u32 = 0xffff_0000;
    /// Parent of filters on a device's ingress (`TC_H_MIN_INGRESS`).
    pub const PARENT_INGRESS: u32 = 0xffff_fff2;
    /// Parent of filters on its egress.
    pub const PARENT_EGRESS: u32 = 0xffff_fff3;
}

/// `TCA_ACT_*`: attributes of an action (`linux/pkt_cls.h`).
pub mod act {
    /// Kind, NUL-terminated.
    pub const KIND: u16 = 1;
    /// What the kind takes; nested, and act_ct insists on the flag.
    pub const OPTIONS: u16 = 2;
    /// Statistics (dump only).
    pub const STATS: u16 = 4;
    /// Up to [`super::COOKIE_MAX`] bytes of ours.
    pub const COOKIE: u16 = 6;
    /// Bits (value and selector) of `no_percpu` and the like.
    pub const FLAGS: u16 = 7;
    /// Which hardware counters are wanted.
    pub const HW_STATS: u16 = 8;
    /// Which are in use (dump only).
    pub const USED_HW_STATS: u16 = 9;
    /// How many devices took it (dump only).
    pub const IN_HW_COUNT: u16 = 10;
}

/// `TCA_STATS_*` (`linux/gen_stats.h`).
pub mod stats {
    /// Bytes (u64) and packets (u32).
    pub const BASIC: u16 = 1;
    /// Queue length, backlog, drops, requeues, overlimits (u32 each).
    pub const QUEUE: u16 = 3;
    /// Where drops lie in it.
    pub const QUEUE_DROPS: usize = 8;
    /// Where overlimits lie in it.
    pub const QUEUE_OVERLIMITS: usize = 16;
    /// Packets as u64.
    pub const PKT64: u16 = 8;
}

/// act_gact (`linux/tc_act/tc_gact.h`).
pub mod gact {
    /// Times (dump only).
    pub const TM: u16 = 1;
    /// The common header.
    pub const PARMS: u16 = 2;
    /// Padding (dump only).
    pub const PAD: u16 = 4;
}

/// act_mirred (`linux/tc_act/tc_mirred.h`).
pub mod mirred {
    /// Times (dump only).
    pub const TM: u16 = 1;
    /// The common header, what to do (i32), ifindex (u32).
    pub const PARMS: u16 = 2;
    /// Padding (dump only).
    pub const PAD: u16 = 3;
    /// Send out of the device instead.
    pub const EGRESS_REDIR: i32 = 1;
    /// Send a copy out of the device.
    pub const EGRESS_MIRROR: i32 = 2;
    /// Receive on the device instead.
    pub const INGRESS_REDIR: i32 = 3;
    /// Receive a copy on the device.
    pub const INGRESS_MIRROR: i32 = 4;
}

/// act_ct (`linux/tc_act/tc_ct.h`). Parsed strictly: an unknown attribute or a wrong size is refused.
pub mod ct {
    /// The common header.
    pub const PARMS: u16 = 1;
    /// Times (dump only).
    pub const TM: u16 = 2;
    /// Bits below, u16.
    pub const ACTION: u16 = 3;
    /// Zone, u16.
    pub const ZONE: u16 = 4;
    /// Mark, u32.
    pub const MARK: u16 = 5;
    /// Its mask.
    pub const MARK_MASK: u16 = 6;
    /// Label, 16 bytes.
    pub const LABELS: u16 = 7;
    /// Its mask.
    pub const LABELS_MASK: u16 = 8;
    /// First IPv4 address.
    pub const NAT_IPV4_MIN: u16 = 9;
    /// Last; the first if left out.
    pub const NAT_IPV4_MAX: u16 = 10;
    /// First IPv6 address.
    pub const NAT_IPV6_MIN: u16 = 11;
    /// Last.
    pub const NAT_IPV6_MAX: u16 = 12;
    /// First port, big-endian.
    pub const NAT_PORT_MIN: u16 = 13;
    /// Last.
    pub const NAT_PORT_MAX: u16 = 14;
    /// Padding (dump only).
    pub const PAD: u16 = 15;
    /// Helper, NUL-terminated (6.2).
    pub const HELPER_NAME: u16 = 16;
    /// Its address family, u8.
    pub const HELPER_FAMILY: u16 = 17;
    /// Its IP protocol, u8.
    pub const HELPER_PROTO: u16 = 18;

    /// Commit.
    pub const ACT_COMMIT: u16 = 1;
    /// End an existing connection of the other direction.
    pub const ACT_FORCE: u16 = 2;
    /// Forget the entry.
    pub const ACT_CLEAR: u16 = 4;
    /// Translate.
    pub const ACT_NAT: u16 = 8;
    /// ... the source.
    pub const ACT_NAT_SRC: u16 = 16;
    /// ... the destination.
    pub const ACT_NAT_DST: u16 = 32;
}

/// act_police (`TCA_POLICE_*` of `linux/pkt_cls.h`).
pub mod police {
    /// `struct tc_police`.
    pub const TBF: u16 = 1;
    /// Rate table: must be there with a byte rate, its content is not used.
    pub const RATE: u16 = 2;
    /// Control of packets that conform, i32.
    pub const RESULT: u16 = 5;
    /// Times (dump only).
    pub const TM: u16 = 6;
    /// Padding (dump only).
    pub const PAD: u16 = 7;
    /// Bytes per second where they pass 32 bits.
    pub const RATE64: u16 = 8;
    /// Packets per second, u64 (5.13).
    pub const PKTRATE64: u16 = 10;
    /// Burst of packets, as the time they take at that rate, in ticks, u64.
    pub const PKTBURST64: u16 = 11;
    /// Bytes of `struct tc_police`.
    pub const TBF_SIZE: usize = 56;
    /// Where `mtu` lies in it.
    pub const TBF_MTU: std::ops::Range<usize> = 16..20;
    /// Where the rate's `cell_log` lies.
    pub const TBF_CELL_LOG: std::ops::Range<usize> = 20..21;
    /// Where its `cell_align` lies.
    pub const TBF_CELL_ALIGN: std::ops::Range<usize> = 24..26;
    /// Where its bytes per second lie.
    pub const TBF_RATE: std::ops::Range<usize> = 28..32;
    /// Where `refcnt`, `bindcnt` and `capab` lie in it: bookkeeping.
    pub const TBF_BOOKKEEPING: std::ops::Range<usize> = 44..56;
    /// Entries of the rate table (`TC_RTAB_SIZE / 4`).
    pub const RTAB_ENTRIES: u32 = 256;
    /// `TC_LINKLAYER_ETHERNET`.
    pub const LINKLAYER_ETHERNET: u8 = 1;
    /// A tick of the packet scheduler in nanoseconds (`1 << PSCHED_SHIFT`, `include/net/pkt_sched.h`).
    pub const TICK_NS: u32 = 64;
}

/// `struct tc_gen`, the header common to gact, mirred and ct: index, capab, action, refcnt, bindcnt; 4 bytes each.
pub mod tc_gen {
    /// Bytes.
    pub const SIZE: usize = 20;
    /// Where the control value lies.
    pub const ACTION: std::ops::Range<usize> = 8..12;
}

/// `struct tcf_t`, the times of an action (`linux/pkt_cls.h`): u64 each, in clock ticks before the dump.
pub mod tcf_t {
    /// Since it was made.
    pub const INSTALL: std::ops::Range<usize> = 0..8;
    /// Ticks of a second (`USER_HZ`, the same on every machine that user space sees).
    pub const HZ: u64 = 100;
}

/// Most actions of a filter (`TCA_ACT_MAX_PRIO`); higher numbers are silently ignored.
pub const ACTIONS_MAX: u16 = 32;

/// Attributes of an acknowledgement (`NLMSGERR_ATTR_*`, `linux/netlink.h`).
pub mod nlmsgerr {
    /// The kernel's words.
    pub const MSG: u16 = 1;
}

/// `CAP_NET_ADMIN` (`linux/capability.h`).
pub const CAP_NET_ADMIN: u32 = 12;

/// Address families (`linux/socket.h`).
pub mod af {
    /// IPv4.
    pub const INET: u8 = 2;
    /// IPv6.
    pub const INET6: u8 = 10;
}

/// Error numbers (`asm-generic/errno*.h`) that traffic control is known to answer with, and their names.
pub const ERRNO_NAMES: [(i32, &str); 19] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (4, "EINTR"),
    (5, "EIO"),
    (7, "E2BIG"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (19, "ENODEV"),
    (22, "EINVAL"),
    (28, "ENOSPC"),
    (34, "ERANGE"),
    (90, "EMSGSIZE"),
    (93, "EPROTONOSUPPORT"),
    (95, "EOPNOTSUPP"),
    (105, "ENOBUFS"),
    (110, "ETIMEDOUT"),
];

/// Error numbers that the loader tells apart.
pub mod errno {
    /// Not permitted.
    pub const EPERM: i32 = 1;
    /// No such thing.
    pub const ENOENT: i32 = 2;
    /// No such device.
    pub const ENODEV: i32 = 19;
    /// Invalid.
    pub const EINVAL: i32 = 22;
    /// Not supported.
    pub const EOPNOTSUPP: i32 = 95;
    /// Answers were lost: the receive buffer is full.
    pub const ENOBUFS: i32 = 105;
}
