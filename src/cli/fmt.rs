//! `ctpolicy fmt`: the one canonical layout.

use std::sync::Arc;

use super::out::write_atomically;
use super::paths::{self, Paths};
use super::{Exit, Failure, Out};
use crate::diag::{Diagnostics, render};
use crate::parse::{DiskFiles, load_one, parse, print};
use crate::source::SourceMap;

/// Arguments of `ctpolicy fmt`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: ctpolicy fmt --check policies/")]
pub struct Args {
    /// Policies, and folders of `*.pol` (`-` reads standard input and prints)
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// Change nothing, name the files that are not in canonical layout
    #[arg(long)]
    pub check: bool,
}

/// Runs the command, on all files that it can.
pub fn run(args: &Args, out: Out) -> Exit {
    let mut exit = Exit::Done;
    let Paths { files, mut failures } = paths::find(&args.paths);
    for path in files {
        match one(&path, args.check, out) {
            Ok(Exit::Done) => {}
            Ok(other) => exit = other,
            Err(failure) => failures.push(failure),
        }
    }
    // What could not be read is told after all that could, and counts for more.
    out.failures(&failures).unwrap_or(exit)
}

/// Lays out one file.
fn one(path: &str, check: bool, out: Out) -> Result<Exit, Failure> {
    let mut map = SourceMap::default();
    let mut diags = Diagnostics::default();
    let Some((old, new)) = layout(path, &mut map, &mut diags)? else {
        // What could not be read cannot be laid out: the file stays as it is.
        out.message(&render::text(&diags, &map, out.color_err()));
        return Ok(Exit::Policy);
    };
    if check {
        if new != *old {
            out.result(format!("{path}\n"))?;
            return Ok(Exit::Policy);
        }
    } else if path == "-" {
        out.result(&new)?;
    } else if new != *old {
        write_atomically(path, &new)?;
    }
    Ok(Exit::Done)
}

/// The file's text as it is and as it should be; `None` when it has mistakes.
fn layout(path: &str, map: &mut SourceMap, diags: &mut Diagnostics) -> Result<Option<(Arc<str>, String)>, Failure> {
    // Each file is laid out by itself: what it includes is neither read nor needed.
    let Some(file) = load_one(path, &DiskFiles, map, diags)? else { return Ok(None) };
    let ast = parse(map, file, diags);
    if diags.has_errors() {
        return Ok(None);
    }
    let text = map.file(file).map(|file| file.text.clone()).unwrap_or_default();
    Ok(Some((text, print::print(&ast, map))))
}
