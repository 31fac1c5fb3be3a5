//! `ctpolicy lint`: every finding in files and folders, for people, editors and CI.

use std::collections::BTreeSet;

use clap::ValueEnum;

use super::explain::unknown;
use super::paths::{self, Paths};
use super::{Exit, Failure, Out, PolicyArgs};
use crate::diag::{Diagnostic, Diagnostics, Level, render};
use crate::explain::find;
use crate::parse::{DiskFiles, Files};
use crate::pipeline::{self, Compiled};

/// Arguments of `ctpolicy lint`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: ctpolicy lint policies/ --deny warning --allow bare-rules")]
pub struct Args {
    /// Policies, and folders of `*.pol` (`-` for standard input)
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// Form of the findings
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Fail on findings of this level (`note`, `warning`) or name
    #[arg(long, value_name = "LEVEL|NAME")]
    pub deny: Vec<String>,
    /// Leave out findings of this name
    #[arg(long, value_name = "NAME")]
    pub allow: Vec<String>,
    /// How to read the policies
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Forms of the findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With the words at fault underlined
    Text,
    /// One line each: file:line:col: level[name]: message
    Short,
    /// One JSON document on standard output
    Json,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] for files, and for names that no lint has.
pub fn run(args: &Args, out: Out) -> Result<Exit, Failure> {
    let rules = Levels::new(args)?;
    let (mut runs, failures) = roots(args);
    for run in &mut runs {
        rules.apply(&mut run.diags);
    }
    match args.format {
        // The findings are this command's result, in every format.
        Format::Text => print(&runs, out, |run| render::text(&run.diags, &run.map, out.color_out()))?,
        Format::Short => print(&runs, out, |run| render::short(&run.diags, &run.map))?,
        Format::Json => out.result(&json(&runs)?)?,
    }
    // What could not be read is told after all that could: it is the last on the screen.
    let failed = out.failures(&failures);
    if failed.is_none() || !runs.is_empty() {
        out.message(&counts(&runs));
    }
    let denied = runs.iter().any(|run| run.diags.has_errors());
    Ok(failed.unwrap_or(if denied { Exit::Policy } else { Exit::Done }))
}

fn print(runs: &[Compiled], out: Out, render: impl Fn(&Compiled) -> String) -> Result<(), Failure> {
    runs.iter().try_for_each(|run| out.result(render(run)))
}

/// The findings of all runs as one document of the shape of [`render::json`].
fn json(runs: &[Compiled]) -> Result<String, Failure> {
    let mut findings = Vec::new();
    for run in runs {
        if let Some(serde_json::Value::Array(list)) = render::json(&run.diags, &run.map).get_mut("findings") {
            findings.append(list);
        }
    }
    let document = serde_json::json!({ "version": render::JSON_VERSION, "findings": findings });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// What `--deny` and `--allow` ask for.
struct Levels<'a> {
    level: Level,
    deny: BTreeSet<&'a str>,
    allow: BTreeSet<&'a str>,
}

impl<'a> Levels<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let mut levels = Self { level: Level::Error, deny: BTreeSet::new(), allow: BTreeSet::new() };
        for word in &args.deny {
            match [Level::Note, Level::Warning, Level::Error].into_iter().find(|level| level.word() == word) {
                Some(level) => levels.level = levels.level.min(level),
                None => _ = levels.deny.insert(find(word).ok_or_else(|| unknown(word))?.name),
            }
        }
        for name in &args.allow {
            let lint = find(name).ok_or_else(|| unknown(name))?;
            if lint.level == Level::Error {
                let message = format!("`{name}` cannot be allowed");
                let help = "such a policy has no meaning; `--allow` is for warnings and notes".to_owned();
                return Err(Failure::Usage { message, help: Some(help) });
            }
            levels.allow.insert(lint.name);
        }
        Ok(levels)
    }

    /// A denied finding becomes an error, an allowed one goes.
    fn apply(&self, diags: &mut Diagnostics) {
        let denied = |d: &Diagnostic| d.level >= self.level || self.deny.contains(d.lint.name);
        diags.list_mut().retain(|d| d.level == Level::Error || !self.allow.contains(d.lint.name));
        for diagnostic in diags.list_mut().iter_mut().filter(|d| denied(d)) {
            diagnostic.level = Level::Error;
        }
    }
}

/// The policies of all paths, without those that another one includes; and what could not be read.
fn roots(args: &Args) -> (Vec<Compiled>, Vec<Failure>) {
    let options = args.policy.options();
    let mut runs = Vec::new();
    let Paths { files, mut failures } = paths::find(&args.paths);
    for path in files {
        match pipeline::compile_with(&path, &DiskFiles, &options, args.policy.proving()) {
            Ok(run) => runs.push((DiskFiles.identity(&path), run)),
            Err(error) => failures.push(error.into()),
        }
    }
    let included: BTreeSet<String> = runs.iter().flat_map(|(own, run)| included(own, run)).collect();
    let mut seen = BTreeSet::new();
    let (mut roots, rest): (Vec<_>, Vec<_>) = runs.into_iter().partition(|(own, _)| !included.contains(own));
    for (own, run) in &roots {
        seen.extend(self::included(own, run));
    }
    // What is left is in no root: files that include each other in a circle. One of each circle speaks for it.
    for (own, run) in rest {
        if !seen.contains(&own) {
            seen.extend(self::included(&own, &run));
            roots.push((own, run));
        }
    }
    (roots.into_iter().map(|(_, run)| run).collect(), failures)
}

/// The files that a policy includes, itself left out.
fn included(own: &str, run: &Compiled) -> Vec<String> {
    run.map.files().iter().map(|file| DiskFiles.identity(&file.name)).filter(|path| path != own).collect()
}

/// `3 files: 1 error, 2 warnings`
fn counts(runs: &[Compiled]) -> String {
    let files: BTreeSet<String> =
        runs.iter().flat_map(|run| run.map.files()).map(|f| DiskFiles.identity(&f.name)).collect();
    let number = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let levels = [Level::Error, Level::Warning, Level::Note].map(|level| {
        let count: usize = runs.iter().map(|run| run.diags.count(level)).sum();
        number(count, level.word())
    });
    format!("{}: {}\n", number(files.len(), "file"), levels.join(", "))
}
