//! What is true, kept beside the machines: the committed log of every life of a partition, as the first primary to commit an
//! entry showed it, and the ring that follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringhold_replica::Replica;
use ringhold_ringbuffer::{Applied, LogEntry, Op, Ring, RingLimits};
use ringhold_types::{
    AttemptNumber, ExecutorConfig, ExecutorName, Generation, IdempotencyKey, Lsn, Outcome,
    PartitionKey, Sequence, Term,
};

/// A task that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    /// Where; for what a life began with, where that ends.
    pub(crate) lsn: Lsn,
    /// Term of the entry there, if it is the acceptance itself.
    pub(crate) entry_term: Option<Term>,
    pub(crate) term: Term,
    pub(crate) key: IdempotencyKey,
    pub(crate) once: bool,
}

/// One life (generation) of a partition.
pub(crate) struct Life {
    /// Entries up to here belong to what the life began with.
    base: Lsn,
    log: Vec<LogEntry>,
    pub(crate) ring: Ring,
    digests: BTreeMap<Lsn, u64>,
    pub(crate) accepted: BTreeMap<Sequence, Accepted>,
    pub(crate) outcomes: BTreeMap<Sequence, Arc<Outcome>>,
    pub(crate) starts: BTreeSet<(Sequence, AttemptNumber)>,
    /// Terms in which something was committed.
    pub(crate) terms: BTreeSet<Term>,
}

/// How an entry compares with what is committed.
pub(crate) enum Compared {
    /// It is the same, or older than what is kept.
    Same,
    /// Another entry is committed there.
    Different,
    /// Nothing is committed there yet.
    Beyond,
}

/// Digests are kept for positions that are multiples of this: a digest walks the whole ring.
pub(crate) const DIGEST_EVERY: u64 = 16;

impl Life {
    /// The life that a replica shows first.
    fn shown_by(replica: &Replica) -> Self {
        let generation = replica.configuration().generation;
        let begins = replica.log_base() == Lsn::ZERO
            && replica.log().next().is_some_and(
                |entry| matches!(entry.op, Op::TermStart { generation: it, .. } if it == generation),
            );
        let (base, ring) = if begins {
            (Lsn::ZERO, Ring::new(generation, first_limits()))
        } else {
            (replica.applied(), replica.ring().clone())
        };
        let mut life = Self {
            base,
            log: Vec::new(),
            ring: ring.clone(),
            digests: BTreeMap::new(),
            accepted: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            starts: BTreeSet::new(),
            terms: BTreeSet::new(),
        };
        life.begin_with(&ring);
        life
    }

    /// A life that goes on from what a replica kept over a loss: what it kept counts, committed before or not.
    fn begin_with(&mut self, ring: &Ring) {
        for entry in ring.entries() {
            let accepted = Accepted {
                lsn: self.base,
                entry_term: None,
                term: entry.accepted_term,
                key: entry.task.idempotency_key.clone(),
                once: entry.task.on_interrupt == ringhold_types::OnInterrupt::Fail,
            };
            self.accepted.insert(entry.sequence, accepted);
            for attempt in &entry.history {
                self.starts.insert((entry.sequence, attempt.number));
            }
            if let Some(outcome) = entry.outcome() {
                self.outcomes.insert(entry.sequence, Arc::clone(outcome));
            }
        }
    }

    /// The last committed position.
    pub(crate) fn end(&self) -> Lsn {
        Lsn(self.base.0 + self.log.len() as u64)
    }

    /// The committed entry at a position.
    pub(crate) fn entry(&self, lsn: Lsn) -> Option<&LogEntry> {
        let index = lsn.0.checked_sub(self.base.0 + 1)?;
        self.log.get(usize::try_from(index).ok()?)
    }

    /// Compares an entry that a replica holds as committed.
    pub(crate) fn compare(&self, entry: &LogEntry) -> Compared {
        if entry.lsn <= self.base {
            return Compared::Same;
        }
        match self.entry(entry.lsn) {
            Some(committed) if committed == entry => Compared::Same,
            Some(_) => Compared::Different,
            None => Compared::Beyond,
        }
    }

