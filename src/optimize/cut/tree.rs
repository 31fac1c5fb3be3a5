//! A list that is cut, and its parts likewise: the one first where packets gain most for a filter, until the filters are spent.
//!
//! What packets gain is an estimate. Each line has as many packets as another, and one in eight is meant for none. A line that asks for a value
//! takes its packets along to the chain of that value; a copy of one that asks less has none there, for its packets are spread over all
//! addresses, and few are cut by. So filters go where packets are, and not where lines are copied to.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::chain::{Cost, Missing};
use super::plan::{Plan, plan};
use super::{Cut, outside, within};
use crate::field::Cond;
use crate::ir::graph::{Line, Tail};
use crate::optimize::price::Scale;
use crate::optimize::ways::{Place, Ways};

/// The packets of a line that is not cut yet.
const PACKETS: u64 = 1 << 10;

/// Filters that a cut may always take: a list of few lines is cut into chains of one each.
const SMALL: u64 = 50;

/// So many times as large a part may become by one cut.
const TIMES: u64 = 3;

/// A list, or a part of it.
struct Node<'a> {
    lines: Cow<'a, [Line]>,
    /// The packets of each line.
    weights: Vec<u64>,
    /// What is done with all packets that no line decides; `None`: as with those of the whole list.
    rest: Option<Tail>,
    /// Further gotos that it may have.
    levels: usize,
    /// Packets beside those of its lines.
    missing: Missing,
    /// What a packet paid before it came here.
    before: u64,
    flat: Cost,
    /// What it may become.
    plan: Option<(Cost, Plan)>,
    /// What became of it.
    parts: Parts,
}

impl Node<'_> {
    /// What a packet pays that no line decides.
    fn full(&self) -> u64 {
        self.plan.as_ref().map_or(self.flat, |(cost, _)| *cost).full
    }
}

enum Parts {
    /// One chain.
    None,
    /// A chain for each value, and for none.
    Cut(Box<Cut>, Vec<usize>, usize),
    /// Two lists.
    Two(usize, usize),
}

/// The whole list and all its parts.
pub(super) struct Tree<'a> {
    scale: Scale,
    nodes: Vec<Node<'a>>,
    /// Filters of all.
    filters: u64,
    most: u64,
    /// What packets must gain for a filter.
    least: u64,
    /// Parts that may be cut, by what packets gain for a filter.
    queue: BinaryHeap<(u64, Reverse<usize>)>,
}

impl<'a> Tree<'a> {
    /// The list, cut over at most so many gotos; `None` where nothing pays.
    pub fn grown(lines: &'a [Line], levels: usize, scale: Scale) -> Option<Self> {
        let weights = vec![PACKETS; lines.len()];
        let packets = weights.iter().sum::<u64>();
        let filters = lines.iter().map(Line::product).fold(0, u64::saturating_add);
        let most = scale.cutting(filters);
        // Twice the filters, and one lookup less for every packet: masks that become one save more.
        let least = packets.saturating_mul(scale.visit) / filters.saturating_mul(2).max(1);
        let queue = BinaryHeap::new();
        let mut tree = Self { scale, nodes: Vec::new(), filters: 0, most, least, queue };
        // One packet in eight is meant for no line.
        let missing = Missing { near: packets / 8, far: 0 };
        tree.add(Cow::Borrowed(lines), weights, levels, (missing, 0));
        if tree.queue.is_empty() {
            return None;
        }
        while let Some((_, Reverse(at))) = tree.queue.pop() {
            tree.part(at);
        }
        Some(tree)
    }

    /// Adds a part, and looks for what it may become.
    fn add(
        &mut self,
        mut lines: Cow<'a, [Line]>,
        mut weights: Vec<u64>,
        levels: usize,
        (missing, before): (Missing, u64),
    ) -> usize {
        let mut rest = None;
        if let Some(at) = lines.iter().position(Line::always) {
            rest = lines.get(at).map(|line| line.tail.clone());
            lines.to_mut().truncate(at);
            weights.truncate(at);
        }
        let at = self.nodes.len();
        let parts = Parts::None;
        let flat = Cost::default();
        self.nodes.push(Node { lines, weights, rest, levels, missing, before, flat, plan: None, parts });
        self.plan(at);
        at
    }

