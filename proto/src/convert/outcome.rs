//! How tasks ended.

use ringhold_types::{
    Containment, Failure, FailureKind, Millis, Outcome, ProcessExit, Sequence, TaskResult,
};

use super::scalar::duration_from_millis;
use super::{ConversionError, optional_millis, owned, required, value_of};
use crate::v1;

impl From<&Outcome> for v1::Outcome {
    fn from(outcome: &Outcome) -> Self {
        use v1::outcome::Outcome as Kind;
        let kind = match outcome {
            Outcome::Succeeded(result) => Kind::Succeeded(result.into()),
            Outcome::Failed(failure) => Kind::Failed(failure.into()),
            Outcome::Cancelled => Kind::Cancelled(v1::Cancelled {}),
            Outcome::Replaced(sequences) => Kind::Replaced(v1::Replaced {
                sequences: sequences.iter().map(|sequence| sequence.bits()).collect(),
            }),
            Outcome::DeadLettered(failure) => Kind::DeadLettered(failure.into()),
        };
        Self {
            outcome: Some(kind),
        }
    }
}

impl TryFrom<v1::Outcome> for Outcome {
    type Error = ConversionError;

    fn try_from(message: v1::Outcome) -> Result<Self, Self::Error> {
        use v1::outcome::Outcome as Kind;
        Ok(match required("outcome", message.outcome)? {
            Kind::Succeeded(result) => Self::Succeeded(result.try_into()?),
            Kind::Failed(failure) => Self::Failed(failure.try_into()?),
            Kind::Cancelled(v1::Cancelled {}) => Self::Cancelled,
            Kind::Replaced(replaced) => Self::Replaced(
                replaced
                    .sequences
                    .into_iter()
                    .map(Sequence::from_bits)
                    .collect(),
            ),
            Kind::DeadLettered(failure) => Self::DeadLettered(failure.try_into()?),
        })
    }
}

impl From<&TaskResult> for v1::TaskResult {
    fn from(result: &TaskResult) -> Self {
        Self {
            payload: result.payload.clone(),
            content_type: result.content_type.clone(),
            process: result.process.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::TaskResult> for TaskResult {
    type Error = ConversionError;

    fn try_from(message: v1::TaskResult) -> Result<Self, Self::Error> {
        Ok(Self {
            payload: owned(&message.payload),
            content_type: message.content_type,
            process: message.process.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&Failure> for v1::Failure {
    fn from(failure: &Failure) -> Self {
        Self {
            kind: failure.kind.as_str().to_owned(),
            message: failure.message.clone(),
            process: failure.process.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::Failure> for Failure {
    type Error = ConversionError;

    fn try_from(message: v1::Failure) -> Result<Self, Self::Error> {
        Ok(Self {
            kind: failure_kind(message.kind)?,
            message: message.message,
            process: message.process.map(TryInto::try_into).transpose()?,
        })
    }
}

/// The kind of failure with that stable name. One that a newer version added keeps its name: what it means to whoever
/// reads it is in the text beside it, and what is stored or passed on stays the same byte for byte.
pub(crate) fn failure_kind(name: String) -> Result<FailureKind, ConversionError> {
    FailureKind::from_name(&name).ok_or(ConversionError::UnknownName {
        field: "failure.kind",
        name,
    })
}

impl From<&ProcessExit> for v1::ProcessExit {
    fn from(exit: &ProcessExit) -> Self {
        Self {
            exit_code: exit.exit_code,
            signal: exit.signal,
            process_id: exit.process_id,
            spawn: Some(duration_from_millis(exit.spawn)),
            run: Some(duration_from_millis(exit.run)),
            standard_output: exit.standard_output.clone(),
            standard_error: exit.standard_error.clone(),
            output_truncated: exit.output_truncated,
            error_truncated: exit.error_truncated,
            core_dumped: exit.core_dumped,
            cpu_user: unless_zero(exit.cpu_user),
            cpu_system: unless_zero(exit.cpu_system),
            max_rss_bytes: exit.max_rss_bytes,
            containment: containment_number(exit.containment),
            leftovers: exit.leftovers,
            unreaped: exit.unreaped,
        }
    }
}

fn unless_zero(span: Millis) -> Option<prost_types::Duration> {
    (span.0 > 0).then(|| duration_from_millis(span))
}

/// What an earlier version had is not said, so that its records stay what they were.
fn containment_number(containment: Containment) -> i32 {
    match containment {
        Containment::ProcessGroup => v1::Containment::Unspecified,
        Containment::Subreaper => v1::Containment::Subreaper,
        Containment::CgroupV1 => v1::Containment::CgroupV1,
        Containment::CgroupV2 => v1::Containment::CgroupV2,
    }
    .into()
}

fn containment_from_number(number: i32) -> Result<Containment, ConversionError> {
    Ok(match value_of("process.containment", number)? {
        v1::Containment::Unspecified | v1::Containment::ProcessGroup => Containment::ProcessGroup,
        v1::Containment::Subreaper => Containment::Subreaper,
        v1::Containment::CgroupV1 => Containment::CgroupV1,
        v1::Containment::CgroupV2 => Containment::CgroupV2,
    })
}

impl TryFrom<v1::ProcessExit> for ProcessExit {
    type Error = ConversionError;

    fn try_from(message: v1::ProcessExit) -> Result<Self, Self::Error> {
        let span = |field, duration: Option<_>| {
            optional_millis(field, duration.as_ref()).map(|span| span.unwrap_or(Millis(0)))
        };
        Ok(Self {
            exit_code: message.exit_code,
            signal: message.signal,
            process_id: message.process_id,
            spawn: span("process.spawn", message.spawn)?,
            run: span("process.run", message.run)?,
            standard_output: owned(&message.standard_output),
            standard_error: owned(&message.standard_error),
            output_truncated: message.output_truncated,
            error_truncated: message.error_truncated,
            core_dumped: message.core_dumped,
            cpu_user: span("process.cpu_user", message.cpu_user)?,
            cpu_system: span("process.cpu_system", message.cpu_system)?,
            max_rss_bytes: message.max_rss_bytes,
            containment: containment_from_number(message.containment)?,
            leftovers: message.leftovers,
            unreaped: message.unreaped,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_own_name() {
        for kind in FailureKind::ALL {
            assert_eq!(failure_kind(kind.as_str().to_owned()), Ok(kind));
        }
    }

    #[test]
    fn an_outcome_of_no_known_kind_is_refused() {
        assert_eq!(
            Outcome::try_from(v1::Outcome::default()),
            Err(ConversionError::Missing { field: "outcome" })
        );
        let nameless = v1::Failure::default();
        let name = String::new();
        assert_eq!(
            Failure::try_from(nameless),
            Err(ConversionError::UnknownName {
                field: "failure.kind",
                name
            })
        );
    }

    #[test]
    fn an_outcome_with_a_newer_versions_kind_of_failure_is_read_and_passed_on_unchanged() {
        let failed = v1::Failure {
            kind: "gravity".into(),
            message: "it fell".into(),
            ..v1::Failure::default()
        };
        let message = v1::Outcome {
            outcome: Some(v1::outcome::Outcome::Failed(failed)),
        };
        let outcome = Outcome::try_from(message.clone()).expect("readable");
        let Outcome::Failed(failure) = &outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(failure.kind.as_str(), "gravity");
        assert_eq!(failure.message, "it fell");
        assert_eq!(v1::Outcome::from(&outcome), message);
    }
}
