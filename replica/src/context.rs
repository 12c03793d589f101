//! What all replicas of a member share, and the view of it that one step works with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringhold_ringbuffer::RingLimits;
use ringhold_types::{
    ControlIndex, ExecutorConfig, ExecutorId, Incarnation, MemberId, PartitionKey, Persistence,
    ReplicaId, StartNonce, Tick,
};

use crate::attempts::LocalAttempts;
use crate::effect::{Effects, Note, PersistToken, Record};
use crate::event::Registration;
use crate::lease::Leases;
use crate::message::PeerMessage;
use crate::pool::Pools;
use crate::request::{Reply, RequestToken};
use crate::requests::Requests;
use crate::ring_bytes::RingBytes;
use crate::rules::{Rule, Rules};
use crate::timing::Timing;

/// What all replicas of a member share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shared<R> {
    pub(crate) id: MemberId,
    pub(crate) start: StartNonce,
    pub(crate) rules: R,
    pub(crate) timing: Timing,
    /// Present once the record of this start is applied (I18).
    pub(crate) registered: Option<Registration>,
    /// What is applied of the control log.
    pub(crate) control: ControlIndex,
    pub(crate) executors: BTreeMap<ExecutorId, Arc<ExecutorConfig>>,
    /// Process starts of the other members.
    pub(crate) starts: BTreeMap<MemberId, StartNonce>,
    /// Members that the control plane considers down, and since when we know.
    pub(crate) down: BTreeMap<MemberId, Tick>,
    pub(crate) draining: BTreeSet<MemberId>,
    /// Whether this member itself is being drained.
    pub(crate) drains: bool,
    /// The operator's drain of this member, by the command that began it.
    pub(crate) drain: Option<ControlIndex>,
    /// Whether the time of that drain is over ([`crate::Event::DrainOver`]).
    pub(crate) drain_over: bool,
    /// Whether this member's disk is nearly full.
    pub(crate) disk_full: bool,
    /// Members that said so of theirs when they were last heard.
    pub(crate) full_disks: BTreeSet<MemberId>,
    /// The bytes of all rings here, and their bound.
    pub(crate) ring_bytes: RingBytes,
    /// Seats that the placement wants to leave, by partition.
    pub(crate) surplus: BTreeMap<PartitionKey, ReplicaId>,
    pub(crate) leases: Leases,
    pub(crate) requests: Requests,
    pub(crate) attempts: LocalAttempts,
    pub(crate) pools: Pools,
    /// The last token given out.
    pub(crate) persist_token: PersistToken,
    /// Partitions with entries under each token that the disk has not confirmed.
    pub(crate) persisting: BTreeMap<PersistToken, BTreeSet<PartitionKey>>,
}

impl<R: Rules> Shared<R> {
    /// Whether a rule is dropped (a sabotage).
    pub(crate) fn drops(&self, rule: Rule) -> bool {
        self.rules.drops(rule)
    }

    /// Whether this process may acknowledge, grant and lead: only after the record of its own start is applied (I18).
    pub(crate) fn may_take_part(&self) -> bool {
        self.registered.is_some()
            || self.drops(Rule::StartAppliedFirst)
            || self.drops(Rule::NominationNamesStart)
    }

    /// The identity of this member's replicas of an executor.
    pub(crate) fn own_replica(&self, executor: ExecutorId) -> Option<ReplicaId> {
        let registration = self.registered?;
        let incarnation: Incarnation = match self.executors.get(&executor)?.persistence {
            Persistence::Fsync => registration.store,
            Persistence::Memory => registration.memory,
        };
        Some(ReplicaId {
            member: self.id,
            incarnation,
        })
    }

    /// Whether replicas of an executor live on disk.
    pub(crate) fn on_disk(&self, executor: ExecutorId) -> bool {
        self.executors
            .get(&executor)
            .is_some_and(|config| config.persistence == Persistence::Fsync)
    }

    /// The limits that a ring of this executor should have.
    pub(crate) fn ring_limits(&self, executor: ExecutorId) -> Option<RingLimits> {
        self.executors
            .get(&executor)
            .map(|config| RingLimits::of(config))
    }
}

/// One step's view: the time, what is shared, and the effects to fill.
pub(crate) struct Context<'a, R> {
    pub(crate) now: Tick,
    pub(crate) shared: &'a mut Shared<R>,
    pub(crate) effects: &'a mut Effects,
}

impl<R: Rules> Context<'_, R> {
    /// Whether a rule is dropped (a sabotage).
    pub(crate) fn drops(&self, rule: Rule) -> bool {
        self.shared.drops(rule)
    }

    /// Hands a record of a partition to the disk.
    pub(crate) fn persist(&mut self, partition: PartitionKey, record: Record) -> PersistToken {
        let token = match self.effects.persist_token {
            Some(token) => token,
            None => {
                self.shared.persist_token.0 += 1;
                self.effects.persist_token = Some(self.shared.persist_token);
                self.shared.persist_token
            }
        };
        let waiting = self.shared.persisting.entry(token).or_default();
        waiting.insert(partition);
        self.effects.persist.push(record);
        token
    }

    pub(crate) fn send(&mut self, to: MemberId, message: PeerMessage) {
        self.effects.send.push((to, message));
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.effects.notes.push(note);
    }

    /// Gives a request its one answer.
    pub(crate) fn answer(&mut self, token: RequestToken, reply: Reply) {
        self.shared.requests.answer(token, reply, self.effects);
    }

    /// An invariant that guards data is broken here: the member must stop.
    pub(crate) fn fatal(&mut self, what: String) {
        self.effects.fatal.get_or_insert(what);
    }
}
