//! Hand-built examples, each a sentence of language.md section 3.

use std::sync::Arc;

use super::eval;
use crate::abi::{eth, ipproto};
use crate::field::{Cond, Field};
use crate::ir::outcome::{Fate, Origin, Outcome, Translation};
use crate::ir::packet::{CtView, Fragment, Packet};
use crate::ir::policy::{
    Alt, Attach, Hook, Limit, Link, Nat, NatBits, NatSide, Policy, Rule, RuleInfo, State, StateSet, Verdict,
};
use crate::source::Span;

fn info(ident: u32) -> RuleInfo {
    RuleInfo {
        span: Span::default(),
        policy: "".into(),
        position: ident as usize,
        said: None,
        annotations: Vec::new(),
        ident,
        meaning: 0,
    }
}

fn alt(sets: &[(Field, Vec<Cond>)]) -> Alt {
    Alt {
        link: Link::Ip4,
        vlan: None,
        not_in: Vec::new(),
        sets: sets.iter().map(|(field, conds)| (*field, conds.clone().into())).collect(),
    }
}

/// A rule for all IPv4 packets.
fn rule(ident: u32, verdict: Verdict, states: StateSet) -> Rule {
    Rule {
        info: info(ident),
        verdict,
        pass: 0,
        states,
        snat: None,
        dnat: None,
        mark: None,
        label: None,
        alts: vec![alt(&[])],
        actions: Arc::default(),
    }
}

fn policy(passes: &[u16], rules: Vec<Rule>) -> Policy {
    let attach = Attach {
        name: String::new(),
        span: Span::default(),
        devices: vec!["eth0".to_owned()],
        hook: Hook::Ingress,
        passes: passes.to_vec(),
        prefilter: Vec::new(),
        rules,
        default: info(0),
        default_allow: false,
    };
    Policy {
        attaches: vec![attach],
        nat_bits: NatBits::default(),
        nat_bits_used: false,
        translating: [].into(),
        asserts: Vec::new(),
    }
}

fn tcp(port: u128) -> Packet {
    let fields = [(Field::IpProto, ipproto::TCP.into()), (Field::DstPort, port)];
    Packet::new(eth::P_IP, "eth0", &fields)
}

fn in_zone(mut packet: Packet, zone: u16, state: State, mark: u32) -> Packet {
    packet.zones.insert(zone, CtView { state, mark, label: 0, translated: false });
    packet
}

fn run(policy: &Policy, packet: &Packet) -> Outcome {
    eval(policy, &policy.attaches[0], packet)
}

fn by(outcome: &Outcome) -> u32 {
    if let Origin::Rule { ident, .. } = outcome.rule { ident } else { 0 }
}

fn port(lo: u16, hi: u16) -> Vec<Alt> {
    let proto = Cond::exact(Field::IpProto, ipproto::TCP.into());
    vec![alt(&[(Field::IpProto, vec![proto]), (Field::DstPort, vec![Cond::Range { lo, hi }])])]
}

#[test]
fn the_first_rule_that_matches_decides() {
    let mut first = rule(1, Verdict::Drop, StateSet::ALL);
    first.alts = port(80, 90);
    let policy = policy(&[], vec![first, rule(2, Verdict::Allow, StateSet::ALL)]);
    assert_eq!((by(&run(&policy, &tcp(80))), run(&policy, &tcp(80)).verdict), (1, Fate::Drop));
    assert_eq!((by(&run(&policy, &tcp(91))), run(&policy, &tcp(91)).verdict), (2, Fate::Accept));
}

#[test]
fn arp_survives_default_drop_but_not_a_prefilter() {
    let mut policy = policy(&[7], Vec::new());
    let arp = Packet::new(eth::P_ARP, "eth0", &[]);
    assert_eq!(run(&policy, &arp).rule, Origin::Implicit);
    assert_eq!(run(&policy, &arp).verdict, Fate::Accept);
    let tagged = Packet { vlan: Some(5), ..arp.clone() };
    assert_eq!(run(&policy, &tagged).rule, Origin::Default, "no rule names vlan 5");
    let mut drop = rule(1, Verdict::Drop, StateSet::ALL);
    drop.alts[0].link = Link::Ether(eth::P_ARP);
    policy.attaches[0].prefilter = vec![drop];
    assert_eq!(by(&run(&policy, &arp)), 1);
}

#[test]
fn allow_commits_what_is_new_and_re_marks_what_is_established() {
    let mut policy = policy(&[7], vec![rule(1, Verdict::Allow, StateSet::ALL)]);
    assert_eq!(run(&policy, &tcp(80)).commits.len(), 1);
    let established = in_zone(tcp(80), 7, State::Established, 0);
    assert!(run(&policy, &established).commits.is_empty());
    assert!(run(&policy, &in_zone(tcp(80), 7, State::Invalid, 0)).commits.is_empty());
    Arc::make_mut(&mut policy.attaches[0].rules[0].actions).set_mark = Some((1, 0xf));
    assert_eq!(run(&policy, &established).commits[0].mark, Some((1, 0xf)));
}

