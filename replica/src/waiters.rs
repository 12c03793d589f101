//! Parked retrievals by the task that they wait for. Soft state: it is gone at step-down, and whoever waits asks again.
//!
//! How many may park is counted by [`crate::requests::Requests`], per member and per connection.

use std::collections::BTreeMap;

use ringhold_types::{RequestId, Sequence};

use crate::request::RequestToken;

/// Parked retrievals of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiters {
    /// Who waits, and the request id of a destructive read.
    parked: BTreeMap<Sequence, BTreeMap<RequestToken, Option<RequestId>>>,
}

impl Waiters {
    /// Parks a retrieval.
    pub(crate) fn park(
        &mut self,
        sequence: Sequence,
        token: RequestToken,
        dispose: Option<RequestId>,
    ) {
        self.parked
            .entry(sequence)
            .or_default()
            .insert(token, dispose);
    }

    /// Everybody who waits for a task; they wait no more.
    pub(crate) fn take(&mut self, sequence: Sequence) -> BTreeMap<RequestToken, Option<RequestId>> {
        self.parked.remove(&sequence).unwrap_or_default()
    }

    /// A retrieval that waits no more.
    pub(crate) fn remove(&mut self, sequence: Sequence, token: RequestToken) {
        if let Some(tokens) = self.parked.get_mut(&sequence) {
            tokens.remove(&token);
            if tokens.is_empty() {
                self.parked.remove(&sequence);
            }
        }
    }
}
