//! What is known about a packet on one way through the graph, and which rules can still match there.

use crate::field::{Cond, Field};
use crate::ir::graph::Frame;
use crate::ir::packet::device_value;
use crate::ir::policy::{Alt, Attach, NatBits, Rule, State};

use super::{Live, fits};

/// A question about an earlier pass's mark or label, or about the arrival device, that was branched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The pass it speaks of; 0 for devices.
    pub pass: usize,
    /// `CtMark`, `CtLabel` or `InDev`.
    pub field: Field,
    /// The condition.
    pub cond: Cond,
    /// Whether it holds. Of devices: whether the packet arrived by this one or by another of which the same is said.
    pub holds: bool,
}

/// What is known.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Class of frames.
    pub frame: Frame,
    /// State per pass, where the packet has been through it.
    pub states: Vec<Option<State>>,
    /// The pass whose mark and label the kernel shows now.
    pub shown: Option<usize>,
    /// Answers of branches.
    pub answers: Vec<Answer>,
    /// The passes that the packet has been through, in order.
    pub visits: Vec<usize>,
    /// Whether it is an ICMP error about a known connection, where that is known.
    pub icmp: Option<bool>,
    /// Passes in whose zone all that is to be stored is stored.
    pub settled: Vec<usize>,
    nat_bits: NatBits,
    zones: Vec<u16>,
}

impl Facts {
    /// Nothing is known but the frame's class.
    pub fn new(frame: Frame, attach: &Attach, nat_bits: NatBits) -> Self {
        Self {
            frame,
            states: vec![None; attach.passes.len()],
            shown: None,
            answers: Vec::new(),
            visits: Vec::new(),
            icmp: None,
            settled: Vec::new(),
            nat_bits,
            zones: attach.passes.clone(),
        }
    }

    /// The same, after a pass that showed this state.
    pub fn after(&self, pass: usize, state: State) -> Self {
        let mut facts = self.clone();
        if let Some(slot) = facts.states.get_mut(pass) {
            *slot = Some(state);
        }
        facts.shown = Some(pass);
        facts.visits.push(pass);
        if matches!(state, State::New | State::Established | State::EstablishedReply) {
            // Where its connection is not known an ICMP error is invalid, never new (kernel-facts 2.2).
            facts.icmp = facts.icmp.or(Some(false));
        }
        // What an earlier lookup of the same zone showed is void (see `passes::again`).
        facts.answers.retain(|answer| answer.field == Field::InDev || answer.pass != pass);
        facts
    }

    /// The same, as if the packet had not been through this pass.
    pub fn forget(&self, pass: usize) -> Self {
        let mut facts = self.clone();
        if let Some(slot) = facts.states.get_mut(pass) {
            *slot = None;
        }
        facts.answers.retain(|answer| answer.field == Field::InDev || answer.pass != pass);
        facts
    }

    /// The same, with these answers.
    pub fn with(&self, answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut facts = self.clone();
        facts.answers.extend(answers);
        facts
    }

    /// State of a pass.
    pub fn state(&self, pass: usize) -> Option<State> {
        self.states.get(pass).copied().flatten()
    }

    /// Whether the answer to a question is known.
    pub fn answer(&self, pass: usize, field: Field, cond: Cond) -> Option<bool> {
        let known = self.answers.iter().find(|a| (a.pass, a.field, a.cond) == (pass, field, cond));
        known.map(|answer| answer.holds)
    }

    /// Devices by one of which the packet has arrived (`true`; none where that is not known), or by none (`false`).
    fn devices(&self, holds: bool) -> impl Iterator<Item = Cond> {
        let known = self.answers.iter().filter(move |answer| answer.field == Field::InDev && answer.holds == holds);
        known.map(|answer| answer.cond)
    }

    /// Whether it need not be asked any more if the packet arrived by this device.
    pub fn knows_device(&self, device: Cond) -> bool {
        self.devices(true).next().is_some() || self.devices(false).any(|known| known == device)
    }

    /// What is left of a question for the arrival device, any of: `None` where it is known to hold, nothing where it cannot.
    pub fn arrival(&self, conds: &[Cond]) -> Option<Vec<Cond>> {
        let by: Vec<Cond> = self.devices(true).collect();
        if by.is_empty() {
            return Some(
                conds.iter().filter(|cond| self.devices(false).all(|known| known != **cond)).copied().collect(),
            );
        }
        let left: Vec<Cond> = by.iter().filter(|device| conds.contains(device)).copied().collect();
        (left.len() < by.len()).then_some(left)
    }

