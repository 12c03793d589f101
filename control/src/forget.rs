//! An operator says that a member will not come back (PROTOCOL §2 "A loss, a forget or a new generation", §3).

use ringhold_types::{Generation, MemberId, PartitionKey, PartitionNumber, UnixMillis};

use crate::limits::FORGOTTEN_MEMBERS_MAX;
use crate::settle::{Happened, Occasion};
use crate::{Changes, Cluster, LossCause, MemberRecord, MemberState, Refused, Response};

impl Cluster {
    /// Removes all seats of a member. A member that may be running could still acknowledge alone under a lease that this
    /// state machine does not see; so without the operator's word that its process ended, one that is up is kept, and so
    /// is one that holds the last copy of anything.
    pub(crate) fn forget(
        &mut self,
        member: MemberId,
        process_ended: bool,
        at: UnixMillis,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let record = self.members.get(&member).ok_or(Refused::Unknown)?;
        if record.is_forgotten() {
            return Ok(Response::Forgotten {
                removed: Vec::new(),
                lost: self.lost_with(record),
                repeated: true,
            });
        }
        let is_up = record.is_up();
        let would_lose = self.seats_of(member, true);
        if !process_ended && (is_up || !would_lose.is_empty()) {
            return Err(Refused::MayBeRunning { would_lose });
        }
        let removed = self.seats_of(member, false);
        self.mark_forgotten(member);
        changes.members.push(member);
        self.update_layouts();
        let happened = Happened {
            occasion: Occasion::Forget,
            time: Some(at),
        };
        let lost = self.settle(happened, changes);
        Ok(Response::Forgotten {
            removed,
            lost,
            repeated: false,
        })
    }

    /// What was lost when this member was forgotten, as far back as losses are remembered: whoever did not get the answer then
    /// hears it now.
    fn lost_with(&self, forgotten: &MemberRecord) -> Vec<(PartitionKey, Generation)> {
        let then = self
            .losses
            .iter()
            .filter(|loss| loss.cause == LossCause::Forgotten && loss.at == forgotten.since);
        then.map(|loss| (loss.partition, loss.generation.next()))
            .collect()
    }

    /// Ends a member; its seats must be settled afterwards.
    pub(crate) fn mark_forgotten(&mut self, member: MemberId) {
        if let Some(record) = self.members.get_mut(&member) {
            record.state = MemberState::Forgotten;
            record.drain = None;
            record.leaving = false;
            record.since = self.index;
        }
        let forgotten = self.members.values().filter(|record| record.is_forgotten());
        let mut oldest: Vec<_> = forgotten
            .map(|record| (record.since, record.info.id))
            .collect();
        oldest.sort_unstable();
        let surplus = oldest.len().saturating_sub(FORGOTTEN_MEMBERS_MAX);
        for (_, id) in oldest.into_iter().take(surplus) {
            self.members.remove(&id);
        }
    }

    /// Partitions that may hold something and in which the member has a seat, or the only one.
    fn seats_of(&self, member: MemberId, only: bool) -> Vec<PartitionKey> {
        let mut found = Vec::new();
        for (&executor, record) in &self.executors {
            for (number, partition) in (0..).zip(&record.partitions) {
                let has_seat = partition.in_sync.iter().any(|seat| seat.member == member);
                if partition.materialised && has_seat && (!only || partition.in_sync.len() == 1) {
                    found.push(PartitionKey {
                        executor,
                        partition: PartitionNumber(number),
                    });
                }
            }
        }
        found
    }
}
