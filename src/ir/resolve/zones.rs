//! Conntrack zones by number or name.

use super::names::{self, Found, Value};
use super::number::{MALFORMED_VALUE, VALUE_OUT_OF_RANGE, number};
use super::{Cx, unknown};
use crate::diag::Diagnostic;
use crate::parse::ast::{DefineKind, Set, SetItem};
use crate::source::Span;

/// The zone that a word names.
pub fn zone(span: Span, cx: &mut Cx<'_>) -> Option<u16> {
    let text = cx.text(span);
    if text.starts_with(|first: char| first.is_ascii_digit())
        && let Some(value) = number(text)
    {
        let zone = u16::try_from(value).ok();
        if zone.is_none() {
            let message = format!("zone `{text}` is out of range");
            cx.report(Diagnostic::new(&VALUE_OUT_OF_RANGE, span, message).help("zones go from 0 to 65535"));
        }
        return zone;
    }
    match names::lookup(DefineKind::Zone, text, span, cx) {
        Found::Value(value) => match &*value {
            Value::Zone(zone) => Some(*zone),
            _ => None,
        },
        Found::Failed => None,
        Found::Nothing => {
            unknown::report_unknown(DefineKind::Zone, span, cx);
            None
        }
    }
}

/// The zone that a definition names: one word.
pub fn defined(set: &Set, cx: &mut Cx<'_>) -> Option<u16> {
    if let (false, [SetItem::Word { span, negated: false }]) = (set.negated(), set.items()) {
        return zone(*span, cx);
    }
    let message = format!("{} is not one zone", cx.quote(set.span()));
    cx.report(Diagnostic::new(&MALFORMED_VALUE, set.span(), message).help("a zone is one number: `zone edge = 7`"));
    None
}

/// The zone that a word names, without reporting anything.
pub fn peek(span: Span, cx: &mut Cx<'_>) -> Option<u16> {
    let text = cx.text(span);
    match number(text) {
        Some(value) => u16::try_from(value).ok(),
        None => match names::lookup(DefineKind::Zone, text, span, cx) {
            Found::Value(value) => match &*value {
                Value::Zone(zone) => Some(*zone),
                _ => None,
            },
            _ => None,
        },
    }
}
