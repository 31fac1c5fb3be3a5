//! Conntrack passes of a policy, for all packets at once: which zones, in which order, and how often.

use std::collections::BTreeMap;

use super::diagram::{Full, NONE, Node};
use super::policy::{Context, Part, Rules};
use super::vars::View;
use crate::ir::policy::{State, StateSet};

/// The states that each view can still have.
pub(super) type Known = BTreeMap<View, StateSet>;

/// What comes after a question about a state, by its answer.
type Follow<'f, 'r> = dyn FnMut(&mut Rules<'r>, bool, &Known) -> Result<Node, Full> + 'f;

impl<'r> Rules<'r> {
    /// Conntrack, once per zone of the queue, and what follows. `known`: the states that a view can still have.
    pub(super) fn track(&mut self, mut queue: Vec<u16>, mut context: Context, known: &Known) -> Result<Node, Full> {
        if queue.is_empty() {
            return self.list(Part::Rules, 0, &context);
        }
        let zone = queue.remove(0);
        let again = context.passes.iter().any(|(passed, _)| *passed == zone);
        let view = View::Pass { zone, again };
        let translates = self.policy.translating.contains(&zone);
        context.views.insert(zone, view);
        context.passes.push((zone, translates));
        let missed: Vec<u16> = self.attach.passes.iter().rev().copied().collect();
        let may = |other: &u16| {
            *other != zone
                && context.views.contains_key(other)
                && self.policy.translating.contains(other)
                && !queue.contains(other)
        };
        let missed: Vec<u16> = missed.into_iter().filter(may).collect();
        if !translates || missed.is_empty() {
            return self.track(queue, context, known);
        }
        // What an earlier zone does not know of an ICMP error is invalid there, not new.
        let [new, unknown] = [StateSet::of(&[State::New]), StateSet::of(&[State::New, State::Invalid])];
        let [established, related] = [State::EstablishedReply, State::RelatedReply].map(|state| StateSet::of(&[state]));
        self.split(view, established, known, &mut |rules, holds, known| {
            if holds {
                return rules.again((&missed, new), Vec::new(), &queue, &context, known);
            }
            rules.split(view, related, known, &mut |rules, holds, known| {
                let missed = if holds { missed.as_slice() } else { &[] };
                rules.again((missed, unknown), Vec::new(), &queue, &context, known)
            })
        })
    }

    /// Those of the zones that show one of these states are passed once more, before the others.
    fn again(
        &mut self,
        (missed, unknown): (&[u16], StateSet),
        chosen: Vec<u16>,
        queue: &[u16],
        context: &Context,
        known: &Known,
    ) -> Result<Node, Full> {
        let Some((zone, others)) = missed.split_first() else {
            let queue = chosen.into_iter().chain(queue.iter().copied()).collect();
            return self.track(queue, context.clone(), known);
        };
        let Some(view) = context.views.get(zone) else { return Ok(NONE) };
        self.split(*view, unknown, known, &mut |rules, holds, known| {
            let chosen = chosen.iter().copied().chain(holds.then_some(*zone)).collect();
            rules.again((others, unknown), chosen, queue, context, known)
        })
    }

    /// What follows where the view shows one of these states, and where it shows another.
    fn split(
        &mut self,
        view: View,
        states: StateSet,
        known: &Known,
        follow: &mut Follow<'_, 'r>,
    ) -> Result<Node, Full> {
        let possible = known.get(&view).copied().unwrap_or(StateSet::TRACKED);
        let mut nodes = [NONE, NONE];
        for (node, (holds, states)) in nodes.iter_mut().zip([(false, states.not()), (true, states)]) {
            let left = possible.and(states);
            if left != StateSet::EMPTY {
                let mut known = known.clone();
                known.insert(view, left);
                *node = follow(self, holds, &known)?;
            }
        }
        let condition = self.world.states(view, states)?;
        let [otherwise, then] = nodes;
        match (possible.and(states), possible.and(states.not())) {
            (StateSet::EMPTY, _) => Ok(otherwise),
            (_, StateSet::EMPTY) => Ok(then),
            _ => self.world.diagram.ite(condition, then, otherwise),
        }
    }
}
