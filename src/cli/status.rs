//! `ctpolicy status`: what is live, and what it counted.

use std::path::Path;

use super::{Exit, Failure, Out, PolicyArgs, machine};
use crate::emit::netlink::Session;
use crate::live::record::{FOLDER, Record};
use crate::live::status::Status;

/// Arguments of `ctpolicy status`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: ctpolicy status --json")]
pub struct Args {
    /// The policy that knows the rules' words, where `apply` did not run on this machine
    pub file: Option<String>,
    /// One JSON document instead of a table
    #[arg(long)]
    pub json: bool,
    /// How to read the policy
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] for files and the kernel.
pub fn run(args: &Args, out: Out) -> Result<Exit, Failure> {
    let mut session = Session::open()?;
    let from_file = match &args.file {
        None => None,
        Some(file) => {
            let compiled = machine::compile(file, &args.policy, &session, out)?;
            let Some(program) = &compiled.program else { return Ok(Exit::Policy) };
            Some(Record::from(program))
        }
    };
    let live = session.live()?;
    let current = live.current().map(|(_, digest)| digest);
    let record = match from_file {
        Some(record) => {
            if current.is_some_and(|digest| digest != record.digest) {
                out.message("note: the file is not what is live; `ctpolicy plan` shows the difference\n");
            }
            Some(record)
        }
        None => current.and_then(|digest| Record::read(Path::new(FOLDER), digest)),
    };
    let status = Status::new(&live, record.as_ref());
    out.result(&if args.json { status.json()? } else { status.text() })?;
    Ok(Exit::Done)
}
