//! A rule set in ctpolicy's words, as a naive tc script, and for aerleon.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};

use super::Set;
use super::rule::{Net, Ports, Rule};

/// The device that every form names.
const DEVICE: &str = "lo";

/// Highest prio that tc takes, less the few that a script needs besides its rules.
const PRIOS: usize = 65_000;

impl Set {
    /// As a policy file.
    pub fn policy(&self) -> String {
        let zone = if self.is_stateful() { " zone 1" } else { "" };
        let mut text = format!("policy p on {DEVICE} ingress{zone} {{\n");
        if self.is_stateful() {
            text += "    allow established\n    drop invalid\n    allow related\n";
        }
        for rule in &self.rules {
            line(&mut text, format_args!("    {}", sentence(rule)));
        }
        text += "    default drop\n}\n";
        text
    }

    /// As people write tc by hand: a prio for each rule. `None` where prios run out.
    pub fn tc_naive(&self) -> Option<String> {
        if self.rules.len() > PRIOS {
            return None;
        }
        let mut text = format!("qdisc add dev {DEVICE} clsact\n");
        let add = format!("filter add dev {DEVICE} ingress");
        let (chain, first) = if self.is_stateful() { (" chain 1", 4) } else { ("", 1) };
        if self.is_stateful() {
            for (protocol, prio) in [("ip", 1), ("ipv6", 2)] {
                line(
                    &mut text,
                    format_args!(
                        "{add} prio {prio} protocol {protocol} flower action ct zone 1 pipe action goto chain 1"
                    ),
                );
            }
            for (prio, state, verdict) in [(1, "+trk+inv", "drop"), (2, "+trk+rel", "pass"), (3, "+trk+est", "pass")] {
                line(
                    &mut text,
                    format_args!("{add} chain 1 prio {prio} protocol all flower ct_state {state} action {verdict}"),
                );
            }
        }
        for (prio, rule) in (first..).zip(&self.rules) {
            let protocol = if rule.is_v6() { "ipv6" } else { "ip" };
            for single in rule.singles() {
                let keys = flower(&single);
                let action = match (rule.allow, self.is_stateful()) {
                    (true, true) => "ct commit zone 1",
                    (true, false) => "pass",
                    (false, _) => "drop",
                };
                let state = if self.is_stateful() { " ct_state +trk+new" } else { "" };
                line(
                    &mut text,
                    format_args!("{add}{chain} prio {prio} protocol {protocol} flower{state}{keys} action {action}"),
                );
            }
        }
        let last = first + self.rules.len();
        line(&mut text, format_args!("{add}{chain} prio {last} protocol all matchall action drop"));
        Some(text)
    }

    /// For `iptables-restore`. `None` for families with sets in their rules, IPv6, or states.
    pub fn iptables(&self) -> Option<String> {
        if self.is_stateful() || self.rules.iter().any(|rule| rule.is_v6() || rule.product() != 1) {
            return None;
        }
        let mut text = "*filter\n:INPUT DROP [0:0]\n".to_owned();
        for rule in &self.rules {
            let mut words = "-A INPUT".to_owned();
            if let Some(number) = rule.proto {
                let word = protocol(number).map_or_else(|| number.to_string(), str::to_owned);
                words = format!("{words} -p {word}");
            }
            for (word, nets) in [("-s", &rule.src), ("-d", &rule.dst)] {
                words = nets.first().map_or(words.clone(), |net| format!("{words} {word} {net}"));
            }
            for (word, ports) in [("--sport", &rule.sport), ("--dport", &rule.dport)] {
                let ports = ports.first().map(|ports| range(*ports).replace('-', ":"));
                words = ports.map_or(words.clone(), |ports| format!("{words} {word} {ports}"));
            }
            line(&mut text, format_args!("{words} -j {}", if rule.allow { "ACCEPT" } else { "DROP" }));
        }
        Some(text + "COMMIT\n")
    }

