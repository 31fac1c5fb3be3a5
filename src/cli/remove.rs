//! `ctpolicy remove`: the way out.

use super::{Exit, Failure, Out};
use crate::emit::netlink::Session;

/// Arguments of `ctpolicy remove`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: ctpolicy remove --on eth0")]
pub struct Args {
    /// Only from this device
    #[arg(long, value_name = "DEV")]
    pub on: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] for devices, privileges and the kernel.
pub fn run(args: &Args, out: Out) -> Result<Exit, Failure> {
    let removed = Session::open()?.remove(args.on.as_deref())?;
    for note in &removed.notes {
        out.message(&format!("note: {note}\n"));
    }
    let text = if removed.devices.is_empty() {
        "Nothing of ctpolicy was removed.\n".to_owned()
    } else {
        format!("Removed. Open now, without any policy: {}.\n", removed.devices.join(", "))
    };
    out.result(&text)?;
    Ok(Exit::Done)
}
