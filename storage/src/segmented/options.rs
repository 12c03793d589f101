//! How a log is laid out.

use ringhold_types::ClusterId;

use super::format::PAGE_BYTES;

/// Default size of a segment. Four of them are kept at least; larger ones make restarts of small members slower and save
/// nothing (measured: beginning a segment costs about four flushes, once for many thousand records).
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// Smallest size of a segment that makes sense: a header, and some pages. Tests use it.
const SEGMENT_BYTES_MIN: u64 = 4 * PAGE_BYTES;
/// Default size of one step of zeroing ahead: about half a millisecond of a commit, now and then.
const ZERO_BYTES: u64 = 1024 * 1024;

/// How a log is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes of a new segment; raised to whole pages, and to 16 KiB at least. No record may be larger. Segments that
    /// exist keep their size.
    pub segment_bytes: u64,
    /// Bytes filled with zeros at a time, ahead of the position.
    pub zero_bytes: u64,
    /// The cluster; files of another one are refused.
    pub cluster: ClusterId,
}

impl LogOptions {
    /// The defaults for a cluster.
    #[must_use]
    pub const fn for_cluster(cluster: ClusterId) -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            zero_bytes: ZERO_BYTES,
            cluster,
        }
    }

    pub(super) fn normalised(self) -> Self {
        let segment_bytes = self.segment_bytes.max(SEGMENT_BYTES_MIN);
        let segment_bytes = segment_bytes.next_multiple_of(PAGE_BYTES);
        let zero_bytes = self.zero_bytes.clamp(PAGE_BYTES, segment_bytes);
        Self {
            segment_bytes,
            zero_bytes: zero_bytes.next_multiple_of(PAGE_BYTES),
            cluster: self.cluster,
        }
    }
}
