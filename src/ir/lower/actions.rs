//! What an allowed or dropped packet goes through: limit, mirror, commits, clear, and the end.

use crate::abi::ipproto;
use crate::emit::program::{Control, Ct, Police};
use crate::field::{Cond, Conds, Field};
use crate::ir::graph::{End, Step, Tail};
use crate::ir::policy::{Rule, State, Verdict};

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
    pub commit: bool,
    /// Commit in the other zones it names, too.
    pub others: bool,
    /// Give the rule's own translations to the commits.
    pub translate: bool,
    /// The first packet of a related connection, or an ICMP error in the original direction: what is on record must be
    /// applied by the commit (kernel-facts 2.2: `ct nat` alone leaves it untranslated). In policies of several passes it
    /// is never left to the rule: `settle` does it.
    pub related: bool,
    /// Attach the rule's helper: to a connection's very first packet only; a related connection is not what it speaks of.
    pub helper: bool,
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
pub(super) struct Allowing<'r> {
    pub rule: Option<&'r Rule>,
    pub pass: usize,
    pub manner: Manner,
}

impl Allowing<'_> {
    pub fn stateless(&self) -> bool {
        self.rule.is_some_and(|rule| rule.verdict == Verdict::AllowStateless)
    }
}

/// Which related packets a tail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Related {
    /// No difference is made.
    Any,
    /// Those whose translation on record must be applied.
    Translated,
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

    /// The packets, among those of a rule or default that acts in this manner, whose translation on record the commit
    /// must apply: each a list of further conditions. ICMP errors always (the kernel then ignores the address); a
    /// helper's data connection only where the reserved bits show that its master is translated, since it would take
    /// the address if it were not.
    pub(super) fn translated_related(&self, manner: Manner, facts: &Facts, pass: usize) -> Vec<Vec<(Field, Conds)>> {
        if !manner.related {
            return Vec::new();
        }
        let icmp = if facts.frame.is_ip6() { ipproto::ICMPV6 } else { ipproto::ICMP };
        let mut out = vec![vec![(Field::IpProto, Cond::exact(Field::IpProto, u128::from(icmp)).into())]];
        if manner.commit && self.policy.nat_bits_used && facts.shown == Some(pass) {
            let bits = self.policy.nat_bits;
            for bit in [bits.snat, bits.dnat].map(u128::from) {
                out.push(vec![(Field::CtMark, Cond::Bits { value: bit, mask: bit }.into())]);
            }
        }
        out
    }
}
