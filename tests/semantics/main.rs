//! Two slow, obvious meanings, compared: what the policy says (`ir::eval`) and what its filters do (`emit::eval`).
//!
//! Random policies and packets, each case known by its seed. `CTPOLICY_SEMANTICS_CASES=100000` runs more of them,
//! `CTPOLICY_SEMANTICS_SEED=17` starts elsewhere (a failure prints the seed: with it and `CASES=1` it runs alone).

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

mod asserts;
mod diff;
mod files;
mod form;
mod mutants;
mod packets;
mod parts;
mod policies;
mod proof;
mod rng;
mod shrink;
mod unreached;

use std::fmt::Write as _;

use ctpolicy::diag::Diagnostics;
use ctpolicy::emit::eval::trace;
use ctpolicy::emit::linearize::{FILTERS_MAX, linearize};
use ctpolicy::emit::program::Program;
use ctpolicy::ir::early::late;
use ctpolicy::ir::eval::eval;
use ctpolicy::ir::lower::lower;
use ctpolicy::ir::outcome::{Fate, Origin, Outcome};
use ctpolicy::ir::packet::Packet;
use ctpolicy::ir::policy::Policy;
use ctpolicy::optimize::{self, price::Scale};
use ctpolicy::source::SourceMap;
use rng::Rng;
use shrink::{Case, shrink};

/// Cases that a plain run tries.
const CASES: u64 = 500;
const PACKETS: usize = 60;

/// Whether `resolve` refuses the policy: what it stores would be stored too late.
fn refused(policy: &Policy) -> bool {
    policy.attaches.iter().any(|attach| !late(attach, &policy.translating).is_empty())
}

/// The Program of a policy; `None` if the compiler refuses it (also for too many gotos or chains).
fn compile(policy: &Policy) -> Option<Program> {
    compile_at(policy, Scale::default())
}

/// The same, with a scale for the optimizer: small policies show little of it at the usual one.
fn compile_at(policy: &Policy, scale: Scale) -> Option<Program> {
    if refused(policy) {
        return None;
    }
    let mut diags = Diagnostics::default();
    let graph = optimize::run(lower(policy, &SourceMap::default()), scale);
    let program = linearize(graph, policy, scale, FILTERS_MAX, &mut diags);
    (!diags.has_errors()).then_some(program)
}

/// How the two meanings of a packet differ, if they do.
fn difference(case: &Case, program: &Program) -> Option<String> {
    let meant = eval(&case.policy, case.attach(), &case.packet);
    differs(&meant, program, case.block, &case.packet)
}

/// How this Program's block differs from what is meant for a packet.
fn differs(meant: &Outcome, program: &Program, block: usize, packet: &Packet) -> Option<String> {
    match trace(program, &program.attaches[block], packet) {
        Ok((done, _)) if done == *meant => None,
        Ok((done, _)) => Some(format!("the policy means\n{meant:#?}\nand its filters do\n{done:#?}")),
        Err(fault) => Some(format!("the policy means\n{meant:#?}\nbut {fault}")),
    }
}

/// Every second policy is optimised more eagerly than any user's.
fn scale(seed: u64) -> Scale {
    if seed.is_multiple_of(2) { Scale::EAGER } else { Scale::default() }
}

/// A random policy and its packets. `Err` holds the smallest failing case as text.
fn run(seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let policy = policies::policy(&mut rng);
    let scale = scale(seed);
    compare(&policy, scale, PACKETS, &mut rng, tally).map_err(|text| format!("seed {seed}: {text}"))
}

/// So many packets for each block of a policy.
fn compare(policy: &Policy, scale: Scale, packets: usize, rng: &mut Rng, tally: &mut Tally) -> Result<(), String> {
    let compile = |policy: &Policy| compile_at(policy, scale);
    let Some(program) = compile(policy) else {
        *if refused(policy) { &mut tally.late } else { &mut tally.refused } += 1;
        return Ok(());
    };
    assert_eq!(program.attaches.len(), policy.attaches.len());
    if let Some(fault) = form_fault(policy, &program) {
        let case = Case { policy: policy.clone(), block: 0, packet: packets::packet(rng, policy, 0) };
        let now = |case: &Case| compile(&case.policy).and_then(|program| form_fault(&case.policy, &program));
        let case = shrink(case, &|case| now(case).is_some());
        return Err(report(&case, scale, &now(&case).unwrap_or(fault)));
    }
    for block in 0..policy.attaches.len() {
        for _ in 0..packets {
            let packet = packets::packet(rng, policy, block);
            let meant = eval(policy, &policy.attaches[block], &packet);
            tally.count(&meant);
            if differs(&meant, &program, block, &packet).is_some() {
                let case = Case { policy: policy.clone(), block, packet };
                let now = |case: &Case| compile(&case.policy).and_then(|program| difference(case, &program));
                let case = shrink(case, &|case| now(case).is_some());
                return Err(report(&case, scale, &now(&case).unwrap_or_default()));
            }
        }
    }
    Ok(())
}

