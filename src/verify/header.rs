//! What rules behind conntrack ask before it.
//!
//! Conntrack makes fragments whole and translates: behind it a packet has another header. Neither `ir::eval` nor `emit::eval` rewrites one, so
//! no packet of theirs shows that a filter asks for what is not there yet. It is looked at here: the filters of a rule that sees the packet as
//! conntrack left it ask before it for nothing that conntrack changes; nor between two zones for what the second may translate.

use std::collections::{BTreeSet, HashSet};

use super::chains::gotos;
use crate::abi::eth;
use crate::emit::program::{Action, Attached, Chain, Ct, Filter, Program, Role};
use crate::field::{Field, Key};
use crate::ir::policy::{Attach, Policy};

/// How a packet has come to a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Way {
    /// Through conntrack.
    tracked: bool,
    /// The zones in which what is on record was applied.
    translated: BTreeSet<u16>,
}

/// What conntrack has done to a packet at a filter.
#[derive(Clone, Copy)]
struct Header {
    /// Made it whole.
    whole: bool,
    /// Translated it for the last time: in all zones that translate, and in none once more (`lower::passes` sends replies
    /// back through an earlier zone).
    last: bool,
}

/// Says which filters ask too early. A rule is asked behind all passes, whichever its own is (language.md 3.2).
pub fn too_early(
    policy: &Policy,
    program: &Program,
    attach: &Attach,
    attached: &Attached,
    say: &mut impl FnMut(String),
) {
    if !attach.tracked() {
        return;
    }
    let late: HashSet<u32> = attach.rules.iter().map(|rule| rule.info.ident).collect();
    let behind: Vec<bool> = program
        .rules
        .iter()
        .map(|rule| rule.policy == attach.name && rule.role == Role::Rule && late.contains(&rule.ident))
        .collect();
    let zones: BTreeSet<u16> = attach.passes.iter().copied().filter(|zone| policy.translating.contains(zone)).collect();
    let again = still_translating(attached);
    let mut open: Vec<(&Chain, Way)> = vec![(&attached.entry, Way::default())];
    let mut seen: HashSet<(u32, Way)> = HashSet::new();
    while let Some((chain, way)) = open.pop() {
        if !seen.insert((chain.index, way.clone())) {
            continue;
        }
        let last = zones.is_subset(&way.translated) && !again.contains(&chain.index);
        let header = Header { whole: way.tracked, last };
        for filter in &chain.filters {
            let asks = filter.keys.iter().find(|key| !is_fixed(key.field, filter, header));
            if let Some(key) = asks.filter(|_| behind.get(filter.rule).copied().unwrap_or_default()) {
                let (name, chain) = (key.field.row().name, chain.index);
                say(format!(
                    "chain {chain} prio {}: `{name}` is asked of what conntrack may still change",
                    filter.prio
                ));
            }
            let next = gotos(filter).filter_map(|index| attached.chain(index));
            open.extend(next.map(|next| (next, after(filter, way.clone()))));
        }
    }
}

/// The chains from which some way leads through a pass that translates.
fn still_translating(attached: &Attached) -> HashSet<u32> {
    let mut found: HashSet<u32> = HashSet::new();
    loop {
        let before = found.len();
        // Most chains lead to later ones: nearly all are found in one round.
        for chain in attached.chains.iter().rev().chain([&attached.entry]) {
            let leads = |filter: &Filter| {
                translations(filter).next().is_some() || gotos(filter).any(|next| found.contains(&next))
            };
            if chain.filters.iter().any(leads) {
                found.insert(chain.index);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Whether no pass that is still to come changes the field.
fn is_fixed(field: Field, filter: &Filter, header: Header) -> bool {
    match field {
        Field::InDev | Field::EthSrc | Field::EthDst | Field::VlanId | Field::VlanEthType => true,
        Field::Ipv4Src | Field::Ipv4Dst | Field::Ipv6Src | Field::Ipv6Dst => header.last,
        Field::SrcPort | Field::DstPort => header.whole && header.last,
        // Behind IPv6's header another may stand in each fragment.
        Field::IpProto => header.whole || is_ip4(filter),
        _ => header.whole,
    }
}

fn is_ip4(filter: &Filter) -> bool {
    let inner = Key::exact(Field::VlanEthType, eth::P_IP.into());
    filter.protocol == eth::P_IP || filter.keys.contains(&inner)
}

/// How a packet goes on from this filter.
fn after(filter: &Filter, mut way: Way) -> Way {
    way.tracked |= filter.actions.iter().any(|action| matches!(action, Action::Ct(Ct::Track { .. }, _)));
    way.translated.extend(translations(filter));
    way
}

/// The zones in which this filter applies what is on record.
fn translations(filter: &Filter) -> impl Iterator<Item = u16> {
    filter.actions.iter().filter_map(|action| match action {
        Action::Ct(Ct::Track { zone, nat: true }, _) => Some(*zone),
        _ => None,
    })
}
