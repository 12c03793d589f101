//! Durations as people write them: `250ms`, `10s`, `1m30s`, `2h`, `1d`.

use std::time::Duration;

/// Reads a duration.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is no duration, such as 250ms, 10s, 1m30s or 2h");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = after.split_at(letters);
        let number: u64 = number.parse().map_err(|_| refused())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(refused()),
        };
        let part = number
            .checked_mul(millis)
            .map(Duration::from_millis)
            .ok_or_else(refused)?;
        total = total.checked_add(part).ok_or_else(refused)?;
        rest = next;
    }
    if text.is_empty() {
        Err(refused())
    } else {
        Ok(total)
    }
}

/// Writes a span for people: its two largest units, or milliseconds below ten seconds.
pub(crate) fn show(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..10 => format!("{}.{}s", seconds, span.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("1d2h"), Ok(Duration::from_secs(26 * 3600)));
        for text in ["", "10", "s", "1x", "-1s", "1 s", "99999999999999999999s"] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn spans_are_shown_in_at_most_two_units() {
        let shown = [5, 1_500, 42_000, 125_000, 7_260_000, 93_600_000]
            .map(|millis| show(Duration::from_millis(millis)));
        assert_eq!(shown, ["5ms", "1.5s", "42s", "2m05s", "2h01m", "1d02h"]);
    }
}
