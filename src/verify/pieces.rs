//! Packets in as many pieces as their diagrams need.

use super::Budget;
use super::diagram::{Diagram, Full, Literal};
use super::vars::Vars;
use super::world::World;

/// Pieces of the packets: what is assumed of each, and how many are done.
pub struct Pieces {
    open: Vec<Vec<Literal>>,
    /// Pieces that are done: who works on them counts.
    pub done: usize,
    most: usize,
    /// Steps left for all pieces together.
    steps: usize,
}

impl Pieces {
    /// All packets of which this is assumed, in one piece.
    pub fn new(start: Vec<Literal>, budget: Budget) -> Self {
        Self { open: vec![start], done: 0, most: budget.pieces, steps: budget.steps }
    }

    /// A store for a piece.
    pub fn diagram(&self, nodes: usize, assumed: &[Literal]) -> Diagram {
        let mut diagram = Diagram::new(nodes, assumed.to_vec());
        diagram.allow_steps(self.steps);
        diagram
    }

    /// The piece that was worked on last took what is gone of its store's steps.
    pub fn took(&mut self, world: &World) {
        self.steps = world.diagram.steps_left();
    }

    /// The next piece, to be given back as done, or split, or for another try.
    pub fn next(&mut self) -> Option<Vec<Literal>> {
        self.open.pop()
    }

    /// The piece is tried once more.
    pub fn again(&mut self, assumed: Vec<Literal>) {
        self.open.push(assumed);
    }

    /// Splits the piece that grew too large in this world.
    ///
    /// # Errors
    /// How many pieces were done, and how many are left, where they are too many.
    pub fn split(&mut self, world: &World, assumed: &[Literal]) -> Result<(), (usize, usize)> {
        let level = world.split().filter(|_| self.steps > 0 && self.done + self.open.len() + 2 <= self.most);
        let Some(level) = level else { return Err((self.done, self.open.len() + 1)) };
        for value in [true, false] {
            self.open.push(assumed.iter().copied().chain([(level, value)]).collect());
        }
        Ok(())
    }
}

/// Runs `work` on all packets, or, where that takes too many nodes, on pieces of them.
///
/// # Errors
/// How many pieces were done, and how many are left, where they are too many.
pub fn in_pieces(
    vars: &Vars,
    start: Vec<Literal>,
    budget: Budget,
    work: &mut dyn FnMut(&mut World) -> Result<(), Full>,
) -> Result<(), (usize, usize)> {
    let mut pieces = Pieces::new(start, budget);
    while let Some(assumed) = pieces.next() {
        let mut world = World::new(vars.clone(), false, pieces.diagram(budget.nodes, &assumed));
        let done = work(&mut world);
        pieces.took(&world);
        match done {
            Ok(()) => pieces.done += 1,
            Err(Full) => pieces.split(&world, &assumed)?,
        }
    }
    Ok(())
}
