//! Packets in as many pieces as their diagrams need.

use super::Budget;
use super::diagram::{Diagram, Full, Literal};
use super::vars::Vars;
use super::world::World;

/// Runs `work` on all packets, or, where that takes too many nodes, on pieces of them. Returns how many pieces there were.
///
/// # Errors
/// How many pieces were done, and how many are left, where they are too many.
pub fn in_pieces(
    vars: &Vars,
    start: Vec<Literal>,
    budget: Budget,
    work: &mut dyn FnMut(&mut World) -> Result<(), Full>,
) -> Result<usize, (usize, usize)> {
    let mut open = vec![start];
    let mut done = 0;
    while let Some(assumed) = open.pop() {
        let mut world = World::new(vars.clone(), false, Diagram::new(budget.nodes, assumed.clone()));
        if work(&mut world).is_ok() {
            done += 1;
            continue;
        }
        let level = world.split().filter(|_| done + open.len() + 2 <= budget.pieces);
        let Some(level) = level else { return Err((done, open.len() + 1)) };
        for value in [true, false] {
            let mut assumed = assumed.clone();
            assumed.push((level, value));
            open.push(assumed);
        }
    }
    Ok(done)
}
