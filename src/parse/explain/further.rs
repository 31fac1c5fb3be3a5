//! What else is wrong in a statement that does not parse: further misspelt words, and the parts that can be read by themselves.

use super::explain;
use super::tokens::{Token, Tokens};
use super::values;
use crate::diag::Diagnostic;
use crate::parse::ast::{Action, Match, MatchKind, Salvage};
use crate::parse::grammar::{At, Grammar, Pair, Rule};
use crate::parse::words::{self, ACTION_WORDS, MATCH_WORDS, PROTOCOL_WORDS, RULE_WORDS, STATE_WORDS, token_length};
use crate::parse::{lints, rule};
use crate::source::Span;

/// Most further words that are looked at in one statement.
const FURTHER_MAX: usize = 16;

/// Longest statement that is looked at again, in bytes: a longer one was made by a program, or is no policy.
const LENGTH_MAX: usize = 16 << 10;

/// The misspelt words behind the first mistake of a statement, and what can still be read of it. `faults` holds the places
/// of what was told already.
///
/// Each misspelt word is put right, or blanked out, in a copy that is parsed again; what is no plain misspelling may
/// follow from that, so it is not told.
pub fn further(text: &str, at: At, mut faults: Vec<Span>) -> (Vec<Diagnostic>, Salvage) {
    let mut found = Vec::new();
    if text.len() > LENGTH_MAX {
        return (found, Salvage::default());
    }
    let mut text = text.to_owned();
    for round in 0..FURTHER_MAX {
        let Err(error) = <Grammar as pest::Parser<Rule>>::parse(Rule::statement, &text) else { break };
        let finding = explain(Rule::statement, &text, at, &error);
        let word = finding.primary.span;
        if finding.message == values::SEVERAL && braced(&mut text, at, word).is_some() {
            // The values are looked at with all others: their place is no longer a fault.
            faults.retain(|fault| *fault != word);
            found.extend((round > 0).then_some(finding));
            continue;
        }
        faults.push(word);
        let misspelt = finding.help.as_deref().and_then(|help| help.strip_prefix("did you mean `")?.strip_suffix("`?"));
        let unknown = [lints::UNKNOWN_WORD.name, lints::UNKNOWN_VERDICT.name].contains(&finding.lint.name);
        let (lo, mut hi) = (word.lo.saturating_sub(at.0) as usize, word.hi.saturating_sub(at.0) as usize);
        let right = misspelt.map(|right| if right == "allow" { "drop" } else { right });
        let right = right.filter(|right| right.len() <= hi.saturating_sub(lo));
        let verdict = lo > 0 || right.is_some_and(|right| matches!(right, "drop" | "continue"));
        if !unknown || !verdict || text.get(lo..hi).is_none_or(|word| word.trim().is_empty()) {
            break;
        }
        // What is to be left out has no value; the word behind it may be a mistake of its own.
        if right.is_none() && !finding.help.as_deref().is_some_and(|help| help.starts_with("leave it out")) {
            hi += value_length(text.get(hi..).unwrap_or_default());
        }
        let width = text.get(lo..hi).map_or(0, str::len);
        text.replace_range(lo..hi, &format!("{:width$}", right.unwrap_or_default()));
        if round > 0 && misspelt.is_some() {
            found.push(finding);
        }
    }
    let rest = salvage(&text, at, &faults);
    (found, rest)
}

/// Puts several values without braces into braces, in place of the blanks around them.
fn braced(text: &mut String, at: At, values: Span) -> Option<()> {
    let (lo, hi) = (values.lo.checked_sub(at.0)? as usize, values.hi.checked_sub(at.0)? as usize);
    let gaps: Vec<usize> = text.get(lo..hi)?.match_indices([' ', '\t']).map(|(gap, _)| lo + gap).collect();
    let blank = |text: &str, at: usize| matches!(text.as_bytes().get(at), Some(b' ' | b'\t'));
    let before = lo.checked_sub(1).filter(|before| blank(text, *before))?;
    match text.len() {
        length if length == hi => text.push('}'),
        _ if blank(text, hi) => text.replace_range(hi..=hi, "}"),
        _ => return None,
    }
    text.replace_range(before..lo, "{");
    let mut last = None;
    for gap in gaps {
        // Of several blanks in a row the first becomes the comma.
        if last != gap.checked_sub(1) {
            text.replace_range(gap..=gap, ",");
        }
        last = Some(gap);
    }
    Some(())
}