    /// The next entry is committed. Tells of a second outcome of a task (I12).
    pub(crate) fn commit(&mut self, entry: &LogEntry) -> Option<Sequence> {
        let mut second = None;
        let applied = self.ring.apply(entry);
        match (&entry.op, applied) {
            (Op::Accept { sequence, task, .. }, Applied::Accepted { .. }) => {
                let accepted = Accepted {
                    lsn: entry.lsn,
                    entry_term: Some(entry.term),
                    term: entry.term,
                    key: task.idempotency_key.clone(),
                    once: task.on_interrupt == ringhold_types::OnInterrupt::Fail,
                };
                self.accepted.insert(*sequence, accepted);
            }
            (
                Op::Start {
                    sequence, attempt, ..
                },
                Applied::Started { .. },
            ) => {
                self.starts.insert((*sequence, *attempt));
            }
            (
                _,
                Applied::Ended {
                    sequence, outcome, ..
                },
            ) => {
                second = self.outcomes.insert(sequence, outcome).map(|_| sequence);
            }
            _ => {}
        }
        self.terms.insert(entry.term);
        self.log.push(entry.clone());
        if entry.lsn.0.is_multiple_of(DIGEST_EVERY) {
            self.digests.insert(entry.lsn, self.ring.digest());
        }
        second
    }

    /// The digest of the ring at a position, where it is kept.
    pub(crate) fn digest_at(&self, lsn: Lsn) -> Option<u64> {
        self.digests.get(&lsn).copied()
    }

    /// Whether a later term than `term` has committed anything.
    pub(crate) fn is_past(&self, term: Term) -> Option<Term> {
        self.terms.last().copied().filter(|last| *last > term)
    }
}

/// The limits that every ring begins with, as in the machine: the log's first `Configure` brings the real ones.
fn first_limits() -> RingLimits {
    let name = ExecutorName::new("new").expect("a valid name");
    RingLimits::of(&ExecutorConfig::with_name(name))
}

/// An acknowledged submit.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) partition: PartitionKey,
    pub(crate) sequence: Sequence,
}

/// What is true.
#[derive(Default)]
pub(crate) struct Oracle {
    lives: BTreeMap<(PartitionKey, Generation), Life>,
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Keys by acknowledged id, and ids by key.
    pub(crate) key_of: BTreeMap<(PartitionKey, Sequence), IdempotencyKey>,
    pub(crate) ids_of: BTreeMap<IdempotencyKey, Vec<(PartitionKey, Sequence)>>,
}

impl Oracle {
    /// A life, begun as the replica shows it.
    pub(crate) fn life_of(&mut self, replica: &Replica) -> &mut Life {
        let key = (replica.partition(), replica.configuration().generation);
        self.lives
            .entry(key)
            .or_insert_with(|| Life::shown_by(replica))
    }

    /// The lives of a partition, newest first.
    fn lives_of(&self, partition: PartitionKey) -> impl Iterator<Item = &Life> {
        let first = (partition, Generation::ZERO);
        let last = (partition, Generation(u64::MAX));
        self.lives.range(first..=last).rev().map(|(_, life)| life)
    }

    /// The newest life of a partition.
    pub(crate) fn newest(&self, partition: PartitionKey) -> Option<&Life> {
        self.lives_of(partition).next()
    }

    /// The newest life of a partition that knows a task: what an older life knows of the task
    /// counts no more, for a recorded loss took it or kept it.
    fn life_with(&self, partition: PartitionKey, sequence: Sequence) -> Option<&Life> {
        self.lives_of(partition)
            .find(|life| life.accepted.contains_key(&sequence))
    }

    /// The acceptance of a task.
    pub(crate) fn accepted(
        &self,
        partition: PartitionKey,
        sequence: Sequence,
    ) -> Option<&Accepted> {
        let life = self.life_with(partition, sequence)?;
        life.accepted.get(&sequence)
    }

    /// The outcome of a task.
    pub(crate) fn outcome(
        &self,
        partition: PartitionKey,
        sequence: Sequence,
    ) -> Option<&Arc<Outcome>> {
        let life = self.life_with(partition, sequence)?;
        life.outcomes.get(&sequence)
    }

    /// The generation in which a task has ended, if it has.
    pub(crate) fn ended_in(
        &self,
        partition: PartitionKey,
        sequence: Sequence,
    ) -> Option<Generation> {
        let life = self.life_with(partition, sequence)?;
        let ended = life.outcomes.contains_key(&sequence);
        ended.then(|| life.ring.generation())
    }

    /// Whether the start of an attempt is committed.
    pub(crate) fn is_started(
        &self,
        partition: PartitionKey,
        sequence: Sequence,
        attempt: AttemptNumber,
    ) -> bool {
        let life = self.life_with(partition, sequence);
        life.is_some_and(|life| life.starts.contains(&(sequence, attempt)))
    }

    /// Whether a later term than `term` has committed anything in the newest life.
    pub(crate) fn is_past(&self, partition: PartitionKey, term: Term) -> Option<Term> {
        self.lives_of(partition).find_map(|life| life.is_past(term))
    }
}
