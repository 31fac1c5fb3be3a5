//! `ctpolicy completions` and `ctpolicy man`: from the same definitions as `--help`.

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Exit, Failure, Out};

/// Arguments of `ctpolicy completions`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: ctpolicy completions bash > /etc/bash_completion.d/ctpolicy")]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

/// Arguments of `ctpolicy man`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: ctpolicy man plan | man -l -")]
pub struct ManPage {
    /// The command whose page is wanted; without it, the page of them all
    command: Option<String>,
}

/// Runs `ctpolicy completions`.
///
/// # Errors
/// [`Failure::Write`].
pub fn completions(args: &Completions, out: Out) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ctpolicy", &mut text);
    out.result(String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

/// Runs `ctpolicy man`.
///
/// # Errors
/// [`Failure::Usage`] for a command that does not exist.
pub fn man(args: &ManPage, out: Out) -> Result<Exit, Failure> {
    let mut all = Cli::command();
    all.build();
    let command = match &args.command {
        None => all,
        Some(name) => find(&all, name)?,
    };
    let mut text = Vec::new();
    let failed = |error| Failure::Write { path: "the page".to_owned(), error };
    Man::new(command).render(&mut text).map_err(failed)?;
    out.result(String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

fn find(all: &Command, name: &str) -> Result<Command, Failure> {
    let found = all.find_subcommand(name).cloned();
    found.ok_or_else(|| Failure::Usage {
        message: format!("no command is called `{name}`"),
        help: Some("`ctpolicy --help` lists them".to_owned()),
    })
}
