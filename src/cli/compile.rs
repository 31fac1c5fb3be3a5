//! `ctpolicy compile`: the ruleset, for people and for `tc -batch`.

use std::fmt;

use clap::ValueEnum;

use super::out::write_atomically;
use super::policy::{tell_if_empty, tell_of_pieces};
use super::{Exit, Failure, Out, PolicyArgs};
use crate::diag::render;
use crate::emit::cost::report::{Account, Point, Stats};
use crate::emit::program::{Placement, Program};
use crate::emit::{cost, dot, json, tc};
use crate::parse::DiskFiles;
use crate::pipeline::{self, Compiled};

/// Filter budgets that `--frontier` shows, in percent more than the rules need.
const FRONTIER: [u32; 6] = [0, 10, 50, 100, 200, 400];

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
    /// Show what the rules cost, instead of the ruleset (with -o: beside it)
    ///
    /// Filters, chains, prios, hash tables and masks, before and after optimisation; what the dearest packet of each class pays, in lookups and in modelled
    /// instructions; and the rules that become most filters. With `-o OUT` the ruleset goes to OUT and this to standard
    /// output (with `-o -` to standard error); without it, this alone to standard output. `--format json` gives both as JSON.
    #[arg(long)]
    pub stats: bool,
    /// With --stats: also show what other filter budgets would give
    ///
    /// One line for each of a few budgets: filters and chains against the lookups and modelled instructions of the dearest packet. These rulesets are counted, not
    /// proven, and the policy is compiled once for each.
    #[arg(long, requires = "stats")]
    pub frontier: bool,
    /// Show what the optimizer did, instead of the ruleset (with -o: beside it)
    ///
    /// One line for each thing that a pass did: the rule or chain at hand, the pass, what was there before and after, and why. It goes where `--stats` goes, and
    /// stands before it where both are asked for. `--format json` gives it as `notes`.
    #[arg(long)]
    pub explain: bool,
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
    tell_if_empty(&args.file, &compiled, out);
    tell_of_pieces(&args.file, &compiled, out);
    let Some(texts) = print(&compiled, args)? else { return Ok(Exit::Policy) };
    match (args.output.as_deref(), texts.account) {
        (None, Some(account)) => out.result(&account)?,
        (None, None) => out.result(&texts.ruleset)?,
        (Some("-"), account) => {
            out.result(&texts.ruleset)?;
            out.message(&account.unwrap_or_default());
        }
        (Some(path), account) => {
            write_atomically(path, &texts.ruleset)?;
            out.result(account.unwrap_or_default())?;
        }
    }
    Ok(Exit::Done)
}

/// What there is to print.
pub struct Texts<'a> {
    /// The ruleset; nothing where only the account was asked for.
    pub ruleset: Box<dyn fmt::Display + 'a>,
    /// What was done and what it costs, where that is asked for.
    pub account: Option<String>,
}

/// The output for what was compiled; `None` without a Program.
///
/// # Errors
/// [`Failure::Script`] when the script cannot say it.
pub fn print<'a>(compiled: &'a Compiled, args: &Args) -> Result<Option<Texts<'a>>, Failure> {
    let (Some(program), Some(policy)) = (&compiled.program, &compiled.policy) else { return Ok(None) };
    let stats = args.stats.then(|| {
        let before = pipeline::plain(compiled).map(|plain| cost::cost(&plain, policy));
        let point =
            |growth| pipeline::at_budget(compiled, growth).map(|at| Point::of(growth, &cost::cost(&at, policy)));
        let frontier = FRONTIER.into_iter().filter(|_| args.frontier).filter_map(point).collect();
        Stats { before, after: cost::cost(program, policy), frontier }
    });
    let account = Account { notes: args.explain.then_some(compiled.notes.list.as_slice()), stats: stats.as_ref() };
    let account = match args.format {
        _ if !args.stats && !args.explain => None,
        Format::Json => Some(account.json()?),
        Format::Tc | Format::Dot => Some(account.to_string()),
    };
    // An account can be had even of what a script cannot say.
    let wanted = account.is_none() || args.output.is_some();
    let ruleset = if wanted { ruleset(program, args)? } else { Box::new("") };
    Ok(Some(Texts { ruleset, account }))
}

fn ruleset<'a>(program: &'a Program, args: &Args) -> Result<Box<dyn fmt::Display + 'a>, Failure> {
    let placement = Placement::fresh(program);
    Ok(match args.format {
        Format::Tc => Box::new(tc::Script::of(program, placement, &tc::Options { iproute2: args.iproute2 })?),
        Format::Json => Box::new(json::json(program, &placement)?),
        Format::Dot => Box::new(dot::dot(program, &placement)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts for one rule under these arguments.
    fn texts(words: &[&str]) -> (String, Option<String>) {
        #[derive(clap::Parser)]
        struct Words {
            #[command(flatten)]
            args: Args,
        }
        let words = ["compile", "p.pol"].iter().chain(words);
        let args = <Words as clap::Parser>::try_parse_from(words).unwrap().args;
        let policy = "policy p on lo ingress {\n    allow tcp to port 80\n    default drop\n}\n";
        let files = std::collections::BTreeMap::from([("p.pol".to_owned(), policy.as_bytes().to_vec())]);
        let compiled = pipeline::compile(&args.file, &files, &args.policy.options()).unwrap();
        let texts = print(&compiled, &args).unwrap().unwrap();
        (texts.ruleset.to_string(), texts.account)
    }

    #[test]
    fn the_ruleset_is_made_unless_costs_alone_are_asked_for() {
        let (plain, account) = texts(&[]);
        assert!(plain.contains("flower") && account.is_none());
        let (ruleset, account) = texts(&["--stats"]);
        assert!(ruleset.is_empty() && account.unwrap().contains("dearest packet"));
        let (ruleset, account) = texts(&["--stats", "-o", "out.tc"]);
        assert_eq!(ruleset, plain);
        assert!(account.is_some());
        let json = texts(&["--stats", "--format", "json"]).1.unwrap();
        assert!(json.starts_with('{'), "{json}");
    }

    #[test]
    fn versions_read_as_tc_prints_them() {
        assert_eq!(version("6.1"), Ok((6, 1)));
        assert_eq!(version("6.10.0"), Ok((6, 10)));
        assert!(version("6").is_err() && version("x.1").is_err() && version("6.").is_err());
    }
}
