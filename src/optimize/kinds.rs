//! The masks of filters, numbered.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use super::masks::Kind;
use super::prios::{Placed, shape_of};
use crate::field::Key;
use crate::hash::{Quick, QuickBuild};

/// Protocols with masks, in the order in which they were met.
#[derive(Default)]
pub struct Kinds {
    list: Vec<Kind>,
    /// Numbers by hash.
    known: HashMap<u64, Vec<usize>, QuickBuild>,
    last: usize,
}

impl Kinds {
    /// The numbers of these filters, and what they stand for.
    #[must_use]
    pub fn of(filters: &[(u16, Placed)]) -> (Vec<usize>, Vec<Kind>) {
        let mut kinds = Self::default();
        let numbers = filters.iter().map(|(protocol, filter)| kinds.number(*protocol, &filter.keys)).collect();
        (numbers, kinds.list)
    }

    /// The number of this protocol with the mask of these keys.
    fn number(&mut self, protocol: u16, keys: &[Key]) -> usize {
        // Most filters have the mask of the one before.
        if !self.is(self.last, protocol, keys) {
            self.last = self.found(protocol, keys);
        }
        self.last
    }

    fn found(&mut self, protocol: u16, keys: &[Key]) -> usize {
        let mut hasher = Quick::default();
        protocol.hash(&mut hasher);
        for key in keys {
            (key.field, key.cond.mask()).hash(&mut hasher);
        }
        let hash = hasher.finish();
        let same = self.known.get(&hash).into_iter().flatten().copied();
        if let Some(number) = same.into_iter().find(|number| self.is(*number, protocol, keys)) {
            return number;
        }
        self.list.push((protocol, shape_of(keys)));
        self.known.entry(hash).or_default().push(self.list.len() - 1);
        self.list.len() - 1
    }

    fn is(&self, number: usize, protocol: u16, keys: &[Key]) -> bool {
        self.list.get(number).is_some_and(|(own, shape)| {
            let same = || shape.iter().zip(keys).all(|(asked, key)| *asked == (key.field, key.cond.mask()));
            *own == protocol && shape.len() == keys.len() && same()
        })
    }
}
