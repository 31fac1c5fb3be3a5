//! What a policy does with a packet, straight from `language.md` section 3: slow, obvious, and shared with no other stage.
//! `tests/semantics` holds the compiler against it.
//!
//! Where language.md leaves room, the meaning is fixed here:
//! - a tagged frame that holds IP goes through conntrack as any other; ARP and neighbour discovery are accepted behind the
//!   tags that some rule names;
//! - a rule that translates or commits in another zone never matches a packet that is invalid there;
//! - what a `continue` rule set is stored by a later `allow` in every state, by `allow stateless` only in the zones that
//!   it commits in;
//! - `commit zone Z` and a translation go with the connection's start, a helper with its very first packet; in a zone of
//!   the policy that knows the connection already there is nothing to start;
//! - an ICMP error is translated in each zone before the next one sees it, and stores nothing in a zone behind which it
//!   may have been translated: it is no packet of the connection;
//! - in zones that know the connection a commit comes right behind the pass, so before those that begin one.

mod commit;
mod matching;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::outcome::{Fate, Origin, Outcome, Sets};
use super::policy::{Actions, Attach, Policy, Rule, RuleInfo, State, Verdict};
use crate::ir::packet::{CtView, Packet};

/// What becomes of `packet` under `attach`, one of the blocks of `policy`.
#[must_use]
pub fn eval(policy: &Policy, attach: &Attach, packet: &Packet) -> Outcome {
    let outcome = Outcome {
        verdict: Fate::Drop,
        rule: Origin::Default,
        passes: Vec::new(),
        commits: Vec::new(),
        cleared: false,
        mirrors: Vec::new(),
        limits: Vec::new(),
    };
    let mut run =
        Run { policy, attach, packet: packet.clone(), views: BTreeMap::new(), pending: BTreeMap::new(), outcome };
    run.decide();
    if run.outcome.verdict == Fate::Drop {
        run.outcome.passes.clear();
    }
    run.outcome
}

/// A packet on its way through a policy.
struct Run<'a> {
    policy: &'a Policy,
    attach: &'a Attach,
    /// The packet as the rules see it now: reassembled once it has been through conntrack.
    packet: Packet,
    /// What its last pass through each zone said; empty for what never enters conntrack.
    views: BTreeMap<u16, CtView>,
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
        let implicit = matching::is_neighbour_talk(&self.packet)
            && self.packet.vlan.is_none_or(|id| attach.tags_served().contains(&id));
        if attach.tracked() && implicit {
            return self.end(Fate::Accept, Origin::Implicit);
        }
        if attach.tracked() && self.packet.is_ip() {
            self.track();
        }
        if attach.rules.iter().any(|rule| self.rule(rule)) {
            return;
        }
        if implicit {
            return self.end(Fate::Accept, Origin::Implicit);
        }
        if attach.default_allow {
            self.commit(&Actions::default(), attach.passes.last().copied(), Verdict::Allow);
            return self.end(Fate::Accept, Origin::Default);
        }
        self.end(Fate::Drop, Origin::Default);
    }

    fn end(&mut self, verdict: Fate, rule: Origin) {
        self.outcome.verdict = verdict;
        self.outcome.rule = rule;
    }

    /// Conntrack, once per zone. Two translations are undone in the reverse order: a reply in a later zone, which that
    /// zone translates back, may be what an earlier zone took for new; so it passes that zone once more. What an earlier
    /// zone does not know of an ICMP error is invalid there, not new.
    fn track(&mut self) {
        self.packet = self.packet.reassembled();
        let translates = |zone: &u16| self.policy.translating.contains(zone);
        let mut queue: Vec<u16> = self.attach.passes.clone();
        while !queue.is_empty() {
            let zone = queue.remove(0);
            let before = self.outcome.passes.iter().filter(|(passed, _)| *passed == zone).count();
            let view = self.packet.view_after(zone, before);
            self.views.insert(zone, view);
            self.outcome.passes.push((zone, translates(&zone)));
            if view.state.is_reply() && translates(&zone) {
                let unknown =
                    |state| state == State::New || (state == State::Invalid && view.state == State::RelatedReply);
                let missed = |zone: &u16| self.views.get(zone).is_some_and(|view| unknown(view.state));
                let latest_first = self.attach.passes.iter().rev().copied();
                let again: Vec<u16> =
                    latest_first.filter(|other| missed(other) && translates(other) && !queue.contains(other)).collect();
                queue.splice(0..0, again);
            }
        }
    }

    /// Runs a rule; true if it decides.
    fn rule(&mut self, rule: &Rule) -> bool {
        if !self.matches(rule) {
            return false;
        }
        let origin = origin(&rule.info);
        if rule.actions.limit.is_some() {
            self.outcome.limits.push(rule.info.ident);
            if self.packet.exceeds.contains(&rule.info.ident) {
                self.end(Fate::Drop, origin);
                return true;
            }
        }
        self.outcome.mirrors.extend_from_slice(&rule.actions.mirror);
        let zone = self.attach.passes.get(rule.pass).copied();
        match rule.verdict {
            // Only the excess is dropped; the rest goes on.
            Verdict::Drop if rule.actions.limit.is_some() => return false,
            Verdict::Drop => self.end(Fate::Drop, origin),
            Verdict::Continue => {
                if let Some(zone) = zone {
                    let pending = self.pending.entry(zone).or_default();
                    *pending = pending.then(Sets::of(&rule.actions));
                }
                return false;
            }
            Verdict::Allow | Verdict::AllowStateless => {
                let in_conntrack = !self.views.is_empty();
                let carries = in_conntrack || self.packet.carried.is_some();
                let stateless = rule.verdict == Verdict::AllowStateless;
                self.commit(&rule.actions, zone, rule.verdict);
                self.outcome.cleared = (rule.actions.clear && carries) || (stateless && in_conntrack);
                let fate = rule.actions.redirect.clone().map_or(Fate::Accept, Fate::Redirect);
                self.end(fate, origin);
            }
        }
        true
    }
}

fn origin(info: &RuleInfo) -> Origin {
    Origin::Rule { ident: info.ident, meaning: info.meaning }
}
