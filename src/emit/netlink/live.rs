//! What is live: devices, blocks and filters of ours as the kernel holds them.

use std::collections::{BTreeMap, BTreeSet};

use crate::abi::{COOKIE_MAX, act, flower, police, stats, tca};
use crate::emit::program::{COOKIE_MAGIC, DeviceBlocks, Role};

use super::compare::Canonical;
use super::nla;

/// The state of this network namespace, as far as it concerns ctpolicy.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Devices whose clsact is ours, sorted by name.
    pub devices: Vec<LiveDevice>,
    /// Their blocks, by number.
    pub blocks: BTreeMap<u32, LiveBlock>,
    /// Devices with a clsact or ingress qdisc that is not ours, sorted by name.
    pub others: Vec<OtherQdisc>,
    /// Every block number in use, by whomever.
    pub numbers: BTreeSet<u32>,
}

/// A device whose clsact is ours: both its blocks have numbers of our range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveDevice {
    /// Kernel's index.
    pub ifindex: u32,
    /// Name and blocks.
    pub blocks: DeviceBlocks,
}

/// A clsact or ingress qdisc of someone else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherQdisc {
    /// Device.
    pub device: String,
    /// Its index.
    pub ifindex: u32,
    /// `clsact` or `ingress`.
    pub kind: String,
    /// Shared blocks, where it has any.
    pub blocks: Vec<u32>,
}

/// A block of ours.
#[derive(Clone, Debug, Default)]
pub struct LiveBlock {
    /// Every filter in it, by chain, prio and handle.
    pub filters: Vec<LiveFilter>,
}

/// A filter as the kernel dumps it. The attributes stay raw: what we cannot read must not vanish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveFilter {
    /// Kernel's chain number.
    pub chain: u32,
    /// Prio.
    pub prio: u16,
    /// Ethertype.
    pub protocol: u16,
    /// Handle.
    pub handle: u32,
    /// Attributes behind `struct tcmsg`.
    pub attrs: Vec<u8>,
}

/// What our cookie says of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Why it exists.
    pub role: Role,
    /// Generation.
    pub generation: u16,
    /// Which rule.
    pub ident: u32,
    /// What the rule means; for entry filters the Program's digest.
    pub meaning: u64,
}

impl Origin {
    /// Reads a cookie; `None` if it is not ours.
    #[must_use]
    pub fn read(cookie: &[u8]) -> Option<Self> {
        let bytes: [u8; COOKIE_MAX] = cookie.try_into().ok()?;
        let [magic, kind, g1, g0, i3, i2, i1, i0, meaning @ ..] = bytes;
        if magic != COOKIE_MAGIC {
            return None;
        }
        let roles = [Role::Rule, Role::Default, Role::Implicit, Role::Dispatch, Role::Entry];
        let role = roles.into_iter().find(|role| kind == 0x10 | *role as u8)?;
        Some(Self {
            role,
            generation: u16::from_be_bytes([g1, g0]),
            ident: u32::from_be_bytes([i3, i2, i1, i0]),
            meaning: u64::from_be_bytes(meaning),
        })
    }
}

/// Counters of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Packets that it dropped.
    pub drops: u64,
}

impl Counters {
    fn read(nest: &[u8]) -> Self {
        let basic = nla::find(nest, stats::BASIC).unwrap_or_default();
        let few = basic.get(8..).and_then(nla::as_u32).unwrap_or_default();
        Self {
            bytes: nla::as_u64(basic).unwrap_or_default(),
            packets: nla::find(nest, stats::PKT64).and_then(nla::as_u64).unwrap_or(u64::from(few)),
            drops: nla::find(nest, stats::QUEUE)
                .and_then(|queue| nla::as_u32(queue.get(8..)?))
                .unwrap_or_default()
                .into(),
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.drops += other.drops;
    }
}

impl LiveFilter {
    /// Its actions' attributes, in order.
    fn actions(&self) -> impl Iterator<Item = &[u8]> {
        let options = nla::find(&self.attrs, tca::OPTIONS).unwrap_or_default();
        nla::parse(nla::find(options, flower::ACT).unwrap_or_default()).map(|(_, action)| action)
    }

