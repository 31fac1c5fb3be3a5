//! Sets of a field's values, read back from a diagram of its variables.

use super::{Alphabet, Letter};
use crate::field::value::ones;
use crate::verify::diagram::{Diagram, FALSE, Node, TRUE};

/// Members of a letter are tried one by one up to so many bits.
const TRIED: u8 = 12;

impl Alphabet {
    /// The set as ranges, in order; `None` where it takes more than `most`. Only this field's variables are asked in `set`.
    #[must_use]
    pub fn ranges(&self, diagram: &Diagram, base: u32, set: Node, bits: u8, most: usize) -> Option<Vec<(u128, u128)>> {
        let mut found = Vec::new();
        let spell = Spell { diagram, base, most };
        spell.ranges(&self.letters, bits, 0, set, &mut found)?;
        Some(found)
    }

    /// The set as values under masks; `None` where it takes more than `most`, or has members that are "none of those named".
    #[must_use]
    pub fn cubes(&self, diagram: &Diagram, base: u32, set: Node, most: usize) -> Option<Vec<(u128, u128)>> {
        let mut found = Vec::new();
        Spell { diagram, base, most }.cubes(&self.letters, (0, 0), set, &mut found)?;
        Some(found)
    }
}

struct Spell<'a> {
    diagram: &'a Diagram,
    base: u32,
    most: usize,
}

impl Spell<'_> {
    /// What the set is behind a letter of this number.
    fn behind(&self, letter: &Letter, number: u128, set: Node) -> Node {
        let mut node = set;
        let first = self.base + letter.at;
        while let Some((level, low, high)) = self.diagram.branches(node) {
            if level < first || level >= first + letter.width {
                break;
            }
            let bit = letter.width - 1 - (level - first);
            node = if number >> bit & 1 == 1 { high } else { low };
        }
        node
    }

    /// Whether the set asks this letter.
    fn asks(&self, letter: &Letter, set: Node) -> bool {
        let first = self.base + letter.at;
        self.diagram.branches(set).is_some_and(|(level, ..)| level >= first && level < first + letter.width)
    }

    /// Values of the letter, as runs, with what the set is behind each.
    fn runs(&self, letter: &Letter, set: Node) -> Option<Vec<(u128, u128, Node)>> {
        let Some(values) = &letter.values else {
            let each = |number| (number, number, self.behind(letter, number, set));
            return (letter.bits <= TRIED).then(|| (0..=ones(letter.bits)).map(each).collect());
        };
        let others = self.behind(letter, values.len() as u128, set);
        let (mut runs, mut next) = (Vec::new(), 0);
        for (number, value) in (0u128..).zip(values) {
            if *value > next {
                runs.push((next, value - 1, others));
            }
            runs.push((*value, *value, self.behind(letter, number, set)));
            next = value + 1;
        }
        if next <= ones(letter.bits) {
            runs.push((next, ones(letter.bits), others));
        }
        Some(runs)
    }

    fn ranges(
        &self,
        letters: &[Letter],
        top: u8,
        prefix: u128,
        set: Node,
        found: &mut Vec<(u128, u128)>,
    ) -> Option<()> {
        if set == FALSE {
            return Some(());
        }
        if set == TRUE {
            return self.push((prefix, prefix | ones(top)), found);
        }
        let (letter, rest) = letters.split_first()?;
        if letter.shift + letter.bits != top {
            return None;
        }
        for (lo, hi, node) in self.runs(letter, set)? {
            if node == TRUE {
                let range = (prefix | lo << letter.shift, prefix | hi << letter.shift | ones(letter.shift));
                self.push(range, found)?;
            } else if node != FALSE {
                if hi - lo > self.most as u128 {
                    return None;
                }
                for value in lo..=hi {
                    self.ranges(rest, letter.shift, prefix | value << letter.shift, node, found)?;
                }
            }
        }
        Some(())
    }

    fn push(&self, (lo, hi): (u128, u128), found: &mut Vec<(u128, u128)>) -> Option<()> {
        match found.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(lo) => *last = hi,
            _ => found.push((lo, hi)),
        }
        (found.len() <= self.most).then_some(())
    }

    fn cubes(
        &self,
        letters: &[Letter],
        (value, mask): (u128, u128),
        set: Node,
        found: &mut Vec<(u128, u128)>,
    ) -> Option<()> {
        if set == FALSE {
            return Some(());
        }
        if set == TRUE {
            found.push((value, mask));
            return (found.len() <= self.most).then_some(());
        }
        let (letter, rest) = letters.split_first()?;
        if !self.asks(letter, set) {
            return self.cubes(rest, (value, mask), set, found);
        }
        for (lo, hi, node) in self.runs(letter, set)? {
            if node == FALSE {
                continue;
            }
            // A run of values stands for those that nobody named.
            if hi != lo {
                return None;
            }
            let cube = (value | lo << letter.shift, mask | ones(letter.bits) << letter.shift);
            self.cubes(rest, cube, node, found)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_read_back_is_what_was_asked(
            asked in proptest::collection::btree_set((0u128..256, 0u8..=8), 1..6),
            some in proptest::collection::vec(proptest::bool::ANY, 6),
        ) {
            let prefix = |(value, length): (u128, u8)| {
                let mask = ones(8) & !ones(8 - length);
                (value & mask, mask)
            };
            let asked: BTreeSet<(u128, u128)> = asked.into_iter().map(prefix).collect();
            let alphabet = Alphabet::new(8, &asked);
            let mut diagram = Diagram::new(10_000, Vec::new());
            let taken: Vec<(u128, u128)> = asked.iter().zip(&some).filter(|(_, take)| **take).map(|(cond, _)| *cond).collect();
            let mut set = FALSE;
            for (value, mask) in &taken {
                let literals = alphabet.literals(7, *value, *mask).unwrap();
                let cube = diagram.cube(&literals, TRUE, FALSE).unwrap();
                set = diagram.or(cube, set).unwrap();
            }
            let holds = |probe: u128| taken.iter().any(|(value, mask)| probe & mask == *value);
            let ranges = alphabet.ranges(&diagram, 7, set, 8, 300).unwrap();
            let cubes = alphabet.cubes(&diagram, 7, set, 300);
            for probe in 0..256 {
                prop_assert_eq!(ranges.iter().any(|(lo, hi)| (*lo..=*hi).contains(&probe)), holds(probe));
                if let Some(cubes) = &cubes {
                    prop_assert_eq!(cubes.iter().any(|(value, mask)| probe & mask == *value), holds(probe));
                }
            }
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
