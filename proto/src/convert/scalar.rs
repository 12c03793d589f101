//! Times, spans, identities and enumerations: what every other conversion is made of.

use bytes::Bytes;
use prost_types::{Duration, Timestamp};
use ringhold_types::{ClusterId, Millis, UnixMillis};

use super::ConversionError;

const NANOS_PER_MILLI: u32 = 1_000_000;
const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// A span as a message.
#[must_use]
pub fn duration_from_millis(span: Millis) -> Duration {
    let nanos = (span.0 % 1000) * u64::from(NANOS_PER_MILLI);
    Duration {
        seconds: i64::try_from(span.0 / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos).unwrap_or(0),
    }
}

/// A span from a message; parts of a millisecond are dropped.
///
/// # Errors
/// [`ConversionError::OutOfRange`] for a negative span, or one longer than 2^64 ms.
pub fn millis_from_duration(
    field: &'static str,
    duration: &Duration,
) -> Result<Millis, ConversionError> {
    let (millis, _) = split(field, duration.seconds, duration.nanos)?;
    Ok(Millis(millis))
}

/// A wall-clock time as a message.
#[must_use]
pub fn timestamp_from_unix(at: UnixMillis) -> Timestamp {
    let Duration { seconds, nanos } = duration_from_millis(Millis(at.0));
    Timestamp { seconds, nanos }
}

/// A wall-clock time from a message, rounded up to the next millisecond, so that "not before" is never too early. A time
/// before 1970 becomes 1970.
///
/// # Errors
/// [`ConversionError::OutOfRange`] for a time that cannot be.
pub fn unix_from_timestamp(
    field: &'static str,
    at: &Timestamp,
) -> Result<UnixMillis, ConversionError> {
    if at.seconds < 0 && at.nanos >= 0 {
        return Ok(UnixMillis(0));
    }
    let (millis, rest) = split(field, at.seconds, at.nanos)?;
    Ok(UnixMillis(millis.saturating_add(u64::from(rest > 0))))
}

/// Bytes on their own. A decoded field is a part of the buffer that its whole message came in: whoever keeps a payload of 1 KiB
/// for a minute would keep that buffer of many KiB as well.
pub(crate) fn owned(field: &Bytes) -> Bytes {
    Bytes::copy_from_slice(field)
}

/// Whole milliseconds, and the nanoseconds beyond them.
fn split(field: &'static str, seconds: i64, nanos: i32) -> Result<(u64, u32), ConversionError> {
    let out_of_range = ConversionError::OutOfRange { field };
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else {
        return Err(out_of_range);
    };
    if nanos >= NANOS_PER_SECOND {
        return Err(out_of_range);
    }
    let millis = seconds
        .checked_mul(1000)
        .and_then(|millis| millis.checked_add(u64::from(nanos / NANOS_PER_MILLI)));
    millis
        .map(|millis| (millis, nanos % NANOS_PER_MILLI))
        .ok_or(out_of_range)
}

/// A span that may be absent.
pub(crate) fn optional_millis(
    field: &'static str,
    duration: Option<&Duration>,
) -> Result<Option<Millis>, ConversionError> {
    duration
        .map(|duration| millis_from_duration(field, duration))
        .transpose()
}

/// A cluster's identity as bytes: 16, the most significant first.
#[must_use]
pub fn cluster_bytes(cluster: ClusterId) -> Bytes {
    Bytes::copy_from_slice(&cluster.0.to_be_bytes())
}

/// A cluster's identity from its 16 bytes.
///
/// # Errors
/// [`ConversionError::Length`] for any other number of bytes.
pub fn cluster_from_bytes(bytes: &[u8]) -> Result<ClusterId, ConversionError> {
    let array = <[u8; 16]>::try_from(bytes).map_err(|_| ConversionError::Length {
        field: "cluster_id",
        length: bytes.len(),
        expected: 16,
    })?;
    Ok(ClusterId(u128::from_be_bytes(array)))
}

/// The cluster that a request states, if it states one.
///
/// # Errors
/// [`ConversionError::Length`] unless it has 16 bytes.
pub fn stated_cluster(bytes: Option<&Bytes>) -> Result<Option<ClusterId>, ConversionError> {
    bytes.map(|bytes| cluster_from_bytes(bytes)).transpose()
}

/// The known value that a number stands for.
pub(crate) fn value_of<E: TryFrom<i32>>(
    field: &'static str,
    number: i32,
) -> Result<E, ConversionError> {
    E::try_from(number).map_err(|_| ConversionError::UnknownValue { field, number })
}

/// The value of a field that must be there.
pub(crate) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, ConversionError> {
    value.ok_or(ConversionError::Missing { field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_comes_back_to_the_millisecond_even_at_its_ends() {
        for millis in [0, 1, 999, 1000, 86_400_001, u64::MAX] {
            let there = duration_from_millis(Millis(millis));
            assert_eq!(millis_from_duration("span", &there), Ok(Millis(millis)));
        }
    }

    #[test]
    fn a_negative_or_impossible_span_is_refused_by_name() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MAX, 0)] {
            assert_eq!(
                millis_from_duration("wait", &Duration { seconds, nanos }),
                Err(ConversionError::OutOfRange { field: "wait" })
            );
        }
    }

    #[test]
    fn a_time_is_rounded_up_so_that_nothing_starts_too_early() {
        let at = |seconds, nanos| unix_from_timestamp("not_before", &Timestamp { seconds, nanos });
        assert_eq!(at(1, 1), Ok(UnixMillis(1001)));
        assert_eq!(at(1, 1_000_000), Ok(UnixMillis(1001)));
        assert_eq!(at(-5, 0), Ok(UnixMillis(0)));
        assert!(at(0, -1).is_err());
    }

    #[test]
    fn a_cluster_id_has_sixteen_bytes_the_most_significant_first() {
        let cluster = ClusterId(0x0102_0304);
        let bytes = cluster_bytes(cluster);
        assert_eq!(bytes[12..], [1, 2, 3, 4]);
        assert_eq!(cluster_from_bytes(&bytes), Ok(cluster));
        assert!(matches!(
            cluster_from_bytes(&bytes[1..]),
            Err(ConversionError::Length { length: 15, .. })
        ));
    }
}
