//! What identifies a rule: position, text, annotations, hashes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::header::Scope;
use super::{Cx, words};
use crate::diag::Diagnostic;
use crate::hash::{fnv, fnv32};
use crate::ir::policy::{Rule, RuleInfo};
use crate::parse::ast::Annotation;
use crate::source::Span;
pub use crate::source::one_line;

crate::declare_lints! {
    /// An annotation that means nothing.
    pub UNKNOWN_ANNOTATION: Warning = "unknown-annotation", "an annotation with an unknown key",
        "The keys are `@id`, `@owner`, `@ticket`, `@until` and `@note`. Others are kept and shown, but nothing looks at them.\n\nExample:\n\n    \
         @untill 2027-06-30\n    allow tcp to port 8080\n\nRemedy: correct the key; free text goes into `@note \"...\"`.";
    /// One key twice before a rule.
    pub REPEATED_ANNOTATION: Warning = "repeated-annotation", "an annotation that stands twice before one rule",
        "A rule has one `@id`, one `@owner` and one `@until`; the last one written counts. `@ticket` and `@note` may stand several \
         times.\n\nExample:\n\n    @owner netops\n    @owner web\n    allow tcp to port 80\n\nRemedy: keep one of the two.";
    /// An `@until` that is no date.
    pub BAD_DATE: Error = "bad-date", "an `@until` that is no date",
        "A date is written year-month-day.\n\nExample:\n\n    @until 30.6.2027\n    allow tcp to port 8080\n\nRemedy: `@until 2027-06-30`.";
    /// One `@id` on two rules of a policy.
    pub DUPLICATE_ID: Error = "duplicate-id", "one `@id` on two rules of a policy",
        "The id is what `plan`, `status` and counters know a rule by, so within a policy it belongs to one rule. A group with ids can be used \
         once in a policy.\n\nExample:\n\n    @id web\n    allow tcp to port 80\n    @id web\n    allow tcp to port 443\n\n\
         Remedy: give each rule an id of its own.";
}

/// Keys that mean something.
const KEYS: [&str; 5] = ["id", "owner", "ticket", "until", "note"];

/// Rule infos of one policy, in order.
pub struct Infos<'s, 'a> {
    scope: &'s Scope<'a>,
    policy: Arc<str>,
    /// What a rule is known by; its room is used again.
    key: String,
    position: usize,
    ids: BTreeMap<&'a str, Span>,
}

impl<'s, 'a> Infos<'s, 'a> {
    /// For the rules of this policy.
    pub fn new(scope: &'s Scope<'a>) -> Self {
        Self { scope, policy: scope.name.into(), key: String::new(), position: 0, ids: BTreeMap::new() }
    }

    /// The next rule's; its meaning is filled in by [`meaning`].
    pub fn next(&mut self, span: Span, annotations: &[Annotation], cx: &mut Cx<'a>) -> RuleInfo {
        self.position += 1;
        let id = self.annotations(annotations, cx);
        self.key.clear();
        // Writing into a string does not fail.
        let _ = match id {
            Some(id) => write!(self.key, "@id:{id}"),
            None => write!(self.key, "{}/{}", self.scope.name, self.position),
        };
        let ident = fnv32(&self.key);
        let pair = |note: &Annotation| (cx.text(note.key).to_owned(), cx.text(note.value).to_owned());
        RuleInfo {
            span,
            policy: Arc::clone(&self.policy),
            position: self.position,
            said: None,
            annotations: annotations.iter().map(pair).collect(),
            ident,
            meaning: 0,
        }
    }

    fn annotations(&mut self, annotations: &[Annotation], cx: &mut Cx<'a>) -> Option<&'a str> {
        let mut id = None;
        for (index, note) in annotations.iter().enumerate() {
            let (key, value) = (cx.text(note.key), cx.text(note.value));
            let earlier = annotations.iter().take(index).find(|earlier| cx.text(earlier.key) == key);
            if let Some(earlier) = earlier.filter(|_| matches!(key, "id" | "owner" | "until")) {
                let finding =
                    Diagnostic::new(&REPEATED_ANNOTATION, note.key, format!("a second `@{key}` before one rule"));
                cx.report(finding.because(earlier.key, "the first is here").help("keep one of the two"));
            }
            match key {
                "id" => {
                    if let Some(first) = self.ids.get(value).filter(|_| earlier.is_none()) {
                        let finding =
                            Diagnostic::new(&DUPLICATE_ID, note.value, format!("a second rule with the id `{value}`"));
                        let help = "give each rule an id of its own; a group with ids is used once in a policy";
                        cx.report(finding.because(*first, "the first is here").help(help));
                    }
                    self.ids.insert(value, note.value);
                    id = Some(value);
                }
                "until" if !is_date(value) => {
                    let finding = Diagnostic::new(&BAD_DATE, note.value, format!("`{value}` is no date"));
                    cx.report(finding.help("write year-month-day: `@until 2027-06-30`"));
                }
                _ if !KEYS.contains(&key) => {
                    let finding = Diagnostic::new(&UNKNOWN_ANNOTATION, note.key, format!("nothing looks at `@{key}`"));
                    let near = words::nearest(key, KEYS).map(|near| words::did_you_mean(&format!("@{near}")));
                    cx.report(finding.help(near.unwrap_or_else(|| format!("the keys are `@{}`", KEYS.join("`, `@")))));
                }
                _ => {}
            }
        }
        id
    }
}

/// `2027-06-30`
fn is_date(text: &str) -> bool {
    let digits = |part: &str, length: usize| {
        (part.len() == length && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<u32>().ok()).flatten()
    };
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let date = || Some((digits(year?, 4)?, digits(month?, 2)?, digits(day?, 2)?));
    let Some((year, month, day)) = date().filter(|_| parts.next().is_none()) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// Hash of all that changes what the rule does: the same for the same meaning, wherever and however it is written.
#[must_use]
pub fn meaning(rule: &Rule, zone: Option<u16>, prefilter: bool) -> u64 {
    let Rule { info: _, verdict, pass: _, states, snat, dnat, mark, label, alts, actions } = rule;
    fnv(&(verdict, zone, prefilter, (states, snat, dnat), (mark, label), (alts, actions)))
}

/// Hash of what a `default` means.
#[must_use]
pub fn default_meaning(allow: bool) -> u64 {
    fnv(&("default", allow))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert!(is_date("2027-06-30") && is_date("2028-02-29"));
        for wrong in
            ["30.6.2027", "2027-6-30", "2027-13-01", "2027-02-29", "2027-06-31", "2027-06-30-", "+027-06-30", ""]
        {
            assert!(!is_date(wrong), "{wrong}");
        }
    }
}
