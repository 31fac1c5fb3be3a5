//! Apply, read back, switch, fail and remove on a real kernel: hand-made Programs, each test in a network namespace of its own.
//!
//! `lab/run netlink` runs them: they take root, act_ct and flower. What such a
//! kernel held once is kept in
//! `tests/netlink/kernel.txt`, so that the comparison itself is tested everywhere.

#[cfg(test)]
mod lab {
    use std::collections::BTreeMap;
    use std::process::Command;

    use ctpolicy::abi::{eth, ipproto};
    use ctpolicy::emit::netlink::action::Context;
    use ctpolicy::emit::netlink::compare::hex;
    use ctpolicy::emit::netlink::live::{LiveBlock, LiveFilter};
    use ctpolicy::emit::netlink::load::{Part, differences};
    use ctpolicy::emit::netlink::socket::Socket;
    use ctpolicy::emit::netlink::{ApplyError, ApplyOptions, Outcome, Receipt, Session};
    use ctpolicy::emit::program::{
        Action, Attached, BLOCK_BASE, Chain, Commit, Control, Ct, CtHelper, CtNat, Filter, Mirred, NatAddr, Placement,
        Police, Program, Role, RuleRef,
    };
    use ctpolicy::field::{Cond, Field, Key};
    use ctpolicy::ir::policy::{Hook, Limit, NatSide};

    const DROP: Action = Action::Gact(Control::Drop);
    const PASS: Action = Action::Gact(Control::Pass);

    /// Runs the test of this name again in an empty network namespace; true in that second run.
    fn inside(name: &str) -> bool {
        if std::env::var_os("CTPOLICY_LAB_INSIDE").is_some() {
            sh(
                "ip link set lo up && for i in 0 1 2; do ip link add eth$i type veth peer name peer$i && ip link set eth$i up; done",
            );
            return true;
        }
        let me = std::env::current_exe().unwrap();
        let status = Command::new("unshare")
            .arg("-n")
            .arg(me)
            .args([format!("lab::{name}").as_str(), "--exact", "--nocapture", "--ignored"])
            .env("CTPOLICY_LAB_INSIDE", "1")
            .status()
            .unwrap();
        assert!(status.success(), "{name} failed in its namespace");
        false
    }

