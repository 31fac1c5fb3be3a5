//! Headers of blocks, and annotations.

use super::common::quoted;
use super::tokens::Tokens;
use crate::diag::Diagnostic;
use crate::parse::lints;

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
        _ => return None,
    };
    Some(finding(tokens, message, help))
}

/// `policy NAME on DEVICES HOOK zone Z then Z`
pub fn policy(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let token = tokens.before(0);
    let text = tokens.word(0);
    let is_hook = |word: &str| matches!(word, "ingress" | "egress");
    match tokens.index() {
        1 => return Some(finding(tokens, "expected a name after `policy`", POLICY)),
        2 if tokens.word(1) == "on" => return Some(finding(tokens, "this policy has no name", POLICY)),
        2 => {
            let message = format!("expected `on` and a device after the policy's name `{}`", tokens.word(1));
            return Some(finding(tokens, message, POLICY));
        }
        _ => {}
    }
    let seen_zone = tokens.all().iter().take(tokens.index()).skip(3).any(|token| token.text == "zone");
    let after_zone = "zones are joined by `then`, in the order of their passes: `zone 2 then 1`";
    Some(match text {
        _ if seen_zone && token.is_some() => {
            finding(tokens, format!("unexpected {} after the zone", token.map(quoted)?), after_zone)
        }
        "," => finding(tokens, "several devices stand in braces", "write `on { eth0, eth1 }`"),
        _ if is_hook(text) && is_hook(tokens.word(1)) => {
            finding(tokens, "a policy has one hook", "write a policy for each; what they share can stand in a `group`")
        }
        _ if is_hook(text) => finding(tokens, "several devices stand in braces", "write `on { eth0, eth1 }`"),
        "" | "zone" => {
            let help = "say which packets: those that the device receives (`ingress`) or sends (`egress`)";
            finding(tokens, "expected `ingress` or `egress` after the device", help)
        }
        _ => finding(tokens, format!("expected `zone` or `{{`, found {}", token.map(quoted)?), POLICY),
    })
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
