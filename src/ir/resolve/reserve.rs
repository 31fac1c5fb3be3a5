//! `reserve mark`, and whether the reserved bits are needed.

use super::header::Scope;
use super::number::{MALFORMED_VALUE, number};
use super::{Cx, sets, zones};
use crate::diag::Diagnostic;
use crate::ir::policy::NatBits;
use crate::parse::ast::{ActionKind, Ast, ItemKind, MatchKind};
use crate::source::Span;

crate::declare_lints! {
    /// A reservation that is not two bits, or a second one.
    pub BAD_RESERVATION: Error = "bad-reservation", "a `reserve mark` that is not two bits, or a second one",
        "Two bits of the connection mark tell which connections have their source and their destination translated. They are reserved once, \
         for all policies of the file; without the line they are the two highest.\n\nExample:\n\n    reserve mark 0x80000000\n\n\
         Remedy: `reserve mark 0xc0000000`, or any other two bits that nothing else uses.";
}

/// Reads the `reserve mark` line, if there is one.
pub fn read(asts: &[Ast], cx: &mut Cx<'_>) {
    let mut first: Option<Span> = None;
    for item in asts.iter().flat_map(|ast| &ast.items) {
        let ItemKind::ReserveMark(span) = item.kind else { continue };
        if let Some(first) = first {
            let finding = Diagnostic::new(&BAD_RESERVATION, item.span, "the reserved bits are fixed twice");
            cx.report(finding.because(first, "the first time here").help("keep one of the two lines"));
            continue;
        }
        first = Some(item.span);
        if let Some(bits) = bits(span, cx) {
            cx.marks.bits = bits;
        }
    }
}

fn bits(span: Span, cx: &mut Cx<'_>) -> Option<NatBits> {
    let text = cx.text(span);
    let Some(value) = number(text) else {
        let finding = Diagnostic::new(&MALFORMED_VALUE, span, format!("`{text}` is no number"));
        cx.report(finding.help("numbers are decimal, or hexadecimal after `0x`"));
        return None;
    };
    match u32::try_from(value) {
        Ok(value) if value.count_ones() == 2 => {
            let low = 1 << value.trailing_zeros();
            Some(NatBits { snat: value & !low, dnat: low })
        }
        _ => {
            let message = format!("`{text}` is not two of the 32 bits of a mark");
            cx.report(
                Diagnostic::new(&BAD_RESERVATION, span, message).help("write two bits: `reserve mark 0xc0000000`"),
            );
            None
        }
    }
}

/// Whether the bits are needed: a rule matches `snat` or `dnat`, or one zone has both a helper and a translation. (ICMP errors of a
/// translated connection are translated by committing once more, which would give a helper's data connection the range;
/// the bits tell the two apart.)
pub fn needed<'s, 'a: 's>(scopes: impl Iterator<Item = &'s Scope<'a>>, cx: &mut Cx<'a>) -> bool {
    let (mut helping, mut translating) = (Vec::new(), Vec::new());
    let mut matched = false;
    for scope in scopes {
        for placed in scope.flat.prefilter.iter().chain(&scope.flat.rules) {
            let mut own = None;
            for part in &placed.rule.matches {
                match &part.kind {
                    MatchKind::Words(set) => {
                        matched |= sets::any_word(set, &|span| matches!(cx.text(span), "snat" | "dnat"));
                    }
                    MatchKind::FromZone(span) => own = zones::peek(*span, cx),
                    _ => {}
                }
            }
            let home = own.or_else(|| scope.home_zone());
            for action in &placed.rule.actions {
                match &action.kind {
                    ActionKind::Snat(nat) | ActionKind::Dnat(nat) | ActionKind::Masquerade(nat) => {
                        translating.push(nat.zone.and_then(|zone| zones::peek(zone, cx)).or(home));
                    }
                    ActionKind::Helper(_) => helping.push(home),
                    _ => {}
                }
            }
        }
    }
    matched || helping.iter().any(|zone| translating.contains(zone))
}
