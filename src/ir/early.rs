//! What can be decided between two passes through conntrack.
//!
//! A commit in a zone looks the packet up as it is then. Where a pass translates, the connection is not found under the
//! new header, so what a rule stores with an established connection must be stored right behind the pass through its
//! zone, before the next one; and so it must be known there which rule decides. [`waits_for`] says of one rule whether it
//! can be asked so early, [`late`] finds the rules of a policy that would store too late. `lower::settle` builds on the
//! first, and `resolve::checks` refuses what the second finds.

use std::collections::BTreeSet;

use crate::field::Field;
use crate::ir::policy::{Alt, Attach, Link, Rule, State, Verdict};

/// Why a rule cannot be asked before the passes that are still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// It speaks of the state in this zone.
    State(u16),
    /// It translates or commits in this zone, and so asks whether the packet is invalid there.
    Acts(u16),
    /// It matches addresses or ports, which a later zone may translate.
    Header,
    /// What exceeds its limit is dropped, and that is counted last.
    Limit,
}

/// A rule that stores with established connections of its zone, and one that is decided only when it is too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// The rule that stores: an index into the policy's rules.
    pub stores: usize,
    /// The rule that must be asked first; may be the same.
    pub waits: usize,
    /// Why it cannot be.
    pub why: Later,
}

/// Whether the rule stores something with established connections that it allows, or leaves it to a later rule.
#[must_use]
pub fn stores(rule: &Rule) -> bool {
    let sets = rule.actions.set_mark.is_some() || rule.actions.set_label.is_some() || rule.actions.force;
    sets && matches!(rule.verdict, Verdict::Allow | Verdict::Continue)
}

/// Whether some pass of these translates.
#[must_use]
pub fn rewrites(attach: &Attach, translating: &BTreeSet<u16>, passes: &[usize]) -> bool {
    passes.iter().filter_map(|pass| attach.passes.get(*pass)).any(|zone| translating.contains(zone))
}

/// Why this rule cannot be asked while these passes are still to come; `None` if it can.
#[must_use]
pub fn waits_for(rule: &Rule, attach: &Attach, translating: &BTreeSet<u16>, rest: &[usize]) -> Option<Later> {
    let zones = || rest.iter().filter_map(|pass| attach.passes.get(*pass)).copied();
    if rest.contains(&rule.pass) {
        return attach.passes.get(rule.pass).map(|zone| Later::State(*zone));
    }
    let named = |zone: &u16| {
        rule.actions.commit_zones.contains(zone) || rule.actions.nat.iter().any(|(other, _)| other == zone)
    };
    if let Some(zone) = zones().find(named) {
        return Some(Later::Acts(zone));
    }
    if rule.actions.limit.is_some() {
        return Some(Later::Limit);
    }
    let header = rule.alts.iter().flat_map(|alt| &alt.sets).any(|(field, _)| is_translated(*field));
    (header && rewrites(attach, translating, rest)).then_some(Later::Header)
}

/// What a translation may change in a packet.
const fn is_translated(field: Field) -> bool {
    matches!(field, Field::Ipv4Src | Field::Ipv4Dst | Field::Ipv6Src | Field::Ipv6Dst | Field::SrcPort | Field::DstPort)
}

/// The rules that store with established connections of their zone, where the decision comes too late.
#[must_use]
pub fn late(attach: &Attach, translating: &BTreeSet<u16>) -> Vec<Late> {
    let mut found: Vec<Late> = Vec::new();
    for pass in 0..attach.passes.len() {
        for state in [State::Established, State::EstablishedReply] {
            for frames in [(Link::Ip4, false), (Link::Ip6, false), (Link::Ip4, true), (Link::Ip6, true)] {
                for late in late_in(attach, translating, (pass, state), frames) {
                    if !found.iter().any(|known| known.stores == late.stores) {
                        found.push(late);
                    }
                }
            }
        }
    }
    found
}

/// The same for packets of one state in one pass, of one family, with a VLAN tag or without.
fn late_in(
    attach: &Attach,
    translating: &BTreeSet<u16>,
    (pass, state): (usize, State),
    (link, tagged): (Link, bool),
) -> Vec<Late> {
    let mut rest: Vec<usize> = (pass + 1..attach.passes.len()).collect();
    if rewrites(attach, translating, &rest) || (state.is_reply() && rewrites(attach, translating, &[pass])) {
        // A reply may have to pass the zones before once more (`lower::passes`).
        rest.extend((0..pass).filter(|earlier| rewrites(attach, translating, &[*earlier])));
    }
    let passes: Vec<usize> = rest.iter().copied().chain([pass]).collect();
    if rest.is_empty() || !rewrites(attach, translating, &passes) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut waiting: Option<(usize, Later)> = None;
    let mut pending: Vec<usize> = Vec::new();
    for (index, rule) in attach.rules.iter().enumerate() {
        let speaks = |alt: &Alt| alt.link == link && alt.vlan.is_some() == tagged;
        if !rule.alts.iter().any(speaks) || (rule.pass == pass && !rule.states.contains(state)) {
            continue;
        }
        if let Some(why) = waits_for(rule, attach, translating, &rest) {
            found.extend(pending.drain(..).map(|stores| Late { stores, waits: index, why }));
            waiting = waiting.or(Some((index, why)));
        }
        if rule.pass == pass && stores(rule) {
            match waiting {
                Some((waits, why)) => found.push(Late { stores: index, waits, why }),
                None if rule.verdict == Verdict::Continue => pending.push(index),
                None => {}
            }
        }
        if waiting.is_none() && rule.verdict != Verdict::Continue && always(rule, pass, &speaks) {
            break;
        }
    }
    found
}

/// Whether the rule decides about every packet of these frames whose state in this pass it takes.
fn always(rule: &Rule, pass: usize, speaks: &dyn Fn(&Alt) -> bool) -> bool {
    let whole = |alt: &Alt| speaks(alt) && alt.vlan.is_none() && alt.not_in.is_empty() && alt.sets.is_empty();
    let unasked = rule.mark.is_none() && rule.label.is_none() && rule.snat.is_none() && rule.dnat.is_none();
    rule.pass == pass && unasked && rule.alts.iter().any(whole)
}
