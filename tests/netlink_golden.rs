//! Our encoder against iproute2's own bytes (`tests/netlink/`): same header, same attribute tree, order aside.

#[cfg(test)]
mod golden {
    use std::collections::{BTreeMap, BTreeSet};

    use ctpolicy::abi::{act, eth, flower, ipproto, tca};
    use ctpolicy::emit::netlink::action::Context;
    use ctpolicy::emit::netlink::compare::hex;
    use ctpolicy::emit::netlink::message::{self, Request, Slot};
    use ctpolicy::emit::program::{
        Action, Chain, Commit, Control, Ct, CtNat, DeviceBlocks, Filter, Mirred, NatAddr, Police, Program, Role,
        RuleRef, chain_number,
    };
    use ctpolicy::field::table::FIELDS;
    use ctpolicy::field::{Cond, Field, Key};
    use ctpolicy::ir::policy::{Limit, NatSide};
    use netlink_packet_core::NlasIterator;

    const BLOCK: u32 = 203_423_745;
    const DROP: Action = Action::Gact(Control::Drop);
    const PASS: Action = Action::Gact(Control::Pass);

    fn bits(field: Field, value: u128, mask: u128) -> Key {
        Key { field, cond: Cond::Bits { value, mask } }
    }

    fn all(field: Field, value: u128) -> Key {
        Key::exact(field, value)
    }

    fn range(field: Field, lo: u16, hi: u16) -> Key {
        Key { field, cond: Cond::Range { lo, hi } }
    }

    fn commit() -> Commit {
        Commit { zone: 7, force: false, mark: None, label: None, nat: None, helper: None }
    }

    fn mirred(ingress: bool, redirect: bool) -> Action {
        Action::Mirred(Mirred { device: "lo".to_owned(), ingress, redirect })
    }

    fn police(limit: Limit, conform: Control) -> Action {
        Action::Police(Police { budget: 3, limit, conform })
    }

    fn filter(protocol: u16, prio: u16, handle: u32, keys: Vec<Key>, actions: Vec<Action>) -> Request {
        let chain = Chain { index: 1, title: String::new(), filters: Vec::new() };
        put(&chain, Role::Default, &Filter { prio, handle, protocol, keys, actions: actions.into(), rule: 0 })
    }

    fn put(chain: &Chain, role: Role, filter: &Filter) -> Request {
        let origin = RuleRef {
            policy: String::new(),
            position: 1,
            text: String::new(),
            annotations: Vec::new(),
            role,
            ident: 1,
            meaning: 2,
            place: String::new(),
        };
        let program = Program { attaches: Vec::new(), rules: vec![origin], digest: 9 };
        let links = BTreeMap::from([("lo".to_owned(), 1)]);
        let slot = Slot { block: BLOCK, chain, number: chain_number(1, chain.index), filter };
        message::new_filter(slot, &program, Context { generation: 1, links: &links }).unwrap()
    }

    fn ip(actions: Vec<Action>) -> Request {
        filter(eth::P_IP, 3, 1, Vec::new(), actions)
    }

    fn drop(protocol: u16, keys: Vec<Key>) -> Request {
        filter(protocol, 3, 1, keys, vec![DROP])
    }

    fn ct(what: Commit) -> Request {
        ip(vec![Action::Ct(Ct::Commit(what), Control::Pipe), PASS])
    }

    fn v4(text: &str) -> std::net::Ipv4Addr {
        text.parse().unwrap()
    }

    fn v6(text: &str) -> std::net::Ipv6Addr {
        text.parse().unwrap()
    }

    fn label() -> u128 {
        u128::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
    }

