//! First-match lists of products of sets as diagrams.
//!
//! ```text
//! before   A x B -> a   A x C -> b   D x B -> c
//! after    where the first field is in A only: B -> a  C -> b     in D only: B -> c     in both: B -> a  C -> b  B -> c
//! ```
//!
//! The values of the first field are sorted by which of the sets asked of it they are in, all sets at once; what is left of the lines is
//! worked out for each such class, once. So rules that share sets are never joined one by one, and nothing is stored that is not part of
//! what the list comes to. Where lines have little in common there may be very many classes: that is given up after so much work, and
//! the list made otherwise ([`super::list`]).

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::diagram::{FALSE, Full, NONE, Node, TRUE};
use super::list::Line;
use super::world::World;
use crate::hash::QuickBuild;

/// Steps for each set of the list, and for any list: less than joining the lines would take.
const WORK: (usize, usize) = (48, 3_000_000);

/// Lines that share a set, on the average, from which on this pays.
const SHARED_MIN: usize = 4;

/// Why a list was not made.
enum Stop {
    Full,
    Long,
}

impl From<Full> for Stop {
    fn from(Full: Full) -> Self {
        Self::Full
    }
}

/// A line: conditions in the order of their first variables, and how many of them are known to hold.
#[derive(Clone)]
struct Row {
    conditions: Rc<[Node]>,
    known: usize,
    inside: Node,
}

impl Row {
    fn left(&self) -> &[Node] {
        self.conditions.get(self.known..).unwrap_or_default()
    }
}

/// Conditions of one field that may still hold (numbers), with what is left of each.
type Alive = Vec<(usize, Node)>;

/// The sorting of one field.
struct Sorting<'r> {
    rows: &'r [Row],
    /// The first level behind the field.
    end: u32,
    /// For each condition, the rows that ask it.
    asking: Vec<Vec<usize>>,
    /// For each row, how many of these conditions it asks.
    asked: Vec<usize>,
    /// Rows that ask none.
    free: Vec<usize>,
    known: HashMap<Alive, Node, QuickBuild>,
}

impl World {
    /// First match of lines with conditions; `None` where that takes too long.
    ///
    /// # Errors
    /// [`Full`]
    pub(super) fn products(&mut self, lines: &[Line]) -> Result<Option<Node>, Full> {
        let behind = self.vars.behind_header();
        // Where what a line comes to asks the header once more, its place is not behind the conditions.
        if lines.iter().any(|line| self.diagram.asks(line.inside, behind - 1)) {
            return Ok(None);
        }
        let sets: usize = lines.iter().map(|line| line.conditions.len()).sum();
        let distinct: HashSet<Node, QuickBuild> =
            lines.iter().flat_map(|line| line.conditions.iter().copied()).collect();
        if sets < SHARED_MIN * distinct.len() {
            return Ok(None);
        }
        self.sorted_rows(lines, &mut (WORK.0 * sets + WORK.1))
    }

    fn sorted_rows(&mut self, lines: &[Line], work: &mut usize) -> Result<Option<Node>, Full> {
        let mut rows = Vec::with_capacity(lines.len());
        for line in lines {
            let mut conditions = line.conditions.clone();
            for chunk in line.literals.chunk_by(|(a, _), (b, _)| *b < self.vars.field_end(*a)) {
                conditions.push(self.diagram.cube(chunk, TRUE, FALSE)?);
            }
            // What is taken as known may have made a condition of them that always holds, or never does.
            conditions.retain(|node| *node != TRUE);
            if conditions.contains(&FALSE) {
                continue;
            }
            conditions.sort_by_key(|node| self.top(*node));
            rows.push(Row { conditions: conditions.into(), known: 0, inside: line.inside });
        }
        match self.decide(&rows, work) {
            Ok(node) => Ok(Some(node)),
            Err(Stop::Long) => Ok(None),
            Err(Stop::Full) => Err(Full),
        }
    }

    /// The first variable that a function asks.
    fn top(&self, node: Node) -> u32 {
        self.diagram.branches(node).map_or(u32::MAX, |(level, ..)| level)
    }

