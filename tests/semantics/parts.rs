//! Proofs chain by chain: long lists that are cut are proven so, and nothing is that the proof as a whole refutes.

use ctpolicy::abi::ipproto;
use ctpolicy::emit::program::{Action, Control, Filter, Program, Role};
use ctpolicy::field::{Cond, Conds, Field};
use ctpolicy::ir::policy::{
    Actions, Alt, Attach, Hook, Link, NatBits, Policy, Rule, RuleInfo, State, StateSet, Verdict,
};
use ctpolicy::optimize::price::Scale;
use ctpolicy::source::Span;
use ctpolicy::verify::{Budget, Failure, prove};

use crate::rng::Rng;
use crate::{compile_at, number};

const WHOLE: Budget = Budget { nodes: 1 << 22, pieces: 1, attribute: 1 << 22, chains: usize::MAX, steps: 1 << 26 };
const PARTS: Budget = Budget { chains: 0, ..WHOLE };

fn info(ident: u32) -> RuleInfo {
    RuleInfo {
        span: Span::default(),
        policy: "p".into(),
        position: ident as usize,
        said: Some(format!("rule {ident}").leak()),
        annotations: Vec::new(),
        ident,
        meaning: u64::from(ident) << 32,
    }
}

/// A prefix out of few networks, so that rules meet; nothing in one of five cases.
fn prefix(rng: &mut Rng, field: Field) -> Option<(Field, Conds)> {
    if rng.chance(20) {
        return None;
    }
    let value = *rng.pick(&[0x0a00_0000, 0x0a01_0000, 0x0a01_0200, 0xc0a8_0001, 0xc0a8_0102, 0xcb00_7105]);
    let mask = u128::from(u32::MAX << *rng.pick(&[0, 0, 1, 8, 16, 24]));
    Some((field, Cond::Bits { value: (value | rng.below(4) as u128) & mask, mask }.into()))
}

fn rule(rng: &mut Rng, ident: u32, tracked: bool) -> Rule {
    let mut sets: Vec<(Field, Conds)> = Vec::new();
    let port = rng.chance(60);
    if port || rng.chance(30) {
        let proto = *rng.pick(&[ipproto::TCP, ipproto::UDP]);
        sets.push((Field::IpProto, Cond::exact(Field::IpProto, proto.into()).into()));
    }
    sets.extend(prefix(rng, Field::Ipv4Src));
    sets.extend(prefix(rng, Field::Ipv4Dst));
    if port {
        let cond = match rng.below(3) {
            0 => Cond::Range { lo: 1024, hi: 65535 },
            1 => Cond::Range { lo: 80, hi: 443 },
            _ => Cond::exact(Field::DstPort, [22, 80, 443, 8080][rng.below(4)]),
        };
        sets.push((Field::DstPort, cond.into()));
    }
    let states = if tracked { StateSet::of(&[State::New]) } else { StateSet::ALL };
    let verdict = if rng.chance(60) { Verdict::Allow } else { Verdict::Drop };
    let alts = vec![Alt { link: Link::Ip4, vlan: None, not_in: Vec::new(), sets }];
    Rule {
        info: info(ident),
        verdict,
        pass: 0,
        states,
        snat: None,
        dnat: None,
        mark: None,
        label: None,
        alts,
        actions: Actions::default().into(),
    }
}

/// A long list of one block, in a third of the cases behind conntrack.
fn policy(rng: &mut Rng) -> Policy {
    let tracked = rng.chance(33);
    let count = u32::try_from(rng.between(12, 48)).unwrap();
    let mut rules: Vec<Rule> = (1..=count).map(|ident| rule(rng, ident, tracked)).collect();
    if tracked {
        let mut known = rule(rng, count + 1, true);
        known.states = StateSet::of(&[State::Established, State::EstablishedReply]);
        (known.verdict, known.alts[0].sets) = (Verdict::Allow, Vec::new());
        rules.insert(0, known);
    }
    let attach = Attach {
        name: "p".to_owned(),
        span: Span::default(),
        devices: vec!["eth0".to_owned()],
        hook: Hook::Ingress,
        passes: if tracked { vec![1] } else { Vec::new() },
        prefilter: Vec::new(),
        rules,
        default: info(1000),
        default_allow: rng.chance(30),
    };
    Policy {
        attaches: vec![attach],
        nat_bits: NatBits::default(),
        nat_bits_used: false,
        translating: std::collections::BTreeSet::new(),
        asserts: Vec::new(),
    }
}

