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
        "A rate has a unit: `bit`, `kbit`, `mbit`, `gbit`, `tbit` per second (steps of 1000), or `pps`, `kpps`, `mpps` for packets per second. \
         `mbps` and its kin are refused: most people read megabits, tc reads megabytes. A burst is in bytes (`b`, `kb`, `mb`, steps of \
         1024, as in tc) or, for packets, a plain number. Without `burst` it is what the rate gives in 10 ms, at least 65 kb, so that the \
         largest packet that a device puts together (GRO) can pass; for packets what it gives in 100 ms, at least 1.\n\n\
         Example:\n\n    allow udp, limit 10 mbit\n\nRemedy: `limit 10mbit burst 64kb`.";
    /// A burst below the length of a full frame.
    pub SMALL_BURST: Warning = "small-burst", "a burst in which no full frame fits",
        "A packet passes a limit in bytes only where all of it fits into the burst. With a burst below 1514 bytes, the length of a full Ethernet \
         frame, larger packets never pass, however seldom they come.\n\nExample:\n\n    allow udp, limit 10mbit burst 200\n\n\
         Remedy: a larger burst, as in `limit 10mbit burst 64kb`; or, where packets were meant, a limit in packets: `limit 1000pps burst 200`.";
}

/// Bytes of a full Ethernet frame as the limit counts them: an MTU of 1500 and the header.
const FULL_FRAME: u64 = 1514;

/// Bytes of the smallest burst that nobody asked for: the largest packet that a device puts together (64 KiB with its header) fits.
const DEFAULT_BURST_MIN: u64 = 65 * 1024;

/// `(unit, numerator, denominator)` to bytes per second.
const BYTE_RATES: &[(&str, u128, u128)] = &[
    ("bit", 1, 8),
    ("kbit", 1_000, 8),
    ("mbit", 1_000_000, 8),
    ("gbit", 1_000_000_000, 8),
    ("tbit", 1_000_000_000_000, 8),
];
/// Units that are bits to most people and bytes to tc, with the unit of bits.
const AMBIGUOUS: &[(&str, &str)] =
    &[("bps", "bit"), ("kbps", "kbit"), ("mbps", "mbit"), ("gbps", "gbit"), ("tbps", "tbit")];
const PACKET_RATES: &[(&str, u128, u128)] = &[("pps", 1, 1), ("kpps", 1_000, 1), ("mpps", 1_000_000, 1)];
const SIZES: &[(&str, u128, u128)] =
    &[("", 1, 1), ("b", 1, 1), ("kb", 1024, 1), ("mb", 1024 * 1024, 1), ("gb", 1024 * 1024 * 1024, 1)];

/// A number with a unit: `1.5mbit`.
fn amount(text: &str, units: &[(&str, u128, u128)]) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let (_, up, down) = units.iter().find(|(known, ..)| known.eq_ignore_ascii_case(unit))?;
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
        "write a number with its unit: `10mbit` or `20000pps`".to_owned()
    }
}

/// `10mbps`, which may be bits or bytes: both ways to write it.
fn ambiguous(text: &str, rate: Span) -> Option<Diagnostic> {
    let end = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (digits, unit) = text.split_at_checked(end)?;
    let (_, bits) = AMBIGUOUS.iter().find(|(known, _)| known.eq_ignore_ascii_case(unit))?;
    let in_bits = format!("{digits}{bits}");
    amount(&in_bits, BYTE_RATES)?;
    let finding = Diagnostic::new(&BAD_RATE, rate, format!("`{text}` may mean bits or bytes (tc reads bytes)"));
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(8));
    let bytes = bytes.map_or_else(|| "eight times that".to_owned(), |number| format!("`{number}{bits}`"));
    Some(finding.help(format!("write `{in_bits}` for bits, or {bytes} for bytes")))
}

/// What `limit` says.
pub fn read(rate: Span, burst: Option<Span>, cx: &mut Cx<'_>) -> Option<Limit> {
    let text = cx.text(rate);
    let bytes = amount(text, BYTE_RATES);
    let Some(value) = bytes.or_else(|| amount(text, PACKET_RATES)) else {
        let plain = || Diagnostic::new(&BAD_RATE, rate, format!("`{text}` is no rate")).help(rate_help(text));
        cx.report(ambiguous(text, rate).unwrap_or_else(plain));
        return None;
    };
    let value = u64::try_from(value).ok().filter(|value| *value > 0);
    let Some(value) = value else {
        let finding = Diagnostic::new(&VALUE_OUT_OF_RANGE, rate, format!("the rate `{text}` is out of range"));
        cx.report(finding.help("the lowest rates are `8bit` and `1pps`"));
        return None;
    };
    if bytes.is_some() { byte_limit(value, rate, burst, cx) } else { packet_limit(value, burst, cx) }
}

