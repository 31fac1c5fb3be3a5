//! What must hold of every Program, whatever the packet: what flower takes, and what never depends on the order of masks.

use std::collections::BTreeSet;

use ctpolicy::abi::{eth, ipproto};
use ctpolicy::emit::eval::mask_of;
use ctpolicy::emit::program::{Action, Attached, Chain, Control, Ct, Filter, Program};
use ctpolicy::field::{Cond, Field, MaskKind};
use ctpolicy::ir::policy::State;

/// What is wrong with the form of a block's chains.
pub fn faults(program: &Program, attached: &Attached) -> Vec<String> {
    let mut list = Vec::new();
    let chains: Vec<&Chain> = std::iter::once(&attached.entry).chain(&attached.chains).collect();
    let known: BTreeSet<u32> = chains.iter().map(|chain| chain.index).collect();
    if known.len() != chains.len() || attached.entry.index != 0 {
        list.push("chain numbers are not distinct, or the entry is not chain 0".to_owned());
    }
    for chain in chains {
        let mut say = |text: String| list.push(format!("chain {}: {text}", chain.index));
        order(chain, &mut say);
        match chain.filters.last() {
            Some(end) if end.keys.is_empty() && end.protocol == eth::P_ALL => {}
            _ => say("does not end in a filter that matches everything".to_owned()),
        }
        for filter in &chain.filters {
            if program.rules.get(filter.rule).is_none() {
                say(format!("{filter:?} belongs to no rule"));
            }
            keys(filter, &mut say);
            actions(filter, &known, &mut say);
        }
        let prios: BTreeSet<u16> = chain.filters.iter().map(|filter| filter.prio).collect();
        for prio in prios {
            let filters: Vec<&Filter> = chain.filters.iter().filter(|filter| filter.prio == prio).collect();
            within_prio(&filters, &mut say);
        }
    }
    list
}

fn order(chain: &Chain, say: &mut impl FnMut(String)) {
    for pair in chain.filters.windows(2) {
        if (pair[0].prio, pair[0].handle) >= (pair[1].prio, pair[1].handle) {
            say(format!("prio {} handle {} does not come after the one before", pair[1].prio, pair[1].handle));
        }
    }
    if chain.filters.iter().any(|filter| filter.prio == 0 || filter.handle == 0) {
        say("a prio or handle is 0".to_owned());
    }
}

/// Flower drops keys that do not fit, without an error (kernel-facts 1.5).
fn keys(filter: &Filter, say: &mut impl FnMut(String)) {
    let exact = |field: Field| {
        filter.keys.iter().find(|key| key.field == field).and_then(|key| match key.cond {
            Cond::Bits { value, mask } if mask == field.row().full_mask() => Some(value),
            _ => None,
        })
    };
    let proto = exact(Field::IpProto).and_then(|value| u8::try_from(value).ok());
    let tagged = filter.protocol == eth::P_8021Q;
    let ethertype =
        if tagged { exact(Field::VlanEthType).and_then(|v| u16::try_from(v).ok()) } else { Some(filter.protocol) };
    let (ip4, ip6) = (ethertype == Some(eth::P_IP), ethertype == Some(eth::P_IPV6));
    if !filter.keys.windows(2).all(|pair| pair[0].field < pair[1].field) {
        say(format!("keys are not in canonical order: {:?}", filter.keys));
    }
    for key in &filter.keys {
        let fits = match key.field {
            Field::VlanId | Field::VlanEthType => tagged,
            Field::IpProto | Field::IpTos | Field::IpTtl | Field::IpFlags => ip4 || ip6,
            Field::Ipv4Src | Field::Ipv4Dst => ip4,
            Field::Ipv6Src | Field::Ipv6Dst => ip6,
            Field::SrcPort | Field::DstPort => {
                (ip4 || ip6) && matches!(proto, Some(ipproto::TCP | ipproto::UDP | ipproto::SCTP))
            }
            Field::TcpFlags => (ip4 || ip6) && proto == Some(ipproto::TCP),
            Field::IcmpType | Field::IcmpCode => {
                (ip4 && proto == Some(ipproto::ICMP)) || (ip6 && proto == Some(ipproto::ICMPV6))
            }
            _ => true,
        };
        if !fits {
            say(format!(
                "flower ignores {:?} in a filter of {:#06x} with {:?}",
                key.field, filter.protocol, filter.keys
            ));
        }
        let row = key.field.row();
        let takes = match (key.cond, row.mask) {
            (Cond::Range { lo, hi }, MaskKind::BitsOrRange) => lo < hi,
            (Cond::Range { .. }, _) => false,
            (Cond::Bits { mask, .. }, MaskKind::Exact) => mask == row.full_mask(),
            (Cond::Bits { value, mask }, _) => value & !mask == 0 && mask & !row.full_mask() == 0 && mask != 0,
        };
        if !takes {
            say(format!("flower does not take {key:?}"));
        }
        if let (Field::CtState, Cond::Bits { value, mask }) = (key.field, key.cond)
            && !State::ALL.iter().any(|state| u128::from(state.bits()) & mask == value)
        {
            say(format!("no packet has the state {key:?}"));
        }
    }
}

fn actions(filter: &Filter, chains: &BTreeSet<u32>, say: &mut impl FnMut(String)) {
    if filter.actions.is_empty() || filter.actions.len() > 32 {
        say(format!("{} actions", filter.actions.len()));
    }
    for (index, action) in filter.actions.iter().enumerate() {
        let last = index + 1 == filter.actions.len();
        let control = match action {
            Action::Gact(control) | Action::Ct(_, control) => *control,
            Action::Mirred(mirred) if mirred.redirect => Control::Pass,
            Action::Mirred(_) => Control::Pipe,
            Action::Police(police) => police.conform,
        };
        if (control == Control::Pipe) == last {
            say(format!("action {index} of {:?} is {control:?}", filter.actions));
        }
        if let Control::Goto(chain) = control
            && !chains.contains(&chain)
        {
            say(format!("goes to chain {chain}, which is not there"));
        }
        if let Action::Ct(Ct::Commit(commit), _) = action {
            let mark = commit.mark.is_none_or(|(value, mask)| value & !mask == 0);
            let label = commit.label.is_none_or(|(value, mask)| value & !mask == 0);
            if !mark || !label {
                say(format!("{commit:?} has a value outside its mask"));
            }
        }
    }
}

/// One protocol, no key twice, and no two filters that one packet could hit.
fn within_prio(filters: &[&Filter], say: &mut impl FnMut(String)) {
    for (index, filter) in filters.iter().enumerate() {
        for other in &filters[index + 1..] {
            if filter.protocol != other.protocol {
                say(format!("prio {} holds {:#06x} and {:#06x}", filter.prio, filter.protocol, other.protocol));
            }
            let same_mask = mask_of(filter) == mask_of(other);
            if same_mask && filter.keys == other.keys {
                say(format!("prio {} holds twice {:?}", filter.prio, filter.keys));
            } else if overlap(filter, other) {
                say(format!("prio {}: one packet fits {:?} and {:?}", filter.prio, filter.keys, other.keys));
            }
        }
    }
}

fn overlap(a: &Filter, b: &Filter) -> bool {
    a.keys.iter().all(|key| {
        b.keys.iter().filter(|other| other.field == key.field).all(|other| {
            if key.field == Field::CtState {
                let both = |bits: u128| key.cond.matches(bits) && other.cond.matches(bits);
                return State::ALL.iter().any(|state| both(u128::from(state.bits())));
            }
            key.cond.overlaps(other.cond)
        })
    })
}
