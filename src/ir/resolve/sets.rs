//! Sets: any of these, and not those. One way of evaluating for every kind of thing that can be in a set.

use super::Cx;
use crate::diag::Diagnostic;
use crate::parse::ast::{Set, SetItem};
use crate::source::{FileId, Span};

crate::declare_lints! {
    /// A set with nothing in it.
    pub EMPTY_SET: Error = "empty-set", "a set with nothing in it",
        "A set that holds nothing can never match, so a rule that names it says nothing. It happens when braces are empty, when a file \
         has no lines, or when everything that was put in is taken out again.\n\nExample:\n\n    net lab = { 10.1.0.0/16, not 10.0.0.0/8 }\n\n\
         Remedy: put something into the set, or delete the set and the rules that use it.";
    /// A `file` where a set of this kind cannot come from a file.
    pub MISPLACED_FILE: Error = "misplaced-file", "a `file` in a set that cannot be read from one",
        "Addresses and ports can be read from a file, one item a line. Other sets are written in the policy.\n\nExample:\n\n    \
         interface lan = file \"lan.txt\"\n\nRemedy: write the items into the braces.";
}

/// A kind of thing that can be in a set, with its algebra.
pub trait Domain {
    /// A set of such things.
    type Value;

    /// What one word stands for; `None` after reporting.
    fn word(&self, span: Span, cx: &mut Cx<'_>) -> Option<Self::Value>;

    /// What a file holds; `None` after reporting.
    fn file(&self, path: Span, _file: FileId, cx: &mut Cx<'_>) -> Option<Self::Value> {
        let message = format!("{} cannot be read into this set", cx.quote(path));
        cx.report(Diagnostic::new(&MISPLACED_FILE, path, message).help("write the items into the braces"));
        None
    }

    /// In any of the parts.
    fn union(&self, parts: Vec<Self::Value>) -> Self::Value;
    /// In both.
    fn intersect(&self, a: &Self::Value, b: &Self::Value) -> Self::Value;
    /// In everything of this kind, but not in `value`.
    fn complement(&self, value: &Self::Value) -> Self::Value;
    /// Whether nothing is in it.
    fn is_empty(&self, value: &Self::Value) -> bool;
}

/// The set's value, never empty; `None` after reporting, or where a part of it was reported before.
pub fn value<D: Domain>(domain: &D, set: &Set, cx: &mut Cx<'_>) -> Option<D::Value> {
    let inside = items(domain, set, cx)?;
    let value = if set.negated() { domain.complement(&inside) } else { inside };
    if domain.is_empty(&value) {
        let what = match set.items() {
            [] => "the set has no items",
            [SetItem::File(_)] => "the file has no items",
            _ => "nothing is left in the set",
        };
        cx.report(
            Diagnostic::new(&EMPTY_SET, set.span(), what)
                .help("a set must hold something: delete it, or put something in"),
        );
        return None;
    }
    Some(value)
}

/// What stands between the braces, `not` before the set left aside.
fn items<D: Domain>(domain: &D, set: &Set, cx: &mut Cx<'_>) -> Option<D::Value> {
    if let [SetItem::Word { span, negated: false }] = set.items() {
        return domain.word(*span, cx);
    }
    let (mut put_in, mut taken_out, mut whole) = (Vec::new(), Vec::new(), true);
    for item in set.items() {
        let (value, out) = match item {
            SetItem::Word { span, negated } => (domain.word(*span, cx), *negated),
            SetItem::Nested(inner) => (items(domain, inner, cx), inner.negated()),
            SetItem::File(file) => {
                (file.contents.and_then(|contents| domain.file(file.path, contents, cx)), file.negated)
            }
        };
        match value {
            Some(value) if out => taken_out.push(value),
            Some(value) => put_in.push(value),
            None => whole = false,
        }
    }
    if !whole {
        return None;
    }
    // Only things taken out: out of everything.
    let all = put_in.is_empty() && !taken_out.is_empty();
    let mut value = domain.union(put_in);
    if all {
        value = domain.complement(&value);
    }
    if !taken_out.is_empty() {
        value = domain.intersect(&value, &domain.complement(&domain.union(taken_out)));
    }
    Some(value)
}

/// Whether some word of a set, or of a set in it, passes the test.
pub fn any_word(set: &Set, test: &impl Fn(Span) -> bool) -> bool {
    set.items().iter().any(|item| match item {
        SetItem::Word { span, .. } => test(*span),
        SetItem::Nested(inner) => any_word(inner, test),
        SetItem::File(_) => false,
    })
}

/// Every word of a set, nested ones too, with whether `not` stands before it or around it.
pub fn words(set: &Set) -> Vec<(Span, bool)> {
    fn collect(set: &Set, negated: bool, out: &mut Vec<(Span, bool)>) {
        let negated = negated ^ set.negated();
        for item in set.items() {
            match item {
                SetItem::Word { span, negated: own } => out.push((*span, negated ^ own)),
                SetItem::Nested(inner) => collect(inner, negated, out),
                SetItem::File(_) => {}
            }
        }
    }
    let mut out = Vec::with_capacity(set.items().len());
    collect(set, false, &mut out);
    out
}
