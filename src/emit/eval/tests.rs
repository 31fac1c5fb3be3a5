//! Hand-built chains, each a sentence of kernel-facts.md section 2.

use super::{Fault, eval, trace};
use crate::abi::{GOTO_MAX, eth, ipproto};
use crate::emit::program::{
    Action, Attached, Chain, Commit, Control, Ct, CtNat, Filter, Mirred, NatAddr, Police, Program, Role, RuleRef,
};
use crate::field::{Cond, Field, Key};
use crate::ir::outcome::{Fate, Origin, Outcome};
use crate::ir::packet::{CtView, Fragment, Packet};
use crate::ir::policy::{Hook, Limit, NatSide, State};

const PASS: Action = Action::Gact(Control::Pass);
const DROP: Action = Action::Gact(Control::Drop);

fn goto(chain: u32) -> Action {
    Action::Gact(Control::Goto(chain))
}

fn track(zone: u16, control: Control) -> Action {
    Action::Ct(Ct::Track { zone, nat: false }, control)
}

fn commit(zone: u16, control: Control) -> Action {
    let commit = Commit { zone, force: false, mark: None, label: None, nat: None, helper: None };
    Action::Ct(Ct::Commit(commit), control)
}

fn filter(prio: u16, protocol: u16, keys: &[Key], actions: &[Action]) -> Filter {
    Filter { prio, handle: 1, protocol, keys: keys.to_vec(), actions: actions.to_vec().into(), rule: 0 }
}

fn chain(index: u32, filters: Vec<Filter>) -> Chain {
    Chain { index, title: String::new(), filters }
}

fn run_all(entry: Vec<Filter>, chains: Vec<Chain>, packet: &Packet) -> Result<(Outcome, usize), Fault> {
    let rule = RuleRef {
        policy: String::new(),
        position: 1,
        text: String::new(),
        annotations: Vec::new(),
        role: Role::Rule,
        ident: 9,
        meaning: 3,
        place: String::new(),
    };
    let attached = Attached {
        name: String::new(),
        devices: vec!["eth0".to_owned()],
        hook: Hook::Ingress,
        entry: chain(0, entry),
        chains,
    };
    let program = Program { attaches: vec![attached], rules: vec![rule], digest: 0 };
    trace(&program, &program.attaches[0], packet)
}

fn run(entry: Vec<Filter>, packet: &Packet) -> Result<Outcome, Fault> {
    run_all(entry, Vec::new(), packet).map(|(outcome, _)| outcome)
}

fn udp(port: u128) -> Packet {
    Packet::new(eth::P_IP, "eth0", &[(Field::IpProto, ipproto::UDP.into()), (Field::DstPort, port)])
}

fn key(field: Field, value: u128, mask: u128) -> Key {
    Key { field, cond: Cond::Bits { value, mask } }
}

#[test]
fn the_end_of_a_chain_is_a_fault() {
    assert_eq!(run(Vec::new(), &udp(53)), Err(Fault::FellThrough(0)));
    assert_eq!(run(vec![filter(1, eth::P_IP, &[], &[goto(3)])], &udp(53)), Err(Fault::NoChain(3)));
    assert_eq!(run(vec![filter(1, eth::P_IP, &[], &[])], &udp(53)), Err(Fault::NoVerdict(0)));
}

#[test]
fn the_mask_that_was_made_first_wins() {
    let wide = filter(1, eth::P_IP, &[key(Field::DstPort, 0, 0xff00)], &[DROP]);
    let narrow = filter(1, eth::P_IP, &[Key::exact(Field::DstPort, 53)], &[PASS]);
    let other = filter(1, eth::P_IP, &[key(Field::DstPort, 0x100, 0xff00)], &[PASS]);
    let verdict = |list: Vec<Filter>| run(list, &udp(53)).unwrap().verdict;
    assert_eq!(verdict(vec![wide.clone(), narrow.clone()]), Fate::Drop);
    assert_eq!(verdict(vec![narrow.clone(), wide.clone()]), Fate::Accept);
    // The first filter makes the mask, whatever its key.
    assert_eq!(verdict(vec![other, narrow, wide]), Fate::Drop);
}

