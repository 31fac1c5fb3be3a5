//! Words of other firewalls, and what to write here instead.

use crate::diag::{Diagnostic, Lint};
use crate::parse::lints;
use crate::source::Span;

/// A word that people bring along.
struct Foreign {
    words: &'static [&'static str],
    lint: &'static Lint,
    /// What is wrong; `None` says that the word is no match, no action, or begins no statement.
    message: Option<&'static str>,
    help: &'static str,
}

const fn word(words: &'static [&'static str], help: &'static str) -> Foreign {
    Foreign { words, lint: &lints::UNKNOWN_WORD, message: None, help }
}

const fn unsupported(words: &'static [&'static str], message: &'static str, help: &'static str) -> Foreign {
    Foreign { words, lint: &lints::UNSUPPORTED, message: Some(message), help }
}

/// In any place of a statement.
const ANYWHERE: &[Foreign] = &[
    unsupported(
        &["reject", "rst", "tcp-reset"],
        "tc has no action that rejects a packet with an answer",
        "write `drop`: the sender then waits instead of being told",
    ),
    unsupported(
        &["log", "nflog", "ulog", "logging"],
        "tc has no action that logs packets",
        "every rule counts its packets: see `ctpolicy status`; to look at them, add the action `mirror to DEV`",
    ),
    unsupported(
        &["per", "per-source", "per-src", "per-ip", "per-host", "hashlimit", "connlimit", "meter"],
        "a limit is one budget for its whole rule; tc keeps none per source",
        "leave this out, or write a rule with a `limit` of its own for each source",
    ),
    unsupported(
        &[
            "time",
            "hour",
            "hours",
            "day",
            "days",
            "daily",
            "weekday",
            "weekdays",
            "weekend",
            "between",
            "during",
            "at",
            "until",
            "monday",
            "tuesday",
            "wednesday",
            "thursday",
            "friday",
            "saturday",
            "sunday",
        ],
        "a rule cannot depend on the time of day",
        "let a timer apply another policy at that time; `@until DATE` before a rule notes when it should go",
    ),
    unsupported(
        &["queue", "nfqueue", "tproxy", "synproxy", "tarpit"],
        "tc cannot hand packets to a program or a proxy",
        "`redirect to DEV` sends them to another device",
    ),
    word(&["counter", "count"], "leave it out: every rule counts its packets"),
    word(&["quick"], "leave it out: the first rule that matches decides"),
    word(&["keep", "keep-state"], "leave it out: `allow` keeps state by itself where the policy names a zone"),
    word(&["and", "&&", "&"], "leave it out: matches are joined by \"and\""),
    word(&["or", "||", "|"], "write `{ a, b }` for \"a or b\""),
    word(&["!", "!=", "except", "without"], "write `not` before a word, a value or a set"),
    word(&["=", "==", "eq", "is"], "leave it out: a match is its word and its value, as in `mark 0x1`"),
];

