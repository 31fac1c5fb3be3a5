//! What must hold of a Program whatever the packet: what the kernel would silently ignore, refuse, or share.
//!
//! Flower drops a key whose prerequisite is missing and says nothing, a second filter of one handle is refused, a budget of two
//! rules is one budget: no packet of `emit::eval` shows any of it. So it is looked at here, filter by filter, and in nothing that makes filters.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::header::too_early;
use crate::abi::{ACTIONS_MAX, eth, ipproto};
use crate::emit::eval::mask_of;
use crate::emit::program::{Action, Attached, CHAINS_MAX, Chain, Control, Ct, Filter, Program};
use crate::field::{Cond, Field, MaskKind};
use crate::ir::policy::{Attach, Limit, Policy, State};

/// Prio and protocol of the entry filters, which `apply` replaces in place.
const ENTRY: [(u16, u16); 4] = [(1, eth::P_IP), (2, eth::P_IPV6), (3, eth::P_8021Q), (4, eth::P_ALL)];

/// What is wrong with a Program's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which block.
    pub block: usize,
    /// Where, and what.
    pub text: String,
}

/// All that is wrong with the form of this Program of this policy.
#[must_use]
pub fn faults(policy: &Policy, program: &Program) -> Vec<Fault> {
    let mut list = Vec::new();
    let mut owners = HashMap::new();
    for (block, attach) in policy.attaches.iter().enumerate() {
        let mut say = |text: String| list.push(Fault { block, text });
        match program.attaches.get(block) {
            Some(attached) => {
                place(attach, attached, &mut say);
                chains(program, attached, &mut say);
                too_early(policy, program, attach, attached, &mut say);
                budgets(program, attach, attached, &mut owners, &mut say);
            }
            None => say("it has no filters".to_owned()),
        }
    }
    if program.attaches.len() > policy.attaches.len() {
        list.push(Fault { block: 0, text: "there are filters of a policy that is not in the file".to_owned() });
    }
    list
}

/// Name, devices and hook.
fn place(attach: &Attach, attached: &Attached, say: &mut impl FnMut(String)) {
    let devices = |list: &[String]| list.iter().cloned().collect::<BTreeSet<String>>();
    if devices(&attach.devices) != devices(&attached.devices) || attach.hook != attached.hook {
        let on = format!("{} {}", attached.devices.join(", "), attached.hook.word());
        say(format!("its filters are for {on}"));
    }
    if attach.name != attached.name {
        say(format!("its filters are those of `{}`", attached.name));
    }
}

fn chains(program: &Program, attached: &Attached, say: &mut impl FnMut(String)) {
    let known: BTreeSet<u32> = attached.all_chains().map(|chain| chain.index).collect();
    let entry = &attached.entry;
    let fixed: Vec<(u16, u16)> = entry.filters.iter().map(|filter| (filter.prio, filter.protocol)).collect();
    if entry.index != 0 || fixed != ENTRY || entry.filters.iter().any(|filter| !filter.keys.is_empty()) {
        say("the entry is not the four filters of chain 0 that can be replaced in place".to_owned());
    }
    if known.len() != attached.chains.len() + 1 || known.iter().any(|index| *index > CHAINS_MAX) {
        say("chain numbers are not distinct, or too high".to_owned());
    }
    for chain in attached.all_chains() {
        order(chain, &mut |text| say(format!("chain {}: {text}", chain.index)));
        match chain.filters.last() {
            Some(end) if end.keys.is_empty() && end.protocol == eth::P_ALL => {}
            _ => say(format!("chain {} does not end in a filter that matches everything", chain.index)),
        }
        for filter in &chain.filters {
            let mut at = |text| say(format!("chain {} prio {}: {text}", chain.index, filter.prio));
            if program.rules.get(filter.rule).is_none() {
                at("a filter belongs to no rule".to_owned());
            }
            keys(filter, &mut at);
            actions(filter, &known, &mut at);
        }
        for prio in chain.filters.chunk_by(|a, b| a.prio == b.prio) {
            within_prio(prio, &mut |text| say(format!("chain {}: {text}", chain.index)));
        }
    }
}

fn order(chain: &Chain, say: &mut impl FnMut(String)) {
    let place = |filter: &Filter| (filter.prio, filter.handle);
    for [one, other] in chain.filters.array_windows() {
        if place(one) >= place(other) {
            say(format!("prio {} handle {} does not come after the one before", other.prio, other.handle));
        }
    }
    if chain.filters.iter().any(|filter| filter.prio == 0 || filter.handle == 0) {
        say("a prio or handle is 0".to_owned());
    }
}

/// One protocol, one mask, and no key twice.
fn within_prio(filters: &[Filter], say: &mut impl FnMut(String)) {
    let Some(first) = filters.first() else { return };
    let (prio, mask) = (first.prio, mask_of(first));
    let mut seen = HashSet::with_capacity(filters.len());
    for filter in filters {
        if filter.protocol != first.protocol {
            say(format!("prio {prio} holds protocol {:#06x} and {:#06x}", first.protocol, filter.protocol));
        }
        if mask_of(filter) != mask {
            say(format!("prio {prio} holds filters of several masks"));
        }
        if !seen.insert(&filter.keys) {
            say(format!("prio {prio} holds two filters of the same keys"));
        }
    }
}

