//! What has to be done between two passes: a packet's header changes with each translation, and no zone finds its
//! connection under another header.

use crate::abi::ipproto;
use crate::emit::program::{Commit, Ct};
use crate::field::{Cond, Field};
use crate::ir::early::{rewrites, stores, waits_for};
use crate::ir::graph::{End, Line, Step, Table, Tail};
use crate::ir::policy::{Rule, State, Verdict};

use super::actions::{Pending, Related};
use super::commits::{dummy, merge, merge_label};
use super::facts::Facts;
use super::list::sets_of;
use super::{Live, Lowering};

impl Lowering<'_> {
    /// Whether the policy has several passes: only there is anything hidden by another pass.
    pub(super) fn several(&self) -> bool {
        self.attach.passes.len() > 1
    }

    /// The plain drop that is certain although passes are still to come.
    pub(super) fn dropped(&self, facts: &Facts, rest: &[usize]) -> Option<Tail> {
        if rest.is_empty() {
            return None;
        }
        let (certain, _) = self.certain(facts, rest);
        let facts = &certain;
        let live = facts.applicable(&self.attach.rules);
        let Some(first) = live.first() else {
            return (!self.attach.default_allow).then(|| self.default_tail(facts, &[]));
        };
        let rule = first.rule;
        let plain = rule.verdict == Verdict::Drop && rule.actions.limit.is_none() && rule.actions.mirror.is_empty();
        let known = facts.state(rule.pass).is_some() && self.unanswered_devices(&live, facts).is_empty();
        let always = sets_of(first, facts).iter().any(|(ether, sets)| ether.is_none() && sets.is_empty());
        let at = self.attach.prefilter.len() + first.index;
        (plain && known && always).then(|| self.rule_tail(rule, at, facts, &[], Related::Any))
    }

    /// Whether it matters here if the packet is an ICMP error in the original direction, and is not known yet: what is on
    /// record must be applied before the next pass, and nothing can be stored behind it.
    pub(super) fn error_matters(&self, facts: &Facts, pass: usize, rest: &[usize]) -> bool {
        let related = self.several() && facts.state(pass) == Some(State::Related) && facts.icmp.is_none();
        related && (self.translates(self.zone(pass)) || (self.rewrites(rest) && self.stores_in(facts, pass)))
    }

    /// Two ways on: for ICMP errors, and for the first packet of a helper's connection.
    pub(super) fn by_error(&mut self, facts: &Facts, pass: usize, rest: &[usize]) -> Tail {
        let icmp = if facts.frame.is_ip6() { ipproto::ICMPV6 } else { ipproto::ICMP };
        let way = |icmp| {
            let mut facts = facts.clone();
            facts.icmp = Some(icmp);
            facts
        };
        let tail = self.shown(&way(true), pass, rest);
        let otherwise = self.shown(&way(false), pass, rest);
        if tail == otherwise {
            return otherwise;
        }
        let sets = vec![(Field::IpProto, Cond::exact(Field::IpProto, u128::from(icmp)).into())];
        let title = self.title(facts.frame, &format!("related in zone {}", self.zone(pass)));
        self.goto(Table { frame: facts.frame, title, lines: vec![Line { ether: None, sets, tail }], otherwise })
    }

    /// For an ICMP error in the original direction: the commit that applies what is on record, ahead of all that follows.
    /// It confirms nothing, for the entry is that of the connection that the error is about (kernel-facts 2.2, 2.3).
    pub(super) fn apply_record(&self, facts: &Facts, pass: usize, mut tail: Tail) -> Tail {
        let zone = self.zone(pass);
        let error = facts.state(pass) == Some(State::Related) && facts.icmp == Some(true);
        let dropped = tail.steps.is_empty() && tail.end == End::Drop;
        if self.several() && error && self.translates(zone) && !dropped {
            let nat = Some(dummy(facts.frame.is_ip6()));
            let commit = Commit { zone, force: false, mark: None, label: None, nat, helper: None };
            tail.steps.insert(0, Step::Ct(Ct::Commit(commit)));
        }
        tail
    }

    /// The question whose answer tells whether a helper's connection takes over a translation: is neither reserved bit set?
    pub(super) fn helper_question(&self, facts: &Facts, pass: usize) -> Option<Cond> {
        let helper = facts.state(pass) == Some(State::Related) && facts.icmp != Some(true);
        let asked = self.several() && self.policy.nat_bits_used && self.translates(self.zone(pass));
        (helper && asked).then_some(Cond::Bits { value: 0, mask: u128::from(self.policy.nat_bits.both()) })
    }

    /// Whether the first packet of a helper's connection takes its master's translation over in this pass's zone.
    pub(super) fn helper_translated(&self, facts: &Facts, pass: usize) -> bool {
        self.helper_question(facts, pass).is_some_and(|cond| facts.answer(pass, Field::CtMark, cond) == Some(false))
    }

    /// Whether a commit in the zone of this pass, behind all passes, would look up a header that is no longer the one
    /// that the pass has seen, of a packet for which that matters.
    pub(super) fn overtaken(&self, facts: &Facts, pass: usize) -> bool {
        let Some(at) = facts.visits.iter().rposition(|visit| *visit == pass) else { return false };
        let since = facts.visits.get(at..).unwrap_or_default();
        since.len() > 1 && self.rewrites(since)
    }

    /// What is stored with an established connection is stored before the next pass; then that pass.
    pub(super) fn settle(&mut self, facts: &Facts, pass: usize, rest: &[usize]) -> Tail {
        let begun = matches!(facts.state(pass), Some(State::Established | State::EstablishedReply));
        let overtaken = self.rewrites(rest) || self.rewrites(&[pass]);
        if !begun || !overtaken || !self.stores_in(facts, pass) {
            return self.track(facts, rest);
        }
        let live = facts.applicable(&self.attach.rules);
        let devices = self.unanswered_devices(&live, facts);
        if !devices.is_empty() {
            return self.by_device(&devices, facts, &mut |lowering, facts| lowering.settle(facts, pass, rest));
        }
        let mut later = facts.clone();
        later.settled.push(pass);
        let then = self.track(&later, rest);
        let set = Pending { zone: self.zone(pass), mark: None, label: None };
        let (facts, rest) = self.certain(facts, rest);
        let live = facts.applicable(&self.attach.rules);
        self.settle_list(&Settling { facts: &facts, pass, rest: &rest, then: &then }, &live, &set)
    }

    /// The rules from here on that are asked before the next pass: each stores what it has to, with what `continue` rules
    /// before it have set, and goes on. Where none matches, or none can be asked so early (`resolve` has refused policies
    /// where that matters), nothing is stored.
    fn settle_list(&mut self, at: &Settling<'_>, live: &[Live<'_>], set: &Pending) -> Tail {
        let Settling { facts, pass, rest, then } = *at;
        let mut lines: Vec<Line> = Vec::new();
        let mut otherwise = then.clone();
        if self.attach.default_allow {
            otherwise = stored(then, set, false);
        }
        for (index, live_rule) in live.iter().enumerate() {
            let rule = live_rule.rule;
            let own = rule.pass == pass && stores(rule);
            if waits_for(rule, self.attach, &self.policy.translating, rest).is_some() {
                otherwise = then.clone();
                break;
            }
            let set_too = if own { with(set, rule) } else { set.clone() };
            let tail = match rule.verdict {
                Verdict::Continue if own => {
                    let following = live.get(index + 1..).unwrap_or_default();
                    self.settle_list(at, following, &set_too)
                }
                Verdict::Continue => continue,
                Verdict::Allow => stored(then, &set_too, own && rule.actions.force),
                Verdict::Drop | Verdict::AllowStateless => then.clone(),
            };
            let sets = sets_of(live_rule, facts);
            if sets.iter().any(|(ether, sets)| ether.is_none() && sets.is_empty()) {
                otherwise = tail;
                break;
            }
            lines.extend(sets.into_iter().map(|(ether, sets)| Line { ether, sets, tail: tail.clone() }));
        }
        while lines.last().is_some_and(|line| line.tail == otherwise) {
            lines.pop();
        }
        let what = format!("stored in zone {}", self.zone(pass));
        self.table_or_tail(facts.frame, &what, lines, otherwise)
    }

    /// What no later pass can change, and all passes that may still come: those to which a reply may have to go back
    /// (`passes::again`) are open again.
    pub(super) fn certain(&self, facts: &Facts, rest: &[usize]) -> (Facts, Vec<usize>) {
        let mut certain = facts.clone();
        let mut open = rest.to_vec();
        for pass in 0..self.attach.passes.len() {
            let unknown = matches!(facts.state(pass), Some(State::New | State::Invalid));
            if unknown && self.translates(self.zone(pass)) && !rest.contains(&pass) && self.rewrites(rest) {
                certain = certain.forget(pass);
                open.push(pass);
            }
        }
        (certain, open)
    }

    /// Whether a rule that may match here stores with the connection of this pass's zone.
    pub(super) fn stores_in(&self, facts: &Facts, pass: usize) -> bool {
        facts.applicable(&self.attach.rules).iter().any(|live| live.rule.pass == pass && stores(live.rule))
    }

    pub(super) fn rewrites(&self, passes: &[usize]) -> bool {
        rewrites(self.attach, &self.policy.translating, passes)
    }
}

/// Where [`Lowering::settle`] is.
#[derive(Clone, Copy)]
struct Settling<'s> {
    facts: &'s Facts,
    pass: usize,
    rest: &'s [usize],
    /// The next pass.
    then: &'s Tail,
}

/// What is set, with what this rule sets.
fn with(set: &Pending, rule: &Rule) -> Pending {
    Pending {
        zone: set.zone,
        mark: merge(set.mark, rule.actions.set_mark),
        label: merge_label(set.label, rule.actions.set_label),
    }
}

/// The way on behind a commit that stores this, where there is anything to store.
fn stored(then: &Tail, set: &Pending, force: bool) -> Tail {
    let mut tail = then.clone();
    if set.mark.is_some() || set.label.is_some() || force {
        let commit = Commit { zone: set.zone, force, mark: set.mark, label: set.label, nat: None, helper: None };
        tail.steps.insert(0, Step::Ct(Ct::Commit(commit)));
    }
    tail
}
