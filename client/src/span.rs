//! Spans and times as messages carry them.

use std::time::{Duration, SystemTime};

use ringhold_proto::WireDuration;
use ringhold_proto::convert::duration_from_millis;
use ringhold_types::{Millis, UnixMillis};

/// A span as a message carries it, in whole milliseconds.
pub(crate) fn wire(span: Duration) -> WireDuration {
    duration_from_millis(Millis(millis(span)))
}

/// A time in milliseconds since 1970, and 1970 for earlier ones.
pub(crate) fn unix(time: SystemTime) -> UnixMillis {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    UnixMillis(millis(since.unwrap_or(Duration::ZERO)))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
