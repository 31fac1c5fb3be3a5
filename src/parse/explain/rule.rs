//! Rules: matches, commas and actions.

use super::common::{self, quoted};
use super::foreign::{Where, foreign};
use super::habits;
use super::tokens::{Token, Tokens};
use super::values;
use crate::diag::{Diagnostic, Lint};
use crate::parse::lints;
use crate::parse::words::{self, ACTION_WORDS, MATCH_WORDS, PROTOCOL_WORDS, RULE_WORDS, STATE_WORDS};

/// A rule that does not parse.
pub fn rule(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let common = common::sign(tokens).or_else(|| common::braces(tokens)).or_else(|| common::spaced_range(tokens));
    common.or_else(|| match tokens.first_comma() {
        Some(comma) => in_actions(tokens, comma),
        None => in_matches(tokens),
    })
}

fn finding(lint: &'static Lint, token: Token<'_>, message: String, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(lint, token.span, message).help(help)
}

fn is_match(word: &str) -> bool {
    MATCH_WORDS.contains(&word) || STATE_WORDS.contains(&word) || PROTOCOL_WORDS.contains(&word)
}

/// A verdict behind the rule's own.
fn second_verdict(token: Token<'_>) -> Diagnostic {
    let help = format!("put `;` before `{0}`, or start a new line", token.text);
    let message = format!("a rule has one verdict, and `{}` is another", token.text);
    finding(&lints::SYNTAX, token, message, help)
}

fn missing_comma(action: Token<'_>) -> Diagnostic {
    finding(
        &lints::MISSING_COMMA,
        action,
        format!("missing comma before the action `{}`", action.text),
        format!("put a comma before `{}`", action.text),
    )
}

fn in_matches(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    // `tcp snat 1.2.3.4`: `snat` read as a match, its pool does not.
    let before = tokens.before(1)?;
    let token = tokens.before(0);
    let looks_new = token.is_some_and(|token| !is_match(token.text) && token.is_value());
    if matches!(before.text, "snat" | "dnat") && looks_new {
        return Some(missing_comma(before));
    }
    let Some(token) = token else { return common::value(tokens) };
    if token.text == "code" && matches!(before.text, "icmp" | "icmp6") {
        let help = format!("write `{} type 3 code 4`", before.text);
        return Some(finding(&lints::SYNTAX, token, "an ICMP code needs its type".to_owned(), help));
    }
    if let Some(finding) = habits::habit(tokens) {
        return Some(finding);
    }
    let waits = common::value(tokens);
    if waits.is_some() && (is_match(token.text) || ACTION_WORDS.contains(&token.text) || !token.is_word()) {
        return waits;
    }
    if waits.is_some() {
        return foreign(token.text, token.span, Where::Match)
            .filter(|found| found.lint.name == lints::UNSUPPORTED.name)
            .or(waits);
    }
    if ACTION_WORDS.contains(&token.text) {
        return Some(missing_comma(token));
    }
    if RULE_WORDS.contains(&token.text) {
        return Some(second_verdict(token));
    }
    // `to prot 80`: what was meant as a word reads as the name of a net.
    let end = matches!(tokens.word(2), "from" | "to") && !MATCH_WORDS.contains(&before.text);
    if let Some(near) = words::nearest(before.text, &["port", "ports", "mac"]).filter(|_| end && token.is_value()) {
        let help = format!("did you mean `{}`?", near.trim_end_matches('s'));
        return Some(finding(&lints::UNKNOWN_WORD, before, format!("{} is no match", quoted(before)), help));
    }
    let misspelt = words::nearest(token.text, &near_matches(before.text)).filter(|near| *near != token.text);
    let known = foreign(token.text, token.span, Where::Match).map(|finding| said_again(tokens, finding));
    let several = || values::several(tokens).filter(|_| misspelt.is_none());
    known.or_else(several).or_else(|| number_or_address(tokens, token)).or_else(|| {
        let help = match (misspelt, words::nearest(token.text, ACTION_WORDS)) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(near)) => format!("did you mean the action `{near}`? actions stand after a comma"),
            (None, None) if habits::named(token).is_some() => habits::named(token).unwrap_or_default(),
            (None, None) => "matches are states (`established`), protocols (`tcp`), `from`, `to`, `to port NAME`, `service NAME`, `in`, `mark` and the like".to_owned(),
        };
        Some(finding(&lints::UNKNOWN_WORD, token, format!("{} is no match", quoted(token)), help))
    })
}

