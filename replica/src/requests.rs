//! The requests that are open on this member: each is answered exactly once, or its caller is gone.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::{ErrorCode, MemberId, Millis, PartitionKey, Sequence, Tick, limits};

use crate::effect::Effects;
use crate::request::{Asked, Refusal, Reply, Request, RequestToken};

/// Requests open at once on a member: parked retrievals and as many submits and reads again.
pub(crate) const OPEN_REQUESTS_MAX: usize = 2 * limits::WAITERS_PER_MEMBER_MAX;

/// Where an open request waits; decides what it is told at its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// For the primary to take over: nothing has been done for it.
    Held,
    /// For room in the partition: nothing has been done for it.
    Room,
    /// For an entry to commit: it may be stored and may take effect.
    Committing,
    /// For an outcome.
    Parked(Sequence),
    /// For a lease under which its answer may be given; `true` if its effect is committed.
    Lease(bool),
}

/// One open request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// The partition it is for.
    pub(crate) partition: PartitionKey,
    /// The connection it came by.
    pub(crate) connection: u64,
    /// When it must be answered.
    pub(crate) deadline: Tick,
    /// Where it waits.
    pub(crate) waiting: Waiting,
    /// Its answer does not count as retrieved.
    pub(crate) keeps: bool,
}

/// All open requests of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    open: BTreeMap<RequestToken, Open>,
    by_partition: BTreeSet<(PartitionKey, RequestToken)>,
    deadlines: BTreeSet<(Tick, RequestToken)>,
    /// Parked retrievals, in all and by connection.
    parked: usize,
    parked_by_connection: BTreeMap<u64, usize>,
}

impl Requests {
    /// Opens a request. `false` if too many are open or the token is in use; then it is not opened.
    pub(crate) fn open(&mut self, asked: &Asked) -> bool {
        if self.open.len() >= OPEN_REQUESTS_MAX || self.open.contains_key(&asked.token) {
            return false;
        }
        self.by_partition.insert((asked.partition, asked.token));
        self.deadlines.insert((asked.deadline, asked.token));
        self.open.insert(
            asked.token,
            Open {
                partition: asked.partition,
                connection: asked.connection,
                deadline: asked.deadline,
                waiting: Waiting::Held,
                keeps: matches!(asked.request, Request::Retrieve { keep: true, .. }),
            },
        );
        true
    }

    /// Whether the request still waits for its answer.
    #[must_use]
    pub(crate) fn is_open(&self, token: RequestToken) -> bool {
        self.open.contains_key(&token)
    }

    /// Whether the outcome stays unread although this request is answered with it.
    #[must_use]
    pub(crate) fn keeps(&self, token: RequestToken) -> bool {
        self.open.get(&token).is_some_and(|open| open.keeps)
    }

    /// Where the request waits.
    pub(crate) fn set_waiting(&mut self, token: RequestToken, waiting: Waiting) {
        let Some(open) = self.open.get_mut(&token) else {
            return;
        };
        let connection = open.connection;
        let was = matches!(open.waiting, Waiting::Parked(_));
        let is = matches!(waiting, Waiting::Parked(_));
        open.waiting = waiting;
        if was && !is {
            self.unpark(connection);
        }
        if is && !was {
            self.parked += 1;
            *self.parked_by_connection.entry(connection).or_default() += 1;
        }
    }

    /// Whether one more retrieval of the token's connection may park.
    #[must_use]
    pub(crate) fn may_park(&self, token: RequestToken) -> bool {
        let Some(open) = self.open.get(&token) else {
            return false;
        };
        let own = self.parked_by_connection.get(&open.connection);
        self.parked < limits::WAITERS_PER_MEMBER_MAX
            && own.copied().unwrap_or(0) < limits::WAITERS_PER_CONNECTION_MAX
    }

    /// Gives the one answer. Nothing happens if the request was answered or its caller is gone.
    pub(crate) fn answer(&mut self, token: RequestToken, reply: Reply, effects: &mut Effects) {
        if self.close(token).is_some() {
            effects.replies.push((token, reply));
        }
    }

