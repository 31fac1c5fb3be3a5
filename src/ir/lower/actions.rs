//! What an allowed or dropped packet goes through: limit, mirror, commits, clear, and the end.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::abi::ipproto;
use crate::emit::program::{Commit, Control, Ct, CtHelper, CtNat, NatAddr, Police};
use crate::field::{Cond, Field};
use crate::ir::graph::{End, Step, Tail};
use crate::ir::policy::{Nat, NatSide, Rule, State, Verdict};

use super::Lowering;
use super::facts::Facts;

/// What `continue` rules before have set: zone, mark and label, each value and mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub zone: u16,
    pub mark: Option<(u32, u32)>,
    pub label: Option<(u128, u128)>,
}

/// How a rule acts on packets of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "five independent facts, each named by its use")]
pub(super) struct Manner {
    /// Commit in the rule's own zone.
    commit: bool,
    /// Commit in the other zones it names, too.
    others: bool,
    /// Give the rule's own translations to the commits.
    translate: bool,
    /// The first packet of a related connection, or an ICMP error in the original direction: what is on record must be
    /// applied by the commit (kernel-facts 2.2: `ct nat` alone leaves it untranslated). In policies of several passes it
    /// is never left to the rule: `settle` does it.
    related: bool,
    /// Attach the rule's helper: to a connection's very first packet only; a related connection is not what it speaks of.
    helper: bool,
}

impl Manner {
    /// No conntrack entry to speak of.
    const NONE: Self = Self { commit: false, others: false, translate: false, related: false, helper: false };

    fn new(state: Option<State>, remark: bool, translates: bool) -> Self {
        match state {
            Some(State::New) => Self { commit: true, others: true, translate: true, related: false, helper: true },
            Some(State::Related) => {
                Self { commit: true, others: true, translate: true, related: translates, helper: false }
            }
            Some(State::RelatedReply) => Self { commit: true, others: true, ..Self::NONE },
            Some(State::Established | State::EstablishedReply) => Self { commit: remark, ..Self::NONE },
            Some(State::Invalid | State::Untracked) | None => Self::NONE,
        }
    }
}

/// Who allows: a rule or (`None`) the default, its pass, and how it acts.
#[derive(Clone, Copy)]
struct Allowing<'r> {
    rule: Option<&'r Rule>,
    pass: usize,
    manner: Manner,
}

