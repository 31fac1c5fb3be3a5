//! Sets of numbers: ports, protocols, TTLs, VLANs, DSCP classes, hardware addresses.

use super::names::{self, Found, Value};
use super::sets::Domain;
use super::{Cx, catalogue, unknown, words};
use crate::diag::Diagnostic;
use crate::field::value::{Intervals, ones};
use crate::parse::ast::DefineKind;
use crate::source::{FileId, Span};

crate::declare_lints! {
    /// A word that is no value of the kind that is needed.
    pub MALFORMED_VALUE: Error = "malformed-value", "a word that is no value of the kind that is needed here",
        "A number, an address, a mark or a rate is not written as it must be.\n\nExample:\n\n    allow tcp to port 80x, set mark x333\n\n\
         Remedy: the message says which form is needed. Numbers are decimal, or hexadecimal after `0x`.";
    /// A value that its field cannot hold.
    pub VALUE_OUT_OF_RANGE: Error = "value-out-of-range", "a value that its field cannot hold",
        "Ports and zones go from 0 to 65535, VLANs from 0 to 4095, protocols, TTLs and ICMP types from 0 to 255, DSCP from 0 to 63, \
         marks have 32 bits, labels 128.\n\nExample:\n\n    allow tcp to port 70000\n\nRemedy: write a value within the range.";
}

/// A number, decimal or hexadecimal after `0x`.
#[must_use]
pub fn number(text: &str) -> Option<u128> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // `from_str_radix` would take a sign.
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(digits, radix).ok()).flatten()
}

/// What names a set of numbers knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Nothing,
    Port,
    Protocol,
    Dscp,
    Mac,
}

/// A kind of number.
pub struct Numbers {
    noun: &'static str,
    nouns: &'static str,
    /// How many bits wide.
    pub bits: u8,
    named: Named,
}

/// Ports.
pub const PORTS: Numbers = Numbers { noun: "port", nouns: "ports", bits: 16, named: Named::Port };
/// IP protocols.
pub const PROTOCOLS: Numbers = Numbers { noun: "protocol", nouns: "protocols", bits: 8, named: Named::Protocol };
/// TTL or hop limit.
pub const TTLS: Numbers = Numbers { noun: "TTL", nouns: "TTLs", bits: 8, named: Named::Nothing };
/// VLAN ids.
pub const VLANS: Numbers = Numbers { noun: "VLAN", nouns: "VLANs", bits: 12, named: Named::Nothing };
/// Classes of differentiated services.
pub const DSCPS: Numbers = Numbers { noun: "DSCP class", nouns: "DSCP classes", bits: 6, named: Named::Dscp };
/// ICMP codes.
pub const CODES: Numbers = Numbers { noun: "ICMP code", nouns: "ICMP codes", bits: 8, named: Named::Nothing };
/// ICMP types, for the numbers among their names.
pub const TYPES: Numbers = Numbers { noun: "ICMP type", nouns: "ICMP types", bits: 8, named: Named::Nothing };
/// Hardware addresses.
pub const MACS: Numbers =
    Numbers { noun: "hardware address", nouns: "hardware addresses", bits: 48, named: Named::Mac };

impl Numbers {
    fn highest(&self) -> u128 {
        ones(self.bits)
    }

    /// A number or a range of numbers as written; `Err` is the finding.
    fn literal(&self, text: &str, span: Span) -> Result<(u128, u128), Box<Diagnostic>> {
        let malformed = || {
            let form = match self.named {
                Named::Mac => "hardware addresses are six bytes: `02:00:00:00:00:01`".to_owned(),
                _ => spelt_range(text).or_else(|| unknown::pair(text)).unwrap_or_else(|| {
                    format!("{} are numbers from 0 to {}, or ranges like `1-2`", self.nouns, self.highest())
                }),
            };
            Diagnostic::new(&MALFORMED_VALUE, span, format!("`{text}` is no {}", self.noun)).help(form)
        };
        if self.named == Named::Mac {
            return mac(text).map(|value| (value, value)).ok_or_else(|| Box::new(malformed()));
        }
        let (lo, hi) = text.split_once('-').unwrap_or((text, text));
        let (Some(lo), Some(hi)) = (number(lo), number(hi)) else { return Err(Box::new(malformed())) };
        if hi > self.highest() || lo > self.highest() {
            let help = format!("{} go from 0 to {}", self.nouns, self.highest());
            let finding = Diagnostic::new(&VALUE_OUT_OF_RANGE, span, format!("`{text}` is out of range"));
            return Err(Box::new(finding.help(help)));
        }
        if lo > hi {
            let message = format!("the range `{text}` ends before it begins");
            let finding = Diagnostic::new(&MALFORMED_VALUE, span, message);
            return Err(Box::new(finding.help(format!("write `{hi}-{lo}`"))));
        }
        Ok((lo, hi))
    }

