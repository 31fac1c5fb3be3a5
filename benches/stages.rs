//! What each stage of a compile takes, in time and memory, for a rule set or for policy files.
//!
//!     cargo bench --bench stages                       # f1, 10,000 rules
//!     cargo bench --bench stages -- f1 f7-fw1 100000   # families and sizes
//!     cargo bench --bench stages -- FILE.pol...        # files
//!     cargo bench --bench stages -- reading            # text to policy, beside pest alone
//!
//! Times are of one run: on the clock, and of the processor (all threads, to 10 ms). `RSS` is what the process holds when a stage is done; start one set at a time to compare it.

#![allow(clippy::cast_precision_loss, reason = "figures for people to read")]

#[path = "families/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other users of the families use the rest")]
mod families;
#[path = "reading/mod.rs"]
mod reading;

// pest's generated code names it.
extern crate alloc;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use ctpolicy::diag::Diagnostics;
use ctpolicy::emit::linearize::{FILTERS_MAX, linearize};
use ctpolicy::emit::program::Placement;
use ctpolicy::emit::tc;
use ctpolicy::ir::lower::lower;
use ctpolicy::ir::resolve::{Options, resolve};
use ctpolicy::optimize::{self, price::Scale};
use ctpolicy::parse::{DiskFiles, Files, load};
use ctpolicy::source::SourceMap;
use ctpolicy::verify::{Budget, prove};
use families::{Family, SEED};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let mut out = io::stdout().lock();
    if reading::asked(&words, &mut out)? {
        return Ok(());
    }
    let mut sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let mut chosen: Vec<Family> = words.iter().filter_map(|word| Family::named(word)).collect();
    let files: Vec<&String> = words.iter().filter(|word| word.contains('.')).collect();
    for path in &files {
        measure(path, path, &DiskFiles, &mut out)?;
    }
    if sizes.is_empty() {
        sizes = vec![10_000];
    }
    if chosen.is_empty() && files.is_empty() {
        chosen = vec![Family::Flat];
    }
    for family in chosen {
        for size in &sizes {
            let text = family.generate(*size, SEED).policy();
            let files = BTreeMap::from([("x.pol".to_owned(), text.into_bytes())]);
            measure(&format!("{} {size}", family.name()), "x.pol", &files, &mut out)?;
        }
    }
    Ok(())
}

fn measure(name: &str, path: &str, files: &dyn Files, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "{name}")?;
    let (mut map, mut diags) = (SourceMap::default(), Diagnostics::default());
    let mut last = (Instant::now(), processor());
    let mut done = |stage: &str, said: &str| -> io::Result<()> {
        let rss = status("VmRSS:");
        let (clock, cpu) = (last.0.elapsed().as_secs_f64() * 1e3, processor().saturating_sub(last.1));
        writeln!(out, "    {stage:10} {clock:>9.1} ms {cpu:>7} ms CPU   RSS {rss:>8.1} MB  {said}")?;
        last = (Instant::now(), processor());
        Ok(())
    };
    let asts = load(path, files, &mut map, &mut diags)?;
    done("read", &format!("{:.1} MB", map.files().iter().map(|file| file.text.len()).sum::<usize>() as f64 / 1e6))?;
    let policy = resolve(&asts, &map, &Options::default(), &mut diags);
    done("resolve", "")?;
    drop(asts);
    let graph = lower(&policy, &map);
    done("lower", "")?;
    let graph = optimize::run(graph, Scale::default());
    done("factor", "")?;
    let program = linearize(graph, &policy, Scale::default(), FILTERS_MAX, &mut diags);
    done("linearize", &format!("{} filters", program.filters().count()))?;
    let script = tc::script(&program, &Placement::fresh(&program), &tc::Options::default())?;
    done("script", &format!("{:.1} MB", script.len() as f64 / 1e6))?;
    drop(script);
    let proof = prove(&policy, &program, Budget { attribute: 0, ..Budget::default() });
    done("prove", &format!("verdicts only: {proof:?}"))?;
    let proof = prove(&policy, &program, Budget::default());
    done("prove", &format!("also which rule: {proof:?}"))?;
    writeln!(out, "    peak {:.1} MB", status("VmHWM:"))?;
    Ok(())
}

/// Processor time of this process so far, in ms: user and system, in ticks of 10 ms (proc(5)).
fn processor() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
}

/// A figure of the kernel's on this process, in MB.
fn status(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() * 1024.0 / 1e6
}
