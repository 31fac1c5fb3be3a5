//! A rule set for nftables: one rule each, and the best set or map that a person would write.

use std::collections::BTreeMap;

use super::rule::{Net, Ports, Rule};
use super::write::{join, line, protocol, range, set};
use super::{Family, Set};

impl Set {
    /// One nft rule for each rule (sets inside a rule stay sets).
    pub fn nft_linear(&self) -> String {
        let mut rules = String::new();
        for rule in &self.rules {
            line(&mut rules, format_args!("  {}{}", matches(rule), verdict(rule.allow)));
        }
        self.ruleset("", &rules)
    }

    /// The best form by hand: a set or map looked up once, however many rules. `None` where first match has none.
    pub fn nft_best(&self) -> Option<String> {
        let interval = "flags interval;";
        Some(match self.family {
            Family::Flat => {
                let elements: Vec<_> =
                    self.rules.iter().flat_map(|rule| pairs(&rule.src, &rule.dport, rule.allow)).collect();
                self.with_map("ipv4_addr . inet_service", "", &elements, "ip saddr . udp dport")
            }
            Family::Nested => {
                let element = |(first, last, allow)| format!("{}-{} : {}", host(first), host(last), verdict(allow));
                let elements: Vec<_> = longest(&self.rules).into_iter().map(element).collect();
                self.with_map("ipv4_addr", interval, &elements, "ip daddr")
            }
            Family::Groups => {
                let matched = "ip saddr . ip daddr . tcp dport";
                self.with_map("ipv4_addr . ipv4_addr . inet_service", interval, &triples(&self.rules), matched)
            }
            Family::Ranges => {
                self.with_map("ipv4_addr . inet_service", interval, &by_host(&self.rules), "ip daddr . tcp dport")
            }
            Family::Stateful => self.two_sets(),
            Family::Alternating | Family::Acl1 | Family::Acl5 | Family::Fw1 | Family::Ipc1 => return None,
        })
    }

    fn with_map(&self, key: &str, flags: &str, elements: &[String], matched: &str) -> String {
        let elements = elements.join(", ");
        let map = format!(" map m {{ type {key} : verdict; {flags} elements = {{ {elements} }} }}\n");
        self.ruleset(&map, &format!("  {matched} vmap @m\n"))
    }

    fn two_sets(&self) -> String {
        let set = |name: &str, kind: &str, v6: bool| {
            let rules = self.rules.iter().filter(|rule| rule.is_v6() == v6);
            let element = |rule: &Rule| {
                format!("{} . {}", join(&rule.src, "", Net::to_string), join(&rule.dport, "", |ports| range(*ports)))
            };
            let elements = rules.map(element).collect::<Vec<_>>().join(", ");
            format!(" set {name} {{ type {kind} . inet_service; elements = {{ {elements} }} }}\n")
        };
        let sets = set("four", "ipv4_addr", false) + &set("six", "ipv6_addr", true);
        self.ruleset(&sets, "  ip saddr . tcp dport @four accept\n  ip6 saddr . tcp dport @six accept\n")
    }

    /// A whole file: definitions, then rules in a chain whose policy is drop.
    fn ruleset(&self, definitions: &str, rules: &str) -> String {
        let states = if self.is_stateful() {
            "  ct state vmap { established : accept, related : accept, invalid : drop }\n"
        } else {
            ""
        };
        let hook = "type filter hook input priority 0; policy drop;";
        format!("table inet t {{\n{definitions} chain c {{\n  {hook}\n{states}{rules} }}\n}}\n")
    }
}

const fn verdict(allow: bool) -> &'static str {
    if allow { "accept" } else { "drop" }
}

fn host(address: u128) -> Net {
    Net { v6: false, address, len: 32 }
}

/// `10.0.0.0-10.0.0.255`, or one address.
fn span(net: &Net) -> String {
    if net.first() == net.last() { net.to_string() } else { format!("{}-{}", host(net.first()), host(net.last())) }
}

fn pairs<'a>(nets: &'a [Net], ports: &'a [Ports], allow: bool) -> impl Iterator<Item = String> + 'a {
    let each = move |net: &'a Net| ports.iter().map(move |p| format!("{net} . {} : {}", range(*p), verdict(allow)));
    nets.iter().flat_map(each)
}

/// Every combination of the rules' sets. Groups share members, and the first rule wins: what is listed twice keeps its
/// first verdict.
fn triples(rules: &[Rule]) -> Vec<String> {
    let mut verdicts = BTreeMap::new();
    for rule in rules {
        for single in rule.singles() {
            verdicts.entry((single.src, single.dst, single.dport)).or_insert(rule.allow);
        }
    }
    let mut elements = Vec::with_capacity(verdicts.len());
    for ((src, dst, dport), allow) in &verdicts {
        let (src, dst, ports) = (join(src, "", span), join(dst, "", span), join(dport, "", |ports| range(*ports)));
        elements.push(format!("{src} . {dst} . {ports} : {}", verdict(*allow)));
    }
    elements
}

