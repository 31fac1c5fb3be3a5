//! `ctpolicy compile`: the ruleset, for people and for `tc -batch`.

use clap::ValueEnum;

use super::out::write_atomically;
use super::policy::warn_if_empty;
use super::{Exit, Failure, Out, PolicyArgs};
use crate::diag::render;
use crate::emit::program::{Placement, Program};
use crate::emit::{dot, json, tc};
use crate::parse::DiskFiles;
use crate::pipeline;

/// Arguments of `ctpolicy compile`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: ctpolicy compile gateway.pol -o gateway.tc && tc -batch gateway.tc")]
pub struct Args {
    /// The policy (`-` for standard input)
    pub file: String,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<String>,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "tc")]
    pub format: Format,
    /// Version of the `tc` that will read the script
    #[arg(long, value_name = "X.Y", default_value = "6.1", value_parser = version)]
    pub iproute2: (u16, u16),
    /// How to read the policy
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Forms of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A script for `tc -batch`
    Tc,
    /// JSON, for programs
    Json,
    /// A picture source for Graphviz
    Dot,
}

fn version(text: &str) -> Result<(u16, u16), String> {
    let parse = || {
        let (major, rest) = text.split_once('.')?;
        // A patch level changes nothing that a script says.
        let minor = rest.split('.').next()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    parse().ok_or_else(|| "write it as in `tc -V`: 6.1".to_owned())
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] for files, and for what a script cannot say.
pub fn run(args: &Args, out: Out) -> Result<Exit, Failure> {
    let compiled = pipeline::compile_with(&args.file, &DiskFiles, &args.policy.options(), args.policy.proving())?;
    out.message(&render::text(&compiled.diags, &compiled.map, out.color_err()));
    warn_if_empty(&args.file, &compiled, out);
    let Some(program) = &compiled.program else { return Ok(Exit::Policy) };
    let text = print(program, args)?;
    match args.output.as_deref() {
        None | Some("-") => out.result(&text)?,
        Some(path) => write_atomically(path, &text)?,
    }
    Ok(Exit::Done)
}

/// The output for a Program.
///
/// # Errors
/// [`Failure::Script`] when the script cannot say it.
pub fn print(program: &Program, args: &Args) -> Result<String, Failure> {
    let placement = Placement::fresh(program);
    Ok(match args.format {
        Format::Tc => tc::script(program, &placement, &tc::Options { iproute2: args.iproute2 })?,
        Format::Json => json::json(program, &placement)?,
        Format::Dot => dot::dot(program, &placement),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_as_tc_prints_them() {
        assert_eq!(version("6.1"), Ok((6, 1)));
        assert_eq!(version("6.10.0"), Ok((6, 10)));
        assert!(version("6").is_err() && version("x.1").is_err() && version("6.").is_err());
    }
}
