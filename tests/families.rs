//! The rule sets that measurements use are what they say: the same for a seed, in every form, and of the shape of the
//! real sets after which they are made.

#[path = "../benches/families/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the benches use more of it")]
mod families;

use std::collections::{BTreeMap, BTreeSet};

use ctpolicy::ir::resolve::Options;
use ctpolicy::pipeline;
use families::{Family, SEED};

#[test]
fn a_seed_gives_the_same_rules_and_another_seed_others() {
    for family in Family::ALL {
        let policy = family.generate(50, SEED).policy();
        assert_eq!(policy, family.generate(50, SEED).policy(), "{}", family.name());
        if family != Family::Alternating {
            assert_ne!(policy, family.generate(50, SEED + 1).policy(), "{}", family.name());
        }
    }
}

#[test]
fn every_family_compiles_and_has_a_line_for_each_rule_in_every_form() {
    for family in Family::ALL {
        let size = if family == Family::Groups { 4 } else { 40 };
        let set = family.generate(size, SEED);
        assert_eq!(set.rules.len(), size, "{}", family.name());
        let files = BTreeMap::from([("p.pol".to_owned(), set.policy().into_bytes())]);
        let compiled = pipeline::compile("p.pol", &files, &Options::default()).unwrap();
        assert!(!compiled.diags.has_errors(), "{}", family.name());
        let program = compiled.program.unwrap();
        let rules: BTreeSet<usize> =
            program.attaches[0].chains.iter().flat_map(|c| &c.filters).map(|f| f.rule).collect();
        let dead = compiled.diags.list().iter().filter(|found| found.lint.name == "never-matches").count();
        assert!(rules.len() + dead >= size, "{}: {} rules have filters, {dead} none", family.name(), rules.len());
        let nft = set.nft_linear();
        assert_eq!(nft.lines().filter(|line| line.ends_with("accept") || line.ends_with("drop")).count(), size);
        let filters: usize = set.rules.iter().map(families::Rule::product).sum();
        let naive = set.tc_naive().unwrap();
        assert!(naive.lines().filter(|line| line.contains(" flower ")).count() >= filters);
    }
}

#[test]
fn no_rule_of_a_classbench_set_stands_twice() {
    for family in [Family::Acl1, Family::Acl5, Family::Fw1, Family::Ipc1] {
        let rules = family.generate(2_000, SEED).rules;
        let plain: BTreeSet<_> = rules.iter().map(|rule| families::Rule { allow: true, ..rule.clone() }).collect();
        assert_eq!(plain.len(), rules.len(), "{}", family.name());
    }
}

/// Masks and runs of the sets that NeuroCuts publishes (10,000 rules, duplicates removed), as counted for the plan.
#[test]
fn classbench_sets_have_masks_and_runs_like_the_published_ones() {
    let mut far = Vec::new();
    for (family, masks, runs) in
        [(Family::Acl1, 296, 512), (Family::Acl5, 219, 262), (Family::Fw1, 281, 411), (Family::Ipc1, 708, 1066)]
    {
        let shape = family.generate(10_000, SEED).shape();
        let near = |own: usize, real: usize| own * 5 >= real * 4 && own * 4 <= real * 5;
        if !(near(shape.masks, masks) && near(shape.runs, runs)) {
            far.push(format!("{}: {shape:?}, published {masks} masks and {runs} runs", family.name()));
        }
    }
    assert!(far.is_empty(), "{far:#?}");
}