#[test]
fn what_continue_sets_is_stored_only_if_the_packet_is_allowed() {
    let mut mark = rule(1, Verdict::Continue, StateSet::of(&[State::New]));
    Arc::make_mut(&mut mark.actions).set_mark = Some((0x11, 0xff));
    let mut allow = rule(2, Verdict::Allow, StateSet::ALL);
    allow.alts = port(80, 90);
    Arc::make_mut(&mut allow.actions).set_mark = Some((0x2, 0xf));
    let policy = policy(&[7], vec![mark, allow]);
    assert_eq!(run(&policy, &tcp(80)).commits[0].mark, Some((0x12, 0xff)));
    assert!(run(&policy, &tcp(22)).commits.is_empty());
}

#[test]
fn the_reply_to_an_snat_connection_is_dnat() {
    let mut rule = rule(1, Verdict::Allow, StateSet::TRACKED);
    rule.dnat = Some(true);
    let mut policy = policy(&[7], vec![rule]);
    policy.nat_bits_used = true;
    let snat = policy.nat_bits.snat;
    assert_eq!(by(&run(&policy, &in_zone(tcp(80), 7, State::EstablishedReply, snat))), 1);
    assert_eq!(by(&run(&policy, &in_zone(tcp(80), 7, State::Established, snat))), 0);
}

#[test]
fn ports_of_fragments_are_seen_after_conntrack_only() {
    let mut allow = rule(1, Verdict::Allow, StateSet::ALL);
    allow.alts = port(0, 1023);
    let fragment = Packet { fragment: Some(Fragment::First), ..tcp(80) };
    assert_eq!(by(&run(&policy(&[], vec![allow.clone()]), &fragment)), 0);
    assert_eq!(by(&run(&policy(&[7], vec![allow]), &fragment)), 1);
}

#[test]
fn tagged_frames_meet_only_rules_with_their_tag() {
    let mut tagged = rule(1, Verdict::Allow, StateSet::ALL);
    tagged.alts[0].vlan = Some(vec![100]);
    let policy = policy(&[], vec![rule(2, Verdict::Drop, StateSet::ALL), tagged]);
    assert_eq!(by(&run(&policy, &Packet { vlan: Some(100), ..tcp(80) })), 1);
    assert_eq!(by(&run(&policy, &Packet { vlan: Some(200), ..tcp(80) })), 0);
}

#[test]
fn arp_is_accepted_by_itself_under_a_tag_that_some_rule_does_not_drop() {
    let arp = |id| Packet { vlan: Some(id), ..Packet::new(eth::P_ARP, "eth0", &[]) };
    let tagged = |ident, verdict, ids: &[u16]| {
        let mut rule = rule(ident, verdict, StateSet::ALL);
        rule.alts[0].vlan = Some(ids.to_vec());
        rule
    };
    let rules = vec![tagged(1, Verdict::Drop, &[100, 666]), tagged(2, Verdict::Allow, &[100, 200])];
    for passes in [&[][..], &[7]] {
        let policy = policy(passes, rules.clone());
        for (id, origin) in
            [(666, Origin::Default), (100, Origin::Implicit), (200, Origin::Implicit), (5, Origin::Default)]
        {
            assert_eq!(run(&policy, &arp(id)).rule, origin, "vlan {id}");
        }
    }
}

fn icmp_error() -> Packet {
    Packet::new(eth::P_IP, "eth0", &[(Field::IpProto, ipproto::ICMP.into()), (Field::IcmpType, 3)])
}

#[test]
fn an_icmp_error_of_a_translated_connection_is_translated() {
    let mut policy = policy(&[7], vec![rule(1, Verdict::Allow, StateSet::ALL)]);
    policy.translating = [7].into();
    let outcome = run(&policy, &in_zone(icmp_error(), 7, State::Related, 0));
    assert_eq!((outcome.passes, outcome.commits), (vec![(7, true)], Vec::new()), "and begins no connection");
    let data = in_zone(tcp(20), 7, State::Related, 0);
    assert_eq!(run(&policy, &data).commits[0].nat, None, "a data connection would take the range");
    policy.nat_bits_used = true;
    let data = in_zone(tcp(20), 7, State::Related, policy.nat_bits.dnat);
    assert_eq!(run(&policy, &data).commits[0].nat, Some(Translation::OnRecord));
}

