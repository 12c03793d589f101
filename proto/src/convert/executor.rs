//! Configurations of executors.

use ringhold_types::{
    ExecutorConfig, ExecutorName, OnInterrupt, PartitionCount, Persistence, RateLimit, WhenFull,
    limits,
};

use super::origin::priority_from_number;
use super::process::{output_policy_from_number, output_policy_number};
use super::retry::{at_end_from_number, at_end_number};
use super::scalar::duration_from_millis;
use super::task::{boxed, on_interrupt_from_number};
use super::{ConversionError, optional_millis, value_of};
use crate::v1;

impl From<&ExecutorConfig> for v1::ExecutorConfig {
    /// Every setting filled in, so that another version's defaults change nothing.
    fn from(config: &ExecutorConfig) -> Self {
        Self {
            name: config.name.as_str().to_owned(),
            pool_size: Some(config.pool_size),
            durability: Some(config.durability),
            capacity: Some(config.capacity),
            when_full: when_full_number(config.when_full),
            partition_count: Some(config.partition_count.get()),
            persistence: persistence_number(config.persistence),
            min_copies: config.min_copies,
            result_ttl: Some(duration_from_millis(config.result_ttl)),
            dedup_window: Some(duration_from_millis(config.dedup_window)),
            crash_limit: Some(config.crash_limit),
            allowed_binaries: config.allowed_binaries.clone(),
            run_limit: config.run_limit.map(duration_from_millis),
            kill_grace: Some(duration_from_millis(config.kill_grace)),
            output_bytes_max: Some(config.output_bytes_max),
            statistics_enabled: Some(config.statistics_enabled),
            priority: config.priority.map(|priority| priority.get().into()),
            serial: config.serial,
            wait_limit: config.wait_limit.map(duration_from_millis),
            total_limit: config.total_limit.map(duration_from_millis),
            retry: config.retry.as_deref().map(Into::into),
            on_failure: at_end_number(config.on_failure),
            on_interrupt: on_interrupt_number(config.on_interrupt),
            dead_letter_ttl: config.dead_letter_ttl.map(duration_from_millis),
            log_bytes_max: config.log_bytes_max,
            worker_lease: config.worker_lease.map(duration_from_millis),
            rate_limit: config.rate_limit.map(Into::into),
            default_binary: config.default_binary.clone(),
            environment: config.environment.clone(),
            environment_deny: config.environment_deny.clone(),
            inherit_environment: config.inherit_environment,
            output_policy: output_policy_number(config.output_policy),
            process_limits: config.process_limits.as_deref().map(Into::into),
        }
    }
}

/// The number that stands for a choice; zero for none.
fn on_interrupt_number(choice: Option<OnInterrupt>) -> i32 {
    choice
        .map_or(v1::OnInterrupt::Unspecified, Into::into)
        .into()
}

impl From<RateLimit> for v1::RateLimit {
    fn from(limit: RateLimit) -> Self {
        Self {
            per_second: limit.per_second,
            burst: limit.burst,
        }
    }
}

impl From<v1::RateLimit> for RateLimit {
    fn from(message: v1::RateLimit) -> Self {
        Self {
            per_second: message.per_second,
            burst: message.burst,
        }
    }
}

impl TryFrom<v1::ExecutorConfig> for ExecutorConfig {
    type Error = ConversionError;

