//! The switch: all entry filters in one send, and back if that fails.

use crate::abi::errno;

use super::apply::during;
use super::error::{ApplyError, Refusal, SocketError};
use super::live::{Live, LiveFilter};
use super::load::{Loaded, Part, slots};
use super::message::{self, Request};
use super::socket::Socket;

/// A step of the switch, and what takes it back.
struct Step {
    what: String,
    forth: Request,
    back: Request,
}

/// Makes the loaded generation live.
///
/// # Errors
/// When an entry filter was refused or reads back differently: the old ones are put back and the new generation is taken
/// out again ([`ApplyError::SwitchedBack`]), as far as that works ([`ApplyError::HalfSwitched`]).
pub fn switch(socket: &mut Socket, loaded: &Loaded, live: &Live) -> Result<(), ApplyError> {
    let steps = steps(loaded, live);
    let done = socket.run_at_once(steps.iter().map(|step| step.forth.clone()));
    let (why, refused) = match done {
        Ok(failures) if failures.is_empty() => match loaded.read_back(socket, Part::Entries) {
            Ok(differences) if differences.is_empty() => return Ok(()),
            Ok(differences) => (differences.join("; "), Vec::new()),
            Err(error) => (error.to_string(), Vec::new()),
        },
        Ok(failures) => (tell(&failures, &steps), failures.into_iter().map(|(at, _)| at).collect()),
        Err(error) => (during("switch")(error).to_string(), Vec::new()),
    };
    let undo = steps.into_iter().enumerate().filter(|(at, _)| !refused.contains(at)).map(|(_, step)| step.back);
    match put_back(socket, undo.collect()) {
        Ok(()) => {
            super::apply::grace();
            loaded.undo(socket);
            Err(ApplyError::SwitchedBack { why })
        }
        // The new chains stay: some entry may still lead into them.
        Err(back) => Err(ApplyError::HalfSwitched { why, back }),
    }
}

fn tell(failures: &[(usize, Refusal)], steps: &[Step]) -> String {
    let lines = failures.iter().map(|(at, refusal)| {
        let what = steps.get(*at).map_or("an entry filter", |step| step.what.as_str());
        format!("{what}: {refusal}")
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn put_back(socket: &mut Socket, requests: Vec<Request>) -> Result<(), String> {
    let failures = socket.run_at_once(requests.into_iter()).map_err(|error| error.to_string())?;
    // What never came to be cannot be removed.
    let grave = failures.into_iter().find(|(_, refusal)| !matches!(refusal.errno, errno::ENOENT | errno::EINVAL));
    grave.map_or(Ok(()), |(_, refusal)| Err(SocketError::Refused(refusal).to_string()))
}

fn steps(loaded: &Loaded, live: &Live) -> Vec<Step> {
    let placement = &loaded.placed.placement;
    let mut steps = Vec::new();
    for (slot, forth) in slots(loaded.program, placement, Part::Entries).zip(loaded.requests(Part::Entries)) {
        let filter = slot.filter;
        let old = live
            .blocks
            .get(&slot.block)
            .and_then(|block| block.entries().find(|old| (old.prio, old.handle) == (filter.prio, filter.handle)));
        let back = old.map_or_else(
            || message::del_filter(slot.block, 0, filter.prio, filter.protocol, filter.handle),
            |old| restore(slot.block, old),
        );
        let what = format!("entry filter prio {} of block {}", filter.prio, slot.block);
        steps.push(Step { what, forth, back });
    }
    // Entries that the new Program has not: those of blocks without a policy, and of an older layout.
    let busy = placement.blocks.iter().flatten();
    for number in busy.chain(&loaded.placed.idle) {
        let Some(block) = live.blocks.get(number) else { continue };
        for old in block.entries() {
            let kept = slots(loaded.program, placement, Part::Entries)
                .any(|slot| slot.block == *number && (slot.filter.prio, slot.filter.handle) == (old.prio, old.handle));
            if !kept {
                steps.push(Step {
                    what: format!("removal of entry filter prio {} of block {number}", old.prio),
                    forth: message::del_filter(*number, 0, old.prio, old.protocol, old.handle),
                    back: restore(*number, old),
                });
            }
        }
    }
    steps
}

fn restore(block: u32, old: &LiveFilter) -> Request {
    message::put_back(block, old.chain, old.prio, old.protocol, old.handle, old.canonical().options(old.protocol))
}
