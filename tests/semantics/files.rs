//! The policies that people read: the examples and the goldens, against packets aimed at their rules.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use ctpolicy::cli::compile;
use ctpolicy::ir::policy::Policy;
use ctpolicy::optimize::price::Scale;
use ctpolicy::parse::DiskFiles;
use ctpolicy::pipeline;

use crate::rng::Rng;
use crate::{Tally, compare};

/// `ctpolicy compile` as a golden's first line asks for it (`# args: --on eth0 ...`).
#[derive(Parser)]
struct Case {
    #[command(flatten)]
    args: compile::Args,
}

fn policies_in(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pol"));
    paths
}

/// What the file means, if it compiles.
fn policy(path: &Path) -> Option<Policy> {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let words = text.lines().next().and_then(|line| line.strip_prefix("# args:")).unwrap_or_default();
    let words = ["compile"].into_iter().chain(words.split_whitespace()).chain(path.to_str());
    let args = Case::try_parse_from(words).unwrap().args;
    let compiled = pipeline::compile(&args.file, &DiskFiles, &args.policy.options()).ok()?;
    compiled.program.and(compiled.policy)
}

#[test]
fn written_policies_mean_what_their_filters_do() {
    let mut folders = vec![PathBuf::from("examples/policies")];
    folders.extend(fs::read_dir("tests/compile").unwrap().map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()));
    folders.sort();
    let (mut tally, mut compared) = (Tally::default(), 0);
    for path in folders.iter().flat_map(|folder| policies_in(folder)) {
        if let Some(policy) = policy(&path) {
            compared += 1;
            if let Err(text) = compare(&policy, Scale::default(), 200, &mut Rng::new(compared), &mut tally) {
                panic!("{}: {text}", path.display());
            }
            if let Some(program) = crate::compile(&policy) {
                assert!(!crate::proof::refuted(&policy, &program), "{}: the proof fails", path.display());
            }
        }
    }
    println!("{compared} policies, {} packets", tally.packets);
    assert!(compared >= 5 && tally.packets >= 1000, "only {compared} policies compile");
}
