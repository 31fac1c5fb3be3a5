//! One part of a proof: a chain and its lines of the policy, for the packets of one region.

use std::collections::HashSet;

use super::cubes::{Cube, Shares, both, implies, left, share};
use super::lines::Lines;
use super::order::alike;
use super::points::{Point, cubes as cubes_of};
use super::sides::{Side, Sides};
use super::{Case, ELSEWHERE};
use crate::verify::diagram::{Diagram, FALSE, Full, Literal, NONE, TRUE};
use crate::verify::world::World;

/// What is to be shown: that packets of the region, but for those excepted, are treated by the chain as by the lines from one on.
#[derive(Default)]
pub struct Part {
    pub point: usize,
    pub from: usize,
    pub region: Cube,
    pub except: Vec<Cube>,
    /// Lines from that one on that packets of the region can match, but for those that are left to a later chain.
    pub lines: Vec<u32>,
    /// Whether it is shown once, of all packets that come to the chain.
    pub standing: bool,
}

/// What a part came to.
#[derive(Default)]
pub struct Shown {
    /// What is still to be shown for it.
    pub parts: Vec<Part>,
    /// Chains that stand for the policy from their first line on: to be shown once.
    pub later: Vec<usize>,
    /// Lines looked at.
    pub work: usize,
    /// Nodes stored, and steps taken.
    pub nodes: usize,
    pub steps: usize,
    /// What the chain decides itself, where it leaves all else to another part.
    decided: Vec<Cube>,
}

/// Why a part was not shown.
pub enum Stop {
    /// It takes too much.
    Full,
    /// The two sides differ, or do not go together in this way.
    Unlike,
}

impl From<Full> for Stop {
    fn from(Full: Full) -> Self {
        Self::Full
    }
}

/// All that is known of a block.
pub struct Proving<'c, 'p> {
    pub case: &'c Case<'p>,
    pub lines: Lines<'p>,
    pub points: Vec<Point<'p>>,
    /// Chains that do not stand for the policy from their first line on.
    pub fallen: HashSet<usize>,
}

/// A goto as it stands in a part: where to, and which packets besides what is known.
pub struct Way<'a> {
    pub to: usize,
    pub target: &'a Point<'a>,
    pub cubes: Vec<Cube>,
}

/// What becomes of packets that no other filter of a chain takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// The chain decides them all.
    None,
    /// They go to a chain that stands for the policy from its first line on.
    Later(usize),
    /// They go to a chain that is another part.
    Elsewhere,
}

impl Proving<'_, '_> {
    /// The first part: everything.
    pub fn whole(&self) -> Part {
        Part { standing: false, ..self.all(0, 0) }
    }

    /// That a chain stands for the policy from its first line on.
    pub fn standing(&self, point: usize) -> Part {
        self.all(point, self.points.get(point).map_or(0, |point| point.first))
    }

    /// All packets that come to a chain.
    fn all(&self, at: usize, from: usize) -> Part {
        let Some(point) = self.points.get(at) else { return Part::default() };
        let lines = self.lines.within(from, point.limit, point.stage, &point.region);
        Part { point: at, from, region: point.region.clone(), except: Vec::new(), lines, standing: true }
    }

    /// Shows a part, all that it leaves to others given.
    pub fn show(&self, part: &Part) -> Result<Shown, Stop> {
        let point = self.points.get(part.point).ok_or(Stop::Unlike)?;
        let ways = point.gotos.iter().filter_map(|goto| {
            let cubes = goto.cubes.iter().filter_map(|cube| left(cube, &part.region)).collect();
            Some(Way { to: goto.to, target: self.points.get(goto.to)?, cubes })
        });
        let mut ways: Vec<Way<'_>> = ways.collect();
        let Some(last) = ways.iter().position(|way| way.cubes.iter().any(Vec::is_empty)) else {
            return self.attempt(part, point, &ways, Tail::None);
        };
        // What stands behind it takes no packet: those in the cubes there are its, too.
        ways.truncate(last + 1);
        let Some(last) = ways.last() else { return Err(Stop::Unlike) };
        let own = point.only_gotos && last.target.entries == 1;
        if !own && self.stands(last, point, part) {
            match self.attempt(part, point, &ways, Tail::Later(last.to)) {
                Err(Stop::Unlike) => {}
                done => return done,
            }
        }
        self.attempt(part, point, &ways, Tail::Elsewhere)
    }

    /// Whether a chain may stand for the policy from its first line on, for packets of this part.
    fn stands(&self, way: &Way<'_>, from: &Point<'_>, part: &Part) -> bool {
        let target = way.target;
        target.tails > 0
            && target.stage == from.stage
            && target.first >= part.from
            && implies(&part.region, &target.region)
            && !self.fallen.contains(&way.to)
    }

