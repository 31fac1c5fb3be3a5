//! `never-matches` against the evaluator: a rule said never to match decides no packet.

use ctpolicy::diag::Diagnostics;
use ctpolicy::emit::linearize::{FILTERS_MAX, noted};
use ctpolicy::emit::unreached;
use ctpolicy::ir::eval::eval;
use ctpolicy::ir::lower::lower;
use ctpolicy::ir::outcome::Origin;
use ctpolicy::ir::policy::Policy;
use ctpolicy::optimize::{self, price::Scale};
use ctpolicy::source::{SourceMap, Span};

use crate::rng::Rng;
use crate::{number, packets, policies, refused};

/// A random policy in which each rule has a place of its own, and some follow a rule that takes their packets.
fn policy(rng: &mut Rng) -> Policy {
    let mut policy = policies::policy(rng);
    let mut place = 0;
    for (block, attach) in policy.attaches.iter_mut().enumerate() {
        attach.name = format!("p{block}");
        if !attach.rules.is_empty() && rng.chance(60) {
            let mut copy = rng.pick(&attach.rules).clone();
            copy.info.ident += 5000;
            attach.rules.push(copy);
        }
        let rules = attach.prefilter.iter_mut().chain(&mut attach.rules);
        for (rule, position) in rules.zip(1..) {
            place += 1;
            rule.info.policy = attach.name.as_str().into();
            rule.info.position = position;
            rule.info.span = Span { lo: place, hi: place + 1 };
        }
    }
    policy
}

#[test]
fn a_rule_said_never_to_match_decides_no_packet() {
    let first = number("CTPOLICY_SEMANTICS_SEED", 1);
    let cases = number("CTPOLICY_SEMANTICS_CASES", 300);
    let (mut said, mut asked) = (0, 0);
    for seed in first..first + cases {
        let mut rng = Rng::new(seed);
        let policy = policy(&mut rng);
        if refused(&policy) {
            continue;
        }
        let mut diags = Diagnostics::default();
        let scale = if seed.is_multiple_of(2) { Scale::EAGER } else { Scale::default() };
        let graph = optimize::run(lower(&policy, &SourceMap::default()), scale);
        let (program, notes) = noted(graph, &policy, scale, FILTERS_MAX, &mut diags);
        if diags.has_errors() {
            continue;
        }
        unreached::check(&program, &policy, &notes, &mut diags);
        let dead: Vec<Span> = diags.list().iter().map(|finding| finding.primary.span).collect();
        said += dead.len();
        for (block, attach) in policy.attaches.iter().enumerate().filter(|_| !dead.is_empty()) {
            for _ in 0..300 {
                let packet = packets::arrived(packets::packet(&mut rng, &policy, block), attach);
                let Origin::Rule { ident, .. } = eval(&policy, attach, &packet).rule else { continue };
                let span = attach.rule(ident).unwrap().span;
                asked += 1;
                assert!(!dead.contains(&span), "seed {seed}: rule {ident} decides: {packet:#?}");
            }
        }
    }
    println!("{said} rules said never to match; {asked} packets decided by rules");
    if cases >= 300 {
        assert!(said > 30 && asked > 1000);
    }
}
