//! A naive ring: lists and linear scans, written from PROTOCOL's text, that the real ring is compared with.
#![allow(unreachable_pub)]

use std::collections::BTreeSet;
use std::sync::Arc;

use ringhold_ringbuffer::{
    Absence, Admission, Applied, InFlight, KeyHit, LogEntry, LostRange, Op, Refusal, RingLimits,
};
use ringhold_types::limits::{DISPOSE_GRACE, DISPOSE_GRACE_BYTES_MAX, DISPOSE_GRACE_ENTRIES_MAX};
use ringhold_types::{
    AttemptNumber, FailureKind, Generation, IdempotencyKey, MemberId, Outcome, RequestId, RingTime,
    Sequence, TaskSpec, TaskStatus, Term, WhenFull,
};

#[derive(Clone)]
pub struct Task {
    pub sequence: Sequence,
    pub spec: Arc<TaskSpec>,
    pub due: Option<RingTime>,
    pub retry: bool,
    pub running: Option<(Term, AttemptNumber, MemberId)>,
    pub outcome: Option<(Arc<Outcome>, RingTime)>,
    pub attempts: AttemptNumber,
    pub crashes: u32,
    pub checkpoint: usize,
    pub retrieved: bool,
}

pub struct RememberedKey {
    key: IdempotencyKey,
    hit: KeyHit,
    removed: RingTime,
}

pub struct Kept {
    sequence: Sequence,
    request: RequestId,
    outcome: Arc<Outcome>,
    disposed: RingTime,
}

pub struct Reference {
    pub generation: Generation,
    pub next: Sequence,
    pub time: RingTime,
    pub limits: RingLimits,
    pub tasks: Vec<Task>,
    pub removed: Vec<(Sequence, Absence)>,
    pub keys: Vec<RememberedKey>,
    pub kept: Vec<Kept>,
    pub lost: Vec<LostRange>,
}

impl Task {
    pub fn bytes(&self) -> u64 {
        let outcome = self.outcome.as_ref().map_or(0, |it| it.0.bytes());
        (self.spec.bytes() + self.checkpoint + outcome) as u64
    }

    pub fn status(&self, now: RingTime) -> TaskStatus {
        if let Some((outcome, _)) = &self.outcome {
            outcome.status()
        } else if self.running.is_some() {
            TaskStatus::Running
        } else if self.due.is_none_or(|due| due <= now) {
            TaskStatus::Pending
        } else if self.retry {
            TaskStatus::RetryWait
        } else {
            TaskStatus::Delayed
        }
    }

    fn age(&self) -> Option<(RingTime, Sequence)> {
        self.outcome.as_ref().map(|(_, at)| (*at, self.sequence))
    }
}

impl Reference {
    pub fn new(limits: RingLimits) -> Self {
        Self {
            generation: Generation(0),
            next: Sequence::from_bits(0),
            time: RingTime(0),
            limits,
            tasks: Vec::new(),
            removed: Vec::new(),
            keys: Vec::new(),
            kept: Vec::new(),
            lost: Vec::new(),
        }
    }

    pub fn look_up(&self, sequence: Sequence) -> Result<&Task, Absence> {
        let task = self.tasks.iter().find(|task| task.sequence == sequence);
        task.ok_or_else(|| {
            let reason = self.removed.iter().find(|it| it.0 == sequence);
            if sequence >= self.next {
                Absence::NeverExisted
            } else if let Some((_, why)) = reason {
                *why
            } else if self.lost.iter().any(|range| range.contains(sequence)) {
                Absence::DataLoss
            } else {
                Absence::Gone
            }
        })
    }

    pub fn find_key(&self, key: &IdempotencyKey) -> Option<KeyHit> {
        let live = self.tasks.iter().map(|task| {
            let identity = task.spec.identity();
            let sequence = task.sequence;
            (&task.spec.idempotency_key, KeyHit { sequence, identity })
        });
        let gone = self.keys.iter().map(|it| (&it.key, it.hit));
        let hits = live.chain(gone).filter(|hit| hit.0 == key);
        hits.map(|hit| hit.1).max()
    }

    pub fn disposed_outcome(&self, sequence: Sequence, request: &RequestId) -> Option<&Outcome> {
        let kept = self.kept.iter();
        let mut mine = kept.filter(|it| it.sequence == sequence && it.request == *request);
        mine.next().map(|it| it.outcome.as_ref())
    }

    pub fn bytes(&self) -> u64 {
        self.tasks.iter().map(Task::bytes).sum()
    }

    /// Tries ever more evictions in the order of the rule until the task fits.
    pub fn admission(&self, in_flight: InFlight<'_>, bytes: u64) -> Admission {
        let mut candidates: Vec<_> = self
            .tasks
            .iter()
            .filter(|task| !in_flight.evictions.contains(&task.sequence))
            .filter(|task| task.retrieved || self.limits.when_full == WhenFull::Overwrite)
            .filter_map(|task| Some((!task.retrieved, task.age()?)))
            .collect();
        candidates.sort_unstable();
        let candidates: Vec<_> = candidates.into_iter().map(|it| it.1.1).collect();
        for count in 0..=candidates.len() {
            let evict = &candidates[..count];
            let evicted: BTreeSet<_> = evict.iter().chain(in_flight.evictions).collect();
            let stays = |task: &&Task| task.outcome.is_none() || !evicted.contains(&task.sequence);
            let entries = self.tasks.iter().filter(stays).count() as u64;
            let held: u64 = self.tasks.iter().filter(stays).map(Task::bytes).sum();
            if entries + in_flight.accepts < self.limits.capacity
                && held + in_flight.bytes + bytes <= self.limits.bytes
            {
                let evict = evict.to_vec();
                return Admission::Admit { evict };
            }
        }
        Admission::Full
    }

