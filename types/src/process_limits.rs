//! What a program may use, and what keeps hold of its descendants.

use crate::{ConfigViolation, Millis};

/// What a program may use of its machine; an absent limit is the member's own. All hold for each process of the program's
/// except where a control group can count them together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessLimits {
    /// CPU time, rounded up to whole seconds (RLIMIT_CPU).
    pub cpu: Option<Millis>,
    /// Memory in bytes: of the control group where there is one, else the address space of each process (RLIMIT_AS).
    pub memory_bytes: Option<u64>,
    /// Open descriptors (RLIMIT_NOFILE).
    pub open_files: Option<u64>,
    /// Processes and threads (the control group's, else RLIMIT_NPROC, which counts per user).
    pub processes: Option<u64>,
    /// Bytes of the largest file it may write (RLIMIT_FSIZE).
    pub file_bytes: Option<u64>,
    /// Niceness, −20 to 19; below the member's own needs a privilege.
    pub nice: Option<i32>,
    /// Permissions that files it makes do not get, 0 to 0o777.
    pub umask: Option<u32>,
    /// Number of the user that it runs as; another than the member's own needs a privilege.
    pub user: Option<u32>,
    /// Number of the group that it runs as, its only one; another than the member's own needs a privilege.
    pub group: Option<u32>,
    /// Whether it may not gain privileges by running programs (no_new_privs). Default: it may.
    pub no_new_privs: Option<bool>,
    /// Where its control group is made.
    pub cgroup: Option<CgroupPlace>,
}

/// Where the control group of a program is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CgroupPlace {
    /// Below the member's own, if one can be made there; else nowhere.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// Below this one: an absolute path in the control group's file system.
    Below(String),
}

/// What happens when a program writes more than is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutputPolicy {
    /// Head and tail are kept, and the result says so.
    #[default]
    Truncate,
    /// The attempt fails as output-limit.
    Fail,
}

/// What kept hold of a program's descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Containment {
    /// The program's own process group: what leaves it is not reached. All that earlier versions had.
    #[default]
    ProcessGroup,
    /// A subreaper of its own: no descendant gets away from it.
    Subreaper,
    /// That, and a control group of version 1.
    CgroupV1,
    /// That, and a control group of version 2.
    CgroupV2,
}

impl Containment {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProcessGroup => "process-group",
            Self::Subreaper => "subreaper",
            Self::CgroupV1 => "cgroup-v1",
            Self::CgroupV2 => "cgroup-v2",
        }
    }
}

impl ProcessLimits {
    /// Bytes that count towards the limits of a partition.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.cgroup {
            Some(CgroupPlace::Below(path)) => path.len(),
            _ => 0,
        }
    }

    /// Everything that is outside its range, by setting.
    #[must_use]
    pub fn violations(&self) -> Vec<ConfigViolation> {
        let mut found = Vec::new();
        let mut check = |holds: bool, key: &'static str, rule: &str| {
            if !holds {
                let rule = rule.to_owned();
                found.push(ConfigViolation { key, rule });
            }
        };
        let some = |limit: Option<u64>| limit.is_none_or(|limit| limit > 0);
        check(
            some(self.cpu.map(|span| span.0)),
            "process-limits.cpu",
            "must be longer than zero",
        );
        let counts = [
            ("process-limits.memory", self.memory_bytes),
            ("process-limits.open-files", self.open_files),
            ("process-limits.processes", self.processes),
        ];
        for (key, limit) in counts {
            check(some(limit), key, "must be more than zero");
        }
        check(
            self.nice.is_none_or(|nice| (-20..=19).contains(&nice)),
            "process-limits.nice",
            "must be -20 to 19",
        );
        check(
            self.umask.is_none_or(|umask| umask <= 0o777),
            "process-limits.umask",
            "must be 0 to 0777",
        );
        let path_is_good = match &self.cgroup {
            Some(CgroupPlace::Below(path)) => path.starts_with('/') && !path.contains('\0'),
            _ => true,
        };
        check(
            path_is_good,
            "process-limits.cgroup",
            "must be auto, off, or an absolute path",
        );
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_outside_its_range_is_named() {
        let limits = ProcessLimits {
            cpu: Some(Millis(0)),
            memory_bytes: Some(0),
            nice: Some(20),
            umask: Some(0o1000),
            cgroup: Some(CgroupPlace::Below("tasks".into())),
            ..ProcessLimits::default()
        };
        let keys: Vec<_> = limits.violations().iter().map(|it| it.key).collect();
        assert_eq!(
            keys,
            [
                "process-limits.cpu",
                "process-limits.memory",
                "process-limits.nice",
                "process-limits.umask",
                "process-limits.cgroup",
            ]
        );
        assert!(ProcessLimits::default().violations().is_empty());
    }
}