/// Where a verdict or another statement should begin.
const VERDICTS: &[Foreign] = &[
    word(&["accept", "permit", "pass", "let"], "did you mean `allow`?"),
    word(&["deny", "block", "discard", "refuse", "ban"], "did you mean `drop`?"),
    word(&["jump", "goto", "call", "apply"], "did you mean `use GROUP`?"),
    word(&["//", "/", "--", "rem"], "a comment begins with `#`"),
    word(
        &["access-list", "ip-access-list"],
        "a rule is its verdict and its matches, as in `allow tcp from 10.0.0.0/8 to port 80`",
    ),
    word(
        &["iptables", "ip6tables", "nft", "tc", "-a", "-i", "add", "insert", "append"],
        "a rule stands by itself, as in `allow tcp to port 80`: its place in the file is its place in the policy",
    ),
    word(
        &["type", "hook", "priority", "input", "output", "forward", "prerouting", "postrouting"],
        "the hook stands in the policy's header: `policy NAME on DEVICE ingress { ... }`",
    ),
    word(&["rdr", "rdr-to", "binat"], "a translation is an action: `allow tcp to port 80, dnat 10.0.0.80`"),
    word(
        &["nat-to", "nat", "snat", "dnat", "masquerade"],
        "a translation is an action: `allow from 10.0.0.0/8, snat 192.0.2.1`",
    ),
    word(
        &["scrub", "antispoof"],
        "there is no such statement: write the rules, as in `prefilter { drop from 127.0.0.0/8 }`",
    ),
    word(&["ct", "tcp-flags"], "a rule begins with `allow`, `drop` or `continue`, as in `allow established`"),
    word(&["return", "next", "match"], "did you mean `continue`?"),
    word(&["notrack", "bypass"], "did you mean `allow stateless`?"),
    word(&["import", "source", "load"], "did you mean `include \"FILE\"`?"),
    word(&["network", "subnet", "host", "address", "addresses", "alias", "ipset"], "did you mean `net NAME = ...`?"),
    word(&["device", "dev", "iface"], "did you mean `interface NAME = DEVICE`?"),
    word(
        &["chain", "table", "filter", "ruleset"],
        "rules stand in `policy NAME on DEVICE ingress { ... }`, or in `group NAME { ... }`",
    ),
    word(&["define", "let", "var", "const"], "say what is defined: `net`, `port`, `service`, `zone` or `interface`"),
];

/// Where a match should stand.
const MATCHES: &[Foreign] = &[
    word(&["src", "saddr", "source", "ip-source", "-s", "--source", "--src"], "did you mean `from`?"),
    word(&["dst", "daddr", "dest", "destination", "-d", "--destination", "--dst"], "did you mean `to`?"),
    word(
        &["sport", "src-port", "srcport", "src_port", "source-port", "sports", "--sport", "--sports", "--source-port"],
        "did you mean `from port`?",
    ),
    word(
        &[
            "dport",
            "dst-port",
            "dstport",
            "dst_port",
            "dest-port",
            "dports",
            "--dport",
            "--dports",
            "--destination-port",
        ],
        "did you mean `to port`?",
    ),
    word(&["ports"], "did you mean `from port` or `to port`?"),
    word(&["-p", "--protocol"], "write the protocol alone, as in `allow tcp`"),
    word(&["-i", "--in-interface"], "did you mean `in`?"),
    word(
        &["-j", "--jump", "-m", "--match"],
        "leave it out: a rule is its verdict, its matches, and its actions after commas",
    ),
    word(&["ether", "mac-source", "--mac-source"], "did you mean `from mac`?"),
    word(&["range", "gt", "lt", "ge", "le"], "write a range as `to port 1024-65535`"),
    word(&["icmp-type", "--icmp-type"], "write `icmp type 8`, or `icmp echo-request`"),
    word(
        &["esp-spi", "length", "pkttype", "uid", "skuid", "user", "owner", "cgroup", "string"],
        "flower has no such match",
    ),
    word(&["mask", "netmask", "wildcard"], "write the prefix length behind the address: `10.0.0.0/8`"),
    word(&["hl", "hoplimit", "hop-limit"], "did you mean `ttl`?"),
    word(&["tos", "diffserv", "traffic-class"], "did you mean `dscp`?"),
    word(&["fragments", "frag", "fragmented"], "did you mean `fragment any`?"),
    word(&["vid", "vlan-id"], "did you mean `vlan`?"),
    word(
        &["iif", "iifname", "iface", "dev", "via", "on", "inbound", "interface"],
        "did you mean `in`, the device by which the packet came?",
    ),
    word(
        &["oif", "oifname", "out", "outbound", "-o", "--out-interface"],
        "the device by which a packet leaves stands in the policy's header: `on DEV egress`",
    ),
    word(
        &["meta", "th", "with", "where", "if"],
        "leave it out: a match begins with what it looks at, as in `to port 80`",
    ),
    word(&["accept", "permit", "pass", "deny", "block"], "a rule's verdict is its first word: `allow` or `drop`"),
    word(&["nat-to"], "did you mean the action `snat`? actions stand after a comma"),
    word(&["rdr-to"], "did you mean the action `dnat`? actions stand after a comma"),
    word(
        &["ct", "state", "ctstate", "conntrack", "--state", "--ctstate"],
        "leave it out: state words stand alone, as in `allow established`",
    ),
    word(&["ipv4", "ip4", "inet"], "did you mean `ip`?"),
    word(&["ipv6", "inet6"], "did you mean `ip6`?"),
    word(&["icmpv6", "ipv6-icmp"], "did you mean `icmp6`?"),
    word(&["protocol", "nexthdr", "l4proto"], "did you mean `proto`?"),
    word(
        &["all", "any", "everything"],
        "leave it out: what a rule does not name may be anything; it names ends as `from 10.0.0.0/8`, `to port 80`",
    ),
    word(&["host"], "write the address itself, as in `from 10.0.0.1`"),
    word(&["estab", "est"], "did you mean `established`?"),
    word(
        &["syn", "ack", "fin", "psh", "urg", "flags", "--syn", "--tcp-flags"],
        "did you mean `tcp flags syn/syn,ack`?",
    ),
    word(&["zone"], "did you mean `from zone`?"),
    word(&["mac"], "did you mean `from mac` or `to mac`?"),
    word(&["untracked"], "did you mean `not tracked`?"),
];

