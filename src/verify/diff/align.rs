//! Two blocks made comparable: what is the same for a user, though its number is another, gets the same number.
//!
//! A rule's hash depends on its position, so a rule more above would make all budgets below others. A budget is the same
//! where the rule has the same `@id` and rate; else where the rule means the same; else where the rate is the same, in the order written.
//! A budget is one over all devices of its policy, so it is the same as one other at most, however many blocks it is compared with.
//! A zone that only the old block names stands for one that only the new block names, in the order of their passes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::pairs::Pair;
use crate::ir::policy::{Attach, Limit, Policy, Rule};

/// A block with what of its policy it depends on.
#[derive(Clone, Debug)]
pub struct Side {
    /// The policy, without its blocks.
    pub policy: Policy,
    /// The block.
    pub attach: Attach,
}

impl Side {
    fn new(policy: &Policy, attach: &Attach, devices: &[String]) -> Self {
        let policy = Policy {
            attaches: Vec::new(),
            nat_bits: policy.nat_bits,
            nat_bits_used: policy.nat_bits_used,
            translating: policy.translating.clone(),
            asserts: Vec::new(),
        };
        Self { policy, attach: Attach { devices: devices.to_vec(), ..attach.clone() } }
    }

    /// Prefilter and rules.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.attach.all_rules()
    }

    fn rules_mut(&mut self) -> impl Iterator<Item = &mut Rule> {
        self.attach.prefilter.iter_mut().chain(&mut self.attach.rules)
    }

    /// Zones of its passes, and of what its rules do besides.
    fn zones(&self) -> Vec<u16> {
        let named = self.rules().flat_map(|rule| {
            rule.actions.nat.iter().map(|(zone, _)| *zone).chain(rule.actions.commit_zones.iter().copied())
        });
        let mut zones: Vec<u16> = Vec::new();
        for zone in self.attach.passes.iter().copied().chain(named) {
            if !zones.contains(&zone) {
                zones.push(zone);
            }
        }
        zones
    }

    fn rename(&mut self, names: &BTreeMap<u16, u16>) {
        let name = |zone: &mut u16| *zone = names.get(zone).copied().unwrap_or(*zone);
        self.attach.passes.iter_mut().for_each(name);
        for rule in self.rules_mut() {
            let actions = Arc::make_mut(&mut rule.actions);
            actions.nat.iter_mut().for_each(|(zone, _)| name(zone));
            actions.commit_zones.iter_mut().for_each(name);
        }
        let renamed = self.policy.translating.iter().map(|zone| names.get(zone).copied().unwrap_or(*zone));
        self.policy.translating = renamed.collect();
    }
}

/// Two blocks that can be compared.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// The old block: zones as the new one calls them.
    pub old: Side,
    /// The new block.
    pub new: Side,
    /// Zones that were renamed: their old and their new number.
    pub zones: Vec<(u16, u16)>,
}

/// A rule of a policy: its block and its place there.
type RuleAt = (usize, usize);

/// The budgets that were found to be the same, over all blocks: of the rules of the old policy and of the new one.
#[derive(Debug, Default)]
pub struct Same {
    of_old: BTreeMap<RuleAt, RuleAt>,
    of_new: BTreeMap<RuleAt, RuleAt>,
}

impl Same {
    /// Whether neither is the same as another one.
    fn may_be(&self, old: RuleAt, new: RuleAt) -> bool {
        self.of_old.get(&old).is_none_or(|known| *known == new)
            && self.of_new.get(&new).is_none_or(|known| *known == old)
    }

    fn add(&mut self, old: RuleAt, new: RuleAt) {
        self.of_old.insert(old, new);
        self.of_new.insert(new, old);
    }
}

/// Makes two blocks comparable. `budgets` is what the blocks before have shown.
#[must_use]
pub fn align(old: (&Policy, &Attach), new: (&Policy, &Attach), pair: &Pair, budgets: &mut Same) -> Aligned {
    let devices = &pair.devices;
    let mut old = Side::new(old.0, old.1, devices);
    let mut new = Side::new(new.0, new.1, devices);
    let (before, after) = (old.zones(), new.zones());
    let gone: Vec<u16> = before.iter().copied().filter(|zone| !after.contains(zone)).collect();
    let come: Vec<u16> = after.iter().copied().filter(|zone| !before.contains(zone)).collect();
    let mut zones = Vec::new();
    if gone.len() == come.len() {
        zones = gone.into_iter().zip(come).collect();
        // Other blocks of the old policy may translate in a zone of the new name: that one makes room.
        let there = zones.iter().copied();
        old.rename(&there.clone().chain(there.map(|(from, to)| (to, from))).collect());
    }
    number(&mut old, &mut new, pair, budgets);
    Aligned { old, new, zones }
}

/// The budget of a rule.
struct Budget {
    number: u32,
    place: RuleAt,
    rate: Limit,
    id: Option<String>,
    meaning: u64,
}

impl Budget {
    /// Those of a block.
    fn all(side: &Side, block: usize) -> Vec<Self> {
        let budget = |(at, rule): (usize, &Rule)| {
            let id = rule.info.annotations.iter().rev().find(|(key, _)| key == "id").map(|(_, id)| id.clone());
            let (number, meaning) = (rule.info.ident, rule.info.meaning);
            Some(Self { number, place: (block, at), rate: rule.actions.limit?, id, meaning })
        };
        side.rules().enumerate().filter_map(budget).collect()
    }
}

/// Gives each rule a number of its own; rules with the same budget share one.
fn number(old: &mut Side, new: &mut Side, pair: &Pair, known: &mut Same) {
    let mut next = 0;
    for rule in new.rules_mut().chain(old.rules_mut()) {
        next += 1;
        rule.info.ident = next;
    }
    let (before, after) = (Budget::all(old, pair.old), Budget::all(new, pair.new));
    let mut same: BTreeMap<u32, u32> = BTreeMap::new();
    let mut taken: BTreeSet<u32> = BTreeSet::new();
    let steps: [fn(&Budget, &Budget) -> bool; 3] =
        [|old, new| old.id.is_some() && old.id == new.id, |old, new| old.meaning == new.meaning, |_, _| true];
    for is_same in steps {
        for budget in &before {
            let free = |new: &&Budget| {
                let may_be = !taken.contains(&new.number) && known.may_be(budget.place, new.place);
                may_be && budget.rate == new.rate && is_same(budget, new)
            };
            if same.contains_key(&budget.number) {
                continue;
            }
            if let Some(found) = after.iter().find(free) {
                known.add(budget.place, found.place);
                taken.insert(found.number);
                same.insert(budget.number, found.number);
            }
        }
    }
    for rule in old.rules_mut() {
        rule.info.ident = same.get(&rule.info.ident).copied().unwrap_or(rule.info.ident);
    }
}
