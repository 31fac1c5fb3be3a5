//! Where a Program goes in a kernel that may already hold one: blocks and generation. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::emit::program::{
    Action, BLOCK_BASE, BUDGETS_MAX, CHAINS_MAX, DeviceBlocks, GENERATION_MAX, Placement, Program,
};
use crate::ir::policy::Hook;

use super::error::ApplyError;
use super::live::{Live, LiveBlock};

/// A placement, and what has to happen around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Generation and blocks of the new Program.
    pub placement: Placement,
    /// Devices that get a clsact, sorted.
    pub fresh: Vec<String>,
    /// Devices of ours that the Program does not name any more, sorted.
    pub leaving: Vec<String>,
    /// Blocks of staying devices that had a policy and get none.
    pub idle: Vec<u32>,
}

/// Both hooks.
const HOOKS: [Hook; 2] = [Hook::Ingress, Hook::Egress];

/// Places a Program. A device that has our clsact keeps its blocks, for the kernel cannot change them; a policy goes into
/// every block that a device of it has on its hook; devices without one get new blocks, as [`Placement::fresh`] would
/// number them.
///
/// # Errors
/// [`ApplyError::Split`] where devices share a block and the Program gives them different policies;
/// [`ApplyError::TooLarge`].
pub fn place(program: &Program, live: &Live) -> Result<Placed, ApplyError> {
    check_size(program)?;
    let wanted: BTreeSet<&str> =
        program.attaches.iter().flat_map(|attached| &attached.devices).map(String::as_str).collect();
    let known: BTreeMap<&str, &DeviceBlocks> =
        live.devices.iter().map(|device| (device.blocks.device.as_str(), &device.blocks)).collect();
    let staying: Vec<&DeviceBlocks> = live
        .devices
        .iter()
        .map(|device| &device.blocks)
        .filter(|blocks| wanted.contains(blocks.device.as_str()))
        .collect();
    check_split(program, &staying)?;

    let fresh: Vec<String> =
        wanted.iter().filter(|name| !known.contains_key(**name)).map(|name| (*name).to_owned()).collect();
    let (blocks, mut devices) = allot(program, &known, &fresh, &live.numbers);
    devices.extend(staying.iter().map(|blocks| (*blocks).clone()));
    devices.sort_by(|a, b| a.device.cmp(&b.device));

    let busy: BTreeSet<u32> = blocks.iter().flatten().copied().collect();
    let idle: BTreeSet<u32> = staying
        .iter()
        .flat_map(|device| [device.ingress, device.egress])
        .filter(|block| !busy.contains(block) && live.blocks.get(block).is_some_and(|held| !held.filters.is_empty()))
        .collect();
    Ok(Placed {
        placement: Placement { generation: next_generation(live), blocks, devices },
        fresh,
        leaving: known.keys().filter(|name| !wanted.contains(*name)).map(|name| (*name).to_owned()).collect(),
        idle: idle.into_iter().collect(),
    })
}

fn check_size(program: &Program) -> Result<(), ApplyError> {
    for attached in &program.attaches {
        if attached.chains.iter().any(|chain| chain.index > CHAINS_MAX) {
            let what = format!("policy `{}` takes more than {CHAINS_MAX} chains", attached.name);
            return Err(ApplyError::TooLarge { what });
        }
    }
    let filters = program.attaches.iter().flat_map(|attached| &attached.chains).flat_map(|chain| &chain.filters);
    let over = |action: &Action| matches!(action, Action::Police(police) if police.budget >= BUDGETS_MAX);
    if filters.flat_map(|filter| filter.actions.iter()).any(over) {
        return Err(ApplyError::TooLarge { what: format!("the file has more than {BUDGETS_MAX} rules with `limit`") });
    }
    Ok(())
}

/// Which policy a device has on a hook.
fn policy_of(program: &Program, device: &str, hook: Hook) -> Option<usize> {
    program
        .attaches
        .iter()
        .position(|attached| attached.hook == hook && attached.devices.iter().any(|name| name == device))
}

fn check_split(program: &Program, staying: &[&DeviceBlocks]) -> Result<(), ApplyError> {
    let mut users: BTreeMap<u32, Vec<(&str, Hook)>> = BTreeMap::new();
    for blocks in staying {
        for hook in HOOKS {
            users.entry(blocks.on(hook)).or_default().push((&blocks.device, hook));
        }
    }
    for list in users.values() {
        let policies: BTreeSet<Option<usize>> =
            list.iter().map(|(device, hook)| policy_of(program, device, *hook)).collect();
        if let (true, Some((_, hook))) = (policies.len() > 1, list.first()) {
            let devices = list.iter().map(|(device, _)| (*device).to_owned()).collect();
            return Err(ApplyError::Split { devices, hook: hook.word() });
        }
    }
    Ok(())
}

