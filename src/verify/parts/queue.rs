//! The parts of a proof, on all cores.

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::check::{Part, Proving, Stop};
use crate::verify::Block;

/// Lines that may be looked at for each line and each filter of the block, and for any block.
const WORK: (usize, usize) = (64, 1 << 20);

/// Rounds at most: each begins anew without what was guessed wrong in the last.
const ROUNDS: usize = 4;

/// What is left to do, and what came of the rest.
#[derive(Default)]
struct State {
    parts: Vec<Part>,
    done: usize,
    /// Parts that are being worked on.
    active: usize,
    /// Chains that are to stand for the policy from their first line on: they are among the parts.
    standing: HashSet<usize>,
    /// Those of which it was not true.
    fallen: Vec<usize>,
    failed: bool,
    work: usize,
    steps: usize,
    nodes: usize,
}

/// Shows all parts; `None` where one could not be.
pub fn run(proving: &mut Proving<'_, '_>) -> Option<Block> {
    let filters: usize = proving.points.iter().map(|point| point.chain.filters.len()).sum();
    let most = WORK.0 * (proving.lines.all.len() + filters) + WORK.1;
    for _ in 0..ROUNDS {
        let state = round(proving, most);
        if state.failed || state.active > 0 {
            return None;
        }
        if state.fallen.is_empty() {
            return Some(Block { pieces: 1, nodes: state.nodes, attributed: true, parts: state.done });
        }
        proving.fallen.extend(state.fallen);
    }
    None
}

/// Which parts there are does not depend on the order in which they are shown, nor does what all of them come to.
fn round(proving: &Proving<'_, '_>, most: usize) -> State {
    let state = Mutex::new(State { parts: vec![proving.whole()], ..State::default() });
    let changed = Condvar::new();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| work(proving, &state, &changed, most));
        }
        work(proving, &state, &changed, most);
    });
    state.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows parts until none is left, or one could not be shown.
fn work(proving: &Proving<'_, '_>, state: &Mutex<State>, changed: &Condvar, most: usize) {
    let mut all = lock(state);
    loop {
        if all.failed || (all.parts.is_empty() && all.active == 0) {
            return;
        }
        let Some(part) = all.parts.pop() else {
            all = changed.wait(all).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        all.active += 1;
        drop(all);
        let shown = proving.show(&part);
        all = lock(state);
        all.active -= 1;
        match shown {
            Ok(shown) => {
                all.done += 1;
                all.work += shown.work;
                all.steps += shown.steps;
                all.nodes = all.nodes.max(shown.nodes);
                all.parts.extend(shown.parts);
                for point in shown.later {
                    if all.standing.insert(point) {
                        all.parts.push(proving.standing(point));
                    }
                }
                all.failed |= all.work > most || all.steps > proving.case.steps;
            }
            Err(Stop::Unlike) if part.standing => all.fallen.push(part.point),
            Err(_) => all.failed = true,
        }
        changed.notify_all();
    }
}
