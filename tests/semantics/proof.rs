//! The proof's diagrams against the evaluators: each says of every packet what they say of it.

use ctpolicy::emit::eval::eval as run;
use ctpolicy::emit::program::Program;
use ctpolicy::ir::eval::eval;
use ctpolicy::ir::policy::Policy;
use ctpolicy::verify::{Budget, Failure, Meaning, Meanings, prove};

use crate::rng::Rng;
use crate::shrink::Case;
use crate::{compile_at, number, packets, policies, report, scale};

const BUDGET: Budget = Budget { nodes: 1 << 22, pieces: 1, attribute: true };

/// Whether the proof of `program` fails, with a packet that both evaluators agree on.
pub fn refuted(policy: &Policy, program: &Program) -> bool {
    match prove(policy, program, BUDGET) {
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
        match prove(&policy, &program, BUDGET) {
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
