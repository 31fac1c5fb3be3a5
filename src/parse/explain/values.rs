//! Values of matches: several of them without braces, and where `not` stands.

use super::foreign::{Where, foreign};
use super::tokens::{Token, Tokens};
use crate::diag::Diagnostic;
use crate::parse::lints;
use crate::parse::words::{self, ACTION_WORDS, MATCH_WORDS, PROTOCOL_WORDS, RULE_WORDS, STATE_WORDS};

/// Words of matches whose value takes the `not`.
fn negated_after(word: &str) -> bool {
    MATCH_WORDS.contains(&word) && word != "not" || matches!(word, "flags" | "mac" | "type" | "code")
}

/// The message of [`several`].
pub const SEVERAL: &str = "several values stand in braces";

/// The remedy for `not mark 5`.
pub fn negated_behind(tokens: &Tokens<'_>) -> Option<String> {
    let word = tokens.word(0);
    if tokens.word(1) != "not" || !negated_after(word) {
        return None;
    }
    let behind = tokens.all().get(tokens.index()..).unwrap_or_default();
    let mut lead = vec![word];
    let mut rest = behind.get(1..).unwrap_or_default();
    if let Some((part, after)) = rest.split_first()
        && matches!(word, "from" | "to")
    {
        if part.text == "zone" {
            return Some("a rule speaks of one zone: `from zone` takes no `not`".to_owned());
        }
        if matches!(part.text, "port" | "mac") {
            lead.push(part.text);
            rest = after;
        }
    }
    let value = value(rest);
    // `from not mac X`: the word before the `not` belongs to it. `not port 80` has no such word, and needs one.
    let ends: &[&str] = match (word, tokens.word(2)) {
        ("port" | "mac", end @ ("from" | "to")) => &[end],
        ("port" | "mac", _) => &["to", "from"],
        ("flags", _) => &["tcp"],
        ("type" | "code", "icmp6") => &["icmp6"],
        ("type", _) => &["icmp"],
        _ => &[""],
    };
    let forms: Vec<String> =
        ends.iter().map(|end| format!("`{}`", format!("{end} {} not {value}", lead.join(" ")).trim())).collect();
    Some(format!("`not` stands before the value: {}", forms.join(" or ")))
}

/// The value that these tokens begin with, as it was written but for its blanks.
fn value(tokens: &[Token<'_>]) -> String {
    let Some(first) = tokens.first().filter(|token| token.is_value()) else { return "...".to_owned() };
    if first.text != "{" {
        return first.text.to_owned();
    }
    let end = tokens.iter().position(|token| token.text == "}");
    let inside = tokens.get(1..end.unwrap_or(0)).unwrap_or_default();
    // A long set would bury the form.
    if inside.is_empty() || inside.len() > 8 || inside.iter().any(|token| token.text == "{") {
        return "{ ... }".to_owned();
    }
    let items: Vec<&str> = inside.iter().map(|token| token.text).collect();
    format!("{{ {} }}", items.join(" ").replace(" ,", ","))
}

/// `from office lab`, `to port 80 443`: values that should stand in braces.
pub fn several(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let (first, token) = (tokens.before(1)?, tokens.before(0)?);
    let negated = tokens.word(2) == "not";
    let at = 2 + usize::from(negated);
    let keyword = tokens.word(at);
    if !negated_after(keyword) || !first.is_word() || !is_item(&token) {
        return None;
    }
    let mut lead = keyword.to_owned();
    if matches!(keyword, "port" | "mac" | "type" | "code" | "flags")
        && matches!(tokens.word(at + 1), "from" | "to" | "icmp" | "icmp6" | "tcp")
    {
        lead = format!("{} {keyword}", tokens.word(at + 1));
    }
    let number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '-');
    if matches!(keyword, "from" | "to") && number(token.text) && !number(first.text) {
        let message = format!("`{}` is no match", token.text);
        let help = format!("did you mean the port? write `{lead} {} port {}`", first.text, token.text);
        return Some(Diagnostic::new(&lints::UNKNOWN_WORD, token.span, message).help(help));
    }
    if number(token.text) != number(first.text) && token.text.contains(['.', ':']) {
        return None;
    }
    let further: Vec<Token<'_>> =
        tokens.all().iter().skip(tokens.index()).take_while(|token| is_item(token)).copied().collect();
    let last = further.last()?;
    let not = if negated { "not " } else { "" };
    let span = first.span.to(last.span);
    let help = if keyword == "flags" {
        "flags are joined by commas, without blanks: `tcp flags syn,ack`".to_owned()
    } else {
        let all: Vec<&str> = std::iter::once(&first).chain(&further).map(|token| token.text).take(8).collect();
        let more = if further.len() > 7 { ", ..." } else { "" };
        format!("write `{lead} {not}{{ {}{more} }}`", all.join(", "))
    };
    Some(Diagnostic::new(&lints::SYNTAX, span, SEVERAL).help(help))
}

/// Whether this can only be one more value.
fn is_item(token: &Token<'_>) -> bool {
    let lists = [MATCH_WORDS, STATE_WORDS, PROTOCOL_WORDS, ACTION_WORDS, RULE_WORDS];
    token.is_word()
        && !lists.iter().any(|list| list.contains(&token.text))
        && !["mac", "zone", "flags", "type", "code", "burst"].contains(&token.text)
        && words::nearest(token.text, MATCH_WORDS).is_none()
        && foreign(token.text, token.span, Where::Match).is_none()
}
