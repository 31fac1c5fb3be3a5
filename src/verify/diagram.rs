//! Decision diagrams: functions of boolean variables with any number of values, each stored once.
//!
//! A node asks one variable and goes on below; variables are asked in the order of their levels, equal nodes are one node
//! and no node has two equal branches. So two functions are equal if and only if their roots are the same number
//! (R. E. Bryant, "Graph-Based Algorithms for Boolean Function Manipulation", 1986). What a leaf's number means is the
//! caller's affair, but for three: [`FALSE`], [`TRUE`] and [`NONE`], the value of packets that a list has not decided yet.

#![expect(clippy::indexing_slicing, reason = "node numbers are made here and masked table places are in range")]

mod sets;
mod store;

/// A function: the root of its diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(u32);

/// A variable with the value that it must have. Lists of them are in ascending order, each variable once.
pub type Literal = (u32, bool);

/// Number of a leaf.
pub type Leaf = u32;

/// No.
pub const FALSE: Node = Node(0);
/// Yes.
pub const TRUE: Node = Node(1);
/// Not decided yet.
pub const NONE: Node = Node(2);

/// There are more nodes than were allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Level of leaves: below all variables.
const BOTTOM: u32 = u32::MAX;
/// An empty place of the table or the cache.
const EMPTY: u32 = u32::MAX;
/// Third operand of [`Diagram::first`] and of [`Diagram::map`] in the cache: no node has these numbers.
const FIRST: u32 = u32::MAX - 1;
const MAP: u32 = u32::MAX - 2;
/// The same for `zip`, less its id.
const ZIP: u32 = u32::MAX - 3;
/// Entries of the cache at first and at most.
const CACHE: (usize, usize) = (1 << 12, 1 << 21);

#[derive(Clone, Copy)]
struct Inner {
    level: u32,
    low: u32,
    high: u32,
}

/// A result already computed.
#[derive(Clone, Copy)]
struct Known {
    operands: [u32; 3],
    result: u32,
}

/// All nodes, each once.
pub struct Diagram {
    nodes: Vec<Inner>,
    /// Whether [`NONE`] is among the values of a node.
    open: Vec<bool>,
    /// Open addressing: numbers of nodes, at twice their number of places or more.
    table: Vec<u32>,
    cache: Vec<Known>,
    budget: usize,
    /// Steps that may still be taken.
    steps: usize,
    /// Variables that are taken as known: what depends on them is not stored.
    assumed: Vec<Literal>,
    /// The same by level.
    assumed_at: Vec<Option<bool>>,
}

impl Diagram {
    /// An empty store of at most so many nodes, of functions under the condition that these variables have these values.
    #[must_use]
    pub fn new(budget: usize, assumed: Vec<Literal>) -> Self {
        let levels = assumed.iter().map(|(level, _)| *level as usize + 1).max().unwrap_or_default();
        let mut assumed_at = vec![None; levels];
        for (level, value) in &assumed {
            assumed_at[*level as usize] = Some(*value);
        }
        let mut diagram = Self {
            nodes: Vec::new(),
            open: Vec::new(),
            table: vec![EMPTY; 1 << 10],
            cache: vec![Known { operands: [EMPTY; 3], result: 0 }; CACHE.0],
            budget: budget.max(8),
            steps: usize::MAX,
            assumed,
            assumed_at,
        };
        for leaf in 0..3 {
            // Three leaves fit in any budget.
            let _ = diagram.leaf(leaf);
        }
        diagram
    }

    /// Nodes stored, those that nothing needs any more counted.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// A constant.
    ///
    /// # Errors
    /// [`Full`], as of all that makes nodes.
    pub fn leaf(&mut self, leaf: Leaf) -> Result<Node, Full> {
        self.store(Inner { level: BOTTOM, low: leaf, high: 0 }, leaf == NONE.0)
    }

    /// The leaf, if the function is constant.
    #[must_use]
    pub fn as_leaf(&self, node: Node) -> Option<Leaf> {
        let inner = self.nodes[node.0 as usize];
        (inner.level == BOTTOM).then_some(inner.low)
    }

    /// Level and branches of a node that is no leaf.
    #[must_use]
    pub fn branches(&self, node: Node) -> Option<(u32, Node, Node)> {
        let inner = self.nodes[node.0 as usize];
        (inner.level != BOTTOM).then_some((inner.level, Node(inner.low), Node(inner.high)))
    }

    /// `high` where the variable is set, `low` elsewhere; both ask only variables of higher levels.
    ///
    /// # Errors
    /// [`Full`]
    pub fn node(&mut self, level: u32, low: Node, high: Node) -> Result<Node, Full> {
        self.steps = self.steps.checked_sub(1).ok_or(Full)?;
        if low == high {
            return Ok(low);
        }
        if let Some(value) = self.assumed(level) {
            return Ok(if value { high } else { low });
        }
        let open = self.open[low.0 as usize] || self.open[high.0 as usize];
        self.store(Inner { level, low: low.0, high: high.0 }, open)
    }

