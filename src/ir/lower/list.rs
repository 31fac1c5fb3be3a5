//! A first-match list of rules, under what is known, as lines of a table.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::abi::GOTO_MAX;
use crate::field::{Cond, Conds, Field};
use crate::ir::graph::{End, Line, Table, Tail};
use crate::ir::policy::Link;

use super::actions::{Pending, Related};
use super::facts::{Answer, Facts, both, device_cond};
use super::passed::{Known, List, Passed, goes_on, meets_itself, pending_of};
use super::{Live, Lowering, Part};

pub(super) type Sets = Vec<(Field, Conds)>;

impl Lowering<'_> {
    /// The policy's rules after all passes.
    pub(super) fn rules_tail(&mut self, facts: &Facts) -> Tail {
        self.list(Part::Rules, facts)
    }

    /// The rules of a part, and what follows them.
    pub(super) fn list(&mut self, part: Part, facts: &Facts) -> Tail {
        let attach = self.attach;
        let (rules, first) = match part {
            Part::Prefilter => (&attach.prefilter, 0),
            Part::Rules => (&attach.rules, attach.prefilter.len()),
        };
        let live = facts.applicable(rules);
        let devices = self.unanswered_devices(&live, facts);
        if !devices.is_empty() {
            return self.by_device(&devices, facts, &mut |lowering, facts| lowering.list(part, facts));
        }
        self.from(&List { part, facts, first, live: &live }, 0, &Passed::default(), &mut HashMap::new())
    }

    /// The rules of a list from this place on, for packets that have matched the rules in `passed`; `known` holds what was written
    /// before: many ways lead to the same rest.
    fn from(&mut self, list: &List<'_>, start: usize, passed: &Passed, known: &mut Known) -> Tail {
        let List { part, facts, first, live } = *list;
        // One to this list, one for each rule: what the kernel would not run is not written out.
        let gotos = passed.rules.len() + 1;
        if gotos >= GOTO_MAX {
            self.deep = gotos;
        }
        if self.deep > 0 {
            return self.default_tail(facts, &passed.set);
        }
        let mut lines = Vec::with_capacity(live.len().saturating_sub(start));
        for (place, live) in live.iter().enumerate().skip(start) {
            let at = first + live.index;
            let set = pending_of(live, self.zone(live.rule.pass));
            // A packet that fits two lines of a rule that goes on would run its actions twice.
            let twice = goes_on(live.rule) && meets_itself(&sets_of(live, facts));
            let mut new = if set.is_some() || (twice && !self.limit_and_mirror(live.rule, at).is_empty()) {
                if passed.excludes(list, live) {
                    continue;
                }
                let passed = passed.with(place, set);
                let key = (place + 1, passed.rules.clone());
                let rest = match known.get(&key) {
                    Some(rest) => rest.clone(),
                    None => self.from(list, place + 1, &passed, known),
                };
                known.insert(key, rest.clone());
                let goto = self.own_table(facts, rest);
                let tail =
                    Tail { steps: self.limit_and_mirror(live.rule, at), end: goto.end, rule: self.first_rule + at };
                let to_line = |(ether, sets)| Line { ether, sets, tail: tail.clone() };
                sets_of(live, facts).into_iter().map(to_line).collect()
            } else {
                self.rule_lines(live, at, facts, &passed.set)
            };
            if let Some(decided) = new.iter().position(Line::always) {
                // Lines of one rule before the one that always matches are its special cases; those after it are void.
                let otherwise = new.swap_remove(decided).tail;
                new.truncate(decided);
                lines.extend(new);
                return self.table_or_tail(facts.frame, &self.what(part, facts), lines, otherwise);
            }
            lines.extend(new);
        }
        let (more, otherwise) = self.after(part, facts, &passed.set);
        lines.extend(more);
        self.table_or_tail(facts.frame, &self.what(part, facts), lines, otherwise)
    }

    /// What follows the rules of a part.
    fn after(&mut self, part: Part, facts: &Facts, pending: &[Pending]) -> (Vec<Line>, Tail) {
        let tracked = self.attach.tracked();
        let mut lines = Vec::new();
        if tracked == (part == Part::Prefilter) {
            lines = self.implicit_lines(facts.frame);
        }
        if part == Part::Prefilter {
            return (lines, self.after_prefilter(facts));
        }
        let last = self.attach.passes.len().saturating_sub(1);
        for sets in self.translated_related(self.default_manner(facts), facts, last) {
            let tail = self.default_tail_for(facts, pending, Related::Translated);
            lines.push(Line { ether: None, sets, tail });
        }
        (lines, self.default_tail(facts, pending))
    }

    /// Lines of one rule: one for each alternative that fits the frame, and special ones for related packets.
    pub(super) fn rule_lines(&mut self, live: &Live<'_>, at: usize, facts: &Facts, pending: &[Pending]) -> Vec<Line> {
        let manner = self.manner(live.rule, facts);
        let special = self.translated_related(manner, facts, live.rule.pass);
        let mut lines = Vec::new();
        for (ether, sets) in sets_of(live, facts) {
            for more in &special {
                if let Some(sets) = narrowed(&sets, more) {
                    let tail = self.rule_tail(live.rule, at, facts, pending, Related::Translated);
                    lines.push(Line { ether, sets, tail });
                }
            }
            let tail = self.rule_tail(live.rule, at, facts, pending, Related::Any);
            lines.push(Line { ether, sets, tail });
        }
        lines
    }

    /// `in not DEV`: flower cannot say it, so branch on the devices, those together that the same rules name; a packet has
    /// arrived by at most one of them.
    pub(super) fn by_device(
        &mut self,
        devices: &[Vec<Cond>],
        facts: &Facts,
        way: &mut dyn FnMut(&mut Self, &Facts) -> Tail,
    ) -> Tail {
        let answers = |yes: Option<usize>| {
            let conds = devices.iter().enumerate().flat_map(|(at, conds)| conds.iter().map(move |cond| (at, *cond)));
            conds.map(move |(at, cond)| Answer { pass: 0, field: Field::InDev, cond, holds: Some(at) == yes })
        };
        let otherwise = way(self, &facts.with(answers(None)));
        let mut lines = Vec::new();
        for (at, conds) in devices.iter().enumerate() {
            let tail = way(self, &facts.with(answers(Some(at))));
            if tail != otherwise {
                lines.push(Line { ether: None, sets: vec![(Field::InDev, conds.clone().into())], tail });
            }
        }
        self.table_or_tail(facts.frame, "arrival device", lines, otherwise)
    }

    /// Devices of `in not` matches of these rules that are not yet branched on, those together that the same alternatives name.
    pub(super) fn unanswered_devices(&self, live: &[Live<'_>], facts: &Facts) -> Vec<Vec<Cond>> {
        let named: BTreeSet<&String> =
            live.iter().flat_map(|live| facts.alts(live.rule)).flat_map(|alt| &alt.not_in).collect();
        let open = named.into_iter().filter(|device| !facts.knows_device(device_cond(device)));
        let all = || self.attach.all_rules().flat_map(|rule| &rule.alts).enumerate();
        let mut groups: BTreeMap<Vec<usize>, Vec<Cond>> = BTreeMap::new();
        for device in open {
            let alts = all().filter(|(_, alt)| alt.not_in.contains(device)).map(|(at, _)| at).collect();
            groups.entry(alts).or_default().push(device_cond(device));
        }
        groups.into_values().collect()
    }

    /// A table of its own, so that what it does is counted for the rule it comes from.
    fn own_table(&mut self, facts: &Facts, tail: Tail) -> Tail {
        if matches!(tail.end, End::Goto(_)) && tail.steps.is_empty() {
            return tail;
        }
        let title = self.title(facts.frame, &self.what(Part::Rules, facts));
        self.goto(Table { frame: facts.frame, title, lines: Vec::new(), otherwise: tail })
    }

    fn what(&self, part: Part, facts: &Facts) -> String {
        if part == Part::Prefilter {
            return "before conntrack".to_owned();
        }
        let states: Vec<String> = facts
            .states
            .iter()
            .enumerate()
            .filter_map(|(pass, state)| state.map(|state| format!("{} in zone {}", state.word(), self.zone(pass))))
            .collect();
        if states.is_empty() { "rules".to_owned() } else { states.join(", ") }
    }
}

