//! Passes through conntrack, and the branches on what each shows.

use crate::field::{Cond, Field};
use crate::ir::graph::{End, Line, Step, Table, Tail};
use crate::ir::policy::{Rule, State, StateSet};
use crate::{abi::ct_state as bits, emit::program::Ct};

use super::Lowering;
use super::actions::Manner;
use super::facts::{Answer, Facts};

impl Lowering<'_> {
    /// Conntrack in the first of these passes, then whatever its state asks for.
    pub(super) fn track(&mut self, facts: &Facts, passes: &[usize]) -> Tail {
        let Some((&pass, rest)) = passes.split_first() else {
            return self.rules_tail(facts);
        };
        let zone = self.zone(pass);
        let mut tail = self.by_state(facts, pass, rest);
        // What is dropped whatever its state is not looked up.
        if !tail.steps.is_empty() || tail.end != End::Drop {
            tail.steps.insert(0, Step::Ct(Ct::Track { zone, nat: self.translates(zone) }));
        }
        tail
    }

    /// One table that tests the state of this pass in one mask; no table where all states do the same.
    fn by_state(&mut self, facts: &Facts, pass: usize, rest: &[usize]) -> Tail {
        // States in which the same rules act in the same way share one way on.
        let mut groups: Vec<(Signature, StateSet, Tail)> = Vec::new();
        for state in StateSet::TRACKED.iter() {
            let (after, rest) = self.again(&facts.after(pass, state), pass, state, rest);
            let signature = self.signature(&after, &rest);
            if let Some((_, states, _)) = groups.iter_mut().find(|(known, _, _)| *known == signature) {
                *states = states.or(StateSet::of(&[state]));
                continue;
            }
            let tail = self.shown(&after, pass, &rest);
            match groups.iter_mut().find(|(_, _, known)| *known == tail) {
                Some((_, states, _)) => *states = states.or(StateSet::of(&[state])),
                None => groups.push((signature, StateSet::of(&[state]), tail)),
            }
        }
        if let [(_, _, tail)] = groups.as_slice() {
            return tail.clone();
        }
        let lines = state_lines(facts, &groups);
        // Conntrack leaves every packet in one of the six states; should a kernel ever know a seventh, it is dropped.
        let otherwise = Tail { steps: Vec::new(), end: End::Drop, rule: self.dispatch_rule };
        let title = self.title(facts.frame, &format!("state in zone {}", self.zone(pass)));
        self.goto(Table { frame: facts.frame, title, lines, otherwise })
    }

    /// A reply in a later zone, of a connection that an earlier zone did not know: what the later zone translated back
    /// may be just what the earlier one knows (a hairpin: two translations are undone in the reverse order), so the packet
    /// passes the earlier zone once more. Of an ICMP error, what a zone does not know is invalid there, not new.
    fn again(&self, facts: &Facts, pass: usize, state: State, rest: &[usize]) -> (Facts, Vec<usize>) {
        let mut facts = facts.clone();
        let mut queue = Vec::new();
        if state.is_reply() && self.translates(self.zone(pass)) {
            for earlier in (0..self.attach.passes.len()).rev() {
                let missed = match facts.state(earlier) {
                    Some(State::New) => true,
                    Some(State::Invalid) => state == State::RelatedReply,
                    _ => false,
                };
                if earlier != pass && missed && self.translates(self.zone(earlier)) && !rest.contains(&earlier) {
                    facts = facts.forget(earlier);
                    queue.push(earlier);
                }
            }
        }
        queue.extend_from_slice(rest);
        (facts, queue)
    }

    /// What makes two states the same: the rules that can match, and what each would do.
    fn signature(&self, facts: &Facts, rest: &[usize]) -> Signature {
        let open = facts.shown.map_or_else(|| facts.clone(), |pass| self.reopened(facts, pass, rest));
        let live = open.applicable(&self.attach.rules).into_iter();
        let seen = facts.states.iter().filter(|_| !rest.is_empty());
        Signature {
            rest: rest.to_vec(),
            rules: live.map(|live| (live.index, live.mark, live.label, self.manner(live.rule, facts))).collect(),
            default: self.default_manner(facts),
            apart: self.several().then(|| self.apart(facts, rest)).flatten(),
            seen: seen.map(|state| state.filter(|state| [State::New, State::Invalid].contains(state))).collect(),
        }
    }

    /// What will still be known behind the next passes, and the state of this one: a rule that cannot match now may do so once
    /// an earlier zone was passed again, when nothing of this pass is shown any more.
    fn reopened(&self, facts: &Facts, pass: usize, rest: &[usize]) -> Facts {
        let (mut open, _) = self.certain(facts, rest);
        if let (Some(slot), Some(state)) = (open.states.get_mut(pass), facts.states.get(pass)) {
            *slot = *state;
        }
        open
    }

    /// The state of the pass that was last, where a policy of several passes acts by it between passes, or in commits
    /// that are no rule's own.
    fn apart(&self, facts: &Facts, rest: &[usize]) -> Option<State> {
        let pass = facts.shown?;
        let zone = self.zone(pass);
        let named = |rule: &Rule| {
            rule.actions.commit_zones.contains(&zone) || rule.actions.nat.iter().any(|(other, _)| *other == zone)
        };
        let related = matches!(facts.state(pass), Some(State::Related | State::RelatedReply))
            && (self.translates(zone) || self.rewrites(rest));
        let named = facts.applicable(&self.attach.rules).iter().any(|live| named(live.rule));
        (related || named || self.stores_in(facts, pass)).then(|| facts.state(pass)).flatten()
    }

    /// What follows a pass: what has to be done before the next one, then that one, or the rules.
    pub(super) fn shown(&mut self, facts: &Facts, pass: usize, rest: &[usize]) -> Tail {
        if let Some(tail) = self.dropped(facts, rest) {
            return tail;
        }
        if self.error_matters(facts, pass, rest) {
            return self.by_error(facts, pass, rest);
        }
        let tail = self.questions(facts, pass, rest);
        self.apply_record(facts, pass, tail)
    }

    /// Before the next pass replaces what the kernel shows, branch on the marks and labels that rules ask of this one.
    fn questions(&mut self, facts: &Facts, pass: usize, rest: &[usize]) -> Tail {
        let Some((field, conds)) = self.next_question(facts, pass, rest) else {
            return if rest.is_empty() { self.rules_tail(facts) } else { self.settle(facts, pass, rest) };
        };
        let answers = |yes: Option<usize>| {
            let conds = conds.clone();
            conds.into_iter().enumerate().map(move |(at, cond)| Answer { pass, field, cond, holds: Some(at) == yes })
        };
        let mut lines = Vec::new();
        for (at, cond) in conds.iter().enumerate() {
            let tail = self.questions(&facts.with(answers(Some(at))), pass, rest);
            lines.push(Line { ether: None, sets: vec![(field, (*cond).into())], tail });
        }
        let otherwise = self.questions(&facts.with(answers(None)), pass, rest);
        if lines.iter().all(|line| line.tail == otherwise) {
            return otherwise;
        }
        let title = self.title(facts.frame, &format!("{} in zone {}", field.row().name, self.zone(pass)));
        self.goto(Table { frame: facts.frame, title, lines, otherwise })
    }

    /// The first unanswered question on this pass's mark or label, with all others of the same mask: at most one of them holds.
    fn next_question(&self, facts: &Facts, pass: usize, rest: &[usize]) -> Option<(Field, Vec<Cond>)> {
        if let Some(cond) = self.helper_question(facts, pass)
            && facts.answer(pass, Field::CtMark, cond).is_none()
        {
            return Some((Field::CtMark, vec![cond]));
        }
        if rest.is_empty() {
            // The rules ask for themselves.
            return None;
        }
        let mut found: Option<(Field, u128, Vec<Cond>)> = None;
        for live in
            self.reopened(facts, pass, rest).applicable(&self.attach.rules).iter().filter(|live| live.rule.pass == pass)
        {
            let marks = facts.mark_questions(live.rule).into_iter().flatten().map(|cond| (Field::CtMark, cond));
            let labels = live.rule.label.iter().flatten().map(|cond| (Field::CtLabel, *cond));
            for (field, cond) in marks.chain(labels) {
                let Cond::Bits { mask, .. } = cond else { continue };
                if facts.answer(pass, field, cond).is_some() {
                    continue;
                }
                match &mut found {
                    None => found = Some((field, mask, vec![cond])),
                    Some((f, m, conds)) if (*f, *m) == (field, mask) && !conds.contains(&cond) => conds.push(cond),
                    Some(_) => {}
                }
            }
        }
        found.map(|(field, _, conds)| (field, conds))
    }
}

