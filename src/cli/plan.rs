//! `ctpolicy plan`: what `apply` would change.

use std::path::Path;

use super::policy::tell_if_empty;
use super::{Exit, Failure, Out, PolicyArgs, machine};
use crate::emit::netlink::{ApplyOptions, Outcome, Receipt, Session};
use crate::emit::program::Program;
use crate::live::plan::{Plan, plan};
use crate::live::record::{FOLDER, Record};
use crate::live::report;

/// Arguments of `ctpolicy plan`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: ctpolicy plan gateway.pol")]
pub struct Args {
    /// The policy (`-` for standard input)
    pub file: String,
    /// One JSON document instead of words
    #[arg(long)]
    pub json: bool,
    /// End with 2 where `apply` would change something
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// How to read the policy
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] for files, and for whatever would stop `apply`.
pub fn run(args: &Args, out: Out) -> Result<Exit, Failure> {
    let mut session = Session::open()?;
    let compiled = machine::compile(&args.file, &args.policy, &session, out)?;
    tell_if_empty(&args.file, &compiled, out);
    let Some(program) = &compiled.program else { return Ok(Exit::Policy) };
    let (plan, changes) = compare(program, &mut session, out)?;
    out.result(&if args.json { report::json(&plan)? } else { report::text(&plan, program) })?;
    Ok(if changes && args.detailed_exitcode { Exit::Changes } else { Exit::Done })
}

/// The plan, and whether an apply would change anything.
pub(super) fn compare(program: &Program, session: &mut Session, out: Out) -> Result<(Plan, bool), Failure> {
    let receipt = session.apply(program, ApplyOptions { dry_run: true })?;
    let mut plan = against(program, &receipt, out);
    // The kernel may hold something else than what its entry filters say: then an apply loads everything anew.
    plan.repair = receipt.outcome != Outcome::Unchanged && !plan.changes();
    let changes = plan.changes();
    Ok((plan, changes))
}

/// What an apply changes in what was live before it.
pub(super) fn against(program: &Program, receipt: &Receipt, out: Out) -> Plan {
    let record = receipt.was.current().and_then(|(_, digest)| {
        if digest == program.digest {
            return Some(Record::from(program));
        }
        let why = match Record::read(Path::new(FOLDER), digest) {
            Ok(record) => return Some(record),
            Err(why) => why,
        };
        out.message(&format!("note: rules that are live are known by their hashes only, not by their words: {why}\n"));
        None
    });
    let mut plan = plan(program, &receipt.placement, &receipt.was, record.as_ref());
    plan.attached.clone_from(&receipt.attached);
    plan.detached.clone_from(&receipt.detached);
    plan
}
