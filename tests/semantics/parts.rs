//! Proofs chain by chain: long lists that are cut are proven so, and nothing is that the proof as a whole refutes.

use std::sync::Arc;

use ctpolicy::abi::{eth, ipproto};
use ctpolicy::emit::program::{Action, Chain, Control, Ct, Filter, Program, Role};
use ctpolicy::field::{Cond, Conds, Field, Key};
use ctpolicy::ir::policy::{Actions, Alt, Attach, Hook, Link, NatBits, Policy, Rule, State, StateSet, Verdict};
use ctpolicy::optimize::price::Scale;
use ctpolicy::source::Span;
use ctpolicy::verify::{Budget, Failure, prove};

use crate::policies::info;
use crate::rng::Rng;
use crate::{compile_at, mutants, number};

const WHOLE: Budget = Budget { nodes: 1 << 22, pieces: 1, attribute: 1 << 22, chains: usize::MAX, steps: 1 << 26 };
const PARTS: Budget = Budget { chains: 0, ..WHOLE };

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
    let states: &[State] = if tracked { &[State::New] } else { &[] };
    let verdict = if rng.chance(60) { Verdict::Allow } else { Verdict::Drop };
    mutants::rule(ident, verdict, 0, states, mutants::ip4(&sets), Actions::default())
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
    let kind = if entry { rng.between(6, 8) } else { rng.below(11) };
    if kind == 0 {
        chain.filters.remove(at);
        return;
    }
    // A copy stands before all others: most often of a filter that sends packets on.
    if kind >= 9 {
        let ends = if rng.chance(50) { chain.filters.len() - 1 } else { at };
        let copy = Filter { prio: 1, handle: 1, ..chain.filters[ends].clone() };
        chain.filters.iter_mut().for_each(|filter| filter.prio += 1);
        chain.filters.insert(0, copy);
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
        assert!(by_parts[0] * 8 > cases && by_parts[1] == 0, "too few are proven by parts: {by_parts:?}");
        assert!(seen * 2 > bugs, "too few bugs are seen: {seen} of {bugs}");
    }
}

fn filter(prio: u16, protocol: u16, keys: Vec<Key>, action: Action, rule: usize) -> Filter {
    Filter { prio, handle: 1, protocol, keys, actions: Arc::new(vec![action]), rule }
}

const fn to(chain: u32) -> Action {
    Action::Gact(Control::Goto(chain))
}

const PASS: Action = Action::Gact(Control::Pass);
const DROP: Action = Action::Gact(Control::Drop);

/// The right Program with these chains in place of its own; each entry filter leads to one.
fn by_hand(right: &Program, entries: [u32; 4], chains: Vec<Vec<Filter>>) -> Program {
    let mut program = right.clone();
    let attached = &mut program.attaches[0];
    for (filter, chain) in attached.entry.filters.iter_mut().zip(entries) {
        filter.actions = Arc::new(vec![to(chain)]);
    }
    let chain = |(index, filters)| Chain { index, title: String::new(), filters };
    attached.chains = (1..).zip(chains).map(chain).collect();
    program
}

/// The filters of the right Program that accept neighbour discovery, at a prio of their own.
fn discovery(right: &Program, prio: u16) -> Vec<Filter> {
    let filters = right.attaches[0].chains.iter().flat_map(|chain| &chain.filters);
    let implicit = |filter: &&Filter| right.rules[filter.rule].role == Role::Implicit;
    let mut list: Vec<Filter> = filters.filter(implicit).filter(|f| f.protocol == eth::P_IPV6).cloned().collect();
    (1..).zip(&mut list).for_each(|(handle, filter)| (filter.prio, filter.handle) = (prio, handle));
    list
}

/// A rule of these states, and which frames.
fn simple(ident: u32, states: StateSet, link: Link, sets: Vec<(Field, Conds)>) -> Rule {
    let mut rule = rule(&mut Rng::new(1), ident, false);
    (rule.verdict, rule.states) = (Verdict::Allow, states);
    rule.alts = vec![Alt { link, vlan: None, not_in: Vec::new(), sets }];
    rule
}

fn of_rules(rules: Vec<Rule>, passes: Vec<u16>) -> (Policy, Program, impl Fn(Role, u32) -> usize) {
    let mut policy = policy(&mut Rng::new(1));
    let attach = &mut policy.attaches[0];
    (attach.rules, attach.passes, attach.default_allow) = (rules, passes, false);
    let program = compile_at(&policy, Scale::default()).unwrap();
    let rules = program.rules.clone();
    let of = move |role, ident| rules.iter().position(|rule| rule.role == role && rule.ident == ident).unwrap();
    (policy, program, of)
}

fn is_by_parts(policy: &Policy, program: &Program) -> bool {
    prove(policy, program, PARTS).is_ok_and(|proof| proof.blocks[0].parts > 0)
}

