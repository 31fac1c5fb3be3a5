//! The Graph: tables of first-match lines, joined by gotos. The one file that names petgraph.
//!
//! A table becomes a chain. Its lines are still products of sets (`sources x destinations x ports`), in first-match order;
//! `emit::linearize` multiplies them out and allots prios. Equal tables are one table.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::Topo;

use crate::emit::program::{Ct, Police, RuleRef};
use crate::field::{Cond, Conds, Field};
use crate::hash::Quick;
use crate::ir::policy::{Hook, Out};
use crate::optimize::notes::Notes;

/// A table of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(NodeIndex);

/// The frames that a table sees. The entry filters of chain 0 sort them by ethertype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frame {
    /// Untagged IPv4.
    Ip4,
    /// Untagged IPv6.
    Ip6,
    /// Untagged, neither; also anything with a tag that is not 802.1Q.
    Other,
    /// 802.1Q, anything inside.
    Tagged,
    /// IPv4 behind an 802.1Q tag.
    TaggedIp4,
    /// IPv6 behind an 802.1Q tag.
    TaggedIp6,
    /// Neither, behind an 802.1Q tag.
    TaggedOther,
}

impl Frame {
    /// Whether conntrack can see them.
    #[must_use]
    pub const fn is_ip(self) -> bool {
        matches!(self, Self::Ip4 | Self::Ip6 | Self::TaggedIp4 | Self::TaggedIp6)
    }

    /// Whether they are IPv6.
    #[must_use]
    pub const fn is_ip6(self) -> bool {
        matches!(self, Self::Ip6 | Self::TaggedIp6)
    }

    /// Whether they carry an 802.1Q tag.
    #[must_use]
    pub const fn is_tagged(self) -> bool {
        matches!(self, Self::Tagged | Self::TaggedIp4 | Self::TaggedIp6 | Self::TaggedOther)
    }

    /// Words for titles.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ip4 => "ip",
            Self::Ip6 => "ip6",
            Self::Other => "other",
            Self::Tagged => "vlan",
            Self::TaggedIp4 => "vlan ip",
            Self::TaggedIp6 => "vlan ip6",
            Self::TaggedOther => "vlan other",
        }
    }
}

/// What a line does on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Conntrack.
    Ct(Ct),
    /// A copy.
    Mirror(Out),
    /// Drop what exceeds.
    Police(Police),
}

/// Where a line ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Accept.
    Pass,
    /// Drop.
    Drop,
    /// The next line that matches.
    Continue,
    /// Another table.
    Goto(TableId),
    /// Out of another device.
    Redirect(Out),
}

/// Steps and end of a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tail {
    /// In order.
    pub steps: Vec<Step>,
    /// What then.
    pub end: End,
    /// The rule it stands for: an index into [`Graph::rules`].
    pub rule: usize,
}

impl Tail {
    /// The table that it goes to.
    #[must_use]
    pub const fn goto(&self) -> Option<TableId> {
        if let End::Goto(id) = self.end { Some(id) } else { None }
    }
}

/// A line: if every field satisfies one of its conditions, the tail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// Ethertype, where the frame leaves it open.
    pub ether: Option<u16>,
    /// Fields in canonical order.
    pub sets: Vec<(Field, Conds)>,
    /// What then.
    pub tail: Tail,
}

impl Line {
    /// Filters of the line multiplied out.
    #[must_use]
    pub fn product(&self) -> u64 {
        self.sets.iter().fold(1, |product, (_, conds)| product.saturating_mul(conds.len() as u64))
    }

    /// What it asks of a field; `None` where it asks nothing.
    #[must_use]
    pub fn asked(&self, field: Field) -> Option<&[Cond]> {
        self.sets.iter().find(|(known, _)| *known == field).map(|(_, conds)| conds.as_slice())
    }

    /// Whether it matches every packet that meets it, and decides.
    #[must_use]
    pub fn always(&self) -> bool {
        self.ether.is_none() && self.sets.is_empty() && self.tail.end != End::Continue
    }
}

