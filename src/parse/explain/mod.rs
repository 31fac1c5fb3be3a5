//! What a statement that does not parse most likely meant.
//!
//! The grammar says where it gave up; the words around that place say the rest. One finding per statement: the first
//! mistake, and after it what [`further`] can tell without guessing. Each function here looks at one part of the language and gives `None` where it has nothing better to say.

mod assertion;
mod common;
mod fault;
mod foreign;
mod further;
mod habits;
mod header;
mod rule;
mod statement;
mod tokens;
mod values;

use super::grammar::{At, Rule};
use super::lints;
use super::words::RULE_WORDS;
use crate::diag::Diagnostic;
use tokens::Tokens;

pub use fault::fault;
pub use further::further;
pub use header::unquoted_note;

/// A finding for a statement that fits no rule of the grammar.
pub fn explain(entry: Rule, text: &str, at: At, error: &pest::error::Error<Rule>) -> Diagnostic {
    let pos = match error.location {
        pest::error::InputLocation::Pos(pos) | pest::error::InputLocation::Span((pos, _)) => pos,
    };
    let tokens = Tokens::new(text, at.0, pos);
    let special = match entry {
        Rule::annotation => header::annotation(&tokens),
        Rule::statement if tokens.all().first().is_some_and(|first| first.text == "assert") => {
            Some(assertion::assertion(&tokens, text, at))
        }
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
