//! Which blocks of two policies see the same packets: those on the same device and hook. What nobody, or somebody else, sees
//! now is said apart.

use std::collections::BTreeMap;

use crate::ir::policy::{Attach, Hook, Policy};

/// A block of each policy that decide about the same packets: indices into [`Policy::attaches`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// In the old policy.
    pub old: usize,
    /// In the new one.
    pub new: usize,
    /// The devices where both stand; those of the new block where it has moved.
    pub devices: Vec<String>,
    /// The old block's devices, where it stands on none of the new one's.
    pub moved_from: Option<Vec<String>>,
}

/// Devices and a hook that only one of two policies speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alone {
    /// The block.
    pub block: usize,
    /// The devices.
    pub devices: Vec<String>,
}

/// How the blocks of two policies meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Blocks to be compared, in the order of the new policy.
    pub pairs: Vec<Pair>,
    /// What the old policy alone filters.
    pub gone: Vec<Alone>,
    /// What the new policy alone filters.
    pub come: Vec<Alone>,
}

/// Pairs the blocks.
#[must_use]
pub fn pairs(old: &Policy, new: &Policy) -> Pairs {
    let (before, after) = (places(old), places(new));
    let mut met: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    let mut gone: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut come: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (place, old) in &before {
        match after.get(place) {
            Some(new) => met.entry((*new, *old)).or_default().push(place.0.to_owned()),
            None => gone.entry(*old).or_default().push(place.0.to_owned()),
        }
    }
    for (place, new) in after.iter().filter(|(place, _)| !before.contains_key(*place)) {
        come.entry(*new).or_default().push(place.0.to_owned());
    }
    let pair = |((new, old), devices)| Pair { old, new, devices, moved_from: None };
    let mut pairs: Vec<Pair> = met.into_iter().map(pair).collect();
    // A policy of the same name and hook on other devices has moved: its rules are compared.
    for (at, block) in new.attaches.iter().enumerate() {
        let named = |other: &Attach| !other.name.is_empty() && other.name == block.name && other.hook == block.hook;
        let Some(from) = old.attaches.iter().position(named) else { continue };
        if pairs.iter().any(|pair| pair.old == from || pair.new == at) {
            continue;
        }
        let moved_from = old.attaches.get(from).map(|block| block.devices.clone());
        pairs.push(Pair { old: from, new: at, devices: block.devices.clone(), moved_from });
    }
    pairs.sort_by_key(|pair| (pair.new, pair.old));
    let alone = |(block, devices)| Alone { block, devices };
    Pairs { pairs, gone: gone.into_iter().map(alone).collect(), come: come.into_iter().map(alone).collect() }
}

/// The block of each device and hook.
fn places(policy: &Policy) -> BTreeMap<(&str, Hook), usize> {
    let blocks = policy.attaches.iter().enumerate();
    blocks.flat_map(|(at, block)| block.devices.iter().map(move |name| ((name.as_str(), block.hook), at))).collect()
}
