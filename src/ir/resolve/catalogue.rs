//! What is built in: services, protocols, ICMP types, DSCP classes, helpers. Numbers are IANA's.

use crate::abi::ipproto::{
    AH, DCCP, ESP, GRE, ICMP, ICMPV6, IGMP, IPIP, L2TP, OSPF, PIM, SCTP, TCP, UDP, UDPLITE, VRRP,
};

/// A service: its name, and the protocols with first and last port.
pub struct Service {
    /// Name after `service`, and after `port` for its ports alone.
    pub name: &'static str,
    /// `(protocol, first port, last port)`
    pub ports: &'static [(u8, u16, u16)],
}

const fn service(name: &'static str, ports: &'static [(u8, u16, u16)]) -> Service {
    Service { name, ports }
}

/// Built-in services.
pub static SERVICES: &[Service] = &[
    service("bgp", &[(TCP, 179, 179)]),
    service("dhcp", &[(UDP, 67, 68)]),
    service("dhcp6", &[(UDP, 546, 547)]),
    service("dns", &[(UDP, 53, 53), (TCP, 53, 53)]),
    service("dns-over-tls", &[(TCP, 853, 853)]),
    service("ftp", &[(TCP, 21, 21)]),
    service("geneve", &[(UDP, 6081, 6081)]),
    service("http", &[(TCP, 80, 80)]),
    service("https", &[(TCP, 443, 443)]),
    service("http3", &[(UDP, 443, 443)]),
    service("ike", &[(UDP, 500, 500), (UDP, 4500, 4500)]),
    service("imap", &[(TCP, 143, 143)]),
    service("imaps", &[(TCP, 993, 993)]),
    service("ipp", &[(TCP, 631, 631)]),
    service("irc", &[(TCP, 6667, 6667)]),
    service("kerberos", &[(UDP, 88, 88), (TCP, 88, 88)]),
    service("ldap", &[(TCP, 389, 389)]),
    service("ldaps", &[(TCP, 636, 636)]),
    service("mdns", &[(UDP, 5353, 5353)]),
    service("mysql", &[(TCP, 3306, 3306)]),
    service("nfs", &[(TCP, 2049, 2049)]),
    service("ntp", &[(UDP, 123, 123)]),
    service("openvpn", &[(UDP, 1194, 1194)]),
    service("pop3", &[(TCP, 110, 110)]),
    service("pop3s", &[(TCP, 995, 995)]),
    service("postgresql", &[(TCP, 5432, 5432)]),
    service("radius", &[(UDP, 1812, 1813)]),
    service("rdp", &[(TCP, 3389, 3389), (UDP, 3389, 3389)]),
    service("rsync", &[(TCP, 873, 873)]),
    service("sip", &[(UDP, 5060, 5060), (TCP, 5060, 5060)]),
    service("smb", &[(TCP, 445, 445)]),
    service("smtp", &[(TCP, 25, 25)]),
    service("smtps", &[(TCP, 465, 465)]),
    service("snmp", &[(UDP, 161, 161)]),
    service("snmptrap", &[(UDP, 162, 162)]),
    service("ssh", &[(TCP, 22, 22)]),
    service("submission", &[(TCP, 587, 587)]),
    service("syslog", &[(UDP, 514, 514)]),
    service("telnet", &[(TCP, 23, 23)]),
    service("tftp", &[(UDP, 69, 69)]),
    service("vnc", &[(TCP, 5900, 5900)]),
    service("vxlan", &[(UDP, 4789, 4789)]),
    service("wireguard", &[(UDP, 51820, 51820)]),
];

