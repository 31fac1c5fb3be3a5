//! What makes a ruleset cheap for the packet: a packet pays a dissection and a lookup for every (chain, prio, mask) it
//! visits (kernel-facts 2.1), so the fewer of them the better. One file a means, each opening with why no verdict changes.

mod blocks;
mod classes;
mod cut;
pub mod dead;
mod early;
mod factor;
mod kinds;
mod lines;
pub mod masks;
mod neighbours;
pub mod notes;
pub mod price;
pub mod prios;
mod sets;
pub mod spend;
mod ways;

use crate::abi::GOTO_MAX;
use crate::ir::graph::Graph;
use price::Scale;

/// Most gotos on any way: one less than the kernel's limit, which counts from the first lookup.
pub const DEPTH_MAX: usize = GOTO_MAX - 1;

/// Further gotos that factoring or cutting one table may add, tried in this order: the first that keeps every way short enough.
const LEVELS: [usize; 5] = [8, 6, 4, 2, 1];

/// The same graph, cheaper.
#[must_use]
pub fn run(graph: Graph, scale: Scale) -> Graph {
    let short = |graph: &Graph| graph.hooks.iter().all(|hook| graph.depth(hook) <= DEPTH_MAX);
    let graph = early::drops(&graph, scale).filter(short).unwrap_or(graph);
    let graph = neighbours::behind(&graph).filter(short).unwrap_or(graph);
    let needed: Vec<u64> = graph.hooks.iter().map(|hook| graph.filters(hook)).collect();
    for levels in LEVELS {
        let new = graph.rebuilt(|graph, hook, table| factor::factor(graph, table, levels, hook.dispatch, scale));
        if new.is_full() {
            return new;
        }
        if short(&new) {
            let mut cuts = LEVELS
                .into_iter()
                .map(|levels| new.rebuilt(|graph, hook, table| cut::cut(graph, table, levels, hook.dispatch, scale)));
            // Where nothing was cut, the graph stays as it was, with its order of tables.
            let cut = cuts.find(short).filter(|cut| cut.notes.list.len() > new.notes.list.len() && !cut.is_full());
            return cut.map(|cut| noted(cut, &new, &needed)).unwrap_or(new);
        }
    }
    graph
}

/// The graph that was cut, with what its filters were before, if fewer than as they were written.
fn noted(mut cut: Graph, before: &Graph, written: &[u64]) -> Graph {
    let needed = before.hooks.iter().zip(written).map(|(hook, written)| before.filters(hook).min(*written));
    let needed: Vec<u64> = needed.collect();
    cut.hooks.iter_mut().zip(needed).for_each(|(hook, needed)| hook.needed = needed);
    cut
}
