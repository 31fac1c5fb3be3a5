//! Makes a failing case small: leave something out, keep the change if the case still fails, until nothing can go.

use ctpolicy::ir::outcome::is_icmp;
use ctpolicy::ir::packet::{CtView, Packet};
use ctpolicy::ir::policy::{Actions, Alt, Attach, Policy, Rule, StateSet, Verdict};

/// One policy block and one packet.
#[derive(Clone, Debug)]
pub struct Case {
    pub policy: Policy,
    /// Which block.
    pub block: usize,
    pub packet: Packet,
}

impl Case {
    pub fn attach(&self) -> &Attach {
        &self.policy.attaches[self.block]
    }
}

/// The smallest case near this one that still fails.
pub fn shrink(mut case: Case, fails: &dyn Fn(&Case) -> bool) -> Case {
    if case.policy.attaches.len() > 1 {
        let mut one = case.clone();
        one.policy.attaches = vec![case.attach().clone()];
        one.block = 0;
        if fails(&one) {
            case = one;
        }
    }
    while let Some(smaller) = smaller(&case).into_iter().find(|smaller| fails(smaller)) {
        case = smaller;
    }
    case
}

fn smaller(case: &Case) -> Vec<Case> {
    let mut list = Vec::new();
    let attach = case.attach();
    let mut edit = |change: &dyn Fn(&mut Attach)| {
        let mut other = case.clone();
        change(&mut other.policy.attaches[case.block]);
        list.push(other);
    };
    for index in 0..attach.rules.len() {
        edit(&|attach| drop(attach.rules.remove(index)));
    }
    for index in 0..attach.prefilter.len() {
        edit(&|attach| drop(attach.prefilter.remove(index)));
    }
    if attach.default_allow {
        edit(&|attach| attach.default_allow = false);
    }
    for (index, zone) in attach.passes.iter().enumerate() {
        let spoken = attach.rules.iter().any(|rule| rule.pass == index);
        if attach.passes.len() > 1 && !spoken {
            edit(&|attach| {
                attach.passes.retain(|other| other != zone);
                for rule in &mut attach.rules {
                    rule.pass -= usize::from(rule.pass > index);
                }
            });
        }
    }
    for (index, rule) in attach.rules.iter().enumerate() {
        for simpler in simpler(rule) {
            edit(&|attach| attach.rules[index] = simpler.clone());
        }
    }
    for (index, rule) in attach.prefilter.iter().enumerate() {
        for simpler in simpler(rule) {
            edit(&|attach| attach.prefilter[index] = simpler.clone());
        }
    }
    list.extend(simpler_file(case));
    list.extend(simpler_packet(case));
    list
}

fn simpler_file(case: &Case) -> Vec<Case> {
    let mut list = Vec::new();
    let rules = || case.policy.attaches.iter().flat_map(|attach| &attach.rules);
    for zone in &case.policy.translating {
        if !rules().any(|rule| rule.actions.nat.iter().any(|(other, _)| other == zone)) {
            let mut other = case.clone();
            other.policy.translating.remove(zone);
            list.push(other);
        }
    }
    if case.policy.nat_bits_used && !rules().any(|rule| rule.snat.is_some() || rule.dnat.is_some()) {
        let mut other = case.clone();
        other.policy.nat_bits_used = false;
        list.push(other);
    }
    list
}

