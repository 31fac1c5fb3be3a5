//! The switch: all entry filters in one send, and back if that fails.

use std::collections::{BTreeMap, BTreeSet};

use crate::abi::errno;

use super::compare::Canonical;
use super::dump;
use super::error::{ApplyError, Refusal, during};
use super::grace::grace;
use super::live::{Live, LiveFilter};
use super::load::{Loaded, Part, slots};
use super::message::{self, Request};
use super::socket::Socket;

/// A step of the switch, and what takes it back.
struct Step {
    what: String,
    forth: Request,
    back: Request,
    /// Whether taking it back removes a filter, which may not have come to be.
    new: bool,
}

/// What an entry filter is found by: prio and handle.
type Place = (u16, u32);

/// Everything that makes a loaded generation live, ready to be sent.
pub struct Switch<'a> {
    loaded: &'a Loaded<'a>,
    steps: Vec<Step>,
    /// The entry filters before, by block.
    before: BTreeMap<u32, BTreeMap<Place, Canonical>>,
}

impl<'a> Switch<'a> {
    /// Makes the messages, and room for them: what does not fit into one send is no switch.
    ///
    /// # Errors
    /// [`ApplyError::SwitchTooLong`]; nothing was changed.
    pub fn prepare(socket: &mut Socket, loaded: &'a Loaded<'a>, live: &Live) -> Result<Self, ApplyError> {
        let steps = steps(loaded, live);
        let forth: usize = steps.iter().map(|step| step.forth.length()).sum();
        let back: usize = steps.iter().map(|step| step.back.length()).sum();
        let bytes = forth.max(back);
        let room = socket.room(bytes);
        if room < bytes {
            return Err(ApplyError::SwitchTooLong { bytes, entries: steps.len(), room });
        }
        let entries = |number: &u32| live.blocks.get(number).into_iter().flat_map(super::live::LiveBlock::entries);
        let placement = &loaded.placed.placement;
        let before =
            placement.blocks.iter().flatten().chain(&loaded.placed.idle).map(|number| {
                (*number, entries(number).map(|old| ((old.prio, old.handle), old.canonical())).collect())
            });
        Ok(Self { loaded, before: before.collect(), steps })
    }

    /// Makes the loaded generation live.
    ///
    /// # Errors
    /// When an entry filter was refused or reads back differently: the old ones are put back and the new generation is
    /// taken out again ([`ApplyError::SwitchedBack`]), as far as that works ([`ApplyError::HalfSwitched`]).
    pub fn run(self, socket: &mut Socket) -> Result<(), ApplyError> {
        let done = socket.run_at_once(self.steps.iter().map(|step| step.forth.clone()));
        let (why, refused) = match done {
            Ok(failures) if failures.is_empty() => match self.loaded.read_back(socket, Part::Entries) {
                Ok(differences) if differences.is_empty() => return Ok(()),
                Ok(differences) => (differences.join("; "), BTreeSet::new()),
                Err(error) => (error.to_string(), BTreeSet::new()),
            },
            Ok(failures) => (self.tell(&failures), failures.into_iter().map(|(at, _)| at).collect()),
            Err(error) => (during("the switch")(error).to_string(), BTreeSet::new()),
        };
        match self.put_back(socket, &refused) {
            Ok(()) => {
                grace();
                self.loaded.undo(socket);
                Err(ApplyError::SwitchedBack { why })
            }
            // The new chains stay: some entry may still lead into them.
            Err(back) => Err(ApplyError::HalfSwitched { why, back }),
        }
    }

    fn tell(&self, failures: &[(usize, Refusal)]) -> String {
        let lines = failures.iter().map(|(at, refusal)| {
            let what = self.steps.get(*at).map_or("an entry filter", |step| step.what.as_str());
            format!("{what}: {refusal}")
        });
        lines.collect::<Vec<_>>().join("; ")
    }

    /// Takes back what was not refused, and looks whether that worked.
    fn put_back(&self, socket: &mut Socket, refused: &BTreeSet<usize>) -> Result<(), String> {
        let steps: Vec<&Step> =
            self.steps.iter().enumerate().filter(|(at, _)| !refused.contains(at)).map(|(_, s)| s).collect();
        let requests = steps.iter().map(|step| step.back.clone());
        let failures = socket.run_at_once(requests).map_err(|error| error.to_string())?;
        // What never came to be cannot be removed.
        let void = |step: &Step, refusal: &Refusal| step.new && matches!(refusal.errno, errno::ENOENT | errno::EINVAL);
        let grave = failures.iter().find_map(|(at, refusal)| {
            let step = steps.get(*at).filter(|step| !void(step, refusal))?;
            Some(format!("{}: {refusal}", step.what))
        });
        grave.map_or_else(|| self.is_back(socket), Err)
    }

    /// Whether every block's entry filters are those of before.
    fn is_back(&self, socket: &mut Socket) -> Result<(), String> {
        for (number, before) in &self.before {
            let held = dump::block(socket, *number, Some(0)).map_err(|error| error.to_string())?;
            let held: BTreeMap<Place, Canonical> =
                held.entries().map(|entry| ((entry.prio, entry.handle), entry.canonical())).collect();
            if held != *before {
                return Err(format!("block {number} does not hold what it held"));
            }
        }
        Ok(())
    }
}

fn steps(loaded: &Loaded, live: &Live) -> Vec<Step> {
    let placement = &loaded.placed.placement;
    let mut steps = Vec::new();
    let mut kept: BTreeSet<(u32, Place)> = BTreeSet::new();
    for (slot, forth) in slots(loaded.program, placement, Part::Entries).zip(loaded.requests(Part::Entries)) {
        let place = (slot.filter.prio, slot.filter.handle);
        kept.insert((slot.block, place));
        let held = live.blocks.get(&slot.block);
        let old = held.and_then(|block| block.entries().find(|old| (old.prio, old.handle) == place));
        let back = old.map_or_else(
            || message::del_filter(slot.block, 0, slot.filter.prio, slot.filter.protocol, slot.filter.handle),
            |old| restore(slot.block, old),
        );
        let what = format!("entry filter prio {} of block {}", slot.filter.prio, slot.block);
        steps.push(Step { what, forth, back, new: old.is_none() });
    }
    // Entries that the new Program has not: those of blocks without a policy, and of an older layout.
    for number in placement.blocks.iter().flatten().chain(&loaded.placed.idle) {
        let Some(block) = live.blocks.get(number) else { continue };
        for old in block.entries().filter(|old| !kept.contains(&(*number, (old.prio, old.handle)))) {
            steps.push(Step {
                what: format!("removal of entry filter prio {} of block {number}", old.prio),
                forth: message::del_filter(*number, 0, old.prio, old.protocol, old.handle),
                back: restore(*number, old),
                new: false,
            });
        }
    }
    steps
}

fn restore(block: u32, old: &LiveFilter) -> Request {
    message::put_back(block, old.chain, old.prio, old.protocol, old.handle, old.canonical().options(old.protocol))
}
