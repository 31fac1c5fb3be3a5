//! Golden tests: each `tests/compile/<topic>/<case>.pol` compiles to the findings in `<case>.diag` and the script in `<case>.tc`
//! (with `--stats` or `--explain`: the text or JSON in `<case>.stats`).
//!
//! No `.diag` means that nothing is to be found; a policy without errors has a `.tc`, one with errors has none. A golden
//! whose policy is gone fails. The first line of a policy may hold `# args: --on eth0 ...`, as for `ctpolicy compile`.
//! Files in a folder below a topic (`inc/`) are included by cases and are none themselves.
//!
//! `UPDATE_EXPECT=1 cargo test --test compile` writes the goldens anew; the difference is for review.
//! Every policy in `examples/policies/` compiles without a finding, and is in canonical layout.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Parser;
use ctpolicy::cli::compile;
use ctpolicy::diag::{Diagnostics, render};
use ctpolicy::parse::{self, DiskFiles, Files};
use ctpolicy::source::SourceMap;
use libtest_mimic::{Arguments, Failed, Trial};
use miette::Diagnostic as _;
use similar::TextDiff;

const CASES: &str = "tests/compile";
const EXAMPLES: &str = "examples/policies";

fn main() {
    let mut trials = Vec::new();
    for topic in list(Path::new(CASES)).into_iter().filter(|path| path.is_dir()) {
        for path in list(&topic) {
            trials.extend(trial(&path));
        }
    }
    for path in list(Path::new(EXAMPLES)).into_iter().filter(|path| has_extension(path, "pol")) {
        trials.push(Trial::test(name(&path), {
            let path = path.clone();
            move || example(&path)
        }));
        trials.push(Trial::test(format!("fmt {}", name(&path)), move || fmt_keeps_the_meaning(&path)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The entries of a folder, sorted; none if there is no such folder.
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.into_iter().collect()
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own == extension)
}

/// `topic/case`
fn name(path: &Path) -> String {
    let topic = path.parent().and_then(Path::file_name).unwrap_or_default();
    Path::new(topic).join(path.file_stem().unwrap_or_default()).display().to_string()
}

/// The tests that a file in a topic's folder stands for.
fn trial(path: &Path) -> Vec<Trial> {
    let (name, path) = (name(path), path.to_owned());
    if path.is_dir() {
        return Vec::new();
    }
    if has_extension(&path, "pol") {
        let fmt = path.clone();
        return vec![
            Trial::test(name.clone(), move || golden(&path)),
            Trial::test(format!("fmt {name}"), move || fmt_keeps_the_meaning(&fmt)),
        ];
    }
    if path.with_extension("pol").exists() && (["diag", "tc", "stats"].iter().any(|known| has_extension(&path, known)))
    {
        return Vec::new();
    }
    vec![Trial::test(format!("stray {}", path.display()), || Err("no policy of this name beside it".into()))]
}

/// `ctpolicy compile` as the case's first line asks for it.
#[derive(Parser)]
struct Case {
    #[command(flatten)]
    args: compile::Args,
}

fn args(path: &Path) -> Result<compile::Args, Failed> {
    let text = fs::read(path)?;
    let first = String::from_utf8_lossy(&text);
    let words = first.lines().next().and_then(|line| line.strip_prefix("# args:")).unwrap_or_default();
    let file = path.to_str().ok_or("the path is not UTF-8")?;
    let words = ["compile"].into_iter().chain(words.split_whitespace()).chain([file]);
    Ok(Case::try_parse_from(words).map_err(|error| error.to_string())?.args)
}

/// Findings and script of a policy.
fn outputs(args: &compile::Args, files: &dyn Files) -> Result<(String, Option<String>), Failed> {
    let compiled = ctpolicy::pipeline::compile(&args.file, files, &args.policy.options())?;
    let mut diag = render::text(&compiled.diags, &compiled.map, false);
    let script = match compile::print(&compiled, args) {
        Ok(texts) => texts.map(|texts| texts.account.unwrap_or_else(|| texts.ruleset.to_string())),
        Err(refusal) => {
            writeln!(diag, "error: {refusal}")?;
            refusal.help().map_or(Ok(()), |help| writeln!(diag, "help: {help}"))?;
            None
        }
    };
    if script.is_none() && diag.is_empty() {
        return Err("no script, and nothing says why".into());
    }
    Ok((diag, script))
}

fn golden(path: &Path) -> Result<(), Failed> {
    let args = args(path)?;
    let (diag, script) = outputs(&args, &DiskFiles)?;
    // Hash seeds differ from one map to the next, so a second run shows what hangs on their order.
    let (again, script_again) = outputs(&args, &DiskFiles)?;
    same("a second run", &diag, &again)?;
    same("a second run", script.as_deref().unwrap_or_default(), script_again.as_deref().unwrap_or_default())?;
    let found = [
        expect(&path.with_extension("diag"), Some(diag).filter(|diag| !diag.is_empty())),
        expect(&path.with_extension(if args.stats || args.explain { "stats" } else { "tc" }), script),
    ];
    found.into_iter().collect()
}

/// Compares with a golden file; `None` asks that there is none.
fn expect(path: &Path, got: Option<String>) -> Result<(), Failed> {
    let old = match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    if old == got {
        return Ok(());
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        match got {
            Some(text) => fs::write(path, text)?,
            None => fs::remove_file(path)?,
        }
        return Ok(());
    }
    let (old, got) = (old.unwrap_or_default(), got.unwrap_or_default());
    same(&path.display().to_string(), &old, &got)
}

fn same(what: &str, old: &str, new: &str) -> Result<(), Failed> {
    if old == new {
        return Ok(());
    }
    let diff = TextDiff::from_lines(old, new);
    Err(format!("{what} differs (UPDATE_EXPECT=1 writes goldens anew):\n{}", diff.unified_diff()).into())
}

fn example(path: &Path) -> Result<(), Failed> {
    let (diag, script) = outputs(&args(path)?, &DiskFiles)?;
    same("the findings of an example", "", &diag)?;
    let laid = layout(path.to_str().unwrap_or_default(), &DiskFiles)?.ok_or("an example must parse")?;
    same("the canonical layout of an example", &fs::read_to_string(path)?, &laid)?;
    script.map(|_| ()).ok_or_else(|| "an example must compile".into())
}

/// The files of the disk, but one with another text.
struct Instead<'a> {
    path: &'a str,
    text: &'a str,
}

impl Files for Instead<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if path == self.path { Ok(self.text.as_bytes().to_vec()) } else { DiskFiles.read(path) }
    }

    fn identity(&self, path: &str) -> String {
        DiskFiles.identity(path)
    }
}