fn simpler(rule: &Rule) -> Vec<Rule> {
    let mut list = Vec::new();
    let mut edit = |change: &dyn Fn(&mut Rule)| {
        let mut other = rule.clone();
        change(&mut other);
        list.push(other);
    };
    if rule.alts.len() > 1 {
        for index in 0..rule.alts.len() {
            edit(&|rule| drop(rule.alts.remove(index)));
        }
    }
    for (index, alt) in rule.alts.iter().enumerate() {
        for simpler in simpler_alt(alt) {
            edit(&|rule| rule.alts[index] = simpler.clone());
        }
    }
    if rule.verdict == Verdict::AllowStateless && rule.actions.commit_zones.is_empty() {
        edit(&|rule| rule.verdict = Verdict::Allow);
    }
    if rule.states.iter().count() > 1 {
        for state in rule.states.iter().filter(|_| rule.states != StateSet::ALL) {
            edit(&|rule| rule.states = StateSet::of(&[state]));
        }
    }
    let words: [fn(&mut Rule); 4] =
        [|rule| rule.mark = None, |rule| rule.label = None, |rule| rule.snat = None, |rule| rule.dnat = None];
    let actions: [fn(&mut Actions); 10] = [
        |actions| actions.limit = None,
        |actions| actions.mirror.clear(),
        |actions| actions.nat.clear(),
        |actions| actions.nat.truncate(1),
        |actions| actions.set_mark = None,
        |actions| actions.set_label = None,
        |actions| actions.force = false,
        |actions| actions.commit_zones.clear(),
        |actions| actions.helper = None,
        |actions| (actions.clear, actions.redirect) = (false, None),
    ];
    for word in words {
        edit(&|rule| word(rule));
    }
    for action in actions {
        edit(&|rule| action(std::sync::Arc::make_mut(&mut rule.actions)));
    }
    let same = |other: &Rule| {
        other.actions == rule.actions
            && (&other.mark, &other.label, other.snat, other.dnat) == (&rule.mark, &rule.label, rule.snat, rule.dnat)
            && (other.verdict, other.states, &other.alts) == (rule.verdict, rule.states, &rule.alts)
    };
    list.retain(|other| !same(other));
    list
}

fn simpler_alt(alt: &Alt) -> Vec<Alt> {
    let mut list = Vec::new();
    for (index, (_, conds)) in alt.sets.iter().enumerate() {
        // Dropping a protocol would leave ports without one; the fault would be ours.
        let needed = alt.sets[index].0 == ctpolicy::field::Field::IpProto
            && alt.sets.iter().any(|(field, _)| {
                use ctpolicy::field::Field::{DstPort, IcmpCode, IcmpType, SrcPort, TcpFlags};
                matches!(field, DstPort | SrcPort | IcmpCode | IcmpType | TcpFlags)
            });
        if !needed {
            let mut other = alt.clone();
            other.sets.remove(index);
            list.push(other);
        }
        for cond in 0..conds.len() * usize::from(conds.len() > 1) {
            let mut other = alt.clone();
            let mut fewer = conds.to_vec();
            fewer.remove(cond);
            other.sets[index].1 = fewer.into();
            list.push(other);
        }
    }
    if !alt.not_in.is_empty() {
        list.push(Alt { not_in: Vec::new(), ..alt.clone() });
    }
    if alt.vlan.is_some() {
        list.push(Alt { vlan: None, ..alt.clone() });
    }
    list
}

fn simpler_packet(case: &Case) -> Vec<Case> {
    let packet = &case.packet;
    let mut list = Vec::new();
    let mut put = |packet: Packet| list.push(Case { packet, ..case.clone() });
    if packet.fragment.is_some() {
        put(Packet { fragment: None, ..packet.clone() });
    }
    if packet.vlan.is_some() {
        put(Packet { vlan: None, ..packet.clone() });
    }
    if packet.carried.is_some() {
        put(Packet { carried: None, ..packet.clone() });
    }
    if !packet.exceeds.is_empty() {
        put(Packet { exceeds: Vec::new(), ..packet.clone() });
    }
    for zone in packet.again.keys() {
        let mut plain = packet.clone();
        plain.again.remove(zone);
        put(plain);
    }
    for (zone, view) in &packet.zones {
        let mut plain = packet.clone();
        plain.zones.remove(zone);
        if !is_icmp(packet) {
            // An unlisted zone takes the packet for new, as no zone does with an ICMP error.
            put(plain);
        }
        if (view.mark, view.label) != (0, 0) {
            let mut plain = packet.clone();
            plain.zones.insert(*zone, CtView { mark: 0, label: 0, translated: false, ..*view });
            put(plain);
        }
    }
    list
}
