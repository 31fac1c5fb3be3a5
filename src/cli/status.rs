//! `ctpolicy status`: what is live, and what it counted.

use std::path::Path;
use std::time::SystemTime;

use super::policy::tell_if_empty;
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
            tell_if_empty(file, &compiled, out);
            let Some(program) = &compiled.program else { return Ok(Exit::Policy) };
            Some(Record::from(program))
        }
    };
    let live = session.live()?;
    let current = live.current().map(|(_, digest)| digest);
    let record = if let Some(record) = from_file {
        if current.is_some_and(|digest| digest != record.digest) {
            out.message("note: the file is not what is live; `ctpolicy plan` shows the difference\n");
        }
        Some(record)
    } else {
        current.and_then(|digest| match Record::read(Path::new(FOLDER), digest) {
            Ok(record) => Some(record),
            Err(why) => {
                let help = "`ctpolicy status FILE` takes them from the policy";
                out.message(&format!("note: the words of the rules are not known: {why}; {help}\n"));
                None
            }
        })
    };
    let devices = session.devices()?;
    let status = Status::new(&live, record.as_ref(), &devices, SystemTime::now());
    out.result(&if args.json { status.json()? } else { status.text() })?;
    Ok(Exit::Done)
}
