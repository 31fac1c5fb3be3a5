//! Forms of other firewalls, longer or shorter than one word.

use super::common::quoted;
use super::tokens::{Token, Tokens};
use crate::diag::Diagnostic;
use crate::parse::lints;
use crate::parse::words::{ACTION_WORDS, PROTOCOL_WORDS, STATEMENT_WORDS, is_word};

/// Words that other firewalls put before a device, and before an address.
const FILLERS_OF_DEVICES: &[&str] = &["on", "interface", "iface", "dev", "device"];
const FILLERS_OF_ADDRESSES: &[&str] =
    &["host", "net", "network", "subnet", "address", "addr", "ip-address", "src", "dst", "source", "destination"];

/// A form among the matches that other firewalls have.
pub fn habit(tokens: &Tokens<'_>) -> Option<Diagnostic> {
    let (before, token) = (tokens.before(1)?, tokens.before(0)?);
    let finding = |token: Token<'_>, help: String| {
        Some(Diagnostic::new(&lints::UNKNOWN_WORD, token.span, format!("{} is no match", quoted(token))).help(help))
    };
    // `in on eth0`, `from host 10.0.0.1`: a word that says what follows, read as the value.
    let (end, filler) = (tokens.word(2), before.text);
    let said_twice = match end {
        "in" => FILLERS_OF_DEVICES.contains(&filler),
        "from" | "to" => FILLERS_OF_ADDRESSES.contains(&filler),
        _ => false,
    };
    if said_twice && token.is_word() {
        return finding(before, format!("leave it out: `{end} {}`", token.text));
    }
    // `to port 80 -> 10.0.0.1`
    if let Some(tip) = tokens.next().filter(|tip| token.text == "-" && tip.text == ">") {
        let span = token.span.to(tip.span);
        let help = "a translation is an action, after a comma: `, dnat 10.0.0.80 port 8080`";
        return Some(Diagnostic::new(&lints::UNKNOWN_WORD, span, "`->` is no match").help(help));
    }
    // `proto icmp type 8`: what `proto` names has no types.
    if matches!(token.text, "type" | "code") && tokens.word(2) == "proto" && matches!(before.text, "icmp" | "icmp6") {
        let value = tokens.next().filter(Token::is_word).map_or("8", |value| value.text);
        return finding(token, format!("leave `proto` out: `{} {} {value}`", before.text, token.text));
    }
    if token.text == "flags" && before.text == "tcp" && tokens.word(2) == "not" {
        let value = tokens.next().filter(Token::is_word).map_or("syn", |value| value.text);
        return finding(token, format!("`not` stands before the value: `tcp flags not {value}`"));
    }
    if token.text == "flags" && tokens.word(2) == "proto" {
        return finding(token, "leave `proto` out: `tcp flags syn/syn,ack`".to_owned());
    }
    // `tcp/80`, `80/tcp`
    if let Some((a, b)) = token.text.split_once('/') {
        let (protocol, port) = if matches!(b, "tcp" | "udp" | "sctp") { (b, a) } else { (a, b) };
        if PROTOCOL_WORDS.contains(&a) && PROTOCOL_WORDS.contains(&b) {
            return finding(token, format!("for either protocol write `{{ {a}, {b} }}`"));
        }
        if PROTOCOL_WORDS.contains(&protocol) {
            return finding(token, format!("write `{protocol} to port {port}`, or `service {protocol}/{port}`"));
        }
    }
    if token.text.starts_with(':') && matches!(tokens.word(2), "from" | "to") {
        return finding(token, format!("a port is a part of its own: `{} {} port 80`", tokens.word(2), before.text));
    }
    None
}

/// The remedy for a word that may well be a name, without the word that says of what.
pub fn named(token: Token<'_>) -> Option<String> {
    let text = token.text;
    let lower = text.to_lowercase();
    let word = [ACTION_WORDS, STATEMENT_WORDS].iter().any(|list| list.contains(&lower.as_str())) || lower == "file";
    let name = is_word(text) && text.starts_with(char::is_alphabetic) && !word;
    name.then(|| {
        format!("if it is a name, say of what: `from {text}`, `to port {text}`, `service {text}`, `in {text}`")
    })
}
