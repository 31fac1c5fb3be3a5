//! Values under masks as they are written: `0x1/0xff`, `syn,fin/syn,fin`, `first`.

use super::masked::Piece;
use super::names::UNKNOWN_NAME;
use super::number::{MALFORMED_VALUE, VALUE_OUT_OF_RANGE, number};
use super::{Cx, catalogue, words};
use crate::abi::ip_flags;
use crate::diag::Diagnostic;
use crate::field::value::ones;
use crate::source::Span;

crate::declare_lints! {
    /// A value with bits outside its mask.
    pub VALUE_OUTSIDE_MASK: Error = "value-outside-mask", "a value with bits outside its mask",
        "Only the bits of the mask are compared (or stored), so a value with other bits can never match; the kernel would store them, or \
         toggle them with every packet.\n\nExample:\n\n    allow mark 0x100/0xff\n\nRemedy: widen the mask, or take the bits out of the value.";
    /// A mark or a mask that overlaps the reserved bits.
    pub RESERVED_MARK_BITS: Error = "reserved-mark-bits", "a mark that overlaps the reserved bits",
        "Where a policy of the file matches `snat` or `dnat`, two bits of the mark tell which connections were translated; by default the \
         two highest. No other mark may use them.\n\nExample:\n\n    allow established snat\n    allow mark 0x80000000/0x80000000\n\n\
         Remedy: use other bits, or reserve two others: `reserve mark 0x3`.";
}

/// `V` or `V/M` with at most `bits` bits. The mask is `None` where none was written.
fn masked(span: Span, noun: &str, bits: u8, cx: &mut Cx<'_>) -> Option<(u128, Option<u128>)> {
    let text = cx.text(span);
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (value, Some(mask)),
        None => (text, None),
    };
    for part in [Some(value), mask].into_iter().flatten() {
        if number(part).is_none() {
            let digits = part.strip_prefix('x').or(part.strip_prefix('X')).or(part.strip_prefix("0X")).unwrap_or(part);
            let hex = !digits.is_empty() && digits.len() <= 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let too_long =
                part.strip_prefix("0x").is_some_and(|rest| rest.len() > 32) || part.bytes().all(|b| b.is_ascii_digit());
            let finding = if too_long && !part.is_empty() {
                Diagnostic::new(&VALUE_OUT_OF_RANGE, span, format!("`{part}` is out of range"))
                    .help(format!("a {noun} has {bits} bits"))
            } else {
                let help = if hex {
                    format!("write `0x{digits}`")
                } else {
                    "numbers are decimal, or hexadecimal after `0x`".into()
                };
                Diagnostic::new(&MALFORMED_VALUE, span, format!("`{part}` is no number")).help(help)
            };
            cx.report(finding);
            return None;
        }
    }
    let (value, mask) = (number(value)?, mask.and_then(number));
    if value > ones(bits) || mask.is_some_and(|mask| mask > ones(bits)) {
        cx.report(
            Diagnostic::new(&VALUE_OUT_OF_RANGE, span, format!("`{text}` is out of range"))
                .help(format!("a {noun} has {bits} bits")),
        );
        return None;
    }
    within(span, value, mask, cx)
}

/// Checks that the value lies within its mask, and that the mask asks for something.
fn within(span: Span, value: u128, mask: Option<u128>, cx: &mut Cx<'_>) -> Option<(u128, Option<u128>)> {
    if let Some(mask) = mask {
        let text = cx.text(span);
        if value & !mask != 0 {
            let help = format!("write `{:#x}/{mask:#x}`, or widen the mask to `{:#x}`", value & mask, value | mask);
            cx.report(
                Diagnostic::new(&VALUE_OUTSIDE_MASK, span, format!("the value of `{text}` has bits outside its mask"))
                    .help(help),
            );
            return None;
        }
        if mask == 0 {
            let message = format!("the mask of `{text}` has no bits");
            cx.report(
                Diagnostic::new(&MALFORMED_VALUE, span, message).help("a mask names the bits that count: `0x1/0xff`"),
            );
            return None;
        }
    }
    Some((value, mask))
}

