//! Conditions that many rules ask for, made once.

use std::collections::HashMap;

use crate::field::value::Intervals;
use crate::field::{Cond, Conds, Field};
use crate::hash::QuickBuild;

/// Fields of more bits have so many values that one alone is likely to be asked by one rule.
const FEW_BITS: u8 = 16;

/// What was made so far.
#[derive(Default)]
pub struct Shared {
    values: HashMap<(Field, u128), Conds, QuickBuild>,
    sets: HashMap<Field, HashMap<Intervals, Conds, QuickBuild>, QuickBuild>,
}

impl Shared {
    /// The whole field has this value.
    pub fn exact(&mut self, field: Field, value: u128) -> Conds {
        self.values.entry((field, value)).or_insert_with(|| Cond::exact(field, value).into()).clone()
    }

    /// The field has one of these values, as `make` writes it: always the same for a field.
    pub fn of(&mut self, field: Field, values: &Intervals, make: impl FnOnce() -> Vec<Cond>) -> Conds {
        if values.list().len() == 1 && field.row().bits > FEW_BITS {
            return make().into();
        }
        let known = self.sets.entry(field).or_default();
        if let Some(conds) = known.get(values) {
            return conds.clone();
        }
        let conds: Conds = make().into();
        known.insert(values.clone(), conds.clone());
        conds
    }
}
