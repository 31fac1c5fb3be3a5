//! What rules behind conntrack ask before it.
//!
//! Conntrack makes fragments whole and translates: behind it a packet has another header. Neither `ir::eval` nor `emit::eval` rewrites one, so
//! no packet of theirs shows that a filter asks for what is not there yet. It is looked at here: the filters of a rule that sees the packet as
//! conntrack left it ask before it for nothing that conntrack changes.

use std::collections::{HashMap, HashSet};

use crate::abi::eth;
use crate::emit::program::{Action, Attached, Chain, Control, Ct, Filter, Program, Role};
use crate::field::{Field, Key};
use crate::ir::policy::{Attach, Policy};

/// How a packet has come to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Way {
    /// Through conntrack.
    tracked: bool,
    /// And what it has on record was applied.
    translated: bool,
}

/// Says which filters ask too early.
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
    let translates = attach.passes.iter().any(|zone| policy.translating.contains(zone));
    let start = Way { tracked: false, translated: false };
    let chains: HashMap<u32, &Chain> = attached.chains.iter().map(|chain| (chain.index, chain)).collect();
    let mut open: Vec<(&Chain, Way)> = vec![(&attached.entry, start)];
    let mut seen: HashSet<(u32, Way)> = HashSet::new();
    while let Some((chain, way)) = open.pop() {
        if !seen.insert((chain.index, way)) {
            continue;
        }
        for filter in &chain.filters {
            let fixed = |field: Field| is_fixed(field, filter, way, translates);
            let asks = filter.keys.iter().find(|key| !fixed(key.field));
            if let Some(key) = asks.filter(|_| behind.get(filter.rule).copied().unwrap_or_default()) {
                let (name, chain) = (key.field.row().name, chain.index);
                say(format!(
                    "chain {chain} prio {}: `{name}` is asked of what conntrack may still change",
                    filter.prio
                ));
            }
            let (way, next) = after(filter, way);
            open.extend(next.and_then(|index| chains.get(&index)).map(|chain| (*chain, way)));
        }
    }
}

/// Whether no pass that is still to come changes the field.
fn is_fixed(field: Field, filter: &Filter, way: Way, translates: bool) -> bool {
    match field {
        Field::InDev | Field::EthSrc | Field::EthDst | Field::VlanId | Field::VlanEthType => true,
        Field::Ipv4Src | Field::Ipv4Dst | Field::Ipv6Src | Field::Ipv6Dst => !translates || way.translated,
        Field::SrcPort | Field::DstPort => way.tracked && (!translates || way.translated),
        // Behind IPv6's header another may stand in each fragment.
        Field::IpProto => way.tracked || is_ip4(filter),
        _ => way.tracked,
    }
}

fn is_ip4(filter: &Filter) -> bool {
    let inner = Key::exact(Field::VlanEthType, eth::P_IP.into());
    filter.protocol == eth::P_IP || filter.keys.contains(&inner)
}

/// How a packet goes on from this filter, and to which chain.
fn after(filter: &Filter, mut way: Way) -> (Way, Option<u32>) {
    let mut next = None;
    for action in filter.actions.iter() {
        if let Action::Ct(Ct::Track { nat, .. }, _) = action {
            way = Way { tracked: true, translated: way.translated || *nat };
        }
        if let Action::Gact(Control::Goto(chain)) | Action::Ct(_, Control::Goto(chain)) = action {
            next = Some(*chain);
        }
    }
    (way, next)
}
