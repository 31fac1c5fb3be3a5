//! `ctpolicy diff` against the evaluator: what it reports is so, and what it does not report is not.

use std::sync::Arc;

use ctpolicy::ir::eval::eval;
use ctpolicy::ir::outcome::{Fate, Origin, Outcome};
use ctpolicy::ir::packet::Packet;
use ctpolicy::ir::policy::{Attach, Limit, Policy, Rule, RuleInfo, StateSet, Verdict};
use ctpolicy::verify::Budget;
use ctpolicy::verify::diff::kind::{Kind, kind};
use ctpolicy::verify::diff::{Class, Diff, diff};

use crate::rng::Rng;
use crate::{mutants, number, packets, policies, refused};

const BUDGET: Budget = Budget { nodes: 1 << 22, pieces: 1, attribute: 1 << 22, chains: usize::MAX, steps: 1 << 26 };

fn compare(old: &Policy, new: &Policy) -> Diff {
    diff(old, new, BUDGET, usize::MAX).unwrap()
}

fn rules(attach: &mut Attach) -> impl Iterator<Item = &mut Rule> {
    attach.prefilter.iter_mut().chain(&mut attach.rules)
}

/// A random policy in which no two limits have the same rate: so a budget is known by it.
fn policy(rng: &mut Rng) -> Policy {
    let mut policy = policies::policy(rng);
    for rule in policy.attaches.iter_mut().flat_map(rules) {
        let rate = u64::from(rule.info.ident);
        Arc::make_mut(&mut rule.actions).limit = rule.actions.limit.map(|_| Limit::Packets { rate, burst: 1 });
    }
    policy
}

/// A small change somewhere.
fn mutate(rng: &mut Rng, policy: &mut Policy) {
    let block = rng.below(policy.attaches.len());
    let attach = &mut policy.attaches[block];
    let count = attach.rules.len();
    if count == 0 || rng.chance(5) {
        attach.default_allow = !attach.default_allow;
        return;
    }
    let at = rng.below(count);
    let rule = &mut attach.rules[at];
    rule.info.meaning = rng.next();
    match rng.below(9) {
        0 => drop(attach.rules.remove(at)),
        1 => {
            rule.verdict = if rule.verdict == Verdict::Drop { Verdict::Allow } else { Verdict::Drop };
        }
        2 if count > 1 => attach.rules.swap(at, (at + 1) % count),
        3 => drop(rule.alts[0].sets.pop()),
        4 => rule.states = StateSet(rule.states.0 & (rng.next() % 128) as u8),
        5 if rule.actions.limit.is_some() => Arc::make_mut(&mut rule.actions).limit = None,
        5 => Arc::make_mut(&mut rule.actions).limit = Some(Limit::Packets { rate: 1_000_000, burst: 1 }),
        6 => Arc::make_mut(&mut rule.actions).mirror.clear(),
        7 => Arc::make_mut(&mut rule.actions).set_mark = None,
        _ => Arc::make_mut(&mut rule.actions).nat.clear(),
    }
}

/// A rate per budget asked.
fn rates(attach: &Attach, outcome: &Outcome) -> Vec<u32> {
    let rules = || attach.all_rules();
    let rate = |ident: &u32| match rules().find(|rule| rule.info.ident == *ident).unwrap().actions.limit {
        Some(Limit::Packets { rate, .. }) => u32::try_from(rate).unwrap(),
        other => panic!("{other:?}"),
    };
    outcome.limits.iter().map(rate).collect()
}

/// The fate of a packet, as it is compared, and who decides.
fn fate(policy: &Policy, attach: &Attach, packet: &Packet) -> (Outcome, String) {
    let mut outcome = eval(policy, attach, packet);
    outcome.limits = if outcome.verdict == Fate::Drop { Vec::new() } else { rates(attach, &outcome) };
    if policy.nat_bits_used {
        for commit in &mut outcome.commits {
            let own = policy.nat_bits.both();
            commit.mark = commit.mark.map(|(value, mask)| (value & !own, mask & !own)).filter(|(_, mask)| *mask != 0);
        }
    }
    let zones: Vec<u16> = outcome.passes.iter().map(|(zone, _)| *zone).collect();
    for (at, (zone, applied)) in outcome.passes.iter_mut().enumerate() {
        let before = zones[..at].iter().filter(|passed| *passed == zone).count();
        *applied &= packet.view_after(*zone, before).translated;
    }
    let decider = match outcome.rule {
        Origin::Rule { ident, .. } => format!("rule {ident}"),
        Origin::Default => said(&attach.default),
        other => format!("{other:?}"),
    };
    outcome.rule = Origin::Machinery;
    (outcome, decider)
}

/// What the two policies do with a packet: the kind of change, if any, and who decides.
fn change(old: (&Policy, &Attach), new: (&Policy, &Attach), packet: &Packet) -> (bool, Option<Kind>, [String; 2]) {
    let ((before, old), (after, new)) = (fate(old.0, old.1, packet), fate(new.0, new.1, packet));
    (before != after, kind(&before, &after), [old, new])
}

/// The words of a rule that was written nowhere.
fn said(rule: &RuleInfo) -> String {
    rule.said.unwrap().to_owned()
}

fn deciders(class: &Class) -> [String; 2] {
    [&class.old, &class.new].map(|fate| fate.rule.as_ref().map_or("Implicit".to_owned(), said))
}

/// Whether the class is one of packets that these decide.
fn told(class: &Class, by: &[String; 2]) -> bool {
    let both = deciders(class).into_iter().zip([&class.old, &class.new]).zip(by);
    both.into_iter().all(|((first, fate), by)| {
        let implicit = fate.others_by_themselves && by == "Implicit";
        first == *by || implicit || fate.others.iter().any(|rule| said(rule) == *by)
    })
}

