//! After every turn: what the machines show, compared with what is true.

use std::collections::BTreeMap;

use ringhold_history::{Kind, Loss};
use ringhold_replica::{Effects, Replica, Reply, Request, RequestToken, RoleView, StartAttempt};
use ringhold_ringbuffer::LogEntry;
use ringhold_types::{
    AttemptNumber, AttemptToken, Configuration, ErrorCode, Generation, Lsn, MemberId, PartitionKey,
    Persistence, ReplicaId, Sequence, Term,
};

use super::World;
use super::clients::sequence_of;
use crate::coverage::Mark;
use crate::oracle::{Acknowledged, Compared, Oracle};

impl World {
    /// Compares what a process holds as committed with what is.
    pub(crate) fn observe(&mut self, slot: usize) {
        for partition in self.partitions.clone() {
            let Some(from) = self.compared_up_to(slot, partition) else {
                continue;
            };
            let Some(process) = self.hosts[slot].process.as_ref() else {
                return;
            };
            let Some(replica) = process.machine.replica(partition) else {
                continue;
            };
            let generation = replica.ring().generation();
            if replica.committed() <= from {
                continue;
            }
            let leads = leads(replica);
            if leads && commits_older_term(&self.oracle, replica) {
                self.coverage.mark(Mark::TookOverUncommittedTail);
            }
            if replica
                .applied()
                .0
                .is_multiple_of(crate::oracle::DIGEST_EVERY)
            {
                self.coverage.mark(Mark::RingsCompared);
            }
            let evicts =
                |entry: &LogEntry| matches!(entry.op, ringhold_ringbuffer::Op::Evict { .. });
            let new = usize::try_from(from.0 - replica.log_base().0).unwrap_or(usize::MAX);
            if replica.log().skip(new).any(evicts) {
                self.coverage.mark(Mark::Evicted);
            }
            let mut broken = compare(&mut self.oracle, replica, from);
            if leads && broken.is_none() {
                broken = self.find_electable_without(replica);
            }
            self.note_effect(partition, generation);
            if let Some((invariant, detail)) = broken {
                let member = self.hosts[slot].member;
                self.violate(invariant, format!("{detail} (at member {member})"));
            }
        }
    }

    /// Up to where a process's log was compared; `None` if there is nothing to compare. What a replica kept of an earlier
    /// life was compared then.
    fn compared_up_to(&mut self, slot: usize, partition: PartitionKey) -> Option<Lsn> {
        let process = self.hosts[slot].process.as_mut()?;
        let replica = process.machine.replica(partition)?;
        let generation = replica.configuration().generation;
        let belongs = replica.ring().generation() == generation;
        let known = process.compared.get(&partition).copied();
        let from = match known {
            _ if !belongs => replica.committed(),
            Some((of, lsn)) if of == generation => lsn.min(replica.committed()),
            _ => replica.log_base(),
        };
        process
            .compared
            .insert(partition, (generation, replica.committed()));
        Some(from.max(replica.log_base()))
    }

    /// Whoever may be elected holds everything that is committed (I2, I3, I5, I6).
    fn find_electable_without(&self, primary: &Replica) -> Option<Broken> {
        let partition = primary.partition();
        let configuration = self.control.cluster.configuration(partition)?;
        if configuration.generation != primary.configuration().generation {
            return None;
        }
        let commit = primary.committed();
        let term = entry_at(primary, commit).map(|entry| entry.term);
        let mut seats = configuration.in_sync.iter();
        let without =
            seats.find(|seat| self.holds(**seat, partition, commit, term) == Some(false))?;
        Some((
            "I3",
            format!(
                "{commit} of {partition} is committed and the in-sync {without} does not hold it"
            ),
        ))
    }

    /// Whether a replica holds a position durably; `None` if nothing can be said of it now.
    fn holds(
        &self,
        replica: ReplicaId,
        partition: PartitionKey,
        lsn: Lsn,
        term: Option<Term>,
    ) -> Option<bool> {
        let slot = self.slot_of(replica.member)?;
        let process = self.hosts[slot].process.as_ref()?;
        let held = process.machine.replica(partition)?;
        if held.id() != replica || held.cut_mark() {
            return None;
        }
        if held.configuration().generation
            != self.control.cluster.configuration(partition)?.generation
        {
            return None;
        }
        if held.durable() < lsn {
            return Some(false);
        }
        let known = entry_at(held, lsn).map(|entry| entry.term);
        Some(known.is_none() || term.is_none() || known == term)
    }

