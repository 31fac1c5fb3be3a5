//! The tables of the diagrams: each node once, and results already computed.

#![expect(clippy::indexing_slicing, reason = "node numbers are made here and masked table places are in range")]

use std::collections::BTreeSet;

use super::{CACHE, Diagram, EMPTY, Full, Inner, Known, Node};

impl Diagram {
    /// Whether the function asks this variable or one before it.
    #[must_use]
    pub fn asks(&self, node: Node, level: u32) -> bool {
        self.level(node) <= level
    }

    /// Whether [`NONE`] is among its values.
    #[must_use]
    pub fn is_open(&self, node: Node) -> bool {
        self.open[node.0 as usize]
    }

    /// Whether a packet with these variables set is one that the diagram speaks of.
    #[must_use]
    pub fn speaks_of(&self, set: &BTreeSet<u32>) -> bool {
        self.assumed.iter().all(|(level, value)| set.contains(level) == *value)
    }

    /// The value that a variable is taken to have.
    #[must_use]
    pub fn assumed(&self, level: u32) -> Option<bool> {
        self.assumed_at.get(level as usize).copied().flatten()
    }

    pub(super) fn store(&mut self, inner: Inner, open: bool) -> Result<Node, Full> {
        let mut place = node_place(inner) & (self.table.len() - 1);
        loop {
            let number = self.table[place];
            if number == EMPTY {
                break;
            }
            let known = self.nodes[number as usize];
            if known.level == inner.level && known.low == inner.low && known.high == inner.high {
                return Ok(Node(number));
            }
            place = (place + 1) & (self.table.len() - 1);
        }
        if self.nodes.len() >= self.budget {
            return Err(Full);
        }
        let number = u32::try_from(self.nodes.len()).map_err(|_| Full)?;
        self.nodes.push(inner);
        self.open.push(open);
        self.table[place] = number;
        if self.nodes.len() * 2 > self.table.len() {
            self.grow();
        }
        Ok(Node(number))
    }

    /// Twice the table, and as large a cache.
    fn grow(&mut self) {
        let size = self.table.len() * 2;
        self.table = vec![EMPTY; size];
        for (number, inner) in (0u32..).zip(&self.nodes) {
            let mut place = node_place(*inner) & (size - 1);
            while self.table[place] != EMPTY {
                place = (place + 1) & (size - 1);
            }
            self.table[place] = number;
        }
        let size = (size / 2).min(CACHE.1);
        if size > self.cache.len() {
            let old = std::mem::replace(&mut self.cache, vec![Known { operands: [EMPTY; 3], result: 0 }; size]);
            for known in old.into_iter().filter(|known| known.operands[0] != EMPTY) {
                self.cache[hash(known.operands) & (size - 1)] = known;
            }
        }
    }

    pub(super) fn known(&self, operands: [u32; 3]) -> Option<Node> {
        let known = &self.cache[hash(operands) & (self.cache.len() - 1)];
        (known.operands == operands).then_some(Node(known.result))
    }

    pub(super) fn learn(&mut self, operands: [u32; 3], result: Node) {
        let place = hash(operands) & (self.cache.len() - 1);
        self.cache[place] = Known { operands, result: result.0 };
    }
}

/// Where a node stands in the table. Most nodes are made in chains, each right above the one made before it: their numbers
/// count up, so sixteen in a row share a line of the processor's cache, and only one of them waits for memory.
fn node_place(inner: Inner) -> usize {
    let within = (inner.low.wrapping_add(inner.high) & 15) as usize;
    hash([inner.low >> 4, inner.high >> 4, 0]) & !15 | within
}

/// Mixes three words: multiplication by odd constants (from the digits of the golden ratio and of pi), high bits folded down.
fn hash([a, b, c]: [u32; 3]) -> usize {
    let first = (u64::from(a) << 32 | u64::from(b)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (first ^ (first >> 29) ^ u64::from(c)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
    let place = (mixed ^ (mixed >> 32)) as usize;
    place
}
