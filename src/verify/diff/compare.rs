//! Two blocks compared, in as many pieces as it takes.

use std::collections::HashSet;
use std::rc::Rc;

use super::align::{Aligned, Side};
use super::classes::{Key, Raw, Told, piece, sort};
use super::fold::groups;
use super::kind::Kind;
use super::{Budget, Class, Fate, Origin, Outcome, Packets, RuleInfo};
use crate::verify::diagram::Literal;
use crate::verify::names::Names;
use crate::verify::pieces::in_pieces;
use crate::verify::vars::Vars;

/// What was found in two blocks.
pub struct Found {
    /// The classes described, sorted.
    pub classes: Vec<Class>,
    /// How many of each kind there are, in the order of [`Kind::ALL`].
    pub counts: [usize; Kind::ALL.len()],
}

/// Compares two blocks.
///
/// # Errors
/// How many pieces of the packets were compared, and how many are left, where they are too many.
pub fn compare(aligned: &Aligned, budget: Budget, most: usize) -> Result<Found, (usize, usize)> {
    let mut names = Names::default();
    for side in [&aligned.old, &aligned.new] {
        names.of_policy(&side.attach, side.policy.nat_bits);
    }
    names.icmp_kinds();
    let vars = Vars::new(&names);
    // A rule's limit says what happens to those that exceed it; so the others are compared first, with the limits asked. If
    // nothing differs there, all are.
    let within = vars.within_limits();
    let starts = if within.is_empty() { vec![within] } else { vec![within, Vec::new()] };
    let mut all = Vec::new();
    for start in starts {
        if all.is_empty() {
            all = pieces(aligned, &vars, start, budget, most)?;
        }
    }
    sort(&mut all, aligned);
    let keys: Vec<Key> = all.iter().map(|raw| raw.key).collect();
    let groups = groups(&keys, aligned);
    let mut counts = [0; Kind::ALL.len()];
    for (count, kind) in counts.iter_mut().zip(Kind::ALL) {
        let first = |members: &Vec<usize>| members.first().and_then(|at| all.get(*at));
        *count = groups.iter().filter_map(first).filter(|raw| raw.key.0 == kind).count();
    }
    let told = groups.iter().take(most).filter_map(|members| {
        let raws: Vec<&Raw> = members.iter().filter_map(|at| all.get(*at)).collect();
        class(&raws, aligned)
    });
    Ok(Found { classes: told.collect(), counts })
}

/// Classes that are told as one; the first gives the example.
fn class(raws: &[&Raw], aligned: &Aligned) -> Option<Class> {
    let (first, rest) = raws.split_first()?;
    let fate = |side: &Side, outcome: &Outcome, others: &mut dyn Iterator<Item = Origin>| {
        let decider = |origin: Origin| origin.info(&side.attach).cloned();
        let mut met: HashSet<Origin> = [outcome.rule].into();
        let others: Vec<Origin> = others.filter(|origin| met.insert(*origin)).collect();
        let others_by_themselves = others.contains(&Origin::Implicit);
        let others = others.into_iter().filter_map(decider).collect();
        let limits: Vec<RuleInfo> =
            outcome.limits.iter().filter_map(|ident| side.attach.rule(*ident)).cloned().collect();
        let is_default = outcome.rule == Origin::Default;
        Fate { is_default, rule: decider(outcome.rule), others, others_by_themselves, limits, outcome: outcome.clone() }
    };
    // Words of other classes, or of a part of these in another piece, do not say all.
    let same = |told: &&Rc<Told>| {
        let own = |raw: &&Raw| raw.told.as_ref().is_some_and(|other| Rc::ptr_eq(told, other));
        told.classes == raws.len() && raws.iter().all(own)
    };
    let told = first.told.as_ref().filter(same);
    let packets = told.map_or_else(|| Packets { text: String::new(), exact: false }, |told| told.packets.clone());
    Some(Class {
        block: 0,
        kind: first.key.0,
        packets,
        example: first.example.clone(),
        devices: aligned.new.attach.devices.clone(),
        hook: aligned.new.attach.hook,
        old: fate(&aligned.old, &first.old, &mut rest.iter().map(|raw| raw.key.1)),
        new: fate(&aligned.new, &first.new, &mut rest.iter().map(|raw| raw.key.2)),
    })
}

/// The packets in as many pieces as they need.
fn pieces(
    aligned: &Aligned,
    vars: &Vars,
    start: Vec<Literal>,
    budget: Budget,
    most: usize,
) -> Result<Vec<Raw>, (usize, usize)> {
    let mut all: Vec<Raw> = Vec::new();
    in_pieces(vars, start, budget, &mut |world| {
        for raw in piece(world, aligned, budget, most)? {
            match all.iter_mut().find(|known| known.key == raw.key) {
                // Its packets in this piece belong to it too: the words no longer say all.
                Some(known) => known.told = None,
                None => all.push(raw),
            }
        }
        Ok(())
    })?;
    Ok(all)
}
