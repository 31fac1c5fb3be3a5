//! Two lists of the same lines in another order, told to be the same without a diagram of what they come to.
//!
//! ```text
//! policy    A -> 1    B -> 2    C -> 3
//! chain     C -> 3    A -> 1    B -> 2        the same, where no packet is in C and in A or B
//! ```
//!
//! For each rule, the filters that decide by it are together what the rule says, but for packets that rules before it take. And of two
//! filters that share a packet, the one of the earlier rule stands first. So take a packet and the first rule that it matches: some
//! filter of that rule takes it, all filters that take it are of rules that it matches, they all share this packet, and the first
//! of them is of the first rule. What is left when no rule matches is compared as it is.

use std::collections::HashMap;
use std::ops::Range;

use crate::hash::QuickBuild;
use crate::verify::diagram::{FALSE, Full, Node, TRUE};
use crate::verify::list::Line;
use crate::verify::world::World;

/// More lines than these are not compared in pairs.
const LINES_MAX: usize = 1 << 14;

/// The lines of one rule, and the filters that decide by it.
struct Unit {
    lines: Range<usize>,
    filters: Vec<usize>,
}

/// How many of the filters decide by rules, where the lists are the same up to there for all packets but those in `except`. `None` says nothing.
///
/// # Errors
/// [`Full`]
pub fn alike(world: &mut World, lines: &[Line], filters: &[Line], except: Node) -> Result<Option<usize>, Full> {
    let Some((units, of, split)) = units(world, lines, filters) else { return Ok(None) };
    let filters = filters.get(..split).unwrap_or_default();
    if !in_order(world, filters, &of)? {
        return Ok(None);
    }
    for (at, unit) in units.iter().enumerate() {
        let before = units.get(..at).unwrap_or_default();
        if !complete(world, lines, filters, (unit, before), except)? {
            return Ok(None);
        }
    }
    Ok(Some(split))
}

/// The rules of a list, the rule of each filter, and how many filters decide by rules. `None` where that cannot be told.
fn units(world: &World, lines: &[Line], filters: &[Line]) -> Option<(Vec<Unit>, Vec<usize>, usize)> {
    let mut units: Vec<Unit> = Vec::new();
    let mut places: HashMap<Node, usize, QuickBuild> = HashMap::default();
    let mut start = 0;
    for run in lines.chunk_by(|a, b| a.inside == b.inside) {
        let inside = run.first()?.inside;
        if world.diagram.is_open(inside) || places.insert(inside, units.len()).is_some() {
            return None;
        }
        units.push(Unit { lines: start..start + run.len(), filters: Vec::new() });
        start += run.len();
    }
    let mut of = Vec::with_capacity(filters.len());
    for (at, filter) in filters.iter().enumerate() {
        let Some(place) = places.get(&filter.inside) else { break };
        units.get_mut(*place)?.filters.push(at);
        of.push(*place);
    }
    let split = of.len();
    let later = filters.iter().skip(split).any(|filter| places.contains_key(&filter.inside));
    (!later && lines.len().max(split) <= LINES_MAX).then_some((units, of, split))
}

/// Whether of two filters that share a packet the one of the earlier rule stands first.
fn in_order(world: &mut World, filters: &[Line], of: &[usize]) -> Result<bool, Full> {
    let rows: Vec<Row> = filters.iter().map(Row::of).collect();
    for (at, (row, own)) in rows.iter().zip(of).enumerate() {
        for (earlier, (other, unit)) in rows.iter().zip(of).enumerate().take(at) {
            if unit > own && row.meets(other) {
                let pair = (filters.get(at), filters.get(earlier));
                if let (Some(one), Some(other)) = pair
                    && share(world, one, other)?
                {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// The literals of a line as bits, for a quick look.
struct Row {
    words: Vec<(u64, u64)>,
}

impl Row {
    fn of(line: &Line) -> Self {
        let last = line.literals.last().map_or(0, |(level, _)| *level as usize);
        let mut words = vec![(0, 0); last / 64 + 1];
        for (level, value) in &line.literals {
            if let Some((mask, bits)) = words.get_mut(*level as usize / 64) {
                *mask |= 1 << (level % 64);
                *bits |= u64::from(*value) << (level % 64);
            }
        }
        Self { words }
    }

    /// Whether no literal of one contradicts one of the other.
    fn meets(&self, other: &Self) -> bool {
        let pairs = self.words.iter().zip(&other.words);
        pairs.into_iter().all(|((mask, bits), (others, other))| mask & others & (bits ^ other) == 0)
    }
}

/// Whether a packet satisfies both lines, whose literals agree.
fn share(world: &mut World, one: &Line, other: &Line) -> Result<bool, Full> {
    let mut both = TRUE;
    for condition in one.conditions.iter().chain(&other.conditions) {
        both = world.diagram.and(*condition, both)?;
    }
    let mut literals = [one.literals.as_slice(), &other.literals].concat();
    literals.sort_unstable();
    literals.dedup();
    let cube = world.diagram.cube(&literals, TRUE, FALSE)?;
    Ok(both == TRUE || world.diagram.and(cube, both)? != FALSE)
}

/// Whether the filters of a rule are what it says, but for packets that rules before it take.
fn complete(
    world: &mut World,
    lines: &[Line],
    filters: &[Line],
    (unit, before): (&Unit, &[Unit]),
    except: Node,
) -> Result<bool, Full> {
    let own = lines.get(unit.lines.clone()).unwrap_or_default();
    let made: Vec<&Line> = unit.filters.iter().filter_map(|at| filters.get(*at)).collect();
    if let ([line], [filter]) = (own, made.as_slice())
        && (&line.literals, &line.conditions) == (&filter.literals, &filter.conditions)
    {
        return Ok(true);
    }
    let said = any(world, own.iter())?;
    let said = world.diagram.ite(except, FALSE, said)?;
    let made = any(world, made.into_iter())?;
    let made = world.diagram.ite(except, FALSE, made)?;
    if world.diagram.ite(said, FALSE, made)? != FALSE {
        return Ok(false);
    }
    let mut missing = world.diagram.ite(made, FALSE, said)?;
    for earlier in before.iter().rev() {
        if missing == FALSE {
            break;
        }
        let earlier = lines.get(earlier.lines.clone()).unwrap_or_default();
        if !own.iter().any(|line| earlier.iter().any(|other| Row::of(line).meets(&Row::of(other)))) {
            continue;
        }
        let taken = any(world, earlier.iter())?;
        missing = world.diagram.ite(taken, FALSE, missing)?;
    }
    Ok(missing == FALSE)
}

/// Packets that some line matches.
fn any<'l>(world: &mut World, lines: impl Iterator<Item = &'l Line>) -> Result<Node, Full> {
    let lines: Vec<Line> = lines.map(|line| Line { inside: TRUE, ..line.clone() }).collect();
    let node = world.first_of(&lines)?;
    world.diagram.first(node, FALSE)
}
