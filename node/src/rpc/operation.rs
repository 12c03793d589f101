//! How every operation on one partition finds its primary: here, or by forwarding, again and again until its deadline.

use std::future::Future;
use std::time::Duration;

use ringhold_proto::ApiError;
use ringhold_types::{Configuration, ErrorCode, PartitionKey, Tick};

use super::api::Api;
use super::api_error;
use super::forward::Onward;

/// First pause before asking again; doubles up to [`PAUSE_MAX`]. A change of the view ends a pause early.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// Longest pause: a failover takes about a second, and its end must not be missed by much.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Where a request came from and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// The connection; waiters are bounded per connection.
    pub(super) connection: u64,
    /// When it must be answered.
    pub(super) deadline: Tick,
    /// Another member forwarded it: it is answered here or refused, never forwarded again.
    pub(super) forwarded: bool,
}

/// An operation on one partition.
pub(super) trait Operation: Sync {
    /// What it answers.
    type Answer: Send;

    /// Does it on this member, which leads the partition. `tries` counts the tries before this one.
    fn here(
        &self,
        api: &Api,
        call: Call,
        tries: u32,
    ) -> impl Future<Output = Result<Self::Answer, ApiError>> + Send;

    /// Has another member do it.
    fn there(
        &self,
        onward: Onward,
        tries: u32,
    ) -> impl Future<Output = Result<Self::Answer, ApiError>> + Send;
}

impl Api {
    /// Does an operation on the partition's primary, wherever that is or moves to meanwhile.
    pub(super) async fn on_primary<O: Operation>(
        &self,
        partition: PartitionKey,
        call: Call,
        operation: &O,
    ) -> Result<O::Answer, ApiError> {
        let mut view = self.driver.watch();
        let mut pause = PAUSE_MIN;
        let mut tries = 0;
        loop {
            view.borrow_and_update();
            let answer = self.try_on_primary(partition, call, operation, tries).await;
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let left = self.clock.until(call.deadline);
            if call.forwarded || left.is_zero() || !is_about_routing(error.code) {
                return Err(error);
            }
            tries += 1;
            let changed = tokio::time::timeout(pause.min(left), view.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                // Its view will never change again; without it there is no wait between two tries either.
                return Err(api_error(
                    ErrorCode::Unavailable,
                    "this member has stopped driving its partitions, and does not know who leads them; ask another member",
                ));
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn try_on_primary<O: Operation>(
        &self,
        partition: PartitionKey,
        call: Call,
        operation: &O,
        tries: u32,
    ) -> Result<O::Answer, ApiError> {
        let cluster = self.cluster();
        let configuration = cluster.configuration(partition).ok_or_else(|| {
            api_error(
                ErrorCode::Unavailable,
                format!("partition {partition} is not known here yet"),
            )
        })?;
        match configuration.primary {
            Some(primary) if primary.member == self.member => {
                operation.here(self, call, tries).await
            }
            Some(_) if call.forwarded => Err(self.not_primary(&configuration)),
            Some(primary) => {
                let onward = Onward {
                    client: self.forwarder.client(&cluster, primary.member)?,
                    patience: self.clock.until(call.deadline),
                    connection: call.connection,
                };
                operation.there(onward, tries).await
            }
            None => Err(api_error(
                ErrorCode::Unavailable,
                format!("partition {partition} has no primary: every member that holds it is away"),
            )),
        }
    }

    fn not_primary(&self, configuration: &Configuration) -> ApiError {
        let partition = configuration.partition;
        let message = format!("this member does not lead partition {partition}");
        let error = api_error(ErrorCode::NotPrimary, message).with_term(configuration.term);
        match &configuration.primary {
            Some(primary) => self.name_primary(error, primary.member),
            None => error,
        }
    }
}

/// Whether another try, perhaps elsewhere, can end differently: the answer was about who leads, not about the task.
fn is_about_routing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotPrimary | ErrorCode::Unavailable | ErrorCode::NotReady
    )
}
