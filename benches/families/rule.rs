//! A rule of a set, in no tool's words.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Net {
    /// Whether it is IPv6.
    pub v6: bool,
    /// First address; IPv4 in the low 32 bits.
    pub address: u128,
    /// Length of its prefix.
    pub len: u8,
}

impl Net {
    /// The IPv4 network around an address.
    pub fn v4(address: u32, len: u8) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or_default();
        Self { v6: false, address: u128::from(address & mask), len }
    }

    /// An IPv6 host.
    pub const fn host6(address: u128) -> Self {
        Self { v6: true, address, len: 128 }
    }

    /// First address.
    pub const fn first(self) -> u128 {
        self.address
    }

    /// Last address.
    pub fn last(self) -> u128 {
        let bits = if self.v6 { 128 } else { 32 };
        let hosts = 1u128.checked_shl(bits - u32::from(self.len)).map_or(u128::MAX, |count| count - 1);
        self.address | hosts
    }
}

/// `10.0.0.0/8`; a host without its length.
impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = if self.v6 {
            write!(f, "{}", Ipv6Addr::from(self.address))?;
            128
        } else {
            write!(f, "{}", Ipv4Addr::from(u32::try_from(self.address).unwrap_or_default()))?;
            32
        };
        if self.len == full { Ok(()) } else { write!(f, "/{}", self.len) }
    }
}

/// First and last port.
pub type Ports = (u16, u16);

/// A rule: all that is listed must match, one entry of each list; an empty list asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// Accept, else drop.
    pub allow: bool,
    /// IP protocol; `None` for any.
    pub proto: Option<u8>,
    /// Sources.
    pub src: Vec<Net>,
    /// Destinations.
    pub dst: Vec<Net>,
    /// Source ports.
    pub sport: Vec<Ports>,
    /// Destination ports.
    pub dport: Vec<Ports>,
}

impl Rule {
    /// Whether it is about IPv6.
    pub fn is_v6(&self) -> bool {
        self.src.iter().chain(&self.dst).any(|net| net.v6)
    }

    /// The rules with one entry at most in each list that together say the same.
    pub fn singles(&self) -> Vec<Self> {
        fn each<T: Copy>(list: &[T]) -> Vec<Vec<T>> {
            if list.is_empty() { vec![Vec::new()] } else { list.iter().map(|entry| vec![*entry]).collect() }
        }
        let mut singles = Vec::new();
        for src in each(&self.src) {
            for dst in each(&self.dst) {
                for sport in each(&self.sport) {
                    for dport in each(&self.dport) {
                        let (src, dst) = (src.clone(), dst.clone());
                        singles.push(Self { src, dst, sport: sport.clone(), dport, ..*self });
                    }
                }
            }
        }
        singles
    }

    /// How many rules [`Self::singles`] gives.
    pub fn product(&self) -> usize {
        [self.src.len(), self.dst.len(), self.sport.len(), self.dport.len()].map(|count| count.max(1)).iter().product()
    }
}
