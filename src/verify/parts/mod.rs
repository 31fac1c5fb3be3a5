//! A proof by parts: each chain beside those lines of the policy that the packets which come to it can match.
//!
//! ```text
//! chain 1    dst 192.0.2.0/24 -> 2    dst 198.51.100.0/24 -> 3    otherwise -> 4
//! parts      chain 2 does to packets to 192.0.2.0/24 what the policy's lines that they can match do; 3 likewise; 4 does
//!            to all others what the lines do that others can match
//! chain 3    two lines    otherwise -> 5
//! parts      chain 5 does what the policy does from a certain line on: shown once, for all who go there; so of chain 3 it need only be
//!            shown that it does what the lines before that one do
//! ```
//!
//! Where a long list has been cut, its chains are short, and so are their parts of the policy: the diagrams of all parts together are a
//! small share of those of the whole, where each line meets all others. Each part has a store of its own; they are worked on side by
//! side. What a goto leads to is a leaf that says "elsewhere", on both sides: that is shown by another part, of at least the
//! packets that the goto takes. Which lines a chain stands for is read off the Program, and is only a guess: where it is wrong, the
//! two sides of a part differ, nothing is shown, and the block is proven as a whole. So no bug can hide here: parts are only ever right.

mod check;
mod cubes;
mod lines;
mod order;
mod points;
mod queue;
mod sides;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::diagram::Leaf;
use super::program::Context as Reached;
use super::vars::{Vars, View};
use super::{Block, policy};
use crate::emit::program::{Attached, Program};
use crate::ir::policy::{Attach, Policy};

/// Leaf of packets that are another part's.
const ELSEWHERE: Leaf = Leaf::MAX - 1;
/// Leaf of packets that the chain and the policy both leave to a later chain.
const LATER: Leaf = Leaf::MAX - 2;

/// Leaf of packets that no chain may decide at its stage: IP before conntrack has looked at it.
const UNKNOWN: Leaf = Leaf::MAX - 3;

/// Filters for each line of the policy, at most.
const FILTERS: usize = 16;

/// A block to be proven.
pub(super) struct Case<'a> {
    pub policy: &'a Policy,
    pub attach: &'a Attach,
    pub program: &'a Program,
    pub attached: &'a Attached,
    pub vars: Arc<Vars>,
    /// Nodes of one part's store at most.
    pub nodes: usize,
    /// Steps of all parts together at most.
    pub steps: usize,
    /// The zone, of a block with one that translates nothing.
    pub zone: Option<u16>,
}

/// How far a packet has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Start,
    /// Behind conntrack.
    Tracked,
}

/// Proves the block by parts, and that the same rule decides. `None` says nothing: its Program is not made of such parts, or they take too much.
pub(super) fn prove(case: &mut Case<'_>) -> Option<Block> {
    case.zone = match case.attach.passes.as_slice() {
        [] => None,
        [zone] if case.attach.prefilter.is_empty() && !case.policy.translating.contains(zone) => Some(*zone),
        _ => return None,
    };
    if super::chains::is_deep(case.attached) {
        return None;
    }
    // A list that was cut has not many filters more than lines; sets that are multiplied out are proven better as a whole.
    let filters: usize = case.attached.all_chains().map(|chain| chain.filters.len()).sum();
    let lines = lines::Lines::new(case)?;
    if filters > FILTERS * lines.all.len() {
        return None;
    }
    let points = points::points(case, &lines)?;
    queue::run(&mut check::Proving { case, lines, points, fallen: HashSet::new() })
}

impl Case<'_> {
    fn view(&self) -> Option<(u16, View)> {
        self.zone.map(|zone| (zone, View::Pass { zone, again: false }))
    }

    /// What the policy's side knows of a packet.
    fn meant(&self, stage: Stage) -> policy::Context {
        let mut context =
            policy::Context { ip: self.zone.map(|_| stage == Stage::Tracked), ..policy::Context::default() };
        if let Some((zone, view)) = self.view().filter(|_| stage == Stage::Tracked) {
            context.views.insert(zone, view);
            context.passes.push((zone, false));
        }
        context
    }

    /// What the Program's side knows.
    fn reached(&self, stage: Stage) -> Reached {
        match self.view().filter(|_| stage == Stage::Tracked) {
            None => Reached::start(),
            Some((zone, view)) => Reached {
                shown: Some(view),
                zone,
                whole: true,
                passes: vec![zone],
                stale: BTreeSet::new(),
                cleared: false,
                gotos: 0,
            },
        }
    }
}