#[test]
fn prios_go_upwards_and_continue_goes_on() {
    let list = vec![
        filter(1, eth::P_IP, &[], &[Action::Gact(Control::Continue)]),
        filter(2, eth::P_IPV6, &[], &[DROP]),
        filter(3, eth::P_ALL, &[], &[PASS]),
    ];
    let outcome = run(list, &udp(53)).unwrap();
    assert_eq!((outcome.verdict, outcome.rule), (Fate::Accept, Origin::Rule { ident: 9, meaning: 3 }));
}

#[test]
fn what_a_packet_does_not_have_is_zero() {
    let range = Key { field: Field::DstPort, cond: Cond::Range { lo: 0, hi: 1023 } };
    let list = || vec![filter(1, eth::P_IP, &[range], &[DROP]), filter(2, eth::P_ALL, &[], &[PASS])];
    assert_eq!(run(list(), &udp(5353)).unwrap().verdict, Fate::Accept);
    let fragment = Packet { fragment: Some(Fragment::Later), ..udp(5353) };
    assert_eq!(run(list(), &fragment).unwrap().verdict, Fate::Drop);
}

#[test]
fn a_tag_hides_the_packet_from_protocol_ip() {
    let list = vec![filter(1, eth::P_IP, &[], &[DROP]), filter(2, eth::P_ALL, &[], &[PASS])];
    assert_eq!(run(list, &Packet { vlan: Some(1), ..udp(53) }).unwrap().verdict, Fate::Accept);
}

#[test]
fn the_seventeenth_goto_is_a_fault() {
    let hops = |count: u32| {
        let chains = (1..=count).map(|index| {
            let action = if index == count { PASS } else { goto(index + 1) };
            chain(index, vec![filter(1, eth::P_ALL, &[], &[action])])
        });
        run_all(vec![filter(1, eth::P_ALL, &[], &[goto(1)])], chains.collect(), &udp(53)).map(|(_, gotos)| gotos)
    };
    assert_eq!(hops(16), Ok(GOTO_MAX));
    assert_eq!(hops(17), Err(Fault::TooManyGotos));
}

#[test]
fn conntrack_drops_arp_and_makes_datagrams_whole() {
    let list = vec![
        filter(1, eth::P_ALL, &[], &[track(7, Control::Continue)]),
        filter(2, eth::P_IP, &[Key::exact(Field::DstPort, 53)], &[PASS]),
        filter(3, eth::P_ALL, &[], &[DROP]),
    ];
    assert_eq!(run(list.clone(), &Packet::new(eth::P_ARP, "eth0", &[])), Err(Fault::NotIp(0)));
    let fragment = Packet { fragment: Some(Fragment::First), ..udp(53) };
    assert_eq!(run(list, &fragment).unwrap().verdict, Fate::Accept);
}

#[test]
fn only_the_last_zone_is_visible() {
    let mut packet = udp(53);
    packet.zones.insert(1, CtView { state: State::Established, mark: 5, label: 0, translated: false });
    let marked = Key::exact(Field::CtMark, 5);
    let zone = |zone| Key::exact(Field::CtZone, zone);
    let list = vec![
        filter(1, eth::P_IP, &[], &[track(1, Control::Pipe), track(2, Control::Continue)]),
        filter(2, eth::P_IP, &[zone(1), marked], &[DROP]),
        filter(3, eth::P_IP, &[zone(2)], &[commit(1, Control::Continue)]),
        filter(4, eth::P_IP, &[zone(1), marked], &[PASS]),
        filter(5, eth::P_ALL, &[], &[DROP]),
    ];
    let outcome = run(list, &packet).unwrap();
    assert_eq!((outcome.verdict, outcome.commits.len()), (Fate::Accept, 1));
}

fn translating(zone: u16, mark: Option<(u32, u32)>, control: Control) -> Action {
    let dummy = std::net::Ipv4Addr::new(192, 0, 0, 8);
    let nat = CtNat { side: NatSide::Source, addr: NatAddr::V4(dummy, dummy), ports: None };
    let commit = Commit { zone, force: false, mark, label: None, nat: Some(nat), helper: None };
    Action::Ct(Ct::Commit(commit), control)
}

fn track_nat(zone: u16, control: Control) -> Action {
    Action::Ct(Ct::Track { zone, nat: true }, control)
}

