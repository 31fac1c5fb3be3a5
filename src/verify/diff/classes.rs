//! The classes of differing packets.

use std::collections::HashMap;
use std::rc::Rc;

use super::align::{Aligned, Side};
use super::fold::groups;
use super::kind::{Kind, kind};
use super::{Budget, Origin, Outcome, Packets};
use crate::ir::eval::eval;
use crate::ir::outcome::Fate as Verdict;
use crate::ir::packet::Packet;
use crate::ir::policy::{Attach, Rule};
use crate::verify::diagram::{FALSE, Full, Leaf, NONE, Node};
use crate::verify::guard::Guard;
use crate::verify::matching::headers;
use crate::verify::policy;
use crate::verify::possible::{passes, seen};
use crate::verify::vars::View;
use crate::verify::words::{PARTS, describe};
use crate::verify::world::World;

/// Changes of outcomes, as [`World::change`] numbers them: old and new as compared, and (downwards) those without what a pass translates.
const NORMAL: [u32; 2] = [u32::MAX - 20, u32::MAX - 21];
const BARE: u32 = u32::MAX - 100;
/// Leaves of the diagram of classes begin here.
const FIRST: Leaf = 3;

/// What classes are told apart by: the kind, and who decides before and after.
pub type Key = (Kind, Origin, Origin);

/// A class, as long as its packets are a diagram.
pub struct Raw {
    /// What it is told apart by.
    pub key: Key,
    /// One of its packets.
    pub example: Packet,
    /// What became of that.
    pub old: Outcome,
    /// What becomes of it.
    pub new: Outcome,
    /// Its leaves in the diagram of the piece that it was found in first.
    pub leaves: Vec<Leaf>,
    /// The packets in words; only of the first classes.
    pub told: Option<Rc<Told>>,
}

/// The packets of classes that are told as one.
pub struct Told {
    /// How many classes.
    pub classes: usize,
    /// In words.
    pub packets: Packets,
}

/// The most dangerous first, then in the order of the new rules, then of the old ones.
pub fn sort(all: &mut [Raw], aligned: &Aligned) {
    all.sort_by_key(|raw| {
        let at = |side: &Side, origin: Origin| match origin {
            Origin::Rule { ident, .. } => side.rules().position(|rule| rule.info.ident == ident),
            _ => None,
        };
        // The default comes last.
        let (old, new) = (at(&aligned.old, raw.key.1), at(&aligned.new, raw.key.2));
        (raw.key.0, new.unwrap_or(usize::MAX), old.unwrap_or(usize::MAX))
    });
}

/// What is compared of an outcome: not the mark's bits that we keep for ourselves, and not the limits of what is dropped.
fn normal(outcome: &mut Outcome, side: &Side) {
    if side.policy.nat_bits_used {
        let own = side.policy.nat_bits.both();
        for commit in &mut outcome.commits {
            let mark = commit.mark.map(|(value, mask)| (value & !own, mask & !own));
            commit.mark = mark.filter(|(_, mask)| *mask != 0);
        }
    }
    if outcome.verdict == Verdict::Drop {
        outcome.limits.clear();
    }
}

/// A pass translates only what has a translation on record.
fn applied(outcome: &mut Outcome, packet: &Packet) {
    let mut before: Vec<u16> = Vec::new();
    for (zone, applied) in &mut outcome.passes {
        let times = before.iter().filter(|passed| *passed == zone).count();
        *applied &= packet.view_after(*zone, times).translated;
        before.push(*zone);
    }
}

/// The passes through this zone, the first or all later ones, translate nothing.
fn bare(outcome: &mut Outcome, zone: u16, again: bool) {
    let passes = outcome.passes.iter_mut().filter(|(passed, _)| *passed == zone).enumerate();
    passes.filter(|(at, _)| (*at > 0) == again).for_each(|(_, (_, applied))| *applied = false);
}

/// One meaning as it is compared, but that each pass translates all packets.
fn meaning(world: &mut World, side: &Side, attach: &Attach, id: u32) -> Result<Node, Full> {
    let node = policy::meaning(world, &side.policy, attach)?;
    world.change(id, node, &mut |outcome| normal(outcome, side))
}

