//! What a statement that does not parse most likely meant.

use super::grammar::{At, Rule};
use super::lints;
use super::split::{Fault, FaultKind};
use crate::diag::Diagnostic;
use crate::source::Span;

/// A finding for a statement that fits no rule of the grammar.
pub fn explain(_entry: Rule, text: &str, at: At, error: &pest::error::Error<Rule>) -> Diagnostic {
    let pos = match error.location {
        pest::error::InputLocation::Pos(pos) | pest::error::InputLocation::Span((pos, _)) => pos,
    };
    let length = super::words::token_length(text.get(pos..).unwrap_or_default());
    let lo = at.0 + u32::try_from(pos).unwrap_or_default();
    let span = Span { lo, hi: lo + u32::try_from(length).unwrap_or_default() };
    Diagnostic::new(&lints::SYNTAX, span, "this does not fit here")
}

/// A finding for a statement in which something stands twice that may stand once.
pub fn twice(text: &str, at: At) -> Diagnostic {
    let span = Span { lo: at.0, hi: at.0 + u32::try_from(text.len()).unwrap_or_default() };
    Diagnostic::new(&lints::SYNTAX, span, "something stands twice here that may stand once")
}

/// A finding for what does not balance.
pub fn fault(fault: &Fault, _text: &str, base: u32) -> Diagnostic {
    let span = Span { lo: base + fault.at.0, hi: base + fault.at.1 };
    let message = match fault.kind {
        FaultKind::Unclosed => "this `{` is never closed",
        FaultKind::Stray => "this `}` closes nothing",
        FaultKind::NoBrace => "expected `{` after the header",
        FaultKind::NoHeader => "this `{` has nothing before it",
        FaultKind::OpenString => "this string has no end",
        FaultKind::TooDeep => "braces are nested too deep",
    };
    Diagnostic::new(&lints::UNCLOSED_BRACE, span, message)
}
