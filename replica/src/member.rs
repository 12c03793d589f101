//! One member's machine: all its replicas, the leases it shares with other members, its slots.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::{
    AttemptToken, Configuration, ControlIndex, ErrorCode, MemberId, PartitionKey, StartNonce, Tick,
};

use crate::adoption::{heed, offer_for, split};
use crate::attempts::LocalAttempts;
use crate::context::{Context, Shared};
use crate::effect::{Effects, PersistToken};
use crate::event::{AttemptEnd, Event, RecoveredReplica};
use crate::lease::Leases;
use crate::message::{AttemptAnswer, Heartbeat, HeartbeatReply, PeerMessage};
use crate::pool::Pools;
use crate::primary::Primary;
use crate::read::read_here;
use crate::renewal::Renewals;
use crate::replica::{Replica, Role, fence_of};
use crate::request::{Asked, Reply, RequestToken};
use crate::requests::{Requests, Waiting, not_primary, refused, retry_later};
use crate::ring_bytes::RingBytes;
use crate::rules::{Rule, Rules};
use crate::schedule::Turn;
use crate::timing::Timing;

/// Rounds of work in one turn: a partition without backups on memory commits what it appends, and goes on. What is left
/// after so many goes on in the next turn, which [`Member::deadline`] asks for.
const ROUNDS_MAX: usize = 32;

/// What a machine starts with.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberOptions<R> {
    /// Who it is.
    pub id: MemberId,
    /// This process start.
    pub start: StartNonce,
    /// Which rules hold; [`crate::Sound`] outside of tests.
    pub rules: R,
    /// The times it works with.
    pub timing: Timing,
    /// Whether the tail of the disk was cut, and replicas that are not among the recovered ones may have been in it whole.
    pub unlisted_cut: bool,
    /// Most bytes of all rings held here together ([`ringhold_ringbuffer::Ring::footprint`]): beyond it new tasks are refused, ends never.
    pub ring_bytes_max: u64,
}

/// One member's share of the replication protocol. A value: it can be cloned, compared and replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Member<R> {
    pub(crate) shared: Shared<R>,
    pub(crate) replicas: BTreeMap<PartitionKey, Replica>,
    /// The newest configuration of every partition heard of.
    pub(crate) configurations: BTreeMap<PartitionKey, Configuration>,
    /// Found on disk, until the record of this start tells whether it is ours.
    pub(crate) recovered: BTreeMap<PartitionKey, RecoveredReplica>,
    /// Whether the disk's tail was cut, so that a log that is not found may have been there.
    pub(crate) tail_cut: bool,
    /// Members that hold a copy of something that this one holds: they grant each other leases.
    pub(crate) neighbours: BTreeSet<MemberId>,
    /// When they are asked.
    pub(crate) renewals: Renewals,
    /// Partitions with work to do in this turn.
    pub(crate) dirty: BTreeSet<PartitionKey>,
    /// Partitions by the time at which they want to work.
    timers: BTreeSet<(Tick, PartitionKey)>,
    timer_of: BTreeMap<PartitionKey, Tick>,
    offer_at: Tick,
    /// Set by a broken invariant: nothing is done any more.
    pub(crate) stopped: bool,
}

impl<R: Rules> Member<R> {
    /// The machine of a process that starts now, with what its disk holds.
    #[must_use]
    pub fn new(options: MemberOptions<R>, recovered: Vec<RecoveredReplica>, now: Tick) -> Self {
        let started = (!options.rules.drops(Rule::GrantsSurviveRestart)).then_some(now);
        let shared = Shared {
            id: options.id,
            start: options.start,
            rules: options.rules,
            timing: options.timing,
            registered: None,
            control: ControlIndex::ZERO,
            executors: BTreeMap::new(),
            starts: BTreeMap::new(),
            down: BTreeMap::new(),
            draining: BTreeSet::new(),
            drains: false,
            drain: None,
            drain_over: false,
            disk_full: false,
            full_disks: BTreeSet::new(),
            ring_bytes: RingBytes::new(options.ring_bytes_max),
            surplus: BTreeMap::new(),
            leases: Leases::new(started),
            requests: Requests::default(),
            attempts: LocalAttempts::default(),
            pools: Pools::default(),
            persist_token: PersistToken::default(),
            persisting: BTreeMap::new(),
        };
        let tail_cut = options.unlisted_cut || recovered.iter().any(|it| it.cut_mark);
        Self {
            shared,
            tail_cut,
            replicas: BTreeMap::new(),
            configurations: BTreeMap::new(),
            recovered: recovered.into_iter().map(|it| (it.partition, it)).collect(),
            neighbours: BTreeSet::new(),
            dirty: BTreeSet::new(),
            timers: BTreeSet::new(),
            timer_of: BTreeMap::new(),
            renewals: Renewals::new(now),
            offer_at: now,
            stopped: false,
        }
    }

