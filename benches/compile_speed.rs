//! How long a policy takes to compile, beside what `nft -c -f` and `tc -batch` take for the same rules, in one run.
//!
//!     cargo bench --bench compile_speed                # 1,000 and 10,000 rules
//!     cargo bench --bench compile_speed -- 100000      # or any numbers
//!
//! Every rule is `allow tcp from ADDRESS to port PORT`: the plainest there is. nft gets the same as one rule each. Both
//! foreign tools run in a network namespace of their own, which takes root; without it they are left out, and it says so.
//! `tc` parses and sends on any kernel, but only one with flower takes the filters: elsewhere its figure is a lower bound.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ctpolicy::emit::program::Placement;
use ctpolicy::emit::tc;
use ctpolicy::ir::resolve::Options;
use ctpolicy::pipeline;

/// Runs per figure; the median counts.
const RUNS: usize = 5;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let given: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let sizes = if given.is_empty() { vec![1_000, 10_000] } else { given };
    let mut out = io::stdout().lock();
    writeln!(out, "{:>8}  {:34} {:>10} {:>10}", "rules", "what", "median", "ratio")?;
    for rules in sizes {
        measure(rules, &mut out)?;
    }
    if let Some(peak) = peak_memory() {
        writeln!(out, "peak memory of this process: {peak}")?;
    }
    Ok(())
}

/// Source address and port of a rule; all rules differ.
fn rule(number: usize) -> (String, usize) {
    let [_, a, b, c] = u32::try_from(number).unwrap_or_default().to_be_bytes();
    (format!("10.{a}.{b}.{c}"), 1 + number % 65_535)
}

fn measure(rules: usize, out: &mut dyn io::Write) -> Result<(), Failure> {
    let mut policy = "policy p on lo ingress {\n".to_owned();
    let mut nft = "table ip t {\n chain c {\n  type filter hook input priority 0; policy drop;\n".to_owned();
    for (address, port) in (0..rules).map(rule) {
        writeln!(policy, "allow tcp from {address} to port {port}")?;
        writeln!(nft, "  ip saddr {address} tcp dport {port} accept")?;
    }
    policy += "default drop\n}\n";
    nft += " }\n}\n";

    let files = BTreeMap::from([("bench.pol".to_owned(), policy.into_bytes())]);
    let (to_program, program) = median(|| {
        let compiled = pipeline::compile("bench.pol", &files, &Options::default())?;
        compiled.program.ok_or_else(|| "the policy has errors".into())
    })?;
    let placement = Placement::fresh(&program);
    let (to_script, script) = median(|| Ok(tc::script(&program, &placement, &tc::Options::default())?))?;
    let whole = to_program + to_script;
    let line = |out: &mut dyn io::Write, what: &str, time: Duration| {
        let ratio = time.as_secs_f64() / whole.as_secs_f64();
        writeln!(out, "{rules:>8}  {what:34} {:>8.1}ms {ratio:>9.2}x", time.as_secs_f64() * 1e3)
    };
    line(out, "ctpolicy: policy to script", whole)?;
    line(out, "  of it: policy to program", to_program)?;
    line(out, "  of it: program to script", to_script)?;

    let folder = tempfile::tempdir()?;
    let (nft_file, tc_file) = (folder.path().join("rules.nft"), folder.path().join("rules.tc"));
    std::fs::write(&nft_file, nft)?;
    std::fs::write(&tc_file, script)?;
    match foreign(&["nft", "-c", "-f"], &nft_file) {
        Ok((time, true)) => line(out, "nft -c -f", time)?,
        Ok((_, false)) => writeln!(out, "{rules:>8}  nft -c -f was refused here, not measured")?,
        Err(error) => writeln!(out, "{rules:>8}  nft -c -f did not run: {error}")?,
    }
    match foreign(&["tc", "-force", "-batch"], &tc_file) {
        Ok((time, true)) => line(out, "tc -batch", time)?,
        Ok((time, false)) => line(out, "tc -batch (refused by this kernel)", time)?,
        Err(error) => writeln!(out, "{rules:>8}  tc -batch did not run: {error}")?,
    }
    Ok(())
}

/// The median time of some runs, and the last result.
fn median<T>(mut run: impl FnMut() -> Result<T, Failure>) -> Result<(Duration, T), Failure> {
    let mut times = Vec::with_capacity(RUNS);
    let mut last = None;
    for _ in 0..RUNS {
        // Before the clock starts, so that freeing the result of the run before does not count.
        drop(last.take());
        let start = Instant::now();
        let result = run()?;
        times.push(start.elapsed());
        last = Some(result);
    }
    times.sort_unstable();
    let time = times.get(RUNS / 2).copied().unwrap_or_default();
    last.map(|last| (time, last)).ok_or_else(|| "nothing ran".into())
}

/// The median time of a program on a file, each run in a fresh network namespace, and whether it succeeded.
fn foreign(words: &[&str], file: &Path) -> Result<(Duration, bool), Failure> {
    let run = |words: &[&str], file: Option<&Path>| -> io::Result<bool> {
        let mut command = Command::new("unshare");
        command.args(["--net", "--"]).args(words).args(file);
        Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    };
    if !run(&["true"], None)? {
        return Err("a network namespace takes root".into());
    }
    median(|| Ok(run(words, Some(file))?))
}

/// The kernel's word on it.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(|peak| peak.trim().to_owned())
}