    pub fn apply(&mut self, entry: &LogEntry) -> Applied {
        self.time = self.time.max(entry.time);
        match &entry.op {
            Op::TermStart { generation, .. } => self.start_term(*generation),
            Op::Configure(limits) => {
                self.limits = limits.clone();
                self.trim();
                Applied::Nothing
            }
            Op::Accept { sequence, task, .. } => self.accept(*sequence, task),
            Op::MarkRetrieved { sequences } => {
                for task in &mut self.tasks {
                    task.retrieved |= task.outcome.is_some() && sequences.contains(&task.sequence);
                }
                Applied::Nothing
            }
            Op::Evict { sequences } => self.remove_all(sequences, Absence::Overwritten),
            Op::Expire { sequences } => self.remove_all(sequences, Absence::Expired),
            Op::ForgetKeys { removed_before } => {
                self.keys.retain(|key| key.removed >= *removed_before);
                let now = self.time;
                self.kept
                    .retain(|it| it.disposed.after(DISPOSE_GRACE) > now);
                Applied::Nothing
            }
            Op::HandOver { .. } => Applied::Nothing,
            op => {
                let sequence = sequence_of(op);
                self.apply_to_task(entry.term, sequence, op)
                    .unwrap_or_else(|why| Applied::Refused { sequence, why })
            }
        }
    }

    fn apply_to_task(
        &mut self,
        term: Term,
        sequence: Sequence,
        op: &Op,
    ) -> Result<Applied, Refusal> {
        self.look_up(sequence).map_err(Refusal::Absent)?;
        if let Op::Dispose { request, .. } = op {
            return self.dispose(sequence, request.clone());
        }
        let found = |task: &&mut Task| task.sequence == sequence;
        let mut tasks = self.tasks.iter_mut();
        let task = tasks.find(found).expect("just found");
        if task.outcome.is_some() {
            return Err(Refusal::AlreadyEnded);
        }
        if let Some((token_term, token)) = token_of(op) {
            let (current, newest, _) = task.running.ok_or(Refusal::NotRunning)?;
            if token != newest {
                return Err(Refusal::OtherAttempt { newest });
            }
            if token_term != current {
                return Err(Refusal::OtherTerm { current });
            }
        }
        match op {
            Op::Start {
                attempt, member, ..
            } => {
                let expected = task.attempts.next();
                if *attempt != expected {
                    return Err(Refusal::NotNextAttempt { expected });
                }
                task.crashes += u32::from(task.running.is_some());
                task.running = Some((term, *attempt, *member));
                task.attempts = *attempt;
                let attempt = *attempt;
                Ok(Applied::Started { sequence, attempt })
            }
            Op::Adopt {
                attempt, member, ..
            } => {
                task.running = Some((term, *attempt, *member));
                let attempt = *attempt;
                Ok(Applied::Adopted { sequence, attempt })
            }
            Op::Checkpoint { bytes, .. } => {
                task.checkpoint = bytes.len();
                Ok(Applied::Nothing)
            }
            Op::RetryAt { due, .. } => {
                (task.running, task.due, task.retry) = (None, Some(*due), true);
                Ok(Applied::Waiting { sequence })
            }
            Op::HandBack { .. } => {
                (task.running, task.due, task.retry) = (None, None, false);
                Ok(Applied::Waiting { sequence })
            }
            op => {
                task.crashes += u32::from(task.running.is_some() && tells_of_a_death(op));
                Ok(self.end(sequence, outcome_of(op)))
            }
        }
    }

    fn dispose(
        &mut self,
        sequence: Sequence,
        request: Option<RequestId>,
    ) -> Result<Applied, Refusal> {
        let task = self.look_up(sequence).map_err(Refusal::Absent)?;
        let (outcome, _) = task.outcome.clone().ok_or(Refusal::Unfinished)?;
        self.remove(sequence, Absence::Disposed);
        if let Some(request) = request {
            self.kept.push(Kept {
                sequence,
                request,
                outcome,
                disposed: self.time,
            });
            self.trim();
        }
        let sequences = vec![(sequence, Absence::Disposed)];
        Ok(Applied::Removed { sequences })
    }

    fn end(&mut self, sequence: Sequence, outcome: Outcome) -> Applied {
        let now = self.time;
        let outcome = Arc::new(outcome);
        let mut tasks = self.tasks.iter_mut();
        let task = tasks
            .find(|task| task.sequence == sequence)
            .expect("just found");
        (task.running, task.checkpoint) = (None, 0);
        task.outcome = Some((Arc::clone(&outcome), now));
        let disposed = task.spec.dispose_on_success && matches!(*outcome, Outcome::Succeeded(_));
        if disposed {
            self.remove(sequence, Absence::Disposed);
        }
        Applied::Ended {
            sequence,
            outcome,
            disposed,
        }
    }