    fn decide(&mut self, rows: &[Row], work: &mut usize) -> Result<Node, Stop> {
        // Lines that hold for all that is left, up to the first that lets nothing go on.
        let certain = rows.iter().take_while(|row| row.left().is_empty());
        let closed = certain.clone().position(|row| !self.diagram.is_open(row.inside));
        let count = closed.map_or_else(|| certain.count(), |at| at + 1);
        let (certain, rest) = rows.split_at_checked(count).unwrap_or((rows, &[]));
        let mut node = if closed.is_some() || rest.is_empty() { NONE } else { self.sorted(rest, work)? };
        for row in certain.iter().rev() {
            node = self.diagram.first(row.inside, node)?;
        }
        Ok(node)
    }

    /// The list, sorted by the first field that it asks.
    fn sorted(&mut self, rows: &[Row], work: &mut usize) -> Result<Node, Stop> {
        let first = rows.iter().flat_map(Row::left).map(|node| self.top(*node)).min().unwrap_or(0);
        let end = self.vars.field_end(first);
        let mut numbers: HashMap<Node, usize, QuickBuild> = HashMap::default();
        let mut alive = Alive::new();
        let mut sorting = Sorting {
            rows,
            end,
            asking: Vec::new(),
            asked: Vec::with_capacity(rows.len()),
            free: Vec::new(),
            known: HashMap::default(),
        };
        for (at, row) in rows.iter().enumerate() {
            let here = row.left().iter().take_while(|node| self.top(**node) < end);
            let mut asked = 0;
            for node in here {
                asked += 1;
                let number = *numbers.entry(*node).or_insert_with(|| {
                    alive.push((alive.len(), *node));
                    sorting.asking.push(Vec::new());
                    sorting.asking.len() - 1
                });
                if let Some(rows) = sorting.asking.get_mut(number) {
                    rows.push(at);
                }
            }
            sorting.asked.push(asked);
            if asked == 0 {
                sorting.free.push(at);
            }
        }
        self.by_value(&mut sorting, alive, work)
    }

    /// What becomes of the values for which these conditions may still hold.
    fn by_value(&mut self, sorting: &mut Sorting<'_>, alive: Alive, work: &mut usize) -> Result<Node, Stop> {
        if let Some(node) = sorting.known.get(&alive) {
            return Ok(*node);
        }
        *work = work.checked_sub(alive.len() + 1).ok_or(Stop::Long)?;
        let level = alive.iter().map(|(_, node)| self.top(*node)).filter(|level| *level < sorting.end).min();
        let Some(level) = level else {
            let node = self.class(sorting, &alive, work)?;
            sorting.known.insert(alive, node);
            return Ok(node);
        };
        let side = |world: &Self, high: bool| -> Alive {
            let of = |(number, node): &(usize, Node)| {
                let next = match world.diagram.branches(*node) {
                    Some((own, _, branch)) if own == level && high => branch,
                    Some((own, branch, _)) if own == level => branch,
                    _ => *node,
                };
                (next != FALSE).then_some((*number, next))
            };
            alive.iter().filter_map(of).collect()
        };
        let node = if let Some(value) = self.diagram.assumed(level) {
            let side = side(self, value);
            self.by_value(sorting, side, work)?
        } else {
            let (low, high) = (side(self, false), side(self, true));
            let (low, high) = (self.by_value(sorting, low, work)?, self.by_value(sorting, high, work)?);
            if self.diagram.asks(low, level) || self.diagram.asks(high, level) {
                let variable = self.variable(level)?;
                self.diagram.ite(variable, high, low)?
            } else {
                self.diagram.node(level, low, high)?
            }
        };
        sorting.known.insert(alive, node);
        Ok(node)
    }

