//! Bugs planted by hand into the Program of a right compilation: the comparison must see each of them, or it is blind.

use std::sync::Arc;

use ctpolicy::abi::{eth, ipproto};
use ctpolicy::emit::program::{Action, Chain, Commit, Control, Ct, Filter, Police, Program, Role};
use ctpolicy::field::{Cond, Conds, Field, Key};
use ctpolicy::ir::eval::eval;
use ctpolicy::ir::outcome::Outcome;
use ctpolicy::ir::packet::Packet;
use ctpolicy::ir::policy::{
    Actions, Alt, Attach, Hook, Limit, Link, Nat, NatBits, NatSide, Out, Policy, Rule, State, StateSet, Verdict,
};
use ctpolicy::source::Span;

use crate::policies::info;
use crate::rng::Rng;
use crate::{compile, differs, form, packets, proof};

fn address(field: Field, text: &str, length: u32) -> (Field, Conds) {
    let address: std::net::Ipv4Addr = text.parse().unwrap();
    let mask = u128::from(u32::MAX << (32 - length));
    (field, Cond::Bits { value: u128::from(u32::from(address)) & mask, mask }.into())
}

pub fn ip4(sets: &[(Field, Conds)]) -> Vec<Alt> {
    vec![Alt { link: Link::Ip4, vlan: None, not_in: Vec::new(), sets: sets.to_vec() }]
}

fn tcp(port: u16) -> Vec<(Field, Conds)> {
    let proto = Cond::exact(Field::IpProto, ipproto::TCP.into());
    vec![(Field::IpProto, proto.into()), (Field::DstPort, Cond::exact(Field::DstPort, port.into()).into())]
}

pub fn rule(ident: u32, verdict: Verdict, pass: usize, states: &[State], alts: Vec<Alt>, actions: Actions) -> Rule {
    let states = if states.is_empty() { StateSet::ALL } else { StateSet::of(states) };
    Rule {
        info: info(ident),
        verdict,
        pass,
        states,
        snat: None,
        dnat: None,
        mark: None,
        label: None,
        alts,
        actions: actions.into(),
    }
}

/// Two zones, both translations, a mark that must be stored between them, a marking `continue`, a stateless rule,
/// overlapping drops and allows.
pub fn sample() -> Policy {
    use State::{Established, EstablishedReply, New, Related, RelatedReply};
    let pool = |side: NatSide| Nat {
        side,
        v4: Some(("203.0.113.2".parse().unwrap(), "203.0.113.2".parse().unwrap())),
        v6: None,
        ports: None,
    };
    let dnat = Actions {
        nat: vec![(1, pool(NatSide::Destination)), (2, pool(NatSide::Source))],
        set_mark: Some((0x10, 0xf0)),
        ..Actions::default()
    };
    let marks = Actions { set_mark: Some((1, 0xf)), ..Actions::default() };
    let clear = Actions { limit: Some(Limit::Packets { rate: 10, burst: 1 }), ..Actions::default() };
    let redirect = Actions {
        redirect: Some(Out { device: "wlan0".to_owned(), ingress: false }),
        mirror: vec![Out { device: "mon0".to_owned(), ingress: false }],
        ..Actions::default()
    };
    let early = Actions { set_mark: Some((0x200, 0x200)), ..Actions::default() };
    let known = [Established, EstablishedReply];
    let proto = |number: u8| vec![(Field::IpProto, Cond::exact(Field::IpProto, number.into()).into())];
    let inside = || vec![address(Field::Ipv4Src, "10.0.0.0", 24)];
    let mut narrow = tcp(80);
    narrow.insert(1, address(Field::Ipv4Src, "10.0.0.0", 8));
    let mut stateless = tcp(443);
    stateless.insert(1, address(Field::Ipv4Src, "10.0.0.0", 24));
    let rules = vec![
        rule(9, Verdict::Continue, 0, &known, ip4(&proto(ipproto::TCP)), marks.clone()),
        rule(10, Verdict::Allow, 0, &[Established], ip4(&[]), early),
        rule(11, Verdict::Drop, 0, &[EstablishedReply], ip4(&proto(ipproto::GRE)), Actions::default()),
        rule(12, Verdict::Allow, 0, &[EstablishedReply], ip4(&[]), Actions::default()),
        rule(1, Verdict::Allow, 1, &[Established, EstablishedReply], ip4(&[]), Actions::default()),
        rule(2, Verdict::Continue, 0, &[New, Related, RelatedReply], ip4(&inside()), marks),
        rule(3, Verdict::AllowStateless, 1, &[], ip4(&stateless), clear),
        rule(4, Verdict::Drop, 1, &[], ip4(&[address(Field::Ipv4Src, "10.0.0.1", 32)]), Actions::default()),
        rule(5, Verdict::Allow, 1, &[New, Related], ip4(&narrow), dnat),
        rule(6, Verdict::Allow, 1, &[], ip4(&inside()), redirect),
    ];
    let attach = Attach {
        name: "p".to_owned(),
        span: Span::default(),
        devices: vec!["eth0".to_owned()],
        hook: Hook::Ingress,
        passes: vec![2, 1],
        prefilter: vec![rule(7, Verdict::Drop, 0, &[], ip4(&tcp(22)), Actions::default())],
        rules,
        default: info(8),
        default_allow: false,
    };
    Policy {
        attaches: vec![attach],
        nat_bits: NatBits::default(),
        nat_bits_used: true,
        translating: [1, 2].into(),
        asserts: Vec::new(),
    }
}