/// The same, where a pass through one of these zones translates only what has a translation on record.
fn exact(world: &mut World, mut node: Node, translating: &[u16]) -> Result<Node, Full> {
    for (id, view) in (0u32..).map(|at| BARE - at).zip(passes(world)) {
        let View::Pass { zone, again } = view else { continue };
        if !translating.contains(&zone) {
            continue;
        }
        let unchanged = world.change(id, node, &mut |outcome| bare(outcome, zone, again))?;
        let on_record = world.translated(view)?;
        node = world.diagram.ite(on_record, node, unchanged)?;
    }
    Ok(node)
}

/// The zones that one of the two translates in.
fn translating(world: &World, aligned: &Aligned) -> Vec<u16> {
    let sides = [&aligned.old, &aligned.new];
    let translates = |zone: &&u16| sides.iter().any(|side| side.policy.translating.contains(zone));
    world.vars.zones().iter().filter(translates).copied().collect()
}

/// The classes of one piece.
pub fn piece(world: &mut World, aligned: &Aligned, budget: Budget, most: usize) -> Result<Vec<Raw>, Full> {
    let (old, new) = (&aligned.old, &aligned.new);
    let before = meaning(world, old, &old.attach, NORMAL[0])?;
    let after = meaning(world, new, &new.attach, NORMAL[1])?;
    if before == after {
        return Ok(Vec::new());
    }
    let zones = translating(world, aligned);
    let (before, after) = (exact(world, before, &zones)?, exact(world, after, &zones)?);
    let mut possible_both = seen(world, &old.policy, &old.attach)?;
    let there = seen(world, &new.policy, &new.attach)?;
    possible_both = world.diagram.and(possible_both, there)?;
    let differs = world.diagram.zip(0, before, after, &mut |a, b| Leaf::from(a != b))?;
    let differs = world.diagram.and(possible_both, differs)?;
    if differs == FALSE {
        return Ok(Vec::new());
    }
    let (node, exact) = classes(world, aligned, differs, [before, after], budget.attribute)?;
    let mut found: Vec<Raw> = Vec::new();
    let mut known: HashMap<Key, usize> = HashMap::new();
    for (leaf, way) in world.diagram.ways(node) {
        let example = world.example(node, &way, &new.attach);
        let [before, after] = [old, new].map(|side| {
            let mut outcome = eval(&side.policy, &side.attach, &example);
            normal(&mut outcome, side);
            applied(&mut outcome, &example);
            outcome
        });
        let kind = kind(&before, &after).unwrap_or(Kind::Tracked);
        let key = (kind, before.rule, after.rule);
        let at = *known.entry(key).or_insert(found.len());
        if let Some(raw) = found.get_mut(at) {
            raw.leaves.push(leaf);
        } else {
            found.push(Raw { key, example, old: before, new: after, leaves: vec![leaf], told: None });
        }
    }
    sort(&mut found, aligned);
    let keys: Vec<Key> = found.iter().map(|raw| raw.key).collect();
    for members in groups(&keys, aligned).into_iter().take(most) {
        let raws: Vec<&Raw> = members.iter().filter_map(|at| found.get(*at)).collect();
        let Ok(packets) = words(world, node, &raws, possible_both) else { continue };
        let packets = Packets { exact: exact && packets.exact, ..packets };
        let told = Rc::new(Told { classes: members.len(), packets });
        for at in members {
            if let Some(raw) = found.get_mut(at) {
                raw.told = Some(told.clone());
            }
        }
    }
    Ok(found)
}

