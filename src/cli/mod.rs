//! The command line. Results go to standard output, everything else to standard error; nothing outside this room prints.

mod apply;
pub mod compile;
pub mod diff;
mod explain;
mod fmt;
mod lint;
mod machine;
mod out;
mod pages;
mod paths;
mod plan;
mod policy;
mod remove;
mod status;

use std::ffi::OsString;

use clap::{Parser, Subcommand, ValueEnum};

pub use out::{Failure, Out};
pub use policy::{PolicyArgs, ReadingArgs};

/// What the process says to its caller; the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to say.
    Done = 0,
    /// The policy has errors, a lint fired at its denied level, or formatting differs.
    Policy = 1,
    /// `plan --detailed-exitcode` found changes, or `diff` a difference.
    Changes = 2,
    /// The command line or a file could not be used.
    Usage = 3,
    /// The kernel or a device refused.
    Kernel = 4,
    /// Applied, then rolled back.
    RolledBack = 5,
}

/// Compiles a firewall-style policy onto the Linux kernel's tc and connection tracking.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    /// Colours on standard error and output
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    color: Color,
    /// What to do
    #[command(subcommand)]
    command: Command,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the ruleset that a policy becomes
    Compile(compile::Args),
    /// Report everything that is wrong or doubtful in policies
    Lint(lint::Args),
    /// Lay out policies in the one canonical form
    Fmt(fmt::Args),
    /// Explain a finding: what, why, an example, and the remedy
    Explain(explain::Args),
    /// Tell which packets change their fate between two policies
    Diff(diff::Args),
    /// Show what `apply` would change, rule by rule
    Plan(plan::Args),
    /// Make this network namespace hold exactly this policy, or leave it as it was
    Apply(apply::Args),
    /// Take everything of ours out; the devices are open then
    Remove(remove::Args),
    /// Show what is live, and what each rule counted
    Status(status::Args),
    /// Print a shell's completions
    Completions(pages::Completions),
    /// Print a manual page
    Man(pages::ManPage),
}

/// Runs the command line `args` (the first is the program's name).
pub fn run<I, T>(args: I) -> Exit
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no mistake. Nothing is left to do when printing fails.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let out = Out::new(cli.color);
    let done = match &cli.command {
        Command::Compile(args) => compile::run(args, out),
        Command::Lint(args) => lint::run(args, out),
        Command::Fmt(args) => Ok(fmt::run(args, out)),
        Command::Explain(args) => explain::run(args, out),
        Command::Diff(args) => diff::run(args, out),
        Command::Plan(args) => plan::run(args, out),
        Command::Apply(args) => apply::run(args, out),
        Command::Remove(args) => remove::run(args, out),
        Command::Status(args) => status::run(args, out),
        Command::Completions(args) => pages::completions(args, out),
        Command::Man(args) => pages::man(args, out),
    };
    done.unwrap_or_else(|failure| out.failure(&failure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_is_no_policy_error() {
        assert_eq!(run(["ctpolicy", "compile"]), Exit::Usage);
        assert_eq!(run(["ctpolicy", "no-such-command"]), Exit::Usage);
        assert_eq!(run(["ctpolicy", "compile", "x.pol", "--on", "eth0"]), Exit::Usage);
    }

    #[test]
    fn a_missing_file_is_no_policy_error() {
        assert_eq!(run(["ctpolicy", "compile", "/nonexistent/x.pol"]), Exit::Usage);
        assert_eq!(run(["ctpolicy", "lint", "/nonexistent/"]), Exit::Usage);
        // What can be read is looked at, and does not hide what cannot.
        assert_eq!(run(["ctpolicy", "lint", "/nonexistent/", "examples/policies"]), Exit::Usage);
        assert_eq!(run(["ctpolicy", "lint", "src/cli"]), Exit::Usage);
        assert_eq!(run(["ctpolicy", "fmt", "--check", "src/cli", "examples/policies"]), Exit::Usage);
        assert_eq!(run(["ctpolicy", "fmt", "/nonexistent/x.pol"]), Exit::Usage);
    }
}
