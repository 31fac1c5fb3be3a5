//! What a statement that does not parse most likely meant.
//!
//! The grammar says where it gave up; the words around that place say the rest. One finding per statement: the first
//! mistake. Each function here looks at one part of the language and gives `None` where it has nothing better to say.

mod common;
mod foreign;
mod header;
mod rule;
mod statement;
mod tokens;

use super::grammar::{At, Grammar, Rule};
use super::lints;
use super::split::{Fault, FaultKind, MAX_DEPTH};
use super::words::{self, RULE_WORDS, token_length};
use crate::diag::Diagnostic;
use crate::source::Span;
use tokens::Tokens;

/// A finding for a statement that fits no rule of the grammar.
pub fn explain(entry: Rule, text: &str, at: At, error: &pest::error::Error<Rule>) -> Diagnostic {
    let pos = match error.location {
        pest::error::InputLocation::Pos(pos) | pest::error::InputLocation::Span((pos, _)) => pos,
    };
    let tokens = Tokens::new(text, at.0, pos);
    let special = match entry {
        Rule::annotation => header::annotation(&tokens),
        _ if tokens.index() == 0 => Some(statement::unknown(&tokens)),
        Rule::policy_head => common::any(&tokens).or_else(|| header::policy(&tokens)),
        Rule::group_head | Rule::prefilter_head => common::any(&tokens).or_else(|| header::plain(&tokens)),
        _ => match tokens.all().first() {
            Some(first) if RULE_WORDS.contains(&first.text) && first.text != "use" => rule::rule(&tokens),
            _ => common::any(&tokens).or_else(|| statement::other(&tokens)),
        },
    };
    special.unwrap_or_else(|| common::unexpected(&tokens))
}

/// Most further words that are looked at in one statement.
const FURTHER_MAX: usize = 16;

/// The misspelt words behind the first mistake of a statement. Each one is put right, or blanked out, in a copy that is
/// parsed again; what is no plain misspelling may follow from that, so it is not told.
pub fn further(text: &str, at: At) -> Vec<Diagnostic> {
    let mut text = text.to_owned();
    let mut found = Vec::new();
    for round in 0..FURTHER_MAX {
        let Err(error) = <Grammar as pest::Parser<Rule>>::parse(Rule::statement, &text) else { break };
        let finding = explain(Rule::statement, &text, at, &error);
        let word = finding.primary.span;
        let misspelt = finding.help.as_deref().and_then(|help| help.strip_prefix("did you mean `")?.strip_suffix("`?"));
        let unknown = [lints::UNKNOWN_WORD.name, lints::UNKNOWN_VERDICT.name].contains(&finding.lint.name);
        let (lo, mut hi) = (word.lo.saturating_sub(at.0) as usize, word.hi.saturating_sub(at.0) as usize);
        let right = misspelt.map(|right| if right == "allow" { "drop" } else { right });
        let right = right.filter(|right| right.len() <= hi.saturating_sub(lo));
        let verdict = lo > 0 || right.is_some_and(|right| matches!(right, "drop" | "continue"));
        if !unknown || !verdict || text.get(lo..hi).is_none_or(|word| word.trim().is_empty()) {
            break;
        }
        if right.is_none() {
            hi += value_length(text.get(hi..).unwrap_or_default());
        }
        let width = text.get(lo..hi).map_or(0, str::len);
        text.replace_range(lo..hi, &format!("{:width$}", right.unwrap_or_default()));
        if round > 0 && misspelt.is_some() {
            found.push(finding);
        }
    }
    found
}

/// How far the value reaches that stands behind a word, at the start of `rest`; 0 where another match or action begins.
fn value_length(rest: &str) -> usize {
    let value = rest.trim_start_matches([' ', '\t']);
    let word = value.get(..token_length(value)).unwrap_or_default();
    let known = [words::MATCH_WORDS, words::STATE_WORDS, words::PROTOCOL_WORDS, words::ACTION_WORDS];
    let is_value = words::is_word(word) && !known.iter().any(|list| list.contains(&word));
    if is_value { rest.len() - value.len() + word.len() } else { 0 }
}

/// A finding for a block's header, whole but without its block.
pub fn no_brace(text: &str, at: At) -> Diagnostic {
    let tokens = Tokens::new(text, at.0, text.len());
    Diagnostic::new(&lints::SYNTAX, tokens.place(), "expected `{` after the header")
        .help("a block's statements stand between `{` and `}`")
}

/// A finding for a statement in which a part stands twice that may stand once.
pub fn twice(text: &str, at: At) -> Diagnostic {
    let tokens = Tokens::new(text, at.0, text.len());
    let mut owner = None;
    let mut seen: Vec<tokens::Token<'_>> = Vec::new();
    for token in tokens.all() {
        match token.text {
            "from" | "to" | "snat" | "dnat" | "masquerade" => {
                owner = Some(*token);
                seen.clear();
            }
            "port" | "mac" | "in" => {
                if let (Some(owner), Some(first)) = (owner, seen.iter().find(|first| first.text == token.text)) {
                    let message = format!("`{}` stands twice after `{}`", token.text, owner.text);
                    return Diagnostic::new(&lints::SYNTAX, token.span, message)
                        .because(first.span, "the first one")
                        .help("for one of several values write `{ a, b }`");
                }
                seen.push(*token);
            }
            _ => {}
        }
    }
    Diagnostic::new(&lints::SYNTAX, tokens.place(), "a part stands twice here that may stand once")
}

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
