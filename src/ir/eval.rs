//! What a policy does with a packet, straight from `language.md` section 3: slow, obvious, and shared with no other stage.
//! `tests/semantics.rs` holds the compiler against it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::outcome::{Committed, Fate, Origin, Outcome, Translation, translates_as_master};
use super::policy::{
    Actions, Alt, Attach, Link, Nat, NatSide, Policy, Rule, RuleInfo, State, StateSet, Verdict,
};
use crate::abi::{eth, ipproto};
use crate::field::packet::{CtView, Packet};
use crate::field::{Cond, Field};

/// What becomes of `packet` under `attach`, one of the blocks of `policy`.
#[must_use]
pub fn eval(policy: &Policy, attach: &Attach, packet: &Packet) -> Outcome {
    let mut run = Run { policy, attach, packet: packet.clone(), in_conntrack: false, pending: BTreeMap::new(), outcome: blank() };
    run.decide();
    if run.outcome.verdict == Fate::Drop {
        run.outcome.passes.clear();
    }
    run.outcome
}

fn blank() -> Outcome {
    Outcome {
        verdict: Fate::Drop,
        rule: Origin::Default,
        passes: Vec::new(),
        commits: Vec::new(),
        cleared: false,
        mirrors: Vec::new(),
        limits: Vec::new(),
    }
}

/// What `continue` rules of a zone have set so far, or what one rule sets.
#[derive(Clone, Copy, Default)]
struct Sets {
    mark: Option<(u32, u32)>,
    label: Option<(u128, u128)>,
}

impl Sets {
    fn of(actions: &Actions) -> Self {
        Self { mark: actions.set_mark, label: actions.set_label }
    }

    fn any(self) -> bool {
        self.mark.is_some() || self.label.is_some()
    }

    /// What stands after `later`, which wins bit by bit.
    fn then(self, later: Self) -> Self {
        let mark = match (self.mark, later.mark) {
            (Some((v1, m1)), Some((v2, m2))) => Some(((v1 & !m2) | v2, m1 | m2)),
            (first, second) => second.or(first),
        };
        let label = match (self.label, later.label) {
            (Some((v1, m1)), Some((v2, m2))) => Some(((v1 & !m2) | v2, m1 | m2)),
            (first, second) => second.or(first),
        };
        Self { mark, label }
    }
}

/// A packet on its way through a policy.
struct Run<'a> {
    policy: &'a Policy,
    attach: &'a Attach,
    /// The packet as the rules see it now: reassembled once it has been through conntrack.
    packet: Packet,
    in_conntrack: bool,
    /// What `continue` rules have set, by zone.
    pending: BTreeMap<u16, Sets>,
    outcome: Outcome,
}

