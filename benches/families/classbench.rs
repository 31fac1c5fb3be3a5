//! Family 7: rule sets of the shapes that ClassBench's seeds have.
//!
//! ClassBench (Taylor and Turner, WUCSE-2004-28) describes twelve real filter sets by distributions, and makes sets of any
//! size from them. Its files are for academic use, so none is copied here. What a profile holds was written anew, in
//! round numbers: acl1 after the distributions of its parameter file, the others after the sets of 10,000 rules published
//! with NeuroCuts; as these, each uses so many networks, hosts and ports. Ports and addresses are our own.
//!
//! As there: a rule's protocol and port classes are drawn together, then a pair of prefix lengths, smoothed by two bits to
//! each side; addresses are drawn from few networks, unevenly; the narrower rule comes first; no rule stands twice.
//! TCP flags are drawn (they decide where a rule stands) and then left out.

use super::rng::Rng;
use super::rule::{Net, Ports, Rule};

/// What a rule asks of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Any,
    /// 1024-65535
    High,
    /// One.
    Exact,
    /// Some range.
    Range,
}
use Class::{Any, Exact, High, Range};

/// One kind of rule.
struct Kind {
    weight: u16,
    proto: Option<u8>,
    /// Source, destination.
    ports: (Class, Class),
    /// Lengths of the prefixes of source and destination, by weight.
    lens: &'static [(u8, u8, u16)],
}

/// A real set, described.
pub struct Profile {
    kinds: &'static [Kind],
    /// Exact ports in use, ranges in use.
    ports: (usize, usize),
    /// Of a hundred exact ports, those below 1024.
    low: usize,
    /// Networks that sources and destinations lie in.
    networks: (usize, usize),
    /// Hosts in use in each network.
    hosts: (usize, usize),
    /// Of a hundred rules, those between the ends of another rule.
    again: usize,
    /// TCP rules with flags, of a hundred.
    flagged: usize,
}

const TCP: Option<u8> = Some(6);
const UDP: Option<u8> = Some(17);
const ICMP: Option<u8> = Some(1);
const GRE: Option<u8> = Some(47);
const ESP: Option<u8> = Some(50);
const AH: Option<u8> = Some(51);
const OSPF: Option<u8> = Some(89);

const fn kind(weight: u16, proto: Option<u8>, ports: (Class, Class), lens: &'static [(u8, u8, u16)]) -> Kind {
    Kind { weight, proto, ports, lens }
}

const ACL1_PLAIN: &[(u8, u8, u16)] = &[
    (32, 32, 490),
    (32, 24, 112),
    (23, 32, 99),
    (32, 22, 81),
    (23, 16, 54),
    (31, 32, 27),
    (30, 32, 18),
    (30, 22, 18),
    (31, 22, 9),
    (23, 31, 9),
    (32, 31, 4),
    (23, 24, 9),
    (23, 15, 4),
    (23, 6, 18),
    (23, 3, 18),
    (0, 8, 4),
    (8, 0, 4),
    (0, 13, 4),
    (0, 0, 4),
];
const ACL1_EXACT: &[(u8, u8, u16)] = &[
    (32, 32, 847),
    (32, 22, 42),
    (23, 32, 28),
    (31, 32, 26),
    (32, 31, 16),
    (30, 22, 14),
    (32, 30, 12),
    (31, 22, 7),
    (23, 28, 5),
    (23, 31, 2),
];
const ACL1_RANGE: &[(u8, u8, u16)] = &[(32, 32, 953), (31, 32, 35), (23, 32, 12)];

/// Access lists of an enterprise: hosts to hosts, exact destination ports.
pub const ACL1: Profile = Profile {
    kinds: &[
        kind(570, TCP, (Any, Exact), ACL1_EXACT),
        kind(189, TCP, (Any, Any), ACL1_PLAIN),
        kind(115, TCP, (Any, Range), ACL1_RANGE),
        kind(85, None, (Any, Any), ACL1_PLAIN),
        kind(31, ICMP, (Any, Any), ACL1_PLAIN),
        kind(10, UDP, (Any, Exact), ACL1_EXACT),
    ],
    ports: (73, 34),
    low: 8,
    networks: (160, 340),
    hosts: (12, 2),
    again: 25,
    flagged: 19,
};