    /// `inside` where all literals hold, the constant `outside` elsewhere.
    ///
    /// # Errors
    /// [`Full`]
    pub fn cube(&mut self, literals: &[Literal], inside: Node, outside: Node) -> Result<Node, Full> {
        let Some((last, _)) = literals.last() else { return Ok(inside) };
        if self.level(inside) <= *last {
            let condition = self.cube(literals, TRUE, FALSE)?;
            return self.ite(condition, inside, outside);
        }
        let mut node = inside;
        for (level, value) in literals.iter().rev() {
            let (low, high) = if *value { (outside, node) } else { (node, outside) };
            node = self.node(*level, low, high)?;
        }
        Ok(node)
    }

    /// `then` where the condition (of values [`TRUE`] and [`FALSE`]) holds, `otherwise` elsewhere.
    ///
    /// # Errors
    /// [`Full`]
    pub fn ite(&mut self, condition: Node, then: Node, otherwise: Node) -> Result<Node, Full> {
        if condition == TRUE || then == otherwise {
            return Ok(then);
        }
        if condition == FALSE {
            return Ok(otherwise);
        }
        if then == TRUE && otherwise == FALSE {
            return Ok(condition);
        }
        let operands = [condition.0, then.0, otherwise.0];
        if let Some(node) = self.known(operands) {
            return Ok(node);
        }
        let level = self.level(condition).min(self.level(then)).min(self.level(otherwise));
        let (c0, c1) = self.cofactors(condition, level);
        let (t0, t1) = self.cofactors(then, level);
        let (o0, o1) = self.cofactors(otherwise, level);
        let low = self.ite(c0, t0, o0)?;
        let high = self.ite(c1, t1, o1)?;
        let node = self.node(level, low, high)?;
        self.learn(operands, node);
        Ok(node)
    }

    /// What `before` decides, and `after` where it is [`NONE`]: two first-match lists, one after the other.
    ///
    /// # Errors
    /// [`Full`]
    pub fn first(&mut self, before: Node, after: Node) -> Result<Node, Full> {
        if before == NONE {
            return Ok(after);
        }
        if after == NONE || before == after || !self.open[before.0 as usize] {
            return Ok(before);
        }
        let operands = [before.0, after.0, FIRST];
        if let Some(node) = self.known(operands) {
            return Ok(node);
        }
        let level = self.level(before).min(self.level(after));
        let (b0, b1) = self.cofactors(before, level);
        let (a0, a1) = self.cofactors(after, level);
        let low = self.first(b0, a0)?;
        let high = self.first(b1, a1)?;
        let node = self.node(level, low, high)?;
        self.learn(operands, node);
        Ok(node)
    }

    /// The function with each leaf replaced. `id` names the replacement: the same id must always mean the same.
    ///
    /// # Errors
    /// [`Full`]
    pub fn map(&mut self, id: u32, node: Node, replace: &mut dyn FnMut(Leaf) -> Leaf) -> Result<Node, Full> {
        let inner = self.nodes[node.0 as usize];
        if inner.level == BOTTOM {
            let leaf = replace(inner.low);
            return self.leaf(leaf);
        }
        let operands = [node.0, id, MAP];
        if let Some(known) = self.known(operands) {
            return Ok(known);
        }
        let low = self.map(id, Node(inner.low), replace)?;
        let high = self.map(id, Node(inner.high), replace)?;
        let result = self.node(inner.level, low, high)?;
        self.learn(operands, result);
        Ok(result)
    }

    /// Either.
    ///
    /// # Errors
    /// [`Full`]
    pub fn or(&mut self, a: Node, b: Node) -> Result<Node, Full> {
        self.ite(a, TRUE, b)
    }

    /// Both.
    ///
    /// # Errors
    /// [`Full`]
    pub fn and(&mut self, a: Node, b: Node) -> Result<Node, Full> {
        self.ite(a, b, FALSE)
    }

    /// How many nodes ask each variable.
    #[must_use]
    pub fn counts(&self) -> std::collections::BTreeMap<u32, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for inner in self.nodes.iter().filter(|inner| inner.level != BOTTOM) {
            *counts.entry(inner.level).or_insert(0) += 1;
        }
        counts
    }

    /// The value for one assignment.
    pub fn value(&self, node: Node, assigned: impl Fn(u32) -> bool) -> Leaf {
        let mut inner = self.nodes[node.0 as usize];
        while inner.level != BOTTOM {
            let next = if assigned(inner.level) { inner.high } else { inner.low };
            inner = self.nodes[next as usize];
        }
        inner.low
    }

    fn level(&self, node: Node) -> u32 {
        self.nodes[node.0 as usize].level
    }

    fn cofactors(&self, node: Node, level: u32) -> (Node, Node) {
        let inner = self.nodes[node.0 as usize];
        if inner.level == level { (Node(inner.low), Node(inner.high)) } else { (node, node) }
    }
}

#[cfg(test)]
mod tests;