impl Run<'_> {
    fn decide(&mut self) {
        let attach = self.attach;
        if attach.prefilter.iter().any(|rule| self.rule(rule)) {
            return;
        }
        let implicit = is_neighbour_talk(&self.packet) && speaks_of_tag(attach, self.packet.vlan);
        if attach.tracked() && implicit {
            return self.end(Fate::Accept, Origin::Implicit);
        }
        if attach.tracked() && self.packet.is_ip() {
            self.packet = self.packet.reassembled();
            self.in_conntrack = true;
            let translating = &self.policy.translating;
            self.outcome.passes = attach.passes.iter().map(|zone| (*zone, translating.contains(zone))).collect();
        }
        if attach.rules.iter().any(|rule| self.rule(rule)) {
            return;
        }
        if implicit {
            return self.end(Fate::Accept, Origin::Implicit);
        }
        if attach.default_allow {
            self.commit(&Actions::default(), attach.passes.last().copied(), true);
            return self.end(Fate::Accept, Origin::Default);
        }
        self.end(Fate::Drop, Origin::Default);
    }

    fn end(&mut self, verdict: Fate, rule: Origin) {
        self.outcome.verdict = verdict;
        self.outcome.rule = rule;
    }

    /// Runs a rule; true if it decides.
    fn rule(&mut self, rule: &Rule) -> bool {
        if !self.matches(rule) {
            return false;
        }
        if rule.actions.limit.is_some() {
            self.outcome.limits.push(rule.info.ident);
            if self.packet.exceeds.contains(&rule.info.ident) {
                self.end(Fate::Drop, origin(&rule.info));
                return true;
            }
        }
        self.outcome.mirrors.extend_from_slice(&rule.actions.mirror);
        let zone = self.zone(rule);
        match rule.verdict {
            // Only the excess is dropped; the rest goes on.
            Verdict::Drop if rule.actions.limit.is_some() => return false,
            Verdict::Drop => self.end(Fate::Drop, origin(&rule.info)),
            Verdict::Continue => {
                if let Some(zone) = zone {
                    let pending = self.pending.entry(zone).or_default();
                    *pending = pending.then(Sets::of(&rule.actions));
                }
                return false;
            }
            Verdict::Allow | Verdict::AllowStateless => {
                let stateless = rule.verdict == Verdict::AllowStateless;
                self.commit(&rule.actions, zone, !stateless);
                let carries = self.in_conntrack || self.packet.carried.is_some();
                self.outcome.cleared = (rule.actions.clear && carries) || (stateless && self.in_conntrack);
                let fate = rule.actions.redirect.clone().map_or(Fate::Accept, Fate::Redirect);
                self.end(fate, origin(&rule.info));
            }
        }
        true
    }

    /// The zone whose state, mark and label the rule speaks of; `None` where the packet is not in conntrack.
    fn zone(&self, rule: &Rule) -> Option<u16> {
        if self.in_conntrack { self.attach.passes.get(rule.pass).copied() } else { None }
    }

    fn matches(&self, rule: &Rule) -> bool {
        let state_fits = match self.zone(rule) {
            Some(zone) => state_matches(self.policy, rule, self.packet.view(zone)),
            // Prefilters and untracked policies have no state words; frames other than IP have no state.
            None => !has_state_words(rule),
        };
        state_fits && rule.alts.iter().any(|alt| headers_match(alt, &self.packet))
    }

    /// Commits for a rule that allows, in the order of the passes, then zones that are no pass.
    fn commit(&mut self, actions: &Actions, own: Option<u16>, commits_own: bool) {
        let Some(own) = own.filter(|_| self.in_conntrack) else { return };
        let state = self.packet.view(own).state;
        let mut zones = self.attach.passes.clone();
        for zone in actions.nat.iter().map(|(zone, _)| *zone).chain(actions.commit_zones.iter().copied()) {
            if !zones.contains(&zone) {
                zones.push(zone);
            }
        }
        for zone in zones {
            let view = self.packet.view(zone);
            let mut sets = Sets::default();
            if commits_own || actions.commit_zones.contains(&zone) {
                sets = self.pending.get(&zone).copied().unwrap_or_default();
            }
            let pending = sets.any();
            if zone == own {
                sets = sets.then(Sets::of(actions));
            }
            let starts = matches!(state, State::New | State::Related | State::RelatedReply);
            let triggered = state != State::Invalid && (starts || actions.force || Sets::of(actions).any());
            let asked = (zone == own && commits_own)
                || actions.commit_zones.contains(&zone)
                || actions.nat.iter().any(|(other, _)| *other == zone);
            let as_master = commits_own && self.as_master(zone, view);
            let wanted = (asked && triggered) || pending || as_master;
            // The kernel has no entry to commit for an invalid packet (kernel-facts 2.2).
            if !wanted || view.state == State::Invalid {
                continue;
            }
            let nat = self.translation(actions, zone, state);
            if let (Some(nat), true) = (nat, self.policy.nat_bits_used) {
                let bits = self.policy.nat_bits;
                let bit = if nat.side == NatSide::Source { bits.snat } else { bits.dnat };
                sets = sets.then(Sets { mark: Some((bit, bit)), label: None });
            }
            let nat = match nat {
                Some(_) if translates_as_master(&self.packet, view) => Some(Translation::OnRecord),
                Some(nat) => to_range(nat, self.packet.ethertype),
                None if as_master => Some(Translation::OnRecord),
                None => None,
            };
            let helper = actions.helper.as_ref().filter(|_| zone == own);
            self.outcome.commits.push(Committed {
                zone,
                force: actions.force && zone == own,
                mark: sets.mark,
                label: sets.label,
                nat,
                helper: helper.map(|h| (h.name.clone(), self.packet.ethertype == eth::P_IPV6, h.proto)),
            });
        }
    }

    /// Whether this packet is an ICMP error that the pass could not translate, in a zone where it must be.
    fn as_master(&self, zone: u16, view: CtView) -> bool {
        self.policy.translating.contains(&zone) && translates_as_master(&self.packet, view)
    }

    /// The translation that the rule asks of this zone. It goes with the connection's start; later packets were
    /// translated by the pass.
    fn translation(&self, actions: &Actions, zone: u16, state: State) -> Option<Nat> {
        let starts = matches!(state, State::New | State::Related);
        let (_, nat) = actions.nat.iter().find(|(other, _)| *other == zone && starts)?;
        Some(*nat)
    }
}

