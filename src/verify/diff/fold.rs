//! Classes that one rule is at fault for, told as one.
//!
//! ```text
//! before   allow -> drop: drop bad, was allow a; ... was allow b; ... was allow c   (a class for each rule behind the new one)
//! after    allow -> drop: drop bad, was allow a; others of them by allow b, allow c
//! ```
//!
//! A rule that comes, goes or moves changes the fate of what many other rules decide on the other side, and those have not
//! changed. Such classes are folded where they are of one kind and share the rule; and so are those that the same rule decides on
//! both sides, where something before the rules has changed. Classes whose other rule is new are a change of their own. So is each
//! that ends in a default on the side that they would share: there each rule says more than the default does.

use std::collections::{HashMap, HashSet};

use super::align::{Aligned, Side};
use super::classes::Key;
use super::kind::Kind;
use crate::ir::outcome::Origin;

/// So many classes, or more, are told as one.
const FOLDED: usize = 3;

/// What classes can share.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Shared {
    /// The rule that decided before.
    Old(u32),
    /// The rule that decides now.
    New(u32),
    /// That the rule is the same before and now.
    Both,
}

/// Which classes are told together: indices, in the order of `keys`, each once.
pub fn groups(keys: &[Key], aligned: &Aligned) -> Vec<Vec<usize>> {
    let meanings = |side: &Side| side.rules().map(|rule| rule.info.meaning).collect::<HashSet<u64>>();
    let (before, after) = (meanings(&aligned.old), meanings(&aligned.new));
    let stays = |origin: Origin, other: &HashSet<u64>| match origin {
        Origin::Rule { meaning, .. } => other.contains(&meaning),
        _ => true,
    };
    let mut sharing: HashMap<(Kind, Shared), Vec<usize>> = HashMap::new();
    let mut order: Vec<(Kind, Shared)> = Vec::new();
    for (at, (kind, old, new)) in keys.iter().enumerate() {
        let mut shared = Vec::new();
        match (old, new) {
            (Origin::Rule { meaning: before, .. }, Origin::Rule { meaning: after, .. }) if before == after => {
                shared.push(Shared::Both);
            }
            (Origin::Default, Origin::Default) => shared.push(Shared::Both),
            _ => {
                if let Origin::Rule { ident, .. } = old
                    && stays(*new, &before)
                {
                    shared.push(Shared::Old(*ident));
                }
                if let Origin::Rule { ident, .. } = new
                    && stays(*old, &after)
                {
                    shared.push(Shared::New(*ident));
                }
            }
        }
        for shared in shared {
            let members = sharing.entry((*kind, shared)).or_default();
            if members.is_empty() {
                order.push((*kind, shared));
            }
            members.push(at);
        }
    }
    // The rule at fault for most comes first; sorting is stable, so equals stay in the order of the classes.
    order.sort_by_key(|shared| std::cmp::Reverse(sharing.get(shared).map_or(0, Vec::len)));
    let mut taken = vec![false; keys.len()];
    let free = |taken: &[bool], at: usize| taken.get(at).is_some_and(|taken| !taken);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for shared in order {
        let members: Vec<usize> =
            sharing.remove(&shared).into_iter().flatten().filter(|at| free(&taken, *at)).collect();
        if members.len() < FOLDED {
            continue;
        }
        for at in &members {
            if let Some(taken) = taken.get_mut(*at) {
                *taken = true;
            }
        }
        groups.push(members);
    }
    groups.extend((0..keys.len()).filter(|at| free(&taken, *at)).map(|at| vec![at]));
    groups.sort_by_key(|members| members.first().copied());
    groups
}