    /// Forgets a request without an answer; tells where it waited.
    pub(crate) fn close(&mut self, token: RequestToken) -> Option<Open> {
        let open = self.open.remove(&token)?;
        self.by_partition.remove(&(open.partition, token));
        self.deadlines.remove(&(open.deadline, token));
        if matches!(open.waiting, Waiting::Parked(_)) {
            self.unpark(open.connection);
        }
        Some(open)
    }

    /// The next request whose deadline has come.
    #[must_use]
    pub(crate) fn overdue(&self, now: Tick) -> Option<(RequestToken, Open)> {
        let (deadline, token) = self.deadlines.first()?;
        if *deadline > now {
            return None;
        }
        self.open.get(token).map(|open| (*token, open.clone()))
    }

    /// The earliest deadline.
    #[must_use]
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The open requests of a partition.
    #[must_use]
    pub(crate) fn of(&self, partition: PartitionKey) -> Vec<RequestToken> {
        let first = (partition, RequestToken(0));
        let last = (partition, RequestToken(u64::MAX));
        self.by_partition
            .range(first..=last)
            .map(|(_, token)| *token)
            .collect()
    }

    /// How many requests are open.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many retrievals are parked.
    #[must_use]
    pub(crate) const fn parked(&self) -> usize {
        self.parked
    }

    fn unpark(&mut self, connection: u64) {
        self.parked = self.parked.saturating_sub(1);
        if let Some(count) = self.parked_by_connection.get_mut(&connection) {
            *count -= 1;
            if *count == 0 {
                self.parked_by_connection.remove(&connection);
            }
        }
    }
}

/// A refusal with a code and a text.
#[must_use]
pub(crate) fn refused(code: ErrorCode, message: impl Into<String>) -> Reply {
    Reply::Refused(Refusal {
        code,
        message: message.into(),
        retry_after: None,
        primary: None,
    })
}

/// A refusal after which the caller may try again.
#[must_use]
pub(crate) fn retry_later(code: ErrorCode, message: impl Into<String>, after: Millis) -> Reply {
    Reply::Refused(Refusal {
        code,
        message: message.into(),
        retry_after: Some(after),
        primary: None,
    })
}

/// "Ask the primary", with a hint.
#[must_use]
pub(crate) fn not_primary(primary: Option<MemberId>) -> Reply {
    Reply::Refused(Refusal {
        code: ErrorCode::NotPrimary,
        message: "this member does not lead the partition".to_owned(),
        retry_after: None,
        primary,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(token: u64) -> Asked {
        Asked {
            token: RequestToken(token),
            connection: 1,
            partition: PartitionKey::default(),
            deadline: Tick(50),
            request: Request::Get {
                sequence: Sequence::from_bits(1),
            },
        }
    }

    #[test]
    fn a_request_is_answered_once_only() {
        let mut requests = Requests::default();
        let mut effects = Effects::default();
        assert!(requests.open(&asked(1)));
        assert!(!requests.open(&asked(1)));
        requests.answer(RequestToken(1), Reply::Done, &mut effects);
        requests.answer(RequestToken(1), Reply::Done, &mut effects);
        assert_eq!(effects.replies.len(), 1);
        assert_eq!(requests.len(), 0);
    }

    #[test]
    fn a_caller_that_is_gone_gets_no_answer_and_frees_its_place() {
        let mut requests = Requests::default();
        let mut effects = Effects::default();
        assert!(requests.open(&asked(1)));
        requests.set_waiting(RequestToken(1), Waiting::Parked(Sequence::from_bits(1)));
        assert_eq!(requests.parked(), 1);
        assert!(requests.close(RequestToken(1)).is_some());
        requests.answer(RequestToken(1), Reply::Done, &mut effects);
        assert!(effects.replies.is_empty());
        assert_eq!(requests.parked(), 0);
        assert_eq!(requests.next_deadline(), None);
    }
}