    fn sh(command: &str) -> String {
        let out = Command::new("sh").args(["-c", command]).output().unwrap();
        assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    fn rules() -> Vec<RuleRef> {
        let rule = |role, ident, text: &str| RuleRef {
            policy: "p".to_owned(),
            position: 1,
            text: text.to_owned(),
            annotations: Vec::new(),
            role,
            ident,
            meaning: 7,
            place: format!("t.pol:{ident}:1"),
        };
        vec![
            rule(Role::Entry, 0, "entry"),
            rule(Role::Rule, 1, "the first rule"),
            rule(Role::Rule, 2, "the second rule"),
            rule(Role::Default, 3, "default drop"),
        ]
    }

    fn filter(prio: u16, handle: u32, protocol: u16, keys: Vec<Key>, actions: Vec<Action>) -> Filter {
        Filter { prio, handle, protocol, keys, actions: actions.into(), rule: 1 }
    }

    fn entry() -> Chain {
        let one = |prio, protocol, action| Filter { rule: 0, ..filter(prio, 1, protocol, Vec::new(), vec![action]) };
        let track = Action::Ct(Ct::Track { zone: 7, nat: true }, Control::Goto(1));
        Chain {
            index: 0,
            title: "entry".to_owned(),
            filters: vec![
                one(1, eth::P_IP, track.clone()),
                one(2, eth::P_IPV6, track),
                one(3, eth::P_ALL, Action::Gact(Control::Goto(2))),
            ],
        }
    }

    fn default(prio: u16) -> Filter {
        Filter { rule: 3, ..filter(prio, 1, eth::P_ALL, Vec::new(), vec![DROP]) }
    }

    fn attached(devices: &[&str], hook: Hook, mut filters: Vec<Filter>) -> Attached {
        filters.push(default(9000));
        Attached {
            name: "p".to_owned(),
            devices: devices.iter().map(|name| (*name).to_owned()).collect(),
            hook,
            entry: entry(),
            chains: vec![
                Chain { index: 1, title: "rules".to_owned(), filters },
                Chain { index: 2, title: "other frames".to_owned(), filters: vec![default(1)] },
            ],
        }
    }

    fn program(digest: u64, attaches: Vec<Attached>) -> Program {
        Program { attaches, rules: rules(), digest }
    }

    fn simple(digest: u64, devices: &[&str]) -> Program {
        let allow = filter(1, 1, eth::P_IP, vec![Key::exact(Field::Ipv4Src, digest.into())], vec![PASS]);
        program(digest, vec![attached(devices, Hook::Ingress, vec![allow])])
    }

    fn apply(program: &Program) -> Result<Receipt, ApplyError> {
        Session::open().unwrap().apply(program, ApplyOptions::default())
    }

    /// All that tc can say of our devices and blocks, without what changes by itself.
    fn snapshot() -> String {
        let mut out = sh("tc qdisc show | grep -E 'clsact|ingress' | sort || true");
        for block in 1..12 {
            let block = BLOCK_BASE + block;
            out += &sh(&format!(
                "tc filter show block {block} 2>/dev/null | sed 's/ref [0-9]* bind [0-9]*//; s/index [0-9]*//' || true"
            ));
        }
        out
    }

    fn bits(field: Field, value: u128, mask: u128) -> Key {
        Key { field, cond: Cond::Bits { value, mask } }
    }

    /// One filter for each field and layout.
    fn every_key() -> Vec<Filter> {
        let x = Key::exact;
        let proto = |number: u8| x(Field::IpProto, number.into());
        let range = |field, lo, hi| Key { field, cond: Cond::Range { lo, hi } };
        let v6 = |text: &str| u128::from(text.parse::<std::net::Ipv6Addr>().unwrap());
        let name = |name: &str| {
            let mut bytes = [0; 16];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            u128::from_be_bytes(bytes)
        };
        let lists: Vec<(u16, Vec<Key>)> = vec![
            (eth::P_IP, vec![bits(Field::Ipv4Src, 10 << 24, 0xff << 24), x(Field::Ipv4Dst, 0xc000_0201)]),
            (eth::P_IPV6, vec![bits(Field::Ipv6Src, v6("2001:db8::"), u128::MAX << 96), x(Field::Ipv6Dst, v6("::1"))]),
            (
                eth::P_IP,
                vec![
                    proto(ipproto::TCP),
                    x(Field::SrcPort, 1),
                    bits(Field::DstPort, 0x8000, 0xf000),
                    bits(Field::TcpFlags, 2, 0x12),
                ],
            ),
            (eth::P_IP, vec![proto(ipproto::TCP), x(Field::TcpFlags, 2)]),
            (eth::P_IP, vec![proto(ipproto::UDP), range(Field::SrcPort, 1, 1023), range(Field::DstPort, 5000, 6000)]),
            (eth::P_IPV6, vec![proto(ipproto::UDP), range(Field::DstPort, 5000, 6000)]),
            (eth::P_IP, vec![proto(ipproto::SCTP), x(Field::SrcPort, 9), x(Field::DstPort, 10)]),
            (eth::P_IP, vec![proto(ipproto::ICMP), x(Field::IcmpType, 3), x(Field::IcmpCode, 0)]),
            (eth::P_IPV6, vec![proto(ipproto::ICMPV6), bits(Field::IcmpType, 132, 254)]),
            (eth::P_IP, vec![bits(Field::IpTos, 0x20, 0xfc), x(Field::IpTtl, 1), bits(Field::IpFlags, 1, 3)]),
            (eth::P_IP, vec![bits(Field::IpFlags, 0, 1)]),
            (
                eth::P_ALL,
                vec![
                    x(Field::InDev, name("peer0")),
                    bits(Field::EthSrc, 0x0200_0000_0000, 0xffff_ff00_0000),
                    x(Field::EthDst, 5),
                ],
            ),
            (eth::P_8021Q, vec![x(Field::VlanId, 100), x(Field::VlanEthType, eth::P_IP.into()), x(Field::Ipv4Src, 1)]),
            (eth::P_8021Q, vec![x(Field::VlanId, 0)]),
            (eth::P_8021Q, Vec::new()),
            (eth::P_8021Q, vec![x(Field::VlanEthType, eth::P_IPV6.into()), proto(ipproto::TCP), x(Field::DstPort, 80)]),
            (eth::P_ARP, Vec::new()),
            (0x88cc, Vec::new()),
            (
                eth::P_IP,
                vec![
                    bits(Field::CtState, 9, 1 | 2 | 4 | 8 | 16),
                    x(Field::CtZone, 7),
                    bits(Field::CtMark, 1, 0xff),
                    bits(Field::CtLabel, 0x10, 0xff00_00ff),
                ],
            ),
            (eth::P_IP, vec![bits(Field::CtState, 0, 8)]),
            (
                eth::P_IP,
                vec![bits(Field::CtState, 8 | 2, 8 | 2), x(Field::CtMark, 0), x(Field::CtLabel, u128::MAX - 1)],
            ),
            (eth::P_ALL, vec![bits(Field::CtState, 8 | 16, 8 | 16)]),
        ];
        (10..).zip(lists).map(|(prio, (protocol, keys))| filter(prio, 1, protocol, keys, vec![PASS])).collect()
    }

    /// One filter for each action and form of it.
    fn every_action() -> Vec<Filter> {
        let commit = || Commit { zone: 7, force: false, mark: None, label: None, nat: None, helper: None };
        let v4 = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap();
        let v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap();
        let nat = |side, addr, ports| Commit { nat: Some(CtNat { side, addr, ports }), ..commit() };
        let commits = vec![
            commit(),
            Commit { zone: 0, force: true, ..commit() },
            Commit { mark: Some((1, 0xff)), label: Some((0x10, 0xff)), ..commit() },
            Commit { mark: Some((0, u32::MAX)), label: Some((0, u128::MAX)), ..commit() },
            nat(NatSide::Source, NatAddr::V4(v4("192.0.2.1"), v4("192.0.2.1")), None),
            nat(NatSide::Source, NatAddr::V4(v4("192.0.2.1"), v4("192.0.2.9")), Some((1024, 65535))),
            nat(NatSide::Destination, NatAddr::V6(v6("2001:db8::1"), v6("2001:db8::9")), Some((80, 80))),
            nat(NatSide::Destination, NatAddr::V6(v6("2001:db8::1"), v6("2001:db8::1")), None),
            Commit { helper: Some(CtHelper { name: "ftp".to_owned(), v6: false, proto: ipproto::TCP }), ..commit() },
        ];
        let mirred = |ingress, redirect| Action::Mirred(Mirred { device: "eth2".to_owned(), ingress, redirect });
        let police = |budget, limit, conform| Action::Police(Police { budget, limit, conform });
        let mut lists: Vec<Vec<Action>> =
            commits.into_iter().map(|commit| vec![Action::Ct(Ct::Commit(commit), Control::Pipe), PASS]).collect();
        lists.extend([
            vec![Action::Ct(Ct::Track { zone: 0, nat: false }, Control::Goto(2))],
            vec![Action::Ct(Ct::Track { zone: 65535, nat: true }, Control::Pipe), Action::Gact(Control::Goto(2))],
            vec![Action::Ct(Ct::Clear, Control::Pipe), PASS],
            vec![Action::Gact(Control::Continue)],
            vec![mirred(false, false), mirred(false, true)],
            vec![mirred(true, false), mirred(true, true)],
            vec![police(0, Limit::Bytes { rate: 1_250_000, burst: 65536 }, Control::Pipe), PASS],
            vec![police(0, Limit::Bytes { rate: 1_250_000, burst: 65536 }, Control::Pipe), DROP],
            vec![police(1, Limit::Bytes { rate: 12_500_000_000, burst: 1 << 20 }, Control::Continue)],
            vec![police(2, Limit::Packets { rate: 20000, burst: 200 }, Control::Pipe), PASS],
            vec![police(3, Limit::Bytes { rate: 1, burst: 1 }, Control::Pipe), PASS],
        ]);
        (100..).zip(lists).map(|(prio, actions)| filter(prio, 1, eth::P_IP, Vec::new(), actions)).collect()
    }

    fn everything() -> Program {
        let filters = every_key().into_iter().chain(every_action()).collect();
        program(1, vec![attached(&["eth0", "eth1"], Hook::Ingress, filters)])
    }

    /// What a 6.12.117 kernel held of [`everything`]: `held` lines of `everything_reads_back_as_it_was_sent`, run in the lab
    /// with `CTPOLICY_LAB_DUMP=1`, where `eth2` was device 10.
    fn held_by_the_kernel() -> LiveBlock {
        let bytes = |text: &str| -> Vec<u8> {
            (2..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let filters = include_str!("netlink/kernel.txt").lines().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            LiveFilter {
                chain: words[1].parse().unwrap(),
                prio: words[2].parse().unwrap(),
                protocol: words[3].parse().unwrap(),
                handle: words[4].parse().unwrap(),
                attrs: bytes(words[5]),
            }
        });
        LiveBlock { filters: filters.collect() }
    }

    fn compare(block: LiveBlock) -> Vec<String> {
        let program = everything();
        let placement = Placement::fresh(&program);
        let links = BTreeMap::from([("eth2".to_owned(), 10)]);
        let context = Context { generation: 1, links: &links };
        let held = BTreeMap::from([(placement.blocks[0][0], block)]);
        differences(&program, &placement, context, Part::Everything, &held).unwrap()
    }

    #[test]
    fn what_a_kernel_held_is_what_was_sent() {
        assert_eq!(compare(held_by_the_kernel()), Vec::<String>::new());
    }

    #[test]
    fn no_difference_goes_unseen() {
        let whole = held_by_the_kernel();
        for at in 0..whole.filters.len() {
            let place = format!("prio {} ", whole.filters[at].prio);
            let mut less = whole.clone();
            less.filters.remove(at);
            assert!(compare(less).concat().contains("is missing"), "{place}");
            let mut more = whole.clone();
            more.filters.push(LiveFilter { handle: 99, ..whole.filters[at].clone() });
            assert!(compare(more).concat().contains("nobody asked"), "{place}");
            let mut other = whole.clone();
            other.filters[at].attrs.clone_from(&whole.filters[(at + 1) % whole.filters.len()].attrs);
            let same = other.filters[at].canonical() == whole.filters[at].canonical();
            assert!(same || compare(other).concat().contains(&place), "{place}");
        }
    }

    /// An old kernel ignores attributes that it does not know: each one that is left out must show.
    #[test]
    fn no_attribute_can_be_left_out() {
        for filter in held_by_the_kernel().filters {
            let whole = filter.canonical();
            for kind in whole.keys.keys() {
                let mut less = whole.clone();
                less.keys.remove(kind);
                assert!(whole.difference(&less).is_some() && less.difference(&whole).is_some());
            }
            for (at, action) in whole.actions.iter().enumerate() {
                for kind in action.options.keys() {
                    let mut less = whole.clone();
                    less.actions[at].options.remove(kind);
                    assert!(whole.difference(&less).is_some() && less.difference(&whole).is_some());
                }
                let mut bare = whole.clone();
                bare.actions[at].cookie = None;
                assert_eq!(whole.difference(&bare).is_some(), at + 1 == whole.actions.len());
            }
        }
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn everything_reads_back_as_it_was_sent() {
        if !inside("everything_reads_back_as_it_was_sent") {
            return;
        }
        let everything = everything();
        let receipt = apply(&everything).unwrap();
        assert_eq!((receipt.outcome, receipt.placement.generation), (Outcome::Applied, 1));
        assert_eq!(receipt.notes, Vec::<String>::new());
        assert_eq!(receipt.attached, ["eth0", "eth1"]);

        let before = snapshot();
        let again = apply(&everything).unwrap();
        assert_eq!((again.outcome, again.placement.generation), (Outcome::Unchanged, 1));
        assert_eq!(snapshot(), before);

        let live = Session::open().unwrap().live().unwrap();
        if std::env::var_os("CTPOLICY_LAB_DUMP").is_some() {
            for filter in live.blocks.values().flat_map(|block| &block.filters) {
                let LiveFilter { chain, prio, protocol, handle, attrs } = filter;
                println!("held {chain} {prio} {protocol} {handle} {}", hex(attrs));
            }
        }
        assert_eq!(live.current(), Some((1, 1)));
        let count = live.counts(|_, _, _| ())[&()];
        assert_eq!(count.filters + count.entries, receipt.filters);

        // Somebody takes a filter out: the same policy is loaded again as a new generation.
        let block = receipt.placement.blocks[0][0];
        sh(&format!("tc filter del block {block} chain 65537 protocol ip prio 10 handle 1 flower"));
        let repaired = apply(&everything).unwrap();
        assert_eq!((repaired.outcome, repaired.placement.generation), (Outcome::Applied, 2));
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn a_new_program_replaces_the_old_one() {
        if !inside("a_new_program_replaces_the_old_one") {
            return;
        }
        let first = apply(&simple(1, &["eth0", "eth1"])).unwrap();
        let block = first.placement.blocks[0][0];
        let second = apply(&simple(2, &["eth0", "eth1"])).unwrap();
        assert_eq!(second.was.current(), Some((1, 1)));
        assert_eq!(second.placement.generation, 2);
        assert_eq!(second.notes, Vec::<String>::new());
        let shown = sh(&format!("tc filter show block {block}"));
        assert!(shown.contains("chain 131073"), "{shown}");
        assert!(!shown.contains("chain 65537"), "{shown}");
        assert!(shown.contains("src_ip 0.0.0.2") && !shown.contains("src_ip 0.0.0.1"), "{shown}");

        // A dry run changes nothing and says what it would do.
        let before = snapshot();
        let dry =
            Session::open().unwrap().apply(&simple(3, &["eth0", "eth2"]), ApplyOptions { dry_run: true }).unwrap();
        assert_eq!(
            (dry.outcome, dry.attached, dry.detached),
            (Outcome::DryRun, vec!["eth2".to_owned()], vec!["eth1".to_owned()])
        );
        assert_eq!(snapshot(), before);
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn a_refused_filter_leaves_the_old_rules_and_nothing_new() {
        if !inside("a_refused_filter_leaves_the_old_rules_and_nothing_new") {
            return;
        }
        apply(&simple(1, &["eth0"])).unwrap();
        let before = snapshot();
        let twice = |rule| Filter {
            rule,
            ..filter(1, 1 + u32::try_from(rule).unwrap(), eth::P_IP, vec![Key::exact(Field::Ipv4Src, 9)], vec![PASS])
        };
        // eth1 is new: its clsact has to go again as well.
        let bad = program(2, vec![attached(&["eth0", "eth1"], Hook::Ingress, vec![twice(1), twice(2)])]);
        let error = apply(&bad).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ApplyError::Filter { .. }), "{text}");
        assert!(text.contains("t.pol:2:1") && text.contains("EEXIST"), "{text}");
        assert_eq!(snapshot(), before);
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn a_failing_switch_puts_the_old_entries_back() {
        if !inside("a_failing_switch_puts_the_old_entries_back") {
            return;
        }
        apply(&simple(1, &["eth0"])).unwrap();
        let before = snapshot();
        // The second entry gets a key: replacing a filter by one with another mask is refused, after the first was replaced.
        let mut bad = simple(2, &["eth0", "eth1"]);
        bad.attaches[0].entry.filters[1].keys.push(Key::exact(Field::IpTtl, 1));
        let error = apply(&bad).unwrap_err();
        assert!(matches!(error, ApplyError::SwitchedBack { .. }), "{error}");
        assert_eq!(error.exit_code(), 5);
        assert_eq!(snapshot(), before);
        assert_eq!(apply(&simple(1, &["eth0"])).unwrap().outcome, Outcome::Unchanged);
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn devices_come_and_go() {
        if !inside("devices_come_and_go") {
            return;
        }
        let both = |digest, in_devices: &[&str], out_devices: &[&str]| {
            let allow =
                |value: u64| vec![filter(1, 1, eth::P_IP, vec![Key::exact(Field::Ipv4Src, value.into())], vec![PASS])];
            program(
                digest,
                vec![
                    attached(in_devices, Hook::Ingress, allow(digest)),
                    attached(out_devices, Hook::Egress, allow(digest)),
                ],
            )
        };
        apply(&both(1, &["eth0", "eth1"], &["eth0", "eth1"])).unwrap();
        // A device more: a block more for the same policy.
        let more = apply(&both(2, &["eth0", "eth1", "eth2"], &["eth0", "eth1"])).unwrap();
        assert_eq!((more.placement.blocks[0].len(), more.placement.blocks[1].len()), (2, 1));
        assert_eq!(more.notes, Vec::<String>::new());
        // One policy less: its block empties, its devices stay.
        let allow = vec![filter(1, 1, eth::P_IP, Vec::new(), vec![PASS])];
        let less = apply(&program(3, vec![attached(&["eth0", "eth1", "eth2"], Hook::Ingress, allow)])).unwrap();
        let egress = more.placement.blocks[1][0];
        assert_eq!(sh(&format!("tc filter show block {egress}")), "");
        assert_eq!(less.detached, Vec::<String>::new());
        // Devices that share a block cannot part.
        let split = both(4, &["eth0", "eth2"], &["eth1"]);
        assert!(matches!(apply(&split), Err(ApplyError::Split { .. })));
        // Two go.
        let last = apply(&simple(5, &["eth1"])).unwrap();
        assert_eq!(last.detached, ["eth0", "eth2"]);
        assert_eq!(last.notes, Vec::<String>::new());
        assert!(!sh("tc qdisc show dev eth0").contains("clsact"));

        let mut session = Session::open().unwrap();
        let removed = session.remove(None).unwrap();
        assert_eq!((removed.devices, removed.notes), (vec!["eth1".to_owned()], Vec::new()));
        assert_eq!(snapshot(), "");
        assert!(session.live().unwrap().is_empty());
        assert_eq!(session.remove(None).unwrap().devices, Vec::<String>::new());
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn what_others_made_is_named_and_left() {
        if !inside("what_others_made_is_named_and_left") {
            return;
        }
        sh("tc qdisc add dev eth0 clsact && tc filter add dev eth0 ingress protocol ip prio 5 matchall action pass");
        sh("tc qdisc add dev eth1 ingress");
        for device in ["eth0", "eth1"] {
            let before = sh(&format!("tc qdisc show dev {device}; tc filter show dev {device} ingress"));
            let error = apply(&simple(1, &[device, "eth2"])).unwrap_err();
            assert!(matches!(error, ApplyError::Foreign { .. }), "{error}");
            assert!(error.to_string().contains(device), "{error}");
            assert!(error.help().unwrap().contains("tc qdisc del dev"), "{error}");
            assert_eq!(sh(&format!("tc qdisc show dev {device}; tc filter show dev {device} ingress")), before);
            assert!(!sh("tc qdisc show dev eth2").contains("clsact"));
        }
        // A filter of another program inside a block of ours.
        let receipt = apply(&simple(1, &["eth2"])).unwrap();
        let block = receipt.placement.blocks[0][0];
        sh(&format!("tc filter add block {block} chain 0 prio 77 protocol ip flower action pass"));
        let before = snapshot();
        let error = apply(&simple(2, &["eth2"])).unwrap_err();
        assert!(matches!(error, ApplyError::Foreign { .. }) && error.to_string().contains("77"), "{error}");
        assert_eq!(snapshot(), before);
        // Remove takes our filters and leaves theirs.
        let removed = Session::open().unwrap().remove(Some("eth2")).unwrap();
        assert_eq!(removed.notes.len(), 1, "{:?}", removed.notes);
        let left = sh(&format!("tc filter show block {block}"));
        assert!(left.contains("pref 77") && !left.contains("chain 65537") && !left.contains("pref 1 "), "{left}");
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn left_overs_of_a_broken_apply_are_swept() {
        if !inside("left_overs_of_a_broken_apply_are_swept") {
            return;
        }
        let receipt = apply(&simple(1, &["eth0"])).unwrap();
        let block = receipt.placement.blocks[0][0];
        sh(&format!(
            "tc filter add block {block} chain {} protocol ip prio 3 flower action drop cookie c7110002000000010000000000000002",
            2 << 16 | 1
        ));
        // The same policy again: not "unchanged", for there is something to sweep; and generation 2 is taken.
        let again = apply(&simple(1, &["eth0"])).unwrap();
        assert_eq!((again.outcome, again.placement.generation), (Outcome::Applied, 3));
        let shown = sh(&format!("tc filter show block {block}"));
        assert!(!shown.contains(&format!("chain {}", 2 << 16 | 1)), "{shown}");
        assert_eq!(apply(&simple(1, &["eth0"])).unwrap().outcome, Outcome::Unchanged);
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn counters_belong_to_rules() {
        if !inside("counters_belong_to_rules") {
            return;
        }
        sh(
            "ip netns add far && ip link set peer0 netns far && ip -n far addr add 10.0.0.2/24 dev peer0 && ip -n far link set peer0 up && ip addr add 10.0.0.1/24 dev eth0",
        );
        sh(
            "ip neigh add 10.0.0.2 lladdr $(ip -n far -br link show peer0 | awk '{print $3}') dev eth0 && ip -n far neigh add 10.0.0.1 lladdr $(ip -br link show eth0 | awk '{print $3}') dev peer0",
        );
        let police = Action::Police(Police {
            budget: 0,
            limit: Limit::Packets { rate: 1000, burst: 1000 },
            conform: Control::Pipe,
        });
        let icmp = || vec![Key::exact(Field::IpProto, ipproto::ICMP.into())];
        let udp = vec![Key::exact(Field::IpProto, ipproto::UDP.into())];
        let filters = vec![
            filter(1, 1, eth::P_IP, icmp(), vec![police.clone(), PASS]),
            filter(1, 2, eth::P_IP, udp, vec![police, PASS]),
        ];
        apply(&program(1, vec![attached(&["eth0"], Hook::Ingress, filters)])).unwrap();
        sh(
            "ip netns exec far python3 -c 'import socket; [socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"x\", (\"10.0.0.1\", 9)) for _ in range(3)]'; sleep 0.2",
        );
        let live = Session::open().unwrap().live().unwrap();
        let rule = live.counts(|_, _, origin| origin.role)[&Role::Rule];
        assert_eq!((rule.filters, rule.counters.packets), (2, 3));
        sh("ip netns del far");
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn what_is_missing_is_said() {
        if !inside("what_is_missing_is_said") {
            return;
        }
        // The device as the crate lists it, and asked for by name.
        let listed = Session::open().unwrap().devices().unwrap();
        assert_eq!(Socket::open().unwrap().index_of("eth0"), listed.get("eth0").copied());
        assert!(listed.contains_key("eth0"));

        let error = apply(&simple(1, &["eth0", "eth77"])).unwrap_err();
        assert!(matches!(&error, ApplyError::NoDevice { devices, .. } if devices == &["eth77"]), "{error}");
        assert!(error.help().unwrap().contains("eth0"));
        assert_eq!(snapshot(), "");
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn only_the_network_administrator_may() {
        if !inside("only_the_network_administrator_may") {
            return;
        }
        apply(&simple(1, &["eth0"])).unwrap();
        let before = snapshot();
        let mut session = Session::open().unwrap();
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective.remove(rustix::thread::CapabilitySet::NET_ADMIN);
        rustix::thread::set_capabilities(None, sets).unwrap();
        let program = simple(2, &["eth0"]);
        assert!(matches!(session.apply(&program, ApplyOptions::default()), Err(ApplyError::NotPermitted)));
        assert!(matches!(session.remove(None), Err(ApplyError::NotPermitted)));
        // Looking takes no privilege.
        assert_eq!(session.live().unwrap().current(), Some((1, 1)));
        assert_eq!(session.apply(&program, ApplyOptions { dry_run: true }).unwrap().outcome, Outcome::DryRun);
        sets.effective.insert(rustix::thread::CapabilitySet::NET_ADMIN);
        rustix::thread::set_capabilities(None, sets).unwrap();
        assert_eq!(snapshot(), before);
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn two_runs_do_not_interleave() {
        if !inside("two_runs_do_not_interleave") {
            return;
        }
        let lock = ctpolicy::emit::netlink::lock::take().unwrap();
        let error = apply(&simple(1, &["eth0"])).unwrap_err();
        assert!(matches!(error, ApplyError::Busy { .. }), "{error}");
        assert_eq!(snapshot(), "");
        drop(lock);
        apply(&simple(1, &["eth0"])).unwrap();
    }

    #[test]
    #[ignore = "needs the lab's kernel: lab/run netlink"]
    fn a_hundred_thousand_filters() {
        if !inside("a_hundred_thousand_filters") {
            return;
        }
        let many = |digest: u64| {
            let filters = (1..=20_000u32)
                .map(|n| filter(1, n, eth::P_IP, vec![Key::exact(Field::Ipv4Src, n.into())], vec![PASS]));
            program(digest, vec![attached(&["eth0"], Hook::Ingress, filters.collect())])
        };
        for digest in 1..=3 {
            let start = std::time::Instant::now();
            let receipt = apply(&many(digest)).unwrap();
            eprintln!("{} filters: {:?}", receipt.filters, start.elapsed());
        }
        let start = std::time::Instant::now();
        assert_eq!(apply(&many(3)).unwrap().outcome, Outcome::Unchanged);
        eprintln!("unchanged: {:?}", start.elapsed());
    }
}
