//! Headers of blocks, and annotations.

use super::common::quoted;
use super::foreign::{Where, foreign};
use super::tokens::Tokens;
use crate::diag::Diagnostic;
use crate::parse::lints;
use crate::parse::words::{self, STATEMENT_WORDS};
use crate::source::Span;

const POLICY: &str = "a policy begins `policy NAME on DEVICE ingress {` or `policy NAME on DEVICE egress zone 7 {`";

fn finding(tokens: &Tokens<'_>, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(&lints::SYNTAX, tokens.place(), message).help(help)
}

/// `@key value`
pub fn annotation(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let help = "write `@id NAME`, `@owner NAME`, `@ticket NAME`, `@until DATE` or `@note \"TEXT\"`";
    let message = match tokens.all() {
        [_] => "expected a key after `@`".to_owned(),
        [_, key] => format!("expected a value after `@{}`", key.text),
        [_, key, equals, value] if equals.text == "=" => {
            return Some(equals_in_annotation(tokens, key.text, value.text));
        }
        _ => return None,
    };
    Some(finding(tokens, message, help))
}

/// `@owner=netops`, `@owner = netops`
fn equals_in_annotation(tokens: &Tokens<'_>, key: &str, value: &str) -> Diagnostic {
    let place = tokens.all().get(2).map_or_else(|| tokens.place(), |equals| equals.span);
    Diagnostic::new(&lints::UNEXPECTED_CHARACTER, place, format!("unexpected `=` after `@{key}`"))
        .help(format!("write `@{key} {value}`"))
}

/// `@note the gateway's own questions`: the value, the statement behind it, and the place of both.
pub fn unquoted_note(key: &str, value: &str, rest: &str, span: Span) -> Option<Diagnostic> {
    let head = rest.get(..words::token_length(rest))?;
    let meant = words::nearest(head, STATEMENT_WORDS).is_some() || foreign(head, span, Where::Verdict).is_some();
    if key != "note" && meant {
        return None;
    }
    let message = format!("the value of `@{key}` is one word, or stands in quotes");
    Some(Diagnostic::new(&lints::SYNTAX, span, message).help(format!("write `@{key} \"{value} {rest}\"`")))
}

const ONE_HOOK: &str = "write a policy for each hook, `on DEV ingress` and `on DEV egress`; rules that both share can stand \
                        in a `group` that both `use`";

/// `policy NAME on DEVICES HOOK zone Z then Z`
pub fn policy(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    match tokens.index() {
        1 => return Some(finding(tokens, "expected a name after `policy`", POLICY)),
        2 if tokens.word(1) == "on" => return Some(finding(tokens, "this policy has no name", POLICY)),
        2 => {
            let name = tokens.word(1);
            let message = format!("expected `on` and a device after the policy's name `{name}`");
            if matches!(name, "accept" | "allow" | "deny" | "drop") && tokens.before(0).is_none() {
                let verdict = if matches!(name, "accept" | "allow") { "allow" } else { "drop" };
                return Some(finding(tokens, message, format!("did you mean `default {verdict}`?")));
            }
            if tokens.word(0) == "zone" {
                let help = format!("the zone stands behind the hook: `policy {name} on DEVICE ingress zone 7`");
                return Some(finding(tokens, message, help));
            }
            let device = tokens.before(0).filter(|token| token.is_word() && !is_hook(token.text));
            let help =
                device.map_or_else(|| POLICY.to_owned(), |device| format!("write `policy {name} on {}`", device.text));
            return Some(finding(tokens, message, help));
        }
        _ => {}
    }
    let zone = tokens.all().iter().take(tokens.index()).skip(3).any(|token| token.text == "zone");
    if zone { after_zone(tokens) } else { after_device(tokens) }
}

/// A header's mistake behind `zone`.
fn after_zone(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let token = tokens.before(0)?;
    if is_hook(token.text) {
        let help = "the hook stands before the zone: `on DEVICE ingress zone 7`";
        return Some(finding(tokens, format!("`{}` stands behind the zone", token.text), help));
    }
    let help = "zones are joined by `then`, in the order of their passes: `zone 2 then 1`";
    Some(finding(tokens, format!("unexpected {} after the zone", quoted(token)), help))
}

/// A header's mistake behind its devices, or behind its hook.
fn after_device(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let (text, before) = (tokens.word(0), tokens.word(1));
    // Behind the words that join them: `ingress, egress`, `ingress and egress`.
    let next = tokens.next().map_or("", |next| next.text);
    if is_hook(before) && (is_hook(text) || is_hook(next)) || text == "{" && is_hook(next) {
        return Some(finding(tokens, "a policy has one hook", ONE_HOOK));
    }
    if text == "," || is_hook(text) && !is_hook(before) {
        let devices = tokens.all().iter().skip(3).filter(|token| token.is_word());
        let devices: Vec<&str> =
            devices.map(|token| token.text).take_while(|word| !is_hook(word) && *word != "zone").collect();
        return Some(finding(
            tokens,
            "several devices stand in braces",
            format!("write `on {{ {} }}`", devices.join(", ")),
        ));
    }
    let help = "say which packets: those that the device receives (`ingress`) or sends (`egress`)";
    match text {
        "zone" if tokens.all().last().is_some_and(|last| is_hook(last.text)) => {
            let help = "the hook stands before the zone: `on DEVICE ingress zone 7`";
            Some(finding(tokens, "the hook stands behind the zone", help))
        }
        "" | "zone" => Some(finding(tokens, "expected `ingress` or `egress` after the device", help)),
        "in" => Some(finding(tokens, "there is no hook `in`", "did you mean `ingress`?")),
        _ => {
            let found = tokens.before(0).map(quoted)?;
            Some(finding(tokens, format!("expected `zone` or `{{`, found {found}"), POLICY))
        }
    }
}

fn is_hook(word: &str) -> bool {
    matches!(word, "ingress" | "egress")
}

/// `group NAME`, `prefilter`
pub fn plain(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let head = tokens.all().first()?.text;
    Some(match (head, tokens.before(0)) {
        ("prefilter", Some(token)) => finding(
            tokens,
            format!("expected `{{` after `prefilter`, found {}", quoted(token)),
            "a `prefilter` has no name; it is the first block of its policy",
        ),
        (_, None) => finding(tokens, format!("expected a name after `{head}`"), "write `group NAME { ... }`"),
        (_, Some(token)) => finding(
            tokens,
            format!("expected `{{` after the group's name, found {}", quoted(token)),
            "a group is its name and its rules: `group NAME { ... }`",
        ),
    })
}
