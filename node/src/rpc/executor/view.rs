//! A task as get and list show it.

use ringhold_proto::convert::{duration_from_millis, timestamp_from_unix};
use ringhold_proto::{StatedTaskId, v1};
use ringhold_replica::TaskView;
use ringhold_ringbuffer::{EntryState, TaskEntry};
use ringhold_types::{Attempt, Origin, RingTime, Sequence, TaskCall, TaskId};

/// Parts that are left out unless asked for, since they may be large.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) task: bool,
    pub(super) outcome: bool,
}

/// The task as a message.
pub(super) fn task_view(id: v1::TaskId, view: &TaskView, wanted: Wanted) -> v1::TaskView {
    let entry = &view.entry;
    v1::TaskView {
        id: Some(id),
        status: v1::TaskStatus::from(view.status).into(),
        name: name_of(entry),
        labels: entry.task.labels.clone(),
        accepted_at: Some(timestamp_from_unix(entry.accepted_at)),
        age: Some(duration_from_millis(view.now.since(entry.accepted))),
        attempts: u32::try_from(entry.attempts.get()).unwrap_or(u32::MAX),
        crashes: entry.crashes,
        history: entry
            .history
            .iter()
            .map(|attempt| attempt_view(attempt, view.now))
            .collect(),
        starts_in: starts_in(entry, view.now),
        retrieved: entry.retrieved,
        accepted_term: entry.accepted_term.get(),
        task: wanted.task.then(|| v1::Task::from(&*entry.task)),
        outcome: entry
            .outcome()
            .filter(|_| wanted.outcome)
            .map(|outcome| v1::Outcome::from(&**outcome)),
        metadata: entry.task.metadata.clone(),
        origin: entry.task.origin.as_deref().map(|it| origin(it, view.now)),
        priority: entry.task.priority.map(|it| it.get().into()),
    }
}

fn origin(origin: &Origin, now: RingTime) -> v1::TaskOrigin {
    let named = |id: &TaskId| {
        v1::TaskId::from(&StatedTaskId {
            cluster: None,
            id: id.clone(),
        })
    };
    v1::TaskOrigin {
        parent: origin.parent.as_ref().map(named),
        depth: origin.depth.0.into(),
        retry_of: origin.retry_of.as_ref().map(named),
        group: origin.group.map(Into::into),
        callback_of: origin.callback_of.map(Sequence::bits),
        earlier: origin
            .earlier
            .iter()
            .map(|attempt| v1::AttemptView {
                // Their times are of another partition: how long they ran is all that they tell here.
                started_ago: None,
                ..attempt_view(attempt, now)
            })
            .collect(),
    }
}

/// The handler's name, or the program's.
fn name_of(entry: &TaskEntry) -> String {
    match &entry.task.call {
        TaskCall::Handler { name, .. } => name.clone(),
        TaskCall::Process(call) => {
            let program = call.arguments.first().map_or(&b""[..], |program| program);
            String::from_utf8_lossy(program).into_owned()
        }
    }
}

fn starts_in(entry: &TaskEntry, now: RingTime) -> Option<ringhold_proto::WireDuration> {
    match entry.state {
        EntryState::Waiting { due: Some(due), .. } if due > now => {
            Some(duration_from_millis(due.since(now)))
        }
        _ => None,
    }
}

fn attempt_view(attempt: &Attempt, now: RingTime) -> v1::AttemptView {
    v1::AttemptView {
        number: attempt.number.get(),
        term: attempt.term.get(),
        member_id: attempt.member.0,
        started_ago: Some(duration_from_millis(now.since(attempt.started))),
        ran: attempt
            .ended
            .map(|ended| duration_from_millis(ended.since(attempt.started))),
        failure: attempt.failure.map(|kind| kind.as_str().to_owned()),
        worker: attempt.worker.as_deref().map(Into::into),
        slot: attempt.slot.map(|slot| slot.0.into()),
        process_id: attempt.process_id,
        message: attempt.message.as_deref().map(str::to_owned),
        tail: attempt.tail.clone(),
    }
}