/// How far the value reaches that stands behind a word, at the start of `rest`; 0 where another match or action begins.
fn value_length(rest: &str) -> usize {
    let behind = rest.trim_start_matches([' ', '\t']);
    let word = behind.get(..token_length(behind)).unwrap_or_default();
    if words::is_word(word) && !begins_part(word) { rest.len() - behind.len() + word.len() } else { 0 }
}

fn begins_part(word: &str) -> bool {
    [MATCH_WORDS, STATE_WORDS, PROTOCOL_WORDS, ACTION_WORDS].iter().any(|list| list.contains(&word))
}

/// Words of matches whose value may be a name or may be wrong by itself. (`port` alone is a mistake of its own.)
fn readable(word: &str) -> bool {
    MATCH_WORDS.contains(&word) && !matches!(word, "port" | "not") || matches!(word, "icmp" | "icmp6")
}

/// The matches and actions of a broken rule that can be read by themselves: those that touch no fault, and that end
/// where another part begins.
fn salvage(text: &str, at: At, faults: &[Span]) -> Salvage {
    let mut salvage = Salvage::default();
    let tokens = Tokens::new(text, at.0, text.len());
    let all = tokens.all();
    if all.first().is_none_or(|first| !RULE_WORDS.contains(&first.text) || first.text == "use") {
        return salvage;
    }
    let comma = tokens.first_comma().map_or(u32::MAX, |comma| comma.span.lo);
    let mut done = 0;
    for (index, token) in all.iter().enumerate().skip(1) {
        let before = index.checked_sub(1).and_then(|index| all.get(index)).map_or("", |before| before.text);
        let action = token.span.lo > comma && before == "," && ACTION_WORDS.contains(&token.text);
        let matched = token.span.lo < comma && readable(token.text);
        if token.span.lo < done || !(action || matched) {
            continue;
        }
        let offset = token.span.lo.saturating_sub(at.0) as usize;
        let entry = if action { Rule::action } else { Rule::match_ };
        let Some(part) = text.get(offset..) else { break };
        let Some(pair) = <Grammar as pest::Parser<Rule>>::parse(entry, part).ok().and_then(|mut pairs| pairs.next())
        else {
            continue;
        };
        let place = At(token.span.lo);
        let span = place.span(&pair);
        let next = all.iter().find(|token| token.span.lo >= span.hi);
        // What is wrong behind an action may belong to it: `limit 10 mbit`.
        let bounds = if action { &[] } else { faults };
        if faults.iter().any(|fault| fault.lo < span.hi && span.lo < fault.hi) || !ends_before(next, bounds) {
            continue;
        }
        done = span.hi;
        if action {
            salvage.actions.extend(rule::action(pair, place).map(|kind| Action { span, kind }));
        } else {
            salvage.matches.extend(read_match(pair, place).map(|kind| Match { span, kind }));
        }
    }
    salvage
}

fn read_match(pair: Pair<'_>, at: At) -> Option<MatchKind> {
    // A plain `icmp` is a word, and words may have been put right above.
    rule::match_kind(pair, at).filter(|kind| !matches!(kind, MatchKind::Words(_)))
}

/// Whether a part may end before this word: a part that goes on differently was read wrong.
fn ends_before(next: Option<&Token<'_>>, faults: &[Span]) -> bool {
    next.is_none_or(|next| {
        next.text == ","
            || begins_part(next.text)
            || RULE_WORDS.contains(&next.text)
            || faults.iter().any(|fault| fault.lo == next.span.lo)
    })
}
