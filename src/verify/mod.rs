//! The proof that a Program decides every packet as its policy does.
//!
//! `ir::eval` and `emit::eval` say what becomes of one packet under a policy and under its filters. Here stand the same two
//! meanings for all packets at once, as decision diagrams over header, conntrack state and budgets ([`vars`]). Equal functions
//! are one node of one store ([`diagram`]), so the comparison is that of two numbers; where they differ, a way on which they
//! do is a packet that shows it.

use std::sync::Arc;

mod alphabet;
pub mod asserts;
mod chains;
mod commit;
mod ct;
pub mod diagram;
pub mod diff;
mod filter;
pub mod form;
mod guard;
mod header;
mod list;
mod matching;
mod names;
mod parts;
mod passes;
mod pieces;
mod policy;
mod possible;
mod products;
mod program;
pub mod report;
pub mod show;
pub mod vars;
mod witness;
pub mod words;
mod world;

use crate::emit::eval::{Fault, eval as run};
use crate::emit::program::{Attached, Program};
use crate::field::Field;
use crate::ir::eval::eval;
use crate::ir::outcome::Outcome;
use crate::ir::packet::Packet;
use crate::ir::policy::{Attach, Policy};
use diagram::{Diagram, FALSE, Full, Literal, NONE, Node, TRUE};
use names::Names;
use pieces::Pieces;
use possible::possible;
use vars::Vars;
pub use world::Meaning;
use world::World;

/// How much a proof may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Nodes of one store, 25 bytes each.
    pub nodes: usize,
    /// Pieces that one block's packets may be split into.
    pub pieces: usize,
    /// To prove also that the same rule decides, not only that the same happens, so many nodes may be tried: the diagrams are
    /// larger by far where rules overlap.
    pub attribute: usize,
    /// Blocks of so many chains are proven chain by chain, if that can be.
    pub chains: usize,
    /// Steps of all pieces together: each makes a node, or finds that it is there. What bounds the time.
    pub steps: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { nodes: 1 << 24, pieces: 256, attribute: 1 << 21, chains: 16, steps: 1 << 27 }
    }
}

/// What was proven, block by block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// For each block, in the order written.
    pub blocks: Vec<Block>,
}

/// What it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Pieces that the packets were split into; 1 where all were proven at once.
    pub pieces: usize,
    /// Nodes of the largest store.
    pub nodes: usize,
    /// Whether it was proven, too, that the same rule decides.
    pub attributed: bool,
    /// Parts that it was proven by, chain by chain; 0 where it was proven as a whole.
    pub parts: usize,
}

/// Why there is no proof.
#[derive(Clone, Debug)]
pub enum Failure {
    /// A packet that the Program treats otherwise than the policy says.
    Mismatch(Box<Mismatch>),
    /// No packet of the model shows it: the kernel would not hold these filters as they are meant.
    Form(form::Fault),
    /// More pieces than allowed.
    TooLarge {
        /// Which block.
        block: usize,
        /// Pieces proven.
        proven: usize,
        /// Pieces left, each of unknown size.
        left: usize,
    },
}

/// A packet that shows that something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Which block.
    pub block: usize,
    /// The packet.
    pub packet: Packet,
    /// What the policy says becomes of it.
    pub meant: Outcome,
    /// What its filters do. If that is the same, the proof itself is at fault.
    pub done: Result<Outcome, Fault>,
}

/// Proves every block.
///
/// # Errors
/// [`Failure`]
pub fn prove(policy: &Policy, program: &Program, budget: Budget) -> Result<Proof, Failure> {
    let blocks = policy.attaches.iter().zip(&program.attaches).enumerate();
    let blocks = blocks.map(|(at, (attach, attached))| Pair { at, policy, attach, program, attached }.prove(budget));
    let proven = blocks.collect::<Result<_, _>>().map(|blocks| Proof { blocks });
    // A packet says more, where it shows something.
    if matches!(&proven, Err(Failure::Mismatch(found)) if found.done.as_ref() != Ok(&found.meant)) {
        return proven;
    }
    form::faults(policy, program).into_iter().next().map_or(proven, |fault| Err(Failure::Form(fault)))
}

/// A block of a policy and what became of it.
struct Pair<'a> {
    at: usize,
    policy: &'a Policy,
    attach: &'a Attach,
    program: &'a Program,
    attached: &'a Attached,
}

