//! The Program: chains, prios, masks, handles and cookies: the one truth that both emitters print.
//!
//! Chain numbers are relative (0 is the block's own chain 0, others count from 1); a [`Placement`] fixes block numbers
//! and the generation, which an emitter turns into kernel chain numbers with [`chain_number`].

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::field::Key;
use crate::ir::policy::{Hook, NatSide};

/// Everything that one policy file becomes.
#[derive(Clone, Debug)]
pub struct Program {
    /// One per policy, in the order written.
    pub attaches: Vec<Attached>,
    /// The rules that filters come from; [`Filter::rule`] indexes it.
    pub rules: Vec<RuleRef>,
    /// Hash of everything above; entry filters carry it, so that what is live can be recognised.
    pub digest: u64,
}

/// What a filter's origin says of itself, in comments, `plan` and `status`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RuleRef {
    /// The policy's name; empty for bare rules.
    pub policy: String,
    /// Position in the policy, from 1; 0 for what the compiler adds.
    pub position: usize,
    /// The rule's words, or what the compiler added.
    pub text: String,
    /// `@key value` lines.
    pub annotations: Vec<(String, String)>,
    /// What kind of origin.
    pub role: Role,
    /// Which rule (`RuleInfo::ident`).
    pub ident: u32,
    /// What it means (`RuleInfo::meaning`).
    pub meaning: u64,
    /// File, line and column, as `gw.pol:12:5`; empty for what the compiler adds. Never printed in a script.
    pub place: String,
}

impl RuleRef {
    /// Its `@id`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.annotations.iter().find(|(key, _)| key == "id").map(|(_, value)| value.as_str())
    }
}

/// Why a filter exists. The number goes into the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Role {
    /// A rule of the policy.
    Rule = 1,
    /// The policy's default.
    Default = 2,
    /// ARP, neighbour discovery and MLD, accepted whatever the rules say.
    Implicit = 3,
    /// Conntrack passes and branches between chains.
    Dispatch = 4,
    /// An entry filter of chain 0.
    Entry = 5,
}

/// A policy's chains for one hook.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attached {
    /// The policy's name; empty for bare rules.
    pub name: String,
    /// Devices, sorted.
    pub devices: Vec<String>,
    /// Which hook.
    pub hook: Hook,
    /// Chain 0: one key-less filter per ethertype class, always the same prios, protocols and handles, so that each can be replaced in place.
    pub entry: Chain,
    /// Chains 1.. of the generation; every one ends in a filter that matches everything.
    pub chains: Vec<Chain>,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    /// Relative number; 0 for the entry chain.
    pub index: u32,
    /// What it is for, in a few words; printed as a comment.
    pub title: String,
    /// In ascending (prio, handle).
    pub filters: Vec<Filter>,
}

/// A flower filter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    /// 1..=65535.
    pub prio: u16,
    /// Within (chain, prio), from 1.
    pub handle: u32,
    /// Ethertype, or `ETH_P_ALL`.
    pub protocol: u16,
    /// In canonical field order.
    pub keys: Vec<Key>,
    /// 1..=32; the last one decides, all others pipe (a police that drops the excess also pipes). Filters that do the same share them.
    pub actions: Arc<Vec<Action>>,
    /// Index into [`Program::rules`].
    pub rule: usize,
}

/// What happens after an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Control {
    /// Accept.
    Pass,
    /// Drop.
    Drop,
    /// Next action.
    Pipe,
    /// Next filter (prio) of this chain.
    Continue,
    /// Go to this relative chain.
    Goto(u32),
}

/// An action of a filter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// gact: nothing but the control.
    Gact(Control),
    /// act_ct.
    Ct(Ct, Control),
    /// act_mirred. A redirect ends the filter (`stolen`), a mirror pipes.
    Mirred(Mirred),
    /// act_police, shared by index between all filters of its rule.
    Police(Police),
}

/// act_ct.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ct {
    /// `ct clear`
    Clear,
    /// `ct zone Z [nat]`: look up, apply the translation on record.
    Track {
        /// Zone.
        zone: u16,
        /// Apply the translation on record.
        nat: bool,
    },
    /// `ct commit zone Z ...`
    Commit(Commit),
}