    /// For aerleon: policy, definitions of networks, definitions of services. `None` for families whose rules it says in
    /// another way.
    pub fn aerleon(&self) -> Option<[String; 3]> {
        let plain = |rule: &Rule| {
            matches!(rule.proto, Some(6 | 17)) && rule.sport.is_empty() && !rule.dport.is_empty() && !rule.is_v6()
        };
        if self.is_stateful() || !self.rules.iter().all(plain) {
            return None;
        }
        let mut policy = "header {\n  target:: nftables inet input\n}\n".to_owned();
        let (mut networks, mut services) = (BTreeSet::new(), BTreeSet::new());
        for (number, rule) in self.rules.iter().enumerate() {
            line(&mut policy, format_args!("term t{number} {{"));
            for (word, nets) in [("source-address", &rule.src), ("destination-address", &rule.dst)] {
                if !nets.is_empty() {
                    line(&mut policy, format_args!("  {word}:: {}", join(nets, " ", network_name)));
                }
                networks.extend(nets);
            }
            let proto = if rule.proto == Some(6) { "tcp" } else { "udp" };
            services.extend(rule.dport.iter().map(|ports| (*ports, proto)));
            let ports = join(&rule.dport, " ", |ports| service_name(*ports, proto));
            let action = if rule.allow { "accept" } else { "deny" };
            line(
                &mut policy,
                format_args!("  destination-port:: {ports}\n  protocol:: {proto}\n  action:: {action}\n}}"),
            );
        }
        policy += "term last {\n  action:: deny\n}\n";
        let networks = networks.iter().fold(String::new(), |mut text, net| {
            line(&mut text, format_args!("{} = {}/{}", network_name(net), Net { len: 32, ..*net }, net.len));
            text
        });
        let services = services.iter().fold(String::new(), |mut text, (ports, proto)| {
            line(&mut text, format_args!("{} = {}/{proto}", service_name(*ports, proto), range(*ports)));
            text
        });
        Some([policy, networks, services])
    }
}

/// Adds a line. Writing to a string does not fail.
pub fn line(text: &mut String, line: impl Display) {
    let _ = writeln!(text, "{line}");
}

/// A list with something between its entries.
pub fn join<T, D: Display>(list: &[T], between: &str, word: impl Fn(&T) -> D) -> String {
    list.iter().map(|entry| word(entry).to_string()).collect::<Vec<_>>().join(between)
}

/// `80` or `80-90`
pub fn range((lo, hi): Ports) -> String {
    if lo == hi { lo.to_string() } else { format!("{lo}-{hi}") }
}

fn network_name(net: &Net) -> String {
    format!("N{:08X}_{}", net.address, net.len)
}

fn service_name(ports: Ports, proto: &str) -> String {
    format!("S{}_{proto}", range(ports).replace('-', "_"))
}

/// A protocol's name, where it has one that all tools know.
pub fn protocol(number: u8) -> Option<&'static str> {
    [(1, "icmp"), (6, "tcp"), (17, "udp"), (47, "gre")]
        .iter()
        .find(|(known, _)| *known == number)
        .map(|(_, name)| *name)
}

/// One entry as itself, several in braces.
pub fn set<T>(list: &[T], word: impl Fn(&T) -> String) -> String {
    match list {
        [one] => word(one),
        _ => format!("{{ {} }}", join(list, ", ", word)),
    }
}

fn sentence(rule: &Rule) -> String {
    let mut words = if rule.allow { "allow".to_owned() } else { "drop".to_owned() };
    // The sets are about IPv4 where they do not say.
    if rule.src.is_empty() && rule.dst.is_empty() {
        words += " ip";
    }
    match rule.proto.map(|number| (number, protocol(number))) {
        Some((_, Some(name))) => words = format!("{words} {name}"),
        Some((number, None)) => words = format!("{words} proto {number}"),
        None => {}
    }
    for (word, nets, ports) in [("from", &rule.src, &rule.sport), ("to", &rule.dst, &rule.dport)] {
        if !nets.is_empty() || !ports.is_empty() {
            words = format!("{words} {word}");
        }
        if !nets.is_empty() {
            words = format!("{words} {}", set(nets, Net::to_string));
        }
        if !ports.is_empty() {
            words = format!("{words} port {}", set(ports, |ports| range(*ports)));
        }
    }
    words
}

/// The keys of a rule with one entry in each list.
fn flower(rule: &Rule) -> String {
    let mut keys = String::new();
    if let Some(number) = rule.proto {
        let word = protocol(number).filter(|word| *word != "gre").map_or_else(|| format!("{number:#x}"), str::to_owned);
        keys = format!(" ip_proto {word}");
    }
    for (word, nets) in [("src_ip", &rule.src), ("dst_ip", &rule.dst)] {
        if let Some(net) = nets.first() {
            keys = format!("{keys} {word} {net}");
        }
    }
    for (word, ports) in [("src_port", &rule.sport), ("dst_port", &rule.dport)] {
        if let Some(ports) = ports.first() {
            keys = format!("{keys} {word} {}", range(*ports));
        }
    }
    keys
}