/// Counts of what was seen.
#[derive(Default)]
struct Seen {
    /// The pair at hand, for messages.
    seed: u64,
    pairs: u32,
    same: u32,
    classes: usize,
    packets: u32,
    changed: u32,
}

fn check(old: &Policy, new: &Policy, rng: &mut Rng, seen: &mut Seen) {
    let (found, pair) = (compare(old, new), seen.seed);
    seen.pairs += 1;
    seen.same += u32::from(found.is_same());
    seen.classes += found.classes.len();
    for (at, block) in found.blocks.iter().enumerate() {
        let (before, after) = (&old.attaches[block.pair.old], &new.attaches[block.pair.new]);
        if !block.zones.is_empty() || before.passes != after.passes {
            continue;
        }
        let classes: Vec<&Class> = found.classes.iter().filter(|class| class.block == at).collect();
        for class in &classes {
            if class.example.exceeds.is_empty() {
                let (differs, kind, by) = change((old, before), (new, after), &class.example);
                assert!(differs, "seed {pair}: the example shows nothing: {class:#?}");
                assert_eq!((kind, by), (Some(class.kind), deciders(class)), "seed {pair}: {class:#?}");
            }
        }
        for _ in 0..60 {
            let policy = if rng.chance(50) { (old, block.pair.old) } else { (new, block.pair.new) };
            let mut packet = packets::packet(rng, policy.0, policy.1);
            packet.device.clone_from(&before.devices[0]);
            // The same rules under other hashes have the same budgets.
            let others: Vec<u32> =
                packet.exceeds.iter().flat_map(|ident| [ident % 1000, ident % 1000 + 1000]).collect();
            packet.exceeds = others;
            seen.packets += 1;
            if classes.is_empty() {
                assert!(
                    !change((old, before), (new, after), &packet).0,
                    "seed {pair}: no difference was found: {packet:#?}"
                );
            }
            packet.exceeds.clear();
            let (differs, kind, by) = change((old, before), (new, after), &packet);
            if differs {
                seen.changed += 1;
                let known = |class: &&&Class| told(class, &by) && kind.is_none_or(|kind| kind == class.kind);
                assert!(classes.iter().find(known).is_some(), "seed {pair}: {kind:?} {by:?} is no class: {packet:#?}");
            }
        }
    }
}

#[test]
fn what_differs_is_what_is_reported() {
    let first = number("CTPOLICY_SEMANTICS_SEED", 1);
    let cases = number("CTPOLICY_SEMANTICS_CASES", 100);
    let mut seen = Seen::default();
    for seed in first..first + cases {
        seen.seed = seed;
        let mut rng = Rng::new(seed);
        let old = policy(&mut rng);
        let mut new = old.clone();
        for _ in 0..rng.between(1, 2) {
            mutate(&mut rng, &mut new);
        }
        if refused(&old) || refused(&new) {
            continue;
        }
        // Positions, and with them hashes, may be others: the rules are the same.
        for rule in new.attaches.iter_mut().flat_map(rules).filter(|_| seed.is_multiple_of(2)) {
            rule.info.ident += 1000;
            rule.info.said = Some(format!("rule {}", rule.info.ident).leak());
        }
        check(&old, &new, &mut rng, &mut seen);
    }
    let Seen { pairs, same, classes, packets, changed, .. } = seen;
    println!("{pairs} pairs, {same} the same, {classes} classes; {changed} of {packets} packets change");
    if cases >= 100 {
        assert!(u64::from(changed) > cases && same > 3 && classes > 40);
    }
}

#[test]
fn unlike_policies_differ_as_reported() {
    let first = number("CTPOLICY_SEMANTICS_SEED", 1);
    let cases = number("CTPOLICY_SEMANTICS_CASES", 12);
    let mut seen = Seen::default();
    for seed in first..first + cases {
        seen.seed = seed;
        let mut rng = Rng::new(seed);
        let (old, mut new) = (policy(&mut rng), policy(&mut rng));
        // On the same devices, so that there is something to compare.
        for (before, after) in old.attaches.iter().zip(&mut new.attaches) {
            after.devices.clone_from(&before.devices);
            after.hook = before.hook;
        }
        if !refused(&old) && !refused(&new) {
            check(&old, &new, &mut rng, &mut seen);
        }
    }
    assert!(u64::from(seen.changed) > cases);
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    let mut rng = Rng::new(3);
    for _ in 0..40 {
        let old = policy(&mut rng);
        let mut new = old.clone();
        for rule in new.attaches.iter_mut().flat_map(rules) {
            rule.info.ident += 7;
        }
        assert!(compare(&old, &new).is_same());
    }
}

#[test]
fn what_is_too_large_is_compared_piece_by_piece_or_refused() {
    let old = mutants::sample();
    let mut new = old.clone();
    new.attaches[0].rules.pop();
    let whole = compare(&old, &new);
    let kinds = |found: &Diff| found.classes.iter().map(|class| (class.kind, deciders(class))).collect::<Vec<_>>();
    let small = Budget { nodes: 5000, pieces: 200, attribute: 0, ..BUDGET };
    let split = diff(&old, &new, small, usize::MAX).unwrap();
    assert_eq!(kinds(&split), kinds(&whole));
    let tiny = Budget { nodes: 100, pieces: 1, attribute: 0, ..BUDGET };
    assert_eq!(diff(&old, &new, tiny, 1).unwrap_err().block, 0);
    assert!(diff(&old, &old, tiny, 1).is_err());
}