/// The sample's packets, with what each means.
fn packets_of(policy: &Policy) -> Vec<(Packet, Outcome)> {
    let mut rng = Rng::new(7);
    let all = (0..2000).map(|_| {
        let packet = packets::packet(&mut rng, policy, 0);
        let meant = eval(policy, &policy.attaches[0], &packet);
        (packet, meant)
    });
    all.collect()
}

/// Whether the proof tells `program` from the policy's meaning. What these packets tell, it must tell too.
fn told_apart(policy: &Policy, packets: &[(Packet, Outcome)], program: &Program) -> bool {
    let told = packets.iter().any(|(packet, meant)| differs(meant, program, 0, packet).is_some());
    let refuted = proof::refuted(policy, program);
    assert!(refuted || !told, "packets tell a bug that the proof does not see");
    refuted
}

/// Plants a bug in the whole sample: is it seen?
fn seen(bug: impl FnOnce(&mut Program)) -> bool {
    let policy = sample();
    let mut program = compile(&policy).unwrap();
    bug(&mut program);
    told_apart(&policy, &packets_of(&policy), &program)
}

fn chains(program: &mut Program) -> impl Iterator<Item = &mut Chain> {
    let attached = &mut program.attaches[0];
    std::iter::once(&mut attached.entry).chain(&mut attached.chains)
}

fn commits(program: &mut Program) -> impl Iterator<Item = &mut Commit> {
    chains(program)
        .flat_map(|chain| &mut chain.filters)
        .flat_map(|filter| Arc::make_mut(&mut filter.actions))
        .filter_map(|action| if let Action::Ct(Ct::Commit(commit), _) = action { Some(commit) } else { None })
}

/// Plants a bug in every place where it fits, one at a time; all that a packet can tell must be told.
/// Returns how many places there were, and in how many the bug was seen.
fn plant(policy: &Policy, bug: &dyn Fn(&mut Program, usize) -> bool) -> (usize, usize) {
    let (mut places, mut seen) = (0, 0);
    let packets = packets_of(policy);
    let right = compile(policy).unwrap();
    for place in 0.. {
        let mut program = right.clone();
        if !bug(&mut program, place) {
            return (places, seen);
        }
        places += 1;
        seen += usize::from(told_apart(policy, &packets, &program));
    }
    unreachable!("some place is the last")
}

/// Every bug of this kind that a packet can tell should be told; in some places it changes nothing (two rules that no
/// packet fits both), so ask for a fourth.
fn seen_often(policy: &Policy, name: &str, bug: &dyn Fn(&mut Program, usize) -> bool) {
    let (places, seen) = plant(policy, bug);
    assert!(seen > 0 && seen * 4 > places, "{name}: planted in {places} places, seen in {seen}");
}

