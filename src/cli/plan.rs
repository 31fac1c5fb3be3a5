//! `ctpolicy plan`: what `apply` would change.

use std::path::Path;

use super::{Exit, Failure, Out, PolicyArgs, machine};
use crate::emit::netlink::{ApplyOptions, Outcome, Session};
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
    let Some(program) = &compiled.program else { return Ok(Exit::Policy) };
    let (plan, changes) = compare(program, &mut session)?;
    out.result(&if args.json { report::json(&plan)? } else { report::text(&plan, program) })?;
    Ok(if changes && args.detailed_exitcode { Exit::Changes } else { Exit::Done })
}

/// The plan, and whether an apply would change anything.
pub(super) fn compare(program: &Program, session: &mut Session) -> Result<(Plan, bool), Failure> {
    let receipt = session.apply(program, ApplyOptions { dry_run: true })?;
    let live = session.live()?;
    let record = live.current().and_then(|(_, digest)| Record::read(Path::new(FOLDER), digest));
    let mut plan = plan(program, &receipt.placement, &live, record.as_ref());
    plan.attached = receipt.attached;
    plan.detached = receipt.detached;
    // The kernel may hold something else than what its entry filters say: then an apply loads everything anew.
    plan.repair = receipt.outcome != Outcome::Unchanged && !plan.changes();
    let changes = plan.changes();
    Ok((plan, changes))
}
