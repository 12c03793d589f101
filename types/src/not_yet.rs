//! What can be written down and sent already, and does nothing yet: it is refused by name, so that nothing pretends to work.
//! Whoever makes one of these work takes it off here.

use crate::{ExecutorConfig, TaskCall, TaskSpec};

impl TaskSpec {
    /// The first thing that this task asks for and that is not supported yet.
    #[must_use]
    pub fn not_supported_yet(&self) -> Option<&'static str> {
        let origin = self.origin.as_deref();
        let asked = [
            ("metadata", !self.metadata.is_empty()),
            ("priority", self.priority.is_some()),
            ("serial", self.serial.is_some()),
            ("retry", self.retry.is_some()),
            ("at-end", self.at_end.is_some()),
            ("group", origin.is_some_and(|it| it.group.is_some())),
            ("parent", origin.is_some()),
        ];
        first(&asked).or_else(|| self.call.not_supported_yet())
    }
}

impl TaskCall {
    fn not_supported_yet(&self) -> Option<&'static str> {
        match self {
            Self::Handler { version, .. } => version.is_some().then_some("handler version"),
            Self::Process(call) => first(&[
                ("default-binary", call.uses_default_binary),
                ("detach-ok", call.detach_ok),
                ("process-limits", call.limits.is_some()),
                ("output-policy", call.output_policy.is_some()),
            ]),
        }
    }
}

impl ExecutorConfig {
    /// Settings that are known and not supported yet, in kebab-case.
    pub const NOT_YET: [&'static str; 17] = [
        "priority",
        "serial",
        "wait-limit",
        "total-limit",
        "retry",
        "on-failure",
        "on-interrupt",
        "dead-letter-ttl",
        "log-bytes-max",
        "worker-lease",
        "rate-limit",
        "default-binary",
        "environment",
        "environment-deny",
        "inherit-environment",
        "output-policy",
        "process-limits",
    ];

    /// The first of them that this configuration has.
    #[must_use]
    pub fn not_supported_yet(&self) -> Option<&'static str> {
        let has = [
            self.priority.is_some(),
            self.serial.is_some(),
            self.wait_limit.is_some(),
            self.total_limit.is_some(),
            self.retry.is_some(),
            self.on_failure.is_some(),
            self.on_interrupt.is_some(),
            self.dead_letter_ttl.is_some(),
            self.log_bytes_max.is_some(),
            self.worker_lease.is_some(),
            self.rate_limit.is_some(),
            self.default_binary.is_some(),
            !self.environment.is_empty(),
            !self.environment_deny.is_empty(),
            self.inherit_environment.is_some(),
            self.output_policy.is_some(),
            self.process_limits.is_some(),
        ];
        let asked = Self::NOT_YET.into_iter().zip(has);
        first(&asked.collect::<Vec<_>>())
    }
}

fn first(asked: &[(&'static str, bool)]) -> Option<&'static str> {
    let found = asked.iter().find(|(_, is_asked)| *is_asked);
    found.map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        AtEnd, ExecutorName, IdempotencyKey, Millis, OnInterrupt, Origin, OutputPolicy, Priority,
        ProcessCall, ProcessLimits, RateLimit, RetryPolicy, TaskRef,
    };

    fn handler() -> TaskSpec {
        task(TaskCall::Handler {
            name: "render".into(),
            version: None,
            payload: Bytes::new(),
            content_type: String::new(),
        })
    }

    fn task(call: TaskCall) -> TaskSpec {
        TaskSpec::new(call, IdempotencyKey::new("k").expect("valid"))
    }

    #[test]
    fn what_a_task_asks_for_that_does_nothing_yet_is_named() {
        let named = |change: fn(&mut TaskSpec)| {
            let mut task = handler();
            change(&mut task);
            task.not_supported_yet()
        };
        assert_eq!(handler().not_supported_yet(), None);
        assert_eq!(
            named(|task| task.metadata = Bytes::from_static(b"m")),
            Some("metadata")
        );
        assert_eq!(
            named(|task| task.priority = Priority::new(3)),
            Some("priority")
        );
        assert_eq!(named(|task| task.serial = Some(false)), Some("serial"));
        assert_eq!(
            named(|task| task.retry = Some(Box::default())),
            Some("retry")
        );
        assert_eq!(
            named(|task| task.at_end = Some(AtEnd::Fail)),
            Some("at-end")
        );
        assert_eq!(
            named(|task| task.origin = Some(Box::default())),
            Some("parent")
        );
        let group = |task: &mut TaskSpec| {
            task.origin = Some(Box::new(Origin {
                group: Some(TaskRef::default()),
                ..Origin::default()
            }));
        };
        assert_eq!(named(group), Some("group"));
        let version = |task: &mut TaskSpec| {
            if let TaskCall::Handler { version, .. } = &mut task.call {
                *version = Some("2".into());
            }
        };
        assert_eq!(named(version), Some("handler version"));
    }

    #[test]
    fn what_a_program_asks_for_that_does_nothing_yet_is_named() {
        let named = |change: fn(&mut ProcessCall)| {
            let mut call = ProcessCall::default();
            change(&mut call);
            task(TaskCall::Process(call)).not_supported_yet()
        };
        assert_eq!(named(|_| {}), None);
        assert_eq!(
            named(|call| call.uses_default_binary = true),
            Some("default-binary")
        );
        assert_eq!(named(|call| call.detach_ok = true), Some("detach-ok"));
        assert_eq!(
            named(|call| call.limits = Some(Box::new(ProcessLimits::default()))),
            Some("process-limits")
        );
        assert_eq!(
            named(|call| call.output_policy = Some(OutputPolicy::Fail)),
            Some("output-policy")
        );
    }

    #[test]
    fn each_setting_that_does_nothing_yet_is_named() {
        let span = Some(Millis(1_000));
        let settings: [fn(&mut ExecutorConfig); 17] = [
            |it| it.priority = Priority::new(1),
            |it| it.serial = Some(true),
            |it| it.wait_limit = Some(Millis(1)),
            |it| it.total_limit = Some(Millis(1)),
            |it| it.retry = Some(Box::new(RetryPolicy::never())),
            |it| it.on_failure = Some(AtEnd::Fail),
            |it| it.on_interrupt = Some(OnInterrupt::Fail),
            |it| it.dead_letter_ttl = Some(Millis(1)),
            |it| it.log_bytes_max = Some(1),
            |it| it.worker_lease = Some(Millis(1_000)),
            |it| {
                it.rate_limit = Some(RateLimit {
                    per_second: 1,
                    burst: 1,
                });
            },
            |it| it.default_binary = Some("sort".into()),
            |it| drop(it.environment.insert("LANG".into(), "C".into())),
            |it| it.environment_deny.push("*".into()),
            |it| it.inherit_environment = Some(false),
            |it| it.output_policy = Some(OutputPolicy::Fail),
            |it| it.process_limits = Some(Box::default()),
        ];
        let default = ExecutorConfig::with_name(ExecutorName::new("reports").expect("valid"));
        assert_eq!(default.not_supported_yet(), None);
        for (name, set) in ExecutorConfig::NOT_YET.into_iter().zip(settings) {
            let mut config = default.clone();
            set(&mut config);
            assert_eq!(config.not_supported_yet(), Some(name));
            assert!(config.violations().is_empty(), "{name}");
        }
        let slow = ExecutorConfig {
            worker_lease: span.map(|span| Millis(span.0 - 1)),
            ..default
        };
        assert_eq!(
            slow.violations()[0].to_string(),
            "worker-lease must be 1000 to 600000 ms"
        );
    }
}
