//! Requests that change something: admitted only with enough copies (I17), found again by key, answered after commit (I11).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringhold_ringbuffer::{Admission, InFlight, Op};
use ringhold_types::{
    ErrorCode, IdempotencyKey, Lsn, MemberId, Millis, Outcome, PartitionKey, ReplicaId, RequestId,
    Sequence, TaskSpec, WhenFull, limits,
};

use crate::context::Context;
use crate::core::Core;
use crate::effect::Note;
use crate::primary::Primary;
use crate::request::{Asked, Reply, Request, RequestToken, Submission};
use crate::requests::{Waiting, refused, retry_later};
use crate::ring_bytes;
use crate::rules::{Rule, Rules};

/// Requests that one partition holds during a takeover or until there is room: more wait at their callers.
pub(crate) const HELD_REQUESTS_MAX: usize = 4096;
/// Bytes of tasks that it holds so.
pub(crate) const HELD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// When a caller may try again after a refusal that passes with time.
pub(crate) const RETRY_AFTER: Millis = Millis(100);

/// Requests that are held until they can be worked on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Held {
    /// Until the primary leads, or a hand-over is over.
    early: BTreeMap<RequestToken, Asked>,
    /// Submits, until there is room.
    room: BTreeMap<RequestToken, Asked>,
    bytes: usize,
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.early.len() + self.room.len()
    }

    fn has_room(&self, asked: &Asked) -> bool {
        self.len() < HELD_REQUESTS_MAX && self.bytes + asked_bytes(asked) <= HELD_BYTES_MAX
    }

    /// Forgets a request that was answered or whose caller is gone.
    pub(crate) fn remove(&mut self, token: RequestToken) {
        for held in [&mut self.early, &mut self.room] {
            if let Some(asked) = held.remove(&token) {
                self.bytes -= asked_bytes(&asked);
            }
        }
    }
}

fn asked_bytes(asked: &Asked) -> usize {
    match &asked.request {
        Request::Submit(submission) => submission.task.bytes(),
        Request::ConfirmRetrieved { sequences } => sequences.len() * 8,
        _ => 0,
    }
}

/// An accept that is appended and not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PendingAccept {
    sequence: Sequence,
    identity: u64,
    lsn: Lsn,
}

/// All accepts and evictions that are appended and not applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepts {
    by_key: BTreeMap<IdempotencyKey, PendingAccept>,
    bytes: u64,
    evictions: BTreeSet<Sequence>,
    /// The sequence of the next accept.
    pub(crate) next: Sequence,
}

impl Accepts {
    fn in_flight(&self) -> InFlight<'_> {
        InFlight {
            accepts: self.by_key.len() as u64,
            bytes: self.bytes,
            evictions: &self.evictions,
        }
    }

    fn add(&mut self, task: &TaskSpec, pending: PendingAccept) {
        self.bytes += task.bytes() as u64;
        self.by_key.insert(task.idempotency_key.clone(), pending);
    }

    /// An operation is applied.
    pub(crate) fn applied(&mut self, op: &Op) {
        match op {
            Op::Accept { task, .. } if self.by_key.remove(&task.idempotency_key).is_some() => {
                self.bytes = self.bytes.saturating_sub(task.bytes() as u64);
            }
            Op::Evict { sequences } => {
                for sequence in sequences {
                    self.evictions.remove(sequence);
                }
            }
            _ => {}
        }
    }
}

/// What a caller is told once an entry is committed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Completion {
    /// The task is stored.
    Submit { token: RequestToken, reused: bool },
    /// The key is in use for another task.
    Clash { token: RequestToken },
    /// The task is cancelled, or had ended.
    Cancel { token: RequestToken },
    /// The outcome is gone.
    Dispose { token: RequestToken },
    /// The outcome is gone, and this is it.
    Take {
        token: RequestToken,
        request: RequestId,
        outcome: Arc<Outcome>,
        attempts: u32,
    },
}

/// What became of a submit.
enum Submitted {
    /// It is on its way, or answered.
    Done,
    /// It waits for room.
    Waits(Asked),
}

