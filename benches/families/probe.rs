//! Packets drawn from the rules: at the edges of what they ask for, where first match is decided.

use super::Set;
use super::rng::Rng;
use super::rule::{Net, Ports, Rule};

/// What the rules look at in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whether it is IPv6.
    pub v6: bool,
    /// IP protocol.
    pub proto: u8,
    /// Source address.
    pub src: u128,
    /// Destination address.
    pub dst: u128,
    /// Source port, for TCP and UDP.
    pub sport: u16,
    /// Destination port, for TCP and UDP.
    pub dport: u16,
}

impl Probe {
    /// Whether it has ports.
    pub const fn has_ports(&self) -> bool {
        matches!(self.proto, 6 | 17)
    }
}

impl Set {
    /// So many packets, each at an edge of some rule: one in eight by one address or port outside it.
    pub fn probes(&self, count: usize, rng: &mut Rng) -> Vec<Probe> {
        let probe = |_| self.rules.get(rng.below(self.rules.len())).map(|rule| rule.edge(rng));
        (0..count).filter_map(probe).collect()
    }

    /// The first rule that matches.
    pub fn first_match(&self, probe: &Probe) -> Option<usize> {
        self.rules.iter().position(|rule| rule.matches(probe))
    }
}

impl Rule {
    /// Whether the packet is one of those that the rule speaks of. A rule without addresses speaks of IPv4.
    pub fn matches(&self, probe: &Probe) -> bool {
        let net = |list: &[Net], address: u128| {
            list.is_empty() || list.iter().any(|net| (net.first()..=net.last()).contains(&address))
        };
        let port = |list: &[Ports], port: u16| {
            list.is_empty() || probe.has_ports() && list.iter().any(|(lo, hi)| (lo..=hi).contains(&&port))
        };
        self.is_v6() == probe.v6
            && self.proto.is_none_or(|proto| proto == probe.proto)
            && net(&self.src, probe.src)
            && net(&self.dst, probe.dst)
            && port(&self.sport, probe.sport)
            && port(&self.dport, probe.dport)
    }

    fn edge(&self, rng: &mut Rng) -> Probe {
        let v6 = self.is_v6();
        let mut address = |list: &[Net]| match list.get(rng.below(list.len())) {
            Some(net) => {
                let end = if rng.chance(50) { net.first() } else { net.last() };
                if rng.chance(6) { end ^ outside(*net) } else { end }
            }
            None => u128::from(u32::try_from(rng.next() >> 33).unwrap_or_default()),
        };
        let (src, dst) = (address(&self.src), address(&self.dst));
        let mut port = |list: &[Ports]| match list.get(rng.below(list.len())) {
            Some((lo, hi)) => {
                let end = if rng.chance(50) { *lo } else { *hi };
                if rng.chance(6) { end.wrapping_add(1) } else { end }
            }
            None => rng.port(1, u16::MAX),
        };
        let (sport, dport) = (port(&self.sport), port(&self.dport));
        let proto = self.proto.unwrap_or(if rng.chance(50) { 6 } else { 17 });
        let (sport, dport) = if matches!(proto, 6 | 17) { (sport, dport) } else { (0, 0) };
        Probe { v6, proto, src, dst, sport, dport }
    }
}

/// The lowest bit of an address that decides whether it is in the network.
fn outside(net: Net) -> u128 {
    let bits = if net.v6 { 128 } else { 32 };
    1u128.checked_shl(bits - u32::from(net.len)).unwrap_or(1)
}
