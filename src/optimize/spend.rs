//! What a mask less is worth in each of many chains.
//!
//! A packet meets one leaf of a list that was cut, so a mask of a chain that holds one line in a hundred costs one packet in a hundred. All
//! chains of a policy share one budget: there is a price of a lookup that every packet pays, and in each chain a mask may cost its
//! share of that. The highest price is taken that keeps all of them within the budget.

use std::collections::BTreeMap;

use super::lines::{Item, Lines};
use super::masks::{Kind, Prospect};
use super::price::Scale;
use super::prios::Placed;
use crate::emit::linearize::{product, protocol};
use crate::ir::graph::{End, Table};

/// Prices that are tried: each is a sixteenth less than the one before.
const STEPS: u32 = 180;

/// A chain.
struct Chain {
    masks: Prospect,
    lines: u64,
}

/// The scale for each of these chains of a policy that was cut, whose rules need so many filters; 0 where nothing was cut.
#[must_use]
pub fn scales(tables: &[&Table], needed: u64, scale: Scale) -> Vec<Scale> {
    if needed == 0 {
        return vec![scale.among(tables.len() as u64); tables.len()];
    }
    let chains: Vec<Chain> = tables.iter().map(|table| Chain::of(table, scale)).collect();
    let all = chains.iter().map(|chain| chain.lines).sum::<u64>().max(1);
    let budget = scale.budget(needed).max(needed.saturating_add(scale.free * 2));
    let highest = scale.mask.max(needed / 2);
    let price = |step: u32| (0..step).fold(highest.saturating_mul(1_000), |price, _| price - price / 16);
    let spent = |step: u32| {
        let own = |chain: &Chain| chain.masks.at(chain.scale(price(step), all, scale)).0;
        chains.iter().map(own).fold(chains.len() as u64, u64::saturating_add)
    };
    let (mut low, mut high) = (0, STEPS);
    while low < high {
        let middle = u32::midpoint(low, high);
        if spent(middle) <= budget { high = middle } else { low = middle + 1 }
    }
    chains.iter().map(|chain| chain.scale(price(low), all, scale)).collect()
}

impl Chain {
    fn of(table: &Table, scale: Scale) -> Self {
        let lines = Lines { table, scale };
        let mut masks: BTreeMap<Kind, u64> = BTreeMap::new();
        let (mut lists, mut decides) = (Vec::new(), 0);
        for (at, line) in table.lines.iter().enumerate() {
            decides += u64::from(!(matches!(line.tail.end, End::Goto(_)) && line.tail.steps.is_empty()));
            let protocol = protocol(table.frame, line);
            if line.sets.iter().flat_map(|(_, conds)| conds).any(|cond| cond.mask().is_none()) {
                product(&line.sets, &mut |keys| {
                    lists.push((protocol, Placed { keys: keys.to_vec(), line: at, does: at, goes_on: false }));
                });
                continue;
            }
            for (shape, count) in lines.shapes(Item::new(at)) {
                let known = masks.entry((protocol, shape)).or_default();
                *known = known.saturating_add(count);
            }
        }
        Self { masks: Prospect::of(masks, &lists), lines: decides }
    }

    /// The scale at this price, in thousandths of a filter; `all` is the lines of all chains.
    fn scale(&self, price: u64, all: u64, scale: Scale) -> Scale {
        let own = u128::from(price) * u128::from(self.lines) / u128::from(all) / 1_000;
        let mask = u64::try_from(own).unwrap_or(u64::MAX).max(1);
        Scale { mask, share: u64::MAX, free: u64::MAX / 2, ..scale }
    }
}
