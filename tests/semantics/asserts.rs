//! Assertions against the evaluator: what is said to hold no packet breaks, and what is shown breaks it.

use ctpolicy::abi::{eth, ipproto};
use ctpolicy::diag::Diagnostics;
use ctpolicy::field::Field;
use ctpolicy::ir::eval::eval;
use ctpolicy::ir::outcome::Fate;
use ctpolicy::ir::packet::Packet;
use ctpolicy::ir::policy::{Assertion, Policy, Rule, State, StateSet};
use ctpolicy::source::Span;
use ctpolicy::verify::Budget;
use ctpolicy::verify::asserts::{Answer, alone, answers, check};

use crate::rng::Rng;
use crate::{mutants, number, packets, policies, refused};

const BUDGET: Budget = Budget { nodes: 1 << 22, pieces: 1, attribute: 0, chains: usize::MAX, steps: 1 << 26 };

/// A random rule of another policy, as the resolver would hand it on for this block.
fn asked(rng: &mut Rng, policy: &Policy, block: usize) -> Option<Rule> {
    let attach = &policy.attaches[block];
    let others = policies::policy(rng);
    let rules = if rng.chance(60) { &attach.rules } else { &others.attaches[0].rules };
    if rules.is_empty() {
        return None;
    }
    let mut rule = rng.pick(rules).clone();
    (rule.snat, rule.dnat) = (None, None);
    if !attach.tracked() {
        (rule.pass, rule.states, rule.mark, rule.label) = (0, StateSet::ALL, None, None);
        return Some(rule);
    }
    rule.pass = rng.below(attach.passes.len());
    if rng.chance(50) {
        rule.states = StateSet::of(&[State::New, State::Untracked]);
    }
    if rng.chance(30) {
        rule.alts[0].sets.pop();
    }
    Some(rule)
}

fn is_talk(packet: &Packet) -> bool {
    let icmp6 = packet.ethertype == eth::P_IPV6 && packet.get(Field::IpProto) == Some(ipproto::ICMPV6.into());
    packet.ethertype == eth::P_ARP || icmp6 && matches!(packet.get(Field::IcmpType), Some(130..=136 | 143))
}

/// Whether the assertion speaks of the packet.
fn speaks(policy: &Policy, block: usize, rule: &Rule, packet: &Packet) -> bool {
    let alone = alone(&policy.attaches[block], rule);
    !is_talk(packet) && eval(policy, &alone, packet).verdict == Fate::Drop
}

#[test]
fn an_assertion_holds_where_no_packet_breaks_it() {
    let first = number("CTPOLICY_SEMANTICS_SEED", 1);
    let cases = number("CTPOLICY_SEMANTICS_CASES", 200);
    let (mut holds, mut broken, mut empty, mut spoken) = (0, 0, 0, 0);
    for seed in first..first + cases {
        let mut rng = Rng::new(seed);
        let mut policy = policies::policy(&mut rng);
        if refused(&policy) {
            continue;
        }
        for block in 0..policy.attaches.len() {
            let Some(rule) = asked(&mut rng, &policy, block) else { continue };
            policy.asserts =
                vec![Assertion { name: "a".to_owned(), span: Span::default(), rules: vec![(block, rule.clone())] }];
            let answer = answers(&policy, block, BUDGET).remove(0);
            match &answer {
                Answer::Broken(shown) => {
                    let (packet, outcome) = &**shown;
                    assert!(speaks(&policy, block, &rule, packet), "seed {seed}: {packet:#?}");
                    assert_eq!(&eval(&policy, &policy.attaches[block], packet), outcome, "seed {seed}");
                    assert_ne!(outcome.verdict, Fate::Drop, "seed {seed}: {packet:#?}");
                    broken += 1;
                }
                Answer::Holds => holds += 1,
                Answer::Empty => empty += 1,
                Answer::Undecided(..) => panic!("seed {seed}: undecided"),
            }
            // Packets that nearly fit the assertion, and some that nearly fit the policy.
            let mut near = policy.clone();
            near.attaches[block].rules = vec![rule.clone()];
            for round in 0..60 {
                let packet = packets::packet(&mut rng, if round % 3 == 0 { &policy } else { &near }, block);
                let mut packet = packets::arrived(packet, &policy.attaches[block]);
                packet.exceeds.clear();
                if !speaks(&policy, block, &rule, &packet) {
                    continue;
                }
                spoken += 1;
                let passes = eval(&policy, &policy.attaches[block], &packet).verdict != Fate::Drop;
                assert!(answer != Answer::Empty, "seed {seed}: it speaks of {packet:#?}");
                assert!(!passes || matches!(answer, Answer::Broken(_)), "seed {seed}: {packet:#?} passes");
            }
        }
    }
    println!("{holds} hold, {broken} are broken, {empty} are empty; {spoken} packets");
    if cases >= 200 {
        assert!(holds > 20 && broken > 50 && spoken > 1000);
    }
}

#[test]
fn what_cannot_be_decided_is_an_error() {
    let mut policy = mutants::sample();
    let rules = vec![(0, policy.attaches[0].rules[4].clone())];
    policy.asserts = vec![Assertion { name: "a".to_owned(), span: Span::default(), rules }];
    let findings = |budget: Budget| {
        let mut diags = Diagnostics::default();
        check(&policy, budget, &mut diags);
        diags.list().iter().map(|finding| finding.lint.name).collect::<Vec<_>>()
    };
    assert_eq!(findings(BUDGET), ["broken-assertion"]);
    assert_eq!(findings(Budget { nodes: 8000, pieces: 100, attribute: 0, ..BUDGET }), ["broken-assertion"]);
    assert_eq!(findings(Budget { nodes: 100, pieces: 1, attribute: 0, ..BUDGET }), ["undecided-assertion"]);
}
