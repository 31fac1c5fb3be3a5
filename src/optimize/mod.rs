//! What makes a ruleset cheap for the packet: a packet pays a dissection and a lookup for every (chain, prio, mask) it
//! visits (kernel-facts 2.1), so the fewer of them the better. One file a means, each opening with why no verdict changes.

mod classes;
mod factor;
mod lines;
pub mod masks;
pub mod price;
pub mod prios;

use crate::abi::GOTO_MAX;
use crate::ir::graph::Graph;
use price::Scale;

/// Most gotos on any way: one less than the kernel's limit, which counts from the first lookup.
pub const DEPTH_MAX: usize = GOTO_MAX - 1;

/// Further gotos that the factoring of one table may add, tried in this order: the first that keeps every way short enough.
const LEVELS: [usize; 5] = [8, 6, 4, 2, 1];

/// The same graph, cheaper.
#[must_use]
pub fn run(mut graph: Graph, scale: Scale) -> Graph {
    // Not copied with each try: they may be very many.
    let rules = std::mem::take(&mut graph.rules);
    let factored = LEVELS.into_iter().find_map(|levels| {
        let new = graph.rebuilt(|graph, hook, table| factor::factor(graph, table, levels, hook.dispatch, scale));
        new.hooks.iter().all(|hook| new.depth(hook) <= DEPTH_MAX).then_some(new)
    });
    let mut graph = factored.unwrap_or(graph);
    graph.rules = rules;
    graph
}
