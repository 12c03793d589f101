//! How much of the machine's memory a member's rings take where nobody said.

use std::path::Path;

use ringhold_types::limits::{RING_BYTES_DEFAULT, RING_BYTES_MIN};

/// The part of the memory that rings take. What they hold may lie in memory up to three times for a moment (in the ring, in
/// the log's tail and in a message), and several members of a test or of `dev` share a machine.
const SHARE: u64 = 4;

/// The bound of the bytes of a member's rings: a quarter of the memory that this process may use.
pub(super) fn share() -> u64 {
    share_of(available(Path::new("/")))
}

fn share_of(available: Option<u64>) -> u64 {
    available.map_or(RING_BYTES_DEFAULT, |bytes| {
        (bytes / SHARE).max(RING_BYTES_MIN)
    })
}

/// Bytes of memory that this process may use: the machine's, or the least of what its control groups allow; `None` where the
/// system tells neither. Files are read below `root`.
fn available(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path.trim_start_matches('/'))).ok();
    let machine = read("proc/meminfo").as_deref().and_then(total_of);
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let files = groups.lines().flat_map(limit_files);
    let limits = files.filter_map(|file| read(&file)?.trim().parse::<u64>().ok());
    limits.chain(machine).min()
}

/// The machine's memory, of the text of `/proc/meminfo`.
fn total_of(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The files that may hold a limit, of a line of `/proc/self/cgroup`: of the group and of all above it, the last of which is
/// the container's own where the path is that of the world outside.
fn limit_files(line: &str) -> Vec<String> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
        return Vec::new();
    };
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        all if all.split(',').any(|it| it == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let groups = Path::new(group).ancestors();
    groups
        .map(|group| {
            format!(
                "{mount}{}/{file}",
                group.display().to_string().trim_end_matches('/')
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:        8000000 kB\nMemFree:         1 kB\n";

    /// A root directory with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        root
    }

    #[test]
    fn rings_take_a_quarter_of_the_machine_where_no_group_limits_the_process() {
        let groups = ("proc/self/cgroup", "0::/user\n");
        let root = root(&[
            ("proc/meminfo", MEMINFO),
            groups,
            ("sys/fs/cgroup/user/memory.max", "max\n"),
        ]);
        assert_eq!(share_of(available(root.path())), 8_000_000 * 256);
    }

    #[test]
    fn the_least_limit_of_the_groups_counts_in_either_version() {
        let newer = root(&[
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "0::/slice/unit\n"),
            ("sys/fs/cgroup/slice/unit/memory.max", "max\n"),
            ("sys/fs/cgroup/slice/memory.max", "400000000\n"),
        ]);
        assert_eq!(share_of(available(newer.path())), 100_000_000);
        let older = root(&[
            ("proc/meminfo", MEMINFO),
            (
                "proc/self/cgroup",
                "4:memory:/outside/name\n1:cpu:/\n0::/\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "200000000\n"),
        ]);
        assert_eq!(share_of(available(older.path())), 50_000_000);
    }

    #[test]
    fn a_system_that_tells_nothing_gets_the_default_and_a_tiny_one_the_least() {
        assert_eq!(share_of(available(root(&[]).path())), RING_BYTES_DEFAULT);
        assert_eq!(share_of(Some(1024)), RING_BYTES_MIN);
    }
}
