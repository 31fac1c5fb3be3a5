//! Lists so long that threads share them.

use super::{options, run};

/// 5,000 rules over three nets, one of them named once, far down; `odd` stands in line 4001.
fn list(odd: &str) -> String {
    let nets = "net a = 10.0.0.0/8\nnet b = 10.1.0.0/16\nnet c = 10.2.0.0/16\n";
    let rule = |number: usize| match number {
        4_000 => "allow from b to 192.0.2.1, dnat 10.9.9.9 in zone 7".to_owned(),
        4_001 => odd.to_owned(),
        _ => format!("allow tcp from a to 192.0.{}.{}", number / 256, number % 256),
    };
    let rules: Vec<String> = (0..5_000).map(rule).collect();
    format!("{nets}policy p on eth0 ingress zone 7 {{\ndrop invalid\n{}\ndefault drop\n}}\n", rules.join("\n"))
}

#[test]
fn rules_stay_in_order_and_names_count_as_used() {
    let outcome = run(&list("allow udp from 10.3.0.0/16"), &options());
    assert_eq!(outcome.findings, ["3:5 warning[unused-definition]: nothing uses the net `c` (use it, or delete it)"]);
    let rules = &outcome.policy.attaches[0].rules;
    let positions: Vec<usize> = rules.iter().map(|rule| rule.info.position).collect();
    assert_eq!(positions, (1..=5_001).collect::<Vec<_>>());
    assert!(rules.windows(2).all(|pair| pair[0].info.span.hi < pair[1].info.span.lo));
    assert!(outcome.policy.translating.contains(&7));
    assert_ne!(rules[1].info.meaning, rules[2].info.meaning);
}

#[test]
fn a_mistake_is_told_once_wherever_it_stands() {
    let outcome = run(&list("allow udp from c to port 70000"), &options());
    assert_eq!(outcome.findings.len(), 1, "{:?}", outcome.findings);
    assert!(outcome.findings[0].starts_with("4007:26 error[value-out-of-range]"), "{:?}", outcome.findings);
    assert_eq!(outcome.policy.attaches[0].rules.len(), 5_000);
}