    fn attempt(&self, part: &Part, point: &Point<'_>, ways: &[Way<'_>], tail: Tail) -> Result<Shown, Stop> {
        // Cubes of packets that go elsewhere; one of no literals is the tail's.
        let cubes: Vec<(&Way<'_>, &Cube)> = ways
            .iter()
            .filter(|way| tail != Tail::Later(way.to))
            .flat_map(|way| way.cubes.iter().map(move |cube| (way, cube)))
            .collect();
        let taken: Vec<&[Literal]> =
            cubes.iter().map(|(_, cube)| cube.as_slice()).filter(|cube| !cube.is_empty()).collect();
        let end = match tail {
            Tail::Later(to) => self.points.get(to).map_or(0, |point| point.first),
            Tail::Elsewhere if point.only_gotos => 0,
            Tail::None | Tail::Elsewhere => self.lines.all.len(),
        };
        let more = (end > point.limit).then(|| self.lines.within(part.from, end, point.stage, &part.region));
        let lines = more.as_ref().unwrap_or(&part.lines);
        let shares = share(lines, |at| self.lines.literals(at, point.stage), &taken).ok_or(Stop::Full)?;
        let filters = point.chain.filters.len();
        let mut shown = Shown { work: shares.work + filters + part.except.len(), ..Shown::default() };
        let mut diagram = Diagram::new(self.case.nodes, part.region.clone());
        diagram.allow_steps(self.case.steps);
        let mut world = World::new(self.case.vars.clone(), true, diagram);
        let side = Side { proving: self, part, point, ways, tail };
        let sides = side.both(&mut world, &shares.rest, end)?;
        let one_list = tail != Tail::Elsewhere && taken.is_empty() && !self.case.is_before_conntrack(point.stage);
        if !one_list || !self.in_order(&mut world, &sides, &mut shown)? {
            let (meant, done) = side.diagrams(&mut world, &sides, &taken, end)?;
            if !self.case.equal(&mut world, meant, done)? {
                return Err(Stop::Unlike);
            }
            if tail == Tail::Elsewhere && end > 0 {
                let decided = world.diagram.where_is(done, &HashSet::from([ELSEWHERE]))?;
                let decided = world.diagram.ite(decided, FALSE, TRUE)?;
                shown.decided = cubes_of(&world.diagram, decided).ok_or(Stop::Unlike)?;
            }
        }
        shown.nodes = world.diagram.size();
        shown.steps = self.case.steps.saturating_sub(world.diagram.steps_left());
        if let Tail::Later(to) = tail {
            shown.later.push(to);
        }
        self.others(part, point, &cubes, shares, &mut shown);
        Ok(shown)
    }

    /// Whether the two sides are the same lines in another order.
    fn in_order(&self, world: &mut World, sides: &Sides, shown: &mut Shown) -> Result<bool, Full> {
        // What is accepted without a rule stands before the rules, so only where no packet is that.
        let pairs = sides.done.len().saturating_mul(sides.done.len());
        shown.work = shown.work.saturating_add(pairs / 256);
        let open = world.diagram.leaf(ELSEWHERE)?;
        let implicit = self.case.with_implicit(world, open)?;
        if !self.case.equal(world, implicit, open)? {
            return Ok(false);
        }
        let Some(split) = alike(world, &sides.meant, &sides.done, sides.except)? else { return Ok(false) };
        if sides.meant.iter().any(|line| line.literals.is_empty() && line.conditions.is_empty()) {
            // Nothing is left.
            return Ok(true);
        }
        let done = world.first_of(sides.done.get(split..).unwrap_or_default())?;
        let meant = world.diagram.ite(sides.except, NONE, sides.rest)?;
        let done = world.diagram.ite(sides.except, NONE, done)?;
        self.case.equal(world, meant, done)
    }

    /// What the part leaves to others.
    fn others(
        &self,
        part: &Part,
        point: &Point<'_>,
        cubes: &[(&Way<'_>, &Cube)],
        Shares { of, rest, .. }: Shares,
        shown: &mut Shown,
    ) {
        let mut of = of.into_iter();
        let decided = std::mem::take(&mut shown.decided);
        for (way, cube) in cubes {
            let tail = cube.is_empty();
            let lines = if tail { rest.clone() } else { of.next().unwrap_or_default() };
            let mut except: Vec<Cube> = part.except.iter().filter_map(|other| left(other, cube)).collect();
            if except.iter().any(Vec::is_empty) {
                continue;
            }
            if tail {
                let taken = cubes.iter().map(|(_, cube)| *cube).filter(|cube| !cube.is_empty());
                except.extend(taken.chain(&decided).cloned());
            }
            let region = both(&part.region, cube);
            let target = way.target;
            // Behind conntrack all lines count: before it, no line decides what goes there.
            let staged = target.stage != point.stage;
            let from = if staged { 0 } else { part.from };
            let mut next = Part { point: way.to, from, region, except, lines, standing: false };
            let end = target.limit.max(target.first);
            if staged || end > point.limit {
                next.lines = self.lines.within(from, end, target.stage, &next.region);
            }
            // Nothing is decided before that chain's first line.
            let skips = |next: &Part| next.lines.first().is_none_or(|line| *line as usize >= target.first);
            if !tail && self.stands(way, point, &next) && skips(&next) {
                shown.later.push(way.to);
                continue;
            }
            next.lines.retain(|line| (*line as usize) < target.limit);
            shown.work += next.lines.len() + next.except.len();
            shown.parts.push(next);
        }
    }
}
