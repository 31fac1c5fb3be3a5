//! `ctpolicy apply`: a policy becomes what the kernel holds.

use std::path::Path;

use super::{Exit, Failure, Out, PolicyArgs, machine, plan};
use crate::emit::netlink::{ApplyOptions, Outcome, Receipt, Session};
use crate::emit::program::Program;
use crate::live::record::{FOLDER, Record};
use crate::live::report;

/// Arguments of `ctpolicy apply`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: ctpolicy apply gateway.pol")]
pub struct Args {
    /// The policy (`-` for standard input)
    pub file: String,
    /// Change nothing, show what would be changed
    #[arg(long)]
    pub dry_run: bool,
    /// How to read the policy
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] for files, devices, privileges and the kernel. The old policy is live then, unless the message says otherwise.
pub fn run(args: &Args, out: Out) -> Result<Exit, Failure> {
    let mut session = Session::open()?;
    let compiled = machine::compile(&args.file, &args.policy, &session, out)?;
    let Some(program) = &compiled.program else { return Ok(Exit::Policy) };
    if args.dry_run {
        let (plan, _) = plan::compare(program, &mut session)?;
        out.result(&report::text(&plan, program))?;
        out.message("Nothing was changed (--dry-run).\n");
        return Ok(Exit::Done);
    }
    let receipt = session.apply(program, ApplyOptions { dry_run: false })?;
    if let Err(error) = Record::from(program).write(Path::new(FOLDER)) {
        out.message(&format!("note: `status` will not know the rules' words: cannot write to {FOLDER}: {error}\n"));
    }
    for note in &receipt.notes {
        out.message(&format!("note: {note}\n"));
    }
    out.result(&words(program, &receipt))?;
    Ok(Exit::Done)
}

fn words(program: &Program, receipt: &Receipt) -> String {
    let generation = receipt.placement.generation;
    if receipt.outcome == Outcome::Unchanged {
        return format!("No changes: generation {generation} is live and is what the file says.\n");
    }
    let policies = program.attaches.len();
    let open = match receipt.detached.as_slice() {
        [] => String::new(),
        devices => format!("Open now, for the file does not name them: {}.\n", devices.join(", ")),
    };
    format!(
        "Generation {generation} is live: {policies} {}, {} filters.\n{open}",
        if policies == 1 { "policy" } else { "policies" },
        receipt.filters
    )
}
