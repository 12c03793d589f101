//! Arbitrary words of every kind, for the round trips.

// Each test file uses its own share of them.
#![allow(dead_code)]

#[cfg(feature = "internal")]
pub(crate) mod control;
pub(crate) mod execution;
#[cfg(feature = "internal")]
pub(crate) mod peer;
#[cfg(feature = "internal")]
pub(crate) mod ring;
pub(crate) mod task;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

pub(crate) fn key_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![9 => vec(any::<u8>(), 1..20), 1 => vec(any::<u8>(), 512)]
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    ".{0,8}"
}

/// Numbers with their ends more often than chance would have it.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()]
}