const ACL5_PAIRS: &[(u8, u8, u16)] = &[(32, 32, 620), (32, 28, 190), (17, 31, 110), (19, 28, 60), (30, 30, 20)];

/// Access lists with few overlaps: hosts and small networks, three ranges.
pub const ACL5: Profile = Profile {
    kinds: &[
        kind(443, UDP, (Any, Exact), ACL5_PAIRS),
        kind(272, TCP, (Any, Exact), ACL5_PAIRS),
        kind(168, ICMP, (Any, Any), &[(32, 32, 790), (32, 28, 130), (27, 32, 80)]),
        kind(60, TCP, (Any, Range), &[(32, 32, 370), (32, 28, 150), (17, 32, 480)]),
        kind(37, UDP, (Any, High), &[(32, 32, 500), (32, 28, 500)]),
        kind(17, OSPF, (Any, Any), &[(32, 32, 850), (29, 32, 150)]),
        kind(3, TCP, (Any, High), &[(32, 28, 700), (32, 32, 300)]),
    ],
    ports: (35, 3),
    low: 55,
    networks: (40, 200),
    hosts: (4, 3),
    again: 45,
    flagged: 0,
};

const FROM_ANY: &[(u8, u8, u16)] = &[(0, 32, 930), (0, 26, 10), (0, 0, 30), (32, 0, 30)];
const TO_ANY: &[(u8, u8, u16)] = &[(32, 0, 860), (26, 0, 20), (0, 0, 25), (0, 32, 95)];
const NETS_TO_ANY: &[(u8, u8, u16)] =
    &[(32, 0, 340), (28, 0, 220), (26, 0, 120), (23, 0, 120), (21, 0, 150), (16, 0, 30), (0, 0, 20)];
const HIGH_TO_HIGH: &[(u8, u8, u16)] = &[(0, 32, 640), (32, 32, 170), (32, 21, 190)];
const EXACT_TO_EXACT: &[(u8, u8, u16)] = &[(0, 32, 420), (32, 0, 390), (28, 28, 190)];
const TO_HIGH: &[(u8, u8, u16)] = &[(32, 32, 500), (32, 0, 500)];
const FROM_HIGH: &[(u8, u8, u16)] = &[(0, 32, 600), (32, 32, 400)];

/// A firewall: one end is nearly always anywhere, the other one of very many hosts.
pub const FW1: Profile = Profile {
    kinds: &[
        kind(446, TCP, (Any, Exact), FROM_ANY),
        kind(138, UDP, (Any, Exact), FROM_ANY),
        kind(107, UDP, (Exact, Any), TO_ANY),
        kind(86, TCP, (Any, Any), NETS_TO_ANY),
        kind(48, GRE, (Any, Any), NETS_TO_ANY),
        kind(39, TCP, (High, High), HIGH_TO_HIGH),
        kind(35, ICMP, (Any, Any), NETS_TO_ANY),
        kind(26, UDP, (Exact, Exact), EXACT_TO_EXACT),
        kind(22, UDP, (High, High), HIGH_TO_HIGH),
        kind(21, UDP, (Exact, High), TO_HIGH),
        kind(20, UDP, (High, Exact), FROM_HIGH),
        kind(11, None, (Any, Any), NETS_TO_ANY),
    ],
    ports: (40, 0),
    low: 88,
    networks: (3_000, 6_500),
    hosts: (2, 2),
    again: 0,
    flagged: 95,
};

