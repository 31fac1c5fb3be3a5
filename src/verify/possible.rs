//! Packets that there are, of all that the variables could say: what conntrack can show of a packet depends on what it is.

use super::commit::icmp;
use super::diagram::{Full, Node, TRUE};
use super::guard::{Facts, Guard};
use super::names::NEIGHBOUR_TALK;
use super::vars::View;
use super::world::World;
use crate::abi::{eth, ipproto};
use crate::field::{Cond, Field};
use crate::ir::policy::{Attach, Hook, Policy, State, StateSet};

/// When a packet is one that there is.
///
/// # Errors
/// [`Full`]
pub fn possible(world: &mut World, policy: &Policy, attach: &Attach) -> Result<Node, Full> {
    let views: Vec<View> = {
        let zones = world.vars.zones().iter();
        // One zone alone is never passed twice.
        let times: &[bool] = if zones.len() > 1 { &[false, true] } else { &[false] };
        zones.flat_map(|zone| times.iter().map(|again| View::Pass { zone: *zone, again: *again })).collect()
    };
    let talk = neighbour_talk(world)?;
    let silent = all_show(world, &views, &[State::Invalid])?;
    let mut node = world.diagram.ite(talk, silent, TRUE)?;
    // The reserved bits tell of a translation.
    let both = policy.nat_bits.both().into();
    for view in &views {
        let unmarked = world.info(*view, Field::CtMark, &[Cond::Bits { value: 0, mask: both }])?;
        let translated = world.translated(*view)?;
        let here = world.diagram.or(unmarked, translated)?;
        node = world.diagram.and(node, here)?;
    }
    // An ICMP error is related to a connection or invalid, in every zone; other ICMP is never related.
    let error = all_show(world, &views, &[State::Related, State::RelatedReply, State::Invalid])?;
    let other = all_show(world, &views, &[State::New, State::Established, State::EstablishedReply, State::Invalid])?;
    let (icmp, either) = (icmp(world)?, world.diagram.or(error, other)?);
    let here = world.diagram.ite(icmp, either, TRUE)?;
    node = world.diagram.and(node, here)?;
    // Only what the host sends has been through its own conntrack.
    let mut carried = world.states(View::Carried, StateSet::of(&[State::Untracked]))?;
    if attach.hook == Hook::Egress {
        let is_ip = world.ethertype(&[eth::P_IP, eth::P_IPV6])?;
        carried = world.diagram.ite(is_ip, TRUE, carried)?;
    }
    world.diagram.and(node, carried)
}

/// Every view shows one of these states.
fn all_show(world: &mut World, views: &[View], states: &[State]) -> Result<Node, Full> {
    let mut node = TRUE;
    for view in views {
        let here = world.states(*view, StateSet::of(states))?;
        node = world.diagram.and(node, here)?;
    }
    Ok(node)
}

/// Neighbour discovery and MLD, which are invalid in every zone (kernel-facts 2.2), also in fragments.
fn neighbour_talk(world: &mut World) -> Result<Node, Full> {
    let facts = Facts { ethertype: Some(eth::P_IPV6), proto: Some(ipproto::ICMPV6.into()), whole: true };
    let types = NEIGHBOUR_TALK.map(|kind| Cond::exact(Field::IcmpType, kind));
    let mut talk = Guard::default();
    talk.literals(world.vars.ethertypes.literals(eth::P_IPV6.into()));
    talk.literals(world.vars.protos.literals(ipproto::ICMPV6.into()));
    talk.holds(world, Field::IcmpType, &types, facts)?;
    talk.node(world)
}