    fn ours() -> BTreeMap<&'static str, Request> {
        let all = [qdiscs_and_control(), conntrack(), other_actions(), keys_of_protocols(), other_keys()];
        all.into_iter().flatten().collect()
    }

    fn qdiscs_and_control() -> Vec<(&'static str, Request)> {
        let blocks = DeviceBlocks { device: "lo".to_owned(), ingress: BLOCK, egress: BLOCK + 1 };
        vec![
            ("clsact", message::new_clsact(1, &blocks)),
            ("clsact-gone", message::del_clsact(1)),
            ("flush", message::flush_chain(BLOCK, 65537)),
            ("gact-drop", filter(eth::P_ALL, 9, 1, Vec::new(), vec![DROP])),
            ("gact-pass", filter(eth::P_IP, 3, 5, Vec::new(), vec![PASS])),
            ("gact-continue", filter(eth::P_IP, 3, 5, Vec::new(), vec![Action::Gact(Control::Continue)])),
        ]
    }

    fn conntrack() -> Vec<(&'static str, Request)> {
        let track = |nat| Ct::Track { zone: 7, nat };
        let entry = Filter {
            prio: 2,
            handle: 1,
            protocol: eth::P_IPV6,
            keys: Vec::new(),
            actions: vec![Action::Ct(track(true), Control::Pipe), Action::Gact(Control::Goto(1))].into(),
            rule: 0,
        };
        let snat = CtNat {
            side: NatSide::Source,
            addr: NatAddr::V4(v4("192.0.2.1"), v4("192.0.2.9")),
            ports: Some((1024, 65535)),
        };
        let dnat = CtNat {
            side: NatSide::Destination,
            addr: NatAddr::V6(v6("2001:db8::1"), v6("2001:db8::9")),
            ports: Some((80, 81)),
        };
        let dnat = Action::Ct(Ct::Commit(Commit { nat: Some(dnat), ..commit() }), Control::Pipe);
        let stored =
            Commit { zone: 65535, force: true, mark: Some((1, 0xff)), label: Some((label(), u128::MAX)), ..commit() };
        vec![
            ("entry", put(&Chain { index: 0, title: String::new(), filters: Vec::new() }, Role::Entry, &entry)),
            ("ct-goto", ip(vec![Action::Ct(track(false), Control::Goto(2))])),
            ("ct-clear", ip(vec![Action::Ct(Ct::Clear, Control::Pipe), PASS])),
            ("ct-commit", ct(stored)),
            ("ct-snat", ct(Commit { nat: Some(snat), ..commit() })),
            ("ct-dnat6", filter(eth::P_IPV6, 3, 1, Vec::new(), vec![dnat, PASS])),
        ]
    }

    fn other_actions() -> Vec<(&'static str, Request)> {
        let bytes = |rate, burst| Limit::Bytes { rate, burst };
        vec![
            ("redirect", ip(vec![mirred(false, false), mirred(true, true)])),
            ("mirror-in", ip(vec![mirred(true, false), mirred(false, true)])),
            ("police-bytes", ip(vec![police(bytes(1_250_000, 65536), Control::Pipe), PASS])),
            ("police-slow", ip(vec![police(bytes(1001, 3000), Control::Continue)])),
            ("police-fast", ip(vec![police(bytes(12_500_000_000, 1 << 20), Control::Pipe), PASS])),
            ("police-packets", ip(vec![police(Limit::Packets { rate: 20000, burst: 200 }, Control::Pipe), PASS])),
        ]
    }

    fn keys_of_protocols() -> Vec<(&'static str, Request)> {
        let proto = |number: u8| all(Field::IpProto, number.into());
        let tcp = vec![
            proto(ipproto::TCP),
            bits(Field::Ipv4Src, 10 << 24, 0xff << 24),
            all(Field::Ipv4Dst, u32::from(v4("192.0.2.1")).into()),
            bits(Field::SrcPort, 0x8000, 0xfff0),
            all(Field::DstPort, 80),
            bits(Field::TcpFlags, 2, 0x12),
        ];
        let udp = vec![
            proto(ipproto::UDP),
            bits(Field::Ipv6Src, u128::from(v6("2001:db8::")), u128::MAX << 96),
            all(Field::Ipv6Dst, u128::from(v6("2001:db8::1"))),
            all(Field::SrcPort, 53),
            range(Field::DstPort, 1024, 65535),
        ];
        let sctp = vec![proto(ipproto::SCTP), all(Field::SrcPort, 9), bits(Field::DstPort, 0x100, 0xff00)];
        let icmp = vec![proto(ipproto::ICMP), all(Field::IcmpType, 3), all(Field::IcmpCode, 4)];
        let icmp6 = vec![proto(ipproto::ICMPV6), bits(Field::IcmpType, 132, 254)];
        vec![
            ("tcp", drop(eth::P_IP, tcp)),
            ("udp-range", drop(eth::P_IPV6, udp)),
            ("sctp", drop(eth::P_IP, sctp)),
            ("icmp", drop(eth::P_IP, icmp)),
            ("icmp6", drop(eth::P_IPV6, icmp6)),
        ]
    }

    fn other_keys() -> Vec<(&'static str, Request)> {
        let link = vec![
            all(Field::InDev, u128::from_be_bytes(*b"eth0\0\0\0\0\0\0\0\0\0\0\0\0")),
            bits(Field::EthSrc, 0x0200_0000_0001, 0xffff_ff00_0000),
            all(Field::EthDst, 0x0102_0304_0506),
        ];
        let vlan = vec![
            all(Field::VlanId, 100),
            all(Field::VlanEthType, eth::P_IP.into()),
            bits(Field::Ipv4Src, 10 << 24, 0xff << 24),
        ];
        let header = vec![bits(Field::IpTos, 0x20, 0xfc), all(Field::IpTtl, 1), bits(Field::IpFlags, 1, 3)];
        let state = vec![
            bits(Field::CtState, 1 | 8, 1 | 2 | 8 | 16),
            all(Field::CtZone, 7),
            bits(Field::CtMark, 1, 0xff),
            bits(Field::CtLabel, label() & u128::from(u64::MAX), u64::MAX.into()),
        ];
        vec![
            ("link", drop(eth::P_ALL, link)),
            ("vlan", drop(eth::P_8021Q, vlan)),
            ("header", drop(eth::P_IP, header)),
            ("ct-keys", drop(eth::P_IP, state)),
        ]
    }

    /// Every attribute as its path (numbers with their flags) and payload.
    fn tree(bytes: &[u8]) -> BTreeSet<(Vec<u16>, Vec<u8>)> {
        let mut out = BTreeSet::new();
        walk(&bytes[36..], &mut Vec::new(), &mut out);
        out
    }

    fn walk(bytes: &[u8], path: &mut Vec<u16>, out: &mut BTreeSet<(Vec<u16>, Vec<u8>)>) {
        for nla in NlasIterator::new(bytes) {
            let nla = nla.unwrap();
            let raw = u16::from_ne_bytes([nla.into_inner()[2], nla.into_inner()[3]]);
            path.push(raw);
            let plain: Vec<u16> = path.iter().map(|kind| kind & 0x3fff).collect();
            let nested = matches!(
                plain.as_slice(),
                [tca::OPTIONS] | [tca::OPTIONS, flower::ACT] | [tca::OPTIONS, flower::ACT, _]
            ) || matches!(plain.as_slice(), [tca::OPTIONS, flower::ACT, _, act::OPTIONS]);
            let value = nla.into_inner()[4..usize::from(nla.length())].to_vec();
            if nested {
                out.insert((path.clone(), Vec::new()));
                walk(&value, path, out);
            } else {
                out.insert((path.clone(), value));
            }
            path.pop();
        }
    }

    /// iproute2 leaves out some masks that cover everything; we never do. Both mean the same to the kernel.
    fn fill(tree: &mut BTreeSet<(Vec<u16>, Vec<u8>)>) {
        for (_, attr) in FIELDS.iter().flat_map(|row| row.attrs) {
            let found = tree.iter().find(|(path, _)| *path == [tca::OPTIONS, attr.value]).cloned();
            let (Some((_, value)), Some(mask)) = (found, attr.mask) else { continue };
            let path = vec![tca::OPTIONS, mask];
            if !tree.iter().any(|(other, _)| *other == path) {
                tree.insert((path, vec![0xff; value.len()]));
            }
        }
    }

    fn bytes_of(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn show(tree: &BTreeSet<(Vec<u16>, Vec<u8>)>) -> String {
        let lines: Vec<String> = tree.iter().map(|(path, value)| format!("  {path:?} {}", hex(value))).collect();
        lines.join("\n")
    }

    #[test]
    fn our_messages_are_those_of_iproute2() {
        let ours = ours();
        let text = include_str!("netlink/iproute2.txt");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let mut seen = BTreeSet::new();
        let mut wrong = Vec::new();
        for pair in lines.chunks(2) {
            let (name, command) = pair[0].split_once(' ').unwrap();
            assert!(!pair[1].is_empty(), "{name}: tc sent nothing");
            let theirs = bytes_of(pair[1]);
            let request = ours.get(name).unwrap_or_else(|| panic!("no message of ours for {name}"));
            let bytes = request.bytes(0, true);
            // Length may differ by the masks; sequence number and port do by nature.
            assert_eq!(bytes[4..8], theirs[4..8], "{name}: type and flags");
            assert_eq!(bytes[16..36], theirs[16..36], "{name}: tcmsg");
            let (mine, mut theirs) = (tree(&bytes), tree(&theirs));
            fill(&mut theirs);
            if mine != theirs {
                let only_ours = mine.difference(&theirs).cloned().collect();
                let only_theirs = theirs.difference(&mine).cloned().collect();
                let (ours, theirs) = (show(&only_ours), show(&only_theirs));
                wrong.push(format!("{name}: tc {command}\n only ours\n{ours}\n only iproute2\n{theirs}"));
            }
            seen.insert(name.to_owned());
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(seen.len(), ours.len(), "every message of ours has its command in cases.txt");
    }
}
