//! First-match lists as diagrams.
//!
//! ```text
//! before   00 -> a   11 -> b   1* -> c
//! after    where the first bit is 0: 0 -> a      where it is 1: 1 -> b   * -> c
//! ```
//!
//! Where every line asks the next variable, the list is two shorter lists, one for each value: no line is stored that is not part of what
//! the list comes to. Elsewhere its halves are worked out and joined; lines that lead to diagrams which ask the same variables (gotos) are
//! followed side by side.

use std::collections::HashMap;

use super::diagram::{FALSE, Full, Literal, NONE, Node, TRUE};
use super::vars::View;
use super::world::World;
use crate::field::value::prefixes;
use crate::field::{Cond, Field};
use crate::hash::QuickBuild;

/// A line: what it comes to where its literals (ascending) and its conditions hold.
#[derive(Clone, Debug)]
pub struct Line {
    /// What must hold.
    pub literals: Vec<Literal>,
    /// What else must hold of the header.
    pub conditions: Vec<Node>,
    /// What then.
    pub inside: Node,
}

impl Line {
    /// Where these hold.
    fn cube(literals: Vec<Literal>) -> Self {
        Self { literals, conditions: Vec::new(), inside: TRUE }
    }
}

/// What is left of a line.
type Left<'l> = (&'l [Literal], Node);

fn lefts(lines: &[Line]) -> Vec<Left<'_>> {
    lines.iter().map(|line| (line.literals.as_slice(), line.inside)).collect()
}

/// So many lines are followed side by side.
const ABREAST: usize = 64;
/// Most parts of lines that are remembered: about 100 MB.
const KNOWN_MAX: usize = 1 << 22;

/// What lists of parts of lines came to. Never iterated.
#[derive(Default)]
struct Known {
    nodes: HashMap<Vec<(usize, usize, Node)>, Node, QuickBuild>,
    parts: usize,
}

impl Known {
    fn learn(&mut self, key: Vec<(usize, usize, Node)>, node: Node) {
        if self.parts > KNOWN_MAX {
            self.nodes.clear();
            self.parts = 0;
        }
        self.parts += key.len();
        self.nodes.insert(key, node);
    }
}

impl World {
    /// First match: what the first of these says that is not [`NONE`].
    ///
    /// # Errors
    /// [`Full`], as of all that makes nodes.
    pub fn first_of(&mut self, lines: &[Line]) -> Result<Node, Full> {
        if lines.iter().all(|line| line.conditions.is_empty()) {
            return self.first_of_cubes(lines);
        }
        if let Some(node) = self.products(lines)? {
            return Ok(node);
        }
        let mut cubes = Vec::with_capacity(lines.len());
        for Line { literals, conditions, inside } in lines {
            let mut inside = *inside;
            for condition in conditions {
                inside = self.diagram.ite(*condition, inside, NONE)?;
            }
            cubes.push(Line { literals: literals.clone(), conditions: Vec::new(), inside });
        }
        self.first_of_cubes(&cubes)
    }

    /// The same of lines without conditions.
    fn first_of_cubes(&mut self, lines: &[Line]) -> Result<Node, Full> {
        let mut parts = Vec::new();
        let alike: Vec<&[Line]> = lines.chunk_by(|a, b| self.asks_early(a) == self.asks_early(b)).collect();
        for part in alike {
            if !part.first().is_some_and(|line| self.asks_early(line)) {
                parts.push(self.left(lefts(part))?);
                continue;
            }
            let runs: Vec<&[Line]> = part.chunk_by(|a, b| a.inside == b.inside).collect();
            for runs in runs.chunks(ABREAST) {
                let list = runs.iter().map(|run| self.run(run)).collect::<Result<Vec<_>, _>>()?;
                parts.push(self.abreast(list, &mut Known::default())?);
            }
        }
        self.joined(&parts)
    }

    /// Whether what the line comes to asks variables before its last literal: the state of a connection stands before all headers.
    fn asks_early(&self, line: &Line) -> bool {
        line.literals.last().is_some_and(|(last, _)| self.diagram.asks(line.inside, *last))
    }

