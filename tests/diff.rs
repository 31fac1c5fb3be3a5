//! Golden tests: `ctpolicy diff tests/diff/CASE/old.pol tests/diff/CASE/new.pol` says what stands in `CASE/expected.txt`.
//!
//! The first line of `old.pol` may hold `# args: --json ...`. `UPDATE_EXPECT=1 cargo test --test diff` writes the goldens anew; the
//! difference is for review.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use ctpolicy::cli::diff::{Args, answer};
use ctpolicy::parse::DiskFiles;
use ctpolicy::pipeline;
use libtest_mimic::{Arguments, Failed, Trial};
use similar::TextDiff;

fn main() {
    let entries = fs::read_dir("tests/diff").into_iter().flatten().flatten();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    cases.sort();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let trials = cases.into_iter().map(|path| Trial::test(name(&path), move || golden(&path)));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

/// `ctpolicy diff` as the case's first line asks for it.
#[derive(Parser)]
struct Case {
    #[command(flatten)]
    args: Args,
}

/// What the command says, and its exit code.
fn said(folder: &Path) -> Result<String, Failed> {
    let [old, new] = ["old.pol", "new.pol"].map(|name| folder.join(name).display().to_string());
    let text = fs::read_to_string(&old)?;
    let words = text.lines().next().and_then(|line| line.strip_prefix("# args:")).unwrap_or_default();
    let words = ["diff"].into_iter().chain(words.split_whitespace()).chain([old.as_str(), new.as_str()]);
    let args = Case::try_parse_from(words).map_err(|error| error.to_string())?.args;
    let options = args.reading.options();
    let (old, new) =
        (pipeline::meaning(&args.old, &DiskFiles, &options)?, pipeline::meaning(&args.new, &DiskFiles, &options)?);
    let answer = answer(&args, &old, &new)?;
    Ok(format!("{}{}exit code {}\n", answer.message, answer.result, answer.exit as u8))
}

fn golden(folder: &Path) -> Result<(), Failed> {
    let got = said(folder)?;
    // Hash seeds differ from one map to the next, so a second run shows what hangs on their order.
    same("a second run", &got, &said(folder)?)?;
    let path = folder.join("expected.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return Ok(fs::write(path, got)?);
    }
    same(&path.display().to_string(), &fs::read_to_string(&path).unwrap_or_default(), &got)
}

fn same(what: &str, old: &str, new: &str) -> Result<(), Failed> {
    if old == new {
        return Ok(());
    }
    let diff = TextDiff::from_lines(old, new);
    Err(format!("{what} differs (UPDATE_EXPECT=1 writes goldens anew):\n{}", diff.unified_diff()).into())
}