    /// Takes one event. Total; adds to `effects`. Work that gains from being done for many events at once is left to
    /// [`Member::finish_turn`], which must follow before the effects are performed.
    pub fn step(&mut self, now: Tick, event: Event, effects: &mut Effects) {
        if self.stopped {
            return;
        }
        match event {
            Event::Control(update) => self.control(now, update, effects),
            Event::Message { from, message } => self.message(now, from, message, effects),
            Event::Persisted(token) => self.persisted(token),
            Event::Asked(asked) => self.asked(now, *asked, effects),
            Event::Gone(token) => self.gone(token),
            Event::Attempt { token, end } => self.attempt(now, token, end, effects),
            Event::GivenUp(token) => self.shared.attempts.given_up(token),
            Event::Returned(token) => self.shared.attempts.returned(token),
            Event::ControlLease { sent, applied } => {
                let index = self.shared.control;
                self.shared.leases.control_received(sent, applied, index);
                self.lease_renewed();
            }
            Event::ProposalRefused(change) => {
                self.with_replica(now, change.partition, effects, |replica, context| {
                    if let Role::Primary(primary) = &mut replica.role {
                        primary.proposal_refused(context, &change);
                    }
                });
            }
            Event::CopyForward(partition) => self.copy_forward(now, partition, effects),
            Event::Drain(drains) => {
                self.shared.drains = drains;
                self.dirty.extend(self.replicas.keys().copied());
            }
            Event::DiskFull(full) => {
                self.shared.disk_full = full;
                self.renewals.hasten(now);
            }
            Event::DrainOver { drain, over } => self.drain_over(drain, over, effects),
            Event::Ending => self.shared.pools.close(),
            Event::HandOver { partition, to } => {
                self.with_replica(now, partition, effects, |replica, context| {
                    if let Role::Primary(primary) = &mut replica.role {
                        primary.begin_hand_over(&replica.core, context, to);
                    }
                });
            }
            Event::SurplusSeats(seats) => {
                self.shared.surplus = seats.into_iter().collect();
                let concerned: Vec<PartitionKey> = self.shared.surplus.keys().copied().collect();
                self.dirty.extend(concerned);
            }
            Event::Timer => {}
        }
        self.stopped |= effects.fatal.is_some();
    }

    /// Ends a turn of one or more events: commits and applies what can be, starts attempts into free slots, sends one
    /// prepare per peer and partition with all that is new, checks cheap invariants.
    pub fn finish_turn(&mut self, now: Tick, effects: &mut Effects) {
        if self.stopped {
            return;
        }
        self.answer_overdue(now, effects);
        self.send_heartbeats(now, effects);
        self.send_offers(now, effects);
        while let Some((at, partition)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            self.timer_of.remove(&partition);
            self.dirty.insert(partition);
        }
        let mut touched = BTreeSet::new();
        for _ in 0..ROUNDS_MAX {
            let dirty = std::mem::take(&mut self.dirty);
            touched.extend(dirty.iter().copied());
            for partition in dirty {
                self.work(now, partition, effects);
            }
            touched.extend(self.start_attempts(now, effects));
            if self.dirty.is_empty() {
                break;
            }
        }
        for partition in touched {
            self.settle(now, partition, effects);
        }
        self.dirty.extend(self.shared.ring_bytes.take_freed());
        let rings_full = self.shared.ring_bytes.is_nearly_full();
        self.renewals.tell(rings_full, &self.shared.timing);
        crate::invariant::check_sent(&self.shared, effects);
        self.stopped |= effects.fatal.is_some();
    }