impl Primary {
    /// A caller asks; the request is open already.
    pub(crate) fn asked<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        asked: Asked,
    ) {
        let changes = !matches!(
            asked.request,
            Request::Get { .. }
                | Request::List { .. }
                | Request::Find { .. }
                | Request::Retrieve { dispose: None, .. }
        );
        if !self.is_working() || (changes && self.hand_over.is_some()) {
            self.hold(core, context, asked, false);
            return;
        }
        let token = asked.token;
        match asked.request {
            Request::Submit(ref submission) => {
                // Behind others that wait for room; what is stored already needs none.
                let blocked = !self.held.room.is_empty();
                if blocked && self.find_duplicate(core, context, token, &submission.task) {
                    return;
                }
                let result = if blocked {
                    Submitted::Waits(asked)
                } else {
                    self.submit(core, context, asked)
                };
                if let Submitted::Waits(asked) = result {
                    self.hold(core, context, asked, true);
                }
            }
            Request::Find { key } => self.find(core, context, token, &key),
            Request::Dispose { sequence } => self.dispose(core, context, token, sequence),
            Request::Cancel { sequence } => self.cancel(core, context, token, sequence),
            Request::ConfirmRetrieved { sequences } => {
                self.confirm_retrieved(core, context.now, &sequences);
                context.answer(token, Reply::Done);
            }
            read => self.read(core, context, token, read),
        }
    }

    /// Holds a request; beyond the bounds it is refused.
    fn hold<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        asked: Asked,
        for_room: bool,
    ) {
        if !self.held.has_room(&asked) {
            let text = format!("partition {} holds too many requests", core.partition);
            context.answer(
                asked.token,
                retry_later(ErrorCode::Unavailable, text, RETRY_AFTER),
            );
            return;
        }
        self.held.bytes += asked_bytes(&asked);
        let waiting = if for_room {
            Waiting::Room
        } else {
            Waiting::Held
        };
        context.shared.requests.set_waiting(asked.token, waiting);
        let held = if for_room {
            &mut self.held.room
        } else {
            &mut self.held.early
        };
        held.insert(asked.token, asked);
    }

    /// Works on held requests as far as that is possible now.
    pub(crate) fn admit_held<R: Rules>(&mut self, core: &mut Core, context: &mut Context<'_, R>) {
        if self.hand_over.is_some() {
            return;
        }
        for (token, asked) in std::mem::take(&mut self.held.early) {
            self.held.bytes -= asked_bytes(&asked);
            if context.shared.requests.is_open(token) {
                self.asked(core, context, asked);
            }
        }
        while let Some((token, asked)) = self.held.room.pop_first() {
            let bytes = asked_bytes(&asked);
            let open = context.shared.requests.is_open(token);
            if open && let Submitted::Waits(asked) = self.submit(core, context, asked) {
                self.held.room.insert(token, asked);
                break;
            }
            self.held.bytes -= bytes;
        }
    }

    /// Stores a task, or finds it stored.
    fn submit<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        asked: Asked,
    ) -> Submitted {
        let token = asked.token;
        let Request::Submit(submission) = &asked.request else {
            return Submitted::Done;
        };
        if self.find_duplicate(core, context, token, &submission.task) {
            return Submitted::Done;
        }
        if let Some(full) = full_disk(core, context) {
            context.answer(token, disk_full(full));
            return Submitted::Done;
        }
        if self.seats(core, context) < core.configuration.min_copies {
            context.note(Note::TooFewCopies(core.partition));
            let text = format!(
                "partition {} has {} of {} copies in sync",
                core.partition,
                core.configuration.in_sync.len(),
                core.configuration.min_copies
            );
            context.answer(
                token,
                retry_later(ErrorCode::NotEnoughCopies, text, RETRY_AFTER),
            );
            return Submitted::Done;
        }
        if has_full_log(core) {
            return Submitted::Waits(asked);
        }
        match self.find_room(core, context, &submission.task) {
            Ok(evict) => {
                context.shared.ring_bytes.wait_is_over(core.partition);
                self.accept(core, context, token, submission, evict);
                Submitted::Done
            }
            Err(lack) if core.ring.limits().when_full == WhenFull::Wait => {
                let ring_bytes = &mut context.shared.ring_bytes;
                match lack {
                    Lack::Member(member) => ring_bytes.wait(core.partition, member),
                    Lack::Partition => ring_bytes.wait_is_over(core.partition),
                }
                Submitted::Waits(asked)
            }
            Err(lack) => {
                if matches!(lack, Lack::Member(_)) {
                    context.note(Note::RingsFull(core.partition));
                }
                context.answer(token, lack.reply(core.partition));
                Submitted::Done
            }
        }
    }

    /// What must be evicted for a task to fit, or what has no room for it.
    fn find_room<R: Rules>(
        &self,
        core: &Core,
        context: &Context<'_, R>,
        task: &TaskSpec,
    ) -> Result<Vec<Sequence>, Lack> {
        let (in_flight, bytes) = (self.accepts.in_flight(), task.bytes() as u64);
        let taken = ring_bytes::taken_by(task);
        let (member, room) = match full_backup(core, context) {
            Some(backup) => (backup, taken),
            None => {
                let shared = &context.shared;
                (shared.id, shared.ring_bytes.room_to_make(taken))
            }
        };
        match core.ring.admission_making_room(in_flight, bytes, room) {
            Admission::Admit { evict } => Ok(evict),
            Admission::Full => match core.ring.admission(in_flight, bytes) {
                Admission::Admit { .. } => Err(Lack::Member(member)),
                Admission::Full => Err(Lack::Partition),
            },
        }
    }

    /// What a submit is told that found no room until its deadline: in the ring, or among what waits to be committed.
    pub(crate) fn no_room<R: Rules>(core: &Core, context: &mut Context<'_, R>) -> Reply {
        if has_full_log(core) {
            let text = format!(
                "partition {} has too many entries that are not committed yet; its backups or disks lag",
                core.partition
            );
            return retry_later(ErrorCode::Unavailable, text, RETRY_AFTER);
        }
        if let Some(member) = context.shared.ring_bytes.waited_for(core.partition) {
            context.note(Note::RingsFull(core.partition));
            return Lack::Member(member).reply(core.partition);
        }
        let text = format!("partition {} stayed full", core.partition);
        retry_later(ErrorCode::ExecutorFull, text, RETRY_AFTER)
    }

    /// Answers a submit whose key is known: with its task, once that is committed, or with ALREADY_EXISTS.
    fn find_duplicate<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        token: RequestToken,
        task: &TaskSpec,
    ) -> bool {
        let key = &task.idempotency_key;
        if let Some(pending) = self.accepts.by_key.get(key).copied() {
            let completion = if pending.identity == task.identity() {
                Completion::Submit {
                    token,
                    reused: true,
                }
            } else {
                Completion::Clash { token }
            };
            self.complete_at(context, pending.lsn, token, completion);
            return true;
        }
        let Some(hit) = core.ring.find_key(key) else {
            return false;
        };
        context.note(Note::DuplicateFound(core.partition));
        if hit.identity == task.identity() {
            self.stored(core, context, token, hit.sequence, true);
        } else {
            self.reply(core, context, token, clash(), false);
        }
        true
    }

    /// Answers with the task that is stored under a key, once that is committed, or that there is none.
    fn find<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        token: RequestToken,
        key: &IdempotencyKey,
    ) {
        if let Some(pending) = self.accepts.by_key.get(key).copied() {
            let reused = true;
            let completion = Completion::Submit { token, reused };
            self.complete_at(context, pending.lsn, token, completion);
        } else if let Some(hit) = core.ring.find_key(key) {
            self.stored(core, context, token, hit.sequence, true);
        } else {
            let text = "no task is remembered under this idempotency key";
            self.reply(
                core,
                context,
                token,
                refused(ErrorCode::NotFound, text),
                false,
            );
        }
    }

    fn accept<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        token: RequestToken,
        submission: &Submission,
        evict: Vec<Sequence>,
    ) {
        if !evict.is_empty() {
            self.accepts.evictions.extend(evict.iter().copied());
            self.append(core, context, Op::Evict { sequences: evict });
        }
        let mut task = Arc::clone(&submission.task);
        if let Some(delay) = submission.delay {
            let not_before = self.time(core, context).after(delay);
            Arc::make_mut(&mut task).not_before = Some(not_before);
        }
        let sequence = self.accepts.next;
        // Admission has seen that this generation has a sequence left for every accept in flight.
        self.accepts.next = sequence.next().unwrap_or(sequence);
        let op = Op::Accept {
            sequence,
            task: Arc::clone(&task),
            accepted_at: submission.now,
        };
        let taken = ring_bytes::taken_by(&task);
        context.shared.ring_bytes.add(core.partition, taken);
        let lsn = self.append(core, context, op);
        let identity = task.identity();
        let pending = PendingAccept {
            sequence,
            identity,
            lsn,
        };
        self.accepts.add(&task, pending);
        if context.drops(Rule::StartAfterAccept) {
            self.begin_unstored(core, context, sequence, &task);
        }
        if context.drops(Rule::EffectsAfterCommit) {
            context.answer(token, self.receipt(core, sequence, false));
            return;
        }
        let completion = Completion::Submit {
            token,
            reused: false,
        };
        self.complete_at(context, lsn, token, completion);
    }

    /// Notes what a caller is told once the entry at `lsn` is committed.
    pub(crate) fn complete_at<R: Rules>(
        &mut self,
        context: &mut Context<'_, R>,
        lsn: Lsn,
        token: RequestToken,
        completion: Completion,
    ) {
        context
            .shared
            .requests
            .set_waiting(token, Waiting::Committing);
        self.completions.entry(lsn).or_default().push(completion);
    }

    /// Members with a seat, which alone count towards min-copies (I17).
    fn seats<R: Rules>(&self, core: &Core, context: &Context<'_, R>) -> u32 {
        let mut seats = core.configuration.in_sync.len();
        if context.drops(Rule::AdmissionCountsSeatsOnly) {
            seats += self.counted.len();
        }
        u32::try_from(seats).unwrap_or(u32::MAX)
    }

    /// Seats that hold everything that is committed. All did when it was committed; one whose process started anew with a cut
    /// tail does so again only when it says so.
    fn holders<'a>(&'a self, core: &'a Core) -> impl Iterator<Item = ReplicaId> + 'a {
        core.configuration.in_sync.iter().copied().filter(|seat| {
            let peer = self.peers.get(seat);
            *seat == core.id || peer.is_some_and(|progress| progress.matched >= core.commit)
        })
    }

    fn lacking(&self, core: &Core) -> u32 {
        let lacking = core.configuration.in_sync.len() - self.holders(core).count();
        u32::try_from(lacking).unwrap_or(u32::MAX)
    }

    /// The task is committed: answered as soon as enough seats hold it (I17).
    pub(crate) fn stored<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        token: RequestToken,
        sequence: Sequence,
        reused: bool,
    ) {
        let counted = self.seats(core, context) - self.lacking(core);
        if counted < core.configuration.min_copies {
            context
                .shared
                .requests
                .set_waiting(token, Waiting::Committing);
            self.short.insert(token, (sequence, reused));
            return;
        }
        let receipt = self.receipt(core, sequence, reused);
        self.reply(core, context, token, receipt, true);
    }

    fn receipt(&self, core: &Core, sequence: Sequence, reused: bool) -> Reply {
        Reply::Submitted {
            sequence,
            term: core.term,
            members: self.holders(core).map(|seat| seat.member).collect(),
            reused,
        }
    }

    /// Answers stored submits that waited for copies.
    pub(crate) fn release_short<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>) {
        for (token, (sequence, reused)) in std::mem::take(&mut self.short) {
            if context.shared.requests.is_open(token) {
                self.stored(core, context, token, sequence, reused);
            }
        }
    }

    fn cancel<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        token: RequestToken,
        sequence: Sequence,
    ) {
        match core.ring.look_up(sequence) {
            Err(absence) => {
                let reply = refused(absence.code(), absence.to_string());
                self.reply(core, context, token, reply, false);
            }
            Ok(entry) if entry.is_unfinished() => {
                let lsn = self.append(core, context, Op::Cancel { sequence });
                self.complete_at(context, lsn, token, Completion::Cancel { token });
            }
            Ok(entry) => {
                let reply = cancel_ended(entry.outcome());
                self.reply(core, context, token, reply, false);
            }
        }
    }

    fn dispose<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        token: RequestToken,
        sequence: Sequence,
    ) {
        match core.ring.look_up(sequence) {
            Err(absence) => {
                let reply = refused(absence.code(), absence.to_string());
                self.reply(core, context, token, reply, false);
            }
            Ok(entry) if entry.is_unfinished() => {
                let text = "the task has not ended; cancel it first";
                let reply = refused(ErrorCode::FailedPrecondition, text);
                self.reply(core, context, token, reply, false);
            }
            Ok(_) => {
                let request = None;
                let lsn = self.append(core, context, Op::Dispose { sequence, request });
                self.complete_at(context, lsn, token, Completion::Dispose { token });
            }
        }
    }

    /// Forgets a request that is closed, wherever it waits.
    pub(crate) fn forget_request(&mut self, token: RequestToken, waiting: &Waiting) {
        match waiting {
            Waiting::Held | Waiting::Room => self.held.remove(token),
            Waiting::Parked(sequence) => self.waiters.remove(*sequence, token),
            Waiting::Lease(_) => {
                self.unanswered.remove(&token);
            }
            Waiting::Committing => {
                self.short.remove(&token);
            }
        }
    }
}

