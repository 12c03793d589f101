//! What an attempt knows of itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_replica::StartAttempt;
use ringhold_types::{AttemptNumber, AttemptToken, ExecutorName, MemberId, TaskId, Tick};

use super::slots::StopSignal;
use crate::clock::Clock;

/// Handed to a handler with its input. Clones are views of the same attempt.
#[derive(Clone, Debug)]
pub struct AttemptContext {
    member: MemberId,
    executor: ExecutorName,
    attempt: Arc<StartAttempt>,
    deadline: Option<Tick>,
    stop: StopSignal,
}

impl AttemptContext {
    pub(super) fn new(
        member: MemberId,
        executor: ExecutorName,
        attempt: Arc<StartAttempt>,
        deadline: Option<Tick>,
        stop: StopSignal,
    ) -> Self {
        Self {
            member,
            executor,
            attempt,
            deadline,
            stop,
        }
    }

    /// The fencing token. Hand [`AttemptContext::fencing_token`] to outside systems that shall refuse an older attempt.
    #[must_use]
    pub fn token(&self) -> AttemptToken {
        self.attempt.token
    }

    /// The fencing token as text that sorts by age within a task: term, sequence and attempt, zero-padded.
    #[must_use]
    pub fn fencing_token(&self) -> String {
        let token = self.attempt.token;
        let (term, sequence) = (token.term.get(), token.sequence.bits());
        format!("{term:020}-{sequence:020}-{:020}", token.attempt.get())
    }

    /// The task.
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        TaskId {
            executor: self.executor.clone(),
            partition: self.attempt.token.partition.partition,
            sequence: self.attempt.token.sequence,
        }
    }

    /// Which run of the task this is; the first is 1.
    #[must_use]
    pub fn attempt(&self) -> AttemptNumber {
        self.attempt.token.attempt
    }

    /// The member that runs it.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// The labels that the task was submitted with.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.attempt.task.labels
    }

    /// What the last attempt left, if it left something.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Bytes> {
        self.attempt.checkpoint.as_ref()
    }

    /// When the run limit ends, on the member's own clock.
    #[must_use]
    pub fn deadline(&self) -> Option<Tick> {
        self.deadline
    }

    /// Time left until the run limit ends; `None` without a limit.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| Clock.until(deadline))
    }

    /// Ends when the attempt is aborted, its run limit is over, or the member stops.
    pub async fn cancelled(&self) {
        self.stop.wait().await;
    }

    /// Whether the attempt must end; blocking handlers look here between two pieces of work.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.stop.given().is_some()
    }
}
