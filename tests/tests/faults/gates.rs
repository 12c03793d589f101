//! Programs that a test holds and lets go, one gate for each attempt's number: who runs when is decided by files.

use std::path::{Path, PathBuf};

use ringhold_client::ProcessTask;

/// Waits until its attempt's gate is open, then writes its run as [`super::recorder::writes_its_run`] does. It ends at the
/// latest with its test's directory.
const SCRIPT: &str = r#"
token="$RINGHOLD_FENCING_TOKEN"
attempt="${token##*-}"
attempt="${attempt#"${attempt%%[!0]*}"}"
echo "$token" >> "$0-begun"
until [ -e "$0-gate-$attempt" ]; do [ -d "$1" ] || exit 1; sleep 0.05; done
line="$RINGHOLD_TASK_ID $token $$"
echo "$line" >> "$0"
echo "$line"
"#;

/// The gates of some tasks.
#[derive(Clone)]
pub(crate) struct Gates {
    directory: PathBuf,
    runs: PathBuf,
}

impl Gates {
    /// Closed gates. No others of the test have this name.
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        let runs = directory.join(name);
        let directory = directory.to_owned();
        Self { directory, runs }
    }

    /// A task behind these gates.
    pub(crate) fn task(&self) -> ProcessTask {
        let program = ProcessTask::new("sh").arg("-c").arg(SCRIPT);
        program.arg(&self.runs).arg(&self.directory)
    }

    /// Where runs that came through are written down.
    pub(crate) fn runs(&self) -> &Path {
        &self.runs
    }

    /// Lets all attempts of a number go on.
    pub(crate) fn open(&self, attempt: u64) {
        let gate = self.beside(&format!("gate-{attempt}"));
        std::fs::write(gate, "").expect("a writable directory");
    }

    /// Attempts of a number that have begun.
    pub(crate) fn begun(&self, attempt: u64) -> usize {
        let begun = lines(&self.beside("begun"));
        let tokens = begun.iter().map(String::as_str);
        tokens.filter(|it| attempt_of(it) == attempt).count()
    }

    /// Attempts of a number that came through their gate.
    pub(crate) fn ran(&self, attempt: u64) -> usize {
        let ran = lines(&self.runs);
        let tokens = ran.iter().filter_map(|line| line.split(' ').nth(1));
        tokens.filter(|it| attempt_of(it) == attempt).count()
    }

    fn beside(&self, what: &str) -> PathBuf {
        let mut path = self.runs.clone().into_os_string();
        path.push(format!("-{what}"));
        path.into()
    }
}

/// The last number of a fencing token.
pub(crate) fn attempt_of(token: &str) -> u64 {
    let number = token.rsplit('-').next().and_then(|it| it.parse().ok());
    number.expect("a fencing token")
}

/// The whole lines of a file; none if there is none.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(str::to_owned).collect()
}
