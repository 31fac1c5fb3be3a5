//! What may be wrong in any statement: signs, sets, values that are missing.

use super::foreign::{Where, foreign};
use super::tokens::{Token, Tokens};
use super::values::negated_behind;
use crate::diag::Diagnostic;
use crate::parse::lints;
use crate::parse::words::{self, ACTION_WORDS, RULE_WORDS};
use crate::source::Span;

/// Whatever is wrong without regard to the kind of statement.
pub fn any(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    sign(tokens).or_else(|| braces(tokens)).or_else(|| spaced_range(tokens)).or_else(|| value(tokens))
}

/// The words at fault, for a message.
pub fn quoted(token: Token<'_>) -> String {
    if token.text.starts_with('"') { token.text.to_owned() } else { format!("`{}`", token.text.escape_debug()) }
}

/// A character that no statement has.
pub fn sign(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let token = tokens.before(0)?;
    let sign = token.text.chars().next()?;
    if token.is_word() || matches!(sign, '{' | '}' | ',' | '"' | ';') {
        return None;
    }
    let help = match sign {
        '@' => "`@key value` stands on the line before its rule",
        '!' => "write `not` before a word, a value or a set",
        '&' => "leave it out: matches are joined by \"and\"",
        '|' => "write `{ a, b }` for \"a or b\"",
        '[' if tokens.next().is_some_and(|next| next.text.contains(':')) => {
            "an IPv6 address stands without brackets, as in `from 2001:db8::1`, and its port behind `port`"
        }
        '(' | ')' | '[' | ']' => "a set stands in braces: `{ a, b }`",
        '\'' | '`' | '“' | '”' | '„' | '‘' | '’' => "a string stands in straight double quotes: \"...\"",
        '$' => "a name is used without a sign before it",
        '*' | '?' => "every address is `any`; for every port, leave the match out",
        '\\' => "leave it out: a line goes on after a comma, and inside braces",
        '<' if tokens.next().is_some_and(|next| next.text.starts_with(char::is_alphabetic)) => {
            "a name is used without signs around it"
        }
        '<' | '>' => "write a range as `1024-65535`",
        '~' | '^' => "write `not` to exclude a value",
        '–' | '—' | '‑' | '−' => "write a range with a plain `-`: `1024-65535`",
        _ if sign.is_whitespace() => "this is not a plain blank; write it anew",
        '=' => return equals(tokens),
        _ => "words are made of letters, digits and `. : / - _ + %`",
    };
    let shown = match sign {
        _ if sign.is_whitespace() || sign.is_control() => format!("U+{:04X}", u32::from(sign)),
        _ => format!("`{sign}`"),
    };
    Some(Diagnostic::new(&lints::UNEXPECTED_CHARACTER, token.span, format!("unexpected character {shown}")).help(help))
}

/// `=` outside a definition's one place.
fn equals(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    if tokens.all().first().is_some_and(|head| !RULE_WORDS.contains(&head.text)) {
        return None;
    }
    let help = "leave it out: a match is its word and its value, as in `mark 0x1`";
    Some(Diagnostic::new(&lints::UNEXPECTED_CHARACTER, tokens.place(), "unexpected `=`").help(help))
}

/// A fault inside the braces of a set.
pub fn braces(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let open = tokens.open_brace()?;
    let token = tokens.before(0)?;
    let before = tokens.before(1)?;
    let finding = |lint, message: String, help: &str| {
        Some(Diagnostic::new(lint, token.span, message).because(open.span, "in this set").help(help))
    };
    if let Some(range) = spaced_range(tokens) {
        return Some(range);
    }
    match (before.text, token.text) {
        (_, ";") => {
            finding(&lints::SYNTAX, "unexpected `;` in a set".to_owned(), "items are separated by commas: `{ a, b }`")
        }
        ("{" | ",", ",") => {
            finding(&lints::SYNTAX, "expected an item before this comma".to_owned(), "write `{ a, b }`")
        }
        ("not", _) => finding(
            &lints::SYNTAX,
            format!("expected an item after `not`, found {}", quoted(token)),
            "write `not` before a word or a set, once",
        ),
        ("file", _) if token.is_word() => finding(
            &lints::SYNTAX,
            "expected a path in quotes after `file`".to_owned(),
            &format!("write `file \"{}\"`", token.text),
        ),
        _ if token.is_value() && (before.is_value() || before.text == "}") => finding(
            &lints::MISSING_COMMA,
            format!("missing comma between {} and {}", quoted(before), quoted(token)),
            &format!("put a comma before {}", quoted(token)),
        ),
        _ => None,
    }
}

/// `10.0.0.1 - 10.0.0.9`
pub fn spaced_range(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let token = tokens.before(0)?;
    let before = tokens.before(1).filter(Token::is_word)?;
    let numeric = |text: &str| text.starts_with(|c: char| c.is_ascii_hexdigit());
    let mut end = token;
    let to = match token.text.strip_prefix('-') {
        Some("") => {
            end = tokens.next()?;
            end.text
        }
        Some(rest) => rest,
        None => token.text.strip_prefix("..").or_else(|| before.text.strip_suffix('-').map(|_| token.text))?,
    };
    let from = before.text.trim_end_matches('-');
    if !numeric(from) || !numeric(to) {
        return None;
    }
    let finding = Diagnostic::new(&lints::SYNTAX, before.span.to(end.span), "a range has no blanks in it");
    Some(finding.help(format!("write `{from}-{to}`")))
}