fn form_fault(policy: &Policy, program: &Program) -> Option<String> {
    let faults = form::faults(policy, program);
    (!faults.is_empty()).then(|| faults.join("\n"))
}

/// A case as a person reads it, with the filters of its policy.
fn report(case: &Case, scale: Scale, text: &str) -> String {
    let attach = case.attach();
    let mut out = format!("{text}\n\n");
    let file = (&case.policy.translating, case.policy.nat_bits_used);
    let _ = writeln!(out, "(translating, nat bits used) {file:?}");
    let _ = writeln!(out, "{:?}, passes {:?}, default allow {}", attach.hook, attach.passes, attach.default_allow);
    for (place, rules) in [("prefilter", &attach.prefilter), ("rule", &attach.rules)] {
        for rule in rules {
            let words = (rule.snat, rule.dnat, &rule.mark, &rule.label);
            let states: Vec<_> = rule.states.iter().collect();
            let _ = writeln!(
                out,
                "{place} {} {:?} pass {} {states:?} snat, dnat, mark, label {words:?}",
                rule.info.ident, rule.verdict, rule.pass
            );
            for alt in &rule.alts {
                let _ = writeln!(out, "    {alt:?}");
            }
            let _ = writeln!(out, "    {:?}", rule.actions);
        }
    }
    let _ = writeln!(out, "{:#?}", case.packet);
    for attached in compile_at(&case.policy, scale).iter().flat_map(|program| &program.attaches) {
        for chain in std::iter::once(&attached.entry).chain(&attached.chains) {
            let _ = writeln!(out, "chain {}: {}", chain.index, chain.title);
            for f in &chain.filters {
                let _ = writeln!(
                    out,
                    "  prio {} {:#06x} rule {} {:x?}\n      {:?}",
                    f.prio, f.protocol, f.rule, f.keys, f.actions
                );
            }
        }
    }
    out
}

/// What the cases came to: a suite that only ever sees drops would prove little.
#[derive(Default)]
struct Tally {
    refused: u64,
    packets: u64,
    accepted: u64,
    redirected: u64,
    committed: u64,
    translated: u64,
    by_rule: u64,
    pended: u64,
    /// Policies that store too late.
    late: u64,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        self.packets += 1;
        self.accepted += u64::from(outcome.verdict == Fate::Accept);
        self.redirected += u64::from(matches!(outcome.verdict, Fate::Redirect(_)));
        self.committed += u64::from(!outcome.commits.is_empty());
        self.translated += u64::from(outcome.commits.iter().any(|commit| commit.nat.is_some()));
        self.by_rule += u64::from(matches!(outcome.rule, Origin::Rule { .. }));
        self.pended += u64::from(outcome.commits.len() > 1);
    }
}

fn number(name: &str, plain: u64) -> u64 {
    std::env::var(name).ok().map_or(plain, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[test]
fn filters_do_what_the_policy_means() {
    let first = number("CTPOLICY_SEMANTICS_SEED", 1);
    let cases = number("CTPOLICY_SEMANTICS_CASES", CASES);
    let mut tally = Tally::default();
    for seed in first..first + cases {
        if let Err(text) = run(seed, &mut tally) {
            panic!("{text}");
        }
    }
    let Tally { refused, packets, accepted, redirected, committed, translated, by_rule, pended, late } = tally;
    println!(
        "{packets} packets: {accepted} accepted, {redirected} redirected, {by_rule} by a rule, {committed} committed, \
         {translated} translated, {pended} in several zones; {refused} policies refused, {late} that store too late"
    );
    if cases >= CASES {
        assert!(accepted * 5 > packets, "too few packets are accepted");
        assert!(by_rule * 5 > packets * 2, "too few packets meet a rule");
        assert!(committed * 10 > packets && translated * 100 > packets && redirected * 100 > packets);
        assert!(pended * 200 > packets, "too few packets are committed in several zones");
        assert!(late * 10 < cases, "too many policies store too late");
        assert!(refused * 20 < cases, "too many policies are refused");
    }
}
