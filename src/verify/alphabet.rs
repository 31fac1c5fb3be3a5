//! How a field's value is spread over variables.
//!
//! Bits that every condition takes together or leaves alone are one letter: what can be told of them is which of the values
//! named they are, or that they are none of these. A letter of `n` values takes as many variables as count to `n`, which for
//! a list of IPv6 hosts of few networks is 20 instead of 128. Letters are numbered in the order of their values, so
//! that neighbours stay neighbours.

mod spell;

use std::collections::BTreeSet;

use super::diagram::Literal;
use crate::field::value::ones;

/// Bits that no condition tells apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Letter {
    /// Its lowest bit.
    shift: u8,
    /// How many bits.
    bits: u8,
    /// Its first variable, from the field's first on.
    at: u32,
    /// How many variables.
    width: u32,
    /// The values named, sorted; `None` where a variable stands for each bit.
    values: Option<Vec<u128>>,
}

/// The letters of a field, the highest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alphabet {
    letters: Vec<Letter>,
    width: u32,
}

impl Alphabet {
    /// For a field of so many bits, of which these values under masks are asked.
    #[must_use]
    pub fn new(bits: u8, asked: &BTreeSet<(u128, u128)>) -> Self {
        // Bit `i`: some condition takes bit `i` without `i + 1`, or the other way round.
        let cuts = asked.iter().fold(0, |cuts, (_, mask)| cuts | (mask ^ (mask >> 1)));
        let mut alphabet = Self::default();
        let mut top = bits;
        for low in (0..bits).rev() {
            if low != 0 && cuts >> (low - 1) & 1 == 0 {
                continue;
            }
            alphabet.letter(low, top - low, asked);
            top = low;
        }
        alphabet
    }

    fn letter(&mut self, shift: u8, bits: u8, asked: &BTreeSet<(u128, u128)>) {
        let here = asked.iter().filter(|(_, mask)| mask >> shift & 1 == 1);
        let values: BTreeSet<u128> = here.map(|(value, _)| value >> shift & ones(bits)).collect();
        if values.is_empty() {
            return;
        }
        // One number more than there are values, for all others.
        let width = usize::BITS - values.len().leading_zeros();
        let (width, values) = if width >= u32::from(bits) {
            (u32::from(bits), None)
        } else {
            (width, Some(values.into_iter().collect()))
        };
        self.letters.push(Letter { shift, bits, at: self.width, width, values });
        self.width += width;
    }

    /// Variables that the field takes.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The literals of `value` under `mask`, the field's first variable being `base`; `None` where it was not among what is
    /// asked.
    #[must_use]
    pub fn literals(&self, base: u32, value: u128, mask: u128) -> Option<Vec<Literal>> {
        let mut literals = Vec::with_capacity(32);
        let mut left = mask;
        for letter in &self.letters {
            let part = mask >> letter.shift & ones(letter.bits);
            if part == 0 {
                continue;
            }
            if part != ones(letter.bits) {
                return None;
            }
            left &= !(part << letter.shift);
            let part = value >> letter.shift & ones(letter.bits);
            let number = match &letter.values {
                None => part,
                Some(values) => values.binary_search(&part).ok()? as u128,
            };
            literals.extend(letter.variables(base).map(|(level, bit)| (level, number >> bit & 1 == 1)));
        }
        (left == 0).then_some(literals)
    }

    /// The variables that are set for this value.
    pub fn set(&self, base: u32, value: u128) -> impl Iterator<Item = u32> {
        self.letters.iter().flat_map(move |letter| {
            let part = value >> letter.shift & ones(letter.bits);
            let number = match &letter.values {
                None => part,
                Some(values) => values.binary_search(&part).unwrap_or(values.len()) as u128,
            };
            letter.variables(base).filter(move |(_, bit)| number >> bit & 1 == 1).map(|(level, _)| level)
        })
    }

    /// A value that goes this way; `plain` where the way does not say.
    pub fn value(&self, base: u32, plain: u128, given: impl Fn(u32) -> Option<bool>) -> u128 {
        let mut value = plain;
        for letter in &self.letters {
            let known = letter.variables(base).any(|(level, _)| given(level).is_some());
            if !known {
                continue;
            }
            let own = plain >> letter.shift & ones(letter.bits);
            let number = letter.variables(base).fold(0, |number, (level, bit)| {
                // Bits that stand for themselves keep what is plain, numbers of letters the smallest that fits.
                let usual = letter.values.is_none() && own >> bit & 1 == 1;
                number << 1 | u128::from(given(level).unwrap_or(usual))
            });
            let part = match &letter.values {
                None => number,
                Some(values) => {
                    usize::try_from(number).ok().and_then(|at| values.get(at).copied()).unwrap_or_else(|| {
                        let other = (0..=values.len() as u128).find(|part| !values.contains(part)).unwrap_or_default();
                        if values.contains(&own) { other } else { own }
                    })
                }
            };
            value = value & !(ones(letter.bits) << letter.shift) | part << letter.shift;
        }
        value
    }
}

impl Letter {
    /// Levels and bits of its number, the highest first.
    fn variables(&self, base: u32) -> impl Iterator<Item = (u32, u32)> + use<> {
        let (first, width) = (base + self.at, self.width);
        (0..width).map(move |at| (first + at, width - 1 - at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn literals_hold_where_the_condition_does(
            asked in proptest::collection::btree_set((0u128..256, 0u128..256), 0..6),
            probe in 0u128..256,
        ) {
            let asked: BTreeSet<(u128, u128)> = asked.into_iter().map(|(value, mask)| (value & mask, mask)).collect();
            let alphabet = Alphabet::new(8, &asked);
            prop_assert!(alphabet.width() <= 8);
            let set: BTreeSet<u32> = alphabet.set(100, probe).collect();
            for (value, mask) in &asked {
                let literals = alphabet.literals(100, *value, *mask).unwrap();
                prop_assert!(literals.windows(2).all(|pair| pair[0].0 < pair[1].0));
                let held = literals.iter().all(|(level, value)| set.contains(level) == *value);
                prop_assert_eq!(held, probe & mask == *value);
            }
            // And back: a value with these variables is told apart by nothing that is asked.
            let way: BTreeMap<u32, bool> =
                (100..100 + alphabet.width()).map(|level| (level, set.contains(&level))).collect();
            let back = alphabet.value(100, 0x5a, |level| way.get(&level).copied());
            for (value, mask) in &asked {
                prop_assert_eq!(back & mask == *value, probe & mask == *value);
            }
        }
    }

    #[test]
    fn hosts_of_one_network_take_few_variables() {
        let hosts = (1..=1000u128).map(|host| (0x2001_0db8 << 96 | host, u128::MAX)).collect();
        assert_eq!(Alphabet::new(128, &hosts).width(), 10);
        let unasked = Alphabet::new(32, &BTreeSet::new());
        assert_eq!((unasked.width(), unasked.literals(0, 1, 1)), (0, None));
    }
}
