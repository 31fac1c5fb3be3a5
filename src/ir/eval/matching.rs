//! Whether a rule speaks of a packet.

use super::Run;
use crate::abi::{eth, ipproto};
use crate::field::{Cond, Field};
use crate::ir::packet::{CtView, Packet};
use crate::ir::policy::{Alt, Link, Policy, Rule, State, StateSet};

impl Run<'_> {
    /// Whether the rule matches the packet as it is now.
    pub(super) fn matches(&self, rule: &Rule) -> bool {
        let own = self.attach.passes.get(rule.pass).and_then(|zone| self.views.get(zone));
        let state_fits = match own {
            Some(view) => state_matches(self.policy, rule, *view) && !self.acts_where_invalid(rule),
            // Prefilters and untracked policies have no state words; frames other than IP have no state.
            None => !has_state_words(rule),
        };
        state_fits && rule.alts.iter().any(|alt| headers_match(alt, &self.packet))
    }

    /// A rule that translates or commits never matches what is invalid, in none of the zones where it does so.
    fn acts_where_invalid(&self, rule: &Rule) -> bool {
        let named = rule.actions.nat.iter().map(|(zone, _)| zone).chain(&rule.actions.commit_zones);
        named.filter_map(|zone| self.views.get(zone)).any(|view| view.state == State::Invalid)
    }
}

fn has_state_words(rule: &Rule) -> bool {
    let every_state = rule.states.and(StateSet::TRACKED) == StateSet::TRACKED;
    !every_state || rule.mark.is_some() || rule.label.is_some() || rule.snat.is_some() || rule.dnat.is_some()
}

fn state_matches(policy: &Policy, rule: &Rule, view: CtView) -> bool {
    let bits = policy.nat_bits;
    // A reply goes back to the address that took the place of the source: its destination is translated.
    let (source, destination) = if view.state.is_reply() { (bits.dnat, bits.snat) } else { (bits.snat, bits.dnat) };
    rule.states.contains(view.state)
        && rule.mark.as_ref().is_none_or(|conds| any(conds, u128::from(view.mark)))
        && rule.label.as_ref().is_none_or(|conds| any(conds, view.label))
        && rule.snat.is_none_or(|wanted| wanted == (view.mark & source != 0))
        && rule.dnat.is_none_or(|wanted| wanted == (view.mark & destination != 0))
}

fn any(conds: &[Cond], value: u128) -> bool {
    conds.iter().any(|cond| cond.matches(value))
}

fn headers_match(alt: &Alt, packet: &Packet) -> bool {
    let ethertype = match alt.link {
        Link::Ip4 => eth::P_IP,
        Link::Ip6 => eth::P_IPV6,
        Link::Ether(other) => other,
    };
    let tag_fits = match (&alt.vlan, packet.vlan) {
        (None, None) => true,
        (Some(ids), Some(id)) => ids.contains(&id),
        _ => false,
    };
    packet.ethertype == ethertype
        && tag_fits
        && !alt.not_in.contains(&packet.device)
        && alt.sets.iter().all(|(field, conds)| packet.get(*field).is_some_and(|value| any(conds, value)))
}

/// ARP, IPv6 neighbour discovery and MLD: ICMPv6 130-136 and 143.
pub(super) fn is_neighbour_talk(packet: &Packet) -> bool {
    let icmp6 = packet.ethertype == eth::P_IPV6 && packet.get(Field::IpProto) == Some(u128::from(ipproto::ICMPV6));
    let known_type = matches!(packet.get(Field::IcmpType), Some(130..=136 | 143));
    packet.ethertype == eth::P_ARP || (icmp6 && known_type)
}
