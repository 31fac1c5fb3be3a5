//! What a Program costs: filters once, lookups for every packet.
//!
//! A packet pays one dissection and one lookup for each (chain, prio, mask) that it visits, so that is what is counted,
//! for the packet of each class that pays most ([`cost`], a bound along the graph of chains) and for a given packet
//! ([`walk`], exact). [`model`] turns visits into instructions.

mod layout;
pub mod limit;
pub mod model;
pub mod report;
#[cfg(test)]
mod tests;
pub mod walk;
mod worst;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Add;

use serde::Serialize;

use super::program::{Attached, Program};
use crate::abi::eth;
use crate::ir::policy::{Alt, Attach, Policy, State};
use worst::{Graph, PROTOCOLS};

/// What a packet pays on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PacketCost {
    /// (chain, prio, mask) visits: each is a dissection of the packet and a lookup.
    pub masks: u32,
    /// (chain, prio) visits.
    pub prios: u32,
    /// Prios of other protocols, passed over.
    pub skipped: u32,
    /// Gotos.
    pub gotos: u32,
    /// Modelled instructions of all of it, conntrack included.
    pub instructions: u64,
    /// Of these, act_ct: what no layout of filters changes.
    pub conntrack: u64,
}

impl Add for PacketCost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            masks: self.masks + other.masks,
            prios: self.prios + other.prios,
            skipped: self.skipped + other.skipped,
            gotos: self.gotos + other.gotos,
            instructions: self.instructions + other.instructions,
            conntrack: self.conntrack + other.conntrack,
        }
    }
}

/// What there is to load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Filters, those of chain 0 included.
    pub filters: usize,
    /// Chains, chain 0 included.
    pub chains: usize,
    /// (chain, prio) pairs.
    pub prios: usize,
    /// (chain, prio, mask) triples: hash tables.
    pub tables: usize,
    /// Different masks.
    pub masks: usize,
    /// The most gotos on any way.
    pub gotos: u32,
}

/// The dearest packet of each class; `None` where no packet is of that class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Classes {
    /// IPv4, of an established connection in every zone; only where the policy tracks.
    pub established_ip4: Option<PacketCost>,
    /// The same for IPv6.
    pub established_ip6: Option<PacketCost>,
    /// IPv4, the first of a connection in every zone; only where the policy tracks.
    pub new_ip4: Option<PacketCost>,
    /// The same for IPv6.
    pub new_ip6: Option<PacketCost>,
    /// Dropped, whatever its state.
    pub dropped: Option<PacketCost>,
    /// Any.
    pub any: Option<PacketCost>,
}

impl Classes {
    /// All with their names.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, Option<PacketCost>); 6] {
        [
            ("established, IPv4", self.established_ip4),
            ("established, IPv6", self.established_ip6),
            ("new, IPv4", self.new_ip4),
            ("new, IPv6", self.new_ip6),
            ("dropped", self.dropped),
            ("any", self.any),
        ]
    }
}

/// One policy's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttachCost {
    /// The policy's name; empty for bare rules.
    pub policy: String,
    /// `ingress` or `egress`.
    pub hook: &'static str,
    /// Its devices.
    pub devices: Vec<String>,
    /// What there is to load.
    #[serde(flatten)]
    pub sizes: Sizes,
    /// What packets pay: upper bounds, see [`worst`].
    pub worst: Classes,
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleCost {
    /// Index into `Program::rules`.
    pub rule: usize,
    /// Its filters, in all chains.
    pub filters: usize,
    /// Entries that its sets list, added and not multiplied; 0 for what the compiler adds.
    pub lists: usize,
    /// The policy's name.
    pub policy: String,
    /// Its words.
    pub text: String,
    /// File, line and column.
    pub place: String,
}

/// The cost of a Program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Filters of all policies.
    pub filters: usize,
    /// One for each policy, in the order written.
    pub policies: Vec<AttachCost>,
    /// One for each rule that has filters, most filters first.
    pub rules: Vec<RuleCost>,
}

/// What `program` costs. `policy` is where it came from: it says what each rule lists.
#[must_use]
pub fn cost(program: &Program, policy: &Policy) -> Cost {
    let policies: Vec<AttachCost> = program.attaches.iter().map(attach).collect();
    Cost { filters: policies.iter().map(|own| own.sizes.filters).sum(), policies, rules: rules(program, policy) }
}

fn attach(attached: &Attached) -> AttachCost {
    let graph = Graph::of(attached);
    let masks: BTreeSet<_> = graph.layouts().flat_map(|layout| layout.tables().map(|table| &table.mask)).collect();
    let sizes = Sizes {
        filters: graph.layouts().flat_map(|layout| layout.tables().map(|table| table.filters.len())).sum(),
        chains: graph.layouts().count(),
        prios: graph.layouts().map(|layout| layout.prios.len()).sum(),
        tables: graph.layouts().map(|layout| layout.tables().count()).sum(),
        masks: masks.len(),
        gotos: graph.depth(),
    };
    let (any, dropped) = graph.worst(&PROTOCOLS, &[None]);
    let tracks = attached.tracks();
    let of = |protocol, states: &[Option<State>]| tracks.then(|| graph.worst(&[protocol], states).0).flatten();
    let established = [Some(State::Established), Some(State::EstablishedReply)];
    let worst = Classes {
        established_ip4: of(eth::P_IP, &established),
        established_ip6: of(eth::P_IPV6, &established),
        new_ip4: of(eth::P_IP, &[Some(State::New)]),
        new_ip6: of(eth::P_IPV6, &[Some(State::New)]),
        dropped,
        any,
    };
    let devices = attached.devices.clone();
    AttachCost { policy: attached.name.clone(), hook: attached.hook.word(), devices, sizes, worst }
}

fn rules(program: &Program, policy: &Policy) -> Vec<RuleCost> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for filter in program.filters() {
        *counts.entry(filter.rule).or_default() += 1;
    }
    let listed = listed(policy);
    let row = |(rule, filters): (usize, usize)| {
        let origin = program.rules.get(rule)?;
        let lists = listed.get(&(origin.policy.as_str(), origin.position)).copied().unwrap_or_default();
        let (policy, text, place) = (origin.policy.clone(), origin.text.clone(), origin.place.clone());
        Some(RuleCost { rule, filters, lists, policy, text, place })
    };
    let mut rules: Vec<RuleCost> = counts.into_iter().filter_map(row).collect();
    rules.sort_by_key(|rule| (std::cmp::Reverse(rule.filters), rule.rule));
    rules
}

/// How many entries each rule's sets hold together, by policy and position. A field with one value is no set; a rule
/// without sets lists itself, once for each family that it speaks of.
fn listed(policy: &Policy) -> BTreeMap<(&str, usize), usize> {
    let entries = |alt: &Alt| -> usize {
        let vlans = alt.vlan.iter().map(Vec::len);
        let sets = alt.sets.iter().map(|(_, conds)| conds.len()).chain(vlans).filter(|entries| *entries > 1);
        sets.sum::<usize>().max(1)
    };
    let rules = policy.attaches.iter().flat_map(Attach::all_rules);
    rules
        .map(|rule| {
            let lists = rule.alts.iter().map(entries).sum();
            ((&*rule.info.policy, rule.info.position), lists)
        })
        .collect()
}
