//! `ctpolicy diff`: which packets change their fate between two policies.

use super::{Exit, Failure, Out, ReadingArgs};
use crate::diag::render;
use crate::parse::DiskFiles;
use crate::pipeline::{self, Compiled};
use crate::verify::Budget;
use crate::verify::diff::report::{self, Text};
use crate::verify::diff::{self, Diff};

/// Arguments of `ctpolicy diff`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example: git show main:edge.pol | ctpolicy diff - edge.pol\n\nExit code: 0 no difference (proven), 2 they differ, \
    1 a policy has errors or they are too large to compare."
)]
pub struct Args {
    /// The policy before (`-` for standard input)
    pub old: String,
    /// The policy after (`-` for standard input)
    pub new: String,
    /// One JSON document instead of words
    #[arg(long)]
    pub json: bool,
    /// Describe so many classes of packets, the most dangerous first
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub max_classes: usize,
    /// How to read the policies
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] for files.
pub fn run(args: &Args, out: Out) -> Result<Exit, Failure> {
    if args.old == "-" && args.new == "-" {
        let help = Some("give one of them as a file".to_owned());
        return Err(Failure::Usage { message: "standard input cannot be both policies".to_owned(), help });
    }
    let [old, new] = [&args.old, &args.new].map(|path| pipeline::meaning(path, &DiskFiles, &args.reading.options()));
    let answer = answer(args, &old?, &new?)?;
    out.message(&answer.message);
    out.result(&answer.result)?;
    Ok(answer.exit)
}

/// What there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub result: String,
    /// For standard error.
    pub message: String,
    /// The exit code.
    pub exit: Exit,
}

/// Compares what two files mean.
///
/// # Errors
/// [`Failure::Json`]
pub fn answer(args: &Args, old: &Compiled, new: &Compiled) -> Result<Answer, Failure> {
    let refused = |message: String| Answer { result: String::new(), message, exit: Exit::Policy };
    let (Some(before), Some(after)) = (&old.policy, &new.policy) else {
        // What is wrong with a policy that can be read is for `lint` to tell.
        let wrong = [old, new].into_iter().filter(|run| run.policy.is_none());
        return Ok(refused(wrong.map(|run| render::text(&run.diags, &run.map, false)).collect()));
    };
    let found: Diff = match diff::diff(before, after, Budget::default(), args.max_classes) {
        Ok(found) => found,
        Err(large) => return Ok(refused(format!("error: {}\n", report::too_large(&large, after)))),
    };
    let old = Text { policy: before, map: &old.map };
    let new = Text { policy: after, map: &new.map };
    let result = if args.json { diff::json(&found, old, new)? } else { report::text(&found, old, new) };
    let exit = if found.is_same() { Exit::Done } else { Exit::Changes };
    Ok(Answer { result, message: String::new(), exit })
}