/// A member whose nearly full disk would have to take the task, this one first.
fn full_disk<R: Rules>(core: &Core, context: &Context<'_, R>) -> Option<MemberId> {
    let shared = &context.shared;
    if !core.durability.on_disk() {
        return None;
    }
    if shared.disk_full {
        return Some(shared.id);
    }
    let seats = core.configuration.in_sync.iter();
    let mut members = seats.map(|seat| seat.member);
    members.find(|member| shared.full_disks.contains(member))
}

/// No new task is stored; work that was promised still ends, for which there is room in reserve.
fn disk_full(member: MemberId) -> Reply {
    let text = format!("the disk of member {member} is nearly full; free room there, or drain it");
    retry_later(ErrorCode::DiskFull, text, RETRY_AFTER)
}

/// A backup whose rings have no room for new tasks.
fn full_backup<R: Rules>(core: &Core, context: &Context<'_, R>) -> Option<MemberId> {
    let seats = core.configuration.in_sync.iter();
    let mut members = seats.map(|seat| seat.member);
    members.find(|member| context.shared.ring_bytes.is_full_at(*member))
}

/// What has no room for a task.
#[derive(Clone, Copy, Debug)]
enum Lack {
    /// The partition, by its own limits.
    Partition,
    /// A member, by the bound of all its rings together.
    Member(MemberId),
}

