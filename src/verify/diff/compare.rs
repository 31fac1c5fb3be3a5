//! Two blocks compared, in as many pieces as it takes.

use super::align::{Aligned, Side};
use super::classes::{Raw, piece, sort};
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
    let vars = Vars::new(&names);
    // A rule's limit says what happens to those that exceed it; so the others are compared first, with the limits asked. If
    // nothing differs there, all are.
    let within: Vec<Literal> = vars.limits().iter().map(|ident| (vars.exceeds(*ident), false)).collect();
    let starts = if within.is_empty() { vec![within] } else { vec![within, Vec::new()] };
    let mut all = Vec::new();
    for start in starts {
        if all.is_empty() {
            all = pieces(aligned, &vars, start, budget, most)?;
        }
    }
    sort(&mut all, aligned);
    let mut counts = [0; Kind::ALL.len()];
    for (count, kind) in counts.iter_mut().zip(Kind::ALL) {
        *count = all.iter().filter(|raw| raw.key.0 == kind).count();
    }
    all.truncate(most);
    Ok(Found { classes: all.into_iter().map(|raw| class(raw, aligned)).collect(), counts })
}

fn class(raw: Raw, aligned: &Aligned) -> Class {
    let fate = |side: &Side, outcome: Outcome| {
        let info = |ident: u32| side.rules().map(|rule| &rule.info).find(|info| info.ident == ident).cloned();
        let rule = match outcome.rule {
            Origin::Rule { ident, .. } => info(ident),
            Origin::Default => Some(side.attach.default.clone()),
            Origin::Implicit | Origin::Machinery => None,
        };
        let limits: Vec<RuleInfo> = outcome.limits.iter().filter_map(|ident| info(*ident)).collect();
        Fate { is_default: outcome.rule == Origin::Default, rule, limits, outcome }
    };
    let packets = raw.packets.unwrap_or_else(|| Packets { text: String::new(), exact: false });
    Class {
        block: 0,
        kind: raw.key.0,
        packets,
        example: raw.example,
        devices: aligned.new.attach.devices.clone(),
        hook: aligned.new.attach.hook,
        old: fate(&aligned.old, raw.old),
        new: fate(&aligned.new, raw.new),
    }
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
                Some(known) => known.packets = None,
                None => all.push(raw),
            }
        }
        Ok(())
    })?;
    Ok(all)
}