#[test]
fn the_sample_is_right_as_compiled() {
    assert!(!seen(|_| {}));
}

#[test]
fn swapped_prios_are_seen() {
    seen_often(&sample(), "swapped prios", &|program, place| {
        let mut at = 0;
        for chain in chains(program) {
            let mut prios: Vec<u16> = chain.filters.iter().map(|filter| filter.prio).collect();
            prios.dedup();
            for pair in prios.windows(2) {
                if at == place {
                    for filter in &mut chain.filters {
                        filter.prio = match filter.prio {
                            prio if prio == pair[0] => pair[1],
                            prio if prio == pair[1] => pair[0],
                            prio => prio,
                        };
                    }
                    return true;
                }
                at += 1;
            }
        }
        false
    });
}

#[test]
fn a_missing_last_filter_is_seen() {
    let policy = sample();
    seen_often(&policy, "missing catch-all", &|program, place| {
        program.attaches[0].chains.get_mut(place).is_some_and(|chain| chain.filters.pop().is_some())
    });
}

#[test]
fn a_wrong_mask_is_seen() {
    seen_often(&sample(), "wrong mask", &|program, place| {
        let keys = chains(program).flat_map(|chain| &mut chain.filters).flat_map(|filter| &mut filter.keys);
        let mut addresses = keys.filter(|key| key.field == Field::Ipv4Src);
        let Some(key) = addresses.nth(place) else { return false };
        if let Cond::Bits { value, mask } = key.cond {
            let wider = mask & 0xff00_0000 & (mask << 8);
            key.cond = Cond::Bits { value: value & wider, mask: wider };
        }
        true
    });
}

#[test]
fn a_narrower_mask_is_seen() {
    seen_often(&sample(), "narrower mask", &|program, place| {
        let keys = chains(program).flat_map(|chain| &mut chain.filters).flat_map(|filter| &mut filter.keys);
        let Some(key) = keys.filter(|key| key.field == Field::Ipv4Src).nth(place) else { return false };
        if let Cond::Bits { value, .. } = key.cond {
            key.cond = Cond::Bits { value, mask: 0xffff_ffff };
        }
        true
    });
}

#[test]
fn a_wrong_verdict_is_seen() {
    seen_often(&sample(), "wrong verdict", &|program, place| {
        let actions =
            chains(program).flat_map(|chain| &mut chain.filters).flat_map(|filter| Arc::make_mut(&mut filter.actions));
        let mut ends = actions.filter_map(|action| match action {
            Action::Gact(control) | Action::Ct(_, control) => Some(control),
            _ => None,
        });
        let Some(end) = ends.nth(place) else { return false };
        *end = if *end == Control::Pass { Control::Drop } else { Control::Pass };
        true
    });
}

#[test]
fn a_wrong_goto_is_seen() {
    seen_often(&sample(), "wrong goto", &|program, place| {
        let last = u32::try_from(program.attaches[0].chains.len()).unwrap();
        let actions =
            chains(program).flat_map(|chain| &mut chain.filters).flat_map(|filter| Arc::make_mut(&mut filter.actions));
        let mut gotos = actions.filter_map(|action| match action {
            Action::Gact(Control::Goto(chain)) | Action::Ct(_, Control::Goto(chain)) => Some(chain),
            _ => None,
        });
        let Some(chain) = gotos.nth(place) else { return false };
        *chain = if *chain == last { last - 1 } else { *chain + 1 };
        true
    });
}

#[test]
fn wrong_state_bits_are_seen() {
    seen_often(&sample(), "wrong state", &|program, place| {
        let keys = chains(program).flat_map(|chain| &mut chain.filters).flat_map(|filter| &mut filter.keys);
        let Some(key) = keys.filter(|key| key.field == Field::CtState).nth(place) else { return false };
        if let Cond::Bits { value, mask } = key.cond {
            // Established for new, and the other way round; the other direction for the rest.
            let other = match value & 0x0f {
                0x09 | 0x0a => value ^ 0x03,
                _ => value ^ 0x20,
            };
            key.cond = Cond::Bits { value: other & mask, mask };
        }
        true
    });
}