/// What must follow `word`, for a message; `None` if nothing need.
fn expected_after(word: &str, in_actions: bool) -> Option<&'static str> {
    Some(match word {
        "from" => "an address, a range, a name, `port`, `mac` or `zone`",
        "to" if in_actions => "a device",
        "to" => "an address, a range, a name, `port` or `mac`",
        "port" => "a port, a range or a name of ports",
        "mac" => "an address such as `02:00:00:00:00:01`",
        "in" if in_actions => "`zone`",
        "in" | "on" => "a device or the name of an interface",
        "zone" | "then" => "a zone's number or name",
        "proto" => "a protocol's number or name",
        "ethertype" => "a number such as `0x88cc`",
        "service" => "a service's name, or a pair such as `udp/53`",
        "mark" | "label" => "a value such as `0x1` or `0x1/0xff`",
        "dscp" => "a class such as `af41`, or a number",
        "ttl" => "a number from 0 to 255",
        "vlan" => "a number from 0 to 4095",
        "fragment" => "`first`, `later`, `any` or `none`",
        "type" => "an ICMP type's number or name",
        "code" => "an ICMP code's number",
        "flags" => "flags such as `syn/syn,ack`",
        "snat" | "dnat" if in_actions => "an address, a range, a prefix or a name",
        "set" if in_actions => "`mark` or `label`",
        "commit" => "`force` or `zone`",
        "redirect" | "mirror" if in_actions => "`to` and a device",
        "limit" => "a rate such as `10mbit` or `20000pps`",
        "burst" => "a size such as `64kb`, or a number of packets",
        "helper" => "a helper's name such as `ftp`",
        "not" => "a word, a value or a set",
        "default" => "`allow` or `drop`",
        "use" => "a group's name",
        "file" | "include" => "a path in quotes",
        "reserve" => "`mark` and a value",
        "=" => "a value, a name or a set",
        _ => return None,
    })
}

/// A word whose value is missing, or is none.
pub fn value(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let before = tokens.before(1)?;
    let in_actions = tokens.first_comma().is_some();
    // A name may be any word: the second word of a definition or a header asks for nothing.
    if tokens.index() == 2
        && matches!(tokens.word(2), "policy" | "group" | "use" | "net" | "port" | "service" | "zone" | "interface")
    {
        return None;
    }
    let expected = expected_after(before.text, in_actions)?;
    let found = tokens.before(0);
    let message = match found {
        Some(token) if token.text != "," => {
            format!("expected {expected} after `{}`, found {}", before.text, quoted(token))
        }
        _ => format!("expected {expected} after `{}`", before.text),
    };
    let mut finding = Diagnostic::new(&lints::SYNTAX, tokens.place(), message);
    finding.help = negated_behind(tokens).or_else(|| value_help(before.text, found, in_actions));
    Some(finding)
}

/// The remedy where a value is missing.
fn value_help(before: &str, found: Option<Token<'_>>, in_actions: bool) -> Option<String> {
    let found = found.map_or("", |token| token.text);
    if let Some(inside) = found.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return words::is_word(inside).then(|| format!("names and values stand without quotes: `{before} {inside}`"));
    }
    if matches!(before, "include" | "file") && words::is_word(found) {
        return Some(format!("write `{before} \"{found}\"`"));
    }
    match before {
        "default" => {
            let near = words::nearest(found, &["allow", "drop"]).map(|near| format!("did you mean `default {near}`?"));
            return near.or_else(|| foreign(found, Span::default(), Where::Verdict)?.help);
        }
        "reserve" | "set" if starts_number(found) => return Some(format!("write `{before} mark {found}`")),
        "redirect" | "mirror" if words::is_word(found) => return Some(format!("write `{before} to {found}`")),
        "snat" | "dnat" if found == "to" => return Some(format!("leave `to` out: `{before} 192.0.2.1`")),
        "snat" | "dnat" if found == "port" => {
            return Some(format!("name the address too: `{before} 192.0.2.1 port 80`"));
        }
        "in" if found == "zone" && !in_actions => {
            return Some(
                "a rule speaks of a zone as `from zone 7`; `in zone 7` belongs to `snat` and `dnat`".to_owned(),
            );
        }
        "not" if found == "zone" => return Some("a rule speaks of one zone: `from zone` takes no `not`".to_owned()),
        _ => {}
    }
    if before == "commit" {
        return Some(
            "`allow` commits by itself where a zone is named; leave `commit` out, or write `commit force`".to_owned(),
        );
    }
    if matches!(before, "snat" | "dnat") && found == "{" {
        return Some("the kernel translates into one address, one range or one prefix".to_owned());
    }
    if found == "{" && matches!(before, "zone" | "then") && !in_actions {
        return Some("zones are joined by `then`, in the order of their passes: `zone 2 then 1`".to_owned());
    }
    if found == "{" && in_actions {
        return Some("this takes one value; write a rule for each".to_owned());
    }
    if found == "not" {
        return Some("write `not` once".to_owned());
    }
    if ACTION_WORDS.contains(&found) && !in_actions && !matches!(before, "zone" | "then" | "on") {
        return Some(format!("actions stand after a comma: put one before `{found}`, and the value before that"));
    }
    let known = words::STATE_WORDS.contains(&found)
        || words::PROTOCOL_WORDS.contains(&found)
        || words::MATCH_WORDS.contains(&found)
        || ACTION_WORDS.contains(&found);
    (known && !found.is_empty()).then(|| format!("`{found}` is a word of the language and cannot be a name here"))
}

fn starts_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// The last resort.
pub fn unexpected(tokens: &Tokens<'_>) -> Diagnostic {
    let message = match (tokens.before(0), tokens.before(1)) {
        (Some(token), Some(before)) => format!("unexpected {} after {}", quoted(token), quoted(before)),
        (Some(token), None) => format!("unexpected {}", quoted(token)),
        (None, Some(before)) => format!("something is missing after {}", quoted(before)),
        (None, None) => "expected a statement".to_owned(),
    };
    Diagnostic::new(&lints::SYNTAX, tokens.place(), message)
}
