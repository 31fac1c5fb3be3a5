//! Times for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `45 s`, `12 min 3 s`, `2 h 5 min`, `3 d 4 h`
pub fn words(seconds: u64) -> String {
    let (large, unit, small, rest) = match seconds {
        0..MINUTE => return format!("{seconds} s"),
        MINUTE..HOUR => (seconds / MINUTE, "min", seconds % MINUTE, "s"),
        HOUR..DAY => (seconds / HOUR, "h", seconds % HOUR / MINUTE, "min"),
        _ => (seconds / DAY, "d", seconds % DAY / HOUR, "h"),
    };
    if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {rest}") }
}

/// The time so many seconds before `now`, as `2026-11-23T09:15:02Z`.
pub fn utc_before(now: SystemTime, seconds: u64) -> String {
    let then = now.checked_sub(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH);
    let since = then.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
    let (year, month, day) = date(since / DAY);
    let (hour, minute, second) = (since % DAY / HOUR, since % HOUR / MINUTE, since % MINUTE);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a day counted from 1970-01-01, in the calendar that begins its years in March: then the leap day
/// is the last one of a year, and the months' lengths follow a rule.
fn date(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01; 400 years are an era.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_two_units() {
        let told = [0, 59, 60, 61, 3_599, 3_600, 7_500, 86_400, 277_000].map(words);
        assert_eq!(told, ["0 s", "59 s", "1 min", "1 min 1 s", "59 min 59 s", "1 h", "2 h 5 min", "1 d", "3 d 4 h"]);
    }

    /// Expected values from `date -u -d @N`.
    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |seconds: u64| utc_before(UNIX_EPOCH + Duration::from_secs(seconds + 5), 5);
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(at(1_795_425_302), "2026-11-23T09:15:02Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