    /// Answers that deny what was true when the question was asked (G12).
    pub(crate) fn check_refusals(&mut self, effects: &Effects) {
        for (token, reply) in &effects.replies {
            let Some(open) = self.open.get(token).cloned() else {
                continue;
            };
            let partition = open.partition;
            let Some(sequence) = sequence_of(&open.request) else {
                continue;
            };
            let denies = match reply {
                Reply::Refused(refusal) => refusal.code == ErrorCode::NeverExisted,
                _ => false,
            };
            if denies && open.was_stored {
                self.violate(
                    "NoAckLost",
                    format!("{partition}/{sequence} was stored and is denied"),
                );
            }
            let pending = match reply {
                Reply::NotYet { .. } => true,
                Reply::Task(view) => view.entry.is_unfinished(),
                _ => false,
            };
            // A loss recorded since then may have taken the outcome while the task was kept: it runs again.
            let configuration = self.control.cluster.configuration(partition);
            let lost = configuration.is_some_and(|it| open.had_ended < Some(it.generation));
            if pending && open.had_ended.is_some() && !lost {
                self.violate(
                    "G12",
                    format!("{partition}/{sequence} had ended and is pending again"),
                );
            }
        }
    }

    /// After what is newly committed is taken in: answers and starts.
    pub(crate) fn check_answers(
        &mut self,
        slot: usize,
        effects: &Effects,
        led: &BTreeMap<PartitionKey, Term>,
    ) {
        for (token, reply) in &effects.replies {
            if !self.answered.insert(*token) {
                self.violate(
                    "OneAnswer",
                    format!("request {} was answered twice", token.0),
                );
            }
            self.check_answer(slot, *token, reply, led);
        }
        for attempt in &effects.starts {
            self.check_start(attempt);
            self.check_lease(slot, attempt.token.partition, led, "a start");
        }
    }

    fn check_answer(
        &mut self,
        slot: usize,
        token: RequestToken,
        reply: &Reply,
        led: &BTreeMap<PartitionKey, Term>,
    ) {
        let Some(open) = self.open.get(&token).cloned() else {
            return;
        };
        let partition = open.partition;
        if let Reply::Refused(refusal) = reply {
            // What passes with time, or leaves all open, says nothing of any task.
            let needs_no_lease = refusal.code.is_retryable()
                || matches!(refusal.code, ErrorCode::Indeterminate | ErrorCode::DiskFull);
            let parked = matches!(open.request, Request::Retrieve { wait: true, .. });
            if refusal.code == ErrorCode::NotPrimary && parked {
                self.coverage.mark(Mark::WaiterRedirected);
            }
            if needs_no_lease {
                return;
            }
        }
        let confirms = matches!(open.request, Request::ConfirmRetrieved { .. });
        if !confirms {
            self.mark_lone(slot, partition);
            self.check_lease(slot, partition, led, "an answer");
        }
        match reply {
            Reply::Submitted {
                sequence,
                term,
                members,
                reused,
            } => {
                let stored = Stored {
                    partition,
                    sequence: *sequence,
                    term: *term,
                    reused: *reused,
                };
                self.check_receipt(slot, &open.request, &stored, members);
            }
            Reply::Outcome {
                sequence, outcome, ..
            } => {
                let truth = self.oracle.outcome(partition, *sequence);
                if truth.is_none_or(|truth| truth != outcome) {
                    self.violate(
                        "I12",
                        format!("{partition}/{sequence} was read as another outcome than its own"),
                    );
                }
            }
            _ => {}
        }
    }

    fn mark_lone(&mut self, slot: usize, partition: PartitionKey) {
        let process = self.hosts[slot].process.as_ref();
        let replica = process.and_then(|it| it.machine.replica(partition));
        if replica.is_some_and(|it| it.configuration().in_sync.len() == 1) {
            self.coverage.mark(Mark::LonePrimaryAnswered);
        }
    }

    /// Nobody answers or starts in a term that a later one has followed (I14).
    fn check_lease(
        &mut self,
        slot: usize,
        partition: PartitionKey,
        led: &BTreeMap<PartitionKey, Term>,
        what: &str,
    ) {
        let before = self.hosts[slot]
            .process
            .as_ref()
            .and_then(|it| it.led.get(&partition));
        let Some(term) = led.get(&partition).max(before).copied() else {
            return;
        };
        if let Some(later) = self.oracle.is_past(partition, term) {
            let member = self.hosts[slot].member;
            self.violate("I14", format!(
                "{what} of {member} for {partition} in term {term} after term {later} had committed"
            ));
        }
    }

    /// Whether every earlier attempt of a task was given back before its handler had begun.
    fn never_began_before(&self, token: AttemptToken) -> bool {
        (1..token.attempt.0).all(|earlier| {
            let attempt = (token.partition, token.sequence, AttemptNumber(earlier));
            self.unbegun.contains(&attempt)
        })
    }