impl Lack {
    fn reply(self, partition: PartitionKey) -> Reply {
        let text = match self {
            Self::Partition => format!("partition {partition} is full"),
            Self::Member(member) => format!(
                "member {member} holds as many bytes of tasks and outcomes as its ring-bytes-max allows, and partition \
                 {partition} has no retrieved outcome to give way; dispose of outcomes, raise it there, or add members"
            ),
        };
        retry_later(ErrorCode::ExecutorFull, text, RETRY_AFTER)
    }
}

/// The key is in use for another task.
pub(crate) fn clash() -> Reply {
    refused(
        ErrorCode::AlreadyExists,
        "the idempotency key was used for another task",
    )
}

/// What a cancel of an ended task is told: done if it was cancelled, else that it came too late.
pub(crate) fn cancel_ended(outcome: Option<&Arc<Outcome>>) -> Reply {
    match outcome.map(Arc::as_ref) {
        Some(Outcome::Cancelled) => Reply::Done,
        _ => refused(ErrorCode::FailedPrecondition, "the task has ended already"),
    }
}

/// Whether as many entries wait to be committed as may.
pub(crate) fn has_full_log(core: &Core) -> bool {
    let uncommitted = core.log.last().0.saturating_sub(core.commit.0);
    uncommitted >= limits::UNCOMMITTED_ENTRIES_MAX as u64
}
