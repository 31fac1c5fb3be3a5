//! Loading a generation's chains beside the live one, and reading them back.

use std::collections::BTreeMap;

use netlink_packet_core::Emitable;
use netlink_packet_route::tc::TcHeader;

use crate::abi::errno;
use crate::emit::program::{Attached, Chain, Filter, Placement, Program, chain_number};

use super::action::{self, Context};
use super::apply::during;
use super::compare::Canonical;
use super::dump;
use super::error::{ApplyError, AtRule, Refusal, SocketError};
use super::live::{LiveBlock, LiveFilter};
use super::message::{self, HEADER, Request};
use super::place::Placed;
use super::socket::Socket;

/// How many differences are told.
const TOLD: usize = 5;

/// Which filters of a Program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Entry filters: chain 0.
    Entries,
    /// The generation's chains.
    Chains,
    /// Both.
    Everything,
}

impl Part {
    /// Whether a kernel chain belongs to it.
    fn holds(self, chain: u32, generation: u16) -> bool {
        let entry = chain == 0;
        let ours = chain >> 16 == u32::from(generation);
        match self {
            Self::Entries => entry,
            Self::Chains => !entry && ours,
            Self::Everything => entry || ours,
        }
    }
}

/// A filter of a Program at its place.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// Block.
    pub block: u32,
    /// Chain.
    pub chain: &'a Chain,
    /// Filter.
    pub filter: &'a Filter,
}

/// A Program whose chains the kernel holds, and nothing leads to yet.
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
                let prios = chain.filters.chunk_by(|a, b| a.prio == b.prio);
                prios.rev().flatten().map(move |filter| Slot { block: *block, chain, filter })
            })
        })
    })
}

fn chains(attached: &Attached, part: Part) -> impl Iterator<Item = &Chain> {
    let entry = (part != Part::Chains).then_some(&attached.entry);
    let chains: &[Chain] = if part == Part::Entries { &[] } else { &attached.chains };
    entry.into_iter().chain(chains)
}

impl Loaded<'_> {
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
        let chain = (part == Part::Entries).then_some(0);
        let mut held = BTreeMap::new();
        for number in self.placed.placement.blocks.iter().flatten() {
            let block = dump::block(socket, *number, chain).map_err(during("read the filters back"))?;
            held.insert(*number, block);
        }
        differences(self.program, &self.placed.placement, self.context, part, &held)
    }

    /// Takes the new generation's chains and clsacts out again, as well as it can.
    pub fn undo(&self, socket: &mut Socket) {
        // The clsacts first: with the last device of a block all its filters go.
        let fresh = self.placed.fresh.iter().filter_map(|name| self.context.links.get(name)).copied();
        let chains = self.program.attaches.iter().zip(&self.placed.placement.blocks).flat_map(|(attached, blocks)| {
            blocks.iter().flat_map(|block| {
                attached
                    .chains
                    .iter()
                    .map(|chain| message::flush_chain(*block, chain_number(self.context.generation, chain.index)))
            })
        });
        // A clsact that was not made yet, a block that went with it: both answer with errors, which say nothing new. A left-over
        // chain is inert, and the next apply sweeps it.
        let _ = socket.run_all(fresh.map(message::del_clsact).chain(chains), false);
    }
}

fn request(program: &Program, slot: Slot, context: Context) -> Result<Request, ApplyError> {
    message::new_filter(slot.block, slot.chain, slot.filter, program, context).map_err(|device| ApplyError::NoDevice {
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
pub fn load<'a>(
    socket: &mut Socket,
    program: &'a Program,
    placed: &'a Placed,
    links: &'a BTreeMap<String, u32>,
) -> Result<Loaded<'a>, ApplyError> {
    let context = Context { generation: placed.placement.generation, links };
    let loaded = Loaded { program, placed, context };
    let made = make_clsacts(socket, &loaded).and_then(|()| fill(socket, &loaded)).and_then(|()| {
        let differences = loaded.read_back(socket, Part::Chains)?;
        if differences.is_empty() { Ok(()) } else { Err(ApplyError::ReadBack { differences }) }
    });
    match made {
        Ok(()) => Ok(loaded),
        Err(error) => {
            loaded.undo(socket);
            Err(error)
        }
    }
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

fn fill(socket: &mut Socket, loaded: &Loaded) -> Result<(), ApplyError> {
    let failures = socket.run_all(loaded.requests(Part::Chains), true).map_err(during("load the filters"))?;
    let Some((at, refusal)) = failures.into_iter().next() else { return Ok(()) };
    let slot = slots(loaded.program, &loaded.placed.placement, Part::Chains).nth(at);
    Err(slot.map_or_else(
        || ApplyError::Refused { what: "a filter".to_owned(), refusal: refusal.clone() },
        |slot| explain(refusal.clone(), slot, loaded),
    ))
}

/// What a refused filter means for people.
pub(super) fn explain(refusal: Refusal, slot: Slot, loaded: &Loaded) -> ApplyError {
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
        ApplyError::Filter { rule, filter: name(slot, loaded.context.generation), refusal }
    }
}

/// `block 203423745 chain 65537 prio 3 handle 0x1`
fn name(slot: Slot, generation: u16) -> String {
    let chain = chain_number(generation, slot.chain.index);
    format!("block {} chain {chain} prio {} handle {:#x}", slot.block, slot.filter.prio, slot.filter.handle)
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
        let place = (chain_number(context.generation, slot.chain.index), slot.filter.prio, slot.filter.handle);
        let found = rest.get_mut(&slot.block).and_then(|block| block.remove(&place));
        let text = match found {
            None => Some("is missing".to_owned()),
            Some(found) if found.protocol != slot.filter.protocol => Some("has another protocol".to_owned()),
            Some(found) => content(&request(program, slot, context)?).difference(&found.canonical()),
        };
        if let Some(text) = text {
            out.push(format!("{} ({}): {text}", name(slot, context.generation), rule_of(program, slot)));
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