    /// Nothing starts before its task is stored (G2), and in a later term not before its start is (I11).
    fn check_start(&mut self, attempt: &StartAttempt) {
        let token = attempt.token;
        let partition = token.partition;
        let Some(accepted) = self.oracle.accepted(partition, token.sequence) else {
            self.violate(
                "I11",
                format!("{partition}/{} starts and is not stored", token.sequence),
            );
            return;
        };
        let awaited = accepted.term != token.term || accepted.once;
        if accepted.once && !self.never_began_before(token) {
            let (sequence, attempt) = (token.sequence, token.attempt);
            let text = format!(
                "{partition}/{sequence} must not be repeated and runs as attempt {attempt}"
            );
            self.violate("I11", text);
        }
        if awaited
            && !self
                .oracle
                .is_started(partition, token.sequence, token.attempt)
        {
            self.violate(
                "I11",
                format!(
                    "attempt {} of {partition}/{} runs and its start is not committed",
                    token.attempt, token.sequence
                ),
            );
        }
    }

    /// A receipt is true: stored, once, under one key, on the members that it names (G1, G6, I17).
    fn check_receipt(
        &mut self,
        slot: usize,
        request: &Request,
        stored: &Stored,
        members: &[MemberId],
    ) {
        let Request::Submit(submission) = request else {
            return;
        };
        let Stored {
            partition,
            sequence,
            term,
            reused,
        } = *stored;
        let key = &submission.task.idempotency_key;
        let Some(accepted) = self.oracle.accepted(partition, sequence).cloned() else {
            self.violate(
                "NoAckLost",
                format!("{partition}/{sequence} is acknowledged and not committed"),
            );
            return;
        };
        let name = (partition, sequence);
        let other = self
            .oracle
            .key_of
            .get(&name)
            .is_some_and(|known| known != key);
        if accepted.key != *key || other {
            self.violate(
                "UniqueId",
                format!("{partition}/{sequence} is acknowledged to two submits"),
            );
        }
        let ids = self.oracle.ids_of.entry(key.clone()).or_default();
        let twice = ids.iter().find(|(at, known)| {
            *at == partition && *known != sequence && known.generation() == sequence.generation()
        });
        if let Some((_, known)) = twice.copied() {
            self.violate(
                "Dedupe",
                format!("one key is stored as {partition}/{known} and {partition}/{sequence}"),
            );
        }
        if reused {
            self.coverage.mark(Mark::DuplicateFound);
            if accepted.term < term {
                self.coverage.mark(Mark::DuplicateAfterTakeover);
            }
        }
        self.oracle.key_of.insert(name, key.clone());
        let ids = self.oracle.ids_of.entry(key.clone()).or_default();
        if !ids.contains(&name) {
            ids.push(name);
            self.oracle.acknowledged.push(Acknowledged {
                partition,
                sequence,
            });
        }
        self.check_copies(slot, partition, &accepted, members);
    }

    fn check_copies(
        &mut self,
        slot: usize,
        partition: PartitionKey,
        accepted: &crate::oracle::Accepted,
        members: &[MemberId],
    ) {
        let process = self.hosts[slot].process.as_ref();
        let Some(replica) = process.and_then(|it| it.machine.replica(partition)) else {
            return;
        };
        let configuration: Configuration = replica.configuration().clone();
        if (members.len() as u64) < u64::from(configuration.min_copies) {
            self.violate(
                "I17",
                format!(
                    "{partition} acknowledges with {} copies where {} are needed",
                    members.len(),
                    configuration.min_copies
                ),
            );
        }
        let present = self.control.cluster.configuration(partition);
        for member in members {
            let seat = configuration.in_sync.iter().find(|it| it.member == *member);
            // A seat that was taken away meanwhile, which the primary has not heard, may be an empty learner again under
            // the same name. What the receipt says was true when it was committed.
            let stands =
                |seat: &&ReplicaId| present.as_ref().is_some_and(|it| it.is_in_sync(**seat));
            let held = seat
                .filter(stands)
                .and_then(|seat| self.holds(*seat, partition, accepted.lsn, accepted.entry_term));
            let unseated = seat.is_none() && !self.had_seat(slot, &configuration, *member);
            if held == Some(false) || unseated {
                self.violate(
                    "Receipt",
                    format!(
                        "{partition}: the receipt names {member}, which does not hold the task"
                    ),
                );
            }
        }
    }

    /// Whether a member had a seat in a configuration that a process acted on within its last turn: an answer may be older
    /// than the news of the same turn.
    fn had_seat(&self, slot: usize, now: &Configuration, member: MemberId) -> bool {
        let process = self.hosts[slot].process.as_ref();
        let before = process.and_then(|it| it.versions.get(&now.partition).copied());
        let states = self.control.states.iter().rev();
        states
            .filter_map(|state| state.cluster.configuration(now.partition))
            .skip_while(|it| it.version > now.version)
            .take_while(|it| before.is_some_and(|before| it.version >= before))
            .any(|it| it.in_sync.iter().any(|seat| seat.member == member))
    }