#[test]
fn an_icmp_error_stores_nothing_in_a_zone_behind_which_it_may_have_been_translated() {
    let mut mark = rule(1, Verdict::Allow, StateSet::of(&[State::Related]));
    Arc::make_mut(&mut mark.actions).set_mark = Some((1, 1));
    let mut policy = policy(&[2, 1], vec![mark]);
    let error = in_zone(in_zone(icmp_error(), 2, State::Related, 0), 1, State::Related, 0);
    assert_eq!(run(&policy, &error).commits[0].mark, Some((1, 1)));
    policy.translating = [1].into();
    assert!(run(&policy, &error).commits.is_empty());
}

#[test]
fn an_error_that_an_earlier_zone_calls_invalid_goes_back_there() {
    let mut policy = policy(&[2, 1], vec![rule(1, Verdict::Allow, StateSet::of(&[State::RelatedReply]))]);
    policy.translating = [1, 2].into();
    let mut error = in_zone(in_zone(icmp_error(), 2, State::Invalid, 0), 1, State::RelatedReply, 0);
    error.again.insert(2, CtView { state: State::RelatedReply, mark: 0, label: 0, translated: true });
    assert_eq!(run(&policy, &error).passes, vec![(2, true), (1, true), (2, true)]);
}

#[test]
fn what_a_zone_knows_is_committed_before_what_begins_and_never_again_by_name() {
    let mut allow = rule(1, Verdict::Allow, StateSet::of(&[State::New]));
    Arc::make_mut(&mut allow.actions).commit_zones = vec![1, 9];
    let policy = policy(&[2, 1], vec![allow]);
    let zones = |packet: &Packet| run(&policy, packet).commits.iter().map(|commit| commit.zone).collect::<Vec<_>>();
    assert_eq!(zones(&tcp(80)), [2, 1, 9]);
    assert_eq!(zones(&in_zone(tcp(80), 1, State::Established, 0)), [2, 9]);
}

#[test]
fn a_translation_goes_with_the_start_and_sets_its_bit() {
    let pool = "203.0.113.2".parse().unwrap();
    let mut allow = rule(1, Verdict::Allow, StateSet::of(&[State::New, State::Established]));
    Arc::make_mut(&mut allow.actions).nat =
        vec![(7, Nat { side: NatSide::Source, v4: Some((pool, pool)), v6: None, ports: Some((1, 2)) })];
    Arc::make_mut(&mut allow.actions).set_mark = Some((1, 1));
    let mut policy = policy(&[7], vec![allow]);
    policy.translating = [7].into();
    policy.nat_bits_used = true;
    let new = run(&policy, &tcp(80));
    let addresses = (pool.into(), pool.into());
    assert_eq!(new.commits[0].nat, Some(Translation::To { side: NatSide::Source, addresses, ports: Some((1, 2)) }));
    assert_eq!(new.commits[0].mark, Some((0x8000_0001, 0x8000_0001)));
    assert_eq!(new.passes, [(7, true)]);
    let later = run(&policy, &in_zone(tcp(80), 7, State::Established, 0));
    assert_eq!((later.commits[0].nat, later.commits[0].mark), (None, Some((1, 1))));
}

#[test]
fn drop_with_a_limit_drops_the_excess() {
    let mut limited = rule(1, Verdict::Drop, StateSet::ALL);
    Arc::make_mut(&mut limited.actions).limit = Some(Limit::Packets { rate: 1, burst: 1 });
    let policy = policy(&[], vec![limited, rule(2, Verdict::Allow, StateSet::ALL)]);
    let outcome = run(&policy, &tcp(80));
    assert_eq!((by(&outcome), outcome.limits), (2, vec![1]));
    let outcome = run(&policy, &Packet { exceeds: vec![1], ..tcp(80) });
    assert_eq!((by(&outcome), outcome.verdict), (1, Fate::Drop));
}

#[test]
fn a_reply_that_a_later_zone_translates_back_meets_the_earlier_one_again() {
    let mut policy = policy(&[2, 1], vec![rule(1, Verdict::Allow, StateSet::of(&[State::EstablishedReply]))]);
    policy.translating = [1, 2].into();
    let mut packet = in_zone(tcp(80), 1, State::EstablishedReply, 0);
    assert_eq!(by(&run(&policy, &packet)), 0, "still new in zone 2");
    let known = CtView { state: State::EstablishedReply, mark: 0, label: 0, translated: true };
    packet.again.insert(2, known);
    let outcome = run(&policy, &packet);
    assert_eq!((by(&outcome), outcome.passes), (1, vec![(2, true), (1, true), (2, true)]));
}

#[test]
fn allow_stateless_commits_nothing_and_clears() {
    let policy = policy(&[7], vec![rule(1, Verdict::AllowStateless, StateSet::ALL)]);
    let outcome = run(&policy, &tcp(80));
    assert!(outcome.commits.is_empty() && outcome.cleared);
}