fn origin(info: &RuleInfo) -> Origin {
    Origin::Rule { ident: info.ident, meaning: info.meaning }
}

fn to_range(nat: Nat, ethertype: u16) -> Option<Translation> {
    let addresses = if ethertype == eth::P_IPV6 {
        nat.v6.map(|(first, last)| (IpAddr::V6(first), IpAddr::V6(last)))
    } else {
        nat.v4.map(|(first, last)| (IpAddr::V4(first), IpAddr::V4(last)))
    };
    addresses.map(|addresses| Translation::To { side: nat.side, addresses, ports: nat.ports })
}

fn has_state_words(rule: &Rule) -> bool {
    let every_state = rule.states.and(StateSet::TRACKED) == StateSet::TRACKED;
    !every_state || rule.mark.is_some() || rule.label.is_some() || rule.snat.is_some() || rule.dnat.is_some()
}

fn state_matches(policy: &Policy, rule: &Rule, view: CtView) -> bool {
    let bits = policy.nat_bits;
    // A reply goes back to the address that took the place of the source: its destination is translated.
    let (source, destination) = if view.state.is_reply() { (bits.dnat, bits.snat) } else { (bits.snat, bits.dnat) };
    let any = |conds: &Option<Vec<Cond>>, value: u128| conds.as_ref().is_none_or(|c| c.iter().any(|c| c.matches(value)));
    rule.states.contains(view.state)
        && any(&rule.mark, u128::from(view.mark))
        && any(&rule.label, view.label)
        && rule.snat.is_none_or(|wanted| wanted == (view.mark & source != 0))
        && rule.dnat.is_none_or(|wanted| wanted == (view.mark & destination != 0))
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
        && alt.sets.iter().all(|(field, conds)| field_matches(*field, conds, packet))
}

fn field_matches(field: Field, conds: &[Cond], packet: &Packet) -> bool {
    packet.get(field).is_some_and(|value| conds.iter().any(|cond| cond.matches(value)))
}

/// ARP, IPv6 neighbour discovery and MLD: ICMPv6 130-136 and 143.
fn is_neighbour_talk(packet: &Packet) -> bool {
    let icmp6 = packet.ethertype == eth::P_IPV6 && packet.get(Field::IpProto) == Some(u128::from(ipproto::ICMPV6));
    let known_type = matches!(packet.get(Field::IcmpType), Some(130..=136 | 143));
    packet.ethertype == eth::P_ARP || (icmp6 && known_type)
}

/// Untagged frames, and tags that some rule of the policy names.
fn speaks_of_tag(attach: &Attach, tag: Option<u16>) -> bool {
    let alts = || attach.prefilter.iter().chain(&attach.rules).flat_map(|rule| &rule.alts);
    tag.is_none_or(|id| alts().any(|alt| alt.vlan.as_ref().is_some_and(|ids| ids.contains(&id))))
}
