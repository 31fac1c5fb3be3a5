//! Sets of assignments: what a comparison of two functions is made of.

#![expect(clippy::indexing_slicing, reason = "node numbers are made here")]

use std::collections::{HashMap, HashSet};

use super::{BOTTOM, Diagram, FALSE, Full, Leaf, Literal, NONE, Node, TRUE, ZIP};

/// What a node comes to, its branches (already worked out) given.
type Step<'a> = dyn FnMut(&mut Diagram, Node, Option<(u32, Node, Node)>) -> Result<Node, Full> + 'a;

impl Diagram {
    /// What a pair of values stands for, for each assignment. Equal functions come to [`FALSE`] and are not looked into. `id` (below
    /// 16) names the replacement: the same id must always mean the same.
    ///
    /// # Errors
    /// [`Full`]
    pub fn zip(&mut self, id: u32, a: Node, b: Node, pair: &mut dyn FnMut(Leaf, Leaf) -> Leaf) -> Result<Node, Full> {
        if a == b {
            return Ok(FALSE);
        }
        let level = self.level(a).min(self.level(b));
        if level == BOTTOM {
            let leaf = pair(self.nodes[a.0 as usize].low, self.nodes[b.0 as usize].low);
            return self.leaf(leaf);
        }
        let operands = [a.0, b.0, ZIP - id];
        if let Some(node) = self.known(operands) {
            return Ok(node);
        }
        let ((a0, a1), (b0, b1)) = (self.cofactors(a, level), self.cofactors(b, level));
        let low = self.zip(id, a0, b0, pair)?;
        let high = self.zip(id, a1, b1, pair)?;
        let node = self.node(level, low, high)?;
        self.learn(operands, node);
        Ok(node)
    }

    /// A way on which two functions differ, as literals (variables that are not among them may have any value), and what
    /// each says there. `None` where they are equal.
    #[must_use]
    pub fn difference(&self, a: Node, b: Node) -> Option<(Vec<Literal>, Leaf, Leaf)> {
        let (mut a, mut b) = (a, b);
        let mut way = self.assumed.clone();
        while a != b {
            let level = self.level(a).min(self.level(b));
            if level == BOTTOM {
                way.sort_unstable();
                return Some((way, self.as_leaf(a)?, self.as_leaf(b)?));
            }
            let ((a0, a1), (b0, b1)) = (self.cofactors(a, level), self.cofactors(b, level));
            let value = a0 == b0;
            way.push((level, value));
            (a, b) = if value { (a1, b1) } else { (a0, b0) };
        }
        None
    }

    /// The assignments for which the function has one of these values.
    ///
    /// # Errors
    /// [`Full`]
    pub fn where_is(&mut self, node: Node, leaves: &HashSet<Leaf>) -> Result<Node, Full> {
        self.over(node, &mut HashMap::new(), &mut |diagram, node, branches| match branches {
            None if diagram.as_leaf(node).is_some_and(|leaf| leaves.contains(&leaf)) => Ok(TRUE),
            None => Ok(FALSE),
            Some((level, low, high)) => diagram.node(level, low, high),
        })
    }

    /// The set without regard to all variables but those kept: what some member has there.
    ///
    /// # Errors
    /// [`Full`]
    pub fn project(&mut self, set: Node, keep: &dyn Fn(u32) -> bool) -> Result<Node, Full> {
        self.over(set, &mut HashMap::new(), &mut |diagram, node, branches| match branches {
            None => Ok(node),
            Some((level, low, high)) if keep(level) => diagram.node(level, low, high),
            Some((_, low, high)) => diagram.or(low, high),
        })
    }

    /// The function where a variable has this value; it does not ask that variable any more.
    ///
    /// # Errors
    /// [`Full`]
    pub fn given(&mut self, node: Node, variable: u32, value: bool) -> Result<Node, Full> {
        self.over(node, &mut HashMap::new(), &mut |diagram, node, branches| match branches {
            None => Ok(node),
            Some((level, low, high)) if level == variable => Ok(if value { high } else { low }),
            Some((level, low, high)) => diagram.node(level, low, high),
        })
    }

    /// A function worked out from its leaves upwards, each node once.
    fn over(&mut self, node: Node, known: &mut HashMap<Node, Node>, step: &mut Step<'_>) -> Result<Node, Full> {
        if let Some(done) = known.get(&node) {
            return Ok(*done);
        }
        let branches = match self.branches(node) {
            None => None,
            Some((level, low, high)) => Some((level, self.over(low, known, step)?, self.over(high, known, step)?)),
        };
        let done = step(self, node, branches)?;
        known.insert(node, done);
        Ok(done)
    }

    /// The values that the function has, each with a way to it, but for [`NONE`] and the two of sets; in the order of the ways.
    #[must_use]
    pub fn ways(&self, node: Node) -> Vec<(Leaf, Vec<Literal>)> {
        let mut found: Vec<(Leaf, Vec<Literal>)> = Vec::new();
        let (mut seen, mut values) = (HashSet::new(), HashSet::new());
        // Nodes to visit, with how long the way to each is and its last step.
        let mut open: Vec<(Node, usize, Option<Literal>)> = vec![(node, 0, None)];
        let mut way: Vec<Literal> = Vec::new();
        while let Some((node, length, step)) = open.pop() {
            way.truncate(length);
            way.extend(step);
            if !seen.insert(node) {
                continue;
            }
            match self.branches(node) {
                Some((level, low, high)) => {
                    open.push((high, way.len(), Some((level, true))));
                    open.push((low, way.len(), Some((level, false))));
                }
                None => {
                    if let Some(leaf) = self.as_leaf(node).filter(|leaf| *leaf > NONE.0 && values.insert(*leaf)) {
                        let mut way: Vec<Literal> = way.iter().chain(&self.assumed).copied().collect();
                        way.sort_unstable();
                        found.push((leaf, way));
                    }
                }
            }
        }
        found
    }

    /// From now on, so many steps are allowed: nodes made, or found to be there. Where results are forgotten, steps take time and make no node.
    pub fn allow_steps(&mut self, steps: usize) {
        self.steps = steps;
    }

    /// How many of them are left.
    #[must_use]
    pub fn steps_left(&self) -> usize {
        self.steps
    }

    /// From now on, so many nodes are allowed.
    pub fn allow(&mut self, budget: usize) {
        self.budget = budget;
    }
}
