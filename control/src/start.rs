//! A process of a member starts (PROTOCOL I9, I18, §5 "Old or cloned directories").

use ringhold_types::{MemberId, StartNonce};

use crate::limits::MEMBERS_MAX;
use crate::settle::{Happened, Occasion};
use crate::{
    Changes, Cluster, MemberInfo, MemberRecord, MemberStart, MemberState, Refused, Response,
    StoreReport,
};

impl Cluster {
    pub(crate) fn start(
        &mut self,
        start: &MemberStart,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        if let Some(record) = self.members.get(&start.member.id)
            && !record.is_forgotten()
            && record.start == start.fresh
        {
            return Ok(started(record));
        }
        self.check_nonces(start)?;
        self.check_info(&start.member)?;
        let replaced = self.member_replaced_by(start)?;
        if let Some(former) = replaced {
            self.mark_forgotten(former);
            changes.members.push(former);
        }
        let response = self.record_start(start);
        changes.members.push(start.member.id);
        self.update_layouts();
        let happened = Happened {
            occasion: Occasion::Start,
            time: Some(start.at),
        };
        self.settle(happened, changes);
        Ok(response)
    }

    /// Only the directory that the cluster heard last may start (§5).
    fn check_nonces(&self, start: &MemberStart) -> Result<(), Refused> {
        let info = &start.member;
        let refuse = |reason: String| Err(Refused::Identity { reason });
        if start.fresh == StartNonce::ZERO {
            return refuse("a process start needs a nonce that is not zero".into());
        }
        match self.members.get(&info.id) {
            Some(record) if record.is_forgotten() => refuse(format!(
                "member {} (id {}) was forgotten and never comes back; empty its data directory, and it joins as a new member",
                info.name, info.id
            )),
            Some(record) if record.start != start.last_accepted => refuse(format!(
                "the data directory of member {} (id {}) is a copy or a restored backup: another start from it, or from its original, is newer; stop the other process, or empty this directory so that it joins as a new member",
                record.info.name, info.id
            )),
            None if start.last_accepted != StartNonce::ZERO => refuse(format!(
                "the data directory of member {} (id {}) was accepted before, and this cluster does not know it; it belongs to another cluster or was forgotten; empty it, and it joins as a new member",
                info.name, info.id
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// What a member may not change, and what the cluster asks of each.
    fn check_info(&self, info: &MemberInfo) -> Result<(), Refused> {
        let refuse = |reason: String| Err(Refused::Identity { reason });
        if info.feature_level < self.feature_level {
            return refuse(format!(
                "member {} can feature level {}, and the cluster is at {}; install a newer version",
                info.name, info.feature_level, self.feature_level
            ));
        }
        match self.members.get(&info.id) {
            Some(record) if record.info.witness != info.witness => refuse(format!(
                "member {} was made {} a witness, which a data directory stays; empty it, and it joins as a new member",
                info.name,
                if record.info.witness {
                    "as"
                } else {
                    "without being"
                },
            )),
            Some(_) => Ok(()),
            None => {
                let known = self
                    .members
                    .values()
                    .filter(|record| !record.is_forgotten());
                if known.count() >= MEMBERS_MAX {
                    return refuse(format!(
                        "the cluster has {MEMBERS_MAX} members, and no room for more"
                    ));
                }
                Ok(())
            }
        }
    }

    /// The dead member whose emptied or replaced directory this is: same name, other id, nothing in its store.
    fn member_replaced_by(&self, start: &MemberStart) -> Result<Option<MemberId>, Refused> {
        let info = &start.member;
        let Some(other) = self.member_by_name(&info.name) else {
            return Ok(None);
        };
        if other.info.id == info.id {
            return Ok(None);
        }
        let is_new = !self.members.contains_key(&info.id);
        if is_new && other.state == MemberState::Down && start.store == StoreReport::Empty {
            return Ok(Some(other.info.id));
        }
        if is_new && other.is_up() && start.store == StoreReport::Empty {
            return Err(Refused::NameInUse {
                name: info.name.clone(),
                member: other.info.id,
            });
        }
        let advice = if other.is_up() {
            "choose another name, or stop that member first"
        } else {
            "choose another name, or forget that member first"
        };
        Err(Refused::Identity {
            reason: format!(
                "the name {} belongs to another member (id {}); {advice}",
                info.name, other.info.id
            ),
        })
    }

    /// Writes the member's record, with its incarnations (I9).
    fn record_start(&mut self, start: &MemberStart) -> Response {
        let index = self.index;
        let record = self
            .members
            .entry(start.member.id)
            .or_insert_with(|| MemberRecord {
                info: start.member.clone(),
                start: StartNonce::ZERO,
                state: MemberState::Up,
                drain: None,
                leaving: false,
                marked: false,
                store: Default::default(),
                memory: Default::default(),
                last_incarnation: Default::default(),
                started_at: start.at,
                since: index,
            });
        let is_first = record.start == StartNonce::ZERO;
        let is_whole = matches!(start.store, StoreReport::Intact | StoreReport::Torn);
        if is_first || !is_whole {
            record.store = record.next_incarnation();
        }
        record.marked = start.store == StoreReport::Torn;
        record.memory = record.next_incarnation();
        record.info = start.member.clone();
        record.start = start.fresh;
        record.state = MemberState::Up;
        record.leaving = false;
        record.started_at = start.at;
        record.since = index;
        started(record)
    }
}

fn started(record: &MemberRecord) -> Response {
    Response::Started {
        store: record.store,
        memory: record.memory,
    }
}
