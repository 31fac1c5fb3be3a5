use super::{bare, early, good, rule, run, run_files};
use crate::abi::ipproto::{ICMP, ICMPV6, TCP, UDP};
use crate::field::{Cond, Field};
use crate::ir::policy::{Alt, Limit, Link, NatSide, Rule, State, StateSet, Verdict};

fn bits(value: u128, mask: u128) -> Cond {
    Cond::Bits { value, mask }
}

fn exact(field: Field, value: u128) -> Vec<Cond> {
    vec![Cond::exact(field, value)]
}

fn proto(alt: &Alt) -> Option<u128> {
    match alt.asked(Field::IpProto)? {
        [Cond::Bits { value, .. }] => Some(*value),
        _ => None,
    }
}

fn links(rule: &Rule) -> Vec<Link> {
    rule.alts.iter().map(|alt| alt.link).collect()
}

#[test]
fn the_sentence_of_the_readme() {
    let outcome = run("allow established from zone 7, snat 10.0.0.0/24\ndefault drop\n", &bare());
    assert_eq!(outcome.findings.len(), 1, "{:?}", outcome.findings);
    assert!(
        outcome.findings[0].starts_with("1:32 warning[never-new]: no connection is ever translated"),
        "{}",
        outcome.findings[0]
    );
    let attach = &outcome.policy.attaches[0];
    assert_eq!(attach.passes, [7]);
    assert!(outcome.policy.translating.contains(&7));
    assert_eq!(attach.rules[0].states, StateSet::of(&[State::Established, State::EstablishedReply]));
    assert!(attach.rules[0].actions.nat.is_empty());
    assert_eq!(links(&attach.rules[0]), [Link::Ip4]);
}

#[test]
fn the_sample_of_the_language_page() {
    let text = r#"
include "nets.pol"
interface wan = eth0
zone      edge = 7                                  # a conntrack zone, 0..65535
net       office = { 10.0.0.0/24, 2001:db8:7::/48 }
net       blocked = file "drop.txt"
port      web = { 80, 443, 8000-8080 }
group hygiene {
    allow established
    drop  invalid
}
policy to-internet on wan egress zone edge {
    use   hygiene
    allow related
    allow from office, snat 203.0.113.2 port 1024-65535, set mark 0x333
    allow ip6 from office
    allow service dns                               # the gateway's own questions
    default drop
}
policy from-internet on wan ingress zone edge {
    prefilter {
        drop from { blocked, 0.0.0.0/8, 127.0.0.0/8, 240.0.0.0/4 }
        drop tcp flags syn,fin/syn,fin
    }
    use   hygiene
    allow related
    @owner netops  @ticket NET-1412  @until 2027-06-30
    allow tcp to 203.0.113.2 port web, dnat 10.0.0.80, limit 20000pps
    default drop
}
"#;
    let drop = "192.0.2.0/24\n# a comment\n2001:db8:bad::/48 # another\r\n\n198.51.100.1-198.51.100.2\n";
    let outcome = run_files(
        &[("gw.pol", text), ("nets.pol", "net unused = 10.9.0.0/16\n"), ("drop.txt", drop)],
        &super::options(),
    );
    assert_eq!(outcome.findings, Vec::<String>::new());
    let [out, back] = outcome.policy.attaches.as_slice() else { panic!("two policies") };
    assert_eq!((out.devices.as_slice(), out.passes.as_slice()), (["eth0".to_owned()].as_slice(), [7u16].as_slice()));
    assert_eq!(out.rules.len(), 6);
    let snat = &out.rules[3];
    assert_eq!(snat.info.position, 4);
    assert_eq!(
        &text[snat.info.span.lo as usize..snat.info.span.hi as usize],
        "allow from office, snat 203.0.113.2 port 1024-65535, set mark 0x333"
    );
    assert_eq!(links(snat), [Link::Ip4]);
    assert_eq!(snat.alts[0].asked(Field::Ipv4Src), Some([bits(0x0a00_0000, 0xffff_ff00)].as_slice()));
    assert_eq!(snat.actions.set_mark, Some((0x333, u32::MAX)));
    assert_eq!((snat.actions.nat[0].0, snat.actions.nat[0].1.ports), (7, Some((1024, 65535))));
    assert!(!snat.states.contains(State::Invalid) && snat.states.contains(State::New));
    // `allow` without a state word, which has a connection to commit only where it is new.
    assert!(out.rules[4].states.contains(State::Invalid));
    assert_eq!(back.prefilter.len(), 2);
    assert_eq!(back.prefilter[0].alts.len(), 2);
    assert_eq!(back.prefilter[0].alts[0].asked(Field::Ipv4Src).unwrap().len(), 6);
    assert_eq!(back.prefilter[0].alts[1].asked(Field::Ipv6Src).unwrap().len(), 1);
    let dnat = &back.rules[3];
    assert_eq!(dnat.info.annotations[1], ("ticket".to_owned(), "NET-1412".to_owned()));
    assert_eq!(dnat.actions.limit, Some(Limit::Packets { rate: 20000, burst: 2000 }));
    assert_eq!(dnat.actions.nat[0].1.side, NatSide::Destination);
    assert!(!back.default_allow);
    assert_eq!(back.default.position, 7);
    assert!(!outcome.policy.nat_bits_used);
}