/// A mark to match or to set, with its effective mask: the reserved bits are left out where they are in use.
pub fn mark(span: Span, cx: &mut Cx<'_>) -> Option<(u32, u32)> {
    let (value, written) = masked(span, "mark", 32, cx)?;
    let (value, written) = (u32::try_from(value).ok()?, written.and_then(|mask| u32::try_from(mask).ok()));
    if !cx.marks.used {
        return Some((value, written.unwrap_or(u32::MAX)));
    }
    let reserved = cx.marks.bits.both();
    if written.unwrap_or(value) & reserved != 0 {
        let which = if written.is_some() { "mask" } else { "value" };
        let message = format!("the {which} of mark `{}` overlaps the reserved bits `{reserved:#x}`", cx.text(span));
        let finding = Diagnostic::new(&RESERVED_MARK_BITS, span, message)
            .note("they tell which connections were translated, because the file matches `snat` or `dnat`, or has a helper where it translates")
            .help("use other bits, or reserve two others: `reserve mark BITS`");
        cx.report(finding);
        return None;
    }
    Some((value, written.unwrap_or(!reserved)))
}

/// A label to match or to set, with its mask.
pub fn label(span: Span, cx: &mut Cx<'_>) -> Option<Piece> {
    let (value, mask) = masked(span, "label", 128, cx)?;
    Some((value, mask.unwrap_or(u128::MAX)))
}

/// `syn,fin/syn,fin,ack`; `none` is no flag. Without a mask, the flags themselves are the mask (for `none`: all).
pub fn tcp_flags(span: Span, cx: &mut Cx<'_>) -> Option<Piece> {
    let text = cx.text(span);
    let (value, mask) = text.split_once('/').map_or((text, None), |(value, mask)| (value, Some(mask)));
    let value_bits = flag_list(value, span, cx)?;
    let mask_bits = match mask {
        Some(mask) => Some(flag_list(mask, span, cx)?),
        None if value_bits == 0 => Some(catalogue::TCP_FLAGS.iter().map(|(_, bit)| u128::from(*bit)).sum()),
        None => Some(value_bits),
    };
    if let Some(mask_bits) = mask_bits
        && value_bits & !mask_bits != 0
    {
        let outside: Vec<&str> = catalogue::TCP_FLAGS
            .iter()
            .filter(|(_, bit)| value_bits & !mask_bits & u128::from(*bit) != 0)
            .map(|(name, _)| *name)
            .collect();
        let finding =
            Diagnostic::new(&VALUE_OUTSIDE_MASK, span, format!("the flags of `{text}` are not all in its mask"));
        cx.report(
            finding.help(format!("write `{text},{}`: after `/` stand all flags that are looked at", outside.join(","))),
        );
        return None;
    }
    within(span, value_bits, mask_bits, cx).and_then(|(value, mask)| Some((value, mask?)))
}

fn flag_list(list: &str, span: Span, cx: &mut Cx<'_>) -> Option<u128> {
    if list == "none" {
        return Some(0);
    }
    let mut bits = 0;
    for flag in list.split(',') {
        let Some((_, bit)) = catalogue::TCP_FLAGS.iter().find(|(name, _)| *name == flag) else {
            let near = words::nearest(flag, catalogue::TCP_FLAGS.iter().map(|(name, _)| *name));
            let finding = Diagnostic::new(&UNKNOWN_NAME, span, format!("no TCP flag is called `{flag}`"));
            let flags: Vec<&str> = catalogue::TCP_FLAGS.iter().map(|(name, _)| *name).collect();
            cx.report(
                finding
                    .help(near.map_or_else(|| format!("the flags are `{}`", flags.join("`, `")), words::did_you_mean)),
            );
            return None;
        };
        bits |= u128::from(*bit);
    }
    Some(bits)
}

/// `any`, `none`, `first`, `later`
pub fn fragment(span: Span, cx: &mut Cx<'_>) -> Option<Piece> {
    let (is, first) = (u128::from(ip_flags::IS_FRAGMENT), u128::from(ip_flags::FRAG_IS_FIRST));
    let text = cx.text(span);
    match text {
        "any" => Some((is, is)),
        "none" => Some((0, is)),
        "first" => Some((is | first, is | first)),
        "later" => Some((is, is | first)),
        _ => {
            let near = words::nearest(text, ["any", "none", "first", "later"]);
            let finding = Diagnostic::new(&UNKNOWN_NAME, span, format!("`{text}` says nothing about fragments"));
            let help = near.map_or_else(|| "write `first`, `later`, `any` or `none`".to_owned(), words::did_you_mean);
            cx.report(finding.help(help));
            None
        }
    }
}