impl Pair<'_> {
    fn vars(&self) -> Vars {
        let mut names = Names::default();
        names.of_policy(self.attach, self.policy.nat_bits);
        names.of_program(self.attached, |filter| self.program.rules.get(filter.rule).map(|rule| rule.ident));
        Vars::new(&names)
    }

    fn prove(&self, budget: Budget) -> Result<Block, Failure> {
        let vars = Arc::new(self.vars());
        // Behind conntrack, parts were wrong twice when attacked, by what a stage hands to the next. Both are mended; until they have stood
        // another attack, tracked blocks are proven as a whole.
        if !self.attach.tracked()
            && self.attached.chains.len() >= budget.chains
            && let Some(block) = self.by_parts(&vars, budget)
        {
            return Ok(block);
        }
        let mut block = Block::default();
        let mut attribute = budget.attribute > 0;
        let mut pieces = Pieces::new(Vec::new(), budget);
        while let Some(assumed) = pieces.next() {
            let nodes = if attribute { budget.attribute.min(budget.nodes) } else { budget.nodes };
            let mut world = World::new(vars.clone(), attribute, pieces.diagram(nodes, &assumed));
            let compared = self.compare(&mut world);
            pieces.took(&world);
            block.nodes = block.nodes.max(world.diagram.size());
            match compared {
                Ok(None) => {
                    pieces.done += 1;
                    block.attributed = attribute;
                }
                Ok(Some(way)) => return Err(Failure::Mismatch(Box::new(self.mismatch(&vars, &way)))),
                Err(Full) if attribute => {
                    attribute = false;
                    pieces.again(assumed);
                }
                Err(Full) => {
                    let too_large = |(proven, left)| Failure::TooLarge { block: self.at, proven, left };
                    pieces.split(&world, &assumed).map_err(too_large)?;
                }
            }
        }
        Ok(Block { pieces: pieces.done, ..block })
    }

    fn by_parts(&self, vars: &Arc<Vars>, budget: Budget) -> Option<Block> {
        let Self { policy, attach, program, attached, .. } = *self;
        let (vars, nodes, steps) = (vars.clone(), budget.nodes, budget.steps);
        parts::prove(&mut parts::Case { policy, attach, program, attached, vars, nodes, steps, zone: None })
    }

    /// A way on which the two meanings differ.
    fn compare(&self, world: &mut World) -> Result<Option<Vec<Literal>>, Full> {
        let meant = policy::meaning(world, self.policy, self.attach)?;
        let done = program::meaning(world, self.program, self.attached)?;
        if meant == done {
            return Ok(None);
        }
        let possible = possible(world, self.policy, self.attach)?;
        let meant = world.diagram.ite(possible, meant, NONE)?;
        let done = world.diagram.ite(possible, done, NONE)?;
        Ok(world.diagram.difference(meant, done).map(|(way, _, _)| way))
    }

    fn mismatch(&self, vars: &Vars, way: &[Literal]) -> Mismatch {
        let packet = witness::packet(vars, way, self.attach);
        let outcomes =
            |packet: &Packet| (eval(self.policy, self.attach, packet), run(self.program, self.attached, packet));
        let shown = outcomes(&packet);
        let packet = witness::friendly(packet, |packet| outcomes(packet) == shown);
        let (meant, done) = shown;
        Mismatch { block: self.at, packet, meant, done }
    }
}

/// Both meanings of one block, to be asked packet by packet: how tests hold the diagrams against the evaluators.
pub struct Meanings {
    world: World,
    meant: Node,
    done: Node,
}

impl Meanings {
    /// The diagrams of a block; `None` where they take more than the budget.
    #[must_use]
    pub fn new(policy: &Policy, program: &Program, block: usize, budget: Budget) -> Option<Self> {
        let (attach, attached) = (policy.attaches.get(block)?, program.attaches.get(block)?);
        let pair = Pair { at: block, policy, attach, program, attached };
        let mut world = World::new(pair.vars(), budget.attribute > 0, Diagram::new(budget.nodes, Vec::new()));
        let meant = policy::meaning(&mut world, policy, attach).ok()?;
        let done = program::meaning(&mut world, program, attached).ok()?;
        Some(Self { world, meant, done })
    }

    /// What the diagrams say of a packet: of the policy, and of the Program.
    #[must_use]
    pub fn of(&self, packet: &Packet) -> [Option<&Meaning>; 2] {
        let way = witness::way(&self.world.vars, packet);
        [self.meant, self.done]
            .map(|node| self.world.of_leaf(self.world.diagram.value(node, |level| way.contains(&level))))
    }

    /// Whether the packet is one that a proof speaks of.
    #[must_use]
    pub fn is_possible(&mut self, policy: &Policy, attach: &Attach, packet: &Packet) -> bool {
        let way = witness::way(&self.world.vars, packet);
        let possible = possible(&mut self.world, policy, attach);
        possible.is_ok_and(|node| self.world.diagram.value(node, |level| way.contains(&level)) == 1)
    }
}

/// The opposite.
fn not(world: &mut World, node: Node) -> Result<Node, Full> {
    world.diagram.ite(node, FALSE, TRUE)
}

impl World {
    /// A packet that goes this way through a diagram, or to the same end.
    fn example(&self, node: Node, way: &[Literal], attach: &Attach) -> Packet {
        let end = |packet: &Packet| {
            let way = witness::way(&self.vars, packet);
            self.diagram.speaks_of(&way).then(|| self.diagram.value(node, |level| way.contains(&level)))
        };
        let packet = witness::packet(&self.vars, way, attach);
        let own = end(&packet);
        witness::friendly(packet, |packet| end(packet) == own)
    }

    /// A variable to split a proof by that grew too large: the highest bit of an address that has many nodes.
    fn split(&self) -> Option<u32> {
        let counts = self.diagram.counts();
        let addresses = [Field::Ipv4Dst, Field::Ipv4Src, Field::Ipv6Dst, Field::Ipv6Src];
        let mut high = (0..24).flat_map(|at| {
            let places = addresses.map(|field| self.vars.field(field).filter(|(alphabet, _)| at < alphabet.width()));
            places.into_iter().flatten().map(move |(_, base)| base + at)
        });
        let many = |level: &u32| counts.get(level).is_some_and(|count| *count >= 16);
        high.find(many).or_else(|| counts.keys().next().copied())
    }
}
