//! Commits: in which zones, in which order, and what each carries.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::emit::program::{Commit, CtHelper, CtNat, NatAddr};
use crate::ir::policy::{Nat, NatSide, State};

use super::Lowering;
use super::actions::{Allowing, Pending, Related};
use super::facts::Facts;

/// An address that no rule translates to: the kernel wants one, and ignores it where a translation is on record
/// (kernel-facts 2.3). 192.0.0.8 is the IPv4 dummy address (RFC 7600), 100::1 lies in the discard prefix (RFC 6666).
pub(super) fn dummy(v6: bool) -> CtNat {
    let addr = if v6 {
        let discard = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1);
        NatAddr::V6(discard, discard)
    } else {
        let dummy = Ipv4Addr::new(192, 0, 0, 8);
        NatAddr::V4(dummy, dummy)
    };
    CtNat { side: NatSide::Source, addr, ports: None }
}

impl Lowering<'_> {
    /// All commits of a packet that is allowed, in order.
    pub(super) fn commits(
        &self,
        who: Allowing<'_>,
        facts: &Facts,
        pending: &[Pending],
        related: Related,
    ) -> Vec<Commit> {
        let zones = self.wanted(who, facts, pending, related);
        // There is nothing to confirm behind an ICMP error.
        let error = facts.icmp == Some(true);
        let idle = |commit: &Commit| {
            let plain = commit.mark.is_none() && commit.label.is_none() && !commit.force && commit.nat.is_none();
            error && plain && self.attach.passes.contains(&commit.zone)
        };
        let commits =
            self.in_order(&zones, facts).into_iter().map(|zone| self.commit(zone, who, facts, pending, related));
        commits.filter(|commit| !idle(commit)).collect()
    }

    /// The zones that something is committed in, some perhaps twice.
    fn wanted(&self, who: Allowing<'_>, facts: &Facts, pending: &[Pending], related: Related) -> Vec<u16> {
        let own = self.zone(who.pass);
        let stateless = who.stateless();
        let mut zones: Vec<u16> = Vec::new();
        if who.manner.commit || related == Related::Translated {
            zones.push(own);
        }
        if who.manner.others
            && let Some(rule) = who.rule
        {
            let nat_zones = rule.actions.nat.iter().map(|(zone, _)| *zone);
            let named = nat_zones.chain(rule.actions.commit_zones.iter().copied());
            let named = named.filter(|zone| !self.begun(*zone, facts));
            zones.extend(named.filter(|zone| !stateless || *zone != own));
        }
        // `allow stateless` commits in the zones that it names, in no other: what was set for those is stored.
        if !stateless {
            zones.extend(pending.iter().map(|set| set.zone));
            let helpers = (0..self.attach.passes.len()).filter(|pass| self.helper_translated(facts, *pass));
            zones.extend(helpers.map(|pass| self.zone(pass)));
        }
        zones
    }

    /// The commit in one zone.
    fn commit(&self, zone: u16, who: Allowing<'_>, facts: &Facts, pending: &[Pending], related: Related) -> Commit {
        let Allowing { rule, pass, manner } = who;
        let own = zone == self.zone(pass);
        let v6 = facts.frame.is_ip6();
        let mut commit = Commit { zone, force: false, mark: None, label: None, nat: None, helper: None };
        for set in pending.iter().filter(|set| set.zone == zone && !(own && who.stateless())) {
            commit.mark = merge(commit.mark, set.mark);
            commit.label = merge_label(commit.label, set.label);
        }
        if let Some(rule) = rule.filter(|_| own && manner.commit) {
            commit.mark = merge(commit.mark, rule.actions.set_mark);
            commit.label = merge_label(commit.label, rule.actions.set_label);
            commit.force = rule.actions.force;
            let helper = rule.actions.helper.as_ref().filter(|_| manner.helper);
            commit.helper = helper.map(|helper| CtHelper { name: helper.name.clone(), v6, proto: helper.proto });
        }
        let nat = rule.filter(|_| manner.translate && !self.begun(zone, facts));
        let nat = nat.and_then(|rule| rule.actions.nat.iter().find(|(nat_zone, _)| *nat_zone == zone));
        if let Some((_, nat)) = nat {
            commit.nat = ct_nat(nat, v6);
            if self.policy.nat_bits_used {
                let bits = self.policy.nat_bits;
                let bit = if nat.side == NatSide::Source { bits.snat } else { bits.dnat };
                commit.mark = merge(commit.mark, Some((bit, bit)));
            }
        } else if (related == Related::Translated && own) || self.helper_zone(zone, facts) {
            commit.nat = Some(dummy(v6));
        }
        commit
    }

    /// Zones to commit in, in the order of commits: those that know the connection, as they were passed; then the others
    /// of the policy, then those that are no pass. What was done between passes is left out, and what cannot be done
    /// behind them: an ICMP error stores nothing once another zone may have translated it.
    fn in_order(&self, zones: &[u16], facts: &Facts) -> Vec<u16> {
        let knows = |pass: usize| match facts.state(pass) {
            Some(State::Established | State::EstablishedReply) => true,
            Some(State::RelatedReply) => self.translates(self.zone(pass)),
            Some(State::Related) => facts.icmp == Some(true) && self.translates(self.zone(pass)),
            _ => false,
        };
        let gone = |pass: usize| {
            let error = facts.state(pass) == Some(State::RelatedReply)
                || (facts.state(pass) == Some(State::Related) && facts.icmp == Some(true));
            facts.settled.contains(&pass) || (error && self.overtaken(facts, pass))
        };
        let mut ordered: Vec<u16> = Vec::new();
        let passed = facts.visits.iter().copied().filter(|pass| knows(*pass));
        for pass in passed {
            let zone = self.zone(pass);
            // A zone's last pass is what counts.
            ordered.retain(|other| *other != zone);
            ordered.push(zone);
        }
        for zone in self.attach.passes.iter().chain(zones) {
            if !ordered.contains(zone) {
                ordered.push(*zone);
            }
        }
        let pass_of = |zone: u16| self.attach.passes.iter().position(|pass| *pass == zone);
        ordered.retain(|zone| zones.contains(zone) && !pass_of(*zone).is_some_and(gone));
        ordered
    }

    /// Whether this zone is one of the policy's, and knows the connection already.
    fn begun(&self, zone: u16, facts: &Facts) -> bool {
        let state = self.attach.passes.iter().position(|pass| *pass == zone).and_then(|pass| facts.state(pass));
        matches!(state, Some(State::Established | State::EstablishedReply))
    }

    fn helper_zone(&self, zone: u16, facts: &Facts) -> bool {
        self.attach.passes.iter().position(|pass| *pass == zone).is_some_and(|pass| self.helper_translated(facts, pass))
    }
}

/// First one assignment under its mask, then another.
pub(super) fn merge(first: Option<(u32, u32)>, then: Option<(u32, u32)>) -> Option<(u32, u32)> {
    match (first, then) {
        (Some((v1, m1)), Some((v2, m2))) => Some(((v1 & !m2) | v2, m1 | m2)),
        (set, None) | (None, set) => set,
    }
}

/// The same for labels.
pub(super) fn merge_label(first: Option<(u128, u128)>, then: Option<(u128, u128)>) -> Option<(u128, u128)> {
    match (first, then) {
        (Some((v1, m1)), Some((v2, m2))) => Some(((v1 & !m2) | v2, m1 | m2)),
        (set, None) | (None, set) => set,
    }
}

/// The translation for one family; resolve has seen to it that the rule speaks of no other.
fn ct_nat(nat: &Nat, v6: bool) -> Option<CtNat> {
    let addr = if v6 { nat.v6.map(|(a, b)| NatAddr::V6(a, b)) } else { nat.v4.map(|(a, b)| NatAddr::V4(a, b)) };
    addr.map(|addr| CtNat { side: nat.side, addr, ports: nat.ports })
}
