//! `ctpolicy apply`: a policy becomes what the kernel holds.

use std::path::Path;

use super::{Exit, Failure, Out, PolicyArgs, machine, plan};
use crate::emit::netlink::{ApplyOptions, Session};
use crate::live::applied;
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
    /// One JSON document instead of words (with --dry-run that of `plan`)
    #[arg(long)]
    pub json: bool,
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
    // What made the file has failed, or it is one of those that are only included.
    if program.attaches.is_empty() {
        let message = format!("`{}` holds no policy and no rule, and nothing was changed", args.file);
        let help = "to take the live policy out, and leave its devices open: `ctpolicy remove`".to_owned();
        return Err(Failure::Usage { message, help: Some(help) });
    }
    if args.dry_run {
        let (plan, _) = plan::compare(program, &mut session, out)?;
        out.result(&if args.json { report::json(&plan)? } else { report::text(&plan, program) })?;
        out.message("Nothing was changed (--dry-run).\n");
        return Ok(Exit::Done);
    }
    let mut receipt = session.apply(program, ApplyOptions { dry_run: false })?;
    let plan = plan::against(program, &receipt, out);
    if let Err(error) = Record::from(program).write(Path::new(FOLDER)) {
        receipt.notes.push(format!("`status` will not know the rules' words: cannot write to {FOLDER}: {error}"));
    }
    for note in &receipt.notes {
        out.message(&format!("note: {note}\n"));
    }
    out.result(&if args.json { applied::json(&receipt, &plan)? } else { applied::text(&receipt, &plan) })?;
    Ok(Exit::Done)
}