#[test]
fn only_a_commit_before_the_next_pass_translates_an_icmp_error() {
    let mut error = Packet::new(eth::P_IP, "eth0", &[(Field::IpProto, ipproto::ICMP.into())]);
    let related = CtView { state: State::Related, mark: 0, label: 0, translated: true };
    error.zones = [(1, related), (2, related)].into();
    let run = |actions: &[Action]| run(vec![filter(1, eth::P_IP, &[], actions)], &error);
    let apply = |zone| translating(zone, None, Control::Pipe);
    let passes = |actions: &[Action]| run(actions).unwrap().passes;
    let (first, last) = (track_nat(1, Control::Pipe), track_nat(2, Control::Pipe));
    assert_eq!(passes(&[first.clone(), last.clone(), PASS]), [(1, false), (2, false)]);
    assert_eq!(passes(&[first.clone(), last.clone(), apply(1), PASS]), [(1, false), (2, false)]);
    let right = [first.clone(), apply(1), last.clone(), apply(2), PASS];
    assert_eq!(passes(&right), [(1, true), (2, true)]);
    assert!(run(&right).unwrap().commits.is_empty(), "the entry is its master's");
    // Behind that, nothing of the first zone is found.
    let late = [first, apply(1), last, translating(1, Some((1, 1)), Control::Pass)];
    assert_eq!(run(&late), Err(Fault::Rewritten(1)));
}

#[test]
fn a_translated_connection_is_not_found_again() {
    let mut packet = udp(53);
    packet.zones.insert(1, CtView { state: State::Established, mark: 0, label: 0, translated: true });
    let run = |actions: &[Action]| run(vec![filter(1, eth::P_IP, &[], actions)], &packet);
    let store = commit(1, Control::Pipe);
    let (first, last) = (track_nat(1, Control::Pipe), track(2, Control::Pipe));
    assert_eq!(run(&[first.clone(), last.clone(), store.clone(), PASS]), Err(Fault::Rewritten(1)));
    assert_eq!(run(&[first, store, last, PASS]).unwrap().commits.len(), 1);
}

#[test]
fn an_invalid_packet_cannot_be_committed() {
    let mut packet = udp(53);
    packet.zones.insert(1, CtView { state: State::Invalid, ..CtView::NEW });
    let outcome = run(vec![filter(1, eth::P_IP, &[], &[track(1, Control::Pipe), commit(1, Control::Pass)])], &packet);
    assert!(outcome.unwrap().commits.is_empty());
}

#[test]
fn clear_takes_off_what_is_there() {
    let clear = Action::Ct(Ct::Clear, Control::Pass);
    let bare = vec![filter(1, eth::P_ALL, &[], std::slice::from_ref(&clear))];
    assert!(!run(bare.clone(), &udp(53)).unwrap().cleared);
    let carried = Packet { carried: Some(CtView::NEW), ..udp(53) };
    assert!(run(bare, &carried).unwrap().cleared);
    let tracked = vec![filter(1, eth::P_IP, &[], &[track(1, Control::Pipe), clear])];
    assert!(run(tracked, &udp(53)).unwrap().cleared);
}

#[test]
fn police_drops_the_excess_and_redirect_ends() {
    let limit = Limit::Packets { rate: 1, burst: 1 };
    let police = Action::Police(Police { budget: 0, limit, conform: Control::Pipe });
    let out = |redirect| Action::Mirred(Mirred { device: "eth1".to_owned(), ingress: false, redirect });
    let list = vec![filter(1, eth::P_ALL, &[], &[police, out(false), out(true)])];
    let outcome = run(list.clone(), &udp(53)).unwrap();
    assert!(matches!(outcome.verdict, Fate::Redirect(_)));
    assert_eq!((outcome.mirrors.len(), outcome.limits), (1, vec![9]));
    let excess = run(list, &Packet { exceeds: vec![9], ..udp(53) }).unwrap();
    assert_eq!((excess.verdict, excess.mirrors.len()), (Fate::Drop, 0));
}

#[test]
fn eval_is_trace_without_the_count() {
    let attached = Attached {
        name: String::new(),
        devices: Vec::new(),
        hook: Hook::Egress,
        entry: chain(0, vec![filter(1, eth::P_ALL, &[], &[PASS])]),
        chains: Vec::new(),
    };
    let program = Program { attaches: vec![attached], rules: Vec::new(), digest: 0 };
    assert_eq!(eval(&program, &program.attaches[0], &udp(1)), Err(Fault::NoRule(0)));
}
