//! How many bytes of tasks may be on their way into a member's rings at once (DESIGN G8).

use std::sync::Arc;

use ringhold_proto::ApiError;
use ringhold_types::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::api_error;

/// Bytes of tasks that a member holds for submits that are not answered yet: enough for a hundred of the largest and a
/// quarter of a million of the usual, and little beside what the rings themselves may take.
pub(super) const SUBMIT_BYTES_MAX: u32 = 256 * 1024 * 1024;

/// The member's bytes for submits under way. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct SubmitBudget {
    free: Arc<Semaphore>,
}

/// A share of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    _permits: OwnedSemaphorePermit,
}

impl SubmitBudget {
    pub(super) fn new(bytes: u32) -> Self {
        Self {
            free: Arc::new(Semaphore::new(bytes as usize)),
        }
    }

    /// Takes a share for a task of this size.
    ///
    /// # Errors
    /// `UNAVAILABLE` with a pause, at once when there is not enough left: a caller that waited would hold its bytes all
    /// the same.
    pub(super) fn take(&self, bytes: usize) -> Result<Share, ApiError> {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
        match Arc::clone(&self.free).try_acquire_many_owned(wanted) {
            Ok(permits) => Ok(Share { _permits: permits }),
            Err(_none_left) => Err(api_error(
                ErrorCode::Unavailable,
                "this member holds as many bytes of unanswered submits as it may; ask again a little later, or another \
                 member",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submits_under_way_have_a_bound_in_bytes_and_a_refused_one_is_told_to_come_back() {
        let budget = SubmitBudget::new(1000);
        let first = budget.take(600).expect("there is room");
        let refused = budget.take(600).expect_err("there is none");
        assert_eq!(refused.code, ErrorCode::Unavailable);
        assert!(refused.retry_after.is_some());
        budget.take(400).expect("a smaller one still fits");
        drop(first);
        budget.take(600).expect("there is room again");
    }
}
