//! Rates and bursts of `limit`.

use super::Cx;
use super::number::VALUE_OUT_OF_RANGE;
use crate::abi::police::TICK_NS;
use crate::diag::Diagnostic;
use crate::ir::policy::Limit;
use crate::source::Span;

crate::declare_lints! {
    /// A rate or a burst that cannot be read.
    pub BAD_RATE: Error = "bad-rate", "a rate or a burst that cannot be read",
        "A rate has a unit: `bit`, `kbit`, `mbit`, `gbit`, `tbit` per second (steps of 1000), `bps`, `kbps`, `mbps`, `gbps` for bytes per \
         second (steps of 1000, as in tc), or `pps`, `kpps`, `mpps` for packets per second. A burst is in bytes (`b`, `kb`, `mb`, steps of \
         1024, as in tc) or, for packets, a plain number. Without `burst` it is what the rate gives in 10 ms, at least 16 kb; for packets \
         what it gives in 100 ms, at least 1.\n\nExample:\n\n    allow udp, limit 10 mbit\n\nRemedy: `limit 10mbit burst 64kb`.";
}

/// `(unit, numerator, denominator)` to bytes per second.
const BYTE_RATES: &[(&str, u128, u128)] = &[
    ("bit", 1, 8),
    ("kbit", 1_000, 8),
    ("mbit", 1_000_000, 8),
    ("gbit", 1_000_000_000, 8),
    ("tbit", 1_000_000_000_000, 8),
    ("bps", 1, 1),
    ("kbps", 1_000, 1),
    ("mbps", 1_000_000, 1),
    ("gbps", 1_000_000_000, 1),
];
const PACKET_RATES: &[(&str, u128, u128)] = &[("pps", 1, 1), ("kpps", 1_000, 1), ("mpps", 1_000_000, 1)];
const SIZES: &[(&str, u128, u128)] =
    &[("", 1, 1), ("b", 1, 1), ("kb", 1024, 1), ("mb", 1024 * 1024, 1), ("gb", 1024 * 1024 * 1024, 1)];

/// A number with a unit: `1.5mbit`.
fn amount(text: &str, units: &[(&str, u128, u128)]) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let (_, up, down) = units.iter().find(|(known, ..)| *known == unit.to_ascii_lowercase())?;
    let (whole, part) = digits.split_once('.').map_or((digits, ""), |(whole, part)| (whole, part));
    let fits = !whole.is_empty() && whole.len() <= 18 && part.len() <= 6 && part.is_empty() != digits.contains('.');
    if !fits || part.contains('.') {
        return None;
    }
    let scale = 10u128.pow(u32::try_from(part.len()).ok()?);
    let value: u128 = format!("{whole}{part}").parse().ok()?;
    Some(value * up / (down * scale))
}

/// The remedy for a rate that cannot be read; `10mbit/s` and `100/s` are known from other firewalls.
fn rate_help(text: &str) -> String {
    let rate = ["/s", "/sec", "/second"].iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or_default();
    if amount(rate, BYTE_RATES).or_else(|| amount(rate, PACKET_RATES)).is_some() {
        format!("every rate is per second: write `{rate}`")
    } else if rate.parse::<u64>().is_ok() {
        format!("write `{rate}pps` for packets per second")
    } else {
        "write a number with its unit: `10mbit`, `500kbps` (bytes) or `20000pps`".to_owned()
    }
}

/// What `limit` says.
pub fn read(rate: Span, burst: Option<Span>, cx: &mut Cx<'_>) -> Option<Limit> {
    let text = cx.text(rate);
    let bytes = amount(text, BYTE_RATES);
    let Some(value) = bytes.or_else(|| amount(text, PACKET_RATES)) else {
        let finding = Diagnostic::new(&BAD_RATE, rate, format!("`{text}` is no rate"));
        cx.report(finding.help(rate_help(text)));
        return None;
    };
    let value = u64::try_from(value).ok().filter(|value| *value > 0);
    let Some(value) = value else {
        let finding = Diagnostic::new(&VALUE_OUT_OF_RANGE, rate, format!("the rate `{text}` is out of range"));
        cx.report(finding.help("the lowest rates are `8bit` and `1pps`"));
        return None;
    };
    if bytes.is_some() { byte_limit(value, burst, cx) } else { packet_limit(value, burst, cx) }
}

/// Bytes that pass at this rate within the longest burst that the kernel can hold: `tc_police.burst` is the time it takes, a u32 of ticks.
fn longest_burst(rate: u64) -> u64 {
    let time = u128::from(TICK_NS) * u128::from(u32::MAX);
    let bytes = u128::from(rate) * time / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX).min(u32::MAX.into())
}

fn byte_limit(rate: u64, burst: Option<Span>, cx: &mut Cx<'_>) -> Option<Limit> {
    let longest = longest_burst(rate);
    let burst = match burst {
        // 10 ms of the rate: enough for a timer tick and a burst of full frames.
        None => (rate / 100).max(16 * 1024).min(longest),
        Some(span) => {
            let text = cx.text(span);
            let Some(size) = amount(text, SIZES) else {
                let finding = Diagnostic::new(&BAD_RATE, span, format!("`{text}` is no size"));
                cx.report(finding.help("write a number of bytes: `64kb`"));
                return None;
            };
            let size = u64::try_from(size).ok().filter(|size| (1..=longest).contains(size));
            if size.is_none() {
                let finding = Diagnostic::new(&VALUE_OUT_OF_RANGE, span, format!("the burst `{text}` is out of range"));
                cx.report(finding.help(format!("at this rate a burst has 1 to {longest} bytes")));
            }
            size?
        }
    };
    Some(Limit::Bytes { rate, burst: u32::try_from(burst).unwrap_or(u32::MAX) })
}

fn packet_limit(rate: u64, burst: Option<Span>, cx: &mut Cx<'_>) -> Option<Limit> {
    let Some(span) = burst else { return Some(Limit::Packets { rate, burst: (rate / 10).max(1) }) };
    let text = cx.text(span);
    let Some(burst) = text.parse::<u64>().ok().filter(|burst| *burst > 0) else {
        let finding = Diagnostic::new(&BAD_RATE, span, format!("`{text}` is no number of packets"));
        cx.report(finding.help("the burst of a rate in packets is in packets too: `burst 200`"));
        return None;
    };
    Some(Limit::Packets { rate, burst })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(amount("10mbit", BYTE_RATES), Some(1_250_000));
        assert_eq!(amount("1.5mbit", BYTE_RATES), Some(187_500));
        assert_eq!(amount("500kbps", BYTE_RATES), Some(500_000));
        assert_eq!(amount("64kb", SIZES), Some(65_536));
        assert_eq!(amount("2Mbit", BYTE_RATES), Some(250_000));
        for wrong in ["10", "mbit", "1.mbit", ".5mbit", "1.2.3mbit", "10mb", "-1bit", "10 mbit"] {
            assert_eq!(amount(wrong, BYTE_RATES), None, "{wrong}");
        }
    }
}