/// What is still asked of a mark or label: any of these.
type Asked = Option<Vec<Cond>>;

/// What is done with a packet, of the state of a pass.
#[derive(PartialEq, Eq)]
struct Signature {
    /// The passes to come.
    rest: Vec<usize>,
    /// The rules that can match, what is still asked of mark and label, and how each acts.
    rules: Vec<(usize, Asked, Asked, Manner)>,
    default: Manner,
    apart: Option<State>,
    /// For each pass, whether it showed `New` or `Invalid`: rules of passes still to come may depend on it (`again`).
    seen: Vec<Option<State>>,
}

/// Lines of a state table: every state by its exact bits under one mask. The reply bit is in the mask only where it matters.
fn state_lines(facts: &Facts, groups: &[(Signature, StateSet, Tail)]) -> Vec<Line> {
    let together = |a, b| groups.iter().any(|(_, states, _)| states.contains(a) && states.contains(b));
    let reply_matters =
        !(together(State::Established, State::EstablishedReply) && together(State::Related, State::RelatedReply));
    let all = bits::TRK | bits::NEW | bits::EST | bits::REL | bits::INV;
    let mask = u128::from(if reply_matters { all | bits::RPL } else { all });
    let mut lines: Vec<Line> = Vec::new();
    // The established come first in print; in one mask the order costs nothing.
    let order =
        [State::Established, State::EstablishedReply, State::New, State::Related, State::RelatedReply, State::Invalid];
    for state in order {
        let cond = Cond::Bits { value: u128::from(state.bits()) & mask, mask };
        let sets = vec![(Field::CtState, cond.into())];
        if lines.iter().any(|line| line.sets == sets) {
            continue;
        }
        if let Some((_, _, tail)) = groups.iter().find(|(_, states, _)| states.contains(state)) {
            lines.push(Line { ether: None, sets, tail: tail.clone() });
        }
    }
    debug_assert!(facts.frame.is_ip());
    lines
}
