//! State words: sets over the seven states that a packet can be seen in.

use super::Cx;
use super::draft::{Draft, IMPOSSIBLE_MATCH};
use super::rule::{Place, Stage};
use super::sets::{self, Domain};
use crate::diag::Diagnostic;
use crate::ir::policy::State::{Established, EstablishedReply, Invalid, New, Related, RelatedReply, Untracked};
use crate::ir::policy::StateSet;
use crate::parse::ast::Set;
use crate::source::Span;

crate::declare_lints! {
    /// Something that needs conntrack, where no zone is named.
    pub MISSING_ZONE: Error = "missing-zone", "something that needs conntrack, where no zone is named",
        "State words, marks, labels, translations and commits speak of a conntrack zone. A policy whose header and rules name none does not \
         track connections.\n\nExample:\n\n    policy p on eth0 ingress {\n        allow established\n        default drop\n    }\n\n\
         Remedy: write `zone N` in the header: `policy p on eth0 ingress zone 1 { ... }`.";
    /// Something that needs conntrack, before it.
    pub STATE_IN_PREFILTER: Error = "state-in-prefilter", "something that needs conntrack, in a `prefilter`",
        "A `prefilter` sees the packet as it came, before conntrack: it knows no state, mark, label, zone or translation, and commits \
         nothing.\n\nExample:\n\n    prefilter { drop invalid }\n\nRemedy: move the rule below the `prefilter`.";
}

/// The states that a word stands for.
#[must_use]
pub fn of_word(word: &str) -> Option<StateSet> {
    Some(match word {
        "new" => StateSet::of(&[New]),
        "established" => StateSet::of(&[Established, EstablishedReply]),
        "related" => StateSet::of(&[Related, RelatedReply]),
        "invalid" => StateSet::of(&[Invalid]),
        "reply" => StateSet::of(&[EstablishedReply, RelatedReply]),
        "original" => StateSet::of(&[New, Established, Related]),
        "tracked" => StateSet::TRACKED,
        _ => return None,
    })
}

/// Reports, and says false, where something that needs conntrack stands where there is none (or where it is unclear in which zone).
pub fn available(what: Span, place: &Place<'_, '_>, cx: &mut Cx<'_>) -> bool {
    if place.stage == Stage::Tracked && (place.has_zone || place.scope.home.is_some()) {
        return true;
    }
    let words = cx.quote(what);
    let finding = match place.stage {
        Stage::Tracked => Diagnostic::new(&MISSING_ZONE, what, format!("{words} could speak of any of several zones"))
            .help("add `from zone N` to the rule, or write `zone N` in the policy's header"),
        Stage::Prefilter => Diagnostic::new(
            &STATE_IN_PREFILTER,
            what,
            format!("{words} needs conntrack, which comes after `prefilter`"),
        )
        .help("move the rule below the `prefilter`"),
        // The one mistake is in the header: it is told once, not for every word that needs the zone.
        Stage::Untracked if !cx.told.insert(place.scope.span) => return false,
        Stage::Untracked if place.scope.bare => {
            Diagnostic::new(&MISSING_ZONE, what, format!("{words} needs conntrack, but no zone is named"))
                .help("add `--zone N` to the command, or `from zone N` to the rule")
        }
        Stage::Untracked => {
            let header = cx.quote(place.scope.span);
            let message = format!("{words} needs conntrack, but the policy `{}` names no zone", place.scope.name);
            Diagnostic::new(&MISSING_ZONE, what, message)
                .because(place.scope.span, "this policy tracks nothing")
                .help(format!("write a zone in the header: `{} zone 1`", header.trim_matches('`')))
        }
    };
    cx.report(finding);
    false
}

struct StateSets;

impl Domain for StateSets {
    type Value = StateSet;

    fn word(&self, span: Span, cx: &mut Cx<'_>) -> Option<StateSet> {
        of_word(cx.text(span))
    }

    fn union(&self, parts: Vec<StateSet>) -> StateSet {
        parts.into_iter().fold(StateSet::EMPTY, StateSet::or)
    }

    fn intersect(&self, a: &StateSet, b: &StateSet) -> StateSet {
        a.and(*b)
    }

    // After conntrack no packet is untracked.
    fn complement(&self, value: &StateSet) -> StateSet {
        value.not().and(StateSet::TRACKED)
    }

    // `not tracked` has a message of its own.
    fn is_empty(&self, _value: &StateSet) -> bool {
        false
    }
}

/// Joins a match by state words.
pub fn read(set: &Set, span: Span, draft: &mut Draft, cx: &mut Cx<'_>) {
    let Some(states) = sets::value(&StateSets, set, cx) else {
        draft.broken = true;
        return;
    };
    if states == StateSet::EMPTY {
        let finding =
            Diagnostic::new(&IMPOSSIBLE_MATCH, span, format!("no packet is {}", cx.quote(span).trim_matches('`')));
        cx.report(
            finding
                .help("after conntrack every packet is `tracked`: a rule for untracked ones belongs into `prefilter`"),
        );
        draft.broken = true;
        return;
    }
    let Some((old, first)) = draft.states else {
        draft.states = Some((states, span));
        return;
    };
    let both = old.and(states);
    if both == StateSet::EMPTY {
        draft.broken = true;
        let finding = super::draft::contradiction(first, span, cx);
        cx.report(remedy(finding, old, states, cx.text(first), cx.text(span)));
    } else {
        draft.states = Some((both, first));
    }
}

fn remedy(finding: Diagnostic, old: StateSet, states: StateSet, first: &str, second: &str) -> Diagnostic {
    let either = |set: StateSet| set == StateSet::of(&[New]);
    let reply = |set: StateSet| set == StateSet::of(&[EstablishedReply, RelatedReply]);
    if either(old) && reply(states) || either(states) && reply(old) {
        return finding
            .help("the packet that begins a connection is no reply: write `established reply`, or `new` alone");
    }
    let simple = |text: &str| !text.contains(|c: char| c.is_whitespace());
    debug_assert!(!old.contains(Untracked) && !states.contains(Untracked), "state words speak of tracked packets");
    if simple(first) && simple(second) {
        finding.help(format!("write `{{ {first}, {second} }}` to match either"))
    } else {
        finding
    }
}
