//! The words of the types crate: tasks, attempts and outcomes.

use ringhold_types::{
    Attempt, Failure, FailureKind, Outcome, ProcessCall, ProcessExit, TaskCall, TaskLimits,
    TaskResult, TaskSpec,
};

use super::State;
use super::later::Later;

impl State {
    pub(super) fn task(&mut self, task: &TaskSpec) {
        let TaskSpec {
            call,
            idempotency_key,
            affinity_key,
            labels,
            limits: TaskLimits { wait, run, total },
            on_interrupt,
            not_before,
            dispose_on_success,
            metadata,
            priority,
            serial,
            retry,
            at_end,
            not_before_at,
            origin,
        } = task;
        self.call(call);
        self.bytes(idempotency_key.as_bytes());
        self.optional(affinity_key.as_ref(), |it, key| it.bytes(key.as_bytes()));
        self.map(labels);
        for limit in [wait, run, total] {
            self.optional(*limit, |it, limit| it.number(limit.0));
        }
        self.number(*on_interrupt as u64);
        self.optional(*not_before, Self::time);
        self.flag(*dispose_on_success);
        self.later_bytes(Later::Metadata, metadata);
        self.later(Later::Priority, *priority, |it, priority| {
            it.bytes(&priority.get().to_le_bytes());
        });
        self.later(Later::Serial, *serial, Self::flag);
        self.later(Later::Retry, retry.as_deref(), Self::retry_policy);
        self.later(Later::AtEnd, *at_end, |it, end| it.number(end as u64));
        self.later(Later::NotBeforeAt, *not_before_at, |it, at| it.number(at.0));
        self.later(Later::Origin, origin.as_deref(), Self::origin);
    }

    fn call(&mut self, call: &TaskCall) {
        match call {
            TaskCall::Handler {
                name,
                version,
                payload,
                content_type,
            } => {
                self.number(0);
                self.text(name);
                self.bytes(payload);
                self.text(content_type);
                self.later(Later::HandlerVersion, version.as_deref(), Self::text);
            }
            TaskCall::Process(ProcessCall {
                arguments,
                environment,
                working_directory,
                standard_input,
                uses_default_binary,
                detach_ok,
                limits,
                output_policy,
            }) => {
                self.number(1);
                self.number(arguments.len() as u64);
                for argument in arguments {
                    self.bytes(argument);
                }
                self.map(environment);
                self.optional(working_directory.as_deref(), Self::text);
                self.optional(standard_input.as_deref(), Self::bytes);
                self.later_flag(Later::DefaultBinary, *uses_default_binary);
                self.later_flag(Later::DetachOk, *detach_ok);
                self.later(
                    Later::ProcessLimits,
                    limits.as_deref(),
                    Self::process_limits,
                );
                self.later(Later::OutputPolicy, *output_policy, |it, policy| {
                    it.number(policy as u64);
                });
            }
        }
    }

    pub(super) fn attempt(&mut self, attempt: &Attempt) {
        let Attempt {
            number,
            term,
            member,
            started,
            ended,
            failure,
            worker,
            slot,
            process_id,
            message,
            tail,
        } = attempt;
        self.number(number.get());
        self.number(term.get());
        self.number(member.0);
        self.time(*started);
        self.optional(*ended, Self::time);
        self.optional(*failure, Self::failure_kind);
        self.later(Later::Worker, worker.as_deref(), Self::worker);
        self.later(Later::Slot, *slot, |it, slot| it.number(u64::from(slot.0)));
        self.later(Later::AttemptProcess, *process_id, |it, id| {
            it.number(u64::from(id));
        });
        self.later(Later::AttemptMessage, message.as_deref(), Self::text);
        self.later_bytes(Later::AttemptTail, tail);
    }

    pub(super) fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Succeeded(TaskResult {
                payload,
                content_type,
                process,
            }) => {
                self.number(0);
                self.bytes(payload);
                self.text(content_type);
                self.optional(process.as_ref(), Self::process_exit);
            }
            Outcome::Failed(failure) => {
                self.number(1);
                self.failure(failure);
            }
            Outcome::Cancelled => self.number(2),
            Outcome::Replaced(children) => {
                self.number(3);
                self.number(children.len() as u64);
                for child in children {
                    self.number(child.bits());
                }
            }
            Outcome::DeadLettered(failure) => {
                self.number(4);
                self.failure(failure);
            }
        }
    }

    fn failure(&mut self, failure: &Failure) {
        let Failure {
            kind,
            message,
            process,
        } = failure;
        self.failure_kind(*kind);
        self.text(message);
        self.optional(process.as_ref(), Self::process_exit);
    }

    fn failure_kind(&mut self, kind: FailureKind) {
        self.text(kind.as_str());
    }

    fn process_exit(&mut self, exit: &ProcessExit) {
        let ProcessExit {
            exit_code,
            signal,
            process_id,
            spawn,
            run,
            standard_output,
            standard_error,
            output_truncated,
            error_truncated,
            core_dumped,
            cpu_user,
            cpu_system,
            max_rss_bytes,
            containment,
            leftovers,
            unreaped,
        } = exit;
        self.optional(*exit_code, |it, code| it.bytes(&code.to_le_bytes()));
        self.optional(*signal, |it, signal| it.bytes(&signal.to_le_bytes()));
        self.number(u64::from(*process_id));
        self.number(spawn.0);
        self.number(run.0);
        self.bytes(standard_output);
        self.bytes(standard_error);
        self.flag(*output_truncated);
        self.flag(*error_truncated);
        self.later_flag(Later::CoreDumped, *core_dumped);
        self.later_number(Later::CpuUser, cpu_user.0);
        self.later_number(Later::CpuSystem, cpu_system.0);
        self.later_number(Later::MaxRss, *max_rss_bytes);
        self.later_number(Later::Containment, *containment as u64);
        self.later_number(Later::Leftovers, u64::from(*leftovers));
        self.later_flag(Later::Unreaped, *unreaped);
    }
}