    /// What clients saw is judged by when a loss took effect: when its generation committed for the first time. Until then
    /// a primary whose seat is gone answers from the old one, while a lease that it was granted runs (PROTOCOL §2).
    fn note_effect(&mut self, partition: PartitionKey, generation: Generation) {
        let noted = self.begun.entry(partition).or_default();
        if *noted >= generation {
            return;
        }
        *noted = generation;
        let loss = Loss {
            partition: partition.to_string(),
            generation: generation.0,
        };
        self.note(usize::MAX, 0, Kind::Lost(loss));
    }

    /// A generation ended: nobody who held it may still hold it (DESIGN G5).
    ///
    /// `recorded`: the only one left proposed it, because its own tail is cut and nobody is there to ask (PROTOCOL §5).
    pub(crate) fn generation_lost(&mut self, old: &Configuration, recorded: bool) {
        self.coverage.mark(Mark::Lost);
        if recorded {
            let marked = |seat: &ReplicaId| {
                let slot = self.slot_of(seat.member)?;
                let process = self.hosts[slot].process.as_ref()?;
                Some(process.machine.replica(old.partition)?.cut_mark())
            };
            if old.in_sync.iter().any(|seat| marked(seat) == Some(false)) {
                self.violate(
                    "LossHonest",
                    format!("{} is given up by one that lost nothing", old.partition),
                );
            }
            return;
        }
        for seat in &old.in_sync {
            let Some(slot) = self.slot_of(seat.member) else {
                continue;
            };
            let host = &self.hosts[slot];
            let cluster = &self.control.cluster;
            let record = cluster.members().get(&seat.member);
            let exists = record.is_some_and(|it| it.replica(self.plan.persistence) == *seat);
            let keeps = match self.plan.persistence {
                Persistence::Fsync => !host.is_rotten,
                Persistence::Memory => host.process.as_ref().is_some_and(|process| {
                    record.is_some_and(|record| record.start == process.start)
                }),
            };
            if exists && keeps && !host.is_gone {
                self.violate(
                    "LossHonest",
                    format!("{} is given up while {seat} holds it", old.partition),
                );
            }
        }
    }
}

/// What a receipt says.
#[derive(Clone, Copy)]
struct Stored {
    partition: PartitionKey,
    sequence: Sequence,
    term: Term,
    reused: bool,
}

/// An invariant's name and what was seen.
pub(crate) type Broken = (&'static str, String);

/// Whether a replica commits by its own decision.
pub(crate) fn leads(replica: &Replica) -> bool {
    matches!(
        replica.role(),
        RoleView::Leading | RoleView::TakingOver | RoleView::Passive
    )
}

/// The entry of a replica's log at a position, while it is kept.
pub(crate) fn entry_at(replica: &Replica, lsn: Lsn) -> Option<&LogEntry> {
    let index = lsn.0.checked_sub(replica.log_base().0 + 1)?;
    replica.log().nth(usize::try_from(index).ok()?)
}

/// Whether a primary has just committed an entry of an earlier term, with its own `TermStart` (I8).
fn commits_older_term(oracle: &Oracle, replica: &Replica) -> bool {
    let life = oracle.newest(replica.partition());
    let first = life.and_then(|life| entry_at(replica, life.end().next()));
    first.is_some_and(|entry| entry.lsn <= replica.committed() && entry.term < replica.term())
}

/// Compares what a replica holds as committed after `from` with what is; takes in what a primary commits (I3, I4, I12, I13).
fn compare(oracle: &mut Oracle, replica: &Replica, from: Lsn) -> Option<Broken> {
    let partition = replica.partition();
    let leads = leads(replica);
    let life = oracle.life_of(replica);
    let skip = usize::try_from(from.0 - replica.log_base().0).unwrap_or(usize::MAX);
    for entry in replica.log().skip(skip) {
        if entry.lsn > replica.committed() {
            break;
        }
        match life.compare(entry) {
            Compared::Same => {}
            Compared::Beyond if leads && entry.lsn == life.end().next() => {
                if let Some(sequence) = life.commit(entry) {
                    return Some(("I12", format!("a second outcome of {partition}/{sequence}")));
                }
            }
            Compared::Beyond => {
                let text = format!(
                    "{} of {partition} in term {} is committed by no primary",
                    entry.lsn, entry.term
                );
                return Some(("I4", text));
            }
            Compared::Different => {
                let truth = life.entry(entry.lsn);
                let text = format!("{partition} committed {truth:?} and {entry:?}");
                return Some(("I3", text));
            }
        }
    }
    let digest = life.digest_at(replica.applied())?;
    let differs = digest != replica.ring().digest();
    differs.then(|| {
        (
            "I13",
            format!("the rings of {partition} differ at {}", replica.applied()),
        )
    })
}
