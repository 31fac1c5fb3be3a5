//! Matches that are words alone: states, protocols, `snat` and `dnat`.

use super::draft::Draft;
use super::matches::frames;
use super::names::UNKNOWN_NAME;
use super::protocol::{FrameSets, Frames};
use super::rule::Place;
use super::{Cx, catalogue, number, sets, states, words};
use crate::diag::Diagnostic;
use crate::parse::ast::Set;
use crate::source::Span;

crate::declare_lints! {
    /// A set that mixes kinds of words.
    pub MIXED_WORDS: Error = "mixed-words", "words of different kinds in one set",
        "Braces mean `any of`, and a set speaks of one thing: of states, or of protocols. `snat` and `dnat` stand alone, since each asks a \
         question of its own.\n\nExample:\n\n    allow { established, tcp }\n\nRemedy: write two rules, or join the matches without braces.";
}

/// What a word that stands alone speaks of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    State,
    Frames,
    Translation,
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "snat" | "dnat" => Some(Kind::Translation),
        _ if states::of_word(word).is_some() => Some(Kind::State),
        _ => Frames::of_word(word).map(|_| Kind::Frames),
    }
}

/// Joins a match of words that stand alone.
pub fn words(set: &Set, span: Span, place: &Place<'_, '_>, draft: &mut Draft, cx: &mut Cx<'_>) {
    let list = sets::words(set);
    let mut found: Option<(Kind, Span)> = None;
    let mut sound = true;
    if numbers_of_protocols(set, &list, cx) {
        draft.broken = true;
        return;
    }
    for (word, _) in &list {
        let Some(kind) = kind(cx.text(*word)) else {
            unknown_word(*word, cx);
            sound = false;
            continue;
        };
        match found {
            Some((first, at)) if first != kind => {
                let message = format!("{} and {} in one set", cx.quote(at), cx.quote(*word));
                let finding =
                    Diagnostic::new(&MIXED_WORDS, *word, message).because(at, "this speaks of something else");
                cx.report(finding.help("write two rules to match either; without braces, both must hold"));
                sound = false;
                break;
            }
            Some(_) => {}
            None => found = Some((kind, *word)),
        }
    }
    if !sound {
        draft.broken = true;
        return;
    }
    match found.map(|(kind, _)| kind) {
        Some(Kind::State) => {
            draft.broken |= !states::available(span, place, cx);
            draft.ip_only.get_or_insert(span);
            states::read(set, span, draft, cx);
        }
        Some(Kind::Translation) => {
            draft.broken |= !states::available(span, place, cx);
            draft.ip_only.get_or_insert(span);
            translation(set, &list, span, draft, cx);
        }
        // Braces without words are reported as an empty set.
        Some(Kind::Frames) | None => frames(FrameSets::Words.read(set, cx), span, draft, cx),
    }
}

/// `{ gre, 99 }`: reports protocols by number without the word that makes them protocols.
fn numbers_of_protocols(set: &Set, list: &[(Span, bool)], cx: &mut Cx<'_>) -> bool {
    let number = |text: &str| number::number(text).is_some();
    let protocol = |text: &str| catalogue::find_protocol(text).is_some();
    let Some((first, _)) = list.iter().find(|(word, _)| number(cx.text(*word))) else { return false };
    if !list.iter().all(|(word, _)| number(cx.text(*word)) || protocol(cx.text(*word))) {
        return false;
    }
    let finding = Diagnostic::new(&UNKNOWN_NAME, *first, format!("{} matches nothing by itself", cx.quote(*first)));
    let form = cx.quote(set.span());
    let form = form.trim_matches('`');
    cx.report(finding.help(format!("if it is a protocol's number, write `proto {form}`")));
    true
}

fn unknown_word(span: Span, cx: &mut Cx<'_>) {
    let text = cx.text(span);
    let finding = Diagnostic::new(&UNKNOWN_NAME, span, format!("`{text}` matches nothing by itself"));
    let near = words::nearest(text, words::MATCH_WORDS.iter().chain(words::MATCH_KEYWORDS).copied());
    let help = match near {
        Some(near) => words::did_you_mean(near),
        None if catalogue::find_service(text).is_some() => format!("write `service {text}`"),
        None => format!("the words are `{}`", words::MATCH_WORDS.join("`, `")),
    };
    cx.report(finding.help(help));
}

/// `snat`, `not dnat`, `not { snat, dnat }`
fn translation(set: &Set, list: &[(Span, bool)], span: Span, draft: &mut Draft, cx: &mut Cx<'_>) {
    // Without a `not` around them, several words would be `any of` two questions.
    let plain = list.len() == 1 || (set.negated() && list.iter().all(|(_, negated)| *negated));
    if !plain {
        let finding = Diagnostic::new(&MIXED_WORDS, span, "`snat` and `dnat` in one set");
        cx.report(finding.help("write one rule for `snat` and one for `dnat`"));
        draft.broken = true;
        return;
    }
    for (word, negated) in list {
        let slot = if cx.text(*word) == "snat" { &mut draft.snat } else { &mut draft.dnat };
        match *slot {
            Some((wanted, first)) if wanted == *negated => {
                let finding = Diagnostic::new(
                    &super::draft::IMPOSSIBLE_MATCH,
                    span,
                    "no packet is translated and not translated",
                );
                cx.report(finding.because(first, "and this").help("take one of the two out"));
                draft.broken = true;
            }
            _ => *slot = Some((!negated, span)),
        }
    }
}
