//! What is live: devices, blocks and filters of ours as the kernel holds them.

use std::collections::{BTreeMap, BTreeSet};

use crate::abi::{COOKIE_MAX, act, ct, flower, gact, mirred, police, stats, tc_act, tc_gen, tca, tcf_t};
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

/// What filters counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that they matched.
    pub packets: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Packets of these that exceeded a `limit` and were dropped.
    pub over_limit: u64,
    /// Packets of these that conntrack dropped (no room, no free port), or that a redirect's target did not take.
    pub lost: u64,
}

impl Counters {
    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.over_limit += other.over_limit;
        self.lost += other.lost;
    }
}

/// `TCA_ACT_STATS` of one action.
struct ActionStats {
    bytes: u64,
    packets: u64,
    drops: u64,
    overlimits: u64,
}

impl ActionStats {
    fn read(action: &[u8]) -> Self {
        let nest = nla::find(action, act::STATS).unwrap_or_default();
        let basic = nla::find(nest, stats::BASIC).unwrap_or_default();
        let few = basic.get(8..).and_then(nla::as_u32).unwrap_or_default();
        let queue = nla::find(nest, stats::QUEUE).unwrap_or_default();
        let queued = |at: usize| u64::from(queue.get(at..).and_then(nla::as_u32).unwrap_or_default());
        Self {
            bytes: nla::as_u64(basic).unwrap_or_default(),
            packets: nla::find(nest, stats::PKT64).and_then(nla::as_u64).unwrap_or(u64::from(few)),
            drops: queued(stats::QUEUE_DROPS),
            overlimits: queued(stats::QUEUE_OVERLIMITS),
        }
    }
}

/// A filter's counters: its own, and those that it shares by the index of a police with all filters of its rule and that must
/// be counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Its own.
    pub own: Counters,
    /// Index of the police, and what that counted.
    pub shared: Option<(u32, Counters)>,
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

    /// What it counted. The first action sees every packet that the filter matched; a later one only what those before it
    /// let through.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (at, action) in self.actions().enumerate() {
            let ActionStats { bytes, packets, drops, overlimits } = ActionStats::read(action);
            let seen = if at == 0 { Counters { packets, bytes, ..Counters::default() } } else { Counters::default() };
            let kind = nla::find(action, act::KIND).map(nla::as_text).unwrap_or_default();
            let options = nla::find(action, act::OPTIONS).unwrap_or_default();
            match kind.as_str() {
                "police" => {
                    let index = nla::find(options, police::TBF).and_then(nla::as_u32).unwrap_or_default();
                    tally.shared = Some((index, Counters { over_limit: drops, ..seen }));
                }
                "ct" => tally.own.add(Counters { lost: drops, ..seen }),
                // `tcf_mirred_act` counts what it could not send as over the limit.
                "mirred" if is_redirect(options) => tally.own.add(Counters { lost: overlimits, ..seen }),
                _ => tally.own.add(seen),
            }
        }
        tally
    }

    /// Whether its last action goes to another chain, and decides nothing.
    #[must_use]
    pub fn leads_on(&self) -> bool {
        let Some(last) = self.actions().last() else { return false };
        let kind = nla::find(last, act::KIND).map(nla::as_text).unwrap_or_default();
        let parms = if kind == "ct" { ct::PARMS } else { gact::PARMS };
        let parms = nla::find(last, act::OPTIONS).and_then(|options| nla::find(options, parms));
        let control = parms.and_then(|parms| nla::as_u32(parms.get(tc_gen::ACTION)?));
        control.is_some_and(|control| control & tc_act::OPCODE == tc_act::GOTO_CHAIN.cast_unsigned())
    }

    /// How long ago its first action was made, in seconds. A filter that is replaced gets new actions, which count from 0.
    #[must_use]
    pub fn age(&self) -> Option<u64> {
        let first = self.actions().next()?;
        let kind = nla::find(first, act::KIND).map(nla::as_text).unwrap_or_default();
        let times = match kind.as_str() {
            "ct" => ct::TM,
            "gact" => gact::TM,
            "mirred" => mirred::TM,
            "police" => police::TM,
            _ => return None,
        };
        let times = nla::find(nla::find(first, act::OPTIONS)?, times)?;
        times.get(tcf_t::INSTALL).and_then(nla::as_u64).map(|ticks| ticks / tcf_t::HZ)
    }

    /// Whether it runs in hardware.
    #[must_use]
    pub fn in_hw(&self) -> bool {
        let options = nla::find(&self.attrs, tca::OPTIONS).unwrap_or_default();
        nla::find(options, flower::FLAGS).and_then(nla::as_u32).is_some_and(|flags| flags & flower::IN_HW != 0)
    }
}