/// `any any`: one finding for a word that is there twice.
fn said_again(tokens: &Tokens<'_>, mut finding: Diagnostic) -> Diagnostic {
    if let (Some(token), Some(next)) = (tokens.before(0), tokens.next())
        && token.text == next.text
    {
        finding.primary.span = token.span.to(next.span);
        finding.message = format!("`{0} {0}` is no match", token.text);
    }
    finding
}

/// The words that could stand after `before`.
fn near_matches(before: &str) -> Vec<&'static str> {
    let mut list: Vec<&str> = [MATCH_WORDS, STATE_WORDS, PROTOCOL_WORDS].concat();
    match before {
        "allow" => list.push("stateless"),
        "tcp" => list.push("flags"),
        "icmp" | "icmp6" => list.extend(["type", "code"]),
        _ => {}
    }
    list
}

/// A value without the word that says what it is.
fn number_or_address(tokens: &Tokens<'_>, token: Token<'_>) -> Option<Diagnostic> {
    let text = token.text;
    let icmp =
        matches!(tokens.word(2), "icmp" | "icmp6").then(|| words::nearest(tokens.word(1), &["type", "code"])).flatten();
    if let (Some(near), Some(before)) = (icmp, tokens.before(1)) {
        let help = format!("did you mean `{near}`?");
        return Some(finding(&lints::UNKNOWN_WORD, before, format!("{} is no match", quoted(before)), help));
    }
    if text == "{" {
        return None;
    }
    let number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '-');
    let address =
        text.contains(['.', ':']) && text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/' | '-'));
    let help = if address {
        format!("say which end: `from {text}` or `to {text}`")
    } else if number {
        format!("say what it is: `to port {text}`, `mark {text}`, `proto {text}`")
    } else if text.starts_with('"') {
        "only the paths of files and the values of annotations stand in quotes".to_owned()
    } else {
        return None;
    };
    Some(finding(&lints::UNKNOWN_WORD, token, format!("{} is no match", quoted(token)), help))
}