    /// What becomes of a value for which these conditions hold, as far as the field tells.
    fn class(&mut self, sorting: &Sorting<'_>, alive: &Alive, work: &mut usize) -> Result<Node, Stop> {
        let rows_of = |number: usize| sorting.asking.get(number).into_iter().flatten();
        let mut hits: Vec<(usize, Node)> =
            alive.iter().flat_map(|(number, node)| rows_of(*number).map(|row| (*row, *node))).collect();
        hits.extend(sorting.free.iter().map(|row| (*row, TRUE)));
        hits.sort_unstable();
        *work = work.checked_sub(hits.len()).ok_or(Stop::Long)?;
        let mut rows = Vec::with_capacity(hits.len());
        for hits in hits.chunk_by(|(a, _), (b, _)| a == b) {
            let Some(at) = hits.first().map(|(at, _)| *at) else { continue };
            let (Some(row), Some(asked)) = (sorting.rows.get(at), sorting.asked.get(at)) else { continue };
            if hits.len() != (*asked).max(1) {
                continue;
            }
            let known = row.known + asked;
            let open: Vec<Node> = hits.iter().map(|(_, node)| *node).filter(|node| *node != TRUE).collect();
            let mut row = Row { known, ..row.clone() };
            if !open.is_empty() {
                let mut conditions = [open.as_slice(), row.left()].concat();
                conditions.sort_by_key(|node| self.top(*node));
                row = Row { conditions: conditions.into(), known: 0, ..row };
            }
            let last = row.left().is_empty() && !self.diagram.is_open(row.inside);
            rows.push(row);
            if last {
                break;
            }
        }
        self.decide(&rows, work)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::diagram::{Diagram, Literal};
    use super::super::names::Names;
    use super::super::vars::Vars;
    use super::*;
    use crate::field::{Cond, Field};

    /// A world of what these conditions name; one bit of the sources may be taken as known.
    fn world(conds: &[(Field, Cond)], assumed: Option<bool>) -> World {
        let mut names = Names::default();
        for (field, cond) in conds {
            names.cond(*field, *cond);
        }
        let vars = Vars::new(&names);
        let (alphabet, base) = vars.field(Field::Ipv4Src).unwrap();
        let assumed = assumed.filter(|_| alphabet.width() > 0).map(|value| (base, value));
        World::new(vars, false, Diagram::new(1 << 20, assumed.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn a_list_is_what_its_lines_come_to_one_by_one(
            rules in proptest::collection::vec((
                proptest::collection::vec((0u128..16, 0u8..=4), 1..4),
                proptest::collection::vec((0u128..16, 0u8..=4), 1..4),
                proptest::option::of(0u128..16),
                proptest::bool::ANY,
            ), 1..12),
            assumed in proptest::option::of(proptest::bool::ANY),
        ) {
            let cond = |(value, length): &(u128, u8)| {
                let mask = 0xffff_fff0 | (0xf0 >> length & 0xf);
                Cond::Bits { value: value & mask, mask }
            };
            let sets: Vec<_> = rules.iter().map(|(src, dst, ..)| {
                (src.iter().map(cond).collect::<Vec<_>>(), dst.iter().map(cond).collect::<Vec<_>>())
            }).collect();
            let port = |port: u128| Cond::exact(Field::DstPort, port);
            let mut all = Vec::new();
            for ((src, dst), (.., named, _)) in sets.iter().zip(&rules) {
                all.extend(src.iter().map(|cond| (Field::Ipv4Src, *cond)));
                all.extend(dst.iter().map(|cond| (Field::Ipv4Dst, *cond)));
                all.extend(named.map(|named| (Field::DstPort, port(named))));
            }
            let mut world = world(&all, assumed);
            let open = world.variable(world.vars.behind_header()).unwrap();
            let mut lines = Vec::new();
            for ((src, dst), (.., named, whole)) in sets.iter().zip(&rules) {
                let conditions = vec![
                    world.any(Field::Ipv4Src, None, src).unwrap(),
                    world.any(Field::Ipv4Dst, None, dst).unwrap(),
                ];
                // What never holds is no line (`Guard::line`).
                if conditions.contains(&FALSE) {
                    continue;
                }
                let literals: Vec<Literal> =
                    named.map_or_else(Vec::new, |named| world.literals(Field::DstPort, None, named, 0xffff).unwrap());
                let inside = world.diagram.leaf(10 + u32::try_from(lines.len()).unwrap()).unwrap();
                let inside = if *whole { inside } else { world.diagram.ite(open, inside, NONE).unwrap_or(inside) };
                lines.push(Line { literals, conditions, inside });
            }
            let made = world.sorted_rows(&lines, &mut usize::MAX.clone()).unwrap().unwrap();
            let mut one_by_one = NONE;
            for line in lines.iter().rev() {
                let mut node = line.inside;
                for condition in &line.conditions {
                    node = world.diagram.ite(*condition, node, NONE).unwrap();
                }
                let node = world.diagram.cube(&line.literals, node, NONE).unwrap();
                one_by_one = world.diagram.first(node, one_by_one).unwrap();
            }
            prop_assert_eq!(made, one_by_one);
        }
    }
}