#[test]
fn a_rule_without_protocol_speaks_of_both_versions_of_ip() {
    let rule = rule("allow new");
    assert_eq!(links(&rule), [Link::Ip4, Link::Ip6]);
    assert!(rule.alts.iter().all(|alt| alt.sets.is_empty()));
}

#[test]
fn one_alternative_for_each_protocol_with_ports() {
    let rule = rule("allow { tcp, udp } to 10.0.0.1 port { 53, 80, 81, 1000-2000 }");
    assert_eq!(links(&rule), [Link::Ip4; 2]);
    assert_eq!((proto(&rule.alts[0]), proto(&rule.alts[1])), (Some(TCP.into()), Some(UDP.into())));
    let ports = [bits(53, 0xffff), Cond::Range { lo: 80, hi: 81 }, Cond::Range { lo: 1000, hi: 2000 }];
    assert_eq!(rule.alts[1].asked(Field::DstPort), Some(ports.as_slice()));
}

#[test]
fn protocols_alone_share_an_alternative() {
    let rule = rule("allow new ip { tcp, udp }");
    assert_eq!(rule.alts.len(), 1);
    assert_eq!(rule.alts[0].asked(Field::IpProto).unwrap().len(), 2);
}

#[test]
fn a_range_at_one_end_and_a_port_at_the_other_become_masks() {
    let mixed = rule("allow ip udp from port 1024-65535 to port 53");
    assert_eq!(mixed.alts[0].asked(Field::SrcPort).unwrap().len(), 6);
    assert!(mixed.alts[0].asked(Field::SrcPort).unwrap().iter().all(|cond| matches!(cond, Cond::Bits { .. })));
    let ranges = rule("allow ip udp from port 1024-65535 to port 1000-2000");
    assert_eq!(ranges.alts[0].asked(Field::SrcPort), Some([Cond::Range { lo: 1024, hi: 65535 }].as_slice()));
    let whole = rule("allow ip udp from port 0-65535 to port 53");
    assert_eq!((whole.alts[0].asked(Field::SrcPort), proto(&whole.alts[0])), (None, Some(17)));
}

#[test]
fn services_bring_their_protocols() {
    let policy = good(
        "service web = { tcp/80, tcp/443, udp/443 }\npolicy p on eth0 ingress {\nallow ip service { web, dns }\ndefault drop\n}",
    );
    let alts = &policy.attaches[0].rules[0].alts;
    assert_eq!(alts[0].asked(Field::DstPort).unwrap(), [bits(53, 0xffff), bits(80, 0xffff), bits(443, 0xffff)]);
    assert_eq!(alts[1].asked(Field::DstPort).unwrap(), [bits(53, 0xffff), bits(443, 0xffff)]);
    let not = rule("allow new ip service not dns");
    // Other protocols in one alternative, TCP and UDP with their other ports.
    assert_eq!(not.alts[0].asked(Field::IpProto).unwrap().len(), 254);
    assert_eq!(proto(&not.alts[1]), Some(6));
    // 0-52 by masks: tc cannot write a range from 0.
    let ports = not.alts[1].asked(Field::DstPort).unwrap();
    assert_eq!(ports.last(), Some(&Cond::Range { lo: 54, hi: 65535 }));
    for port in 0..=70 {
        assert_eq!(ports.iter().filter(|cond| cond.matches(port)).count(), usize::from(port != 53), "port {port}");
    }
    assert!(!ports.iter().any(|cond| matches!(cond, Cond::Range { lo: 0, .. })));
}

