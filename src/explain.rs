//! All lints, gathered from the rooms that declare them, for `ctpolicy explain` and for `--deny` and `--allow`.

use crate::diag::Lint;

/// The rooms, in the order of the pipeline; each lists the lints of its files.
const ROOMS: &[&[&[&Lint]]] = &[
    &[crate::parse::lints::LINTS],
    crate::ir::resolve::LINTS,
    &[
        crate::emit::linearize::LINTS,
        crate::emit::unreached::LINTS,
        crate::verify::asserts::LINTS,
        crate::verify::report::LINTS,
    ],
];

/// Every lint, in the order of the rooms.
pub fn lints() -> impl Iterator<Item = &'static Lint> {
    ROOMS.iter().copied().flatten().copied().flatten().copied()
}

/// The lint of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Lint> {
    lints().find(|lint| lint.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_read_well_after_allow() {
        let mut seen = BTreeSet::new();
        for lint in lints() {
            assert!(seen.insert(lint.name), "two lints are called {}", lint.name);
            assert!(
                lint.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{}",
                lint.name
            );
            assert!(!lint.doc.trim().is_empty(), "{} has no page", lint.name);
        }
        assert!(!seen.is_empty());
    }
}
