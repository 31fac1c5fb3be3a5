//! What an allowed packet leaves in conntrack, for all packets: the function that says it for one asks what it needs to know,
//! and is run for every answer.

use super::diagram::{FALSE, Full, Node};
use super::policy::{Context, Rules};
use super::vars::View;
use super::world::{Meaning, World};
use crate::abi::{eth, ipproto};
use crate::field::{Cond, Field};
use crate::ir::outcome::{Committed, Outcome, Sets, Translation, overtaken};
use crate::ir::policy::{Actions, Attach, Policy, State, StateSet, Verdict};

/// Something about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Which state a view shows: the place in [`State::ALL`].
    State(View),
    /// Whether a translation is on record.
    Translated(View),
    /// Whether one of these bits is set in the mark.
    Marked(View, u32),
    /// Whether it is ICMP.
    Icmp,
    /// Whether it is IPv6.
    V6,
    /// Whether conntrack has seen it before us.
    Carried,
}

/// A packet of which some things are known.
pub(super) struct Case<'a> {
    known: &'a [(Question, usize)],
    open: Option<Question>,
}

impl Case<'_> {
    fn ask(&mut self, question: Question) -> usize {
        let known = self.known.iter().find(|(other, _)| *other == question);
        if known.is_none() {
            self.open.get_or_insert(question);
        }
        known.map_or(0, |(_, answer)| *answer)
    }

    fn state(&mut self, view: View) -> State {
        let at = self.ask(Question::State(view));
        State::ALL.get(at).copied().unwrap_or(State::Invalid)
    }

    pub(super) fn carried(&mut self) -> bool {
        self.ask(Question::Carried) == 1
    }

    /// Commits for a rule (or default) that allows: in the zones that know the connection in the order of their passes,
    /// then in the others of the policy, then in zones that are no pass.
    pub(super) fn commits(
        &mut self,
        policy: &Policy,
        attach: &Attach,
        context: &Context,
        allowing: (&Actions, Option<u16>, Verdict),
    ) -> Vec<Committed> {
        let (actions, own, verdict) = allowing;
        let mut commits = Vec::new();
        let Some((own, view)) = own.and_then(|zone| Some((zone, *context.views.get(&zone)?))) else { return commits };
        let stateless = verdict == Verdict::AllowStateless;
        let state = self.state(view);
        let starts = matches!(state, State::New | State::Related | State::RelatedReply);
        let changes = state != State::Invalid && (Sets::of(actions).any() || actions.force);
        let named: Vec<u16> =
            actions.nat.iter().map(|(zone, _)| *zone).chain(actions.commit_zones.iter().copied()).collect();
        for zone in self.order(policy, attach, context, &named) {
            let view = context.views.get(&zone).copied().unwrap_or(View::Pass { zone, again: false });
            let seen = self.state(view);
            if overtaken(&context.passes, zone) && (seen == State::RelatedReply || self.is_error(view)) {
                continue;
            }
            let begun =
                context.views.contains_key(&zone) && matches!(seen, State::Established | State::EstablishedReply);
            let by_name = starts && named.contains(&zone) && !begun;
            let mine = zone == own && !stateless;
            let mut sets = Sets::default();
            if !stateless || by_name {
                sets = context.pending.get(&zone).copied().unwrap_or_default();
            }
            let record = (!stateless || by_name) && self.record_matters(policy, context, zone, view);
            let wanted = by_name || sets.any() || record || (mine && (starts || changes));
            if !wanted || seen == State::Invalid {
                continue;
            }
            if mine {
                sets = sets.then(Sets::of(actions));
            }
            let asked = actions.nat.iter().find(|(other, _)| *other == zone).map(|(_, nat)| *nat);
            let asked = asked.filter(|_| matches!(state, State::New | State::Related) && !begun);
            if let Some(nat) = asked {
                sets = sets.then(Sets::reserved(policy, nat));
            }
            let nat = match asked {
                Some(_) if seen == State::Related && self.ask(Question::Icmp) == 1 => None,
                Some(_) if self.takes_record(view) => Some(Translation::OnRecord),
                Some(nat) => Translation::range(nat, self.ask(Question::V6) == 1),
                None => record.then_some(Translation::OnRecord),
            };
            let force = actions.force && mine;
            if !sets.any() && !force && self.is_error(view) {
                continue;
            }
            let helper = actions.helper.as_ref().filter(|_| mine && state == State::New);
            let helper = helper.map(|h| (h.name.clone(), self.ask(Question::V6) == 1, h.proto));
            commits.push(Committed { zone, force, mark: sets.mark, label: sets.label, nat, helper });
        }
        commits
    }

    /// Zones that a commit may be for, in order.
    fn order(&mut self, policy: &Policy, attach: &Attach, context: &Context, named: &[u16]) -> Vec<u16> {
        let mut zones: Vec<u16> = Vec::new();
        // A zone's last pass is what counts.
        for (zone, _) in &context.passes {
            let Some(view) = context.views.get(zone) else { continue };
            let translates = policy.translating.contains(zone);
            let knows = match self.state(*view) {
                State::Established | State::EstablishedReply => true,
                State::RelatedReply => translates,
                State::Related => translates && self.ask(Question::Icmp) == 1,
                _ => false,
            };
            if knows {
                zones.retain(|other| other != zone);
                zones.push(*zone);
            }
        }
        for zone in attach.passes.iter().chain(named) {
            if !zones.contains(zone) {
                zones.push(*zone);
            }
        }
        zones
    }

    /// Whether the packet is an ICMP error about a connection of this zone.
    fn is_error(&mut self, view: View) -> bool {
        matches!(self.state(view), State::Related | State::RelatedReply) && self.ask(Question::Icmp) == 1
    }

    /// Whether this is the first packet of a helper's connection whose inherited mark says that its master is translated.
    fn record_matters(&mut self, policy: &Policy, context: &Context, zone: u16, view: View) -> bool {
        policy.nat_bits_used
            && policy.translating.contains(&zone)
            && context.views.contains_key(&zone)
            && self.state(view) == State::Related
            && self.ask(Question::Icmp) == 0
            && self.ask(Question::Marked(view, policy.nat_bits.both())) == 1
    }

    fn takes_record(&mut self, view: View) -> bool {
        let related = self.state(view) == State::Related;
        related && (self.ask(Question::Icmp) == 1 || self.ask(Question::Translated(view)) == 1)
    }
}