#[test]
fn not_before_an_address_stays_within_each_version() {
    let rule = rule("allow new from not 10.0.0.0/8");
    assert_eq!(links(&rule), [Link::Ip4, Link::Ip6]);
    assert_eq!(rule.alts[0].asked(Field::Ipv4Src).unwrap().len(), 8);
    assert_eq!(rule.alts[1].asked(Field::Ipv6Src), None);
}

#[test]
fn sets_nest_and_take_out() {
    let text = "net lab = { 10.1.0.0/16 }\nnet office = { 10.0.0.0/15, not lab, not { 10.0.128.0/17 } }\n\
                policy p on eth0 ingress { allow from office\ndefault drop\n}";
    let policy = good(text);
    assert_eq!(
        policy.attaches[0].rules[0].alts[0].asked(Field::Ipv4Src),
        Some([bits(0x0a00_0000, 0xffff_8000)].as_slice())
    );
}

#[test]
fn protocols_that_are_not() {
    let rule = rule("allow new not tcp");
    assert_eq!(links(&rule), [Link::Ip4, Link::Ip6]);
    assert_eq!(rule.alts[0].asked(Field::IpProto).unwrap().len(), 255);
    let icmp = super::rule("allow new not icmp");
    assert_eq!(icmp.alts[1].asked(Field::IpProto), None);
}

#[test]
fn icmp_fixes_the_version_and_names_have_codes() {
    let ping = rule("allow icmp echo-request");
    assert_eq!(links(&ping), [Link::Ip4]);
    assert_eq!(proto(&ping.alts[0]), Some(ICMP.into()));
    assert_eq!(ping.alts[0].asked(Field::IcmpType), Some(exact(Field::IcmpType, 8).as_slice()));
    let both = rule("allow icmp { echo-request, fragmentation-needed, 11 }");
    assert_eq!(both.alts.len(), 2);
    assert_eq!(both.alts[0].asked(Field::IcmpType).unwrap(), [bits(3, 0xff)]);
    assert_eq!(both.alts[0].asked(Field::IcmpCode).unwrap(), [bits(4, 0xff)]);
    assert_eq!(both.alts[1].asked(Field::IcmpType).unwrap(), [bits(8, 0xff), bits(11, 0xff)]);
    let six = rule("allow icmp6 type { 1-3, 128 } code 0");
    assert_eq!(links(&six), [Link::Ip6]);
    assert_eq!(proto(&six.alts[0]), Some(ICMPV6.into()));
    assert_eq!(six.alts[0].asked(Field::IcmpType).unwrap(), [bits(1, 0xff), bits(2, 0xfe), bits(128, 0xff)]);
    let proto_word = rule("allow new proto icmp");
    assert_eq!(links(&proto_word), [Link::Ip4]);
    assert_eq!(links(&rule("allow new proto 47")), [Link::Ip4, Link::Ip6]);
}

#[test]
fn frames_beside_ip() {
    let rule = early("drop { arp, tcp } from mac 02:00:00:00:00:01");
    assert_eq!(links(&rule), [Link::Ip4, Link::Ip6, Link::Ether(0x0806)]);
    assert!(
        rule.alts.iter().all(|alt| alt.asked(Field::EthSrc) == Some(exact(Field::EthSrc, 0x0200_0000_0001).as_slice()))
    );
    assert_eq!(links(&super::rule("allow ethertype { 0x88cc, 35142 }")), [Link::Ether(0x88cc), Link::Ether(35142)]);
    assert_eq!(early("allow arp").alts[0].sets, []);
}

