//! What does not balance.

use crate::diag::Diagnostic;
use crate::parse::lints;
use crate::parse::split::{Fault, FaultKind, MAX_DEPTH};
use crate::parse::words::token_length;
use crate::source::Span;

/// A finding for what does not balance.
pub fn fault(fault: &Fault, text: &str, base: u32) -> Diagnostic {
    let span = Span { lo: base + fault.at.0, hi: base + fault.at.1 };
    let because = fault.because.map(|(lo, hi)| Span { lo: base + lo, hi: base + hi });
    let plain = |lint, message: &str, help: &str| Diagnostic::new(lint, span, message).help(help);
    match fault.kind {
        FaultKind::Unclosed => {
            let found = text.get(fault.because.map_or(0, |(lo, _)| lo as usize)..).unwrap_or_default();
            let found = found.get(..token_length(found)).unwrap_or_default();
            let at_end = found.is_empty() || because.is_some_and(|place| place.lo == place.hi);
            let label =
                if at_end { "the text ends here".to_owned() } else { format!("`{found}` cannot stand inside it") };
            let finding = plain(&lints::UNCLOSED_BRACE, "this `{` is never closed", "add the `}` that is missing");
            because.map_or_else(|| finding.clone(), |place| finding.clone().because(place, label))
        }
        FaultKind::Stray => {
            plain(&lints::STRAY_BRACE, "this `}` closes nothing", "take it away, or add the `{` that it should close")
        }
        FaultKind::Early => {
            let finding = plain(
                &lints::STRAY_BRACE,
                "this `}` ends the block, and its rules go on",
                "take this `}` away, or move the rules behind it into the block",
            );
            because.map_or_else(
                || finding.clone(),
                |place| finding.clone().because(place, "so that this one closes nothing"),
            )
        }
        FaultKind::BrokenHeader => {
            let help = "join the lines: only inside the braces of a set does a header go on";
            let finding = plain(&lints::SYNTAX, "a policy's header stands on one line", help);
            because.map_or_else(|| finding.clone(), |place| finding.clone().because(place, "it goes on here"))
        }
        FaultKind::NoBrace => {
            plain(&lints::SYNTAX, "expected `{` after the header", "a block's statements stand between `{` and `}`")
        }
        FaultKind::NoHeader => {
            let help = "a block begins with `policy NAME on DEVICE ingress`, `group NAME` or `prefilter`";
            plain(&lints::SYNTAX, "this block has no header", help)
        }
        FaultKind::OpenString => plain(
            &lints::UNCLOSED_STRING,
            "this string has no end",
            "add the closing `\"`; a string cannot go on over a line's end",
        ),
        FaultKind::TooDeep => {
            let message = format!("braces are nested deeper than {MAX_DEPTH} levels");
            plain(&lints::NESTED_TOO_DEEP, &message, "give an inner set a name of its own with `net NAME = ...`")
        }
    }
}
