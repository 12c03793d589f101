//! What the cluster remembers of a member.

use ringhold_types::{ControlIndex, Incarnation, Persistence, ReplicaId, StartNonce, UnixMillis};

use crate::MemberInfo;

/// A member's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// How others see it.
    pub info: MemberInfo,
    /// Its newest process start.
    pub start: StartNonce,
    /// Whether it is thought to be alive.
    pub state: MemberState,
    /// The command by which an operator drained it: it is to get no new seats and to give up those that it has. What belongs
    /// to one drain, such as its end of time, does not belong to a later one.
    pub drain: Option<ControlIndex>,
    /// Whether its newest process wants the same, because it is about to end by plan.
    pub leaving: bool,
    /// Whether it started with replicas whose tail was cut, and has not said since that none carries the mark any more: they
    /// may lack what they acknowledged, so no other seat goes for suspicion as long as only such replicas would be left.
    pub marked: bool,
    /// Incarnation of its replicas with persistence `fsync`: one per intact store.
    pub store: Incarnation,
    /// Incarnation of its replicas with persistence `memory`: one per process start.
    pub memory: Incarnation,
    /// The newest incarnation given to it. One counter serves both kinds, so no two of its replica ids are ever equal.
    pub last_incarnation: Incarnation,
    /// Wall clock of its newest process start, for people.
    pub started_at: UnixMillis,
    /// The command that brought it into its present state.
    pub since: ControlIndex,
}

/// Whether a member is thought to be alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberState {
    /// It is heard.
    Up,
    /// The leader judged it dead; it may return.
    Down,
    /// It is proven not to come back; its id is never accepted again.
    Forgotten,
}

impl MemberRecord {
    /// Whether it is heard.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == MemberState::Up
    }

    /// Whether it has been forgotten.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.state == MemberState::Forgotten
    }

    /// Whether it gets no new seats and gives up those that it has, at whosever wish.
    #[must_use]
    pub fn drains(&self) -> bool {
        self.drain.is_some() || self.leaving
    }

    /// Whether it may be given new seats once it is up: it holds data, does not drain and is not forgotten.
    #[must_use]
    pub fn takes_seats(&self) -> bool {
        !self.is_forgotten() && !self.drains() && !self.info.witness
    }

    /// The identity of its present replicas of executors with this persistence.
    #[must_use]
    pub fn replica(&self, persistence: Persistence) -> ReplicaId {
        let incarnation = match persistence {
            Persistence::Memory => self.memory,
            Persistence::Fsync => self.store,
        };
        ReplicaId {
            member: self.info.id,
            incarnation,
        }
    }

    /// Gives out the next incarnation.
    pub(crate) fn next_incarnation(&mut self) -> Incarnation {
        self.last_incarnation = self.last_incarnation.next();
        self.last_incarnation
    }
}
