//! Apply against a scripted kernel: what cannot be had from a real one on demand.

use std::collections::BTreeMap;

use super::apply::{ApplyOptions, Outcome, Receipt, apply};
use super::error::ApplyError;
use super::fake::{Fake, State};
use super::socket::Socket;
use crate::abi::{errno, eth};
use crate::emit::program::{Action, Attached, BLOCK_BASE, Chain, Control, Filter, Program, Role, RuleRef};
use crate::ir::policy::Hook;

fn program(digest: u64, devices: &[&str]) -> Program {
    let one = |prio, protocol, control| Filter {
        prio,
        handle: 1,
        protocol,
        keys: Vec::new(),
        actions: vec![Action::Gact(control)].into(),
        rule: 0,
    };
    let attached = |device: &&str| Attached {
        name: format!("on {device}"),
        devices: vec![(*device).to_owned()],
        hook: Hook::Ingress,
        entry: Chain {
            index: 0,
            title: "entry".to_owned(),
            filters: vec![
                one(1, eth::P_IP, Control::Goto(1)),
                one(2, eth::P_IPV6, Control::Goto(1)),
                one(4, eth::P_ALL, Control::Drop),
            ],
        },
        chains: vec![Chain { index: 1, title: "rules".to_owned(), filters: vec![one(1, eth::P_ALL, Control::Drop)] }],
    };
    let rule = RuleRef {
        policy: String::new(),
        position: 0,
        text: "default drop".to_owned(),
        annotations: Vec::new(),
        role: Role::Default,
        ident: 1,
        meaning: digest,
        place: String::new(),
    };
    Program { attaches: devices.iter().map(attached).collect(), rules: vec![rule], digest }
}

fn kernel() -> Fake {
    let fake = Fake::default();
    fake.0.borrow_mut().room = 200 << 10;
    fake
}

fn run(fake: &Fake, program: &Program) -> Result<Receipt, ApplyError> {
    let devices = program.attaches.iter().flat_map(|attached| &attached.devices).cloned();
    let links: BTreeMap<String, u32> = devices.zip(1..).collect();
    apply(&mut Socket::over(Box::new(fake.clone())), links, program, ApplyOptions::default())
}

fn filters(fake: &Fake) -> Vec<String> {
    fake.0.borrow().filters.iter().map(|(place, what)| format!("{place:?} {what:?}")).collect()
}

/// Refuses the changes of chain 0 with these numbers, counted from the next one.
fn refuse(fake: &Fake, list: &[(usize, i32)]) {
    let State { switched, refuse, .. } = &mut *fake.0.borrow_mut();
    *switched = 0;
    *refuse = list.iter().copied().collect();
}

#[test]
fn a_policy_is_loaded_switched_to_and_replaced() {
    let fake = kernel();
    assert_eq!(run(&fake, &program(1, &["a"])).unwrap().outcome, Outcome::Applied);
    assert_eq!(run(&fake, &program(1, &["a"])).unwrap().outcome, Outcome::Unchanged);
    let second = run(&fake, &program(2, &["a"])).unwrap();
    assert_eq!((second.was.current(), second.placement.generation), (Some((1, 1)), 2));
    assert_eq!(second.notes, Vec::<String>::new());
    // 3 entries, and one chain of the new generation only.
    let chains: Vec<u32> = fake.0.borrow().filters.keys().map(|place| place.1).collect();
    assert_eq!(chains, [0, 0, 0, 2 << 16 | 1]);
}

#[test]
fn a_refused_entry_brings_all_old_ones_back() {
    let fake = kernel();
    run(&fake, &program(1, &["a", "b"])).unwrap();
    let before = filters(&fake);
    // The second of six.
    refuse(&fake, &[(2, errno::EINVAL)]);
    let error = run(&fake, &program(2, &["a", "b"])).unwrap_err();
    assert!(matches!(&error, ApplyError::SwitchedBack { why } if why.contains("scripted refusal 22")), "{error}");
    assert_eq!(error.exit_code(), 5);
    assert_eq!(filters(&fake).len(), before.len());
    assert_eq!(run(&fake, &program(1, &["a", "b"])).unwrap().outcome, Outcome::Unchanged);
}

#[test]
fn where_an_old_entry_cannot_be_put_back_both_generations_stay_and_it_is_said() {
    let fake = kernel();
    run(&fake, &program(1, &["a", "b"])).unwrap();
    // Of six entries the last is refused; then five are put back, of which the first is refused as well.
    refuse(&fake, &[(6, errno::EINVAL), (7, errno::EINVAL)]);
    let error = run(&fake, &program(2, &["a", "b"])).unwrap_err();
    let ApplyError::HalfSwitched { why, back } = &error else { panic!("{error}") };
    assert!(why.contains(&format!("of block {}", BLOCK_BASE + 2)), "{why}");
    // The kernel walks prios from the lowest, so they are sent in descending order.
    assert!(back.contains(&format!("prio 4 of block {}", BLOCK_BASE + 1)), "{back}");
    assert_eq!(error.exit_code(), 5);
    assert!(error.help().unwrap().contains("apply again"), "{error}");
    // No chain that an entry leads to is gone.
    let chains = |generation: u32| fake.0.borrow().filters.keys().filter(|place| place.1 >> 16 == generation).count();
    assert_eq!((chains(1), chains(2)), (2, 2));
    // What it says to do works, and nothing of either is left over.
    refuse(&fake, &[]);
    assert_eq!(run(&fake, &program(3, &["a", "b"])).unwrap().placement.generation, 3);
    assert_eq!((chains(1), chains(2), chains(3)), (0, 0, 2));
    assert_eq!(run(&fake, &program(3, &["a", "b"])).unwrap().outcome, Outcome::Unchanged);
}

#[test]
fn a_first_switch_that_fails_leaves_nothing() {
    let fake = kernel();
    refuse(&fake, &[(2, errno::EINVAL)]);
    // The rehearsal is no change of chain 0, so this is the switch.
    assert!(matches!(run(&fake, &program(1, &["a"])), Err(ApplyError::SwitchedBack { .. })));
    assert!(fake.0.borrow().clsacts.is_empty() && filters(&fake).is_empty());
}

#[test]
fn the_switch_is_one_message_or_none() {
    let names: Vec<String> = (0..500).map(|number| format!("d{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let large = program(1, &names);
    let fake = kernel();
    fake.0.borrow_mut().room = 140 << 10;
    refuse(&fake, &[(1, errno::EINVAL)]);
    let error = run(&fake, &large).unwrap_err();
    let ApplyError::SwitchTooLong { bytes, entries: 1500, room } = error else { panic!("{error}") };
    assert!(bytes > room);
    // Nothing was asked of chain 0, and nothing is there.
    assert!(fake.0.borrow().switched == 0 && fake.0.borrow().clsacts.is_empty() && filters(&fake).is_empty());
    refuse(&fake, &[]);
    fake.0.borrow_mut().room = 1 << 20;
    run(&fake, &large).unwrap();
    assert_eq!(fake.0.borrow().longest, bytes);
}

#[test]
fn loading_makes_do_with_a_small_send_buffer() {
    let fake = kernel();
    fake.0.borrow_mut().room = 1024;
    run(&fake, &program(1, &["a", "b"])).unwrap();
    assert_eq!(run(&fake, &program(1, &["a", "b"])).unwrap().outcome, Outcome::Unchanged);
    assert!(fake.0.borrow().longest <= 1024);
}