#[test]
fn header_details() {
    let rule = rule(
        "allow new ip tcp flags syn/syn,ack,fin,rst dscp { af41, ef } ttl 1-3 vlan { 100, 200-201 } in { lan0, lan1 }",
    );
    let alt = &rule.alts[0];
    assert_eq!(alt.asked(Field::TcpFlags).unwrap(), [bits(2, 0x17)]);
    assert_eq!(alt.asked(Field::IpTos).unwrap(), [bits(34 << 2, 0xfc), bits(46 << 2, 0xfc)]);
    assert_eq!(alt.asked(Field::IpTtl).unwrap(), [bits(1, 0xff), bits(2, 0xfe)]);
    assert_eq!(alt.vlan, Some(vec![100, 200, 201]));
    assert_eq!(alt.asked(Field::InDev).unwrap().len(), 2);
    assert_eq!(
        alt.asked(Field::InDev).unwrap()[0],
        bits(u128::from_be_bytes(*b"lan0\0\0\0\0\0\0\0\0\0\0\0\0"), u128::MAX)
    );
    assert!(alt.sets.is_sorted_by_key(|(field, _)| *field));
    assert_eq!(super::rule("allow new tcp flags not syn").alts[0].sets[0].0, Field::IpProto);
    let not_in = super::rule("allow new in not { b0, a0 }");
    assert_eq!(not_in.alts[0].not_in, ["a0", "b0"]);
    // A flag alone asks for that flag only.
    assert_eq!(super::rule("allow ip tcp flags syn").alts[0].asked(Field::TcpFlags).unwrap(), [bits(2, 2)]);
}

#[test]
fn fragments() {
    for (word, cond) in [("first", bits(3, 3)), ("later", bits(1, 3)), ("any", bits(1, 1)), ("none", bits(0, 1))] {
        let rule = early(&format!("drop ip fragment {word}"));
        assert_eq!(rule.alts[0].asked(Field::IpFlags), Some([cond].as_slice()), "{word}");
    }
    assert_eq!(rule("drop fragment none").alts[0].sets, []);
}

#[test]
fn state_words() {
    use State::{Established, EstablishedReply, Invalid, New, Related, RelatedReply};
    for (words, states) in [
        ("new", vec![New]),
        ("established", vec![Established, EstablishedReply]),
        ("{ established, related }", vec![Established, EstablishedReply, Related, RelatedReply]),
        ("established reply", vec![EstablishedReply]),
        ("original related", vec![Related]),
        ("not established", vec![New, Related, RelatedReply, Invalid]),
        ("not { new, invalid } original", vec![Established, Related]),
        ("tracked reply", vec![EstablishedReply, RelatedReply]),
    ] {
        assert_eq!(rule(&format!("drop {words}")).states, StateSet::of(&states), "{words}");
    }
    assert_eq!(rule("drop tcp").states, StateSet::ALL);
    assert_eq!(early("drop tcp").states, StateSet::ALL);
    let set = rule("allow { new, invalid }, set mark 1");
    assert_eq!(set.states, StateSet::of(&[New]));
}

#[test]
fn reserved_bits_are_used_where_a_rule_asks() {
    let text = "policy p on eth0 ingress zone 1 {\nallow established snat not dnat\nallow mark 5, set mark 0x1/0xff\ndrop mark not 1/0x3\ndefault drop\n}";
    let policy = good(text);
    assert!(policy.nat_bits_used);
    let rules = &policy.attaches[0].rules;
    assert_eq!((rules[0].snat, rules[0].dnat), (Some(true), Some(false)));
    assert_eq!(rules[1].mark, Some(vec![bits(5, 0x3fff_ffff)]));
    assert_eq!(rules[1].actions.set_mark, Some((1, 0xff)));
    assert_eq!(rules[2].mark, Some(vec![bits(0, 3), bits(2, 2)]));
    let other = good("reserve mark 0x3\npolicy p on eth0 ingress zone 1 {\nallow snat\nallow mark 4\ndefault drop\n}");
    assert_eq!((other.nat_bits.snat, other.nat_bits.dnat), (2, 1));
    assert_eq!(other.attaches[0].rules[1].mark, Some(vec![bits(4, 0xffff_fffc)]));
}

