//! Masks: what decides which filters of a prio share a hash table.

use crate::emit::program::Filter;
use crate::field::{Cond, Field, Key, MaskKind};

/// A field's part of a filter's mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mask {
    /// These bits.
    Bits(u128),
    /// A range of ports: all ranges of a field share one mask.
    Range,
}

/// A field and its part of the mask.
pub type Masked = (Field, Mask);

/// The mask of a filter: filters of one prio with equal masks share a hash table.
#[must_use]
pub fn mask_of(filter: &Filter) -> Vec<Masked> {
    let part = |key: &Key| match key.cond {
        Cond::Range { .. } => (key.field, Mask::Range),
        Cond::Bits { .. } if key.field.row().mask == MaskKind::Exact => {
            (key.field, Mask::Bits(key.field.row().full_mask()))
        }
        Cond::Bits { mask, .. } => (key.field, Mask::Bits(mask)),
    };
    let mut mask: Vec<Masked> = filter.keys.iter().map(part).collect();
    mask.sort_unstable();
    mask
}