impl Rules<'_> {
    /// The outcome of every case.
    pub(super) fn explore(
        &mut self,
        known: &mut Vec<(Question, usize)>,
        outcome: &dyn Fn(&mut Case<'_>) -> Outcome,
    ) -> Result<Node, Full> {
        let mut case = Case { known, open: None };
        let found = outcome(&mut case);
        let Some(question) = case.open else { return self.world.meaning(Meaning::Outcome(found)) };
        let mut node = None;
        let answers = if matches!(question, Question::State(_)) { State::ALL.len() } else { 2 };
        for answer in 0..answers {
            let condition = condition(self.world, question, answer)?;
            if condition == FALSE {
                continue;
            }
            known.push((question, answer));
            let one = self.explore(known, outcome)?;
            known.pop();
            node = Some(match node {
                None => one,
                Some(others) => self.world.diagram.ite(condition, one, others)?,
            });
        }
        Ok(node.unwrap_or(FALSE))
    }
}

/// When the answer is this one.
fn condition(world: &mut World, question: Question, answer: usize) -> Result<Node, Full> {
    let holds = match question {
        Question::State(view) => {
            let state = State::ALL.get(answer).copied().unwrap_or(State::Invalid);
            return world.states(view, StateSet::of(&[state]));
        }
        Question::Translated(view) => world.translated(view)?,
        Question::Marked(view, bits) => {
            let none = world.info(view, Field::CtMark, &[Cond::Bits { value: 0, mask: bits.into() }])?;
            super::not(world, none)?
        }
        Question::Icmp => icmp(world)?,
        Question::V6 => world.ethertype(&[eth::P_IPV6])?,
        Question::Carried => world.states(View::Carried, StateSet::TRACKED)?,
    };
    if answer == 1 { Ok(holds) } else { super::not(world, holds) }
}

/// ICMP in IPv4, or ICMPv6 in IPv6.
///
/// # Errors
/// [`Full`]
pub(super) fn icmp(world: &mut World) -> Result<Node, Full> {
    let (v4, v6) = (world.ethertype(&[eth::P_IP])?, world.ethertype(&[eth::P_IPV6])?);
    let (icmp, icmp6) = (world.proto(&[ipproto::ICMP.into()])?, world.proto(&[ipproto::ICMPV6.into()])?);
    let (v4, v6) = (world.diagram.and(v4, icmp)?, world.diagram.and(v6, icmp6)?);
    world.diagram.or(v4, v6)
}
