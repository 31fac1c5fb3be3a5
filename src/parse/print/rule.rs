//! Rules: matches in one order, actions as written.

use super::WIDTH;
use super::layout::{Part, Statement, width};
use super::set::{self, Inner};
use crate::parse::ast::{Action, ActionKind, Annotation, End, Match, MatchKind, Nat, Out, Set, SetItem, Verdict};
use crate::parse::words::{PROTOCOL_WORDS, STATE_WORDS};
use crate::source::{SourceMap, Span};

/// The verdict's words.
pub const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::AllowStateless => "allow stateless",
        Verdict::Drop => "drop",
        Verdict::Continue => "continue",
    }
}

/// `@key value` lines: one, if it fits.
pub fn annotations(map: &SourceMap, annotations: &[Annotation], indent: usize) -> Vec<String> {
    let texts: Vec<String> = annotations.iter().map(|annotation| note(map, annotation)).collect();
    let line = texts.join("  ");
    match texts.len() {
        0 => Vec::new(),
        _ if indent + width(&line) <= WIDTH => vec![line],
        _ => texts,
    }
}

fn note(map: &SourceMap, annotation: &Annotation) -> String {
    let (key, value) = (map.text(annotation.key), map.text(annotation.value));
    let quote = Span { lo: annotation.value.lo.saturating_sub(1), hi: annotation.value.lo };
    if map.text(quote) == "\"" { format!("@{key} \"{value}\"") } else { format!("@{key} {value}") }
}

/// A rule's parts.
pub fn statement(
    map: &SourceMap,
    verdict: &str,
    matches: &[Match],
    actions: &[Action],
    inner: &mut Inner,
) -> Statement {
    let mut sorted: Vec<&Match> = matches.iter().collect();
    sorted.sort_by_key(|node| rank(map, &node.kind));
    let mut head = vec![Part::word(verdict)];
    for node in sorted {
        head.extend(matching(map, &node.kind, inner));
    }
    Statement { head, actions: actions.iter().map(|node| action(map, &node.kind)).collect() }
}

/// Where a match stands in the canonical order. A port without an end must not come to stand behind an end, nor
/// braces with other than state words behind plain `icmp`: there they would read as part of it.
fn rank(map: &SourceMap, kind: &MatchKind) -> u8 {
    match kind {
        MatchKind::Words(set) if is_state(map, set) => 0,
        MatchKind::FromZone(_) => 1,
        MatchKind::Words(set) if set.braces() => 2,
        MatchKind::EtherType(_) => 3,
        MatchKind::Words(_)
        | MatchKind::Proto(_)
        | MatchKind::Service(_)
        | MatchKind::Icmp(_)
        | MatchKind::BarePort(_) => 4,
        MatchKind::End(End { to: false, .. }) => 5,
        MatchKind::End(End { to: true, .. }) => 6,
        MatchKind::In(_) => 7,
        MatchKind::Mark(_) => 8,
        MatchKind::Label(_) => 9,
        MatchKind::TcpFlags(_) => 10,
        MatchKind::Dscp(_) => 11,
        MatchKind::Ttl(_) => 12,
        MatchKind::Vlan(_) => 13,
        MatchKind::Fragment(_) => 14,
    }
}

fn is_state(map: &SourceMap, set: &Set) -> bool {
    let is_state =
        |item: &SetItem| matches!(item, SetItem::Word { span, .. } if STATE_WORDS.contains(&map.text(*span)));
    !set.items().is_empty() && set.items().iter().all(is_state)
}

/// Whether the types of an `icmp` match may stand without the word `type`: one name, none of the language's words.
fn is_name(map: &SourceMap, types: &Set) -> bool {
    let [SetItem::Word { span, .. }] = types.items() else { return false };
    let word = map.text(*span);
    let known = STATE_WORDS.contains(&word) || PROTOCOL_WORDS.contains(&word);
    !types.braces() && !known && word.starts_with(|c: char| c.is_alphabetic())
}

fn matching(map: &SourceMap, kind: &MatchKind, inner: &mut Inner) -> Vec<Part> {
    let mut parts = Vec::new();
    let (word, set) = match kind {
        MatchKind::End(end) => {
            parts.push(Part::word(if end.to { "to" } else { "from" }));
            for (word, set) in [("", &end.addr), ("mac", &end.mac), ("port", &end.port)] {
                if let Some(set) = set {
                    parts.extend((!word.is_empty()).then(|| Part::word(word)));
                    parts.extend(set::parts(map, set, inner));
                }
            }
            return parts;
        }
        MatchKind::Icmp(icmp) => {
            parts.push(Part::word(if icmp.v6 { "icmp6" } else { "icmp" }));
            parts.extend((icmp.codes.is_some() || !is_name(map, &icmp.types)).then(|| Part::word("type")));
            parts.extend(set::parts(map, &icmp.types, inner));
            if let Some(codes) = &icmp.codes {
                parts.push(Part::word("code"));
                parts.extend(set::parts(map, codes, inner));
            }
            return parts;
        }
        MatchKind::FromZone(zone) => return vec![Part::word("from zone"), Part::word(map.text(*zone))],
        MatchKind::Words(set) => return set::parts(map, set, inner),
        MatchKind::Proto(set) => ("proto", set),
        MatchKind::EtherType(set) => ("ethertype", set),
        MatchKind::Service(set) => ("service", set),
        MatchKind::BarePort(set) => ("port", set),
        MatchKind::In(set) => ("in", set),
        MatchKind::Mark(set) => ("mark", set),
        MatchKind::Label(set) => ("label", set),
        MatchKind::TcpFlags(set) => ("tcp flags", set),
        MatchKind::Dscp(set) => ("dscp", set),
        MatchKind::Ttl(set) => ("ttl", set),
        MatchKind::Vlan(set) => ("vlan", set),
        MatchKind::Fragment(set) => ("fragment", set),
    };
    parts.push(Part::word(word));
    parts.extend(set::parts(map, set, inner));
    parts
}

fn action(map: &SourceMap, kind: &ActionKind) -> String {
    let words = |word: &str, value: &Span| format!("{word} {}", map.text(*value));
    match kind {
        ActionKind::Snat(node) => nat(map, "snat", node),
        ActionKind::Dnat(node) => nat(map, "dnat", node),
        ActionKind::Masquerade(node) => nat(map, "masquerade", node),
        ActionKind::Nat => "nat".to_owned(),
        ActionKind::SetMark(value) => words("set mark", value),
        ActionKind::SetLabel(value) => words("set label", value),
        ActionKind::CommitForce => "commit force".to_owned(),
        ActionKind::CommitZone(zone) => words("commit zone", zone),
        ActionKind::Clear => "clear".to_owned(),
        ActionKind::Redirect(node) => out(map, "redirect to", node),
        ActionKind::Mirror(node) => out(map, "mirror to", node),
        ActionKind::Limit { rate, burst: None } => words("limit", rate),
        ActionKind::Limit { rate, burst: Some(burst) } => {
            format!("limit {} burst {}", map.text(*rate), map.text(*burst))
        }
        ActionKind::Helper(name) => words("helper", name),
    }
}

fn nat(map: &SourceMap, word: &str, nat: &Nat) -> String {
    let mut text = word.to_owned();
    for (word, value) in [(" ", nat.pool), (" port ", nat.port), (" in zone ", nat.zone)] {
        if let Some(value) = value {
            text.push_str(word);
            text.push_str(map.text(value));
        }
    }
    text
}

fn out(map: &SourceMap, word: &str, out: &Out) -> String {
    let ingress = if out.ingress { " ingress" } else { "" };
    format!("{word} {}{ingress}", map.text(out.device))
}
