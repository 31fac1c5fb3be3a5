//! What rule sets become, counted and not timed: filters, prios, hash tables, and the lookups that packets pay.
//!
//!     cargo bench --bench structure                     # 100, 1,000 and 10,000 rules of every family
//!     cargo bench --bench structure -- f1 f7-fw1 10000  # or any families and sizes; `no-proof` leaves the proof out
//!
//! For each set: the Program without optimisation and as compiled, beside two layouts that the bench counts itself from the
//! rules: `naive` (a prio for each rule) and `runs` (a prio for each run of neighbours with one mask); `masks` is what no
//! order of the rules goes below. `worst` is what the packet pays that is dearest in instructions (no packet pays more of those), `mean` is over packets drawn at the edges
//! of the rules, each walked to its end. Every packet's verdict is compared with the first rule that matches it: a
//! difference ends the bench. `hardware` says whether it fits a NIC's chains, prios and keys ([`hardware`]). Rules of f3 are sets of 20 x 20 x 5, so it has a tenth of them.

#![allow(clippy::cast_precision_loss, reason = "means for people to read")]

#[path = "families/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other users of the families use the rest")]
mod families;
#[path = "hardware/mod.rs"]
mod hardware;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use ctpolicy::abi::eth;
use ctpolicy::emit::cost::walk::Walker;
use ctpolicy::emit::cost::{self, PacketCost};
use ctpolicy::emit::program::{Program, Role};
use ctpolicy::field::Field;
use ctpolicy::ir::packet::{CtView, Packet};
use ctpolicy::ir::policy::{Policy, State};
use ctpolicy::ir::resolve::Options;
use ctpolicy::pipeline::{self, Proving};
use families::{Family, Probe, Rng, SEED, Set};

/// Packets for each mean.
const PACKETS: usize = 1_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let mut chosen: Vec<Family> = words.iter().filter_map(|word| Family::named(word)).collect();
    if sizes.is_empty() {
        sizes = vec![100, 1_000, 10_000];
    }
    if chosen.is_empty() {
        chosen = Family::ALL.to_vec();
    }
    let proving = (!words.iter().any(|word| word == "no-proof")).then(Proving::default);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:8} {:>6} {:10} {:>8} {:>6} {:>6} {:>5} {:>6} {:>5} | {:>6} {:>8} {:>9} {:>8}",
        "family",
        "rules",
        "layout",
        "filters",
        "prios",
        "tables",
        "masks",
        "chains",
        "gotos",
        "worst",
        "mean",
        "insn max",
        "mean"
    )?;
    for family in chosen {
        for size in &sizes {
            let size = if family == Family::Groups { size.div_ceil(10) } else { *size };
            measure(&family.generate(size, SEED), proving, &mut out)?;
        }
    }
    Ok(())
}

fn measure(set: &Set, proving: Option<Proving>, out: &mut dyn Write) -> Result<(), Failure> {
    let (name, rules) = (set.family.name(), set.rules.len());
    let probes = set.probes(PACKETS, &mut Rng::new(SEED));
    let firsts: Vec<Option<usize>> = probes.iter().map(|probe| set.first_match(probe)).collect();
    let start = Instant::now();
    let files = BTreeMap::from([("bench.pol".to_owned(), set.policy().into_bytes())]);
    let compiled = pipeline::compile_with("bench.pol", &files, &Options::default(), proving)?;
    let seconds = start.elapsed().as_secs_f64();
    let Some(policy) = &compiled.policy else { return Err(format!("{name}: the policy has errors").into()) };
    by_hand(set, &firsts, out)?;
    let probes: Vec<(Probe, Option<usize>)> = probes.into_iter().zip(firsts).collect();
    match pipeline::plain(&compiled) {
        Some(program) => layout(set, "plain", &program, policy, &probes, out)?,
        None => writeln!(out, "{name:8} {rules:>6} plain      would be more filters or prios than can be")?,
    }
    match &compiled.program {
        Some(program) => {
            layout(set, "compiled", program, policy, &probes, out)?;
            writeln!(out, "{name:8} {rules:>6} hardware   {}", hardware::Fit::of(program))?;
        }
        None => writeln!(out, "{name:8} {rules:>6} compiled   refused: more filters or prios than can be")?,
    }
    writeln!(out, "{:15} compiled in {seconds:.2} s", "")?;
    out.flush()?;
    Ok(())
}