    fn start_term(&mut self, generation: Generation) -> Applied {
        if generation <= self.generation {
            return Applied::TermStarted { lost: None };
        }
        self.generation = generation;
        let first = self.next;
        self.next = Sequence::first_of(generation).expect("small generations");
        let end = self.next;
        let lost = LostRange { first, end };
        self.lost.push(lost);
        Applied::TermStarted { lost: Some(lost) }
    }

    fn accept(&mut self, sequence: Sequence, spec: &Arc<TaskSpec>) -> Applied {
        if sequence != self.next {
            let why = Refusal::NotNextSequence { next: self.next };
            return Applied::Refused { sequence, why };
        }
        self.next = Sequence::from_bits(sequence.bits() + 1);
        self.tasks.push(Task {
            sequence,
            spec: Arc::clone(spec),
            due: spec.not_before,
            retry: false,
            running: None,
            outcome: None,
            attempts: AttemptNumber(0),
            crashes: 0,
            checkpoint: 0,
            retrieved: false,
        });
        Applied::Accepted { sequence }
    }

    fn remove_all(&mut self, sequences: &[Sequence], why: Absence) -> Applied {
        let mut removed = Vec::new();
        for sequence in sequences {
            if self.look_up(*sequence).is_ok_and(|it| it.outcome.is_some()) {
                self.remove(*sequence, why);
                removed.push((*sequence, why));
            }
        }
        if removed.is_empty() {
            return Applied::Nothing;
        }
        Applied::Removed { sequences: removed }
    }

    fn remove(&mut self, sequence: Sequence, why: Absence) {
        let found = |task: &Task| task.sequence == sequence;
        let at = self.tasks.iter().position(found).expect("just found");
        let task = self.tasks.remove(at);
        let identity = task.spec.identity();
        self.removed.push((sequence, why));
        self.keys.push(RememberedKey {
            key: task.spec.idempotency_key.clone(),
            hit: KeyHit { sequence, identity },
            removed: self.time,
        });
        self.trim();
    }

    fn trim(&mut self) {
        let keep_last = |count: usize, most: u64| {
            count.saturating_sub(usize::try_from(most).unwrap_or(usize::MAX))
        };
        let history = keep_last(self.removed.len(), self.limits.history);
        self.removed.drain(..history);
        let keys = keep_last(self.keys.len(), self.limits.dedup_keys);
        self.keys.drain(..keys);
        let bytes = |kept: &Kept| (kept.request.as_bytes().len() + kept.outcome.bytes()) as u64;
        while self.kept.len() > DISPOSE_GRACE_ENTRIES_MAX
            || self.kept.iter().map(bytes).sum::<u64>() > DISPOSE_GRACE_BYTES_MAX
        {
            self.kept.remove(0);
        }
    }
}

/// The task that an operation on one task is for.
fn sequence_of(op: &Op) -> Sequence {
    match op {
        Op::Start { sequence, .. }
        | Op::Adopt { sequence, .. }
        | Op::Checkpoint { sequence, .. }
        | Op::Complete { sequence, .. }
        | Op::Fail { sequence, .. }
        | Op::RetryAt { sequence, .. }
        | Op::Cancel { sequence }
        | Op::HandBack { sequence, .. }
        | Op::Dispose { sequence, .. } => *sequence,
        other => panic!("{other:?} is not for one task"),
    }
}

/// The attempt that an operation is for.
fn token_of(op: &Op) -> Option<(Term, AttemptNumber)> {
    match op {
        Op::Adopt {
            attempt_term,
            attempt,
            ..
        }
        | Op::Checkpoint {
            attempt_term,
            attempt,
            ..
        }
        | Op::Complete {
            attempt_term,
            attempt,
            ..
        }
        | Op::RetryAt {
            attempt_term,
            attempt,
            ..
        }
        | Op::HandBack {
            attempt_term,
            attempt,
            ..
        } => Some((*attempt_term, *attempt)),
        Op::Fail { attempt, .. } => *attempt,
        _ => None,
    }
}

/// Whether the operation ends a task because the member under its attempt died.
fn tells_of_a_death(op: &Op) -> bool {
    let Op::Fail {
        attempt: None,
        failure,
        ..
    } = op
    else {
        return false;
    };
    [FailureKind::Poison, FailureKind::Interrupted].contains(&failure.kind)
}

fn outcome_of(op: &Op) -> Outcome {
    match op {
        Op::Complete { result, .. } => Outcome::Succeeded(result.as_ref().clone()),
        Op::Fail {
            failure,
            dead_letter: false,
            ..
        } => Outcome::Failed(failure.as_ref().clone()),
        Op::Fail { failure, .. } => Outcome::DeadLettered(failure.as_ref().clone()),
        Op::Cancel { .. } => Outcome::Cancelled,
        other => panic!("{other:?} ends nothing"),
    }
}