#[test]
fn a_port_asked_of_fragments_is_seen() {
    let mut policy = sample();
    // Port 0: a fragment shows flower just that.
    policy.attaches[0].prefilter[0].alts = ip4(&tcp(0));
    seen_often(&policy, "lost fragment key", &|program, place| {
        let filters = chains(program).flat_map(|chain| &mut chain.filters);
        let mut whole = filters.filter(|filter| filter.keys.iter().any(|key| key.field == Field::IpFlags));
        let Some(filter) = whole.nth(place) else { return false };
        filter.keys.retain(|key| key.field != Field::IpFlags);
        true
    });
}

/// Takes the `place`-th action of a kind out, and leaves its control.
fn take_out(program: &mut Program, place: usize, kind: fn(&Action) -> bool) -> bool {
    let actions =
        chains(program).flat_map(|chain| &mut chain.filters).flat_map(|filter| Arc::make_mut(&mut filter.actions));
    let Some(action) = actions.filter(|action| kind(action)).nth(place) else { return false };
    if let Action::Ct(_, control) = *action {
        *action = Action::Gact(control);
    }
    true
}

#[test]
fn a_missing_clear_is_seen() {
    seen_often(&sample(), "missing ct clear", &|program, place| {
        take_out(program, place, |action| matches!(action, Action::Ct(Ct::Clear, _)))
    });
}

#[test]
fn a_missing_commit_is_seen() {
    seen_often(&sample(), "missing commit", &|program, place| {
        take_out(program, place, |action| matches!(action, Action::Ct(Ct::Commit(_), _)))
    });
}

/// Between two passes, what is stored or applied comes before the next lookup, or never.
#[test]
fn a_commit_behind_the_next_pass_is_seen() {
    let commits = |actions: &[Action]| {
        actions.windows(2).position(|pair| {
            matches!(pair, [Action::Ct(Ct::Commit(_), Control::Pipe), Action::Ct(Ct::Track { .. }, Control::Goto(_))])
        })
    };
    seen_often(&sample(), "late commit", &|program, place| {
        let filters = chains(program).flat_map(|chain| &mut chain.filters);
        let mut between = filters.filter(|filter| commits(&filter.actions).is_some());
        let Some(filter) = between.nth(place) else { return false };
        let at = commits(&filter.actions).unwrap();
        let [Action::Ct(commit, pipe), Action::Ct(track, goto)] = &filter.actions[at..at + 2] else { return false };
        let late = [Action::Ct(track.clone(), *pipe), Action::Ct(commit.clone(), *goto)];
        Arc::make_mut(&mut filter.actions).splice(at..at + 2, late);
        true
    });
}