/// The layouts that need no compiler.
fn by_hand(set: &Set, firsts: &[Option<usize>], out: &mut dyn Write) -> Result<(), Failure> {
    let shape = set.shape();
    // The run in which each rule's first filter stands; a rule of several masks is several runs.
    let mut runs_before = Vec::with_capacity(set.rules.len());
    let (mut runs, mut last) = (0usize, None);
    for rule in &set.rules {
        for mask in rule.masks() {
            if last.replace(mask) != Some(mask) {
                runs += 1;
            }
        }
        runs_before.push(runs);
    }
    let visits = |of: &dyn Fn(usize) -> usize, most: usize| {
        firsts.iter().map(|first| first.map_or(most, of)).sum::<usize>() as f64 / firsts.len().max(1) as f64
    };
    let naive = visits(&|first| first + 1, shape.rules + 1);
    let mean = visits(&|first| runs_before.get(first).copied().unwrap_or_default(), runs + 1);
    let mut line = |layout: &str, prios: usize, worst: usize, mean: f64| {
        writeln!(
            out,
            "{:8} {:>6} {layout:10} {:>8} {prios:>6} {prios:>6} {:>5} {:>6} {:>5} | {worst:>6} {mean:>8.1}",
            set.family.name(),
            shape.rules,
            shape.filters,
            shape.masks,
            "",
            ""
        )
    };
    line("naive", shape.rules + 1, shape.rules + 1, naive)?;
    line("runs", shape.runs + 1, shape.runs + 1, mean)?;
    Ok(())
}

fn layout(
    set: &Set,
    layout: &str,
    program: &Program,
    policy: &Policy,
    probes: &[(Probe, Option<usize>)],
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let cost = cost::cost(program, policy);
    let (Some(attached), Some(own)) = (program.attaches.first(), cost.policies.first()) else {
        return Err("the policy has no chains".into());
    };
    let walker = Walker::new(attached);
    let states: &[State] = if set.is_stateful() { &[State::New, State::Established] } else { &[State::New] };
    for state in states {
        let mut sum = PacketCost::default();
        for (probe, first) in probes {
            let walk = walker.walk(&packet(probe, *state));
            sum = sum + walk.cost;
            let allowed = *state == State::Established
                || first.and_then(|first| set.rules.get(first)).is_some_and(|rule| rule.allow);
            if accepts(program, walk.rule) != allowed {
                return Err(format!("{} {layout}: {probe:?} should be {allowed}", set.family.name()).into());
            }
        }
        let worst = match (set.is_stateful(), state) {
            (true, State::Established) => dearer(own.worst.established_ip4, own.worst.established_ip6),
            (true, _) => dearer(own.worst.new_ip4, own.worst.new_ip6),
            (false, _) => own.worst.any,
        };
        let worst = worst.unwrap_or_default();
        let mean = |sum: u64| sum as f64 / probes.len().max(1) as f64;
        let name = if *state == State::Established { "  establ." } else { layout };
        let sizes = own.sizes;
        writeln!(
            out,
            "{:8} {:>6} {name:10} {:>8} {:>6} {:>6} {:>5} {:>6} {:>5} | {:>6} {:>8.1} {:>9} {:>8.0}",
            set.family.name(),
            set.rules.len(),
            sizes.filters,
            sizes.prios,
            sizes.tables,
            sizes.masks,
            sizes.chains,
            sizes.gotos,
            worst.masks,
            mean(sum.masks.into()),
            worst.instructions - worst.conntrack,
            mean(sum.instructions - sum.conntrack),
        )?;
    }
    Ok(())
}

fn dearer(a: Option<PacketCost>, b: Option<PacketCost>) -> Option<PacketCost> {
    a.into_iter().chain(b).max_by_key(|cost| cost.instructions)
}

/// Whether the filters of this rule accept: a rule says so in its first word, the default drops.
fn accepts(program: &Program, rule: Option<usize>) -> bool {
    rule.and_then(|rule| program.rules.get(rule))
        .is_some_and(|rule| rule.role != Role::Default && rule.text.starts_with("allow"))
}

fn packet(probe: &Probe, state: State) -> Packet {
    let (ethertype, src, dst) = if probe.v6 {
        (eth::P_IPV6, Field::Ipv6Src, Field::Ipv6Dst)
    } else {
        (eth::P_IP, Field::Ipv4Src, Field::Ipv4Dst)
    };
    let mut fields = vec![(Field::IpProto, probe.proto.into()), (src, probe.src), (dst, probe.dst)];
    if probe.has_ports() {
        fields.extend([(Field::SrcPort, probe.sport.into()), (Field::DstPort, probe.dport.into())]);
    }
    let mut packet = Packet::new(ethertype, "lo", &fields);
    packet.zones.insert(1, CtView { state, mark: 0, label: 0, translated: false });
    packet
}
