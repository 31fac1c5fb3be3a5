//! What one packet pays, exactly: the masks it visits until a filter matches, chain after chain.

use std::collections::{BTreeMap, HashMap};

use super::PacketCost;
use super::layout::{Layout, Table};
use super::model;
use super::worst::{conntrack, end};
use crate::abi::{GOTO_MAX, eth};
use crate::emit::eval::{Mask, dissect};
use crate::emit::program::{Action, Attached, Control, Ct, Filter};
use crate::field::{Cond, Field};
use crate::ir::packet::{CtView, Packet};

/// Masked values to the filter that asks for them. Never iterated.
type Index = HashMap<Vec<u128>, usize>;

/// A policy's chains, with an index for each hash table, so that many packets can be sent through them.
pub struct Walker<'a> {
    entry: Indexed<'a>,
    chains: BTreeMap<u32, Indexed<'a>>,
}

struct Indexed<'a> {
    layout: Layout<'a>,
    /// One for each table, prio by prio; none for lists of ranges.
    indexes: Vec<Vec<Option<Index>>>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// What it paid.
    pub cost: PacketCost,
    /// The rule of the filter that decided ([`Filter::rule`]); `None` where it fell off a chain or made too many gotos.
    pub rule: Option<usize>,
}

impl<'a> Walker<'a> {
    /// Reads the chains of a policy.
    #[must_use]
    pub fn new(attached: &'a Attached) -> Self {
        let chains = attached.chains.iter().map(|chain| (chain.index, Indexed::of(Layout::of(chain)))).collect();
        Self { entry: Indexed::of(Layout::of(&attached.entry)), chains }
    }

    /// Sends a packet through.
    #[must_use]
    pub fn walk(&self, packet: &Packet) -> Walk {
        let view = packet.carried.unwrap_or(CtView::UNTRACKED);
        let cost = PacketCost { instructions: model::PATH, ..PacketCost::default() };
        let mut skb = Skb { packet: packet.clone(), zone: 0, view, passes: BTreeMap::new(), cost };
        let mut chain = Some(&self.entry);
        let mut rule = None;
        while let Some(indexed) = chain.filter(|_| (skb.cost.gotos as usize) <= GOTO_MAX) {
            let Some((filter, control)) = indexed.run(&mut skb) else { break };
            let Control::Goto(target) = control else {
                rule = Some(filter.rule);
                break;
            };
            skb.cost.gotos += 1;
            skb.cost.instructions += model::GOTO;
            chain = self.chains.get(&target);
        }
        Walk { cost: skb.cost, rule }
    }
}

impl<'a> Indexed<'a> {
    fn of(layout: Layout<'a>) -> Self {
        let index = |table: &Table| {
            (!table.is_list()).then(|| {
                let mut index = Index::new();
                for (at, filter) in table.filters.iter().enumerate() {
                    index.entry(values(table, |field| key_value(filter, field))).or_insert(at);
                }
                index
            })
        };
        let indexes = layout.prios.iter().map(|prio| prio.tables.iter().map(index).collect()).collect();
        Self { layout, indexes }
    }

    /// The filter that ends this chain, and how.
    fn run(&self, skb: &mut Skb) -> Option<(&'a Filter, Control)> {
        for (prio, indexes) in self.layout.prios.iter().zip(&self.indexes) {
            if ![skb.packet.protocol(), eth::P_ALL].contains(&prio.protocol) {
                skb.cost.skipped += 1;
                skb.cost.instructions += model::SKIP;
                continue;
            }
            skb.cost.prios += 1;
            skb.cost.instructions += model::PRIO;
            for (table, index) in prio.tables.iter().zip(indexes) {
                let Some(filter) = skb.look_up(table, index.as_ref(), prio.protocol) else { continue };
                skb.cost.instructions += model::hit(&table.mask, prio.protocol);
                skb.act(filter);
                let control = end(filter);
                if control != Control::Continue {
                    return Some((filter, control));
                }
                break;
            }
        }
        None
    }
}

/// The packet, and what the kernel keeps beside it.
struct Skb {
    packet: Packet,
    zone: u16,
    view: CtView,
    passes: BTreeMap<u16, usize>,
    cost: PacketCost,
}

impl Skb {
    fn look_up<'a>(&mut self, table: &Table<'a>, index: Option<&Index>, protocol: u16) -> Option<&'a Filter> {
        self.cost.masks += 1;
        if let Some(index) = index {
            self.cost.instructions += model::miss(&table.mask, protocol);
            let at = index.get(&values(table, |field| self.dissect(field)))?;
            return table.filters.get(*at).copied();
        }
        self.cost.instructions += model::RANGE_MISS;
        for filter in &table.filters {
            self.cost.instructions += model::RANGE_FILTER;
            if self.matches(filter, true) {
                self.cost.instructions += model::RANGE_LOOKUP;
                if self.matches(filter, false) {
                    return Some(filter);
                }
            }
        }
        None
    }

    /// Whether the packet is in the filter's ranges, or has its other keys.
    fn matches(&self, filter: &Filter, ranges: bool) -> bool {
        let mut keys = filter.keys.iter().filter(|key| matches!(key.cond, Cond::Range { .. }) == ranges);
        keys.all(|key| key.cond.matches(self.dissect(key.field)))
    }

    fn dissect(&self, field: Field) -> u128 {
        dissect(&self.packet, self.view, self.zone, field)
    }

    fn act(&mut self, filter: &Filter) {
        for action in filter.actions.iter() {
            match action {
                Action::Ct(Ct::Clear, _) => self.view = CtView::UNTRACKED,
                Action::Ct(Ct::Track { zone, .. }, _) => {
                    self.packet = self.packet.reassembled();
                    let before = self.passes.entry(*zone).or_default();
                    self.view = self.packet.view_after(*zone, *before);
                    *before += 1;
                    self.zone = *zone;
                }
                _ => {}
            }
        }
        let cost = conntrack(filter, Some(self.view.state));
        self.cost.instructions += cost;
        self.cost.conntrack += cost;
    }
}

/// The masked values of a table's fields.
fn values(table: &Table, value: impl Fn(Field) -> u128) -> Vec<u128> {
    let bits = |part: Mask| match part {
        Mask::Bits(bits) => bits,
        Mask::Range => 0,
    };
    table.mask.iter().map(|(field, part)| value(*field) & bits(*part)).collect()
}

fn key_value(filter: &Filter, field: Field) -> u128 {
    let found = filter.keys.iter().find(|key| key.field == field);
    match found.map(|key| key.cond) {
        Some(Cond::Bits { value, .. }) => value,
        Some(Cond::Range { .. }) | None => 0,
    }
}
