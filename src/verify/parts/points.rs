//! The chains of a block as places that packets come to, each with what is known of all packets there.

use std::collections::HashMap;

use super::cubes::{Cube, both, common, left};
use super::lines::Lines;
use super::{Case, Stage};
use crate::emit::program::{Action, Chain, Control, Ct, Filter};
use crate::verify::chains::{controls, prios};
use crate::verify::diagram::{Diagram, Full, Literal, Node, TRUE};
use crate::verify::program::Kernel;
use crate::verify::world::World;

/// Cubes that one filter's keys may be.
const CUBES_MAX: usize = 64;

/// A chain.
pub struct Point<'p> {
    pub chain: &'p Chain,
    /// What has happened to packets before.
    pub stage: Stage,
    /// What all packets that come here have in common.
    pub region: Cube,
    /// Its filters that send packets on, in the order in which the kernel tries them.
    pub gotos: Vec<Goto>,
    /// Whether it has no other filters.
    pub only_gotos: bool,
    /// Filters that lead here.
    pub entries: usize,
    /// Those that take what is left in a chain that decides by itself, too: most of them hand on what later lines of a list cut in two decide.
    pub tails: usize,
    /// The first line of the policy that it, or a chain behind it, decides by.
    pub first: usize,
    /// The line from which on the policy is left to a later chain.
    pub limit: usize,
}

/// A filter that sends packets on.
pub struct Goto {
    /// Which point.
    pub to: usize,
    /// Which packets: any of these.
    pub cubes: Vec<Cube>,
}

/// All chains that packets come to, each behind those that lead there. `None` where some filter does more than can be followed by parts.
pub fn points<'p>(case: &Case<'p>, lines: &Lines<'p>) -> Option<Vec<Point<'p>>> {
    let mut visit = Visit { case, order: Vec::new(), places: HashMap::new() };
    visit.chain(&case.attached.entry, Stage::Start)?;
    let Visit { mut order, .. } = visit;
    order.reverse();
    let places: HashMap<u32, usize> = order.iter().enumerate().map(|(at, (chain, _))| (chain.index, at)).collect();
    let mut world = World::new(case.vars.clone(), true, Diagram::new(case.nodes, Vec::new()));
    let mut points = Vec::with_capacity(order.len());
    for (chain, stage) in order {
        let mut kernel = Kernel::new(&mut world, case.program, case.attached, false);
        let context = case.reached(stage);
        let mut gotos = Vec::new();
        for filter in prios(chain).into_iter().flatten() {
            let Onward::To(next, _) = onward(filter, case, stage) else { continue };
            let guard = kernel.guard(filter, &context).ok()?;
            let cubes = match guard.clone().into_literals() {
                None => Vec::new(),
                Some((cube, true)) => vec![cube],
                Some(_) => {
                    let node = guard.node(kernel.world).ok()?;
                    cubes(&kernel.world.diagram, node)?
                }
            };
            gotos.push(Goto { to: *places.get(&next)?, cubes });
        }
        let only_gotos = gotos.len() == chain.filters.len();
        let first = chain.filters.iter().filter_map(|filter| lines.first_of(case.program.rules.get(filter.rule)?));
        let first = first.min().unwrap_or(usize::MAX);
        let (region, entries, tails, limit) = (Vec::new(), 0, 0, 0);
        points.push(Point { chain, stage, region, gotos, only_gotos, entries, tails, first, limit });
    }
    regions(&mut points);
    places_in_policy(&mut points, lines.all.len());
    Some(points)
}

