//! The proof's diagrams against the evaluators: each says of every packet what they say of it.

use ctpolicy::diag::{Diagnostics, Level};
use ctpolicy::emit::eval::eval as run;
use ctpolicy::emit::program::{Program, Role};
use ctpolicy::ir::eval::eval;
use ctpolicy::ir::policy::Policy;
use ctpolicy::verify::{Budget, Failure, Meaning, Meanings, prove, report};

use crate::rng::Rng;
use crate::shrink::Case;
use crate::{compile_at, mutants, number, packets, policies, report, scale};

/// Each block as a whole.
const BUDGET: Budget = Budget { nodes: 1 << 22, pieces: 1, attribute: 1 << 22, chains: usize::MAX, steps: 1 << 26 };

/// Whether the proof of `program` fails: with a packet that both evaluators agree on, or for its form.
pub fn refuted(policy: &Policy, program: &Program) -> bool {
    // What is refuted as a whole is not proven chain by chain.
    let by_parts = prove(policy, program, Budget { chains: 0, ..BUDGET });
    let whole = prove(policy, program, BUDGET);
    assert!(whole.is_ok() || by_parts.is_err(), "proven by parts: {by_parts:?}");
    match whole {
        Ok(_) => false,
        Err(Failure::Mismatch(mismatch)) => {
            assert_ne!(
                mismatch.done.as_ref(),
                Ok(&mismatch.meant),
                "the witness shows nothing: {:#?}",
                mismatch.packet
            );
            true
        }
        Err(Failure::Form(_)) => true,
        Err(failure) => panic!("{failure:?}"),
    }
}

#[test]
fn diagrams_say_what_the_evaluators_say() {
    let first = number("CTPOLICY_SEMANTICS_SEED", 1);
    let (mut asked, mut possible) = (0, 0);
    for seed in first..first + number("CTPOLICY_SEMANTICS_CASES", 300) {
        let mut rng = Rng::new(seed);
        let policy = policies::policy(&mut rng);
        let scale = scale(seed);
        let Some(program) = compile_at(&policy, scale) else { continue };
        for block in 0..policy.attaches.len() {
            let mut meanings = Meanings::new(&policy, &program, block, BUDGET).unwrap();
            for _ in 0..40 {
                let packet = packets::packet(&mut rng, &policy, block);
                let meant = Meaning::Outcome(eval(&policy, &policy.attaches[block], &packet));
                let done = run(&program, &program.attaches[block], &packet);
                let done = done.map_or_else(Meaning::Fault, Meaning::Outcome);
                let said = meanings.of(&packet);
                if said != [Some(&meant), Some(&done)] {
                    let case = Case { policy: policy.clone(), block, packet };
                    panic!("seed {seed}: {}", report(&case, scale, &format!("{said:#?}\nbut\n{meant:#?}\n{done:#?}")));
                }
                asked += 1;
                possible += u32::from(meanings.is_possible(&policy, &policy.attaches[block], &packet));
            }
        }
    }
    println!("{asked} packets, {possible} of them possible");
    assert!(asked == possible, "a proof leaves out {} of {asked} packets", asked - possible);
}

#[test]
fn random_policies_are_proven() {
    let first = number("CTPOLICY_SEMANTICS_SEED", 1);
    let cases = number("CTPOLICY_SEMANTICS_CASES", 300);
    for seed in first..first + cases {
        let policy = policies::policy(&mut Rng::new(seed));
        let scale = scale(seed);
        let Some(program) = compile_at(&policy, scale) else { continue };
        // Chain by chain where that can be, and as a whole.
        let by_parts = prove(&policy, &program, Budget { chains: 0, ..BUDGET });
        match by_parts.and_then(|_| prove(&policy, &program, BUDGET)) {
            Ok(_) => {}
            Err(Failure::Mismatch(mismatch)) => {
                let case = Case { policy: policy.clone(), block: mismatch.block, packet: mismatch.packet };
                let text = format!("{:#?}\nbut\n{:#?}", mismatch.meant, mismatch.done);
                panic!("seed {seed}: {}", report(&case, scale, &text));
            }
            Err(failure) => panic!("seed {seed}: {failure:?}"),
        }
    }
}

#[test]
fn what_is_too_large_at_once_is_proven_piece_by_piece() {
    let policy = mutants::sample();
    let program = compile_at(&policy, scale(1)).unwrap();
    let whole = prove(&policy, &program, BUDGET).unwrap().blocks[0];
    assert!(whole.pieces == 1 && whole.attributed, "{whole:?}");
    let small = Budget { nodes: whole.nodes / 3, pieces: 100, ..BUDGET };
    let split = prove(&policy, &program, small).unwrap().blocks[0];
    assert!(split.pieces > 1 && split.nodes <= whole.nodes / 3 && !split.attributed, "{split:?}");
    // A bug in one piece is found, and what cannot be split far enough is said to be unproven.
    let mut wrong = program.clone();
    for chain in &mut wrong.attaches[0].chains {
        chain.filters.pop();
    }
    assert!(matches!(prove(&policy, &wrong, small), Err(Failure::Mismatch(_))));
    let tiny = Budget { nodes: whole.nodes / 3, pieces: 1, ..BUDGET };
    assert!(matches!(prove(&policy, &program, tiny), Err(Failure::TooLarge { block: 0, proven: 0, left: 1 })));
}

#[test]
fn a_failed_proof_is_an_error_with_its_packet() {
    let policy = mutants::sample();
    let program = compile_at(&policy, scale(1)).unwrap();
    let findings = |program: &Program, budget: Budget, accept: bool| {
        let mut diags = Diagnostics::default();
        let proof = report::check(&policy, program, budget, accept, &mut diags);
        assert_eq!(proof.is_some(), diags.list().is_empty());
        diags
    };
    assert!(findings(&program, BUDGET, false).list().is_empty());
    let mut wrong = program.clone();
    for chain in &mut wrong.attaches[0].chains {
        chain.filters.pop();
    }
    let diags = findings(&wrong, BUDGET, true);
    let found = &diags.list()[0];
    assert_eq!((found.lint.name, found.level), ("miscompiled", Level::Error));
    assert!(found.notes[0].starts_with("packet: ") && found.notes[0].contains("on eth0 ingress"), "{found:?}");
    assert!(found.notes[2].contains("fell off the end of chain"), "{found:?}");
    let says = |bug: fn(&mut Program)| {
        let mut wrong = program.clone();
        bug(&mut wrong);
        let diags = findings(&wrong, BUDGET, false);
        assert_eq!(diags.list().len(), 1);
        let found = &diags.list()[0];
        [&found.message, found.notes.last().unwrap()].map(String::clone)
    };
    let [message, note] = says(|program| {
        let dispatch = program.rules.iter().position(|rule| rule.role == Role::Dispatch).unwrap();
        let filters = program.attaches[0].chains.iter_mut().flat_map(|chain| &mut chain.filters);
        filters.for_each(|filter| filter.rule = dispatch);
    });
    assert_eq!(message, "the filters of this policy would not decide by the rules that it says");
    assert!(note.ends_with("(by no rule: by a filter that should only lead on)"), "{note}");
    let [message, note] = says(|program| program.attaches.clear());
    assert_eq!(message, "the kernel would not hold the filters of this policy as they are meant");
    assert_eq!(note, "it has no filters");
    let tiny = Budget { nodes: 100, pieces: 1, attribute: 0, ..BUDGET };
    for (accept, level) in [(false, Level::Error), (true, Level::Warning)] {
        let diags = findings(&program, tiny, accept);
        assert_eq!((diags.list()[0].lint.name, diags.list()[0].level), ("unproven", level));
    }
}
