//! Facts about the machine that figures depend on. They travel with every report.

use std::path::Path;

use serde::Serialize;

/// File system numbers (statfs): tmpfs and ramfs.
const MEMORY_FILE_SYSTEMS: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// The machine as it was when the measurement began.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Cores that this process may use.
    cores: usize,
    /// Processes that ran or waited to, averaged over the minute before: what else the machine had to do.
    load_average: f64,
    /// A debug build measures nothing but itself.
    release_build: bool,
    /// Whether the members' directories are in memory, where fsync means little.
    data_in_memory: bool,
}

impl Machine {
    /// Looks.
    pub(crate) fn look(data: &Path) -> Self {
        let machine = Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load_average: load_average(&read("/proc/loadavg")),
            release_build: !cfg!(debug_assertions),
            data_in_memory: rustix::fs::statfs(data)
                .is_ok_and(|facts| MEMORY_FILE_SYSTEMS.contains(&facts.f_type)),
        };
        if !machine.release_build {
            crate::output::say("note: this is a debug build; build with --release for figures");
        }
        if machine.data_in_memory {
            crate::output::say(
                "note: the data directory is in memory; --data-dir names another place",
            );
        }
        machine
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn load_average(text: &str) -> f64 {
    let first = text.split_whitespace().next();
    first.and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_of_the_last_minute_is_the_first_number() {
        assert!((load_average("2.50 1.0 0.5 3/400 12") - 2.5).abs() < 1e-9);
        assert!(load_average("").abs() < 1e-9);
    }
}