/// A table: the first line that matches, else the last tail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// What it sees.
    pub frame: Frame,
    /// What it is for, in a few words.
    pub title: String,
    /// In first-match order.
    pub lines: Vec<Line>,
    /// When no line decides.
    pub otherwise: Tail,
}

impl Table {
    /// What is done with its packets, the last tail last.
    pub fn tails(&self) -> impl Iterator<Item = &Tail> {
        self.lines.iter().map(|line| &line.tail).chain([&self.otherwise])
    }
}

/// What a policy block does with a frame first.
#[derive(Clone, Debug)]
pub struct HookGraph {
    /// The policy's name.
    pub name: String,
    /// Its devices.
    pub devices: Vec<String>,
    /// Its hook.
    pub hook: Hook,
    /// Entry for each frame class: `Ip4`, `Ip6`, `Tagged`, `Other`.
    pub entries: Vec<(Frame, Tail)>,
    /// The origin of lines that only lead on: an index into [`Graph::rules`].
    pub dispatch: usize,
    /// Filters before any were spent to save lookups; 0 where none were.
    pub needed: u64,
    /// Gotos on one way that its rules need, where they are so many that they were not written out; else 0.
    pub deep: usize,
}

/// All tables of all policies.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Shared: a pass that leaves a table as it is does not copy it.
    tables: StableDiGraph<Rc<Table>, ()>,
    /// Tables by hash, to store equal ones once. Never iterated.
    known: HashMap<u64, Vec<TableId>>,
    /// One per policy.
    pub hooks: Vec<HookGraph>,
    /// Where lines come from. Shared: a pass that makes a new graph does not copy what may be very many.
    pub rules: Rc<Vec<RuleRef>>,
    /// What the passes did.
    pub notes: Notes,
    /// Most filters that it may become; `None` for any number.
    pub most: Option<u64>,
    /// Filters of all tables, their last ones not counted.
    filters: u64,
}

impl Graph {
    /// Adds a table, or finds the equal one (titles do not count).
    pub fn table(&mut self, table: impl Into<Rc<Table>>) -> TableId {
        let table = table.into();
        let mut hasher = Quick::default();
        (table.frame, &table.lines, &table.otherwise).hash(&mut hasher);
        let hash = hasher.finish();
        if let Some(ids) = self.known.get(&hash) {
            for id in ids {
                if let Some(known) = self.tables.node_weight(id.0)
                    && (known.frame, &known.lines, &known.otherwise) == (table.frame, &table.lines, &table.otherwise)
                {
                    return *id;
                }
            }
        }
        // A goto to nowhere has no edge; a proof finds it.
        let targets = table.tails().filter_map(Tail::goto).map(|id| id.0).filter(|to| self.tables.contains_node(*to));
        let mut targets: Vec<NodeIndex> = targets.collect();
        targets.sort_unstable();
        targets.dedup();
        self.filters = table.lines.iter().map(Line::product).fold(self.filters, u64::saturating_add);
        let node = self.tables.add_node(table);
        for to in targets {
            self.tables.add_edge(node, to, ());
        }
        self.known.entry(hash).or_default().push(TableId(node));
        TableId(node)
    }

    /// The table.
    #[must_use]
    pub fn get(&self, id: TableId) -> Option<&Table> {
        self.tables.node_weight(id.0).map(Rc::as_ref)
    }

    /// The table that a tail goes to.
    #[must_use]
    pub fn target(&self, tail: &Tail) -> Option<&Table> {
        self.get(tail.goto()?)
    }

