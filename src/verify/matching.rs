//! When a rule matches, for all packets at once.

use super::diagram::{FALSE, Full, Node, TRUE};
use super::guard::{Facts, Guard, keeps_whole, only};
use super::names::NEIGHBOUR_TALK;
use super::policy::{Context, Rules};
use super::world::World;
use crate::abi::{eth, ipproto};
use crate::field::{Cond, Field};
use crate::ir::packet::device_value;
use crate::ir::policy::{Alt, Link, Rule, State, StateSet};

impl Rules<'_> {
    /// When the rule matches: any of these.
    pub(super) fn guards(&mut self, rule: &Rule, context: &Context) -> Result<Vec<Guard>, Full> {
        let states = self.states(rule, context)?;
        let mut guards = Vec::with_capacity(rule.alts.len());
        for alt in &rule.alts {
            guards.extend(self.alternative(alt, &states, context)?);
        }
        Ok(guards)
    }

    /// When one alternative of a rule matches in these states; `None` where it never does.
    pub(super) fn alternative(&mut self, alt: &Alt, states: &Guard, context: &Context) -> Result<Option<Guard>, Full> {
        let is_ip = matches!(alt.link, Link::Ip4 | Link::Ip6 | Link::Ether(eth::P_IP | eth::P_IPV6));
        if states.is_never() || context.ip.is_some_and(|known| known != is_ip) {
            return Ok(None);
        }
        let guard = headers(self.world, alt, states.clone(), context.whole())?;
        Ok(Some(guard).filter(|guard| !guard.is_never()))
    }

    /// In which states a rule matches, where nothing is said of the header.
    pub(super) fn states(&mut self, rule: &Rule, context: &Context) -> Result<Guard, Full> {
        let mut guard = Guard::default();
        let Some(view) = self.attach.passes.get(rule.pass).and_then(|zone| context.views.get(zone)).copied() else {
            let every_state = rule.states.and(StateSet::TRACKED) == StateSet::TRACKED;
            let words = rule.mark.is_some() || rule.label.is_some() || rule.snat.is_some() || rule.dnat.is_some();
            if !every_state || words {
                guard.and(FALSE);
            }
            return Ok(guard);
        };
        guard.and(self.world.states(view, rule.states)?);
        for (field, conds) in [(Field::CtMark, &rule.mark), (Field::CtLabel, &rule.label)] {
            if let Some(conds) = conds {
                guard.and(self.world.info(view, field, conds)?);
            }
        }
        let bits = self.policy.nat_bits;
        for (wanted, there, back) in [(rule.snat, bits.snat, bits.dnat), (rule.dnat, bits.dnat, bits.snat)] {
            let Some(wanted) = wanted else { continue };
            let replies = self.world.states(view, StateSet::of(&[State::EstablishedReply, State::RelatedReply]))?;
            let mut cond = |bit: u32| {
                let value = if wanted { bit.into() } else { 0 };
                self.world.info(view, Field::CtMark, &[Cond::Bits { value, mask: bit.into() }])
            };
            let (there, back) = (cond(there)?, cond(back)?);
            guard.and(self.world.diagram.ite(replies, back, there)?);
        }
        // A rule that translates or commits never matches what is invalid, in none of the zones where it does so.
        let named = rule.actions.nat.iter().map(|(zone, _)| zone).chain(&rule.actions.commit_zones);
        for view in named.filter_map(|zone| context.views.get(zone)) {
            guard.and(self.world.states(*view, StateSet::of(&[State::Invalid]).not())?);
        }
        Ok(guard)
    }
}

/// Also that the header is as this alternative says; `whole`: what were fragments is one datagram now.
///
/// # Errors
/// [`Full`]
pub(super) fn headers(world: &mut World, alt: &Alt, mut guard: Guard, whole: bool) -> Result<Guard, Full> {
    let ethertype = match alt.link {
        Link::Ip4 => eth::P_IP,
        Link::Ip6 => eth::P_IPV6,
        Link::Ether(other) => other,
    };
    guard.literals(world.vars.ethertypes.literals(ethertype.into()));
    guard.tag(alt.vlan.is_some());
    let facts = Facts {
        ethertype: Some(ethertype),
        proto: alt.asked(Field::IpProto).and_then(only),
        whole: whole || alt.asked(Field::IpFlags).is_some_and(keeps_whole),
    };
    if let Some(ids) = &alt.vlan {
        let ids: Vec<Cond> = ids.iter().map(|id| Cond::exact(Field::VlanId, (*id).into())).collect();
        guard.holds(world, Field::VlanId, &ids, facts)?;
    }
    if !alt.not_in.is_empty() {
        let values: Vec<u128> = alt.not_in.iter().map(|name| device_value(name)).collect();
        let inside = world.device(&values)?;
        guard.and(world.diagram.ite(inside, FALSE, TRUE)?);
    }
    for (field, conds) in &alt.sets {
        guard.present(world, *field, facts)?;
        // What was reassembled is no fragment, whatever it was.
        let facts = Facts { whole, ..facts };
        guard.holds(world, *field, conds, facts)?;
    }
    Ok(guard)
}

/// ARP, IPv6 neighbour discovery and MLD: ICMPv6 130-136 and 143.
///
/// # Errors
/// [`Full`]
pub(super) fn neighbour_talk(world: &mut World) -> Result<Node, Full> {
    let mut guard = Guard::default();
    let types: Vec<Cond> = NEIGHBOUR_TALK.map(|kind| Cond::exact(Field::IcmpType, kind)).to_vec();
    let facts = Facts { ethertype: Some(eth::P_IPV6), proto: Some(ipproto::ICMPV6.into()), whole: false };
    guard.literals(world.vars.ethertypes.literals(eth::P_IPV6.into()));
    guard.literals(world.vars.protos.literals(ipproto::ICMPV6.into()));
    guard.present(world, Field::IcmpType, facts)?;
    guard.holds(world, Field::IcmpType, &types, facts)?;
    let discovery = guard.node(world)?;
    let arp = world.ethertype(&[eth::P_ARP])?;
    world.diagram.or(arp, discovery)
}
