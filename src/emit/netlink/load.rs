//! Loading a generation's chains beside the live one, and reading them back.

use std::collections::{BTreeMap, BTreeSet};

use netlink_packet_core::Emitable;
use netlink_packet_route::tc::TcHeader;

use crate::abi::errno;
use crate::emit::program::{Attached, Chain, Placement, Program, chain_number};

use super::action::{self, Context};
use super::compare::Canonical;
use super::dump;
use super::error::{ApplyError, AtRule, Refusal, SocketError, during};
use super::live::{LiveBlock, LiveFilter};
use super::message::{self, HEADER, Request, Slot};
use super::place::Placed;
use super::socket::Socket;

/// How many differences are told.
const TOLD: usize = 5;

/// Which filters of a Program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Entry filters: chain 0.
    Entries,
    /// Entry filters in a chain that nothing leads to: what the kernel would refuse at the switch, it refuses there.
    Rehearsal,
    /// The generation's chains.
    Chains,
    /// Both.
    Everything,
}

impl Part {
    /// Whether a kernel chain belongs to it.
    fn holds(self, chain: u32, generation: u16) -> bool {
        let ours = chain >> 16 == u32::from(generation);
        match self {
            Self::Entries => chain == 0,
            Self::Rehearsal => chain == rehearsal(generation),
            Self::Chains => ours && chain != rehearsal(generation),
            Self::Everything => ours || chain == 0,
        }
    }

    /// The kernel's number of a Program's chain.
    fn number(self, generation: u16, index: u32) -> u32 {
        if self == Self::Rehearsal { rehearsal(generation) } else { chain_number(generation, index) }
    }
}

/// Chains of a generation count from 1; its number 0 is free.
fn rehearsal(generation: u16) -> u32 {
    u32::from(generation) << 16
}

/// A Program with its place: [`load`] makes its chains, to which nothing leads yet.
#[derive(Debug)]
pub struct Loaded<'a> {
    /// The Program.
    pub program: &'a Program,
    /// Where it is.
    pub placed: &'a Placed,
    /// Generation and device indices.
    pub context: Context<'a>,
}

/// All filters in the order of loading. Prios descend: the kernel walks a chain's prios from the lowest when it adds one.
pub fn slots<'a>(program: &'a Program, placement: &'a Placement, part: Part) -> impl Iterator<Item = Slot<'a>> {
    program.attaches.iter().zip(&placement.blocks).flat_map(move |(attached, blocks)| {
        blocks.iter().flat_map(move |block| {
            chains(attached, part).flat_map(move |chain| {
                let number = part.number(placement.generation, chain.index);
                let prios = chain.filters.chunk_by(|a, b| a.prio == b.prio);
                prios.rev().flatten().map(move |filter| Slot { block: *block, chain, number, filter })
            })
        })
    })
}

fn chains(attached: &Attached, part: Part) -> impl Iterator<Item = &Chain> {
    let (entry, chains) = match part {
        Part::Entries | Part::Rehearsal => (true, false),
        Part::Chains => (false, true),
        Part::Everything => (true, true),
    };
    let chains: &[Chain] = if chains { &attached.chains } else { &[] };
    entry.then_some(&attached.entry).into_iter().chain(chains)
}

impl<'a> Loaded<'a> {
    /// Nothing is loaded yet.
    #[must_use]
    pub fn new(program: &'a Program, placed: &'a Placed, links: &'a BTreeMap<String, u32>) -> Self {
        Self { program, placed, context: Context { generation: placed.placement.generation, links } }
    }

    /// Requests that make the filters.
    pub fn requests(&self, part: Part) -> impl Iterator<Item = Request> {
        slots(self.program, &self.placed.placement, part)
            .filter_map(|slot| request(self.program, slot, self.context).ok())
    }

    /// What the kernel holds that differs from what was sent; empty when all is well.
    ///
    /// # Errors
    /// When the kernel refuses a dump, or does not answer.
    pub fn read_back(&self, socket: &mut Socket, part: Part) -> Result<Vec<String>, ApplyError> {
        let mut held: BTreeMap<u32, LiveBlock> = BTreeMap::new();
        // Chain by chain: the old generation need not be read again.
        let chains: BTreeSet<(u32, u32)> =
            slots(self.program, &self.placed.placement, part).map(|slot| (slot.block, slot.number)).collect();
        for (block, chain) in chains {
            let part = dump::block(socket, block, Some(chain)).map_err(during("read the filters back"))?;
            held.entry(block).or_default().filters.extend(part.filters);
        }
        differences(self.program, &self.placed.placement, self.context, part, &held)
    }

    /// Takes the new generation's chains and clsacts out again, as well as it can.
    pub fn undo(&self, socket: &mut Socket) {
        // The clsacts first: with the last device of a block all its filters go.
        let fresh = self.placed.fresh.iter().filter_map(|name| self.context.links.get(name)).copied();
        let parts = [Part::Rehearsal, Part::Chains];
        let chains: BTreeSet<(u32, u32)> = parts
            .into_iter()
            .flat_map(|part| slots(self.program, &self.placed.placement, part))
            .map(|slot| (slot.block, slot.number))
            .collect();
        let chains = chains.into_iter().map(|(block, chain)| message::flush_chain(block, chain));
        // A clsact that was not made yet, a block that went with it: both answer with errors, which say nothing new. A left-over
        // chain is inert, and the next apply sweeps it.
        let _ = socket.run_all(fresh.map(message::del_clsact).chain(chains), false);
    }
}

fn request(program: &Program, slot: Slot, context: Context) -> Result<Request, ApplyError> {
    message::new_filter(slot, program, context).map_err(|device| ApplyError::NoDevice {
        devices: vec![device],
        known: context.links.keys().cloned().collect(),
    })
}

