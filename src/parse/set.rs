//! Sets and strings: from pairs to the tree.

use super::ast::{Set, SetFile, SetItem, SetParts};
use super::grammar::{At, Pair, Rule};
use crate::source::Span;

/// A set of any kind: `not` or not, one word, braces or a file.
pub fn set(pair: Pair<'_>, at: At) -> Set {
    // A word alone is its own set.
    if matches!(pair.as_rule(), Rule::value) {
        return Set::word(at.span(&pair));
    }
    let span = at.span(&pair);
    let mut set = SetParts { span, negated: false, braces: false, items: Box::default() };
    for inner in pair.into_inner() {
        match inner.as_rule() {
            Rule::NOT => set.negated = true,
            Rule::braces | Rule::flag_braces => {
                set.braces = true;
                set.items = items(inner, at);
            }
            Rule::file => set.items = Box::new([file(inner, false, at)]),
            _ if !set.negated => return Set::word(at.span(&inner)),
            _ => set.items = Box::new([SetItem::Word { span: at.span(&inner), negated: false }]),
        }
    }
    Set::Other(Box::new(set))
}

fn file(pair: Pair<'_>, negated: bool, at: At) -> SetItem {
    SetItem::File(Box::new(SetFile { path: string(pair, at), contents: None, negated }))
}

/// The items between braces.
fn items(braces: Pair<'_>, at: At) -> Box<[SetItem]> {
    let inner = braces.into_inner();
    let items = inner.filter(|pair| matches!(pair.as_rule(), Rule::item | Rule::flag_item));
    items.filter_map(|pair| item(pair, at)).collect()
}

fn item(pair: Pair<'_>, at: At) -> Option<SetItem> {
    let span = at.span(&pair);
    let mut negated = false;
    let mut found = None;
    for inner in pair.into_inner() {
        match inner.as_rule() {
            Rule::NOT => negated = true,
            Rule::braces => {
                let parts = SetParts { span, negated, braces: true, items: items(inner, at) };
                found = Some(SetItem::Nested(Box::new(Set::Other(Box::new(parts)))));
            }
            Rule::file => found = Some(file(inner, negated, at)),
            _ => found = Some(SetItem::Word { span: at.span(&inner), negated }),
        }
    }
    found
}

/// The text of the string somewhere inside `pair`, without its quotes.
pub fn string(pair: Pair<'_>, at: At) -> Span {
    let whole = at.span(&pair);
    let text = pair.into_inner().flatten().find(|inner| inner.as_rule() == Rule::text);
    // Not trimmed: blanks inside quotes count.
    text.map_or(whole, |text| {
        let lo = at.span(&text).lo;
        let length = u32::try_from(text.as_str().len()).unwrap_or_default();
        Span { lo, hi: lo + length }
    })
}