/// Flower drops keys that do not fit, without an error (kernel-facts 1.5).
fn keys(filter: &Filter, say: &mut impl FnMut(String)) {
    let exact = |field: Field| {
        let key = filter.keys.iter().find(|key| key.field == field)?;
        let Cond::Bits { value, mask } = key.cond else { return None };
        (mask == field.row().full_mask()).then_some(value)
    };
    let proto = exact(Field::IpProto).and_then(|value| u8::try_from(value).ok());
    let tagged = filter.protocol == eth::P_8021Q;
    let inner = || exact(Field::VlanEthType).and_then(|value| u16::try_from(value).ok());
    let ethertype = if tagged { inner() } else { Some(filter.protocol) };
    for key in &filter.keys {
        let (name, row) = (key.field.row().name, key.field.row());
        if !reads(key.field, tagged, ethertype, proto) {
            say(format!("flower ignores `{name}` there"));
        }
        let takes = match (key.cond, row.mask) {
            (Cond::Range { lo, hi }, MaskKind::BitsOrRange) => lo < hi,
            (Cond::Range { .. }, _) => false,
            (Cond::Bits { value, mask }, MaskKind::Exact) => mask == row.full_mask() && value & !mask == 0,
            (Cond::Bits { value, mask }, _) => value & !mask == 0 && mask & !row.full_mask() == 0 && mask != 0,
        };
        if !takes {
            say(format!("flower does not take this value or mask of `{name}`"));
        }
        let shows = |state: State| key.cond.matches(state.bits().into());
        if key.field == Field::CtState && !State::ALL.into_iter().any(shows) {
            say("no packet has the state that is asked".to_owned());
        }
    }
    if !filter.keys.array_windows().all(|[one, other]| one.field < other.field) {
        say("its keys are not in canonical order".to_owned());
    }
}

/// Whether flower reads this field under an ethertype (behind the tag, if there is one) and an IP protocol.
fn reads(field: Field, tagged: bool, ethertype: Option<u16>, proto: Option<u8>) -> bool {
    let (ip4, ip6) = (ethertype == Some(eth::P_IP), ethertype == Some(eth::P_IPV6));
    let ip = ip4 || ip6;
    match field {
        Field::VlanId | Field::VlanEthType => tagged,
        Field::IpProto | Field::IpTos | Field::IpTtl | Field::IpFlags => ip,
        Field::Ipv4Src | Field::Ipv4Dst => ip4,
        Field::Ipv6Src | Field::Ipv6Dst => ip6,
        Field::SrcPort | Field::DstPort => ip && matches!(proto, Some(ipproto::TCP | ipproto::UDP | ipproto::SCTP)),
        Field::TcpFlags => ip && proto == Some(ipproto::TCP),
        Field::IcmpType | Field::IcmpCode => {
            (ip4 && proto == Some(ipproto::ICMP)) || (ip6 && proto == Some(ipproto::ICMPV6))
        }
        Field::InDev
        | Field::EthSrc
        | Field::EthDst
        | Field::CtState
        | Field::CtZone
        | Field::CtMark
        | Field::CtLabel => true,
    }
}

/// One verdict, at the end, within what the kernel runs; each value within its mask.
fn actions(filter: &Filter, chains: &BTreeSet<u32>, say: &mut impl FnMut(String)) {
    if filter.actions.is_empty() || filter.actions.len() > usize::from(ACTIONS_MAX) {
        say(format!("a filter has {} actions, the kernel runs 1 to {ACTIONS_MAX}", filter.actions.len()));
    }
    for (at, action) in filter.actions.iter().enumerate() {
        let control = action.control();
        if (control == Control::Pipe) == (at + 1 == filter.actions.len()) {
            say(format!(
                "action {} of a filter must {}decide",
                at + 1,
                if control == Control::Pipe { "" } else { "not " }
            ));
        }
        if let Control::Goto(chain) = control
            && !chains.contains(&chain)
        {
            say(format!("a filter goes to chain {chain}, which is not there"));
        }
        if let Action::Ct(Ct::Commit(commit), _) = action {
            let mark = commit.mark.is_none_or(|(value, mask)| value & !mask == 0);
            let label = commit.label.is_none_or(|(value, mask)| value & !mask == 0);
            if !mark || !label {
                say("a commit sets bits outside its mask".to_owned());
            }
        }
    }
}

/// Each rule that limits has one budget of its own, with its rate. `owners` are the rules of the budgets known so far.
fn budgets(
    program: &Program,
    attach: &Attach,
    attached: &Attached,
    owners: &mut HashMap<u32, usize>,
    say: &mut impl FnMut(String),
) {
    let limits: HashMap<u32, Option<Limit>> =
        attach.all_rules().map(|rule| (rule.info.ident, rule.actions.limit)).collect();
    let mut known: BTreeMap<usize, u32> = BTreeMap::new();
    for filter in attached.all_chains().flat_map(|chain| &chain.filters) {
        let Some(rule) = program.rules.get(filter.rule) else { continue };
        for action in filter.actions.iter() {
            let Action::Police(police) = action else { continue };
            if limits.get(&rule.ident) != Some(&Some(police.limit)) {
                say(format!("`{}` is held to another rate than it says", rule.text));
            }
            if *known.entry(filter.rule).or_insert(police.budget) != police.budget {
                say(format!("`{}` has several budgets", rule.text));
            }
            if *owners.entry(police.budget).or_insert(filter.rule) != filter.rule {
                say(format!("`{}` shares its budget with another rule", rule.text));
            }
        }
    }
}
