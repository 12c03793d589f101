//! What the kernel counts for a process (proc(5)).

use std::time::Duration;

use anyhow::Context;

/// The kernel's clock ticks as user space sees them: 100 a second on every architecture that Linux has today.
const TICK: Duration = Duration::from_millis(10);

/// Counts of a process since it started, and its memory now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Time on a core, in user and kernel mode, of all its threads.
    pub(crate) cpu: Duration,
    /// Bytes that it caused to be written to a device, as the kernel counts them: see [`crate::device`].
    pub(crate) written_bytes: u64,
    /// Memory that is resident now.
    pub(crate) resident_bytes: u64,
    /// The most that ever was.
    pub(crate) peak_bytes: u64,
}

impl Usage {
    /// Reads the counts of a process.
    ///
    /// # Errors
    /// When it has ended, or belongs to somebody else.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let (stat, io, status) = (read("stat")?, read("io")?, read("status")?);
        let missing = || format!("the kernel's counts of process {pid} are not understood");
        Ok(Self {
            cpu: cpu(&stat).with_context(missing)?,
            written_bytes: field(&io, "write_bytes").with_context(missing)?,
            resident_bytes: field(&status, "VmRSS").with_context(missing)? * 1024,
            peak_bytes: field(&status, "VmHWM").with_context(missing)? * 1024,
        })
    }

    /// The counts of this process.
    ///
    /// # Errors
    /// As [`Usage::of`].
    pub(crate) fn of_self() -> anyhow::Result<Self> {
        Self::of(std::process::id())
    }
}

/// Fields 14 and 15 of stat. The name before them, in parentheses, may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user.checked_add(system)?)
}

/// The number after `name:`.
fn field(text: &str, name: &str) -> Option<u64> {
    let after = |line: &str| {
        line.strip_prefix(name)?
            .strip_prefix(':')
            .map(str::to_owned)
    };
    let value = text.lines().find_map(after)?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_move_the_fields() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "cancelled_write_bytes: 9\nwrite_bytes: 4096\nVmRSS:\t  12 kB\n";
        assert_eq!(field(text, "write_bytes"), Some(4096));
        assert_eq!(field(text, "VmRSS"), Some(12));
        assert_eq!(field(text, "Vm"), None);
    }

    #[test]
    fn this_process_has_counts() {
        let usage = Usage::of_self().expect("this process runs");
        assert!(usage.resident_bytes > 0 && usage.peak_bytes >= usage.resident_bytes);
    }
}
