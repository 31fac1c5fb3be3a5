//! Conditions on one field.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use super::Cond;

/// Conditions of which a field satisfies one. Shared: a copy costs nothing, and rules that name one set hold it once.
#[derive(Clone, Debug, Eq, PartialOrd, Ord)]
pub struct Conds(Arc<[Cond]>);

impl Conds {
    /// The conditions.
    #[must_use]
    pub fn as_slice(&self) -> &[Cond] {
        &self.0
    }

    /// Keeps those that are wanted.
    pub fn retain(&mut self, wanted: impl Fn(&Cond) -> bool) {
        if !self.iter().all(&wanted) {
            *self = self.iter().filter(|cond| wanted(cond)).copied().collect();
        }
    }
}

impl PartialEq for Conds {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Hash for Conds {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Deref for Conds {
    type Target = [Cond];

    fn deref(&self) -> &[Cond] {
        &self.0
    }
}

impl Borrow<[Cond]> for Conds {
    fn borrow(&self) -> &[Cond] {
        &self.0
    }
}

impl From<Cond> for Conds {
    fn from(cond: Cond) -> Self {
        Self(Arc::new([cond]))
    }
}

impl From<Vec<Cond>> for Conds {
    fn from(conds: Vec<Cond>) -> Self {
        Self(conds.into())
    }
}

impl FromIterator<Cond> for Conds {
    fn from_iter<I: IntoIterator<Item = Cond>>(conds: I) -> Self {
        Self(conds.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Conds {
    type Item = &'a Cond;
    type IntoIter = std::slice::Iter<'a, Cond>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
