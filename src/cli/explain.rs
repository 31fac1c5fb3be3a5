//! `ctpolicy explain`: the page of a lint.

use std::fmt::Write;

use super::{Exit, Failure, Out};
use crate::diag::Lint;
use crate::explain::{find, lints};
use crate::parse::words::nearest;

/// Arguments of `ctpolicy explain`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: ctpolicy explain unknown-name")]
pub struct Args {
    /// The name in brackets of a finding; without it, all names
    pub name: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] for a name that no lint has.
pub fn run(args: &Args, out: Out) -> Result<Exit, Failure> {
    let text = match &args.name {
        None => list(),
        Some(name) => page(find(name).ok_or_else(|| unknown(name))?),
    };
    out.result(&text)?;
    Ok(Exit::Done)
}

fn list() -> String {
    let mut sorted: Vec<&Lint> = lints().collect();
    sorted.sort_by_key(|lint| lint.name);
    let width = sorted.iter().map(|lint| lint.name.len()).max().unwrap_or_default();
    sorted.iter().fold(String::new(), |mut text, lint| {
        let _ = writeln!(text, "{:width$}  {:7}  {}", lint.name, lint.level.word(), lint.summary);
        text
    })
}

fn page(lint: &Lint) -> String {
    format!("{} ({}): {}\n\n{}\n", lint.name, lint.level.word(), lint.summary, lint.doc.trim())
}

/// The failure for a name that no lint has, with the nearest that one does.
pub fn unknown(name: &str) -> Failure {
    let names: Vec<&str> = lints().map(|lint| lint.name).collect();
    let help = match nearest(name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`ctpolicy explain` lists all names".to_owned(),
    };
    Failure::Usage { message: format!("no lint is called `{name}`"), help: Some(help) }
}