#[test]
fn a_helper_where_translations_are_needs_the_bits() {
    let text = |zone: u16| {
        format!(
            "policy p on eth0 ingress zone 1 then 2 {{\nallow new ip tcp to port ftp, helper ftp\n\
             allow new ip udp, snat 192.0.2.1 in zone {zone}\nallow mark 5\ndefault drop\n}}"
        )
    };
    assert!(good(&text(2)).nat_bits_used);
    let apart = good(&text(1));
    assert!(!apart.nat_bits_used);
    assert_eq!(apart.attaches[0].rules[2].mark, Some(vec![bits(5, 0xffff_ffff)]));
    assert_eq!(apart.attaches[0].rules[0].actions.helper.as_ref().unwrap().proto, TCP);
}

#[test]
fn labels_have_128_bits() {
    let rule = rule("allow label { 0x10, 0x0/0xff00 }, set label 0x0123456789ABCDEF0000111222");
    assert_eq!(rule.label, Some(vec![bits(0, 0xff00), bits(0x10, u128::MAX)]));
    assert_eq!(rule.actions.set_label, Some((0x01_2345_6789_ABCD_EF00_0011_1222, u128::MAX)));
}

#[test]
fn zones_and_passes() {
    let text = "zone a = 2\npolicy p on eth0 ingress zone a then 1 {\nallow established\nallow established from zone 2\n\
                allow new from zone 9, snat 192.0.2.1 in zone 4\ndefault drop\n}";
    let policy = good(text);
    let attach = &policy.attaches[0];
    assert_eq!(attach.passes, [2, 1, 9, 4]);
    assert_eq!(attach.rules.iter().map(|rule| rule.pass).collect::<Vec<_>>(), [1, 0, 2]);
    assert_eq!(policy.translating.iter().copied().collect::<Vec<_>>(), [4]);
    // The one zone that rules name is the policy's.
    let one = good("policy p on eth0 ingress {\nallow established from zone 7\ndrop invalid\ndefault drop\n}");
    assert_eq!(one.attaches[0].rules[1].states, StateSet::of(&[State::Invalid]));
    // A zone to commit in is none to pass through.
    let commit = good("policy p on eth0 ingress zone 1 {\nallow stateless new, commit zone 5\ndefault drop\n}");
    assert_eq!(commit.attaches[0].passes, [1]);
    assert_eq!(commit.attaches[0].rules[0].actions.commit_zones, [5]);
    assert_eq!(commit.attaches[0].rules[0].verdict, Verdict::AllowStateless);
}

#[test]
fn translations() {
    let nat = |text: &str| rule(text).actions.nat.clone();
    let pool = nat("allow new, snat 203.0.113.0/24")[0].1;
    assert_eq!(
        pool.v4.map(|(lo, hi)| (lo.to_string(), hi.to_string())),
        Some(("203.0.113.0".into(), "203.0.113.255".into()))
    );
    let v6 = rule("allow new, snat 2001:db8::1-2001:db8::9 port 1-100");
    assert_eq!(links(&v6), [Link::Ip6]);
    let hairpin = nat("allow new tcp to 203.0.113.2, dnat 10.0.0.80 port 8080 in zone 2, snat 10.0.0.1");
    assert_eq!(
        hairpin.iter().map(|(zone, nat)| (*zone, nat.side)).collect::<Vec<_>>(),
        [(2, NatSide::Destination), (1, NatSide::Source)]
    );
    let masq = rule("allow new, masquerade");
    assert_eq!(links(&masq), [Link::Ip4]);
    assert_eq!(masq.actions.nat[0].1.v4.unwrap().0.to_string(), "203.0.113.2");
    let auto = good("policy p on eth0 ingress zone 3 {\nallow established, nat\ndefault drop\n}");
    assert!(auto.translating.contains(&3) && auto.attaches[0].rules[0].actions.nat.is_empty());
}