/// A goto of all packets that stands first leaves nothing to the one behind it.
#[test]
fn a_goto_behind_one_of_all_packets_is_no_way() {
    let ten = Cond::Bits { value: 0x0a00_0000, mask: 0xff00_0000 };
    let web = Cond::exact(Field::Ipv4Dst, 0xcb00_7101);
    let rules = [(1, ten), (2, web)];
    let rules = rules.map(|(ident, cond)| simple(ident, StateSet::ALL, Link::Ip4, vec![(Field::Ipv4Dst, cond.into())]));
    let (policy, program, of) = of_rules(rules.to_vec(), Vec::new());
    let lead = |prio, keys, chain| {
        let protocol = if chain == 2 { eth::P_IP } else { eth::P_ALL };
        filter(prio, protocol, keys, to(chain), of(Role::Dispatch, 0))
    };
    let [ten, web] = [ten, web].map(|cond| vec![Key { field: Field::Ipv4Dst, cond }]);
    let mut rest = vec![filter(1, eth::P_IP, web, PASS, of(Role::Rule, 2))];
    rest.push(filter(2, eth::P_ARP, Vec::new(), PASS, of(Role::Implicit, 0)));
    rest.extend(discovery(&program, 3));
    rest.push(filter(4, eth::P_ALL, Vec::new(), DROP, of(Role::Default, 1000)));
    let allowed = vec![filter(1, eth::P_ALL, Vec::new(), PASS, of(Role::Rule, 1))];
    let made = |first| by_hand(&program, [1; 4], vec![first, allowed.clone(), rest.clone()]);
    let right = made(vec![lead(1, ten.clone(), 2), lead(2, Vec::new(), 3)]);
    assert!(is_by_parts(&policy, &right));
    let wrong = made(vec![lead(1, Vec::new(), 3), lead(2, ten, 2), lead(3, Vec::new(), 3)]);
    assert!(matches!(prove(&policy, &wrong, PARTS), Err(Failure::Mismatch(_))));
}

/// A chain before conntrack that stands for the policy from a line on stands for all lines behind conntrack.
#[test]
fn what_stands_for_later_lines_leaves_none_out_behind_conntrack() {
    let tcp = vec![(Field::IpProto, Cond::exact(Field::IpProto, ipproto::TCP.into()).into())];
    let rules = vec![
        simple(1, StateSet::of(&[State::New]), Link::Ip4, tcp),
        simple(2, StateSet::ALL, Link::Ether(0x88cc), Vec::new()),
    ];
    let (policy, program, of) = of_rules(rules, vec![1]);
    let none = Vec::new;
    let track = |prio, protocol, keys| {
        let track = Action::Ct(Ct::Track { zone: 1, nat: false }, Control::Goto(3));
        filter(prio, protocol, keys, track, of(Role::Dispatch, 0))
    };
    let inner = |ethertype: u16| vec![Key::exact(Field::VlanEthType, ethertype.into())];
    let drop = |prio| filter(prio, eth::P_ALL, none(), DROP, of(Role::Default, 1000));
    let stands = vec![
        filter(1, eth::P_ARP, none(), PASS, of(Role::Implicit, 0)),
        track(2, eth::P_IP, none()),
        filter(3, eth::P_IPV6, none(), to(4), of(Role::Dispatch, 0)),
        track(4, eth::P_8021Q, inner(eth::P_IP)),
        track(5, eth::P_8021Q, inner(eth::P_IPV6)),
        drop(6),
    ];
    let lldp = vec![
        filter(1, 0x88cc, none(), PASS, of(Role::Rule, 2)),
        filter(2, eth::P_ALL, none(), to(1), of(Role::Dispatch, 0)),
    ];
    let mut discovery = discovery(&program, 1);
    discovery.push(track(2, eth::P_ALL, none()));
    // Behind conntrack no rule is left.
    let wrong = by_hand(&program, [1, 1, 1, 2], vec![stands, lldp, vec![drop(1)], discovery]);
    assert!(matches!(prove(&policy, &wrong, PARTS), Err(Failure::Mismatch(_))));
}

/// What a chain before conntrack skips is looked for among all lines before its first, however few came with the packets.
#[test]
fn what_stands_for_later_lines_skips_none_that_was_left_out() {
    let mut second = simple(2, StateSet::ALL, Link::Ether(0x8035), Vec::new());
    (second.verdict, second.alts[0].vlan) = (Verdict::Drop, Some(vec![100]));
    let plain = |ident, ethertype| simple(ident, StateSet::ALL, Link::Ether(ethertype), Vec::new());
    let (policy, program, of) = of_rules(vec![plain(1, 0x88cc), second, plain(3, 0x9000)], vec![1]);
    let none = Vec::new;
    let dispatch = of(Role::Dispatch, 0);
    let track = |prio, protocol, keys| {
        let track = Action::Ct(Ct::Track { zone: 1, nat: false }, Control::Goto(2));
        filter(prio, protocol, keys, track, dispatch)
    };
    let inner = |ethertype: u16| vec![Key::exact(Field::VlanEthType, ethertype.into())];
    let by_first = || filter(1, 0x88cc, none(), PASS, of(Role::Rule, 1));
    let arp = |prio| filter(prio, eth::P_ARP, none(), PASS, of(Role::Implicit, 0));
    let drop = |prio| filter(prio, eth::P_ALL, none(), DROP, of(Role::Default, 1000));
    let lead = |chain| filter(2, eth::P_ALL, none(), to(chain), dispatch);
    let stands = vec![
        filter(1, 0x9000, none(), PASS, of(Role::Rule, 3)),
        arp(2),
        track(3, eth::P_IP, none()),
        filter(4, eth::P_IPV6, none(), to(4), dispatch),
        track(5, eth::P_8021Q, inner(eth::P_IP)),
        track(6, eth::P_8021Q, inner(eth::P_IPV6)),
        drop(7),
        track(8, eth::P_ALL, none()),
    ];
    let mut discovery = discovery(&program, 1);
    discovery.push(track(2, eth::P_ALL, none()));
    let (behind, last) = (vec![by_first(), lead(3)], vec![by_first(), drop(2)]);
    // No filter is of rule 2.
    let chains = vec![stands, behind, last, discovery, vec![by_first(), lead(1)], vec![arp(1), lead(5)]];
    let wrong = by_hand(&program, [1, 6, 1, 5], chains);
    assert!(matches!(prove(&policy, &wrong, PARTS), Err(Failure::Mismatch(_))));
}
