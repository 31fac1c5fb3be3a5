//! What kind of change a change is.

use crate::ir::outcome::{Committed, Fate, Outcome};

/// Kinds of changes, the most dangerous first. A packet that changes in several ways counts for the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What was dropped is let through.
    Opened,
    /// What was let through is dropped.
    Closed,
    /// It leaves by another device, or into the stack instead.
    Redirected,
    /// Another translation.
    Translated,
    /// Conntrack: other zones, begun or not, by force, its helper, or cleared.
    Tracked,
    /// Another mark or label is stored.
    Marked,
    /// It is counted against another rate.
    Limited,
    /// Other copies.
    Copied,
}

impl Kind {
    /// All, in order.
    pub const ALL: [Self; 8] = [
        Self::Opened,
        Self::Closed,
        Self::Redirected,
        Self::Translated,
        Self::Tracked,
        Self::Marked,
        Self::Limited,
        Self::Copied,
    ];

    /// For people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Opened => "drop -> allow",
            Self::Closed => "allow -> drop",
            Self::Redirected => "other device",
            Self::Translated => "other translation",
            Self::Tracked => "other tracking",
            Self::Marked => "other mark or label",
            Self::Limited => "other limit",
            Self::Copied => "other copies",
        }
    }

    /// For programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Redirected => "redirected",
            Self::Translated => "translated",
            Self::Tracked => "tracked",
            Self::Marked => "marked",
            Self::Limited => "limited",
            Self::Copied => "copied",
        }
    }
}

/// How two fates of a packet differ, which rule decides left aside; `None` where they are the same.
#[must_use]
pub fn kind(old: &Outcome, new: &Outcome) -> Option<Kind> {
    match (&old.verdict, &new.verdict) {
        (Fate::Drop, Fate::Drop) => return (old.mirrors != new.mirrors).then_some(Kind::Copied),
        (Fate::Drop, _) => return Some(Kind::Opened),
        (_, Fate::Drop) => return Some(Kind::Closed),
        (before, after) if before != after => return Some(Kind::Redirected),
        _ => {}
    }
    let differ = |of: fn(&Committed) -> Committed| {
        let of = |outcome: &Outcome| outcome.commits.iter().map(of).collect::<Vec<_>>();
        of(old) != of(new)
    };
    let applied = |outcome: &Outcome| -> Vec<u16> {
        outcome.passes.iter().filter(|(_, applied)| *applied).map(|(zone, _)| *zone).collect()
    };
    let translations = |outcome: &Outcome| -> Vec<_> {
        outcome.commits.iter().filter_map(|commit| Some((commit.zone, commit.nat?))).collect()
    };
    let zones = |outcome: &Outcome| -> Vec<u16> { outcome.passes.iter().map(|(zone, _)| *zone).collect() };
    if applied(old) != applied(new) || translations(old) != translations(new) {
        return Some(Kind::Translated);
    }
    let bare = |commit: &Committed| Committed { mark: None, label: None, ..commit.clone() };
    if zones(old) != zones(new) || old.cleared != new.cleared || differ(bare) {
        return Some(Kind::Tracked);
    }
    if old.commits != new.commits {
        return Some(Kind::Marked);
    }
    if old.limits != new.limits {
        return Some(Kind::Limited);
    }
    (old.mirrors != new.mirrors).then_some(Kind::Copied)
}
