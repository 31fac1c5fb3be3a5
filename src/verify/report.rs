//! What a failed proof says to the user.

use super::form::Fault;
use super::{Budget, Failure, Mismatch, Proof, prove, show};
use crate::declare_lints;
use crate::diag::{Diagnostic, Diagnostics, Level};
use crate::emit::program::Program;
use crate::ir::outcome::{Origin, Outcome};
use crate::ir::policy::{Attach, Policy};
use crate::source::Span;

declare_lints! {
    /// The filters do not do what the policy says: a bug of ours.
    pub MISCOMPILED: Error = "miscompiled", "the filters would treat a packet otherwise than the policy says",
        "Every policy is compiled with a proof that its filters decide every packet as it says. Here it failed: the packet \
         shown would be treated otherwise, or (where no packet shows it) the kernel would ignore, refuse or share what the note names. This is a fault of ctpolicy, not of the policy; nothing is printed or applied. \
         Please report it with the policy.";
    /// The proof would take more memory or time than it may.
    pub UNPROVEN: Error = "unproven", "the policy is too large to prove that its filters mean the same",
        "Every policy is compiled with a proof that its filters decide every packet as it says. The proof splits the packets \
         into pieces where it grows too large, and gives up at a stated number of pieces, and of steps. Nothing wrong was found in the pieces \
         that were proven. Split the policy into several, use sets instead of many overlapping rules, or give \
         `--accept-unproven`: then this is a warning, and the filters are used without the proof. `--no-proof` does not even try.";
}

/// What to do about a miscompiled policy.
const OUR_FAULT: &str = "this is a fault of ctpolicy: please report it with the policy; nothing is printed or applied";

/// Proves that the Program means what the policy says, and reports why not. `accept` makes a warning of what is too large.
pub fn check(
    policy: &Policy,
    program: &Program,
    budget: Budget,
    accept: bool,
    diags: &mut Diagnostics,
) -> Option<Proof> {
    match prove(policy, program, budget) {
        Ok(proof) => return Some(proof),
        Err(Failure::Mismatch(mismatch)) => {
            if let Some(attach) = policy.attaches.get(mismatch.block) {
                diags.push(miscompiled(attach, program, &mismatch));
            }
        }
        Err(Failure::Form(fault)) => {
            if let Some(attach) = policy.attaches.get(fault.block) {
                diags.push(malformed(attach, &fault));
            }
        }
        Err(Failure::TooLarge { block, proven, left }) => {
            if let Some(attach) = policy.attaches.get(block) {
                diags.push(unproven(attach, program, (proven, left), accept));
            }
        }
    }
    None
}

fn miscompiled(attach: &Attach, program: &Program, mismatch: &Mismatch) -> Diagnostic {
    let same_but_rule = |done: &Outcome| Outcome { rule: mismatch.meant.rule, ..done.clone() } == mismatch.meant;
    let message = match &mismatch.done {
        Ok(done) if *done == mismatch.meant => {
            "the proof of this policy failed, but its packet shows no difference: the proof itself may be at fault"
        }
        Ok(done) if same_but_rule(done) => "the filters of this policy would not decide by the rules that it says",
        _ => "the filters of this policy would not do what it says",
    };
    let mut found = Diagnostic::new(&MISCOMPILED, attach.span, message);
    found = found.note(format!("packet: {}", show::packet(&mismatch.packet, &attach.devices, attach.hook)));
    found =
        found.note(format!("the policy says: {}{}", show::outcome(&mismatch.meant), decided(&mismatch.meant, program)));
    let by = mismatch.done.as_ref().map(|done| decided(done, program)).unwrap_or_default();
    found = found.note(format!("its filters do: {}{by}", show::result(&mismatch.done)));
    if let Some(span) = rule_of(attach, mismatch.meant.rule) {
        found = found.because(span, "the policy decides the packet here");
    }
    found.help(OUR_FAULT)
}

fn malformed(attach: &Attach, fault: &Fault) -> Diagnostic {
    Diagnostic::new(&MISCOMPILED, attach.span, "the kernel would not hold the filters of this policy as they are meant")
        .note(fault.text.clone())
        .help(OUR_FAULT)
}

/// Where a rule of this block is written.
pub(super) fn rule_of(attach: &Attach, origin: Origin) -> Option<Span> {
    origin.info(attach).map(|info| info.span).filter(|span| *span != Span::default())
}

fn decided(outcome: &Outcome, program: &Program) -> String {
    let Origin::Rule { ident, .. } = outcome.rule else {
        return match outcome.rule {
            Origin::Default => " (by the default)".to_owned(),
            Origin::Implicit => " (as ARP and neighbour discovery always are)".to_owned(),
            _ => " (by no rule: by a filter that should only lead on)".to_owned(),
        };
    };
    let rule = program.rules.iter().find(|rule| rule.ident == ident);
    rule.map(|rule| format!(" (by `{}`)", rule.text)).unwrap_or_default()
}

fn unproven(attach: &Attach, program: &Program, (proven, left): (usize, usize), accept: bool) -> Diagnostic {
    let name = show::block(&attach.name, &attach.devices, attach.hook);
    let message = format!("{name} is too large to prove that its filters mean the same");
    let mut found = Diagnostic::new(&UNPROVEN, attach.span, message);
    if accept {
        found.level = Level::Warning;
    }
    let (rules, filters) = (attach.all_rules().count(), program.filters().count());
    found
        .note(format!("{rules} rules became {filters} filters"))
        .note(format!("its packets were split into pieces: {proven} were proven, {left} are left unproven"))
        .help("split the policy, use sets instead of overlapping rules, or accept it with `--accept-unproven`")
}
