//! Statements that are no rules, and those that begin with no word of the language.

use super::common::{self, quoted};
use super::foreign::{Where, foreign};
use super::tokens::Tokens;
use crate::diag::Diagnostic;
use crate::parse::lints;
use crate::parse::words::{self, ACTION_WORDS, MATCH_WORDS, PROTOCOL_WORDS, STATE_WORDS, STATEMENT_WORDS};

/// A statement whose first word begins none.
pub fn unknown(tokens: &Tokens<'_>) -> Diagnostic {
    let Some(token) = tokens.before(0) else { return common::unexpected(tokens) };
    if token.text == "," {
        let help = "a rule goes on in the next line if the comma stands at the end of the line before";
        return Diagnostic::new(&lints::SYNTAX, token.span, "a statement cannot begin with `,`").help(help);
    }
    if let Some(sign) = common::sign(tokens) {
        return sign;
    }
    let word = if token.text.starts_with("//") { "//" } else { token.text };
    if let Some(finding) = foreign(word, token.span, Where::Verdict) {
        return finding;
    }
    let is_in = |list: &[&str]| list.contains(&token.text);
    let finding = |message: String| Diagnostic::new(&lints::UNKNOWN_VERDICT, token.span, message);
    if is_in(MATCH_WORDS) || is_in(STATE_WORDS) || is_in(PROTOCOL_WORDS) || is_in(ACTION_WORDS) || token.text == "{" {
        return finding(format!("a rule begins with its verdict, not with {}", quoted(token)))
            .help(format!("put `allow`, `drop` or `continue` before {}", quoted(token)));
    }
    let finding = finding(format!("no statement begins with {}", quoted(token)));
    match words::nearest(token.text, STATEMENT_WORDS) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None => finding.help("a rule begins with `allow`, `drop`, `continue` or `use`"),
    }
}

/// Definitions, `use`, `include`, `reserve`.
pub fn other(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let head = tokens.all().first()?.text;
    match head {
        "interface" | "zone" | "net" | "port" | "service" => define(tokens, head),
        "use" => Some(
            extra(tokens, "`use` takes a group's name and nothing else")?
                .help("start a new line, or put `;` before the next rule"),
        ),
        "include" => Some(extra(tokens, "`include` takes a path and nothing else")?.help("write one `include` a line")),
        "reserve" => {
            let help = "write `reserve mark 0xc0000000`: the two bits that this policy keeps for itself";
            Some(
                Diagnostic::new(&lints::SYNTAX, tokens.place(), "only two bits of the mark can be reserved").help(help),
            )
        }
        _ => None,
    }
}

fn extra(tokens: &Tokens<'_>, message: &str) -> Option<Diagnostic> {
    let token = tokens.before(0)?;
    Some(Diagnostic::new(&lints::SYNTAX, token.span, message.to_owned()))
}

/// `net office = { 10.0.0.0/24 }`
fn define(tokens: &Tokens<'_>, kind: &str) -> Option<Diagnostic> {
    let example = match kind {
        "interface" => "interface wan = eth0",
        "zone" => "zone edge = 7",
        "net" => "net office = { 10.0.0.0/24, 2001:db8:7::/48 }",
        "port" => "port web = { 80, 443 }",
        _ => "service dns = { udp/53, tcp/53 }",
    };
    let finding =
        |message: String, help: String| Some(Diagnostic::new(&lints::SYNTAX, tokens.place(), message).help(help));
    let token = tokens.before(0);
    match (tokens.index(), token) {
        (1, _) => finding(format!("expected a name after `{kind}`"), format!("write `{example}`")),
        (2, _) => {
            let name = tokens.word(1);
            if let Some(name) = name.strip_suffix(':') {
                let help = format!("write `{kind} {name} = ...`");
                return finding("a name and its value are joined by `=`, not by `:`".to_owned(), help);
            }
            // `port 80 ...` at the start of a line was meant as a match.
            let is_match = name.starts_with(|c: char| c.is_ascii_digit())
                || token.is_some_and(|t| words::RULE_WORDS.contains(&t.text));
            let help = if is_match {
                "a rule begins with `allow`, `drop` or `continue`".to_owned()
            } else {
                format!("write `{example}`")
            };
            finding(format!("expected `=` after `{kind} {name}`"), help)
        }
        (_, Some(token)) if token.text == "," || token.is_value() => {
            let values: Vec<&str> =
                tokens.all().iter().skip(3).filter(|token| token.is_word()).map(|token| token.text).collect();
            finding("several values stand in braces".to_owned(), format!("write `{{ {} }}`", values.join(", ")))
        }
        _ => None,
    }
}