    /// Absent settings get their defaults. Other ranges than those of the types are checked by
    /// [`ExecutorConfig::violations`].
    fn try_from(message: v1::ExecutorConfig) -> Result<Self, Self::Error> {
        let default = Self::with_name(ExecutorName::new(message.name)?);
        let partition_count = match message.partition_count {
            None => default.partition_count,
            Some(count) => PartitionCount::new(count).ok_or(ConversionError::OutOfRange {
                field: "partition_count",
            })?,
        };
        let durability = message.durability.unwrap_or(default.durability);
        if durability > limits::DURABILITY_MAX {
            return Err(ConversionError::OutOfRange {
                field: "durability",
            });
        }
        let span = |field, value: Option<_>, absent| {
            optional_millis(field, value.as_ref()).map(|span| span.unwrap_or(absent))
        };
        Ok(Self {
            pool_size: message.pool_size.unwrap_or(default.pool_size),
            durability,
            capacity: message.capacity.unwrap_or(default.capacity),
            when_full: when_full_from_number(message.when_full)?.unwrap_or(default.when_full),
            partition_count,
            persistence: persistence_from_number(message.persistence)?
                .unwrap_or(default.persistence),
            min_copies: message.min_copies,
            result_ttl: span("result_ttl", message.result_ttl, default.result_ttl)?,
            dedup_window: span("dedup_window", message.dedup_window, default.dedup_window)?,
            crash_limit: message.crash_limit.unwrap_or(default.crash_limit),
            allowed_binaries: message.allowed_binaries,
            run_limit: optional_millis("run_limit", message.run_limit.as_ref())?,
            kill_grace: span("kill_grace", message.kill_grace, default.kill_grace)?,
            output_bytes_max: message.output_bytes_max.unwrap_or(default.output_bytes_max),
            statistics_enabled: message
                .statistics_enabled
                .unwrap_or(default.statistics_enabled),
            priority: message
                .priority
                .map(|number| priority_from_number("priority", number))
                .transpose()?,
            serial: message.serial,
            wait_limit: optional_millis("wait_limit", message.wait_limit.as_ref())?,
            total_limit: optional_millis("total_limit", message.total_limit.as_ref())?,
            retry: boxed(message.retry)?,
            on_failure: at_end_from_number("on_failure", message.on_failure)?,
            on_interrupt: match message.on_interrupt {
                0 => None,
                number => Some(on_interrupt_from_number(number)?),
            },
            dead_letter_ttl: optional_millis("dead_letter_ttl", message.dead_letter_ttl.as_ref())?,
            log_bytes_max: message.log_bytes_max,
            worker_lease: optional_millis("worker_lease", message.worker_lease.as_ref())?,
            rate_limit: message.rate_limit.map(Into::into),
            default_binary: message.default_binary,
            environment: message.environment,
            environment_deny: message.environment_deny,
            inherit_environment: message.inherit_environment,
            output_policy: output_policy_from_number("output_policy", message.output_policy)?,
            process_limits: boxed(message.process_limits)?,
            name: default.name,
        })
    }
}

/// The number that stands for a persistence.
pub(crate) fn persistence_number(persistence: Persistence) -> i32 {
    match persistence {
        Persistence::Memory => v1::Persistence::Memory,
        Persistence::Fsync => v1::Persistence::Fsync,
    }
    .into()
}

/// The persistence that a number stands for; `None` if it is not said.
pub(crate) fn persistence_from_number(number: i32) -> Result<Option<Persistence>, ConversionError> {
    Ok(match value_of("persistence", number)? {
        v1::Persistence::Unspecified => None,
        v1::Persistence::Memory => Some(Persistence::Memory),
        v1::Persistence::Fsync => Some(Persistence::Fsync),
    })
}

/// The number that stands for a choice.
pub(crate) fn when_full_number(when_full: WhenFull) -> i32 {
    match when_full {
        WhenFull::Reject => v1::WhenFull::Reject,
        WhenFull::Wait => v1::WhenFull::Wait,
        WhenFull::Overwrite => v1::WhenFull::Overwrite,
    }
    .into()
}

/// The choice that a number stands for; `None` if it is not said.
pub(crate) fn when_full_from_number(number: i32) -> Result<Option<WhenFull>, ConversionError> {
    Ok(match value_of("when_full", number)? {
        v1::WhenFull::Unspecified => None,
        v1::WhenFull::Reject => Some(WhenFull::Reject),
        v1::WhenFull::Wait => Some(WhenFull::Wait),
        v1::WhenFull::Overwrite => Some(WhenFull::Overwrite),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named() -> v1::ExecutorConfig {
        v1::ExecutorConfig {
            name: "reports".into(),
            ..v1::ExecutorConfig::default()
        }
    }

    #[test]
    fn a_configuration_with_nothing_but_a_name_has_the_defaults() {
        let name = ExecutorName::new("reports").expect("valid");
        assert_eq!(
            ExecutorConfig::try_from(named()),
            Ok(ExecutorConfig::with_name(name))
        );
    }

    #[test]
    fn a_durability_of_zero_is_not_taken_for_an_absent_one() {
        let message = v1::ExecutorConfig {
            durability: Some(0),
            ..named()
        };
        let config = ExecutorConfig::try_from(message).expect("well formed");
        assert_eq!(config.durability, 0);
    }

    #[test]
    fn a_count_or_choice_outside_its_range_is_refused_by_name() {
        let refused = |message| ExecutorConfig::try_from(message).expect_err("out of range");
        assert_eq!(
            refused(v1::ExecutorConfig {
                partition_count: Some(0),
                ..named()
            }),
            ConversionError::OutOfRange {
                field: "partition_count"
            }
        );
        assert_eq!(
            refused(v1::ExecutorConfig {
                durability: Some(u32::MAX),
                ..named()
            }),
            ConversionError::OutOfRange {
                field: "durability"
            }
        );
        assert_eq!(
            refused(v1::ExecutorConfig {
                when_full: 9,
                ..named()
            }),
            ConversionError::UnknownValue {
                field: "when_full",
                number: 9
            }
        );
    }
}