    /// Number of tables.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.node_count()
    }

    /// Filters of all its tables, their last ones not counted.
    #[must_use]
    pub const fn held(&self) -> u64 {
        self.filters
    }

    /// Whether its tables hold more filters than it may become: no pass needs to go on.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.most.is_some_and(|most| self.filters > most)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.node_count() == 0
    }

    /// The tables that a hook reaches, every one before those it goes to.
    #[must_use]
    pub fn reachable(&self, hook: &HookGraph) -> Vec<TableId> {
        let mut wanted: Vec<NodeIndex> =
            hook.entries.iter().filter_map(|(_, tail)| tail.goto()).map(|id| id.0).collect();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(node) = wanted.pop() {
            if seen.insert(node) {
                wanted.extend(self.tables.neighbors_directed(node, Direction::Outgoing));
            }
        }
        let mut order = Vec::with_capacity(seen.len());
        let mut topo = Topo::new(&self.tables);
        while let Some(node) = topo.next(&self.tables) {
            if seen.contains(&node) {
                order.push(TableId(node));
            }
        }
        order
    }

    /// The tables that a hook reaches, every one after those it goes to, in the order in which its lines name them.
    fn targets_first(&self, hook: &HookGraph) -> Vec<TableId> {
        let mut order = Vec::new();
        let mut seen: HashSet<TableId> = HashSet::new();
        // Tables under way, with the targets that are still to be seen.
        let mut way: Vec<(TableId, Vec<TableId>)> = Vec::new();
        for (_, tail) in &hook.entries {
            let mut next = tail.goto();
            loop {
                if let Some(id) = next.take().filter(|id| seen.insert(*id)) {
                    let tails = self.get(id).into_iter().flat_map(Table::tails);
                    let mut targets: Vec<TableId> = tails.filter_map(Tail::goto).collect();
                    targets.reverse();
                    way.push((id, targets));
                }
                let Some((id, targets)) = way.last_mut() else { break };
                next = targets.pop();
                if next.is_none() {
                    order.push(*id);
                    way.pop();
                }
            }
        }
        order
    }

    /// A new graph in which `place` has put each table, one after all those that it goes to: it answers with the table
    /// to go to instead.
    #[must_use]
    pub fn rebuilt(&self, mut place: impl FnMut(&mut Self, &HookGraph, Rc<Table>) -> TableId) -> Self {
        let mut new = Self { rules: self.rules.clone(), notes: self.notes.clone(), most: self.most, ..Self::default() };
        for hook in &self.hooks {
            let mut moved: HashMap<TableId, TableId> = HashMap::new();
            let redirect = |tail: &mut Tail, moved: &HashMap<TableId, TableId>| {
                if let End::Goto(to) = &mut tail.end
                    && let Some(now) = moved.get(to)
                {
                    *to = *now;
                }
            };
            for id in self.targets_first(hook) {
                let Some(mut table) = self.tables.node_weight(id.0).cloned() else { continue };
                if table.tails().filter_map(Tail::goto).any(|to| moved.get(&to).is_some_and(|now| *now != to)) {
                    let table = Rc::make_mut(&mut table);
                    table.lines.iter_mut().for_each(|line| redirect(&mut line.tail, &moved));
                    redirect(&mut table.otherwise, &moved);
                }
                let now = place(&mut new, hook, table);
                moved.insert(id, now);
            }
            let mut hook = hook.clone();
            hook.entries.iter_mut().for_each(|(_, tail)| redirect(tail, &moved));
            new.hooks.push(hook);
        }
        new
    }

    /// Filters of all tables that packets of this hook reach, their last ones not counted.
    #[must_use]
    pub fn filters(&self, hook: &HookGraph) -> u64 {
        let lines = self.reachable(hook).into_iter().filter_map(|id| self.get(id)).flat_map(|table| &table.lines);
        lines.map(Line::product).fold(0, u64::saturating_add)
    }

    /// The most gotos that a packet of this hook can make, the entry's included.
    #[must_use]
    pub fn depth(&self, hook: &HookGraph) -> usize {
        let mut depth: HashMap<NodeIndex, usize> = HashMap::new();
        for TableId(node) in self.reachable(hook).into_iter().rev() {
            let below = self.tables.neighbors_directed(node, Direction::Outgoing);
            let most = below.filter_map(|to| depth.get(&to)).max().copied().unwrap_or(0);
            depth.insert(node, most + 1);
        }
        let entries = hook.entries.iter().filter_map(|(_, tail)| tail.goto());
        entries.filter_map(|id| depth.get(&id.0)).max().copied().unwrap_or(0).max(hook.deep)
    }
}
