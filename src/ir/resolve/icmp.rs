//! ICMP and ICMPv6 messages: types with their codes.

use std::collections::BTreeMap;

use super::draft::IMPOSSIBLE_MATCH;
use super::sets::{self, Domain};
use super::{Cx, catalogue, names, number, words};
use crate::diag::Diagnostic;
use crate::field::value::Intervals;
use crate::parse::ast::Icmp;
use crate::source::Span;

crate::declare_lints! {
    /// An ICMP type of the other IP version.
    pub WRONG_ICMP_VERSION: Error = "wrong-icmp-version", "an ICMP type word of the other IP version",
        "ICMP and ICMPv6 number their messages differently, and some messages exist in one of them only.\n\nExample:\n\n    \
         allow icmp neighbour-solicitation\n\nRemedy: write `icmp6` for ICMPv6 and `icmp` for ICMP.";
}

/// ICMP types, each with its codes.
pub type Messages = BTreeMap<u8, Intervals>;

/// The kind of set that ICMP types are in.
pub struct IcmpTypes {
    /// ICMPv6.
    pub v6: bool,
}

impl IcmpTypes {
    /// The messages that a match names.
    pub fn read(icmp: &Icmp, cx: &mut Cx<'_>) -> Option<Messages> {
        let kind = Self { v6: icmp.v6 };
        let types = sets::value(&kind, &icmp.types, cx);
        let codes = match &icmp.codes {
            Some(codes) => sets::value(&number::CODES, codes, cx)?,
            None => return types,
        };
        let both: Messages = types?
            .into_iter()
            .map(|(kind, own)| (kind, own.intersect(&codes)))
            .filter(|(_, codes)| !codes.is_empty())
            .collect();
        if both.is_empty() {
            let span = icmp.codes.as_ref().unwrap_or(&icmp.types).span();
            let message = format!("{} stands for a code of its own", cx.quote(icmp.types.span()));
            cx.report(
                Diagnostic::new(&IMPOSSIBLE_MATCH, span, message)
                    .help("leave out `code`, or write the type as a number"),
            );
            return None;
        }
        Some(both)
    }

    fn names(&self) -> (&'static [catalogue::IcmpName], &'static [catalogue::IcmpName]) {
        let (v4, v6) = (catalogue::ICMP_NAMES, catalogue::ICMP6_NAMES);
        if self.v6 { (v6, v4) } else { (v4, v6) }
    }
}

impl Domain for IcmpTypes {
    type Value = Messages;

    fn word(&self, span: Span, cx: &mut Cx<'_>) -> Option<Messages> {
        let text = cx.text(span);
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let types = number::TYPES.word(span, cx)?;
            return Some((0..=255u8).filter(|t| types.contains((*t).into())).map(|t| (t, Intervals::all(8))).collect());
        }
        let (own, other) = self.names();
        if let Some((_, kind, code)) = own.iter().find(|(name, ..)| *name == text) {
            let codes = code.map_or_else(|| Intervals::all(8), |code| Intervals::one(code.into(), code.into()));
            return Some(Messages::from([(*kind, codes)]));
        }
        let (word, other_word, version, other_version) =
            if self.v6 { ("icmp6", "icmp", "ICMPv6", "ICMP") } else { ("icmp", "icmp6", "ICMP", "ICMPv6") };
        let finding = if other.iter().any(|(name, ..)| *name == text) {
            Diagnostic::new(
                &WRONG_ICMP_VERSION,
                span,
                format!("`{text}` is a message of {other_version}, not of {version}"),
            )
            .help(format!("write `{other_word} {text}`"))
        } else {
            let near = match text {
                "ping" | "echo" => Some("echo-request"),
                "pong" => Some("echo-reply"),
                _ => words::nearest(text, own.iter().map(|(name, ..)| *name)),
            };
            let finding =
                Diagnostic::new(&names::UNKNOWN_NAME, span, format!("no {version} message is called `{text}`"));
            finding.help(near.map_or_else(|| format!("write its number: `{word} type N`"), words::did_you_mean))
        };
        cx.report(finding);
        None
    }

    fn union(&self, parts: Vec<Messages>) -> Messages {
        parts.into_iter().fold(Messages::new(), |mut all, part| {
            for (kind, codes) in part {
                let merged = number::CODES.union(vec![all.remove(&kind).unwrap_or_default(), codes]);
                all.insert(kind, merged);
            }
            all
        })
    }

    fn intersect(&self, a: &Messages, b: &Messages) -> Messages {
        a.iter()
            .filter_map(|(kind, codes)| Some((*kind, codes.intersect(b.get(kind)?))))
            .filter(|(_, codes)| !codes.is_empty())
            .collect()
    }

    fn complement(&self, value: &Messages) -> Messages {
        (0..=255u8)
            .map(|kind| (kind, value.get(&kind).map_or_else(|| Intervals::all(8), |codes| codes.complement(8))))
            .filter(|(_, codes)| !codes.is_empty())
            .collect()
    }

    fn is_empty(&self, value: &Messages) -> bool {
        value.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_a_type_with_a_code() {
        let kind = IcmpTypes { v6: false };
        let needed = Messages::from([(3, Intervals::new(vec![(4, 4)]))]);
        let outside = kind.complement(&needed);
        assert_eq!(outside.len(), 256);
        assert_eq!(outside[&3].list(), [(0, 3), (5, 255)]);
        assert_eq!(kind.complement(&outside), needed);
    }
}
