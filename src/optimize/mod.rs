//! What makes a ruleset cheap for the packet: a packet pays a dissection and a lookup for every (chain, prio, mask) it
//! visits (kernel-facts 2.1), so the fewer of them the better. One file a means, each opening with why no verdict changes.

mod classes;
mod cut;
pub mod dead;
mod factor;
mod lines;
pub mod masks;
mod neighbours;
pub mod notes;
pub mod price;
pub mod prios;
mod sets;

use crate::abi::GOTO_MAX;
use crate::ir::graph::Graph;
use price::Scale;

/// Most gotos on any way: one less than the kernel's limit, which counts from the first lookup.
pub const DEPTH_MAX: usize = GOTO_MAX - 1;

/// Further gotos that the factoring of one table may add, tried in this order: the first that keeps every way short enough.
const LEVELS: [usize; 5] = [8, 6, 4, 2, 1];

/// The same graph, cheaper.
#[must_use]
pub fn run(graph: Graph, scale: Scale) -> Graph {
    let short = |graph: &Graph| graph.hooks.iter().all(|hook| graph.depth(hook) <= DEPTH_MAX);
    let graph = neighbours::behind(&graph).filter(short).unwrap_or(graph);
    for levels in LEVELS {
        let new = graph.rebuilt(|graph, hook, table| factor::factor(graph, table, levels, hook.dispatch, scale));
        if new.is_full() {
            return new;
        }
        if short(&new) {
            let cut = new.rebuilt(|graph, hook, table| cut::cut(graph, &table, hook.dispatch, scale));
            // Where nothing was cut, the graph stays as it was, with its order of tables.
            let any = cut.notes.list.len() > new.notes.list.len();
            return Some(cut).filter(|cut| any && short(cut) && !cut.is_full()).unwrap_or(new);
        }
    }
    graph
}
