//! A tree as plain text without places: what tests compare.

use std::fmt::Write as _;

use crate::parse::ast::*;
use crate::source::{SourceMap, Span};

pub struct Sketch<'a> {
    pub map: &'a SourceMap,
    /// Matches in any order sketch the same.
    pub sorted: bool,
}

impl Sketch<'_> {
    fn t(&self, span: Span) -> &str {
        self.map.text(span)
    }

    pub fn items(&self, items: &[Item], indent: usize, out: &mut String) {
        for item in items {
            let text = self.item(item, indent);
            let _ = writeln!(out, "{:indent$}{}", "", text.trim_end());
        }
    }

    fn item(&self, item: &Item, indent: usize) -> String {
        let block = |block: &Block| {
            let mut out = String::from("\n");
            self.items(&block.items, indent + 2, &mut out);
            out
        };
        match &item.kind {
            ItemKind::Include(path) => format!("include <{}>", self.t(*path)),
            ItemKind::Define(d) => format!("define {:?} {} {}", d.kind, self.t(d.name), self.set(&d.value)),
            ItemKind::ReserveMark(v) => format!("reserve {}", self.t(*v)),
            ItemKind::Group(b) => format!("group {}{}", self.t(b.name), block(b)),
            ItemKind::Prefilter(b) => format!("prefilter{}", block(b)),
            ItemKind::Policy(p) => {
                let zones: Vec<_> = p.zones.iter().map(|z| self.t(*z)).collect();
                let (name, devices) = (self.t(p.block.name), self.set(&p.devices));
                format!("policy {name} on {devices} {} {zones:?}{}", self.t(p.hook), block(&p.block))
            }
            ItemKind::Assert(a) => {
                let devices = a.devices.as_ref().map(|set| format!(" on {}", self.set(set))).unwrap_or_default();
                let hook = a.hook.map(|hook| format!(" {}", self.t(hook))).unwrap_or_default();
                self.rule(&format!("assert <{}>{devices}{hook}", self.t(a.name)), &[], &a.rule.matches, &[])
            }
            ItemKind::Use(name) => format!("use {}", self.t(*name)),
            ItemKind::Default(d) => {
                let verdict = if d.allow { "default allow" } else { "default drop" };
                self.rule(verdict, &d.annotations, &d.matches, &d.actions)
            }
            ItemKind::Rule(r) => self.rule(&format!("{:?}", r.verdict.node), &r.annotations, &r.matches, &r.actions),
            ItemKind::Error(_) => "ERROR".to_owned(),
        }
    }

    fn rule(&self, verdict: &str, annotations: &[Annotation], matches: &[Match], actions: &[Action]) -> String {
        let mut out = String::new();
        for a in annotations {
            let _ = write!(out, "@{}={} ", self.t(a.key), self.t(a.value));
        }
        out.push_str(verdict);
        let mut parts: Vec<_> = matches.iter().map(|m| self.matching(&m.kind)).collect();
        if self.sorted {
            parts.sort();
        }
        for part in parts {
            let _ = write!(out, " [{part}]");
        }
        for a in actions {
            let _ = write!(out, " ! {}", self.action(&a.kind));
        }
        out
    }

    fn matching(&self, kind: &MatchKind) -> String {
        match kind {
            MatchKind::Words(s) => format!("words {}", self.set(s)),
            MatchKind::FromZone(z) => format!("from-zone {}", self.t(*z)),
            MatchKind::Proto(s) => format!("proto {}", self.set(s)),
            MatchKind::EtherType(s) => format!("ethertype {}", self.set(s)),
            MatchKind::Service(s) => format!("service {}", self.set(s)),
            MatchKind::Icmp(i) => {
                let codes = i.codes.as_ref().map(|c| self.set(c));
                format!("icmp v6={} {} code={codes:?}", i.v6, self.set(&i.types))
            }
            MatchKind::End(e) => {
                let mut out = String::from(if e.to { "to" } else { "from" });
                for (name, set) in [("addr", &e.addr), ("mac", &e.mac), ("port", &e.port)] {
                    if let Some(set) = set {
                        let _ = write!(out, " {name}={}", self.set(set));
                    }
                }
                out
            }
            MatchKind::BarePort(s) => format!("bare-port {}", self.set(s)),
            MatchKind::In(s) => format!("in {}", self.set(s)),
            MatchKind::Mark(s) => format!("mark {}", self.set(s)),
            MatchKind::Label(s) => format!("label {}", self.set(s)),
            MatchKind::TcpFlags(s) => format!("flags {}", self.set(s)),
            MatchKind::Dscp(s) => format!("dscp {}", self.set(s)),
            MatchKind::Ttl(s) => format!("ttl {}", self.set(s)),
            MatchKind::Vlan(s) => format!("vlan {}", self.set(s)),
            MatchKind::Fragment(s) => format!("fragment {}", self.set(s)),
        }
    }

    fn action(&self, kind: &ActionKind) -> String {
        let o = |span: &Option<Span>| span.map_or("-", |span| self.t(span));
        let nat = |n: &Nat| format!("{} port={} zone={}", o(&n.pool), o(&n.port), o(&n.zone));
        let out = |d: &Out| format!("{}{}", self.t(d.device), if d.ingress { " ingress" } else { "" });
        match kind {
            ActionKind::Snat(n) => format!("snat {}", nat(n)),
            ActionKind::Dnat(n) => format!("dnat {}", nat(n)),
            ActionKind::Masquerade(n) => format!("masquerade {}", nat(n)),
            ActionKind::Nat => "nat".to_owned(),
            ActionKind::SetMark(v) => format!("set-mark {}", self.t(*v)),
            ActionKind::SetLabel(v) => format!("set-label {}", self.t(*v)),
            ActionKind::CommitForce => "commit-force".to_owned(),
            ActionKind::CommitZone(v) => format!("commit-zone {}", self.t(*v)),
            ActionKind::Clear => "clear".to_owned(),
            ActionKind::Redirect(d) => format!("redirect {}", out(d)),
            ActionKind::Mirror(d) => format!("mirror {}", out(d)),
            ActionKind::Limit { rate, burst } => format!("limit {} burst={}", self.t(*rate), o(burst)),
            ActionKind::Helper(v) => format!("helper {}", self.t(*v)),
        }
    }

    fn set(&self, set: &Set) -> String {
        let items: Vec<_> = set.items().iter().map(|item| self.set_item(item)).collect();
        let items = items.join(" ");
        let not = if set.negated() { "!" } else { "" };
        if set.braces() { format!("{not}{{{items}}}") } else { format!("{not}{items}") }
    }

    fn set_item(&self, item: &SetItem) -> String {
        match item {
            SetItem::Word { span, negated } => format!("{}{}", if *negated { "!" } else { "" }, self.t(*span)),
            SetItem::Nested(set) => self.set(set),
            SetItem::File(file) => format!("{}<{}>", if file.negated { "!" } else { "" }, self.t(file.path)),
        }
    }
}

/// Parses `text` and gives the tree as text with the findings after it, one line each.
pub fn sketch(text: &str) -> String {
    let mut map = SourceMap::default();
    let file = map.add("p", text).unwrap();
    let mut diags = crate::diag::Diagnostics::default();
    let ast = crate::parse::parse(&map, file, &mut diags);
    let mut out = String::new();
    Sketch { map: &map, sorted: false }.items(&ast.items, 0, &mut out);
    diags.sort();
    for d in diags.list() {
        let at = map.line_col(d.primary.span).unwrap();
        let _ = writeln!(out, "{}:{} {}: {}", at.line, at.col, d.lint.name, d.message);
    }
    out
}

/// How many findings about its form a text has.
pub fn findings(text: &str) -> usize {
    let mut map = SourceMap::default();
    let file = map.add("p", text).unwrap();
    let mut diags = crate::diag::Diagnostics::default();
    crate::parse::parse(&map, file, &mut diags);
    diags.list().len()
}