/// The packets of classes that are told as one: of all together, or, where that cannot be said exactly, of each.
fn words(world: &mut World, node: Node, raws: &[&Raw], possible: Node) -> Result<Packets, Full> {
    let mut of = |raws: &[&Raw]| {
        let leaves = raws.iter().flat_map(|raw| &raw.leaves).copied().collect();
        let set = world.diagram.where_is(node, &leaves)?;
        describe(world, set, possible)
    };
    let whole = of(raws)?;
    if whole.exact {
        return Ok(whole);
    }
    if let [(Kind::Opened | Kind::Closed, Origin::Default, Origin::Default)] =
        raws.iter().map(|raw| raw.key).collect::<Vec<_>>().as_slice()
    {
        // The default is another now, so that is all of these packets.
        return Ok(Packets { text: "whatever no rule decides, before and now".to_owned(), exact: true });
    }
    if !(2..=PARTS).contains(&raws.len()) {
        return Ok(whole);
    }
    let each = raws.iter().map(|raw| of(&[raw])).collect::<Result<Vec<Packets>, Full>>()?;
    if each.iter().any(|packets| !packets.exact) {
        return Ok(whole);
    }
    let texts: Vec<String> = each.into_iter().map(|packets| packets.text).collect();
    Ok(Packets { text: texts.join("; or "), exact: true })
}

/// The pairs of outcomes in the set where the two differ, each as a number; and whether a pair also says which rules decide: not where
/// that takes too much.
fn classes(
    world: &mut World,
    aligned: &Aligned,
    differs: Node,
    plain: [Node; 2],
    budget: usize,
) -> Result<(Node, bool), Full> {
    let room = world.diagram.size() + budget;
    world.diagram.allow(room);
    let with_rules = attributed(world, aligned, differs).and_then(|nodes| pairs(world, differs, nodes, 1));
    if let Ok(node) = with_rules {
        return Ok((node, true));
    }
    let room = world.diagram.size() + budget.max(1 << 16);
    world.diagram.allow(room);
    pairs(world, differs, plain, 2).map(|node| (node, false))
}

/// The pair of outcomes of each packet of the set, as a number.
fn pairs(world: &mut World, set: Node, [before, after]: [Node; 2], id: u32) -> Result<Node, Full> {
    let before = world.diagram.ite(set, before, NONE)?;
    let after = world.diagram.ite(set, after, NONE)?;
    // Inside the set no two are equal; outside both are open.
    let mut numbers: HashMap<(Leaf, Leaf), Leaf> = HashMap::new();
    world.diagram.zip(id, before, after, &mut |a, b| {
        let next = FIRST + u32::try_from(numbers.len()).unwrap_or(u32::MAX / 2);
        *numbers.entry((a, b)).or_insert(next)
    })
}

/// Both meanings with the rules that decide. Rules that meet no differing packet are left out: the diagrams of all would be large.
fn attributed(world: &mut World, aligned: &Aligned, differs: Node) -> Result<[Node; 2], Full> {
    world.attribute = true;
    let mut nodes = [NONE; 2];
    let zones = translating(world, aligned);
    for ((node, side), id) in nodes.iter_mut().zip([&aligned.old, &aligned.new]).zip(NORMAL) {
        let attach = meeting(world, &side.attach, differs)?;
        let meant = meaning(world, side, &attach, id)?;
        *node = exact(world, meant, &zones)?;
    }
    Ok(nodes)
}

/// The block with those rules only whose headers fit some packet of the set.
fn meeting(world: &mut World, attach: &Attach, set: Node) -> Result<Attach, Full> {
    let mut keep = |rule: &Rule, whole: bool| -> Result<bool, Full> {
        for alt in &rule.alts {
            // The tags that rules name decide for which neighbours are accepted.
            if alt.vlan.is_some() {
                return Ok(true);
            }
            let guard = headers(world, alt, Guard::default(), whole)?.node(world)?;
            if world.diagram.and(guard, set)? != FALSE {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let mut kept = |rules: &[Rule], whole: bool| -> Result<Vec<Rule>, Full> {
        let mut kept = Vec::new();
        for rule in rules {
            if keep(rule, whole)? {
                kept.push(rule.clone());
            }
        }
        Ok(kept)
    };
    let prefilter = kept(&attach.prefilter, false)?;
    let rules = kept(&attach.rules, attach.tracked())?;
    Ok(Attach {
        name: attach.name.clone(),
        span: attach.span,
        devices: attach.devices.clone(),
        hook: attach.hook,
        passes: attach.passes.clone(),
        prefilter,
        rules,
        default: attach.default.clone(),
        default_allow: attach.default_allow,
    })
}