/// What parses can be laid out; the layout is its own layout, and it compiles to the same filters, cookies included.
fn fmt_keeps_the_meaning(path: &Path) -> Result<(), Failed> {
    let args = args(path)?;
    let Some(once) = layout(&args.file, &DiskFiles)? else { return Ok(()) };
    let twice = layout(&args.file, &Instead { path: &args.file, text: &once })?.ok_or("the layout does not parse")?;
    same("the layout of the layout", &once, &twice)?;
    let before = outputs(&args, &DiskFiles)?.1;
    let after = outputs(&args, &Instead { path: &args.file, text: &once })?.1;
    // Comments quote the rules as written.
    let filters = |script: Option<String>| -> Option<String> {
        Some(script?.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect())
    };
    let (before, after) = (filters(before), filters(after));
    same("the ruleset after fmt", before.as_deref().unwrap_or_default(), after.as_deref().unwrap_or_default())
}

/// The canonical layout of a policy; `None` when it does not parse.
fn layout(path: &str, files: &dyn Files) -> Result<Option<String>, Failed> {
    let (mut map, mut diags) = (SourceMap::default(), Diagnostics::default());
    let Some(file) = parse::load_one(path, files, &mut map, &mut diags)? else { return Ok(None) };
    let ast = parse::parse(&map, file, &mut diags);
    Ok((!diags.has_errors()).then(|| parse::print::print(&ast, &map)))
}