/// `ct commit`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    /// Zone.
    pub zone: u16,
    /// Ends an existing connection of the other direction.
    pub force: bool,
    /// Value and mask, value within mask.
    pub mark: Option<(u32, u32)>,
    /// Value and mask, value within mask.
    pub label: Option<(u128, u128)>,
    /// Translation.
    pub nat: Option<CtNat>,
    /// Helper.
    pub helper: Option<CtHelper>,
}

/// `nat src|dst addr A-B port C-D`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CtNat {
    /// Which end.
    pub side: NatSide,
    /// Addresses, one family.
    pub addr: NatAddr,
    /// Ports.
    pub ports: Option<(u16, u16)>,
}

/// First and last address of a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatAddr {
    /// IPv4.
    V4(Ipv4Addr, Ipv4Addr),
    /// IPv6.
    V6(Ipv6Addr, Ipv6Addr),
}

/// `helper ipv4-tcp-ftp` (kernel 6.2, iproute2 6.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CtHelper {
    /// `ftp`
    pub name: String,
    /// True for IPv6.
    pub v6: bool,
    /// IP protocol.
    pub proto: u8,
}

/// act_mirred.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mirred {
    /// Target device.
    pub device: String,
    /// Into its ingress.
    pub ingress: bool,
    /// Redirect (the packet goes there) or mirror (a copy goes there, then pipe).
    pub redirect: bool,
}

/// act_police: exceeding packets are dropped, conforming ones go on with `conform`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Police {
    /// Which budget, from 0, unique within the Program; a [`Placement`] turns it into the kernel's action index.
    pub budget: u32,
    /// The rate.
    pub limit: crate::ir::policy::Limit,
    /// `Pipe` or `Continue`.
    pub conform: Control,
}

/// Where a Program is put: generation and blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Generation, 1..=[`GENERATION_MAX`].
    pub generation: u16,
    /// For each [`Attached`]: the shared blocks that carry its filters.
    pub blocks: Vec<Vec<u32>>,
    /// For each device: both block numbers of its clsact qdisc.
    pub devices: Vec<DeviceBlocks>,
}

/// Block numbers of a device's clsact qdisc. Fixed when it is made: the kernel cannot change them later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceBlocks {
    /// Device.
    pub device: String,
    /// Its ingress block.
    pub ingress: u32,
    /// Its egress block.
    pub egress: u32,
}

impl DeviceBlocks {
    /// Its block on a hook.
    #[must_use]
    pub const fn on(&self, hook: Hook) -> u32 {
        match hook {
            Hook::Ingress => self.ingress,
            Hook::Egress => self.egress,
        }
    }
}

/// Highest generation number; the next is 1 again.
pub const GENERATION_MAX: u16 = 0xffe;

/// Most chains that one policy may have (16 bits of the kernel's 28).
pub const CHAINS_MAX: u32 = 0xffff;

/// First block number that ctpolicy uses; chosen high, away from the small numbers people type.
pub const BLOCK_BASE: u32 = 0x0c70_0000;

/// The kernel's chain number of a relative chain: 12 bits of generation, 16 of index.
#[must_use]
pub const fn chain_number(generation: u16, index: u32) -> u32 {
    if index == 0 { 0 } else { (generation as u32) << 16 | index }
}

/// Largest packet that a byte budget lets through: larger than 64 KiB and its Ethernet header. Without it, `tc` and the kernel
/// stop at 255 cells of the rate table, about 2 KB, and every larger packet (jumbo, reassembled by conntrack) would exceed
/// whatever the rate.
pub const POLICE_MTU: u32 = 1 << 17;

/// First byte of every cookie of ours.
pub const COOKIE_MAGIC: u8 = 0xc7;

/// The 16 bytes that the last action of each filter carries: magic, layout and role, generation, ident, meaning.
/// For entry filters ident is 0 and meaning the Program's digest.
#[must_use]
pub fn cookie(role: Role, generation: u16, ident: u32, meaning: u64) -> [u8; crate::abi::COOKIE_MAX] {
    let mut bytes = [0; crate::abi::COOKIE_MAX];
    bytes[0] = COOKIE_MAGIC;
    bytes[1] = 0x10 | role as u8;
    bytes[2..4].copy_from_slice(&generation.to_be_bytes());
    bytes[4..8].copy_from_slice(&ident.to_be_bytes());
    bytes[8..16].copy_from_slice(&meaning.to_be_bytes());
    bytes
}