const IPC1_TO: &[(u8, u8, u16)] = &[(32, 32, 420), (24, 32, 330), (0, 32, 120), (24, 0, 70), (23, 24, 30), (0, 25, 30)];
const IPC1_FROM: &[(u8, u8, u16)] =
    &[(32, 25, 560), (24, 32, 190), (0, 32, 140), (32, 0, 50), (32, 32, 30), (27, 27, 30)];
const IPC1_NETS: &[(u8, u8, u16)] =
    &[(24, 24, 620), (24, 16, 120), (17, 24, 90), (27, 24, 60), (24, 0, 60), (0, 24, 50)];
const IPC1_RANGE: &[(u8, u8, u16)] = &[(24, 32, 700), (32, 32, 30), (0, 32, 120), (16, 32, 150)];

/// Chains of a Linux firewall: everything occurs, and one rule in three asks for networks alone.
pub const IPC1: Profile = Profile {
    kinds: &[
        kind(329, None, (Any, Any), IPC1_NETS),
        kind(219, UDP, (Any, Exact), IPC1_TO),
        kind(138, TCP, (Any, Exact), IPC1_TO),
        kind(85, UDP, (Exact, Any), IPC1_FROM),
        kind(80, TCP, (Exact, Any), IPC1_FROM),
        kind(60, UDP, (Any, High), &[(32, 32, 800), (24, 32, 120), (0, 32, 80)]),
        kind(22, TCP, (Any, Any), IPC1_NETS),
        kind(18, TCP, (Any, Range), IPC1_RANGE),
        kind(15, TCP, (Range, Any), IPC1_FROM),
        kind(11, ICMP, (Any, Any), IPC1_NETS),
        kind(6, UDP, (Any, Range), IPC1_RANGE),
        kind(6, UDP, (Range, Any), IPC1_FROM),
        kind(3, UDP, (Exact, Exact), &[(32, 32, 1000)]),
        kind(3, GRE, (Any, Any), IPC1_NETS),
        kind(3, UDP, (High, Any), IPC1_FROM),
        kind(1, ESP, (Any, Any), IPC1_NETS),
        kind(1, AH, (Any, Any), IPC1_NETS),
    ],
    ports: (45, 7),
    low: 72,
    networks: (200, 450),
    hosts: (3, 3),
    again: 17,
    flagged: 45,
};

/// Tries for each rule that is still missing: a profile of few hosts and ports runs dry at some size.
const TRIES: usize = 100;

/// Rules of this shape, all different. A profile that runs dry gives fewer.
pub fn rules(profile: &Profile, size: usize, rng: &mut Rng) -> Vec<Rule> {
    let world = World::new(profile, rng);
    let mut known = std::collections::BTreeSet::new();
    let mut drawn: Vec<(u32, Rule)> = Vec::with_capacity(size);
    for _ in 0..size.saturating_mul(TRIES) {
        if drawn.len() == size {
            break;
        }
        let Some(kind) = rng.weighted(profile.kinds, |kind| kind.weight) else { break };
        let other = drawn.get(rng.below(drawn.len())).filter(|_| rng.chance(profile.again));
        let (rule, scope) = world.draw(kind, profile, other.map(|(_, rule)| rule), rng);
        if known.insert(Rule { allow: true, ..rule.clone() }) {
            drawn.push((scope, rule));
        }
    }
    drawn.sort_by_key(|(scope, rule)| (*scope, shape(rule)));
    drawn.into_iter().map(|(_, rule)| rule).collect()
}

/// Rules of one shape stand together among those of one scope.
fn shape(rule: &Rule) -> (u8, u8, bool, bool) {
    let len = |nets: &[Net]| nets.first().map_or(0, |net| net.len);
    (u8::MAX - len(&rule.src), u8::MAX - len(&rule.dst), rule.sport.is_empty(), rule.dport.is_empty())
}

/// The addresses and ports in use.
struct World {
    sources: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
    exact: Vec<u16>,
    ranges: Vec<Ports>,
}

