//! Assertions that do not parse.

use super::explain;
use super::tokens::Tokens;
use crate::diag::Diagnostic;
use crate::parse::grammar::{At, Grammar, Rule};
use crate::parse::lints;
use crate::parse::words::nearest;

/// The form, as an example.
const FORM: &str = "write `assert \"no database from outside\" on wan ingress never allow tcp to port 3306`";

/// `assert "..." [on DEVICES [HOOK]] never allow ...`
pub fn assertion(tokens: &Tokens<'_>, text: &str, at: At) -> Diagnostic {
    let all = tokens.all();
    let finding = |span, message: String| Diagnostic::new(&lints::SYNTAX, span, message);
    let place = tokens.place();
    if !all.get(1).is_some_and(|token| token.text.starts_with('"')) {
        let at = all.get(1).map_or(place, |token| token.span);
        return finding(at, "an assertion has a name in quotes".to_owned()).help(FORM);
    }
    let Some(never) = all.iter().position(|token| token.text == "never") else {
        let near = |token: &&super::tokens::Token<'_>| nearest(token.text, &["never"]).is_some();
        if let Some(token) = all.iter().skip(2).find(near) {
            return Diagnostic::new(
                &lints::UNKNOWN_WORD,
                token.span,
                format!("`{}` is no word of an assertion", token.text),
            )
            .help("did you mean `never`?");
        }
        return finding(place, "an assertion says what is never allowed".to_owned()).help(FORM);
    };
    let Some(verdict) = all.get(never + 1) else {
        return finding(place, "`allow` is missing after `never`".to_owned()).help(FORM);
    };
    if verdict.text != "allow" {
        let finding = |message: String| Diagnostic::new(&lints::UNKNOWN_WORD, verdict.span, message);
        return match nearest(verdict.text, &["allow"]) {
            Some(_) => finding(format!("`{}` is no word of an assertion", verdict.text)).help("did you mean `allow`?"),
            None => finding(format!("`never {}` cannot be asserted", verdict.text))
                .help("an assertion says `never allow`, and then what a rule would match"),
        };
    }
    if tokens.index() <= never {
        return finding(place, "only `on DEVICES` and a hook stand before `never`".to_owned()).help(FORM);
    }
    // What comes then is as in a rule, so a rule's messages fit.
    let start = (verdict.span.lo - at.0) as usize;
    let rule = text.get(start..).unwrap_or_default();
    if let Err(error) = <Grammar as pest::Parser<Rule>>::parse(Rule::statement, rule) {
        return explain(Rule::statement, rule, At(verdict.span.lo), &error);
    }
    if tokens.word(0) == "stateless" {
        return finding(place, "an assertion says `never allow`, whatever is committed".to_owned())
            .help("leave `stateless` out");
    }
    finding(place, "an assertion takes no actions".to_owned())
        .help("leave out what stands behind the comma: it only asks")
}
