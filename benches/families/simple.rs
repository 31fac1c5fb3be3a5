//! Families 1 to 6.

use super::rng::Rng;
use super::rule::{Net, Ports, Rule};

const TCP: Option<u8> = Some(6);
const UDP: Option<u8> = Some(17);

/// The n-th host of 10.0.0.0/8; all differ for 16 million.
fn host(base: u32, number: usize) -> Net {
    Net::v4(base + u32::try_from(number).unwrap_or_default(), 32)
}

const fn one(port: u16) -> Ports {
    (port, port)
}

/// `udp from HOST to port P`: all hosts differ, three of ten rules drop.
pub fn flat(size: usize, rng: &mut Rng) -> Vec<Rule> {
    let rule = |number| Rule {
        allow: !rng.chance(30),
        proto: UDP,
        src: vec![host(0x0a00_0000, number)],
        dport: vec![one(rng.port(1, 65_535))],
        ..Rule::default()
    };
    (0..size).map(rule).collect()
}

/// Sites of nested destinations (a /12, one to five /16 in it, ... down to hosts), what is inside before what is around
/// it, each with the other verdict than the one around it.
pub fn nested(size: usize, rng: &mut Rng) -> Vec<Rule> {
    let mut rules = Vec::with_capacity(size);
    for site in 16u32.. {
        if rules.len() >= size {
            break;
        }
        nest(Net::v4(site << 20, 12), true, &mut rules, rng);
    }
    // The last site is cut: what remains of it is in order still.
    rules.truncate(size);
    rules
}

fn nest(around: Net, allow: bool, rules: &mut Vec<Rule>, rng: &mut Rng) {
    if around.len < 32 {
        let first = rng.below(16);
        for child in 0..=rng.below(5) {
            // Odd steps through the 16 halves of halves never meet.
            let slot = u32::try_from((first + 3 * child) % 16).unwrap_or_default();
            let base = u32::try_from(around.address).unwrap_or_default();
            let inside = Net::v4(base | slot << (28 - around.len), around.len + 4);
            nest(inside, !allow, rules, rng);
        }
    }
    rules.push(Rule { allow, dst: vec![around], ..Rule::default() });
}

/// `tcp from GROUP to GROUP port SERVICES` over groups of 20 networks and 5 services; the groups are drawn from pools, as
/// named objects are.
pub fn groups(size: usize, rng: &mut Rng) -> Vec<Rule> {
    let pool = size / 4 + 4;
    let group = |base: u32, number: usize, rng: &mut Rng| -> Vec<Net> {
        let member = |at: usize| {
            let slot = u32::try_from(number * 20 + at).unwrap_or_default();
            // Mostly hosts, some networks, as address objects are.
            Net::v4(base + (slot << 8) + 1, if rng.chance(25) { 24 } else { 32 })
        };
        (0..20).map(member).collect()
    };
    let sources: Vec<_> = (0..pool).map(|number| group(0x0a00_0000, number, rng)).collect();
    let targets: Vec<_> = (0..pool).map(|number| group(0x6440_0000, number, rng)).collect();
    let services: Vec<Vec<Ports>> = (0..16).map(|_| distinct_ports(5, rng)).collect();
    let rule = |_| Rule {
        allow: !rng.chance(20),
        proto: TCP,
        src: sources.get(rng.below(pool)).cloned().unwrap_or_default(),
        dst: targets.get(rng.below(pool)).cloned().unwrap_or_default(),
        dport: services.get(rng.below(services.len())).cloned().unwrap_or_default(),
        ..Rule::default()
    };
    (0..size).map(rule).collect()
}

fn distinct_ports(count: usize, rng: &mut Rng) -> Vec<Ports> {
    let mut ports = std::collections::BTreeSet::new();
    while ports.len() < count {
        ports.insert(one(rng.port(20, 9999)));
    }
    ports.into_iter().collect()
}

/// `allow from S`, `drop to D`, in turn, all hosts different: every rule overlaps every rule of the other verdict.
pub fn alternating(size: usize) -> Vec<Rule> {
    let rule = |number: usize| {
        if number.is_multiple_of(2) {
            Rule { allow: true, src: vec![host(0x0a00_0000, number / 2)], ..Rule::default() }
        } else {
            Rule { allow: false, dst: vec![host(0x6440_0000, number / 2)], ..Rule::default() }
        }
    };
    (0..size).map(rule).collect()
}

/// `allow tcp from HOST to port P` for new connections, one in two IPv6.
pub fn stateful(size: usize, rng: &mut Rng) -> Vec<Rule> {
    let rule = |number: usize| {
        let source = if number.is_multiple_of(2) {
            host(0x0a00_0000, number)
        } else {
            Net::host6(0x2001_0db8 << 96 | u128::try_from(number).unwrap_or_default())
        };
        let dport = vec![one(rng.port(1, 65_535))];
        Rule { allow: true, proto: TCP, src: vec![source], dport, ..Rule::default() }
    };
    (0..size).map(rule).collect()
}

/// `tcp to HOST port A-B`: four to a host, of all widths, overlapping, with both verdicts.
pub fn ranges(size: usize, rng: &mut Rng) -> Vec<Rule> {
    let range = |rng: &mut Rng| -> Ports {
        match rng.below(4) {
            0 => (1024, 65_535),
            1 => {
                let lo = rng.port(1, 60_000);
                (lo, lo + rng.port(1, 15))
            }
            2 => {
                let lo = rng.port(0, 63) * 1000 + 1;
                (lo, lo.saturating_add(998))
            }
            _ => {
                let (a, b) = (rng.port(1, 65_534), rng.port(1, 65_534));
                (a.min(b), a.max(b) + 1)
            }
        }
    };
    let rule = |number: usize| {
        let (dst, dport) = (vec![host(0x0a00_0000, number / 4)], vec![range(rng)]);
        Rule { allow: !rng.chance(40), proto: TCP, dst, dport, ..Rule::default() }
    };
    (0..size).map(rule).collect()
}