    /// Kind of classifier.
    #[must_use]
    pub fn kind(&self) -> String {
        nla::find(&self.attrs, tca::KIND).map(nla::as_text).unwrap_or_default()
    }

    /// Where it comes from; `None` if it is not ours.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.actions().last().and_then(|action| nla::find(action, act::COOKIE)).and_then(Origin::read)
    }

    /// Its content without what the kernel adds.
    #[must_use]
    pub fn canonical(&self) -> Canonical {
        Canonical::read(&self.attrs)
    }

    /// What its first action counted: every packet that the filter matched. With it the index of a police, which all filters
    /// of a rule share, and which must be counted once.
    #[must_use]
    pub fn counters(&self) -> (Counters, Option<u32>) {
        let Some(first) = self.actions().next() else {
            return (Counters::default(), None);
        };
        let counters = nla::find(first, act::STATS).map(Counters::read).unwrap_or_default();
        let kind = nla::find(first, act::KIND).map(nla::as_text).unwrap_or_default();
        let options = nla::find(first, act::OPTIONS).unwrap_or_default();
        let shared = if kind == "police" { nla::find(options, police::TBF).and_then(nla::as_u32) } else { None };
        (counters, shared)
    }

    /// Whether it runs in hardware.
    #[must_use]
    pub fn in_hw(&self) -> bool {
        let options = nla::find(&self.attrs, tca::OPTIONS).unwrap_or_default();
        nla::find(options, flower::FLAGS).and_then(nla::as_u32).is_some_and(|flags| flags & flower::IN_HW != 0)
    }

    /// Generation in its chain's number; 0 in chain 0.
    #[must_use]
    pub fn chain_generation(&self) -> u32 {
        self.chain >> 16
    }
}

impl LiveBlock {
    /// Filters of chain 0.
    pub fn entries(&self) -> impl Iterator<Item = &LiveFilter> {
        self.filters.iter().filter(|filter| filter.chain == 0)
    }

    /// Filters that are not ours.
    pub fn foreign(&self) -> impl Iterator<Item = &LiveFilter> {
        self.filters.iter().filter(|filter| filter.origin().is_none())
    }

    /// Generation and digest that its entry filters name; more than one only if a switch broke off.
    #[must_use]
    pub fn live(&self) -> BTreeSet<(u16, u64)> {
        self.entries().filter_map(LiveFilter::origin).map(|origin| (origin.generation, origin.meaning)).collect()
    }

    /// Kernel's numbers of the chains that hold filters, without chain 0.
    #[must_use]
    pub fn chains(&self) -> BTreeSet<u32> {
        self.filters.iter().map(|filter| filter.chain).filter(|chain| *chain != 0).collect()
    }
}

/// A rule that is live: all filters with the same origin, over all blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRule {
    /// Role, generation, ident, meaning.
    pub origin: Origin,
    /// Filters.
    pub filters: usize,
    /// What they counted.
    pub counters: Counters,
}

impl Live {
    /// Generation and digest that are live; `None` if nothing is, or not everywhere the same.
    #[must_use]
    pub fn current(&self) -> Option<(u16, u64)> {
        let all: BTreeSet<(u16, u64)> = self.blocks.values().flat_map(LiveBlock::live).collect();
        if all.len() == 1 { all.first().copied() } else { None }
    }

    /// Whether nothing of ours is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// The live rules in the order of their origins: filters that a packet can meet, entry filters included.
    #[must_use]
    pub fn rules(&self) -> Vec<LiveRule> {
        let mut rules: BTreeMap<Origin, LiveRule> = BTreeMap::new();
        let mut counted = BTreeSet::new();
        for block in self.blocks.values() {
            let live: BTreeSet<u16> = block.live().into_iter().map(|(generation, _)| generation).collect();
            for filter in &block.filters {
                let Some(origin) = filter.origin().filter(|origin| live.contains(&origin.generation)) else { continue };
                let fresh = LiveRule { origin, filters: 0, counters: Counters::default() };
                let rule = rules.entry(origin).or_insert(fresh);
                rule.filters += 1;
                let (counters, shared) = filter.counters();
                if shared.is_none_or(|index| counted.insert(index)) {
                    rule.counters.add(counters);
                }
            }
        }
        rules.into_values().collect()
    }
}
