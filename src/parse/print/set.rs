//! Sets, with the comments between their items.

use super::layout::{Braces, Part, SetPart};
use crate::parse::ast::{Set, SetItem};
use crate::source::{SourceMap, Span};

/// The comments inside one statement, until each has its place.
#[derive(Debug, Default)]
pub struct Inner {
    comments: Vec<Span>,
}

impl Inner {
    /// The comments inside `span`.
    pub fn of(map: &SourceMap, span: Span) -> Self {
        let text = map.text(span);
        let mut comments = Vec::new();
        if !text.contains('#') {
            return Self { comments };
        }
        let mut lo = span.lo;
        for line in text.split_inclusive('\n') {
            let mut quoted = false;
            let start = line.find(|c| {
                quoted ^= c == '"';
                c == '#' && !quoted
            });
            let length = |text: &str| u32::try_from(text.len()).unwrap_or_default();
            if let Some(comment) = start.and_then(|start| line.get(start..)) {
                let at = lo + length(line) - length(comment);
                comments.push(Span { lo: at, hi: at + length(comment.trim_end()) });
            }
            lo += length(line);
        }
        Self { comments }
    }

    /// Those that no set took.
    pub fn rest(&self) -> impl Iterator<Item = Span> + '_ {
        self.comments.iter().copied()
    }

    /// Takes those in `lo..hi`.
    fn take(&mut self, lo: u32, hi: u32) -> Vec<Span> {
        self.comments.extract_if(.., |span| lo <= span.lo && span.lo < hi).collect()
    }
}

/// A set's parts: `not`, and a word or braces.
pub fn parts(map: &SourceMap, set: &Set, inner: &mut Inner) -> Vec<Part> {
    let mut parts = Vec::new();
    if set.negated() {
        parts.push(Part::word("not"));
    }
    if set.braces() {
        parts.push(Part::Braces(braces(map, set, inner)));
    } else {
        parts.extend(set.items().iter().flat_map(|item| item_parts(map, item, inner)));
    }
    parts
}

fn braces(map: &SourceMap, set: &Set, inner: &mut Inner) -> Braces {
    let mut braces = Braces::default();
    let mut end = set.span().lo;
    for item in set.items() {
        // The inner braces' own comments first, so that what is left stands between the items.
        let parts = item_parts(map, item, inner);
        let span = item.span();
        let before = between(map, end, span.lo, &mut braces, inner);
        braces.items.push(SetPart { before, parts, after: None });
        end = span.hi;
    }
    braces.closing = between(map, end, set.span().hi, &mut braces, inner);
    braces
}

/// The comments in `lo..hi`: one on the line of the item before becomes that item's, the others are given back.
fn between(map: &SourceMap, lo: u32, hi: u32, braces: &mut Braces, inner: &mut Inner) -> Vec<String> {
    let mut own_lines = Vec::new();
    for comment in inner.take(lo, hi) {
        let text = map.text(comment).to_owned();
        let same_line = !map.text(Span { lo, hi: comment.lo }).contains('\n');
        match braces.items.last_mut() {
            Some(item) if same_line => item.after = Some(text),
            _ => own_lines.push(text),
        }
    }
    own_lines
}

fn item_parts(map: &SourceMap, item: &SetItem, inner: &mut Inner) -> Vec<Part> {
    let (negated, part) = match item {
        SetItem::Nested(set) => return parts(map, set, inner),
        SetItem::Word { span, negated } => (*negated, Part::word(map.text(*span))),
        SetItem::File(file) => (file.negated, Part::Word(format!("file \"{}\"", map.text(file.path)))),
    };
    if negated { vec![Part::word("not"), part] } else { vec![part] }
}