impl World {
    fn new(profile: &Profile, rng: &mut Rng) -> Self {
        let mut networks = |count: usize, hosts: usize| -> Vec<Vec<u32>> {
            let mut network = |_| {
                let base = u32::try_from(rng.next() & 0xffff_ff00).unwrap_or_default() & 0xdfff_ff00;
                // Mostly in one /24, some in the /20 around it.
                let host = |rng: &mut Rng| {
                    let wide = if rng.chance(25) { 0xfff } else { 0xff };
                    base ^ u32::try_from(rng.next() & wide).unwrap_or_default()
                };
                (0..hosts).map(|_| host(rng)).collect()
            };
            (0..count).map(&mut network).collect()
        };
        let sources = networks(profile.networks.0, profile.hosts.0);
        let targets = networks(profile.networks.1, profile.hosts.1);
        let exact = (0..profile.ports.0)
            .map(|_| if rng.chance(profile.low) { rng.port(1, 1023) } else { rng.port(1024, 9999) })
            .collect();
        let range = |rng: &mut Rng| {
            let lo = rng.port(1, 6400) * 10;
            let width = [2, 3, 9, 9, 9, 19, 49, 50, 99].get(rng.below(9)).copied().unwrap_or(9);
            if rng.chance(6) { (1025, 65_535) } else { (lo, lo.saturating_add(width)) }
        };
        let ranges = (0..profile.ports.1).map(|_| range(rng)).collect();
        Self { sources, targets, exact, ranges }
    }

    /// A rule, between the ends of this other one if any, and the binary logarithm of how many packets it matches.
    fn draw(&self, kind: &Kind, profile: &Profile, other: Option<&Rule>, rng: &mut Rng) -> (Rule, u32) {
        let (src, dst) = rng.weighted(kind.lens, |(.., weight)| *weight).map_or((0, 0), |(src, dst, _)| (*src, *dst));
        let ends = || (net(&self.sources, smooth(src, rng), rng), net(&self.targets, smooth(dst, rng), rng));
        let (src, dst) = other.map_or_else(ends, |rule| (rule.src.clone(), rule.dst.clone()));
        let len = |nets: &[Net]| nets.first().map_or(0, |net| u32::from(net.len));
        let ends = 64 - len(&src) - len(&dst);
        let (sport, from_bits) = self.ports(kind.ports.0, rng);
        let (dport, to_bits) = self.ports(kind.ports.1, rng);
        let rule = Rule { allow: rng.chance(70), proto: kind.proto, src, dst, sport, dport };
        let proto_bits = if kind.proto.is_none() { 8 } else { 0 };
        let flags = u32::from(kind.proto == TCP && rng.chance(profile.flagged));
        (rule, ends + from_bits + to_bits + proto_bits + 2 - 2 * flags)
    }

    fn ports(&self, class: Class, rng: &mut Rng) -> (Vec<Ports>, u32) {
        let ports = match class {
            Any => return (Vec::new(), 16),
            High => (1024, 65_535),
            Exact => {
                let port = self.exact.get(rng.skewed(self.exact.len())).copied().unwrap_or(80);
                (port, port)
            }
            Range => self.ranges.get(rng.skewed(self.ranges.len())).copied().unwrap_or((20, 21)),
        };
        (vec![ports], u32::from(ports.1 - ports.0 + 1).ilog2())
    }
}

/// A length near this one.
fn smooth(len: u8, rng: &mut Rng) -> u8 {
    u8::try_from((i16::from(len) + rng.spread()).clamp(0, 32)).unwrap_or_default()
}

/// A network of this length around a host in use.
fn net(networks: &[Vec<u32>], len: u8, rng: &mut Rng) -> Vec<Net> {
    let hosts = networks.get(rng.skewed(networks.len())).map_or(&[][..], Vec::as_slice);
    let host = hosts.get(rng.skewed(hosts.len())).copied().unwrap_or_default();
    if len == 0 { Vec::new() } else { vec![Net::v4(host, len)] }
}