#[test]
fn limits_have_default_bursts() {
    assert_eq!(rule("allow new, limit 10mbit").actions.limit, Some(Limit::Bytes { rate: 1_250_000, burst: 66560 }));
    assert_eq!(
        rule("drop new, limit 10gbit burst 64kb").actions.limit,
        Some(Limit::Bytes { rate: 1_250_000_000, burst: 65536 })
    );
    assert_eq!(rule("allow new, limit 1pps").actions.limit, Some(Limit::Packets { rate: 1, burst: 1 }));
    // A burst of 1 would hold a little less than one packet at this rate.
    assert_eq!(rule("allow new, limit 3pps burst 1").actions.limit, Some(Limit::Packets { rate: 3, burst: 2 }));
}

#[test]
fn stateless_outside_tracking_is_plain_allow() {
    let policy = good("policy p on eth0 ingress {\nallow stateless tcp\ndefault drop\n}");
    assert_eq!(policy.attaches[0].rules[0].verdict, Verdict::Allow);
}

#[test]
fn the_meaning_hash_is_blind_to_spelling_and_sees_every_change() {
    let meaning = |text: &str| rule(text).info.meaning;
    let same = meaning("allow new tcp from 10.0.0.0/31 to port 80");
    assert_eq!(same, meaning("# moved\nallow   tcp to port { 80 } from { 10.0.0.1, 10.0.0.0 } new # why"));
    for other in [
        "drop new tcp from 10.0.0.0/31 to port 80",
        "allow established tcp from 10.0.0.0/31 to port 80",
        "allow new udp from 10.0.0.0/31 to port 80",
        "allow new tcp from 10.0.0.0/30 to port 80",
        "allow new tcp from 10.0.0.0/31 to port 81",
        "allow new tcp from 10.0.0.0/31 to port 80, set mark 1",
        "allow new tcp from 10.0.0.0/31 to port 80 from zone 2",
        "allow stateless new tcp from 10.0.0.0/31 to port 80",
    ] {
        assert_ne!(same, meaning(other), "{other}");
    }
    assert_ne!(rule("drop tcp").info.meaning, early("drop tcp").info.meaning);
    // The hash must never change between releases without need: live rules are recognised by it.
    let with_id = rule("@id web\nallow new");
    assert_eq!(with_id.info.ident, crate::hash::fnv32("@id:web"));
    assert_eq!(rule("allow new").info.ident, crate::hash::fnv32("p/1"));
}

#[test]
fn groups_count_where_they_are_used() {
    let text = "group b { drop udp\n use c }\ngroup c { drop tcp }\npolicy p on eth0 ingress {\nprefilter { use c }\nuse b\n@id x\nallow sctp\ndefault allow\n}";
    let policy = good(text);
    let attach = &policy.attaches[0];
    let positions: Vec<usize> = attach.all_rules().map(|rule| rule.info.position).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
    let span = attach.rules[1].info.span;
    assert_eq!(&text[span.lo as usize..span.hi as usize], "drop tcp");
    assert!(attach.default_allow);
    assert_eq!(attach.default.position, 5);
}

#[test]
fn bare_rules_end_in_drop() {
    let outcome = run("allow tcp to port 22\n", &bare());
    let attach = &outcome.policy.attaches[0];
    assert_eq!((attach.name.as_str(), attach.devices[0].as_str(), attach.default_allow), ("", "eth0", false));
    assert!(outcome.findings[0].contains("warning[implied-default]"), "{:?}", outcome.findings);
    let mut open = bare();
    open.default_allow = true;
    let outcome = run("drop tcp to port 22 fragment none\n", &open);
    assert!(outcome.policy.attaches[0].default_allow);
}

#[test]
fn a_hundred_thousand_lines_are_few_prefixes() {
    let lines = (0..100_000u32).map(|i| format!("10.{}.{}.{}", i >> 16, (i >> 8) & 255, i & 255));
    let drop = lines.collect::<Vec<_>>().join("\n");
    let text = "net bad = file \"drop.txt\"\npolicy p on eth0 ingress {\ndrop from bad\ndefault allow\n}";
    let outcome = run_files(&[("t.pol", text), ("drop.txt", &drop)], &super::options());
    assert_eq!(outcome.findings, Vec::<String>::new());
    // 100,000 consecutive addresses: one block for each bit of 100,000.
    assert_eq!(outcome.policy.attaches[0].rules[0].alts[0].asked(Field::Ipv4Src).unwrap().len(), 6);
}