    /// Lines that all come to the same, as one.
    fn run<'l>(&mut self, lines: &'l [Line]) -> Result<Left<'l>, Full> {
        match lines {
            [] => Ok((&[], NONE)),
            [line] => Ok((&line.literals, line.inside)),
            [line, ..] => {
                let node = self.left(lines.iter().map(|line| (line.literals.as_slice(), TRUE)).collect())?;
                let any = self.diagram.first(node, FALSE)?;
                Ok((&[], self.diagram.ite(any, line.inside, NONE)?))
            }
        }
    }

    /// First match of a few lines of any kind, variable by variable: each is followed only where it can still decide, and what
    /// two of them would come to without the others is never stored.
    fn abreast(&mut self, mut list: Vec<Left<'_>>, known: &mut Known) -> Result<Node, Full> {
        list.retain(|(_, inside)| *inside != NONE);
        let end = list.iter().position(|(literals, inside)| literals.is_empty() && !self.diagram.is_open(*inside));
        list.truncate(end.map_or(list.len(), |end| end + 1));
        let early =
            |(literals, inside): &Left<'_>| literals.last().is_none_or(|(last, _)| self.diagram.asks(*inside, *last));
        match list.as_slice() {
            [] => return Ok(NONE),
            [(literals, inside)] => return self.diagram.cube(literals, *inside, NONE),
            list if !list.iter().any(early) => return self.left(list.to_vec()),
            _ => {}
        }
        // A part of a line's literals is known by where it stands.
        let key: Vec<_> = list.iter().map(|(rest, inside)| (rest.as_ptr().addr(), rest.len(), *inside)).collect();
        if let Some(node) = known.nodes.get(&key) {
            return Ok(*node);
        }
        let asked = |(literals, inside): &Left<'_>| {
            let literal = literals.first().map_or(u32::MAX, |(level, _)| *level);
            self.diagram.branches(*inside).map_or(literal, |(level, ..)| level.min(literal))
        };
        let level = list.iter().map(asked).min().unwrap_or(u32::MAX);
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for (literals, inside) in list {
            let (only, literals) = match literals.split_first() {
                Some(((first, value), rest)) if *first == level => (Some(*value), rest),
                _ => (None, literals),
            };
            let (inside_low, inside_high) = match self.diagram.branches(inside) {
                Some((first, low, high)) if first == level => (low, high),
                _ => (inside, inside),
            };
            if only != Some(true) {
                low.push((literals, inside_low));
            }
            if only != Some(false) {
                high.push((literals, inside_high));
            }
        }
        let (low, high) = match self.diagram.assumed(level) {
            Some(true) => (NONE, self.abreast(high, known)?),
            Some(false) => (self.abreast(low, known)?, NONE),
            None => (self.abreast(low, known)?, self.abreast(high, known)?),
        };
        let node = self.diagram.node(level, low, high)?;
        known.learn(key, node);
        Ok(node)
    }

    fn joined(&mut self, runs: &[Node]) -> Result<Node, Full> {
        match runs {
            [] => Ok(NONE),
            [one] => Ok(*one),
            _ => {
                let (front, back) = runs.split_at(runs.len() / 2);
                let (front, back) = (self.joined(front)?, self.joined(back)?);
                self.diagram.first(front, back)
            }
        }
    }

    /// A field satisfies one of these conditions.
    ///
    /// # Errors
    /// [`Full`]
    pub fn any_of(&mut self, field: Field, view: Option<View>, conds: &[Cond]) -> Result<Node, Full> {
        let mut lines = Vec::with_capacity(conds.len());
        for cond in conds {
            match cond {
                Cond::Bits { value, mask } => {
                    lines.push(Line::cube(self.literals(field, view, *value, *mask)?));
                }
                Cond::Range { lo, hi } => {
                    for (value, mask) in prefixes((*lo).into(), (*hi).into(), field.row().bits) {
                        lines.push(Line::cube(self.literals(field, view, value, mask)?));
                    }
                }
            }
        }
        let node = self.first_of(&lines)?;
        self.diagram.first(node, FALSE)
    }

    fn left(&mut self, mut list: Vec<Left<'_>>) -> Result<Node, Full> {
        match list.as_slice() {
            [] => return Ok(NONE),
            [(literals, inside)] => return self.diagram.cube(literals, *inside, NONE),
            // All that reaches this list stops at its first line, where that does not let it go on.
            [([], inside), ..] if !self.diagram.is_open(*inside) => return Ok(*inside),
            _ => {}
        }
        let next = |(literals, _): &Left<'_>| literals.first().map(|(level, _)| *level);
        let level = list.iter().map(|line| next(line).unwrap_or(u32::MAX)).min().unwrap_or(u32::MAX);
        if list.iter().any(|line| next(line) != Some(level)) {
            let back = list.split_off(cut(&list));
            let (front, back) = (self.left(list)?, self.left(back)?);
            return self.diagram.first(front, back);
        }
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for (literals, inside) in list {
            let Some(((_, value), literals)) = literals.split_first() else { continue };
            if *value { high.push((literals, inside)) } else { low.push((literals, inside)) }
        }
        let (low, high) = match self.diagram.assumed(level) {
            Some(true) => (NONE, self.left(high)?),
            Some(false) => (self.left(low)?, NONE),
            None => (self.left(low)?, self.left(high)?),
        };
        self.diagram.node(level, low, high)
    }
}

/// Where to cut a list in two: near the middle, where lines of one shape end, so that most lists ask the same of every line.
fn cut(list: &[Left<'_>]) -> usize {
    let middle = list.len() / 2;
    let shape = |at: usize| list.get(at).map(|(literals, _)| literals.len());
    let ends = |at: &usize| shape(*at) != shape(*at - 1);
    let before = (1..=middle).rev().find(ends);
    let behind = (middle.max(1)..list.len()).find(ends);
    match (before, behind) {
        (Some(before), Some(behind)) if behind - middle < middle - before => behind,
        (Some(at), _) | (None, Some(at)) => at,
        (None, None) => middle,
    }
}
