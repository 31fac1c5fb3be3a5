//! What reading takes (text to tree to policy), beside its floor: pest alone on the same statements.
//!
//! The floor applies the grammar's rule to every statement and builds nothing. Times are the best of a few rounds taken in
//! turns; what one processor takes is processor time, what all take is time on the clock.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZero;
use std::process::Command;
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use ctpolicy::diag::Diagnostics;
use ctpolicy::ir::resolve::{Options, resolve};
use ctpolicy::parse::load;
use ctpolicy::source::SourceMap;
use pest::Parser as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::families::{Family, Rng, SEED};
use super::{Failure, status};

/// The grammar once more: the crate keeps its own to itself.
#[derive(pest_derive::Parser)]
#[grammar = "../grammar/ctpolicy.pest"]
struct Grammar;

const RULES: usize = 100_000;
const ROUNDS: usize = 3;

/// The texts that are read, by name.
const TEXTS: [&str; 3] = ["flat", "long", "prefixes"];

type Files = BTreeMap<String, Vec<u8>>;

/// The files of a text; the first is the policy.
fn files(text: &str) -> Files {
    let mut rng = Rng::new(SEED);
    let mut address = || format!("10.{}.{}.{}", rng.below(256), rng.below(256), rng.below(256));
    let policy = match text {
        "flat" => Family::Flat.generate(RULES, SEED).policy(),
        "long" => {
            let rule = |number: usize| {
                let (from, or, to) = (address(), address(), address());
                let (low, high) = (1 + number % 9_000, 10_000 + number % 50_000);
                format!(
                    "    allow new tcp from {{ {from}, {or} }} port 1024-65535 to {to} port {{ {low}, {high} }}, set mark 0x{high:x}, limit {}mbit\n",
                    1 + number % 90
                )
            };
            let rules: String = (0..RULES).map(rule).collect();
            format!("policy p on lo ingress zone 1 {{\n    drop invalid\n{rules}    default drop\n}}\n")
        }
        _ => "net blocked = file \"set.txt\"\npolicy p on lo ingress {\n    drop from blocked\n    default allow\n}\n"
            .to_owned(),
    };
    let mut files = Files::from([("p.pol".to_owned(), policy.into_bytes())]);
    if text == "prefixes" {
        // Prefixes of /24 of which no two are neighbours.
        let prefix =
            |number: usize| format!("{}.{}.{}.0/24\n", 1 + number / 32_768, number / 128 % 256, 2 * (number % 128));
        files.insert("set.txt".to_owned(), (0..RULES).map(prefix).collect::<String>().into_bytes());
    }
    files
}

/// Applies the grammar to each statement, on so many threads.
fn pest_alone(lines: &[&str], threads: usize) -> usize {
    let some = |lines: &[&str]| lines.iter().filter(|line| Grammar::parse(Rule::statement, line).is_ok()).count();
    if threads == 1 {
        return some(lines);
    }
    thread::scope(|scope| {
        let shares = lines.chunks(lines.len().div_ceil(threads)).map(|share| scope.spawn(move || some(share)));
        let workers: Vec<_> = shares.collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).sum()
    })
}

/// How long something takes: this thread's processor time, or the time on the clock.
fn timed<T>(clock: bool, work: impl FnOnce() -> T) -> (Duration, T) {
    let (started, ran) = (Instant::now(), processor());
    let done = work();
    (if clock { started.elapsed() } else { processor().saturating_sub(ran) }, done)
}

/// Processor time of this thread so far (`/proc/self/schedstat` tells it in ns).
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or_default())
}

/// Best times of pest alone, of the tree, and of the policy.
fn best(files: &Files, threads: usize) -> Result<[Duration; 3], Failure> {
    let policy = String::from_utf8_lossy(files.get("p.pol").map(Vec::as_slice).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = policy.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        let (floor, fit) = timed(threads > 1, || pest_alone(&lines, threads));
        assert_eq!(fit, lines.len(), "every line is a statement of the grammar");
        let (mut map, mut diags) = (SourceMap::default(), Diagnostics::default());
        let (parse, asts) = timed(threads > 1, || load("p.pol", files, &mut map, &mut diags));
        let asts = asts?;
        let (meant, policy) = timed(threads > 1, || resolve(&asts, &map, &Options::default(), &mut diags));
        assert!(!diags.has_errors() && policy.attaches.len() == 1, "the text has no mistake");
        for (best, took) in best.iter_mut().zip([floor, parse, meant]) {
            *best = took.min(*best);
        }
    }
    Ok(best)
}

/// Writes the table.
pub fn table(out: &mut dyn Write) -> Result<(), Failure> {
    let (all, one) = (available_parallelism().map_or(1, NonZero::get), sched_getaffinity(None)?);
    writeln!(
        out,
        "reading {RULES} lines of      processors  pest alone  to the tree  to the policy  both/pest   over the text: tree, policy too, peak"
    )?;
    for text in TEXTS {
        let files = files(text);
        let bytes: usize = files.values().map(Vec::len).sum();
        let memory = Command::new(std::env::current_exe()?).args(["memory-of", text]).output()?;
        let memory = String::from_utf8(memory.stdout)?;
        for threads in [1, all] {
            let mut some = CpuSet::new();
            (0..CpuSet::MAX_CPU).filter(|cpu| one.is_set(*cpu)).take(threads).for_each(|cpu| some.set(cpu));
            sched_setaffinity(None, &some)?;
            let [floor, tree, policy] = best(&files, threads)?.map(|took| took.as_secs_f64() * 1e3);
            let ratio = if text == "prefixes" { "-".to_owned() } else { format!("{:.2}", (tree + policy) / floor) };
            writeln!(
                out,
                "    {text:10} {:>4} bytes    {threads:>10}  {floor:>7.1} ms  {tree:>8.1} ms  {policy:>10.1} ms  {ratio:>9}   {}",
                bytes / RULES,
                memory.trim()
            )?;
        }
        sched_setaffinity(None, &one)?;
    }
    Ok(())
}

/// In a process of its own: what the tree of a text holds, the policy with it, and what reading held at most, in MiB over the text.
pub fn memory(text: &str, out: &mut dyn Write) -> Result<(), Failure> {
    let files = files(text);
    // Forgets the peak so far (proc(5)): making the text took memory too, which stays with the allocator.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = status("VmRSS:");
    let (mut map, mut diags) = (SourceMap::default(), Diagnostics::default());
    let over = |key: &str, map: &SourceMap| {
        let text: usize = map.files().iter().map(|file| file.text.len()).sum();
        (status(key) - before) * 1e6 / f64::from(1 << 20) - text as f64 / f64::from(1 << 20)
    };
    let asts = load("p.pol", &files, &mut map, &mut diags)?;
    let tree = over("VmRSS:", &map);
    let policy = resolve(&asts, &map, &Options::default(), &mut diags);
    let both = over("VmRSS:", &map);
    writeln!(out, "{tree:.0}, {both:.0}, {:.0} MiB", over("VmHWM:", &map))?;
    drop((asts, policy));
    Ok(())
}

/// The reading part of this bench's command line; false where it asks for something else.
pub fn asked(words: &[String], out: &mut dyn Write) -> Result<bool, Failure> {
    match words {
        [word] if word == "reading" => table(out)?,
        [word, text] if word == "memory-of" => memory(text, out)?,
        _ => return Ok(false),
    }
    Ok(true)
}
