//! Apply: load beside the old, read back and compare, replace the entry filters, sweep. No switch = no change.
//!
//! The kernel has no transaction over several filters, but replacing one filter by handle leaves no instant without a
//! match (kernel-facts 3). So the new generation's chains are filled while nothing leads to them; chain 0 of each block
//! holds one entry filter per ethertype class, and replacing these is the switch.

use std::collections::{BTreeMap, BTreeSet};

use crate::emit::program::{Action, Placement, Program};

use super::action::Context;
use super::error::ApplyError;
use super::grace::grace;
use super::live::Live;
use super::load::{self, Loaded};
use super::message;
use super::place::{Placed, place};
use super::session::{Session, read_live};
use super::socket::Socket;
use super::switch::Switch;
use super::{foreign, lock, remove};

/// How to apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Only find out what would be done; takes no privilege.
    pub dry_run: bool,
}

/// What an apply came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel already held exactly this; nothing was changed.
    Unchanged,
    /// The new rules are live.
    Applied,
    /// Nothing was changed, as asked; this would have been done.
    DryRun,
}

/// What was done, or would be.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// What it came to.
    pub outcome: Outcome,
    /// Where the Program is live.
    pub placement: Placement,
    /// The Program's digest.
    pub digest: u64,
    /// What the kernel held before.
    pub was: Live,
    /// Filters loaded, over all blocks.
    pub filters: usize,
    /// Devices that got a clsact, sorted.
    pub attached: Vec<String>,
    /// Devices that are open now: the file names them no more. Sorted.
    pub detached: Vec<String>,
    /// What could not be cleaned up behind the switch, in one line each.
    pub notes: Vec<String>,
}

impl Session {
    /// Makes this network namespace hold exactly this Program, or leaves it as it was.
    ///
    /// # Errors
    /// See [`ApplyError`]; unless the variant says otherwise, nothing was changed.
    pub fn apply(&mut self, program: &Program, options: ApplyOptions) -> Result<Receipt, ApplyError> {
        let _lock = if options.dry_run {
            None
        } else {
            lock::check_privilege()?;
            Some(lock::take()?)
        };
        apply(&mut self.socket, self.links.names()?, program, options)
    }
}

/// All of it, on a socket, with the devices that are known.
pub(super) fn apply(
    socket: &mut Socket,
    mut links: BTreeMap<String, u32>,
    program: &Program,
    options: ApplyOptions,
) -> Result<Receipt, ApplyError> {
    find_devices(program, &mut links, socket)?;
    let live = read_live(socket, &links)?;
    foreign::check(socket, program, &live)?;
    let placed = place(program, &live)?;

    let receipt = receipt(program, live, &placed);
    if let Some(placement) = already_live(program, &placed, &receipt.was, &links) {
        return Ok(Receipt { outcome: Outcome::Unchanged, placement, ..receipt });
    }
    if options.dry_run {
        return Ok(Receipt { outcome: Outcome::DryRun, ..receipt });
    }
    let loaded = Loaded::new(program, &placed, &links);
    let switch = Switch::prepare(socket, &loaded, &receipt.was)?;
    sweep(socket, left_over(&receipt.was))?;
    load::load(socket, &loaded)?;
    switch.run(socket)?;
    let notes = clean_up(socket, &loaded, &receipt.was);
    Ok(Receipt { notes, ..receipt })
}

fn receipt(program: &Program, was: Live, placed: &Placed) -> Receipt {
    let per_policy = program.attaches.iter().zip(&placed.placement.blocks).map(|(attached, blocks)| {
        let chains = std::iter::once(&attached.entry).chain(&attached.chains);
        blocks.len() * chains.map(|chain| chain.filters.len()).sum::<usize>()
    });
    Receipt {
        outcome: Outcome::Applied,
        placement: placed.placement.clone(),
        digest: program.digest,
        was,
        filters: per_policy.sum(),
        attached: placed.fresh.clone(),
        detached: placed.leaving.clone(),
        notes: Vec::new(),
    }
}

/// Every device that the Program names must exist: those of policies, and those that packets are sent to.
fn find_devices(program: &Program, links: &mut BTreeMap<String, u32>, socket: &Socket) -> Result<(), ApplyError> {
    let attached = program.attaches.iter().flat_map(|attached| &attached.devices);
    let filters = program.attaches.iter().flat_map(|attached| &attached.chains).flat_map(|chain| &chain.filters);
    let targets = filters.flat_map(|filter| filter.actions.iter()).filter_map(|action| match action {
        Action::Mirred(mirred) => Some(&mirred.device),
        _ => None,
    });
    let mut missing = Vec::new();
    for name in attached.chain(targets).collect::<BTreeSet<_>>() {
        // The crate leaves out of its list what it cannot read, so ask for those that it did not name.
        match links.get(name).copied().or_else(|| socket.index_of(name)) {
            Some(index) => {
                links.insert(name.clone(), index);
            }
            None => missing.push(name.clone()),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(ApplyError::NoDevice { devices: missing, known: links.keys().cloned().collect() })
}

/// The live placement, if the kernel holds exactly this Program and nothing else of ours.
fn already_live(program: &Program, placed: &Placed, live: &Live, links: &BTreeMap<String, u32>) -> Option<Placement> {
    let (generation, digest) = live.current()?;
    let quiet = placed.fresh.is_empty() && placed.leaving.is_empty() && placed.idle.is_empty();
    if digest != program.digest || !quiet || !left_over(live).is_empty() {
        return None;
    }
    let placement = Placement { generation, ..placed.placement.clone() };
    let context = Context { generation, links };
    let same = load::differences(program, &placement, context, load::Part::Everything, &live.blocks).ok()?.is_empty();
    same.then_some(placement)
}

/// Chains of ours that nothing live leads to, by block: an apply broke off.
fn left_over(live: &Live) -> Vec<(u32, u32)> {
    live.blocks
        .iter()
        .flat_map(|(number, block)| block.dead_chains().into_iter().map(|chain| (*number, chain)))
        .collect()
}

/// Empties chains, which removes them.
fn sweep(socket: &mut Socket, chains: Vec<(u32, u32)>) -> Result<(), ApplyError> {
    let what = || "sweep chains that are not in use".to_owned();
    let requests = chains.into_iter().map(|(block, chain)| message::flush_chain(block, chain));
    let failures = socket.run_all(requests, false).map_err(|source| ApplyError::Socket { what: what(), source })?;
    failures.into_iter().next().map_or(Ok(()), |(_, refusal)| Err(ApplyError::Refused { what: what(), refusal }))
}

/// Behind the switch: nothing that fails here takes the new rules back.
fn clean_up(socket: &mut Socket, loaded: &Loaded, live: &Live) -> Vec<String> {
    // A packet that was in an old chain when the entries changed stays there until its RCU section ends.
    grace();
    let placed = loaded.placed;
    let (_, mut notes) = remove::detach(socket, live, &placed.leaving);
    let staying: BTreeSet<u32> =
        placed.placement.devices.iter().flat_map(|device| [device.ingress, device.egress]).collect();
    let old = live.blocks.iter().filter(|(number, _)| staying.contains(number));
    let chains = old.flat_map(|(number, block)| block.chains().into_iter().map(|chain| (*number, chain))).collect();
    if let Err(error) = sweep(socket, chains) {
        notes.push(format!("the old rules are not in use any more, but could not all be removed: {error}"));
    }
    notes
}
