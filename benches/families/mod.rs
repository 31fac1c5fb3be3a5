//! Rule sets for measurements: seven families, each made from a seed, and written for us and for the rivals.
//!
//! | family | rules | what it asks of a compiler |
//! | --- | --- | --- |
//! | `f1` | `udp from HOST to port P`, verdicts mixed | one shape: one hash table however many |
//! | `f2` | nested prefixes, each the exception of the one around it | longest prefix first is always legal |
//! | `f3` | sets of 20 sources, 20 destinations, 5 ports in each rule | products: added, not multiplied |
//! | `f4` | `allow from HOST`, `drop to HOST`, in turn | rules that cannot be reordered |
//! | `f5` | a stateful policy for IPv4 and IPv6 | the established path, and no state in the rules |
//! | `f6` | port ranges, overlapping, with both verdicts | ranges: expand or walk |
//! | `f7-acl1` ... | shaped after ClassBench's seeds | many masks, many overlaps |
//!
//! The same family, size and seed give the same rules for ever. Nothing here knows how ctpolicy works.

mod classbench;
mod nft;
mod probe;
mod rng;
mod rule;
mod shape;
mod simple;
mod write;

pub use probe::Probe;
pub use rng::Rng;
pub use rule::{Net, Rule};
pub use shape::{PortMask, Shape};

/// Seed of every published figure.
pub const SEED: u64 = 2026;

/// A family of rule sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Flat,
    Nested,
    Groups,
    Alternating,
    Stateful,
    Ranges,
    Acl1,
    Acl5,
    Fw1,
    Ipc1,
}

impl Family {
    /// All, in the order of the plan.
    pub const ALL: [Self; 10] = [
        Self::Flat,
        Self::Nested,
        Self::Groups,
        Self::Alternating,
        Self::Stateful,
        Self::Ranges,
        Self::Acl1,
        Self::Acl5,
        Self::Fw1,
        Self::Ipc1,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flat => "f1",
            Self::Nested => "f2",
            Self::Groups => "f3",
            Self::Alternating => "f4",
            Self::Stateful => "f5",
            Self::Ranges => "f6",
            Self::Acl1 => "f7-acl1",
            Self::Acl5 => "f7-acl5",
            Self::Fw1 => "f7-fw1",
            Self::Ipc1 => "f7-ipc1",
        }
    }

    /// The family of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// A set of `size` rules (not counting what a policy has besides: its default, and the words on states in `f5`).
    pub fn generate(self, size: usize, seed: u64) -> Set {
        let mut rng = Rng::new(seed);
        let rules = match self {
            Self::Flat => simple::flat(size, &mut rng),
            Self::Nested => simple::nested(size, &mut rng),
            Self::Groups => simple::groups(size, &mut rng),
            Self::Alternating => simple::alternating(size),
            Self::Stateful => simple::stateful(size, &mut rng),
            Self::Ranges => simple::ranges(size, &mut rng),
            Self::Acl1 => classbench::rules(&classbench::ACL1, size, &mut rng),
            Self::Acl5 => classbench::rules(&classbench::ACL5, size, &mut rng),
            Self::Fw1 => classbench::rules(&classbench::FW1, size, &mut rng),
            Self::Ipc1 => classbench::rules(&classbench::IPC1, size, &mut rng),
        };
        Set { family: self, rules }
    }
}

/// A rule set; what no rule matches is dropped. The first rule that matches decides.
#[derive(Clone, Debug)]
pub struct Set {
    /// Which family it is of.
    pub family: Family,
    /// In first-match order.
    pub rules: Vec<Rule>,
}

impl Set {
    /// Whether the rules are about new connections, behind `established`, `invalid` and `related`.
    pub fn is_stateful(&self) -> bool {
        self.family == Family::Stateful
    }
}
