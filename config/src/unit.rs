//! Spans of time and numbers of bytes, with their units.

use ringhold_types::Millis;

/// Units of time with their milliseconds, smallest first.
const TIME_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
/// Units of size with their bytes, smallest first.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnitError {
    /// A number without a unit.
    NoUnit,
    /// Not a number followed by one of the units.
    Form,
    /// More than can be counted.
    TooLarge,
}

/// Reads `30s`.
pub(crate) fn parse_time(text: &str) -> Result<Millis, UnitError> {
    parse(text, &TIME_UNITS).map(Millis)
}

/// Reads `512MiB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZE_UNITS)
}

/// Writes a span of time in the largest unit that loses nothing.
pub(crate) fn show_time(span: Millis) -> String {
    show(span.0, &TIME_UNITS)
}

/// Writes a number of bytes in the largest unit that loses nothing.
pub(crate) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE_UNITS)
}

/// The units of time, for a message.
pub(crate) const TIME_EXAMPLE: &str = "write a number and one of ms, s, m, h, d, such as \"30s\"";
/// The units of size, for a message.
pub(crate) const SIZE_EXAMPLE: &str =
    "write a number and one of B, KiB, MiB, GiB, such as \"512MiB\"";

fn parse(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::Form);
    }
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Err(UnitError::NoUnit);
    }
    let known = units.iter().find(|(name, _)| *name == unit);
    let (_, factor) = known.ok_or(UnitError::Form)?;
    let number: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
    number.checked_mul(*factor).ok_or(UnitError::TooLarge)
}

fn show(number: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| number >= *factor && number.is_multiple_of(*factor);
    let (unit, factor) = units.iter().rev().find(fits).unwrap_or(&units[0]);
    format!("{}{unit}", number / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_reads_back(number: u64) {
            prop_assert_eq!(parse_time(&show_time(Millis(number))), Ok(Millis(number)));
            prop_assert_eq!(parse_size(&show_size(number)), Ok(number));
        }
    }

    #[test]
    fn only_a_number_with_a_known_unit_is_a_quantity() {
        assert_eq!(parse_time("30s"), Ok(Millis(30_000)));
        assert_eq!(parse_time("2 h"), Ok(Millis(7_200_000)));
        assert_eq!(parse_size("512MiB"), Ok(512 << 20));
        assert_eq!(parse_time("30"), Err(UnitError::NoUnit));
        assert_eq!(parse_size("512MB"), Err(UnitError::Form));
        assert_eq!(parse_time("-1s"), Err(UnitError::Form));
        assert_eq!(parse_time("s"), Err(UnitError::Form));
        assert_eq!(
            parse_time("99999999999999999999s"),
            Err(UnitError::TooLarge)
        );
        assert_eq!(parse_time("99999999999999999d"), Err(UnitError::TooLarge));
        assert_eq!(show_time(Millis(90_000)), "90s");
        assert_eq!(show_size(0), "0B");
    }
}