/// Ethertype and conditions of each alternative, with those on what conntrack shows.
pub(super) fn sets_of(live: &Live<'_>, facts: &Facts) -> Vec<(Option<u16>, Sets)> {
    facts
        .alts(live.rule)
        .filter_map(|alt| {
            let mut sets = alt.sets.clone();
            if let Some(at) = sets.iter().position(|(field, _)| *field == Field::InDev) {
                let (_, conds) = sets.remove(at);
                sets.extend(facts.arrival(&conds).map(|left| (Field::InDev, left.into())));
            }
            let mut ether = None;
            if let Link::Ether(kind) = alt.link {
                if facts.frame.is_tagged() {
                    sets.push((Field::VlanEthType, Cond::exact(Field::VlanEthType, u128::from(kind)).into()));
                } else {
                    ether = Some(kind);
                }
            }
            if let Some(ids) = &alt.vlan {
                let ids = ids.iter().map(|id| Cond::exact(Field::VlanId, u128::from(*id))).collect();
                sets.push((Field::VlanId, ids));
            }
            sets.extend(live.mark.clone().map(|conds| (Field::CtMark, conds.into())));
            sets.extend(live.label.clone().map(|conds| (Field::CtLabel, conds.into())));
            sets.sort_by_key(|(field, _)| *field);
            let before_conntrack = facts.shown.is_none();
            let sets =
                if before_conntrack && fits_fragments(&sets) { narrowed(&sets, &no_fragment()) } else { Some(sets) };
            Some((ether, sets?))
        })
        .collect()
}

/// Whether a condition on something behind the IP header takes 0. Flower fills in nothing there for a fragment, and
/// compares with 0 (kernel-facts 2.3): `port 0-1023` would match every fragment, which language.md 3.11 rules out.
fn fits_fragments(sets: &Sets) -> bool {
    let behind = sets.iter().filter(|(field, _)| field.is_layer4());
    let mut behind = behind.peekable();
    behind.peek().is_some() && behind.all(|(_, conds)| conds.iter().any(|cond| cond.matches(0)))
}

/// `fragment none`
fn no_fragment() -> Sets {
    let fragment = u128::from(crate::abi::ip_flags::IS_FRAGMENT);
    vec![(Field::IpFlags, Cond::Bits { value: 0, mask: fragment }.into())]
}

/// The product with further conditions, `None` where nothing is left.
fn narrowed(sets: &Sets, more: &Sets) -> Option<Sets> {
    let mut out = sets.clone();
    for (field, conds) in more {
        match out.iter_mut().find(|(known, _)| known == field) {
            None => out.push((*field, conds.clone())),
            Some((_, known)) => {
                let both = both(known, conds);
                if both.is_empty() {
                    return None;
                }
                *known = both.into();
            }
        }
    }
    out.sort_by_key(|(field, _)| *field);
    Some(out)
}