/// Which related packets a tail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Related {
    /// No difference is made.
    Any,
    /// Those whose translation on record must be applied.
    Translated,
}

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
    /// How this rule acts, as far as it is known which state its zone shows.
    pub(super) fn manner(&self, rule: &Rule, facts: &Facts) -> Manner {
        if matches!(rule.verdict, Verdict::Drop | Verdict::Continue) {
            return Manner::NONE;
        }
        let remark = rule.actions.set_mark.is_some() || rule.actions.set_label.is_some() || rule.actions.force;
        let mut manner = Manner::new(facts.state(rule.pass), remark, self.record_matters(Some(rule), rule.pass));
        if rule.verdict == Verdict::AllowStateless {
            manner = Manner { commit: false, translate: false, ..manner };
        } else if rule.actions.nat.is_empty() {
            manner.translate = false;
        }
        manner.helper &= manner.commit && rule.actions.helper.is_some();
        if rule.actions.commit_zones.is_empty() && rule.actions.nat.is_empty() {
            manner.others = false;
        }
        manner
    }

    /// How the default acts.
    pub(super) fn default_manner(&self, facts: &Facts) -> Manner {
        let last = self.attach.passes.len().saturating_sub(1);
        if !self.attach.default_allow {
            return Manner::NONE;
        }
        let manner = Manner::new(facts.state(last), false, self.record_matters(None, last));
        Manner { others: false, translate: false, helper: false, ..manner }
    }

    /// Whether the rule's zone may hold a translation that the rule does not bring itself.
    fn record_matters(&self, rule: Option<&Rule>, pass: usize) -> bool {
        let zone = self.zone(pass);
        let brings = rule.is_some_and(|rule| rule.actions.nat.iter().any(|(nat_zone, _)| *nat_zone == zone));
        self.translates(zone) && !brings && !self.several()
    }

    /// What a rule's line does.
    pub(super) fn rule_tail(
        &self,
        rule: &Rule,
        at: usize,
        facts: &Facts,
        pending: &[Pending],
        related: Related,
    ) -> Tail {
        let mut steps = self.limit_and_mirror(rule, at);
        let end = match rule.verdict {
            Verdict::Drop if rule.actions.limit.is_some() => End::Continue,
            Verdict::Drop => End::Drop,
            Verdict::Continue => End::Continue,
            Verdict::Allow | Verdict::AllowStateless => {
                let stateless = rule.verdict == Verdict::AllowStateless;
                let manner = self.manner(rule, facts);
                let who = Allowing { rule: Some(rule), pass: rule.pass, manner };
                let commits = self.commits(who, facts, pending, related);
                steps.extend(commits.into_iter().map(|commit| Step::Ct(Ct::Commit(commit))));
                let seen = facts.frame.is_ip() && facts.states.iter().any(Option::is_some);
                if rule.actions.clear || (stateless && seen) {
                    steps.push(Step::Ct(Ct::Clear));
                }
                rule.actions.redirect.clone().map_or(End::Pass, End::Redirect)
            }
        };
        Tail { steps, end, rule: self.first_rule + at }
    }

    /// `limit` and `mirror`, which every verdict may have. With `drop`, what exceeds the limit is dropped and the rest goes on.
    pub(super) fn limit_and_mirror(&self, rule: &Rule, at: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        if let (Some(limit), Some(Some(budget))) = (rule.actions.limit, self.budgets.get(at)) {
            steps.push(Step::Police(Police { budget: *budget, limit, conform: Control::Pipe }));
        }
        steps.extend(rule.actions.mirror.iter().cloned().map(Step::Mirror));
        steps
    }

    /// The policy's last word.
    pub(super) fn default_tail_for(&self, facts: &Facts, pending: &[Pending], related: Related) -> Tail {
        let mut steps = Vec::new();
        let mut end = End::Drop;
        if self.attach.default_allow {
            let last = self.attach.passes.len().saturating_sub(1);
            let manner = self.default_manner(facts);
            let commits = self.commits(Allowing { rule: None, pass: last, manner }, facts, pending, related);
            steps.extend(commits.into_iter().map(|commit| Step::Ct(Ct::Commit(commit))));
            end = End::Pass;
        }
        Tail { steps, end, rule: self.default_rule }
    }

    /// The default where no distinction of related packets is needed.
    pub(super) fn default_tail(&self, facts: &Facts, pending: &[Pending]) -> Tail {
        self.default_tail_for(facts, pending, Related::Any)
    }

    /// All commits of a packet that is allowed, in the order of the passes, then of the other zones as written.
    fn commits(&self, who: Allowing<'_>, facts: &Facts, pending: &[Pending], related: Related) -> Vec<Commit> {
        let Allowing { rule, pass, manner } = who;
        let own = self.zone(pass);
        let stateless = rule.is_some_and(|rule| rule.verdict == Verdict::AllowStateless);
        let mut zones: Vec<u16> = Vec::new();
        if manner.commit || related == Related::Translated {
            zones.push(own);
        }
        if manner.others
            && let Some(rule) = rule
        {
            let nat_zones = rule.actions.nat.iter().map(|(zone, _)| *zone);
            let named = nat_zones.chain(rule.actions.commit_zones.iter().copied());
            let named = named.filter(|zone| !self.begun(*zone, facts));
            zones.extend(named.filter(|zone| !stateless || *zone != own));
        }
        // `allow stateless` commits in the zones that it names, in no other: what was set for those is stored.
        zones.extend(pending.iter().map(|set| set.zone).filter(|_| !stateless));
        let helpers = (0..self.attach.passes.len()).filter(|pass| !stateless && self.helper_translated(facts, *pass));
        zones.extend(helpers.map(|pass| self.zone(pass)));
        let v6 = facts.frame.is_ip6();
        // There is nothing to confirm behind an ICMP error.
        let error = facts.icmp == Some(true);
        let idle = |commit: &Commit| {
            let plain = commit.mark.is_none() && commit.label.is_none() && !commit.force && commit.nat.is_none();
            error && plain && self.attach.passes.contains(&commit.zone)
        };
        self.in_order(&zones, facts)
            .into_iter()
            .map(|zone| {
                let mut commit = Commit { zone, force: false, mark: None, label: None, nat: None, helper: None };
                for set in pending.iter().filter(|set| set.zone == zone && !(stateless && zone == own)) {
                    commit.mark = merge(commit.mark, set.mark);
                    commit.label = merge_label(commit.label, set.label);
                }
                if let Some(rule) = rule.filter(|_| zone == own && manner.commit) {
                    commit.mark = merge(commit.mark, rule.actions.set_mark);
                    commit.label = merge_label(commit.label, rule.actions.set_label);
                    commit.force = rule.actions.force;
                    let helper = rule.actions.helper.as_ref().filter(|_| manner.helper);
                    commit.helper =
                        helper.map(|helper| CtHelper { name: helper.name.clone(), v6, proto: helper.proto });
                }
                let nat = rule.filter(|_| manner.translate && !self.begun(zone, facts)).and_then(|rule| {
                    rule.actions.nat.iter().find(|(nat_zone, _)| *nat_zone == zone).map(|(_, nat)| nat)
                });
                if let Some(nat) = nat {
                    commit.nat = ct_nat(nat, v6);
                    if self.policy.nat_bits_used {
                        let bits = self.policy.nat_bits;
                        let bit = if nat.side == NatSide::Source { bits.snat } else { bits.dnat };
                        commit.mark = merge(commit.mark, Some((bit, bit)));
                    }
                } else if (related == Related::Translated && zone == own) || self.helper_zone(zone, facts) {
                    commit.nat = Some(dummy(v6));
                }
                commit
            })
            .filter(|commit| !idle(commit))
            .collect()
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
        let known = facts.visits.iter().copied().filter(|pass| knows(*pass));
        for pass in known {
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
        let passed = |zone: u16| self.attach.passes.iter().position(|pass| *pass == zone);
        ordered.retain(|zone| zones.contains(zone) && !passed(*zone).is_some_and(gone));
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

    /// The packets, among those of a rule or default that acts in this manner, whose translation on record the commit
    /// must apply: each a list of further conditions. ICMP errors always (the kernel then ignores the address); a
    /// helper's data connection only where the reserved bits show that its master is translated, since it would take
    /// the address if it were not.
    pub(super) fn translated_related(
        &self,
        manner: Manner,
        facts: &Facts,
        pass: usize,
    ) -> Vec<Vec<(Field, Vec<Cond>)>> {
        if !manner.related {
            return Vec::new();
        }
        let icmp = if facts.frame.is_ip6() { ipproto::ICMPV6 } else { ipproto::ICMP };
        let mut out = vec![vec![(Field::IpProto, vec![Cond::exact(Field::IpProto, u128::from(icmp))])]];
        if manner.commit && self.policy.nat_bits_used && facts.shown == Some(pass) {
            let bits = self.policy.nat_bits;
            for bit in [bits.snat, bits.dnat].map(u128::from) {
                out.push(vec![(Field::CtMark, vec![Cond::Bits { value: bit, mask: bit }])]);
            }
        }
        out
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
