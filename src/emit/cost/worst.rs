//! The packet that pays most, found along the graph of chains.
//!
//! What is exact: the way of one ethertype, and what is known of conntrack's state. What is a bound: header fields are not
//! followed from one chain to the next, nor from one prio to the next, so the way found may be one that no packet goes.
//! It is never too cheap.

use std::collections::BTreeMap;

use super::PacketCost;
use super::layout::{Layout, Table};
use super::model;
use crate::abi::eth;
use crate::emit::program::{Action, Attached, Control, Ct, Filter};
use crate::field::Field;
use crate::ir::policy::State;

/// The outermost ethertypes that entry filters tell apart; ARP stands for all others.
pub const PROTOCOLS: [u16; 4] = [eth::P_IP, eth::P_IPV6, eth::P_8021Q, eth::P_ARP];

/// The dearest ways from one chain on.
#[derive(Clone, Copy, Default)]
struct Ways {
    /// To any end.
    any: Option<PacketCost>,
    /// To a drop.
    drop: Option<PacketCost>,
}

impl Ways {
    fn take(&mut self, before: PacketCost, on: Self) {
        self.any = dearer(self.any, on.any.map(|cost| before + cost));
        self.drop = dearer(self.drop, on.drop.map(|cost| before + cost));
    }

    fn end(&mut self, cost: PacketCost, drops: bool) {
        self.any = dearer(self.any, Some(cost));
        if drops {
            self.drop = dearer(self.drop, Some(cost));
        }
    }
}

/// The dearer of two; conntrack's own cost, which no layout changes, decides only between equals.
pub fn dearer(a: Option<PacketCost>, b: Option<PacketCost>) -> Option<PacketCost> {
    a.into_iter().chain(b).max_by_key(|cost| (cost.instructions - cost.conntrack, cost.conntrack, cost.masks))
}

/// A policy's chains, read once.
pub struct Graph<'a> {
    entry: Layout<'a>,
    chains: BTreeMap<u32, Layout<'a>>,
}

impl<'a> Graph<'a> {
    pub fn of(attached: &'a Attached) -> Self {
        let chains = attached.chains.iter().map(|chain| (chain.index, Layout::of(chain))).collect();
        Self { entry: Layout::of(&attached.entry), chains }
    }

    /// All chains, the entry first.
    pub fn layouts(&self) -> impl Iterator<Item = &Layout<'a>> {
        [&self.entry].into_iter().chain(self.chains.values())
    }

    /// The dearest packet, and the dearest that is dropped, among those of these ethertypes whose every pass shows one of
    /// these states (`None`: any state).
    pub fn worst(&self, protocols: &[u16], states: &[Option<State>]) -> (Option<PacketCost>, Option<PacketCost>) {
        let mut worst = Ways::default();
        for state in states {
            for protocol in protocols {
                let start = PacketCost { instructions: model::PATH, ..PacketCost::default() };
                worst.take(start, self.ways(*protocol, *state));
            }
        }
        (worst.any, worst.drop)
    }

    /// The most gotos on any way.
    pub fn depth(&self) -> u32 {
        let mut depths: BTreeMap<u32, u32> = BTreeMap::new();
        let deepest = |layout: &Layout, depths: &BTreeMap<u32, u32>| {
            let filters = layout.tables().flat_map(|table| &table.filters);
            let targets = filters.filter_map(|filter| match end(filter) {
                Control::Goto(target) => Some(1 + depths.get(&target).copied().unwrap_or_default()),
                _ => None,
            });
            targets.max().unwrap_or_default()
        };
        for (index, layout) in self.chains.iter().rev() {
            let depth = deepest(layout, &depths);
            depths.insert(*index, depth);
        }
        deepest(&self.entry, &depths)
    }

    fn ways(&self, protocol: u16, state: Option<State>) -> Ways {
        let mut known = BTreeMap::new();
        // A chain's number is higher than those of all chains that go to it.
        for (index, layout) in self.chains.iter().rev() {
            let ways = ways_from(layout, protocol, state, &known);
            known.insert(*index, ways);
        }
        ways_from(&self.entry, protocol, state, &known)
    }
}

