//! Which packets change their fate between two policies.
//!
//! Both meanings become diagrams of one store, so that "no difference" is that their numbers are equal. Where they differ, the
//! differing packets are grouped by what happens to them and by the rules that decide, before and after. That another rule decides
//! is no change of fate by itself. Nor is a budget that is spent or not on a packet which is dropped anyway. But for a
//! packet let through, it is a change that another budget is asked.

mod align;
mod classes;
mod compare;
mod fold;
mod json;
pub mod kind;
pub mod pairs;
pub mod report;

use super::Budget;
use super::words::Packets;
use crate::ir::outcome::{Origin, Outcome};
use crate::ir::packet::Packet;
use crate::ir::policy::{Hook, Policy, RuleInfo};
pub use json::{VERSION, json};
use kind::Kind;
use pairs::{Alone, Pair, pairs};

/// All that differs between two policies.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// Blocks that were compared.
    pub blocks: Vec<Block>,
    /// What the old policy alone filters: everything passes there now.
    pub gone: Vec<Alone>,
    /// What the new policy alone filters.
    pub come: Vec<Alone>,
    /// Mark bits reserved by `reserve mark`, before and now, where both policies use them and they are others.
    pub reserved: Option<(u32, u32)>,
    /// Classes of packets of all blocks, the most dangerous first; no more than asked for.
    pub classes: Vec<Class>,
    /// Classes of each kind, those that were left out counted.
    pub counts: Vec<(Kind, usize)>,
}

/// Two blocks that were compared.
#[derive(Clone, Debug)]
pub struct Block {
    /// Which.
    pub pair: Pair,
    /// Conntrack zones that are numbered anew, from and to: taken as the same.
    pub zones: Vec<(u16, u16)>,
    /// Whether the policy has another name.
    pub renamed: bool,
}

/// Packets that change their fate in the same way.
#[derive(Clone, Debug)]
pub struct Class {
    /// The block: an index into [`Diff::blocks`].
    pub block: usize,
    /// How it changes.
    pub kind: Kind,
    /// Which packets.
    pub packets: Packets,
    /// One of them.
    pub example: Packet,
    /// Where that is seen.
    pub devices: Vec<String>,
    /// And at which side of them.
    pub hook: Hook,
    /// What became of the example.
    pub old: Fate,
    /// What becomes of it.
    pub new: Fate,
}

/// What becomes of a packet.
#[derive(Clone, Debug)]
pub struct Fate {
    /// What happens.
    pub outcome: Outcome,
    /// The rule that decides; `None` for ARP and neighbour discovery, which are accepted by themselves.
    pub rule: Option<RuleInfo>,
    /// Further rules, or the default, that do so to others of the packets, where several classes are told as one.
    pub others: Vec<RuleInfo>,
    /// Whether others still are ARP or neighbour discovery, which are accepted by themselves.
    pub others_by_themselves: bool,
    /// Whether that is the policy's default.
    pub is_default: bool,
    /// The rules whose limits are asked.
    pub limits: Vec<RuleInfo>,
}

/// The policies are too large to be compared: neither a difference nor its absence is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The block of the new policy.
    pub block: usize,
    /// Pieces of its packets that were compared.
    pub proven: usize,
    /// Pieces left.
    pub left: usize,
}

impl Diff {
    /// Whether anything differs.
    #[must_use]
    pub fn is_same(&self) -> bool {
        let told = self.blocks.iter().any(|block| !block.zones.is_empty() || block.pair.moved_from.is_some());
        let alone = !self.gone.is_empty() || !self.come.is_empty();
        self.counts.is_empty() && !alone && !told && self.reserved.is_none()
    }

    /// Classes that were left out.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.counts.iter().map(|(_, count)| count).sum::<usize>() - self.classes.len()
    }
}

/// Compares two policies; of the classes of packets that differ, `most` are described.
///
/// # Errors
/// [`TooLarge`]
pub fn diff(old: &Policy, new: &Policy, budget: Budget, most: usize) -> Result<Diff, TooLarge> {
    let met = pairs(old, new);
    let (before, after) = (old.nat_bits.both(), new.nat_bits.both());
    let reserved = (old.nat_bits_used && new.nat_bits_used && before != after).then_some((before, after));
    let mut diff = Diff { gone: met.gone, come: met.come, reserved, ..Diff::default() };
    let mut all: Vec<Class> = Vec::new();
    let mut counts = [0; Kind::ALL.len()];
    let mut budgets = align::Same::default();
    for pair in met.pairs {
        let (Some(before), Some(after)) = (old.attaches.get(pair.old), new.attaches.get(pair.new)) else { continue };
        let aligned = align::align((old, before), (new, after), &pair, &mut budgets);
        let found = compare::compare(&aligned, budget, most).map_err(|(proven, left)| TooLarge {
            block: pair.new,
            proven,
            left,
        })?;
        for (count, more) in counts.iter_mut().zip(found.counts) {
            *count += more;
        }
        all.extend(found.classes.into_iter().map(|class| Class { block: diff.blocks.len(), ..class }));
        let renamed = before.name != after.name;
        diff.blocks.push(Block { pair, zones: aligned.zones, renamed });
    }
    // Sorted already inside each block, and stable.
    all.sort_by_key(|class| class.kind);
    all.truncate(most);
    diff.classes = all;
    diff.counts = Kind::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
    Ok(diff)
}