/// Plants a bug somewhere.
fn spoil(rng: &mut Rng, program: &mut Program) {
    let (rules, chains) = (program.rules.len(), program.attaches[0].chains.len());
    let default = program.rules.iter().position(|rule| rule.role == Role::Default);
    let attached = &mut program.attaches[0];
    let entry = rng.chance(10);
    let chain = if entry { &mut attached.entry } else { &mut attached.chains[rng.below(chains)] };
    let at = rng.below(chain.filters.len());
    let kind = if entry { rng.between(6, 8) } else { rng.below(10) };
    if kind == 0 {
        chain.filters.remove(at);
        return;
    }
    if kind == 1 && at > 0 {
        let (one, other) = (chain.filters[at - 1].prio, chain.filters[at].prio);
        (chain.filters[at - 1].prio, chain.filters[at].prio) = (other, one);
        return;
    }
    // What takes everything that is left stands before others, too.
    if kind == 9 {
        let last = chain.filters.last().unwrap().clone();
        chain.filters.iter_mut().skip(at).for_each(|filter| filter.prio += 1);
        let prio = chain.filters[at].prio - 1;
        chain.filters.insert(at, Filter { prio, handle: 1, ..last });
        return;
    }
    let filter = &mut chain.filters[at];
    match kind {
        2 => filter.rule = rng.below(rules),
        3 if !filter.keys.is_empty() => _ = filter.keys.remove(rng.below(filter.keys.len())),
        4 | 5 => spoil_key(rng, filter),
        // What should go on is decided by the default.
        7 => {
            filter.rule = default.unwrap_or(filter.rule);
            filter.actions = vec![Action::Gact(if rng.chance(50) { Control::Pass } else { Control::Drop })].into();
        }
        _ => {
            let index = u32::try_from(rng.between(1, chains)).unwrap();
            for action in std::sync::Arc::make_mut(&mut filter.actions) {
                if let Action::Gact(control) = action {
                    *control = match control {
                        Control::Pass => Control::Drop,
                        Control::Goto(_) => Control::Goto(index),
                        _ => Control::Pass,
                    };
                }
            }
        }
    }
}

fn spoil_key(rng: &mut Rng, filter: &mut Filter) {
    let Some(key) = filter.keys.last_mut() else { return };
    key.cond = match key.cond {
        Cond::Range { lo, hi } => Cond::Range { lo: lo + 1, hi },
        Cond::Bits { value, mask } if rng.chance(50) => {
            Cond::Bits { value: value ^ (mask & mask.wrapping_neg()), mask }
        }
        Cond::Bits { value, mask } => {
            let mask = mask & (mask << 1);
            Cond::Bits { value: value & mask, mask }
        }
    };
}

#[test]
fn parts_say_what_the_whole_says() {
    let first = number("CTPOLICY_SEMANTICS_SEED", 1);
    let cases = number("CTPOLICY_SEMANTICS_CASES", 120);
    let (mut by_parts, mut bugs, mut seen) = ([0, 0], 0, 0);
    for seed in first..first + cases {
        let mut rng = Rng::new(seed);
        let policy = policy(&mut rng);
        let tracked = policy.attaches[0].tracked();
        let Some(program) = compile_at(&policy, Scale::EAGER) else { continue };
        let proof = prove(&policy, &program, PARTS);
        let block = proof.unwrap_or_else(|failure| panic!("seed {seed}: {failure:?}")).blocks[0];
        by_parts[usize::from(tracked)] += u64::from(block.parts > 1);
        for _ in 0..4 {
            let mut wrong = program.clone();
            spoil(&mut rng, &mut wrong);
            bugs += 1;
            match prove(&policy, &wrong, PARTS) {
                Ok(proof) if proof.blocks[0].parts > 0 => {
                    let whole = prove(&policy, &wrong, WHOLE);
                    assert!(whole.is_ok(), "seed {seed}: parts prove what the whole refutes: {whole:?}");
                }
                Err(Failure::Mismatch(_) | Failure::Form(_)) => seen += 1,
                _ => {}
            }
        }
    }
    println!("{by_parts:?} of {cases} by parts; of {bugs} bugs {seen} were seen");
    if cases >= 120 {
        assert!(by_parts[0] * 8 > cases && by_parts[1] > 0, "too few are proven by parts: {by_parts:?}");
        assert!(seen * 2 > bugs, "too few bugs are seen: {seen} of {bugs}");
    }
}