/// The rules of each destination, their ports taken apart.
fn by_host(rules: &[Rule]) -> Vec<String> {
    let mut hosts: BTreeMap<&[Net], Vec<&Rule>> = BTreeMap::new();
    for rule in rules {
        hosts.entry(&rule.dst).or_default().push(rule);
    }
    let mut elements = Vec::new();
    for (dst, rules) in hosts {
        for (ports, allow) in apart(&rules) {
            elements.push(format!("{} . {} : {}", join(dst, "", span), range(ports), verdict(allow)));
        }
    }
    elements
}

/// All that a rule asks, with a space at the end.
fn matches(rule: &Rule) -> String {
    let family = if rule.is_v6() { "ip6" } else { "ip" };
    let mut words = Vec::new();
    for (word, nets) in [("saddr", &rule.src), ("daddr", &rule.dst)] {
        if !nets.is_empty() {
            words.push(format!("{family} {word} {}", set(nets, Net::to_string)));
        }
    }
    if words.is_empty() {
        words.push("meta nfproto ipv4".to_owned());
    }
    let name = rule.proto.map(|number| protocol(number).map_or_else(|| number.to_string(), str::to_owned));
    for (word, ports) in [("sport", &rule.sport), ("dport", &rule.dport)] {
        if !ports.is_empty() {
            let name = name.as_deref().unwrap_or("th");
            words.push(format!("{name} {word} {}", set(ports, |ports| range(*ports))));
        }
    }
    if let Some(name) = name.filter(|_| rule.sport.is_empty() && rule.dport.is_empty()) {
        words.push(format!("meta l4proto {name}"));
    }
    words.join(" ") + " "
}

/// Nested destinations, innermost first, as spans that do not overlap, each with its verdict.
fn longest(rules: &[Rule]) -> Vec<(u128, u128, bool)> {
    let mut nets: Vec<(Net, bool)> =
        rules.iter().flat_map(|rule| rule.dst.iter().map(|net| (*net, rule.allow))).collect();
    // What is around comes before what is inside.
    nets.sort_by_key(|(net, _)| (net.first(), net.len));
    let mut spans: Vec<(u128, u128, bool)> = Vec::new();
    let mut open: Vec<(Net, bool)> = Vec::new();
    let mut at = 0;
    let mut close = |open: &mut Vec<(Net, bool)>, at: &mut u128, before: u128| {
        while let Some((net, allow)) = open.last().copied().filter(|(net, _)| net.last() < before) {
            if *at <= net.last() {
                spans.push((*at, net.last(), allow));
            }
            *at = net.last() + 1;
            open.pop();
        }
        if let Some((_, allow)) = open.last().filter(|_| *at < before) {
            spans.push((*at, before - 1, *allow));
        }
    };
    for (net, allow) in nets {
        close(&mut open, &mut at, net.first());
        at = net.first();
        open.push((net, allow));
    }
    close(&mut open, &mut at, u128::MAX);
    spans
}

/// The ports of rules that differ in nothing else, as ranges that do not overlap, each with the verdict of the first rule
/// that has it.
fn apart(rules: &[&Rule]) -> Vec<(Ports, bool)> {
    let ports = || rules.iter().flat_map(|rule| rule.dport.iter().map(|ports| (*ports, rule.allow)));
    let mut cuts: Vec<u32> = ports().flat_map(|((lo, hi), _)| [u32::from(lo), u32::from(hi) + 1]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut found = Vec::new();
    for (lo, next) in cuts.iter().zip(cuts.iter().skip(1)) {
        let first = ports().find(|((a, b), _)| (u32::from(*a)..=u32::from(*b)).contains(lo));
        if let (Some((_, allow)), Ok(lo), Ok(hi)) = (first, u16::try_from(*lo), u16::try_from(next - 1)) {
            found.push(((lo, hi), allow));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Rng, SEED};
    use super::*;

    fn first_match(rules: &[Rule], matches: impl Fn(&Rule) -> bool) -> Option<bool> {
        rules.iter().find(|rule| matches(rule)).map(|rule| rule.allow)
    }

    #[test]
    fn the_map_of_nested_prefixes_says_what_the_rules_say() {
        let rules = Family::Nested.generate(500, SEED).rules;
        let spans = longest(&rules);
        assert!(spans.windows(2).all(|pair| pair[0].1 < pair[1].0), "spans overlap");
        for edge in rules.iter().flat_map(|rule| [rule.dst[0].first(), rule.dst[0].last(), rule.dst[0].last() + 1]) {
            let by_rules = first_match(&rules, |rule| (rule.dst[0].first()..=rule.dst[0].last()).contains(&edge));
            let by_map = spans.iter().find(|(first, last, _)| (first..=last).contains(&&edge)).map(|span| span.2);
            assert_eq!(by_rules, by_map, "{}", host(edge));
        }
    }

    #[test]
    fn ranges_taken_apart_say_what_the_rules_say() {
        let rules = Family::Ranges.generate(4, SEED).rules;
        let parts = apart(&rules.iter().collect::<Vec<_>>());
        let mut rng = Rng::new(SEED);
        for _ in 0..10_000 {
            let port = rng.port(0, u16::MAX);
            let by_rules = first_match(&rules, |rule| (rule.dport[0].0..=rule.dport[0].1).contains(&port));
            let by_parts = parts.iter().find(|((lo, hi), _)| (lo..=hi).contains(&&port)).map(|part| part.1);
            assert_eq!(by_rules, by_parts, "{port}");
        }
    }
}
