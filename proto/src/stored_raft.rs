//! Bytes of the control plane's own records: Raft's vote, log and snapshot, and what a directory knows of itself.
//!
//! Their messages are in `raft.proto`; the conversions to openraft's words are `node::control`'s, the only place that knows
//! them.

use bytes::Bytes;
use prost::Message;

use crate::convert::ConversionError;
use crate::internal as wire;

/// A record of the control plane.
pub trait RaftRecord: Message + Default + private::Sealed {}

mod private {
    pub trait Sealed {}
}

macro_rules! record {
    ($($name:ident),*) => {
        $(
            impl private::Sealed for wire::$name {}
            impl RaftRecord for wire::$name {}
        )*
    };
}

record!(
    RaftVote,
    RaftLogId,
    RaftEntry,
    RaftStoredSnapshot,
    RaftIdentity
);

/// A record as stored.
#[must_use]
pub fn encode<R: RaftRecord>(record: &R) -> Bytes {
    record.encode_to_vec().into()
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`ConversionError::Decode`] for bytes that are no such record.
pub fn decode<R: RaftRecord>(bytes: Bytes) -> Result<R, ConversionError> {
    Ok(R::decode(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_a_cut_one_is_refused() {
        let leader = wire::RaftLeader {
            term: 7,
            member: u64::MAX,
        };
        let vote = wire::RaftVote {
            leader: Some(leader),
            committed: true,
        };
        let bytes = encode(&vote);
        assert_eq!(decode::<wire::RaftVote>(bytes.clone()), Ok(vote));
        assert!(decode::<wire::RaftVote>(bytes.slice(..bytes.len() - 3)).is_err());
    }
}