/// The kernel's action index of a police: one per generation and budget, so that the policies of two generations never
/// share a bucket. High, away from the small numbers that the kernel allots and people type; 12 bits of generation,
/// 19 of budget.
#[must_use]
pub const fn police_index(generation: u16, budget: u32) -> u32 {
    0x8000_0000 | (generation as u32) << 19 | budget & (BUDGETS_MAX - 1)
}

/// Most budgets that one Program may have.
pub const BUDGETS_MAX: u32 = 1 << 19;

impl Action {
    /// Where a packet goes on behind it. A redirect takes the packet away, which accepts it as far as classification goes.
    #[must_use]
    pub const fn control(&self) -> Control {
        match self {
            Self::Gact(control) | Self::Ct(_, control) => *control,
            Self::Mirred(Mirred { redirect: true, .. }) => Control::Pass,
            Self::Mirred(_) => Control::Pipe,
            Self::Police(police) => police.conform,
        }
    }
}

impl Attached {
    /// All chains, the entry chain first.
    pub fn all_chains(&self) -> impl Iterator<Item = &Chain> {
        [&self.entry].into_iter().chain(&self.chains)
    }

    /// The chain of this relative number, but for the entry chain. They stand in order, mostly without a gap.
    #[must_use]
    pub fn chain(&self, index: u32) -> Option<&Chain> {
        let place = usize::try_from(index).ok().and_then(|index| self.chains.get(index.checked_sub(1)?));
        place.filter(|chain| chain.index == index).or_else(|| self.chains.iter().find(|chain| chain.index == index))
    }

    /// Whether packets go through conntrack.
    #[must_use]
    pub fn tracks(&self) -> bool {
        let actions = self.all_chains().flat_map(|chain| &chain.filters).flat_map(|filter| filter.actions.iter());
        actions.into_iter().any(|action| matches!(action, Action::Ct(Ct::Track { .. }, _)))
    }
}

impl Program {
    /// Every filter, policy by policy, chain by chain.
    pub fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.attaches.iter().flat_map(Attached::all_chains).flat_map(|chain| &chain.filters)
    }

    /// The cookie of a filter of this Program; those of chain 0 carry the digest.
    #[must_use]
    pub fn cookie(&self, chain: &Chain, filter: &Filter, generation: u16) -> [u8; crate::abi::COOKIE_MAX] {
        match self.rules.get(filter.rule) {
            Some(rule) if chain.index != 0 => cookie(rule.role, generation, rule.ident, rule.meaning),
            _ => cookie(Role::Entry, generation, 0, self.digest),
        }
    }
}

impl Placement {
    /// The placement on a machine that has nothing of ours: generation 1, blocks counted from [`BLOCK_BASE`].
    /// `compile` prints it, and `apply` starts from it.
    #[must_use]
    pub fn fresh(program: &Program) -> Self {
        let mut blocks: Vec<Vec<u32>> = Vec::new();
        let mut devices: Vec<DeviceBlocks> = Vec::new();
        let mut next = BLOCK_BASE;
        let mut take = || {
            next += 1;
            next
        };
        for attached in &program.attaches {
            let block = take();
            blocks.push(vec![block]);
            for device in &attached.devices {
                if !devices.iter().any(|known| known.device == *device) {
                    devices.push(DeviceBlocks { device: device.clone(), ingress: 0, egress: 0 });
                }
                for known in devices.iter_mut().filter(|known| known.device == *device) {
                    match attached.hook {
                        Hook::Ingress => known.ingress = block,
                        Hook::Egress => known.egress = block,
                    }
                }
            }
        }
        // A hook without a policy gets a block too, one for each group of devices that share the other hook's:
        // a block cannot be added to a qdisc later.
        let mut spare: Vec<(u32, Hook, u32)> = Vec::new();
        for device in &mut devices {
            let (other, hook) = match (device.ingress, device.egress) {
                (0, other) => (other, Hook::Ingress),
                (other, 0) => (other, Hook::Egress),
                _ => continue,
            };
            let known = spare.iter().find(|(o, h, _)| (*o, *h) == (other, hook)).map(|(_, _, block)| *block);
            let block = known.unwrap_or_else(|| {
                let block = take();
                spare.push((other, hook, block));
                block
            });
            match hook {
                Hook::Ingress => device.ingress = block,
                Hook::Egress => device.egress = block,
            }
        }
        devices.sort_by(|a, b| a.device.cmp(&b.device));
        Self { generation: 1, blocks, devices }
    }
}
