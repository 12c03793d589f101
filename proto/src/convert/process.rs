//! What programs may use.

use ringhold_types::{CgroupPlace, OutputPolicy, ProcessLimits};

use super::scalar::duration_from_millis;
use super::{ConversionError, optional_millis, value_of};
use crate::v1;

const AUTO: &str = "auto";
const OFF: &str = "off";

impl From<&ProcessLimits> for v1::ProcessLimits {
    fn from(limits: &ProcessLimits) -> Self {
        Self {
            cpu: limits.cpu.map(duration_from_millis),
            memory_bytes: limits.memory_bytes,
            open_files: limits.open_files,
            processes: limits.processes,
            file_bytes: limits.file_bytes,
            nice: limits.nice,
            umask: limits.umask,
            user: limits.user,
            group: limits.group,
            no_new_privs: limits.no_new_privs,
            cgroup: limits.cgroup.as_ref().map(|place| match place {
                CgroupPlace::Auto => AUTO.to_owned(),
                CgroupPlace::Off => OFF.to_owned(),
                CgroupPlace::Below(path) => path.clone(),
            }),
        }
    }
}

impl TryFrom<v1::ProcessLimits> for ProcessLimits {
    type Error = ConversionError;

    /// Ranges are checked by [`ProcessLimits::violations`].
    fn try_from(message: v1::ProcessLimits) -> Result<Self, Self::Error> {
        Ok(Self {
            cpu: optional_millis("process_limits.cpu", message.cpu.as_ref())?,
            memory_bytes: message.memory_bytes,
            open_files: message.open_files,
            processes: message.processes,
            file_bytes: message.file_bytes,
            nice: message.nice,
            umask: message.umask,
            user: message.user,
            group: message.group,
            no_new_privs: message.no_new_privs,
            cgroup: message.cgroup.map(|place| match place.as_str() {
                AUTO => CgroupPlace::Auto,
                OFF => CgroupPlace::Off,
                _ => CgroupPlace::Below(place),
            }),
        })
    }
}

/// The number that stands for a policy; zero for none.
pub(crate) fn output_policy_number(policy: Option<OutputPolicy>) -> i32 {
    match policy {
        None => v1::OutputPolicy::Unspecified,
        Some(OutputPolicy::Truncate) => v1::OutputPolicy::Truncate,
        Some(OutputPolicy::Fail) => v1::OutputPolicy::Fail,
    }
    .into()
}

/// The policy that a number stands for; `None` if it is not said.
pub(crate) fn output_policy_from_number(
    field: &'static str,
    number: i32,
) -> Result<Option<OutputPolicy>, ConversionError> {
    Ok(match value_of(field, number)? {
        v1::OutputPolicy::Unspecified => None,
        v1::OutputPolicy::Truncate => Some(OutputPolicy::Truncate),
        v1::OutputPolicy::Fail => Some(OutputPolicy::Fail),
    })
}
