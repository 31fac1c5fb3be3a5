//! Packets that there are, of all that the variables could say: what conntrack can show of a packet depends on what it is.

use super::commit::icmp;
use super::diagram::{Full, Node, TRUE};
use super::guard::{Facts, Guard};
use super::names::{ICMP_KINDS, NEIGHBOUR_TALK};
use super::not;
use super::vars::View;
use super::world::World;
use crate::abi::{eth, ipproto};
use crate::field::{Cond, Field};
use crate::ir::packet::device_value;
use crate::ir::policy::{Attach, Hook, Policy, State, StateSet};

/// When a packet is one that there is.
///
/// # Errors
/// [`Full`]
pub fn possible(world: &mut World, policy: &Policy, attach: &Attach) -> Result<Node, Full> {
    let views = passes(world);
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

/// When a packet is one that a user will ever see: besides, what conntrack shows of ICMP depends on its type, and on ingress
/// a packet arrives by a device of the block. A proof leaves that open, for there it would only leave packets out; [`Names::icmp_kinds`](super::names::Names::icmp_kinds) must have named the types.
///
/// # Errors
/// [`Full`]
pub fn seen(world: &mut World, policy: &Policy, attach: &Attach) -> Result<Node, Full> {
    let mut node = possible(world, policy, attach)?;
    let views = passes(world);
    let error = all_show(world, &views, &[State::Related, State::RelatedReply, State::Invalid])?;
    let other = all_show(world, &views, &[State::New, State::Established, State::EstablishedReply, State::Invalid])?;
    let answer = all_show(world, &views, &[State::Established, State::EstablishedReply, State::Invalid])?;
    for (ethertype, proto, errors, answers) in ICMP_KINDS {
        let [any, errors, answers] = [&[][..], errors, answers].map(|types| icmp_of(world, ethertype, proto, types));
        let shown = world.diagram.ite(answers?, answer, other)?;
        let shown = world.diagram.ite(errors?, error, shown)?;
        let shown = world.diagram.ite(any?, shown, TRUE)?;
        node = world.diagram.and(node, shown)?;
    }
    let arrives = arrival(world, attach)?;
    world.diagram.and(node, arrives)
}

/// On ingress, packets arrive by the devices of the block.
fn arrival(world: &mut World, attach: &Attach) -> Result<Node, Full> {
    let own: Vec<u128> = attach.devices.iter().map(|device| device_value(device)).collect();
    let (named, other): (Vec<u128>, Vec<u128>) =
        world.vars.devices.values().iter().copied().partition(|value| own.contains(value));
    if attach.hook == Hook::Egress || world.vars.devices.values().is_empty() {
        return Ok(TRUE);
    }
    // A device that nothing names is told from those that are named only.
    let unnamed = named.len() < own.len();
    if unnamed {
        let elsewhere = world.device(&other)?;
        return not(world, elsewhere);
    }
    world.device(&named)
}

/// What zones can show.
pub fn passes(world: &World) -> Vec<View> {
    let zones = world.vars.zones().iter();
    // One zone alone is never passed twice.
    let times: &[bool] = if zones.len() > 1 { &[false, true] } else { &[false] };
    zones.flat_map(|zone| times.iter().map(|again| View::Pass { zone: *zone, again: *again })).collect()
}

/// ICMP of these types; of any where there are none.
fn icmp_of(world: &mut World, ethertype: u16, proto: u8, types: &[Cond]) -> Result<Node, Full> {
    let facts = Facts { ethertype: Some(ethertype), proto: Some(proto.into()), whole: true };
    let mut guard = Guard::default();
    guard.literals(world.vars.ethertypes.literals(ethertype.into()));
    guard.literals(world.vars.protos.literals(proto.into()));
    if !types.is_empty() {
        guard.holds(world, Field::IcmpType, types, facts)?;
    }
    guard.node(world)
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
    let types = NEIGHBOUR_TALK.map(|kind| Cond::exact(Field::IcmpType, kind));
    icmp_of(world, eth::P_IPV6, ipproto::ICMPV6, &types)
}
