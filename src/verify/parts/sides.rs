//! The two sides of a part: what the chain does, and what the policy's lines do.

use std::collections::{HashMap, HashSet};

use super::check::{Part, Proving, Tail, Way};
use super::cubes::Cube;
use super::points::Point;
use super::{Case, ELSEWHERE, LATER, Stage, UNKNOWN};
use crate::abi::eth;
use crate::verify::diagram::{FALSE, Full, Literal, NONE, Node, TRUE};
use crate::verify::list::Line;
use crate::verify::policy::{Allowing, Rules};
use crate::verify::possible::possible;
use crate::verify::program::Kernel;
use crate::verify::world::World;

/// A part on its way into lines.
pub struct Side<'a> {
    pub proving: &'a Proving<'a, 'a>,
    pub part: &'a Part,
    pub point: &'a Point<'a>,
    pub ways: &'a [Way<'a>],
    pub tail: Tail,
}

/// Both sides.
pub struct Sides {
    pub done: Vec<Line>,
    pub meant: Vec<Line>,
    /// What is meant for all other packets.
    pub rest: Node,
    /// Packets that need not be looked at.
    pub except: Node,
}

impl Side<'_> {
    /// Both sides, the policy's by these of its lines that stand before `end`.
    pub fn both(&self, world: &mut World, lines: &[u32], end: usize) -> Result<Sides, Full> {
        Ok(Sides {
            done: self.done(world)?,
            meant: self.meant(world, lines, end)?,
            rest: self.rest(world)?,
            except: any_cube(world, self.part.except.iter().map(Vec::as_slice))?,
        })
    }

    fn done(&self, world: &mut World) -> Result<Vec<Line>, Full> {
        let case = self.proving.case;
        let (elsewhere, later) = (world.diagram.leaf(ELSEWHERE)?, world.diagram.leaf(LATER)?);
        let mut kernel = Kernel::new(world, case.program, case.attached, false);
        for way in self.ways {
            let node = if self.tail == Tail::Later(way.to) { later } else { elsewhere };
            kernel.know(way.target.chain.index, case.reached(way.target.stage), node);
        }
        let lines = kernel.lines(self.point.chain, &case.reached(self.point.stage))?;
        Ok(lines.into_iter().filter_map(|line| unknown(world, line)).collect())
    }

    fn meant(&self, world: &mut World, lines: &[u32], end: usize) -> Result<Vec<Line>, Full> {
        let (case, stage) = (self.proving.case, self.point.stage);
        let context = case.meant(stage);
        let mut rules = Rules::new(world, case.policy, case.attach);
        let mut allows: HashMap<Allowing<'_>, Node> = HashMap::new();
        let mut list = Vec::with_capacity(lines.len());
        for at in lines.iter().take_while(|at| (**at as usize) < end) {
            let Some((found, asks)) = self.proving.lines.get(*at, stage) else { continue };
            // Rules that let packets go on are not proven by parts.
            let Some(decision) = rules.decision(found.rule, &context, &mut allows)? else { return Err(Full) };
            if asks.whole {
                list.extend(unknown(rules.world, cube(&asks.literals, decision)));
                continue;
            }
            let states = rules.states(found.rule, &context)?;
            if let Some(guard) = rules.alternative(found.alt, &states, &context)? {
                let line = guard.line(rules.world, decision)?;
                list.extend(line.and_then(|line| unknown(rules.world, line)));
            }
        }
        Ok(list)
    }

    fn rest(&self, world: &mut World) -> Result<Node, Full> {
        let case = self.proving.case;
        match self.tail {
            Tail::Later(_) => world.diagram.leaf(LATER),
            Tail::Elsewhere | Tail::None => {
                Rules::new(world, case.policy, case.attach).end_of_rules(&case.meant(self.point.stage))
            }
        }
    }

    /// What is meant and what is done, as diagrams; some cubes of packets go elsewhere.
    pub fn diagrams(
        &self,
        world: &mut World,
        sides: &Sides,
        taken: &[&[Literal]],
        end: usize,
    ) -> Result<(Node, Node), Full> {
        let elsewhere = world.diagram.leaf(ELSEWHERE)?;
        let done = world.first_of(&sides.done)?;
        let done = world.diagram.ite(sides.except, elsewhere, done)?;
        if end == 0 && self.tail == Tail::Elsewhere {
            return Ok((elsewhere, done));
        }
        let mut meant = world.first_of(&sides.meant)?;
        meant = world.diagram.first(meant, sides.rest)?;
        if self.proving.case.is_before_conntrack(self.point.stage) {
            let (is_ip, unknown) = (world.ethertype(&[eth::P_IP, eth::P_IPV6])?, world.diagram.leaf(UNKNOWN)?);
            meant = world.diagram.ite(is_ip, unknown, meant)?;
        }
        meant = self.proving.case.with_implicit(world, meant)?;
        let gone = any_cube(world, taken.iter().copied())?;
        meant = world.diagram.ite(gone, elsewhere, meant)?;
        meant = world.diagram.ite(sides.except, elsewhere, meant)?;
        if self.tail == Tail::Elsewhere {
            let away = world.diagram.where_is(done, &HashSet::from([ELSEWHERE]))?;
            meant = world.diagram.ite(away, elsewhere, meant)?;
        }
        Ok((meant, done))
    }
}

impl Case<'_> {
    /// What becomes of a packet that may be accepted without a rule. In a block without conntrack the end of the rules says so.
    pub fn with_implicit(&self, world: &mut World, node: Node) -> Result<Node, Full> {
        if self.attach.tracked() { Rules::new(world, self.policy, self.attach).or_implicit(node) } else { Ok(node) }
    }

    /// Whether conntrack is still to look at packets here, if they are IP.
    pub fn is_before_conntrack(&self, stage: Stage) -> bool {
        self.attach.tracked() && stage == Stage::Start
    }

    /// Whether the two are the same for all packets that there are.
    pub fn equal(&self, world: &mut World, meant: Node, done: Node) -> Result<bool, Full> {
        if meant == done {
            return Ok(true);
        }
        let possible = possible(world, self.policy, self.attach)?;
        Ok(world.diagram.ite(possible, meant, NONE)? == world.diagram.ite(possible, done, NONE)?)
    }
}

/// Where some of these cubes hold.
fn any_cube<'c>(world: &mut World, cubes: impl Iterator<Item = &'c [Literal]>) -> Result<Node, Full> {
    let lines: Vec<Line> = cubes.map(|literals| cube(literals, TRUE)).collect();
    let node = world.first_of(&lines)?;
    world.diagram.first(node, FALSE)
}

fn cube(literals: &[Literal], inside: Node) -> Line {
    Line { literals: Cube::from(literals), conditions: Vec::new(), inside }
}

/// The line without what is known; `None` where it never matches.
fn unknown(world: &World, mut line: Line) -> Option<Line> {
    let known = |level: u32| world.diagram.assumed(level);
    if line.literals.iter().any(|(level, value)| known(*level).is_some_and(|known| known != *value)) {
        return None;
    }
    line.literals.retain(|(level, _)| known(*level).is_none());
    line.conditions.retain(|condition| *condition != TRUE);
    (!line.conditions.contains(&FALSE)).then_some(line)
}