/// What is wrong, and how.
type Change = (&'static str, fn(&mut Commit));

#[test]
fn a_wrong_commit_is_seen() {
    let changes: [Change; 5] = [
        ("zone", |commit| commit.zone += 1),
        ("force", |commit| commit.force = !commit.force),
        ("mark", |commit| commit.mark = Some((0x5000, 0xf000))),
        ("label", |commit| commit.label = Some((1, 1))),
        ("translation", |commit| commit.nat = None),
    ];
    for (name, change) in changes {
        assert!(seen(|program| commits(program).for_each(change)), "{name}");
    }
}

#[test]
fn a_pass_that_does_not_translate_is_seen() {
    assert!(seen(|program| {
        for action in
            chains(program).flat_map(|chain| &mut chain.filters).flat_map(|filter| Arc::make_mut(&mut filter.actions))
        {
            if let Action::Ct(Ct::Track { nat, .. }, _) = action {
                *nat = false;
            }
        }
    }));
}

#[test]
fn a_lost_limit_or_mirror_is_seen() {
    let kinds: [fn(&Action) -> bool; 2] =
        [|action| matches!(action, Action::Police(_)), |action| matches!(action, Action::Mirred(m) if !m.redirect)];
    for kind in kinds {
        assert!(seen(|program| {
            for filter in chains(program).flat_map(|chain| &mut chain.filters) {
                Arc::make_mut(&mut filter.actions).retain(|action| !kind(action));
            }
        }));
    }
}

#[test]
fn arp_in_conntrack_is_seen() {
    assert!(seen(|program| {
        let track = Action::Ct(Ct::Track { zone: 1, nat: true }, Control::Pipe);
        let entry = &mut program.attaches[0].entry.filters;
        entry
            .iter_mut()
            .filter(|filter| filter.protocol == eth::P_ALL)
            .for_each(|f| Arc::make_mut(&mut f.actions).insert(0, track.clone()));
    }));
}

#[test]
fn the_wrong_rule_is_seen() {
    assert!(seen(|program| {
        for rule in program.rules.iter_mut().filter(|rule| rule.role == Role::Rule) {
            rule.ident ^= 1;
        }
    }));
}

/// The first chain that holds a prio of several filters, and the place of the first of them.
fn crowded(program: &mut Program) -> (&mut Chain, usize) {
    let of = |chain: &Chain| chain.filters.windows(2).position(|pair| pair[0].prio == pair[1].prio);
    let chain = chains(program).find(|chain| of(chain).is_some()).unwrap();
    let at = of(chain).unwrap();
    (chain, at)
}

/// What the complaint says, and how it is earned.
type Bug = (&'static str, fn(&mut Program));

/// Bugs that no packet of the model shows: the kernel would ignore, refuse or share something.
const BUGS_OF_FORM: [Bug; 17] = [
    ("does not end in a filter", |program| {
        program.attaches[0].chains[0].filters.pop();
    }),
    ("two filters of the same keys", |program| {
        let (chain, at) = crowded(program);
        chain.filters[at + 1].keys = chain.filters[at].keys.clone();
    }),
    ("several masks", |program| {
        let (chain, at) = crowded(program);
        chain.filters[at].keys.pop();
    }),
    ("prio 1 holds protocol", |program| {
        let (chain, at) = crowded(program);
        chain.filters[at].protocol = eth::P_ARP;
    }),
    ("does not come after", |program| {
        let (chain, at) = crowded(program);
        chain.filters[at + 1].handle = chain.filters[at].handle;
    }),
    ("flower ignores", |program| {
        let mut filters = chains(program).flat_map(|chain| &mut chain.filters);
        let ports = filters.find(|f| f.keys.iter().any(|key| key.field == Field::DstPort)).unwrap();
        ports.keys.retain(|key| key.field != Field::IpProto);
    }),
    ("canonical order", |program| {
        let mut filters = chains(program).flat_map(|chain| &mut chain.filters);
        filters.find(|filter| filter.keys.len() > 1).unwrap().keys.reverse();
    }),
    ("which is not there", |program| {
        program.attaches[0].chains.pop();
    }),
    ("not distinct", |program| {
        program.attaches[0].chains[1].index = 1;
    }),
    ("four filters of chain 0", |program| {
        program.attaches[0].entry.filters[2].prio = 2;
    }),
    ("a filter has 33 actions", |program| {
        let filter = chains(program).flat_map(|chain| &mut chain.filters).next().unwrap();
        let actions = Arc::make_mut(&mut filter.actions);
        actions.splice(..0, std::iter::repeat_n(Action::Ct(Ct::Clear, Control::Pipe), 33 - actions.len()));
    }),
    ("outside its mask", |program| {
        commits(program).find(|commit| commit.mark.is_some()).unwrap().mark = Some((3, 1));
    }),
    ("another rate", |program| {
        let rate = Limit::Packets { rate: 11, burst: 1 };
        polices(program).next().unwrap().limit = rate;
    }),
    ("several budgets", |program| {
        polices(program).enumerate().for_each(|(at, police)| police.budget += u32::try_from(at).unwrap());
    }),
    ("shares its budget", |program| {
        let (at, other) = (program.rules.len(), program.rules.len() - 1);
        let limited = polices_of(program).map(|filter| filter.rule).next().unwrap();
        program.rules.push(program.rules[limited].clone());
        polices_of(program).next().unwrap().rule = at;
        assert!(other != limited && polices_of(program).count() > 1);
    }),
    ("its filters are for eth0 egress", |program| program.attaches[0].hook = Hook::Egress),
    ("it has no filters", |program| program.attaches.clear()),
];

fn polices_of(program: &mut Program) -> impl Iterator<Item = &mut Filter> {
    let limits = |action: &Action| matches!(action, Action::Police(_));
    chains(program).flat_map(|chain| &mut chain.filters).filter(move |filter| filter.actions.iter().any(limits))
}

fn polices(program: &mut Program) -> impl Iterator<Item = &mut Police> {
    polices_of(program).flat_map(|filter| Arc::make_mut(&mut filter.actions)).filter_map(|action| match action {
        Action::Police(police) => Some(police),
        _ => None,
    })
}

#[test]
fn what_no_packet_shows_is_seen() {
    let policy = sample();
    let right = compile(&policy).unwrap();
    assert_eq!(form::faults(&policy, &right), Vec::<String>::new());
    for (text, bug) in BUGS_OF_FORM {
        let mut program = right.clone();
        bug(&mut program);
        let faults = form::faults(&policy, &program);
        assert!(faults.iter().any(|fault| fault.contains(text)), "{text}: {faults:?}");
        assert!(proof::refuted(&policy, &program), "{text} is proven");
    }
}

/// One zone, and a first rule that drops this; a filter for it stands before conntrack. Is it seen?
fn asked_before_conntrack(alts: Vec<Alt>, translating: &[u16], keys: Vec<Key>, protocol: u16) -> bool {
    let mut policy = sample();
    policy.translating = translating.iter().copied().collect();
    let attach = &mut policy.attaches[0];
    attach.passes = vec![1];
    attach.prefilter.clear();
    let allow = rule(21, Verdict::Allow, 0, &[State::New, State::Established], ip4(&[]), Actions::default());
    attach.rules = vec![rule(20, Verdict::Drop, 0, &[], alts, Actions::default()), allow];
    let mut program = crate::compile_at(&policy, ctpolicy::optimize::price::Scale::PLAIN).unwrap();
    assert!(!proof::refuted(&policy, &program));
    let own = program.rules.iter().position(|rule| rule.ident == 20).unwrap();
    let attached = &mut program.attaches[0];
    let entry = attached.entry.filters.iter_mut().find(|filter| filter.protocol == protocol).unwrap();
    let index = attached.chains.iter().map(|chain| chain.index).max().unwrap() + 1;
    let rest = std::mem::replace(&mut entry.actions, vec![Action::Gact(Control::Goto(index))].into());
    let drop =
        Filter { prio: 1, handle: 1, protocol, keys, actions: vec![Action::Gact(Control::Drop)].into(), rule: own };
    let last = Filter { prio: 2, handle: 1, protocol: eth::P_ALL, keys: Vec::new(), actions: rest, rule: entry.rule };
    attached.chains.push(Chain { index, title: "early".to_owned(), filters: vec![drop, last] });
    proof::refuted(&policy, &program)
}

#[test]
fn a_rule_that_asks_before_conntrack_what_that_changes_is_seen() {
    let (field, conds) = address(Field::Ipv4Src, "10.0.0.1", 32);
    let from = || ip4(&[(field, conds.clone())]);
    let key = || vec![Key { field, cond: conds[0] }];
    // No packet of the evaluators has another header behind conntrack.
    assert!(asked_before_conntrack(from(), &[1], key(), eth::P_IP));
    assert!(!asked_before_conntrack(from(), &[], key(), eth::P_IP));
    let proto = || vec![(Field::IpProto, Conds::from(Cond::exact(Field::IpProto, ipproto::GRE.into())))];
    let gre = || vec![Key::exact(Field::IpProto, ipproto::GRE.into())];
    assert!(!asked_before_conntrack(ip4(&proto()), &[1], gre(), eth::P_IP));
    let ip6 = vec![Alt { link: Link::Ip6, vlan: None, not_in: Vec::new(), sets: proto() }];
    assert!(asked_before_conntrack(ip6, &[], gre(), eth::P_IPV6));
}

/// Where a filter is planted.
#[derive(Clone, Copy)]
enum Place {
    Ahead,
    Behind,
}

/// Zones 2 and then 1, and a first rule that drops an address; a filter for it stands at the `nth` lookup in `zone`. Is it seen?
fn asked_between(translating: &[u16], place: Place, (zone, nth): (u16, usize)) -> bool {
    use State::{Established, EstablishedReply, New};
    let (field, conds) = address(Field::Ipv4Src, "10.0.0.1", 32);
    let mut policy = sample();
    policy.translating = translating.iter().copied().collect();
    let attach = &mut policy.attaches[0];
    attach.prefilter.clear();
    attach.rules = vec![
        rule(20, Verdict::Drop, 1, &[], ip4(&[(field, conds.clone())]), Actions::default()),
        rule(21, Verdict::Allow, 1, &[New, Established, EstablishedReply], ip4(&[]), Actions::default()),
    ];
    let mut program = crate::compile_at(&policy, ctpolicy::optimize::price::Scale::PLAIN).unwrap();
    assert!(!proof::refuted(&policy, &program));
    let own = program.rules.iter().position(|rule| rule.ident == 20).unwrap();
    let index = u32::try_from(program.attaches[0].chains.len()).unwrap() + 1;
    let looks_up = |filter: &&mut Filter| {
        let track = |action: &Action| matches!(action, Action::Ct(Ct::Track { zone: at, .. }, _) if *at == zone);
        filter.protocol == eth::P_IP && filter.actions.iter().any(track)
    };
    let lookup = chains(&mut program).flat_map(|chain| &mut chain.filters).filter(looks_up).nth(nth).unwrap();
    let here = Control::Goto(index);
    let (before, after) = match (place, &lookup.actions[..]) {
        (Place::Ahead, actions) => (Action::Gact(here), actions.to_vec()),
        (Place::Behind, [Action::Ct(track, goto)]) => (Action::Ct(track.clone(), here), vec![Action::Gact(*goto)]),
        (Place::Behind, actions) => panic!("more than a lookup: {actions:?}"),
    };
    let rule = lookup.rule;
    lookup.actions = vec![before].into();
    let filter = |prio, protocol, keys, actions: Vec<Action>, rule| Filter {
        prio,
        handle: 1,
        protocol,
        keys,
        actions: actions.into(),
        rule,
    };
    let drop = filter(1, eth::P_IP, vec![Key { field, cond: conds[0] }], vec![Action::Gact(Control::Drop)], own);
    let last = filter(2, eth::P_ALL, Vec::new(), after, rule);
    program.attaches[0].chains.push(Chain { index, title: "early".to_owned(), filters: vec![drop, last] });
    proof::refuted(&policy, &program)
}

#[test]
fn a_rule_that_asks_between_translations_is_seen() {
    use Place::{Ahead, Behind};
    // Every packet passes zone 2, and zone 1 by what zone 2 showed: first what is established there, third what is new. Of that,
    // a reply that zone 1 has translated back passes zone 2 once more.
    let (first, established, new, again) = ((2, 0), (1, 0), (1, 2), (2, 1));
    assert!(asked_between(&[1, 2], Behind, first));
    assert!(asked_between(&[1, 2], Ahead, established));
    assert!(asked_between(&[1, 2], Ahead, new));
    assert!(asked_between(&[1, 2], Behind, new), "replies are still to pass zone 2 again");
    assert!(asked_between(&[1, 2], Ahead, again));
    assert!(!asked_between(&[1, 2], Behind, established));
    assert!(!asked_between(&[1, 2], Behind, again));
    // What translates nothing leaves the header as it is.
    assert!(asked_between(&[1], Behind, first));
    assert!(!asked_between(&[1], Behind, established));
    assert!(asked_between(&[2], Ahead, first));
    assert!(!asked_between(&[2], Behind, first));
    assert!(!asked_between(&[], Ahead, established));
}