fn in_actions(tokens: &Tokens<'_>, comma: Token<'_>) -> Option<Diagnostic> {
    let before = tokens.before(1)?;
    let Some(token) = tokens.before(0) else {
        if before.text == "," {
            let help = "take the comma away, or write an action after it";
            return Some(finding(&lints::SYNTAX, before, "nothing follows this comma".to_owned(), help));
        }
        return common::value(tokens);
    };
    if before.text != "," {
        return after_action(tokens, token);
    }
    if token.text == "," {
        return Some(finding(
            &lints::SYNTAX,
            token,
            "expected an action before this comma".to_owned(),
            "write an action, or one comma less",
        ));
    }
    if let Some(known) = foreign(token.text, token.span, Where::Action) {
        return Some(known);
    }
    if RULE_WORDS.contains(&token.text) {
        let help = "a rule's verdict is its first word; write a rule of its own for another";
        return Some(finding(&lints::MISPLACED_WORD, token, format!("`{}` is no action", token.text), help));
    }
    if STATE_WORDS.contains(&token.text) {
        let help = format!(
            "for any of several states write `{{ {}, {} }}`; actions stand after the comma",
            state_before(tokens, comma),
            token.text
        );
        return Some(finding(
            &lints::MISPLACED_WORD,
            token,
            format!("`{}` is a match, and stands where an action is expected", token.text),
            help,
        ));
    }
    if is_match(token.text) || token.text == "{" || token.text == "not" {
        let message = format!("{} is a match, and stands where an action is expected", quoted(token));
        let two = tokens.before(2).filter(|two| {
            PROTOCOL_WORDS.contains(&two.text) && PROTOCOL_WORDS.contains(&token.text) && two.text != token.text
        });
        let help = two.map_or_else(
            || "matches stand before the first comma".to_owned(),
            |two| {
                format!("for either protocol write `{{ {}, {} }}`; actions stand after the comma", two.text, token.text)
            },
        );
        return Some(
            finding(&lints::MISPLACED_WORD, token, message, help).because(comma.span, "actions begin after this comma"),
        );
    }
    let near = words::nearest(token.text, ACTION_WORDS);
    if let Some(flags) = tokens.before(2).filter(|_| tokens.word(3) == "flags" && near.is_none()) {
        let help = format!("a list of flags has no blanks: `flags {},{}`", flags.text, token.text);
        return Some(finding(&lints::SYNTAX, token, format!("{} is no action", quoted(token)), help));
    }
    if let Some(value) = tokens.before(2).filter(|_| near.is_none() && after_value(tokens)) {
        let help = format!(
            "for any of several values write `{{ {}, {} }}`; actions stand after the comma",
            value.text, token.text
        );
        return Some(finding(&lints::MISPLACED_WORD, token, format!("{} is no action", quoted(token)), help));
    }
    let help = near.map_or_else(
        || "actions are `snat`, `dnat`, `masquerade`, `nat`, `set`, `commit`, `clear`, `redirect`, `mirror`, `limit` and `helper`".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Some(finding(&lints::UNKNOWN_WORD, token, format!("{} is no action", quoted(token)), help))
}

/// Whether a match's value stands before the comma: `to port 80, 443`.
fn after_value(tokens: &Tokens<'_>) -> bool {
    tokens.before(2).is_some_and(|value| value.is_word()) && MATCH_WORDS.contains(&tokens.word(3))
}

/// The state word before the comma, for the form with braces.
fn state_before<'a>(tokens: &Tokens<'a>, comma: Token<'_>) -> &'a str {
    let before =
        tokens.all().iter().rev().find(|token| token.span.hi <= comma.span.lo && STATE_WORDS.contains(&token.text));
    before.map_or("established", |token| token.text)
}

/// A word behind an action that is complete, or whose value is missing.
fn after_action(tokens: &Tokens<'_>, token: Token<'_>) -> Option<Diagnostic> {
    let unsupported =
        foreign(token.text, token.span, Where::Action).filter(|found| found.lint.name == lints::UNSUPPORTED.name);
    if unsupported.is_some() {
        return unsupported;
    }
    if let Some(range) = common::any(tokens) {
        return Some(range);
    }
    if ACTION_WORDS.contains(&token.text) {
        return Some(missing_comma(token));
    }
    if RULE_WORDS.contains(&token.text) {
        return Some(second_verdict(token));
    }
    if token.text == "to" && tokens.word(1) == "masquerade" {
        let help =
            "leave it out: `masquerade` takes the address of the policy's device; for another write `snat ADDRESS`";
        return Some(finding(&lints::SYNTAX, token, "`masquerade` takes no address and no device".to_owned(), help));
    }
    if words::nearest(token.text, &["port", "in", "zone", "burst", "ingress"]).is_none() && is_match(token.text) {
        let message = format!("`{}` is a match, and stands behind an action", token.text);
        return Some(finding(&lints::MISPLACED_WORD, token, message, "matches stand before the first comma"));
    }
    if let Some(number) = tokens.before(1).filter(|_| matches!(tokens.word(2), "limit" | "burst"))
        && number.text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        let message = format!("unexpected {} behind the action `limit`", quoted(token));
        let help = format!("the unit stands close to its number: `{}{}`", number.text, token.text);
        return Some(finding(&lints::SYNTAX, token, message, help));
    }
    if let Some(rate) = tokens.before(1).filter(|rate| rate.text == "rate" && tokens.word(2) == "limit") {
        return Some(finding(
            &lints::SYNTAX,
            rate,
            "unexpected `rate` behind `limit`".to_owned(),
            "leave it out: `limit 10mbit`, `limit 100pps`",
        ));
    }
    if token.text == "egress" {
        let help = "leave it out: packets leave by the device unless `ingress` is written";
        return Some(finding(&lints::SYNTAX, token, "unexpected `egress`".to_owned(), help));
    }
    let action = tokens.all().iter().take(tokens.index()).rev().find(|token| ACTION_WORDS.contains(&token.text));
    let action = action.map_or("", |token| token.text);
    let takes = match action {
        "snat" | "dnat" => "`ADDRESS`, then perhaps `port PORT` and `in zone ZONE`",
        "masquerade" => "perhaps `port PORT` and `in zone ZONE`",
        "limit" | "burst" => "one rate, then perhaps `burst SIZE`, as in `limit 10mbit burst 64kb`",
        "redirect" | "mirror" => "`to DEVICE`, then perhaps `ingress`",
        "set" => "`mark VALUE` or `label VALUE`, as in `set mark 0x1/0xff`",
        "commit" => "`force` or `zone ZONE`",
        "helper" => "one name",
        _ => "nothing more",
    };
    let near =
        words::nearest(token.text, &["port", "in", "zone", "burst", "ingress"]).filter(|near| *near != token.text);
    let help = near.map_or_else(|| format!("`{action}` takes {takes}"), |near| format!("did you mean `{near}`?"));
    Some(finding(&lints::SYNTAX, token, format!("unexpected {} behind the action `{action}`", quoted(token)), help))
}