/// What all packets have in common that come to each point.
fn regions(points: &mut [Point<'_>]) {
    let mut found: Vec<Option<Cube>> = vec![None; points.len()];
    let mut entries = vec![(0, 0); points.len()];
    if let Some(entry) = found.first_mut() {
        *entry = Some(Vec::new());
    }
    for (at, point) in points.iter().enumerate() {
        let here = found.get(at).cloned().flatten().unwrap_or_default();
        for goto in &point.gotos {
            if let Some((entries, tails)) = entries.get_mut(goto.to) {
                *entries += 1;
                *tails += usize::from(!point.only_gotos && goto.cubes.iter().any(Vec::is_empty));
            }
            let Some(region) = found.get_mut(goto.to) else { continue };
            for cube in goto.cubes.iter().filter_map(|cube| left(cube, &here)) {
                let there = both(&here, &cube);
                *region = Some(region.as_ref().map_or_else(|| there.clone(), |known| common(known, &there)));
            }
        }
    }
    for (point, (region, entries)) in points.iter_mut().zip(found.into_iter().zip(entries)) {
        point.region = region.unwrap_or_default();
        (point.entries, point.tails) = entries;
    }
}

/// Where each point stands in the policy, the last first.
fn places_in_policy(points: &mut [Point<'_>], all: usize) {
    for at in (0..points.len()).rev() {
        let Some((front, behind)) = points.split_at_mut_checked(at + 1) else { continue };
        let Some(point) = front.last_mut() else { continue };
        let next = |to: usize| behind.get(to.checked_sub(at + 1)?);
        let (mut first, mut limit) = (point.first.min(all), 0);
        let tail = point.gotos.iter().position(|goto| goto.cubes.iter().any(Vec::is_empty));
        for (number, goto) in point.gotos.iter().enumerate() {
            let Some(target) = next(goto.to) else { continue };
            if target.stage == point.stage {
                first = first.min(target.first);
            }
            let handed_on = tail == Some(number) && target.tails > 0 && !(point.only_gotos && target.entries == 1);
            limit = limit.max(if handed_on { target.first } else { target.limit });
        }
        point.first = first;
        point.limit = if tail.is_some() { limit } else { all };
    }
}

/// What a filter does, as far as it sends packets on.
enum Onward {
    /// It decides.
    No,
    /// It does nothing else.
    To(u32, Stage),
    /// It does more.
    More,
}

fn onward(filter: &Filter, case: &Case<'_>, stage: Stage) -> Onward {
    match filter.actions.as_slice() {
        [Action::Gact(Control::Goto(next))] => return Onward::To(*next, stage),
        [Action::Ct(Ct::Track { zone, nat: false }, Control::Pipe), Action::Gact(Control::Goto(next))]
        | [Action::Ct(Ct::Track { zone, nat: false }, Control::Goto(next))]
            if stage == Stage::Start && case.zone == Some(*zone) =>
        {
            return Onward::To(*next, Stage::Tracked);
        }
        _ => {}
    }
    let tracks = filter.actions.iter().any(|action| matches!(action, Action::Ct(Ct::Track { .. }, _)));
    let leads = controls(filter).any(|control| matches!(control, Control::Goto(_) | Control::Continue));
    if tracks || leads { Onward::More } else { Onward::No }
}

/// A walk over the chains, in which each is noted behind those that it leads to.
struct Visit<'c, 'p> {
    case: &'c Case<'p>,
    order: Vec<(&'p Chain, Stage)>,
    places: HashMap<u32, Stage>,
}

impl<'p> Visit<'_, 'p> {
    fn chain(&mut self, chain: &'p Chain, stage: Stage) -> Option<()> {
        if let Some(known) = self.places.get(&chain.index) {
            return (*known == stage).then_some(());
        }
        self.places.insert(chain.index, stage);
        for filter in &chain.filters {
            match onward(filter, self.case, stage) {
                Onward::No => {}
                Onward::To(next, stage) => self.chain(self.case.attached.chain(next)?, stage)?,
                Onward::More => return None,
            }
        }
        self.order.push((chain, stage));
        Some(())
    }
}

/// The ways on which a condition holds; `None` where they are many.
pub fn cubes(diagram: &Diagram, node: Node) -> Option<Vec<Cube>> {
    fn walk(diagram: &Diagram, node: Node, way: &mut Vec<Literal>, found: &mut Vec<Cube>) -> Result<(), Full> {
        let Some((level, low, high)) = diagram.branches(node) else {
            if node == TRUE {
                found.push(way.clone());
            }
            return if found.len() > CUBES_MAX { Err(Full) } else { Ok(()) };
        };
        for (value, next) in [(false, low), (true, high)] {
            way.push((level, value));
            walk(diagram, next, way, found)?;
            way.pop();
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(diagram, node, &mut Vec::new(), &mut found).ok()?;
    Some(found)
}