/// The built-in service of this name.
#[must_use]
pub fn find_service(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

/// Names after `proto`.
pub static PROTOCOLS: &[(&str, u8)] = &[
    ("ah", AH),
    ("dccp", DCCP),
    ("esp", ESP),
    ("gre", GRE),
    ("icmp", ICMP),
    ("icmp6", ICMPV6),
    ("igmp", IGMP),
    ("ipip", IPIP),
    ("l2tp", L2TP),
    ("ospf", OSPF),
    ("pim", PIM),
    ("sctp", SCTP),
    ("tcp", TCP),
    ("udp", UDP),
    ("udplite", UDPLITE),
    ("vrrp", VRRP),
];

/// The protocol number of a name.
#[must_use]
pub fn find_protocol(name: &str) -> Option<u8> {
    PROTOCOLS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// A name for an ICMP message: type, and code where the name fixes it.
pub type IcmpName = (&'static str, u8, Option<u8>);

/// ICMP messages (RFC 792 and successors).
pub static ICMP_NAMES: &[IcmpName] = &[
    ("echo-reply", 0, None),
    ("destination-unreachable", 3, None),
    ("net-unreachable", 3, Some(0)),
    ("host-unreachable", 3, Some(1)),
    ("protocol-unreachable", 3, Some(2)),
    ("port-unreachable", 3, Some(3)),
    ("fragmentation-needed", 3, Some(4)),
    ("admin-prohibited", 3, Some(13)),
    ("source-quench", 4, None),
    ("redirect", 5, None),
    ("echo-request", 8, None),
    ("router-advertisement", 9, None),
    ("router-solicitation", 10, None),
    ("time-exceeded", 11, None),
    ("ttl-exceeded", 11, Some(0)),
    ("parameter-problem", 12, None),
    ("timestamp-request", 13, None),
    ("timestamp-reply", 14, None),
];

/// ICMPv6 messages (RFC 4443, 4861, 2710, 3810).
pub static ICMP6_NAMES: &[IcmpName] = &[
    ("destination-unreachable", 1, None),
    ("no-route", 1, Some(0)),
    ("admin-prohibited", 1, Some(1)),
    ("address-unreachable", 1, Some(3)),
    ("port-unreachable", 1, Some(4)),
    ("packet-too-big", 2, None),
    ("time-exceeded", 3, None),
    ("hop-limit-exceeded", 3, Some(0)),
    ("parameter-problem", 4, None),
    ("echo-request", 128, None),
    ("echo-reply", 129, None),
    ("mld-query", 130, None),
    ("mld-report", 131, None),
    ("mld-done", 132, None),
    ("router-solicitation", 133, None),
    ("router-advertisement", 134, None),
    ("neighbour-solicitation", 135, None),
    ("neighbor-solicitation", 135, None),
    ("neighbour-advertisement", 136, None),
    ("neighbor-advertisement", 136, None),
    ("redirect", 137, None),
    ("mld2-report", 143, None),
];

/// ICMPv6 types of neighbour discovery and MLD, which every policy accepts by itself (language, section 3.4).
#[must_use]
pub const fn is_neighbour_discovery(icmp6_type: u8) -> bool {
    matches!(icmp6_type, 130..=136 | 143)
}

/// Classes of differentiated services (RFC 2474, 2597, 3246, 5865, 8622).
pub static DSCP_NAMES: &[(&str, u8)] = &[
    ("be", 0),
    ("le", 1),
    ("cs0", 0),
    ("cs1", 8),
    ("cs2", 16),
    ("cs3", 24),
    ("cs4", 32),
    ("cs5", 40),
    ("cs6", 48),
    ("cs7", 56),
    ("af11", 10),
    ("af12", 12),
    ("af13", 14),
    ("af21", 18),
    ("af22", 20),
    ("af23", 22),
    ("af31", 26),
    ("af32", 28),
    ("af33", 30),
    ("af41", 34),
    ("af42", 36),
    ("af43", 38),
    ("va", 44),
    ("ef", 46),
];

/// TCP flags by name (RFC 9293, 3168).
pub static TCP_FLAGS: &[(&str, u16)] =
    &[("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ece", 64), ("cwr", 128)];

/// A conntrack helper.
pub struct Helper {
    /// Name after `helper`.
    pub name: &'static str,
    /// The kernel's name for it.
    pub kernel: &'static str,
    /// Protocols it is registered for.
    pub protos: &'static [u8],
    /// Whether it is registered for IPv6 too.
    pub ip6: bool,
}

const fn helper(name: &'static str, kernel: &'static str, protos: &'static [u8], ip6: bool) -> Helper {
    Helper { name, kernel, protos, ip6 }
}

/// Helpers of the mainline kernel (`net/netfilter/nf_conntrack_*.c`, their `nf_ct_helper_init` calls).
pub static HELPERS: &[Helper] = &[
    helper("amanda", "amanda", &[UDP], true),
    helper("ftp", "ftp", &[TCP], true),
    helper("h323-q931", "Q.931", &[TCP], true),
    helper("h323-ras", "RAS", &[UDP], true),
    helper("irc", "irc", &[TCP], false),
    helper("netbios-ns", "netbios-ns", &[UDP], false),
    helper("pptp", "pptp", &[TCP], false),
    helper("sane", "sane", &[TCP], true),
    helper("sip", "sip", &[UDP, TCP], true),
    helper("snmp", "snmp", &[UDP], false),
    helper("tftp", "tftp", &[UDP], true),
];