    /// Looks for what the part may become, in the filters that are left.
    fn plan(&mut self, at: usize) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let own = node.lines.iter().map(Line::product).fold(0, u64::saturating_add);
        self.filters = self.filters.saturating_sub(node.flat.filters);
        let most = self.most.saturating_sub(self.filters).min(own.saturating_mul(TIMES).saturating_add(SMALL));
        let packets = (node.missing, node.before);
        (node.flat, node.plan) = plan((&node.lines, &node.weights), node.levels, most, packets, self.scale);
        self.filters = self.filters.saturating_add(node.flat.filters);
        if let Some((cost, _)) = &node.plan {
            let more = cost.filters.saturating_sub(node.flat.filters).max(1);
            let gain = node.flat.sum.saturating_sub(cost.sum) / more;
            if gain >= self.least {
                self.queue.push((gain, Reverse(at)));
            }
        }
    }

    /// Cuts the part, if filters are left for that; if others have taken them, it is to become something smaller.
    fn part(&mut self, at: usize) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let Some((cost, plan)) = node.plan.take() else { return };
        let left = self.filters.saturating_sub(node.flat.filters);
        if left.saturating_add(cost.filters) > self.most {
            self.plan(at);
            return;
        }
        self.filters = left;
        let (lines, weights) = (std::mem::take(&mut node.lines), std::mem::take(&mut node.weights));
        let (levels, missing, before) = (node.levels, node.missing, node.before);
        let parts = match plan {
            Plan::Cut(cut) => self.cut(cut, &lines, levels.saturating_sub(1), (missing, before)),
            Plan::Two(place) => {
                let below = levels.saturating_sub(1) / 2;
                let (mut first, mut first_weights) = (lines.into_owned(), weights);
                let (last, last_weights) = (first.split_off(place), first_weights.split_off(place));
                let (first, last) = (Cow::Owned(first), Cow::Owned(last));
                let (own, passing) = (first_weights.iter().sum(), last_weights.iter().sum());
                let to_first = missing.first(own, passing);
                let first = self.add(first, first_weights, levels.saturating_sub(1 + below), (to_first, before));
                let passed = self.nodes.get(first).map_or(0, Node::full) + self.scale.goto;
                Parts::Two(first, self.add(last, last_weights, below, (missing.last(own, passing), before + passed)))
            }
        };
        if let Some(node) = self.nodes.get_mut(at) {
            node.parts = parts;
        }
    }

    /// A part for each value, and for none.
    fn cut(&mut self, cut: Box<Cut>, lines: &[Line], levels: usize, (missing, before): (Missing, u64)) -> Parts {
        let way = before + self.scale.visit + self.scale.goto;
        let sorted = &cut.sorted;
        let mut values = Vec::with_capacity(sorted.values.len());
        let packets = sorted.packets();
        let mut left = missing;
        for (value, rows) in &sorted.values {
            let here = sorted.with_free(rows).into_iter();
            let here = here.filter_map(|row| Some((within(lines.get(row.row)?, &cut, *value)?, row.weight)));
            let (lines, weights): (Vec<Line>, Vec<u64>) = here.unzip();
            let own = missing.within(weights.iter().sum(), packets);
            left.near = left.near.saturating_sub(own.near);
            self.filters = self.filters.saturating_add(self.scale.chain + 1);
            values.push(self.add(lines.into(), weights, levels, (own, way)));
        }
        let beyond = sorted.rest.iter();
        let beyond = beyond.filter_map(|row| Some((outside(lines.get(row.row)?, cut.field, *row), row.weight)));
        let (lines, weights): (Vec<Line>, Vec<u64>) = beyond.unzip();
        self.filters = self.filters.saturating_add(self.scale.chain + 1);
        let rest = self.add(lines.into(), weights, levels, (left, way + self.scale.visit));
        Parts::Cut(cut, values, rest)
    }

    /// What is done with a packet that meets the list.
    pub fn build(mut self, place: &mut Place<'_>) -> Tail {
        let otherwise = place.table.otherwise.clone();
        self.tail(0, &otherwise, place)
    }

    /// What is done with a packet that meets this part, and `rest` after it.
    fn tail(&mut self, at: usize, rest: &Tail, place: &mut Place<'_>) -> Tail {
        let Some(node) = self.nodes.get_mut(at) else { return rest.clone() };
        let rest = &node.rest.take().unwrap_or_else(|| rest.clone());
        match std::mem::replace(&mut node.parts, Parts::None) {
            Parts::None => place.tail(std::mem::take(&mut node.lines).into_owned(), rest.clone()),
            Parts::Cut(cut, values, beyond) => {
                let otherwise = self.tail(beyond, rest, place);
                let mut ways = Ways::by(cut.field, &cut.guard);
                for ((value, _), at) in cut.sorted.values.iter().zip(values) {
                    let tail = self.tail(at, rest, place);
                    ways.add(tail.clone(), Cond::Bits { value: *value, mask: cut.mask }, &tail);
                }
                ways.tail(place, otherwise)
            }
            Parts::Two(first, last) => {
                let rest = self.tail(last, rest, place);
                // Where the others come to nothing, there is no goto.
                self.tail(first, &rest, place)
            }
        }
    }
}