    /// The rules that can still match, in order.
    pub fn applicable<'a>(&self, rules: &'a [Rule]) -> Vec<Live<'a>> {
        rules.iter().enumerate().filter_map(|(index, rule)| self.live(index, rule)).collect()
    }

    fn live<'a>(&self, index: usize, rule: &'a Rule) -> Option<Live<'a>> {
        let states_fit = self.states_fit(rule);
        if !states_fit {
            return None;
        }
        self.alts(rule).next()?;
        let marks = self.mark_questions(rule);
        let labels: Vec<Vec<Cond>> = rule.label.iter().cloned().collect();
        match (self.open(rule, Field::CtMark, &marks), self.open(rule, Field::CtLabel, &labels)) {
            (Asked::Fails, _) | (_, Asked::Fails) => None,
            (mark, label) => Some(Live { index, rule, mark: mark.left(), label: label.left() }),
        }
    }

    /// The alternatives of the rule that fit the frame, and may fit its arrival device.
    pub fn alts<'r>(&self, rule: &'r Rule) -> impl Iterator<Item = &'r Alt> {
        rule.alts.iter().filter(|alt| {
            let barred = |device: &String| self.answer(0, Field::InDev, device_cond(device)) == Some(true);
            let elsewhere = |conds| self.arrival(conds).is_some_and(|left| left.is_empty());
            let kept_out = alt.not_in.iter().any(barred) || alt.asked(Field::InDev).is_some_and(elsewhere);
            fits(alt.link, alt.vlan.is_some(), self.frame) && !kept_out
        })
    }

    /// Whether the known states let the rule match.
    fn states_fit(&self, rule: &Rule) -> bool {
        if !self.frame.is_ip() {
            // Non-IP frames never enter conntrack: rules that ask for a state are not for them.
            return true;
        }
        let own = self.state(rule.pass).is_none_or(|state| rule.states.contains(state));
        // A rule that translates or commits in another zone never matches what is invalid there.
        own && self.zones.iter().enumerate().all(|(pass, zone)| {
            let acts = rule.actions.nat.iter().any(|(nat_zone, _)| nat_zone == zone)
                || rule.actions.commit_zones.contains(zone);
            !acts || self.state(pass) != Some(State::Invalid)
        })
    }

    /// The rule's questions about its connection's mark, each "any of": the written one, and one for each of `snat`, `dnat`.
    ///
    /// The reserved bits say which end a rule of ours translates *on the way of the first packet*; on the way back the
    /// other end is (language.md 3.8), so the bit that is asked depends on the direction.
    pub fn mark_questions(&self, rule: &Rule) -> Vec<Vec<Cond>> {
        let reply = self.state(rule.pass).is_some_and(State::is_reply);
        let bits = self.nat_bits;
        let bit = |bit: u32, wanted: bool| {
            vec![Cond::Bits { value: if wanted { u128::from(bit) } else { 0 }, mask: u128::from(bit) }]
        };
        let mut questions: Vec<Vec<Cond>> = rule.mark.iter().cloned().collect();
        questions.extend(rule.snat.map(|wanted| bit(if reply { bits.dnat } else { bits.snat }, wanted)));
        questions.extend(rule.dnat.map(|wanted| bit(if reply { bits.snat } else { bits.dnat }, wanted)));
        questions
    }

    /// What is left of the rule's questions.
    fn open(&self, rule: &Rule, field: Field, questions: &[Vec<Cond>]) -> Asked {
        let mut left: Option<Vec<Cond>> = None;
        if self.state(rule.pass).is_none() {
            // Not been there yet: nothing to ask.
            return Asked::Holds;
        }
        for any in questions {
            if any.iter().any(|cond| self.answer(rule.pass, field, *cond) == Some(true)) {
                continue;
            }
            let open: Vec<Cond> =
                any.iter().filter(|cond| self.answer(rule.pass, field, **cond).is_none()).copied().collect();
            left = Some(match left {
                None => open,
                Some(before) => both(&before, &open),
            });
            if left.as_ref().is_some_and(Vec::is_empty) {
                return Asked::Fails;
            }
        }
        left.map_or(Asked::Holds, Asked::Of)
    }
}

/// What is known of a rule's questions.
enum Asked {
    /// They cannot all hold.
    Fails,
    /// They all hold.
    Holds,
    /// They hold if one of these does, of what the kernel shows now.
    Of(Vec<Cond>),
}

impl Asked {
    fn left(self) -> Option<Vec<Cond>> {
        if let Self::Of(conds) = self { Some(conds) } else { None }
    }
}

/// The condition "arrived by this device".
pub fn device_cond(device: &str) -> Cond {
    Cond::exact(Field::InDev, device_value(device))
}

/// All that satisfies one condition of each list.
pub fn both(a: &[Cond], b: &[Cond]) -> Vec<Cond> {
    a.iter().flat_map(|x| b.iter().filter_map(|y| x.meet(*y))).collect()
}