/// Where an action should stand.
const ACTIONS: &[Foreign] = &[
    word(&["burst"], "it belongs to `limit`, without a comma between them: `limit 10mbit burst 64kb`"),
    word(&["setmark", "set-mark", "set_mark", "--set-mark", "connmark"], "did you mean `set mark`?"),
    word(&["rate", "police", "throttle", "quota"], "did you mean `limit`, as in `limit 10mbit` or `limit 20000pps`?"),
    word(&["dup", "tee", "copy", "span"], "did you mean `mirror to DEV`?"),
    word(&["forward", "fwd", "output", "send"], "did you mean `redirect to DEV`?"),
    word(
        &["mark", "label"],
        "to store it with the connection write `set mark` or `set label`; to test it, put it before the first comma",
    ),
    word(&["save", "store"], "did you mean `set mark`?"),
    word(&["notrack", "untrack", "forget"], "did you mean `clear`?"),
    word(&["force"], "did you mean `commit force`?"),
    word(&["alg"], "did you mean `helper`?"),
    word(&["accept", "permit", "pass", "deny", "block"], "a rule's verdict is its first word: `allow` or `drop`"),
    word(&["rdr-to"], "did you mean `dnat`?"),
    word(&["nat-to"], "did you mean `snat`?"),
    word(&["rate-limit"], "did you mean `limit`?"),
    word(&["dup-to"], "did you mean `mirror to DEV`?"),
    word(&["route-to", "reply-to"], "did you mean `redirect to DEV`?"),
];

/// Where a foreign word was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// At the start of a statement.
    Verdict,
    /// Among a rule's matches.
    Match,
    /// Among its actions.
    Action,
}

/// A finding for a word of another firewall.
pub fn foreign(text: &str, span: Span, place: Where) -> Option<Diagnostic> {
    let table = match place {
        Where::Verdict => VERDICTS,
        Where::Match => MATCHES,
        Where::Action => ACTIONS,
    };
    let lower = text.to_lowercase();
    let row = table.iter().chain(ANYWHERE).find(|row| row.words.contains(&lower.as_str()))?;
    let lint = if place == Where::Verdict && row.message.is_none() { &lints::UNKNOWN_VERDICT } else { row.lint };
    let unknown = match place {
        Where::Verdict => format!("no statement begins with `{text}`"),
        Where::Match => format!("`{text}` is no match"),
        Where::Action => format!("`{text}` is no action"),
    };
    let message = row.message.map_or(unknown, str::to_owned);
    Some(Diagnostic::new(lint, span, message).help(row.help))
}