/// Blocks per policy, and the blocks of fresh devices.
fn allot(
    program: &Program,
    known: &BTreeMap<&str, &DeviceBlocks>,
    fresh: &[String],
    used: &BTreeSet<u32>,
) -> (Vec<Vec<u32>>, Vec<DeviceBlocks>) {
    let mut numbers = (BLOCK_BASE + 1..).filter(|number| !used.contains(number));
    let mut take = || numbers.next().unwrap_or_default();
    let mut new: BTreeMap<&str, DeviceBlocks> = BTreeMap::new();
    let mut blocks = Vec::with_capacity(program.attaches.len());
    for attached in &program.attaches {
        let held = attached.devices.iter().filter_map(|name| known.get(name.as_str()));
        let mut list: BTreeSet<u32> = held.map(|device| device.on(attached.hook)).collect();
        let joining: Vec<&String> = attached.devices.iter().filter(|name| fresh.contains(name)).collect();
        if !joining.is_empty() {
            let number = take();
            list.insert(number);
            for name in joining {
                let empty = DeviceBlocks { device: name.clone(), ingress: 0, egress: 0 };
                let device = new.entry(name).or_insert(empty);
                match attached.hook {
                    Hook::Ingress => device.ingress = number,
                    Hook::Egress => device.egress = number,
                }
            }
        }
        blocks.push(list.into_iter().collect());
    }
    // A hook without a policy gets a block as well, one for each group of devices that share the other hook's: a block
    // cannot be added to a qdisc later. In the order in which the policies name the devices.
    let mut spare: BTreeMap<(u32, bool), u32> = BTreeMap::new();
    for name in program.attaches.iter().flat_map(|attached| &attached.devices) {
        let Some(device) = new.get_mut(name.as_str()) else { continue };
        match (device.ingress, device.egress) {
            (0, other) => device.ingress = *spare.entry((other, true)).or_insert_with(&mut take),
            (other, 0) => device.egress = *spare.entry((other, false)).or_insert_with(&mut take),
            _ => {}
        }
    }
    (blocks, new.into_values().collect())
}

/// The generation after the live one; one that no chain or entry of ours uses.
fn next_generation(live: &Live) -> u16 {
    let entries = live.blocks.values().flat_map(LiveBlock::live).map(|(generation, _)| u32::from(generation));
    let entries: BTreeSet<u32> = entries.collect();
    let highest = entries.last().copied().unwrap_or_default();
    let chains = live.blocks.values().flat_map(LiveBlock::chains).map(|chain| chain >> 16);
    let used: BTreeSet<u32> = entries.into_iter().chain(chains).collect();
    let max = u32::from(GENERATION_MAX);
    let free = (0..max).map(|step| (highest + step) % max + 1).find(|generation| !used.contains(generation));
    free.and_then(|generation| u16::try_from(generation).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::netlink::live::LiveDevice;
    use crate::emit::program::{Attached, Chain};

    fn attached(devices: &[&str], hook: Hook) -> Attached {
        Attached {
            name: String::new(),
            devices: devices.iter().map(|name| (*name).to_owned()).collect(),
            hook,
            entry: Chain { index: 0, title: String::new(), filters: Vec::new() },
            chains: Vec::new(),
        }
    }

    fn program(attaches: Vec<Attached>) -> Program {
        Program { attaches, rules: Vec::new(), digest: 7 }
    }

    fn held(devices: &[(&str, u32, u32)]) -> Live {
        let mut live = Live::default();
        for (ifindex, (name, ingress, egress)) in (1..).zip(devices) {
            let blocks =
                DeviceBlocks { device: (*name).to_owned(), ingress: BLOCK_BASE + ingress, egress: BLOCK_BASE + egress };
            live.numbers.extend([blocks.ingress, blocks.egress]);
            for number in [blocks.ingress, blocks.egress] {
                live.blocks.entry(number).or_default();
            }
            live.devices.push(LiveDevice { ifindex, blocks });
        }
        live
    }

    #[test]
    fn an_empty_kernel_gets_the_placement_that_compile_prints() {
        for attaches in [
            vec![attached(&["a", "b"], Hook::Ingress), attached(&["b", "c"], Hook::Egress)],
            vec![attached(&["z"], Hook::Egress), attached(&["a"], Hook::Ingress), attached(&["m", "z"], Hook::Ingress)],
            vec![attached(&["a", "b", "c"], Hook::Ingress)],
        ] {
            let program = program(attaches);
            let placed = place(&program, &Live::default()).unwrap();
            assert_eq!(placed.placement, Placement::fresh(&program));
        }
    }

    #[test]
    fn a_policy_goes_into_all_blocks_of_its_devices() {
        let program = program(vec![attached(&["a", "b", "n"], Hook::Ingress)]);
        let placed = place(&program, &held(&[("a", 1, 2), ("b", 5, 6), ("old", 8, 9)])).unwrap();
        assert_eq!(placed.placement.blocks, [vec![BLOCK_BASE + 1, BLOCK_BASE + 3, BLOCK_BASE + 5]]);
        assert_eq!(placed.fresh, ["n"]);
        assert_eq!(placed.leaving, ["old"]);
        let n = placed.placement.devices.iter().find(|device| device.device == "n").unwrap();
        assert_eq!((n.ingress, n.egress), (BLOCK_BASE + 3, BLOCK_BASE + 4));
    }

    #[test]
    fn devices_of_one_block_cannot_get_two_policies() {
        let live = held(&[("a", 1, 2), ("b", 1, 2)]);
        let two = program(vec![attached(&["a"], Hook::Ingress), attached(&["b"], Hook::Ingress)]);
        assert!(matches!(place(&two, &live), Err(ApplyError::Split { hook: "ingress", .. })));
        let only_one = program(vec![attached(&["a", "b"], Hook::Ingress), attached(&["b"], Hook::Egress)]);
        assert!(matches!(place(&only_one, &live), Err(ApplyError::Split { hook: "egress", .. })));
        let one_leaves = program(vec![attached(&["a"], Hook::Ingress)]);
        assert_eq!(place(&one_leaves, &live).unwrap().leaving, ["b"]);
    }

    #[test]
    fn generations_wrap_and_skip_what_is_in_use() {
        assert_eq!(next_generation(&Live::default()), 1);
        let mut live = held(&[("a", 1, 2)]);
        let chain = |generation: u32| crate::emit::netlink::live::LiveFilter {
            chain: generation << 16 | 1,
            prio: 1,
            protocol: 3,
            handle: 1,
            attrs: Vec::new(),
        };
        live.blocks.get_mut(&(BLOCK_BASE + 1)).unwrap().filters = vec![chain(1), chain(2)];
        assert_eq!(next_generation(&live), 3);
    }
}
