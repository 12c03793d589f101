//! One submit: what the caller may say about it, and the tries until there is a receipt.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use ringhold_proto::convert::timestamp_from_unix;
use ringhold_proto::v1;
use ringhold_types::{OnInterrupt, TaskCall};

use crate::Client;
use crate::codec::CodecError;
use crate::error::SubmitError;
use crate::span;
use crate::submitter::{FullPolicy, Stored, Submitter};

/// A submit that is being put together; `.await` sends it. It resolves once the task is stored durably.
///
/// Dropping it before it resolved leaves open whether the task is stored.
#[must_use = "nothing is submitted before `.await`"]
pub struct Submit<A> {
    client: Client,
    executor: String,
    call: Result<TaskCall, CodecError>,
    options: Options,
    finish: fn(Client, Stored) -> A,
}

#[derive(Clone, Debug, Default)]
struct Options {
    key: Option<Bytes>,
    idempotency_key: Option<Bytes>,
    labels: BTreeMap<String, String>,
    wait_limit: Option<Duration>,
    run_limit: Option<Duration>,
    total_limit: Option<Duration>,
    not_before: Option<SystemTime>,
    on_interrupt: OnInterrupt,
    dispose_on_success: bool,
    deadline: Option<Duration>,
    when_full: FullPolicy,
}

impl<A> Submit<A> {
    pub(crate) fn new(
        client: Client,
        executor: String,
        call: Result<TaskCall, CodecError>,
        finish: fn(Client, Stored) -> A,
    ) -> Self {
        Self {
            client,
            executor,
            call,
            options: Options::default(),
            finish,
        }
    }

    pub(crate) fn disposed_on_success(mut self) -> Self {
        self.options.dispose_on_success = true;
        self
    }

    /// Keeps tasks with the same key in the same partition.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.options.key = Some(key.into());
        self
    }

    /// Names this submit, so that submitting again, even by another process, finds the task instead of storing it
    /// twice. Drawn at random otherwise, which protects the tries of this one submit.
    pub fn idempotency_key(mut self, key: impl Into<Bytes>) -> Self {
        self.options.idempotency_key = Some(key.into());
        self
    }

    /// Adds a label, which list, get and the console show.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.labels.insert(name.into(), value.into());
        self
    }

    /// Limits the wait from acceptance to the first start.
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.options.wait_limit = Some(limit);
        self
    }

    /// Limits the run of one attempt; the executor's default otherwise.
    pub fn run_limit(mut self, limit: Duration) -> Self {
        self.options.run_limit = Some(limit);
        self
    }

    /// Limits the time from acceptance to the outcome.
    pub fn total_limit(mut self, limit: Duration) -> Self {
        self.options.total_limit = Some(limit);
        self
    }

    /// Starts no attempt before this time of the wall clock.
    pub fn not_before(mut self, time: SystemTime) -> Self {
        self.options.not_before = Some(time);
        self
    }

    /// Says what happens when a member dies under a running attempt; it runs again otherwise.
    pub fn on_interrupt(mut self, choice: OnInterrupt) -> Self {
        self.options.on_interrupt = choice;
        self
    }

    /// Gives up after this time; the client's submit deadline otherwise.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// Says what to do when the partition is full; [`FullPolicy::Wait`] otherwise.
    pub fn when_full(mut self, policy: FullPolicy) -> Self {
        self.options.when_full = policy;
        self
    }

    /// [`Submit::when_full`] with [`FullPolicy::Fail`].
    pub fn fail_when_full(self) -> Self {
        self.when_full(FullPolicy::Fail)
    }

    async fn send(self) -> Result<A, SubmitError> {
        let call = self.call?;
        let options = self.options;
        let limits = v1::TaskLimits {
            wait: options.wait_limit.map(span::wire),
            run: options.run_limit.map(span::wire),
            total: options.total_limit.map(span::wire),
        };
        let task = v1::Task {
            call: Some((&call).into()),
            idempotency_key: options.idempotency_key,
            affinity_key: options.key,
            labels: options.labels,
            limits: (limits != v1::TaskLimits::default()).then_some(limits),
            on_interrupt: v1::OnInterrupt::from(options.on_interrupt).into(),
            not_before: options
                .not_before
                .map(|time| timestamp_from_unix(span::unix(time))),
            dispose_on_success: options.dispose_on_success,
            ..v1::Task::default()
        };
        let within = options
            .deadline
            .unwrap_or(self.client.shared.settings.submit_deadline);
        let submitter = Submitter {
            shared: &self.client.shared,
            executor: &self.executor,
            deadline: Instant::now() + within,
            when_full: options.when_full,
        };
        let stored = submitter.submit(task).await?;
        Ok((self.finish)(self.client, stored))
    }
}

impl<A: Send + 'static> IntoFuture for Submit<A> {
    type Output = Result<A, SubmitError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl<A> fmt::Debug for Submit<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Submit")
            .field("executor", &self.executor)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