    /// What a name of this kind stands for; `Err` where a definition failed.
    fn name(&self, text: &str, span: Span, cx: &mut Cx<'_>) -> Result<Option<Intervals>, ()> {
        let one = |value: u8| Some(Intervals::one(value.into(), value.into()));
        match self.named {
            Named::Port => match names::lookup(DefineKind::Port, text, span, cx) {
                Found::Failed => Err(()),
                Found::Value(value) => Ok(match &*value {
                    Value::Port(ports) => Some(ports.clone()),
                    _ => None,
                }),
                Found::Nothing => Ok(catalogue::find_service(text).map(|service| {
                    Intervals::new(service.ports.iter().map(|(_, lo, hi)| (u128::from(*lo), u128::from(*hi))).collect())
                })),
            },
            Named::Protocol => Ok(catalogue::find_protocol(text).and_then(one)),
            Named::Dscp => {
                Ok(catalogue::DSCP_NAMES.iter().find(|(name, _)| *name == text).and_then(|(_, dscp)| one(*dscp)))
            }
            Named::Nothing | Named::Mac => Ok(None),
        }
    }

    fn unknown(&self, text: &str, span: Span, cx: &mut Cx<'_>) {
        let known = |list: &[&'static str]| words::nearest(text, list.iter().copied());
        let near = match self.named {
            Named::Port => return unknown::report_unknown(DefineKind::Port, span, cx),
            Named::Protocol => known(&catalogue::PROTOCOLS.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
            Named::Dscp => known(&catalogue::DSCP_NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
            Named::Nothing | Named::Mac => None,
        };
        let finding = Diagnostic::new(&names::UNKNOWN_NAME, span, format!("no {} is called `{text}`", self.noun));
        cx.report(match near {
            Some(near) => finding.help(words::did_you_mean(near)),
            None => finding.help(format!("{} may be written as numbers", self.nouns)),
        });
    }
}

/// The remedy for a range in another spelling: `80:90`, `80..90`, `1024-`, `1024:`.
fn spelt_range(text: &str) -> Option<String> {
    let (lo, hi) = ["..", ":", "-"].iter().find_map(|sign| text.split_once(sign))?;
    let lo = if lo.is_empty() { "0" } else { lo };
    let hi = if hi.is_empty() { "65535" } else { hi };
    (number(lo).is_some() && number(hi).is_some())
        .then(|| format!("a range is its first and its last value: `{lo}-{hi}`"))
}

/// Six bytes in hexadecimal.
fn mac(text: &str) -> Option<u128> {
    let mut bytes = text.split(':');
    let value = bytes.by_ref().take(6).try_fold(0u128, |value, byte| {
        let good = matches!(byte.len(), 1 | 2) && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
        good.then(|| u128::from_str_radix(byte, 16).ok()).flatten().map(|byte| value << 8 | byte)
    })?;
    (bytes.next().is_none() && text.matches(':').count() == 5).then_some(value)
}

impl Domain for Numbers {
    type Value = Intervals;

    fn word(&self, span: Span, cx: &mut Cx<'_>) -> Option<Intervals> {
        let text = cx.text(span);
        // Digits first: most words of large policies are numbers, and no name may look like one.
        let literal = match self.literal(text, span) {
            Ok((lo, hi)) => return Some(Intervals::one(lo, hi)),
            Err(finding) => finding,
        };
        match self.name(text, span, cx) {
            Err(()) => {}
            Ok(Some(value)) => return Some(value),
            Ok(None) => {
                let like_a_name = self.named != Named::Mac
                    && self.named != Named::Nothing
                    && text.starts_with(|first: char| first.is_alphabetic() || first == '_');
                if like_a_name { self.unknown(text, span, cx) } else { cx.report(*literal) }
            }
        }
        None
    }

    fn file(&self, path: Span, file: FileId, cx: &mut Cx<'_>) -> Option<Intervals> {
        if self.named != Named::Port {
            let finding =
                Diagnostic::new(&super::sets::MISPLACED_FILE, path, format!("no {} is read from a file", self.noun));
            cx.report(finding.help("write the items into the braces"));
            return None;
        }
        let mut list = Vec::new();
        cx.lines(file, |line, span| self.literal(line, span).map(|literal| list.push(literal)))?;
        Some(Intervals::new(list))
    }

    fn union(&self, parts: Vec<Intervals>) -> Intervals {
        Intervals::new(parts.iter().flat_map(|part| part.list().iter().copied()).collect())
    }

    fn intersect(&self, a: &Intervals, b: &Intervals) -> Intervals {
        a.intersect(b)
    }

    fn complement(&self, value: &Intervals) -> Intervals {
        value.complement(self.bits)
    }

    fn is_empty(&self, value: &Intervals) -> bool {
        value.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_sign_and_no_typo() {
        assert_eq!(number("0x333"), Some(0x333));
        assert_eq!(number("65535"), Some(65535));
        for wrong in ["", "x333", "0x", "+1", "-1", "1_0", "8O", "0xg", "ff"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hardware_addresses_have_six_bytes() {
        assert_eq!(mac("02:00:00:00:00:01"), Some(0x0200_0000_0001));
        for wrong in
            ["02:00:00:00:00", "02:00:00:00:00:01:02", "02:00:00:00:00:0g", "2001:db8::1", "02:00:00:00:00:001"]
        {
            assert_eq!(mac(wrong), None, "{wrong}");
        }
    }
}