impl LiveBlock {
    /// Filters of chain 0.
    pub fn entries(&self) -> impl Iterator<Item = &LiveFilter> {
        self.filters.iter().filter(|filter| filter.chain == 0)
    }

    /// Our chains that nothing live leads to: an apply broke off.
    #[must_use]
    pub fn dead_chains(&self) -> Vec<u32> {
        let live: BTreeSet<u32> = self.live().into_iter().map(|(generation, _)| generation.into()).collect();
        self.chains().into_iter().filter(|chain| !live.contains(&(chain >> 16))).collect()
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

/// What some filters of what is live are, and counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Filters of the generation's chains.
    pub filters: usize,
    /// Entry filters.
    pub entries: usize,
    /// What they counted.
    pub counters: Counters,
}

impl Count {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.filters += other.filters;
        self.entries += other.entries;
        self.counters.add(other.counters);
    }
}

impl Live {
    /// Generations and digests that entry filters name; more than one only if a switch broke off.
    #[must_use]
    pub fn generations(&self) -> BTreeSet<(u16, u64)> {
        self.blocks.values().flat_map(LiveBlock::live).collect()
    }

    /// Generation and digest that are live; `None` if nothing is, or not everywhere the same.
    #[must_use]
    pub fn current(&self) -> Option<(u16, u64)> {
        let all = self.generations();
        if all.len() == 1 { all.first().copied() } else { None }
    }

    /// Whether nothing of ours is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Seconds since the live generation was switched to; `None` if no single one is live.
    #[must_use]
    pub fn age(&self) -> Option<u64> {
        self.current()?;
        self.blocks
            .values()
            .flat_map(LiveBlock::entries)
            .filter(|entry| entry.origin().is_some())
            .filter_map(LiveFilter::age)
            .max()
    }

    /// The live filters (those that a packet can meet, entry filters included) by a key of the caller's, made of their block,
    /// themselves and where they come from.
    #[must_use]
    pub fn counts<K: Ord>(&self, key: impl Fn(u32, &LiveFilter, Origin) -> K) -> BTreeMap<K, Count> {
        let mut counts: BTreeMap<K, Count> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (number, block) in &self.blocks {
            let live: BTreeSet<u16> = block.live().into_iter().map(|(generation, _)| generation).collect();
            for filter in &block.filters {
                let Some(origin) = filter.origin().filter(|origin| live.contains(&origin.generation)) else { continue };
                let count = counts.entry(key(*number, filter, origin)).or_default();
                *(if filter.chain == 0 { &mut count.entries } else { &mut count.filters }) += 1;
                let tally = filter.tally();
                count.counters.add(tally.own);
                if let Some((_, shared)) = tally.shared.filter(|(index, _)| seen.insert(*index)) {
                    count.counters.add(shared);
                }
            }
        }
        counts
    }
}

/// Whether a mirred sends the packet itself, and no copy.
fn is_redirect(options: &[u8]) -> bool {
    let control = nla::find(options, mirred::PARMS).and_then(|parms| nla::as_u32(parms.get(tc_gen::ACTION)?));
    control == Some(tc_act::STOLEN.cast_unsigned())
}
