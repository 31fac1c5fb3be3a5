//! The lines of a policy: each alternative of each rule, with what it asks at least.

use std::collections::HashMap;

use super::cubes::{Cube, left};
use super::{Case, Stage};
use crate::emit::program::{Role, RuleRef};
use crate::ir::policy::{Alt, Rule, Verdict};
use crate::verify::diagram::{Diagram, Literal};
use crate::verify::guard::Guard;
use crate::verify::policy::Rules;
use crate::verify::world::World;

/// All lines.
pub struct Lines<'p> {
    pub all: Vec<Line<'p>>,
    /// The first line of each rule.
    first: HashMap<u32, usize>,
}

/// An alternative of a rule.
pub struct Line<'p> {
    pub rule: &'p Rule,
    pub alt: &'p Alt,
    /// What it asks of packets at each stage; `None` where it never matches.
    asks: [Option<Asks>; 2],
}

/// What a line asks.
pub struct Asks {
    pub literals: Cube,
    /// Whether that is all.
    pub whole: bool,
}

impl<'p> Lines<'p> {
    /// The lines of a block; `None` where some rule lets packets go on.
    pub fn new(case: &Case<'p>) -> Option<Self> {
        let goes_on = |rule: &Rule| {
            rule.verdict == Verdict::Continue || (rule.verdict == Verdict::Drop && rule.actions.limit.is_some())
        };
        if case.attach.all_rules().any(goes_on) {
            return None;
        }
        let mut world = World::new(case.vars.clone(), true, Diagram::new(case.nodes, Vec::new()));
        let mut rules = Rules::new(&mut world, case.policy, case.attach);
        let (mut all, mut first) = (Vec::new(), HashMap::new());
        let ways: &[Stage] = if case.zone.is_some() { &[Stage::Start, Stage::Tracked] } else { &[Stage::Start] };
        for rule in case.attach.all_rules() {
            first.entry(rule.info.ident).or_insert(all.len());
            for alt in &rule.alts {
                let mut asks = [None, None];
                for stage in ways {
                    let context = case.meant(*stage);
                    let states = rules.states(rule, &context).ok()?;
                    let guard = rules.alternative(alt, &states, &context).ok()?;
                    let found = guard.and_then(Guard::into_literals);
                    if let Some(asks) = asks.get_mut(*stage as usize) {
                        *asks = found.map(|(literals, whole)| Asks { literals, whole });
                    }
                }
                all.push(Line { rule, alt, asks });
            }
        }
        Some(Self { all, first })
    }

    /// The first line of the rule that a filter belongs to.
    pub fn first_of(&self, rule: &RuleRef) -> Option<usize> {
        self.first.get(&rule.ident).copied().filter(|_| rule.role == Role::Rule)
    }

    /// A line, where it can match at this stage.
    pub fn get(&self, at: u32, stage: Stage) -> Option<(&Line<'p>, &Asks)> {
        let line = self.all.get(at as usize)?;
        Some((line, line.asks.get(stage as usize)?.as_ref()?))
    }

    /// What a line asks at least.
    pub fn literals(&self, at: u32, stage: Stage) -> &[Literal] {
        self.get(at, stage).map_or(&[], |(_, asks)| &asks.literals)
    }

    /// The lines from one on that packets of a region can match.
    pub fn within(&self, from: usize, to: usize, stage: Stage, region: &[Literal]) -> Vec<u32> {
        let numbers = (0u32..).zip(&self.all).skip(from).take(to.saturating_sub(from)).map(|(at, _)| at);
        let fits = |at: &u32| self.get(*at, stage).is_some_and(|(_, asks)| left(&asks.literals, region).is_some());
        numbers.filter(fits).collect()
    }
}