/// The filter's rule, for people.
fn rule_of(program: &Program, slot: Slot) -> AtRule {
    program.rules.get(slot.filter.rule).map(AtRule::from).unwrap_or_default()
}

/// Makes the clsacts of fresh devices, loads the new generation's chains, reads them back.
///
/// # Errors
/// Whatever fails: all of the new is taken out again before.
pub fn load(socket: &mut Socket, loaded: &Loaded) -> Result<(), ApplyError> {
    let made = make_clsacts(socket, loaded)
        .and_then(|()| fill(socket, loaded, Part::Rehearsal))
        .and_then(|()| fill(socket, loaded, Part::Chains))
        .and_then(|()| end_rehearsal(socket, loaded));
    if made.is_err() {
        loaded.undo(socket);
    }
    made
}

fn make_clsacts(socket: &mut Socket, loaded: &Loaded) -> Result<(), ApplyError> {
    for blocks in &loaded.placed.placement.devices {
        let device = &blocks.device;
        if !loaded.placed.fresh.contains(device) {
            continue;
        }
        let index = loaded.context.links.get(device).copied().unwrap_or_default();
        socket.run(message::new_clsact(index, blocks)).map_err(|error| match error {
            SocketError::Refused(refusal) if refusal.errno == errno::ENOENT => ApplyError::NoClsact { refusal },
            error => during(&format!("a clsact qdisc on `{device}`"))(error),
        })?;
    }
    Ok(())
}

/// Makes the filters of a part and reads them back.
fn fill(socket: &mut Socket, loaded: &Loaded, part: Part) -> Result<(), ApplyError> {
    let failures = socket.run_all(loaded.requests(part), true).map_err(during("load the filters"))?;
    if let Some((at, refusal)) = failures.into_iter().next() {
        let slot = slots(loaded.program, &loaded.placed.placement, part).nth(at);
        return Err(match slot {
            Some(slot) => explain(refusal, slot, loaded),
            None => ApplyError::Refused { what: "a filter".to_owned(), refusal },
        });
    }
    let differences = loaded.read_back(socket, part)?;
    if differences.is_empty() { Ok(()) } else { Err(ApplyError::ReadBack { differences }) }
}

fn end_rehearsal(socket: &mut Socket, loaded: &Loaded) -> Result<(), ApplyError> {
    for block in loaded.placed.placement.blocks.iter().flatten() {
        let chain = rehearsal(loaded.context.generation);
        socket.run(message::flush_chain(*block, chain)).map_err(during("remove the rehearsed entry filters"))?;
    }
    Ok(())
}

/// What a refused filter means for people.
fn explain(refusal: Refusal, slot: Slot, loaded: &Loaded) -> ApplyError {
    let rule = Box::new(rule_of(loaded.program, slot));
    let says = |words: &str| refusal.text.as_ref().is_some_and(|text| text.contains(words));
    if refusal.errno == errno::EPERM {
        ApplyError::NotPermitted
    } else if refusal.errno == errno::ENOENT && says("classifier not found") {
        ApplyError::NoFlower { refusal }
    } else if refusal.errno == errno::ENOENT && says("load TC action module") {
        let mut actions: Vec<String> =
            slot.filter.actions.iter().map(|action| action::kind(action).to_owned()).collect();
        actions.sort();
        actions.dedup();
        ApplyError::NoAction { actions, refusal, rule }
    } else {
        ApplyError::Filter { rule, filter: name(slot), refusal }
    }
}

/// `block 203423745 chain 65537 prio 3 handle 0x1`
fn name(slot: Slot) -> String {
    format!("block {} chain {} prio {} handle {:#x}", slot.block, slot.number, slot.filter.prio, slot.filter.handle)
}

/// Compares what blocks hold with what a Program puts there, attribute by attribute: the first few differences.
///
/// # Errors
/// [`ApplyError::NoDevice`] when a device went away.
pub fn differences(
    program: &Program,
    placement: &Placement,
    context: Context,
    part: Part,
    held: &BTreeMap<u32, LiveBlock>,
) -> Result<Vec<String>, ApplyError> {
    let mut out = Vec::new();
    let mut rest: BTreeMap<u32, BTreeMap<(u32, u16, u32), &LiveFilter>> = BTreeMap::new();
    for (number, block) in held {
        let of_part = block.filters.iter().filter(|filter| part.holds(filter.chain, context.generation));
        let by_place = of_part.map(|filter| ((filter.chain, filter.prio, filter.handle), filter)).collect();
        rest.insert(*number, by_place);
    }
    for slot in slots(program, placement, part) {
        let place = (slot.number, slot.filter.prio, slot.filter.handle);
        let found = rest.get_mut(&slot.block).and_then(|block| block.remove(&place));
        let text = match found {
            None => Some("is missing".to_owned()),
            Some(found) if found.protocol != slot.filter.protocol => Some("has another protocol".to_owned()),
            Some(found) => content(&request(program, slot, context)?).difference(&found.canonical()),
        };
        if let Some(text) = text {
            out.push(format!("{} ({}): {text}", name(slot), rule_of(program, slot)));
            if out.len() == TOLD {
                return Ok(out);
            }
        }
    }
    let strangers = rest.iter().flat_map(|(number, block)| block.keys().map(move |place| (number, place)));
    for (number, (chain, prio, handle)) in strangers.take(TOLD.saturating_sub(out.len())) {
        out.push(format!("block {number} chain {chain} prio {prio} handle {handle:#x}: nobody asked for it"));
    }
    Ok(out)
}

/// A request's filter as the kernel should hold it.
fn content(request: &Request) -> Canonical {
    let bytes = request.bytes(0, false);
    Canonical::read(bytes.get(HEADER + TcHeader::default().buffer_len()..).unwrap_or_default())
}