/// Bytes that pass at this rate within the longest burst that the kernel can hold: `tc_police.burst` is the time it takes, a u32 of ticks.
fn longest_burst(rate: u64) -> u64 {
    let time = u128::from(TICK_NS) * u128::from(u32::MAX);
    let bytes = u128::from(rate) * time / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX).min(u32::MAX.into())
}

fn byte_limit(rate: u64, place: Span, burst: Option<Span>, cx: &mut Cx<'_>) -> Option<Limit> {
    let longest = longest_burst(rate);
    let asked = burst;
    let burst = match burst {
        // 10 ms of the rate: enough for a timer tick.
        None => (rate / 100).max(DEFAULT_BURST_MIN).min(longest),
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
    if burst < FULL_FRAME {
        let message = format!("no packet above {burst} bytes ever passes this limit");
        let finding = Diagnostic::new(&SMALL_BURST, asked.unwrap_or(place), message);
        cx.report(finding.help("a full frame has 1514 bytes: write a larger burst, as in `burst 64kb`"));
    }
    Some(Limit::Bytes { rate, burst: u32::try_from(burst).unwrap_or(u32::MAX) })
}

/// The longest burst in packets that both emitters can write: as for bytes, a u32 of ticks.
fn longest_packet_burst(rate: u64) -> u64 {
    let time = u128::from(TICK_NS) * u128::from(u32::MAX);
    u64::try_from(u128::from(rate) * time / 1_000_000_000).unwrap_or(u64::MAX)
}

/// The smallest burst that lets one packet pass. The kernel keeps a burst as the time that it takes, and tc hands it over in whole
/// microseconds, then whole ticks: one packet at 3 a second becomes 333,332,992 ns, and needs 333,333,333 (`tcf_police_act`).
fn smallest_packet_burst(rate: u64) -> u64 {
    let (rate, tick) = (u128::from(rate.max(1)), u128::from(TICK_NS));
    let needed = 1_000_000_000 / rate;
    let held = |burst: u128| burst * 1_000_000 / rate * 1_000 / tick * tick;
    if held(1) >= needed {
        return 1;
    }
    let micros = (needed + tick).div_ceil(1_000);
    u64::try_from((micros * rate).div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn packet_limit(rate: u64, burst: Option<Span>, cx: &mut Cx<'_>) -> Option<Limit> {
    let asked = match burst {
        None => rate / 10,
        Some(span) => {
            let text = cx.text(span);
            let Some(burst) = text.parse::<u64>().ok().filter(|burst| *burst > 0) else {
                let finding = Diagnostic::new(&BAD_RATE, span, format!("`{text}` is no number of packets"));
                cx.report(finding.help("the burst of a rate in packets is in packets too: `burst 200`"));
                return None;
            };
            let longest = longest_packet_burst(rate);
            if burst > longest {
                let finding = Diagnostic::new(&VALUE_OUT_OF_RANGE, span, format!("the burst `{text}` is out of range"));
                cx.report(finding.help(format!("at this rate a burst has 1 to {longest} packets")));
                return None;
            }
            burst
        }
    };
    Some(Limit::Packets { rate, burst: asked.max(smallest_packet_burst(rate)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(amount("10mbit", BYTE_RATES), Some(1_250_000));
        assert_eq!(amount("1.5mbit", BYTE_RATES), Some(187_500));
        assert_eq!(amount("64kb", SIZES), Some(65_536));
        assert_eq!(amount("2Mbit", BYTE_RATES), Some(250_000));
        for wrong in ["10mbps", "10", "mbit", "1.mbit", ".5mbit", "1.2.3mbit", "10mb", "-1bit", "10 mbit"] {
            assert_eq!(amount(wrong, BYTE_RATES), None, "{wrong}");
        }
    }

    #[test]
    fn one_packet_always_fits() {
        // 1/3 and 1/7 of a second lose a fraction of a tick on the way to the kernel; 1/10 does not.
        let rates = [1, 2, 3, 7, 9, 10, 20, 30, 300, 999_999, 1_000_000, 1_500_000, 3_000_000];
        let bursts = [1, 1, 2, 2, 2, 1, 1, 2, 2, 2, 2, 2, 3];
        assert_eq!(rates.map(smallest_packet_burst), bursts);
        assert!(smallest_packet_burst(u64::MAX) > 0);
    }
}