/// The dearest ways from this chain on.
fn ways_from(layout: &Layout, protocol: u16, state: Option<State>, known: &BTreeMap<u32, Ways>) -> Ways {
    let mut way = Way { state, known, at: PacketCost::default(), on: PacketCost::default(), ways: Ways::default() };
    for prio in &layout.prios {
        if ![protocol, eth::P_ALL].contains(&prio.protocol) {
            way.at = way.at + PacketCost { skipped: 1, instructions: model::SKIP, ..PacketCost::default() };
            continue;
        }
        way.at = way.at + PacketCost { prios: 1, instructions: model::PRIO, ..PacketCost::default() };
        way.on = PacketCost::default();
        let sure = prio.tables.iter().find_map(|table| way.visit(table, prio.protocol));
        if !matches!(sure, Some(Control::Continue) | None) {
            break;
        }
        way.at = way.at + way.on;
    }
    way.ways
}

/// A packet on its way through a chain.
struct Way<'a> {
    state: Option<State>,
    known: &'a BTreeMap<u32, Ways>,
    /// What it has paid.
    at: PacketCost,
    /// What the dearest filter of this prio adds that lets it go on.
    on: PacketCost,
    /// What has ended before here.
    ways: Ways,
}

impl Way<'_> {
    /// Takes every filter of a table that may match; answers with the end of one that surely does.
    fn visit(&mut self, table: &Table, protocol: u16) -> Option<Control> {
        self.at = self.at + PacketCost { masks: 1, instructions: table.most(protocol), ..PacketCost::default() };
        let hit = model::hit(&table.mask, protocol);
        for filter in &table.filters {
            let Some(surely) = fits(filter, self.state) else { continue };
            let conntrack = conntrack(filter, self.state);
            let own = PacketCost { instructions: hit + conntrack, conntrack, ..PacketCost::default() };
            let control = end(filter);
            match control {
                Control::Goto(target) => {
                    let goto = PacketCost { gotos: 1, instructions: model::GOTO, ..PacketCost::default() };
                    let ahead = self.known.get(&target).copied().unwrap_or_default();
                    self.ways.take(self.at + own + goto, ahead);
                }
                Control::Continue => self.on = dearer(Some(self.on), Some(own)).unwrap_or_default(),
                Control::Pass | Control::Pipe => self.ways.end(self.at + own, false),
                Control::Drop => self.ways.end(self.at + own, true),
            }
            if surely {
                return Some(control);
            }
        }
        table.is_complete().then_some(Control::Pipe)
    }
}

/// Whether a packet in this state may match, and whether it surely does. `None`: it does not.
fn fits(filter: &Filter, state: Option<State>) -> Option<bool> {
    let mut surely = true;
    for key in &filter.keys {
        match state.filter(|_| key.field == Field::CtState) {
            Some(state) if !key.cond.matches(u128::from(state.bits())) => return None,
            Some(_) => {}
            None => surely = false,
        }
    }
    Some(surely)
}

/// What the conntrack actions of a filter cost a packet in this state.
pub fn conntrack(filter: &Filter, state: Option<State>) -> u64 {
    let established = matches!(state, Some(State::Established | State::EstablishedReply));
    let cost = |action: &Action| match action {
        // A commit of an established connection was not measured: there is little more to do than in a pass.
        Action::Ct(Ct::Track { .. } | Ct::Commit(_), _) if established => model::CT_KNOWN,
        Action::Ct(Ct::Track { .. }, _) => model::CT_LOOKUP,
        Action::Ct(Ct::Commit(_), _) => model::CT_COMMIT,
        Action::Ct(Ct::Clear, _) | Action::Gact(_) | Action::Mirred(_) | Action::Police(_) => 0,
    };
    filter.actions.iter().map(cost).sum()
}

/// Where a filter's actions lead in the end.
pub fn end(filter: &Filter) -> Control {
    filter.actions.last().map_or(Control::Pass, Action::control)
}
