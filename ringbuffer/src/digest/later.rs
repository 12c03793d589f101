//! Fields that came after the first version: hashed only where they are set, so that a ring in which nobody set one has the
//! digest that an earlier version finds for it.

use ringhold_types::{
    Backoff, CgroupPlace, LineageDepth, Origin, ProcessLimits, RetryPolicy, TaskId, TaskRef,
    WorkerRef,
};

use super::State;

/// Stands before a field that is set; numbers are never used twice.
#[derive(Clone, Copy)]
pub(super) enum Later {
    Metadata = 1,
    Priority = 2,
    Serial = 3,
    Retry = 4,
    AtEnd = 5,
    NotBeforeAt = 6,
    Origin = 7,
    HandlerVersion = 8,
    DefaultBinary = 9,
    DetachOk = 10,
    ProcessLimits = 11,
    OutputPolicy = 12,
    Worker = 13,
    Slot = 14,
    AttemptProcess = 15,
    AttemptMessage = 16,
    AttemptTail = 17,
    CoreDumped = 18,
    CpuUser = 19,
    CpuSystem = 20,
    MaxRss = 21,
    Containment = 22,
    Leftovers = 23,
    Unreaped = 24,
}

/// Upper half of what stands before a later field: no small number of the fields around it looks like that.
const LATER: u64 = 0x6c61_7465 << 32;

impl State {
    /// Hashes a field if it is set.
    pub(super) fn later<T>(
        &mut self,
        field: Later,
        value: Option<T>,
        hash: impl FnOnce(&mut Self, T),
    ) {
        if let Some(value) = value {
            self.number(LATER | field as u64);
            hash(self, value);
        }
    }

    /// Hashes bytes unless there are none.
    pub(super) fn later_bytes(&mut self, field: Later, bytes: &[u8]) {
        self.later(field, Some(bytes).filter(|it| !it.is_empty()), Self::bytes);
    }

    /// Hashes a number unless it is zero.
    pub(super) fn later_number(&mut self, field: Later, number: u64) {
        self.later(field, Some(number).filter(|it| *it > 0), Self::number);
    }

    /// Hashes a flag if it is up.
    pub(super) fn later_flag(&mut self, field: Later, flag: bool) {
        self.later(field, flag.then_some(true), Self::flag);
    }

    pub(super) fn retry_policy(&mut self, policy: &RetryPolicy) {
        let RetryPolicy {
            max_attempts,
            backoff,
            cap,
            jitter,
            kinds,
            retry_codes,
            final_codes,
        } = policy;
        self.number(u64::from(*max_attempts));
        self.backoff(*backoff);
        self.number(cap.0);
        self.number(*jitter as u64);
        self.number(kinds.len() as u64);
        for kind in kinds.iter() {
            self.text(kind.as_str());
        }
        for codes in [retry_codes, final_codes] {
            self.number(codes.len() as u64);
            for code in codes {
                self.bytes(&code.to_le_bytes());
            }
        }
    }

    fn backoff(&mut self, backoff: Backoff) {
        let (kind, first, growth) = match backoff {
            Backoff::Fixed(wait) => (0, wait, 0),
            Backoff::Linear { first, step } => (1, first, step.0),
            Backoff::Exponential { first, factor } => (2, first, u64::from(factor.0)),
        };
        self.number(kind);
        self.number(first.0);
        self.number(growth);
    }

    pub(super) fn origin(&mut self, origin: &Origin) {
        let Origin {
            parent,
            depth: LineageDepth(depth),
            retry_of,
            group,
            callback_of,
            earlier,
        } = origin;
        self.optional(parent.as_ref(), Self::task_id);
        self.number(u64::from(*depth));
        self.optional(retry_of.as_ref(), Self::task_id);
        self.optional(*group, Self::task_ref);
        self.optional(*callback_of, |it, group| it.number(group.bits()));
        self.number(earlier.len() as u64);
        for attempt in earlier {
            self.attempt(attempt);
        }
    }

    fn task_id(&mut self, id: &TaskId) {
        self.text(id.executor.as_str());
        self.number(u64::from(id.partition.0));
        self.number(id.sequence.bits());
    }

    fn task_ref(&mut self, task: TaskRef) {
        self.number(u64::from(task.partition.0));
        self.number(task.sequence.bits());
    }

    pub(super) fn worker(&mut self, worker: &WorkerRef) {
        self.number(worker.id.0);
        self.text(&worker.name);
    }

    pub(super) fn process_limits(&mut self, limits: &ProcessLimits) {
        let ProcessLimits {
            cpu,
            memory_bytes,
            open_files,
            processes,
            file_bytes,
            nice,
            umask,
            user,
            group,
            no_new_privs,
            cgroup,
        } = limits;
        self.optional(*cpu, |it, span| it.number(span.0));
        for limit in [memory_bytes, open_files, processes, file_bytes] {
            self.optional(*limit, Self::number);
        }
        self.optional(*nice, |it, nice| it.bytes(&nice.to_le_bytes()));
        for number in [umask, user, group] {
            self.optional(*number, |it, number| it.number(u64::from(number)));
        }
        self.optional(*no_new_privs, Self::flag);
        self.optional(cgroup.as_ref(), |it, place| match place {
            CgroupPlace::Auto => it.number(0),
            CgroupPlace::Off => it.number(1),
            CgroupPlace::Below(path) => {
                it.number(2);
                it.text(path);
            }
        });
    }
}
