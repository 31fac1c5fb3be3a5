//! Sets of values under masks: marks, labels, TCP flags, fragment bits. How one is written is in `bits`.

use std::cell::Cell;

use super::sets::Domain;
use super::{Cx, bits};
use crate::diag::Diagnostic;
use crate::field::value::{self, Intervals, ones};
use crate::field::{Cond, Field};
use crate::source::Span;

crate::declare_lints! {
    /// A set of masked values that falls apart into too many pieces.
    pub SCATTERED_MASKS: Error = "scattered-masks", "a set of masked values that falls apart into too many pieces",
        "What lies outside several values under different masks can only be said by listing pieces; here there would be more than 100,000.\n\n\
         Remedy: use the same mask for all values of the set, or write `allow` rules for what is meant instead of `not`.";
}

/// Pieces that a complement may fall into; more would never fit a device's filters either.
const PIECES_MAX: usize = 100_000;

/// `field & mask == value`
pub type Piece = (u128, u128);

/// What is written in such a set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Notation {
    Mark,
    Label,
    TcpFlags,
    Fragment,
}

/// A kind of masked value.
pub struct Masked {
    field: Field,
    notation: Notation,
    overflow: Cell<bool>,
}

impl Masked {
    const fn new(field: Field, notation: Notation) -> Self {
        Self { field, notation, overflow: Cell::new(false) }
    }

    /// Marks of connections.
    pub const fn marks() -> Self {
        Self::new(Field::CtMark, Notation::Mark)
    }

    /// Labels of connections.
    pub const fn labels() -> Self {
        Self::new(Field::CtLabel, Notation::Label)
    }

    /// TCP flags. `flags syn` alone asks for that flag and leaves the others open: it is `syn/syn`.
    pub const fn tcp_flags() -> Self {
        Self::new(Field::TcpFlags, Notation::TcpFlags)
    }

    /// Fragment bits.
    pub const fn fragments() -> Self {
        Self::new(Field::IpFlags, Notation::Fragment)
    }

    fn bits(&self) -> u8 {
        self.field.row().bits
    }

    /// Whether a set fell apart into too many pieces; reports it.
    pub fn overflowed(&self, span: Span, cx: &mut Cx<'_>) -> bool {
        if self.overflow.get() {
            let message = format!("this set falls apart into more than {PIECES_MAX} pieces");
            cx.report(
                Diagnostic::new(&SCATTERED_MASKS, span, message).help("use the same mask for all values of the set"),
            );
        }
        self.overflow.get()
    }

    /// What one mask of contiguous bits makes easy: pieces as intervals of those bits, shifted down.
    fn as_intervals(pieces: &[Piece]) -> Option<(Intervals, u32, u8)> {
        let mask = pieces.first()?.1;
        let shift = mask.trailing_zeros();
        let width = u8::try_from(mask.count_ones()).ok()?;
        let contiguous = mask != 0 && mask >> shift == ones(width);
        let same = contiguous && pieces.iter().all(|(_, other)| *other == mask);
        let interval = |(value, _): &Piece| (value >> shift, value >> shift);
        same.then(|| (Intervals::new(pieces.iter().map(interval).collect()), shift, width))
    }
}

impl Domain for Masked {
    type Value = Vec<Piece>;

    fn word(&self, span: Span, cx: &mut Cx<'_>) -> Option<Vec<Piece>> {
        let piece = match self.notation {
            Notation::Mark => bits::mark(span, cx).map(|(value, mask)| (value.into(), mask.into())),
            Notation::Label => bits::label(span, cx),
            Notation::TcpFlags => bits::tcp_flags(span, cx),
            Notation::Fragment => bits::fragment(span, cx),
        }?;
        Some(vec![piece])
    }

    fn union(&self, parts: Vec<Vec<Piece>>) -> Vec<Piece> {
        let mut all: Vec<Piece> = parts.into_iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn intersect(&self, a: &Vec<Piece>, b: &Vec<Piece>) -> Vec<Piece> {
        let mut both = Vec::new();
        for (v1, m1) in a {
            for (v2, m2) in b {
                if (v1 ^ v2) & m1 & m2 == 0 {
                    both.push((v1 | v2, m1 | m2));
                }
            }
            if both.len() > PIECES_MAX {
                self.overflow.set(true);
                break;
            }
        }
        both.sort_unstable();
        both.dedup();
        both
    }

    fn complement(&self, pieces: &Vec<Piece>) -> Vec<Piece> {
        if let Some((inside, shift, width)) = Self::as_intervals(pieces) {
            let outside = inside.complement(width).prefixes(width);
            return outside.into_iter().map(|(value, mask)| (value << shift, mask << shift)).collect();
        }
        // The pieces of one complement are disjoint, and so are those of an intersection of disjoint ones.
        let everything = vec![(0, 0)];
        pieces.iter().fold(everything, |left, (value, mask)| {
            self.intersect(&left, &value::complement(*value, *mask, self.bits()))
        })
    }

    fn is_empty(&self, value: &Vec<Piece>) -> bool {
        value.is_empty()
    }
}

/// The pieces as conditions of a filter.
#[must_use]
pub fn conditions(pieces: &[Piece]) -> Vec<Cond> {
    pieces.iter().map(|(value, mask)| Cond::Bits { value: *value, mask: *mask }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn outside_of_several_masked_values_is_exact(
            list in proptest::collection::vec((0u128..4096, 0u128..4096), 1..4),
            same in any::<bool>(),
            probes in proptest::collection::vec(0u128..4096, 64),
        ) {
            let flags = Masked::tcp_flags();
            let pieces: Vec<Piece> = list.iter().map(|(v, m)| {
                let mask = if same { 0xff0 } else { m | 1 };
                (v & mask, mask)
            }).collect();
            let outside = flags.complement(&flags.union(vec![pieces.clone()]));
            for probe in probes {
                let hit = |list: &[Piece]| list.iter().filter(|(v, m)| probe & m == *v).count();
                prop_assert_eq!(hit(&outside), usize::from(hit(&pieces) == 0));
            }
        }
    }
}
