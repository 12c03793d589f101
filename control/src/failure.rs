//! Members are judged dead, or heard again (PROTOCOL §3).

use ringhold_types::{MemberId, StartNonce};

use crate::settle::Occasion;
use crate::{Changes, Cluster, MemberRecord, MemberState, Refused, Response};

impl Cluster {
    /// Fails over everything that the dead lead, gives up their seats where others suffice, names replacement learners.
    /// A member that has restarted since the judgement is not touched.
    pub(crate) fn members_down(
        &mut self,
        dead: &[(MemberId, StartNonce)],
        changes: &mut Changes,
    ) -> Response {
        for (id, start) in dead {
            if let Some(record) = self.members.get_mut(id)
                && record.is_up()
                && record.start == *start
            {
                record.state = MemberState::Down;
                record.since = self.index;
                changes.members.push(*id);
            }
        }
        if !changes.members.is_empty() {
            self.update_stand_ins();
            self.settle(Occasion::Suspicion, changes);
        }
        Response::Done
    }

    /// Takes back the judgement; partitions that waited for this member get it as their primary.
    pub(crate) fn member_up(
        &mut self,
        member: MemberId,
        start: StartNonce,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let record = self.members.get_mut(&member).ok_or(Refused::Unknown)?;
        if record.state != MemberState::Down || record.start != start {
            return Ok(Response::Done);
        }
        record.state = MemberState::Up;
        record.since = self.index;
        changes.members.push(member);
        self.update_stand_ins();
        self.settle(Occasion::Harmless, changes);
        Ok(Response::Done)
    }

    /// The replicas of a process have got back what the cut of their tails took; seats of the dead that were kept for them may
    /// go now.
    pub(crate) fn marks_cleared(
        &mut self,
        member: MemberId,
        start: StartNonce,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let record = self.members.get_mut(&member).ok_or(Refused::Unknown)?;
        if record.marked && record.start == start {
            record.marked = false;
            changes.members.push(member);
            self.settle(Occasion::Suspicion, changes);
        }
        Ok(Response::Done)
    }

    /// Begins or ends an operator's drain: targets change, and the bounded steps of rebalancing follow them.
    pub(crate) fn drain(
        &mut self,
        member: MemberId,
        draining: bool,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let index = self.index;
        let record = self.living_member(member)?;
        let drain = draining.then(|| record.drain.unwrap_or(index));
        if record.drain != drain {
            record.drain = drain;
            self.lay_out_anew(member, changes);
        }
        Ok(drain.map_or(Response::Done, |drain| Response::Drains { drain }))
    }

    /// Begins the drain of a process that is about to end. It ends with the next start, which knows nothing of it; so a word
    /// of an earlier process that comes late changes nothing.
    pub(crate) fn leave(
        &mut self,
        member: MemberId,
        start: StartNonce,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let record = self.living_member(member)?;
        if record.start == start && !record.leaving {
            record.leaving = true;
            self.lay_out_anew(member, changes);
        }
        Ok(Response::Done)
    }

    fn living_member(&mut self, member: MemberId) -> Result<&mut MemberRecord, Refused> {
        let record = self.members.get_mut(&member);
        let living = record.filter(|record| !record.is_forgotten());
        living.ok_or(Refused::Unknown)
    }

    /// What is asked of this member has changed, and with it the layouts.
    fn lay_out_anew(&mut self, member: MemberId, changes: &mut Changes) {
        changes.members.push(member);
        self.update_layouts();
        self.settle(Occasion::Harmless, changes);
    }
}