    /// When [`Event::Timer`] is wanted.
    #[must_use]
    pub fn deadline(&self) -> Option<Tick> {
        if self.stopped {
            return None;
        }
        let left_over = (!self.dirty.is_empty()).then_some(Tick(0));
        let heartbeat = (!self.neighbours.is_empty()).then_some(self.renewals.due());
        let offers = (!self.foreign().is_empty()).then_some(self.offer_at);
        let timer = self.timers.first().map(|(at, _)| *at);
        [
            left_over,
            heartbeat,
            offers,
            timer,
            self.shared.requests.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Runs `action` on a replica, if it is here, and marks it for the end of the turn.
    pub(crate) fn with_replica(
        &mut self,
        now: Tick,
        partition: PartitionKey,
        effects: &mut Effects,
        action: impl FnOnce(&mut Replica, &mut Context<'_, R>),
    ) -> bool {
        let Some(replica) = self.replicas.get_mut(&partition) else {
            return false;
        };
        let shared = &mut self.shared;
        let mut context = Context {
            now,
            shared,
            effects,
        };
        action(replica, &mut context);
        self.dirty.insert(partition);
        true
    }

    fn work(&mut self, now: Tick, partition: PartitionKey, effects: &mut Effects) {
        let mut more = false;
        self.with_replica(now, partition, effects, |replica, context| {
            more = replica.work(context);
        });
        if !more {
            self.dirty.remove(&partition);
        }
    }

    /// The end of a turn for one partition: messages, timer, invariants.
    fn settle(&mut self, now: Tick, partition: PartitionKey, effects: &mut Effects) {
        let mut deadline = None;
        let was_dirty = self.dirty.contains(&partition);
        let here = self.with_replica(now, partition, effects, |replica, context| {
            replica.flush(context);
            deadline = replica.deadline(context);
            let bytes = replica.core.footprint();
            context.shared.ring_bytes.set(partition, bytes);
            crate::invariant::check(replica, context);
        });
        if !was_dirty {
            self.dirty.remove(&partition);
        }
        if let Some(at) = self.timer_of.remove(&partition) {
            self.timers.remove(&(at, partition));
        }
        if let Some(at) = deadline.filter(|_| here) {
            self.timers.insert((at, partition));
            self.timer_of.insert(partition, at);
        }
    }

    /// Gives free slots to partitions in turn. Tells which partitions appended starts.
    fn start_attempts(&mut self, now: Tick, effects: &mut Effects) -> Vec<PartitionKey> {
        let mut touched = Vec::new();
        for executor in self.shared.pools.executors() {
            let Some(config) = self.shared.executors.get(&executor) else {
                continue;
            };
            let slots = config.pool_size;
            let mut blocked = 0;
            while self.shared.attempts.busy(executor) < slots
                && blocked < self.shared.pools.ready(executor)
            {
                let Some(partition) = self.shared.pools.next(executor) else {
                    break;
                };
                match self.give_slot(now, partition, effects) {
                    Turn::Started => blocked = 0,
                    Turn::Empty => self.shared.pools.withdraw(partition),
                    Turn::Blocked => blocked += 1,
                }
                touched.push(partition);
            }
        }
        touched
    }

    fn give_slot(&mut self, now: Tick, partition: PartitionKey, effects: &mut Effects) -> Turn {
        let mut turn = Turn::Empty;
        let was_dirty = self.dirty.contains(&partition);
        let mut grew = false;
        self.with_replica(now, partition, effects, |replica, context| {
            if let Role::Primary(primary) = &mut replica.role {
                let before = replica.core.log.last();
                turn = primary.start_next(&mut replica.core, context);
                grew = replica.core.log.last() > before;
            }
        });
        if !was_dirty && !grew {
            self.dirty.remove(&partition);
        }
        turn
    }

    fn message(&mut self, now: Tick, from: MemberId, message: PeerMessage, effects: &mut Effects) {
        match message {
            PeerMessage::Heartbeat(heartbeat) => self.heartbeat(now, from, heartbeat, effects),
            PeerMessage::HeartbeatReply(reply) => self.lease_granted(from, &reply),
            PeerMessage::AttemptAnswer(answer) => self.attempts_judged(now, answer, effects),
            about_partition => {
                let fence = fence_of(&about_partition);
                let partition = match (&fence, &about_partition) {
                    (Some(fence), _) => fence.partition,
                    (None, PeerMessage::AttemptOffer(offer)) => offer.partition,
                    _ => return,
                };
                self.with_replica(now, partition, effects, |replica, context| {
                    replica.message(context, from, about_partition);
                });
            }
        }
    }

    /// Grants a lease, once the record of this start is applied (I18).
    fn heartbeat(
        &mut self,
        now: Tick,
        from: MemberId,
        heartbeat: Heartbeat,
        effects: &mut Effects,
    ) {
        if !self.shared.may_take_part() {
            return;
        }
        if heartbeat.disk_full {
            self.shared.full_disks.insert(from);
        } else {
            self.shared.full_disks.remove(&from);
        }
        self.shared.ring_bytes.heard(from, heartbeat.rings_full);
        let known = self.shared.starts.get(&from);
        if known.is_some_and(|start| {
            *start != heartbeat.start && heartbeat.applied < self.shared.control
        }) {
            // A process that we know to be replaced, and that has not seen more than we have.
            return;
        }
        self.shared.leases.granted(from, now);
        let reply = HeartbeatReply {
            start: self.shared.start,
            to_start: heartbeat.start,
            sent: heartbeat.sent,
            applied: self.shared.control,
        };
        effects
            .send
            .push((from, PeerMessage::HeartbeatReply(reply)));
    }

    fn lease_granted(&mut self, from: MemberId, reply: &HeartbeatReply) {
        if reply.to_start != self.shared.start {
            return;
        }
        let applied = if self.shared.drops(Rule::GrantNeedsIndex) {
            ControlIndex(u64::MAX)
        } else {
            self.shared.control
        };
        self.shared.leases.grant_received(from, reply, applied);
        self.renewals
            .answered(from, reply.sent, &self.shared.timing);
        self.lease_renewed();
    }

    /// Whatever waits for a lease may go on.
    pub(crate) fn lease_renewed(&mut self) {
        let waiting = self
            .replicas
            .iter()
            .filter(|(_, replica)| match &replica.role {
                Role::Primary(primary) => primary.waits_for_lease(&replica.core),
                Role::Follower(_) => false,
            });
        let waiting: Vec<PartitionKey> = waiting.map(|(partition, _)| *partition).collect();
        self.dirty.extend(waiting);
    }

    fn send_heartbeats(&mut self, now: Tick, effects: &mut Effects) {
        if now < self.renewals.due() {
            return;
        }
        self.renewals
            .asked(now, &self.neighbours, &self.shared.timing);
        if !self.shared.may_take_part() {
            return;
        }
        for member in &self.neighbours {
            let heartbeat = Heartbeat {
                start: self.shared.start,
                sent: now,
                applied: self.shared.control,
                disk_full: self.shared.disk_full,
                rings_full: self.shared.ring_bytes.is_nearly_full(),
            };
            effects
                .send
                .push((*member, PeerMessage::Heartbeat(heartbeat)));
        }
    }

    /// Offers what runs here of partitions that others lead.
    fn send_offers(&mut self, now: Tick, effects: &mut Effects) {
        if now < self.offer_at {
            return;
        }
        self.offer_at = now.after(self.shared.timing.offer);
        for (partition, primary) in self.foreign() {
            let offer = offer_for(&self.shared.attempts, partition, self.shared.start);
            let messages = split(offer).into_iter().map(PeerMessage::AttemptOffer);
            effects
                .send
                .extend(messages.map(|message| (primary, message)));
        }
    }

    /// Partitions led elsewhere with attempts here, and who leads them.
    fn foreign(&self) -> Vec<(PartitionKey, MemberId)> {
        let primary_of = |partition: PartitionKey| {
            let configuration = self.configurations.get(&partition)?;
            let primary = configuration.primary?.member;
            (primary != self.shared.id).then_some((partition, primary))
        };
        let partitions = self.shared.attempts.partitions();
        partitions.filter_map(primary_of).collect()
    }

    fn attempts_judged(&mut self, now: Tick, answer: AttemptAnswer, effects: &mut Effects) {
        if answer.to_start != self.shared.start {
            return;
        }
        let shared = &mut self.shared;
        let mut context = Context {
            now,
            shared,
            effects,
        };
        for (token, verdict) in answer.verdicts {
            if token.partition == answer.partition {
                heed(&mut context, token, verdict);
            }
        }
    }

    fn persisted(&mut self, token: PersistToken) {
        let later = self
            .shared
            .persisting
            .split_off(&PersistToken(token.0.saturating_add(1)));
        let done = std::mem::replace(&mut self.shared.persisting, later);
        for partition in done.into_values().flatten() {
            if let Some(replica) = self.replicas.get_mut(&partition) {
                replica.persisted(token);
                self.dirty.insert(partition);
            }
        }
    }

    fn asked(&mut self, now: Tick, asked: Asked, effects: &mut Effects) {
        let token = asked.token;
        if !self.shared.requests.open(&asked) {
            let text = "this member has too many open requests";
            let after = crate::admission::RETRY_AFTER;
            let reply = retry_later(ErrorCode::TooManyWaiters, text, after);
            effects.replies.push((token, reply));
            return;
        }
        let partition = asked.partition;
        let mut asked = Some(asked);
        self.with_replica(now, partition, effects, |replica, context| {
            if let Role::Primary(primary) = &mut replica.role
                && let Some(asked) = asked.take()
            {
                primary.asked(&mut replica.core, context, asked);
            } else if context.drops(Rule::ReadsAtPrimary)
                && let Some(reply) = asked.as_ref().and_then(|it| read_here(&replica.core, it))
            {
                asked = None;
                context.answer(token, reply);
            }
        });
        if asked.is_some() {
            let reply = self.not_led_here(partition);
            self.shared.requests.answer(token, reply, effects);
        }
    }

    /// The answer for a partition that this member does not lead.
    fn not_led_here(&self, partition: PartitionKey) -> Reply {
        if !self.shared.executors.contains_key(&partition.executor) {
            return refused(ErrorCode::ExecutorNotFound, "there is no such executor");
        }
        let configuration = self.configurations.get(&partition);
        let primary = configuration.and_then(|it| it.primary).map(|it| it.member);
        match primary {
            Some(primary) if primary != self.shared.id => not_primary(Some(primary)),
            _ => retry_later(
                ErrorCode::Unavailable,
                format!("partition {partition} has no primary yet"),
                crate::admission::RETRY_AFTER,
            ),
        }
    }

    fn gone(&mut self, token: RequestToken) {
        let Some(open) = self.shared.requests.close(token) else {
            return;
        };
        if let Some(replica) = self.replicas.get_mut(&open.partition)
            && let Role::Primary(primary) = &mut replica.role
        {
            primary.forget_request(token, &open.waiting);
        }
    }

    /// Answers requests whose deadline has come: what is not done, and what may be.
    fn answer_overdue(&mut self, now: Tick, effects: &mut Effects) {
        while let Some((token, open)) = self.shared.requests.overdue(now) {
            let mut reply = overdue(&open.waiting);
            self.with_replica(now, open.partition, effects, |replica, context| {
                let Role::Primary(primary) = &mut replica.role else {
                    return;
                };
                primary.forget_request(token, &open.waiting);
                if matches!(open.waiting, Waiting::Room) {
                    reply = Primary::no_room(&replica.core, context);
                }
                if let Waiting::Parked(sequence) = open.waiting
                    && primary.may_answer(&replica.core, context)
                    && let Some(status) = primary.status_of(&replica.core, context, sequence)
                {
                    reply = Reply::NotYet { status };
                }
            });
            self.shared.requests.answer(token, reply, effects);
        }
    }

    fn attempt(&mut self, now: Tick, token: AttemptToken, end: AttemptEnd, effects: &mut Effects) {
        let Some(original) = self.shared.attempts.ended(token, end) else {
            return;
        };
        if !self
            .shared
            .executors
            .contains_key(&original.partition.executor)
        {
            // It was deleted: nobody takes the report.
            self.shared.attempts.forget(original);
            return;
        }
        self.offer_at = self.offer_at.min(now);
        self.with_replica(now, original.partition, effects, |replica, context| {
            if let Role::Primary(primary) = &mut replica.role {
                primary.own_report(&mut replica.core, context, original);
            }
        });
    }
}

/// What a request is told whose deadline came while it waited.
fn overdue(waiting: &Waiting) -> Reply {
    let after = crate::admission::RETRY_AFTER;
    match waiting {
        // For want of room, its primary tells what for.
        Waiting::Held | Waiting::Room => retry_later(
            ErrorCode::Unavailable,
            "no primary could answer in time",
            after,
        ),
        Waiting::Parked(_) | Waiting::Lease(false) => retry_later(
            ErrorCode::Unavailable,
            "the primary had no lease in time",
            after,
        ),
        Waiting::Committing | Waiting::Lease(true) => refused(
            ErrorCode::Indeterminate,
            "it is not known yet whether this took effect; the same idempotency key finds it again",
        ),
    }
}
