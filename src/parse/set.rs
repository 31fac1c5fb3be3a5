//! Sets and strings: from pairs to the tree.

use super::ast::{Set, SetItem};
use super::grammar::{At, Pair, Rule};
use crate::source::Span;

/// A set of any kind: `not` or not, one word, braces or a file.
pub fn set(pair: Pair<'_>, at: At) -> Set {
    let mut set = Set { span: at.span(&pair), negated: false, braces: false, items: Vec::new() };
    // A word alone is its own set.
    if matches!(pair.as_rule(), Rule::value) {
        set.items = vec![SetItem::Word { span: set.span, negated: false }];
        return set;
    }
    for inner in pair.into_inner() {
        match inner.as_rule() {
            Rule::NOT => set.negated = true,
            Rule::braces | Rule::flag_braces => {
                set.braces = true;
                set.items = items(inner, at);
            }
            Rule::file => set.items = vec![SetItem::File { path: string(inner, at), contents: None, negated: false }],
            _ => set.items = vec![SetItem::Word { span: at.span(&inner), negated: false }],
        }
    }
    set
}

/// The items between braces.
fn items(braces: Pair<'_>, at: At) -> Vec<SetItem> {
    let inner = braces.into_inner();
    let items = inner.filter(|pair| matches!(pair.as_rule(), Rule::item | Rule::flag_item));
    let mut items: Vec<SetItem> = items.filter_map(|pair| item(pair, at)).collect();
    items.shrink_to_fit();
    items
}

fn item(pair: Pair<'_>, at: At) -> Option<SetItem> {
    let span = at.span(&pair);
    let mut negated = false;
    let mut found = None;
    for inner in pair.into_inner() {
        match inner.as_rule() {
            Rule::NOT => negated = true,
            Rule::braces => {
                found = Some(SetItem::Nested(Set { span, negated, braces: true, items: items(inner, at) }));
            }
            Rule::file => found = Some(SetItem::File { path: string(inner, at), contents: None, negated }),
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
