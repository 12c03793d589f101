//! What the ring's tests share: small tasks, small limits, and a log that numbers its entries.
#![allow(unreachable_pub)]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ringhold_ringbuffer::{
    Admission, Applied, InFlight, LogEntry, Op, Quirks, Refusal, Ring, RingLimits,
};
use ringhold_types::{
    AttemptNumber, Failure, FailureKind, Generation, IdempotencyKey, Lsn, MemberId, Millis,
    RequestId, RingTime, Sequence, TaskCall, TaskResult, TaskSpec, Term, UnixMillis, WhenFull,
};

/// A handler task with a key and a payload.
pub fn task(key: &str, payload: &str) -> TaskSpec {
    TaskSpec::new(
        TaskCall::Handler {
            name: "render".to_owned(),
            version: None,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            content_type: String::new(),
        },
        self::key(key),
    )
}

pub fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text.to_owned()).expect("a short key")
}

pub fn request(text: &str) -> RequestId {
    RequestId::new(text.to_owned()).expect("a short id")
}

pub fn sequence(bits: u64) -> Sequence {
    Sequence::from_bits(bits)
}

pub fn result(text: &str) -> Arc<TaskResult> {
    Arc::new(TaskResult {
        payload: Bytes::copy_from_slice(text.as_bytes()),
        ..TaskResult::default()
    })
}

pub fn failure(kind: FailureKind) -> Arc<Failure> {
    Arc::new(Failure::new(kind, "told"))
}

/// Limits so small that a test reaches them.
pub fn small_limits() -> RingLimits {
    RingLimits {
        capacity: 4,
        when_full: WhenFull::Reject,
        bytes: 1_000,
        result_ttl: Millis(1_000),
        dedup_window: Millis(100),
        dedup_keys: 8,
        history: 8,
        crash_limit: 5,
    }
}

/// A ring with its log: entries get the next position, the present term and the present ring time.
#[derive(Clone)]
pub struct Log {
    pub ring: Ring,
    pub term: Term,
    pub now: RingTime,
    pub quirks: Quirks,
    lsn: Lsn,
}

impl Log {
    pub fn new(limits: RingLimits) -> Self {
        Self {
            ring: Ring::new(Generation(0), limits),
            term: Term(1),
            now: RingTime(0),
            quirks: Quirks::default(),
            lsn: Lsn::ZERO,
        }
    }

    pub fn apply(&mut self, op: Op) -> Applied {
        self.lsn = self.lsn.next();
        let entry = LogEntry {
            term: self.term,
            lsn: self.lsn,
            time: self.now,
            op,
        };
        self.ring.apply_with(&entry, self.quirks)
    }

    /// Applies an operation that must be refused, and returns why.
    pub fn refusal(&mut self, op: Op) -> Refusal {
        match self.apply(op) {
            Applied::Refused { why, .. } => why,
            applied => panic!("not refused but {applied:?}"),
        }
    }

    pub fn accept_task(&mut self, task: TaskSpec) -> Sequence {
        let sequence = self.ring.next_sequence();
        let applied = self.apply(Op::Accept {
            sequence,
            task: Arc::new(task),
            accepted_at: UnixMillis(1_700_000_000_000),
        });
        assert_eq!(applied, Applied::Accepted { sequence });
        sequence
    }

    pub fn accept(&mut self, key: &str) -> Sequence {
        self.accept_task(task(key, "in"))
    }

    /// Starts the next attempt on a member and returns its token.
    pub fn start(&mut self, sequence: Sequence, member: u64) -> (Term, AttemptNumber) {
        let entry = self.ring.look_up(sequence).expect("the task is there");
        let attempt = entry.attempts.next();
        let member = MemberId(member);
        let applied = self.apply(Op::Start {
            sequence,
            attempt,
            member,
        });
        assert_eq!(applied, Applied::Started { sequence, attempt });
        (self.term, attempt)
    }

    pub fn complete(
        &mut self,
        sequence: Sequence,
        token: (Term, AttemptNumber),
        text: &str,
    ) -> Applied {
        self.apply(complete(sequence, token, text))
    }

    /// Accepts a task and runs it to a result.
    pub fn succeed(&mut self, key: &str) -> Sequence {
        let sequence = self.accept(key);
        let token = self.start(sequence, 1);
        let applied = self.complete(sequence, token, "out");
        assert!(matches!(applied, Applied::Ended { .. }), "{applied:?}");
        sequence
    }

    pub fn dispose(&mut self, sequence: Sequence) -> Applied {
        self.apply(Op::Dispose {
            sequence,
            request: None,
        })
    }

    pub fn retrieved(&mut self, sequence: Sequence) {
        let sequences = vec![sequence];
        let applied = self.apply(Op::MarkRetrieved { sequences });
        assert_eq!(applied, Applied::Nothing);
    }

    pub fn start_term(&mut self, term: u64, generation: u64) -> Applied {
        self.term = Term(term);
        self.apply(Op::TermStart {
            primary: ringhold_types::ReplicaId::default(),
            generation: Generation(generation),
        })
    }

    /// What admission says to a task of `bytes` with nothing in flight.
    pub fn admission(&self, bytes: u64) -> Admission {
        let evictions = BTreeSet::new();
        let in_flight = InFlight {
            accepts: 0,
            bytes: 0,
            evictions: &evictions,
        };
        self.ring.admission(in_flight, bytes)
    }
}

pub fn complete(sequence: Sequence, token: (Term, AttemptNumber), text: &str) -> Op {
    Op::Complete {
        sequence,
        attempt_term: token.0,
        attempt: token.1,
        result: result(text),
    }
}

pub fn admit(evict: &[Sequence]) -> Admission {
    Admission::Admit {
        evict: evict.to_vec(),
    }
}
