//! A program's environment in layers: the member's without its secrets, the task's, what the attempt is.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::execution::AttemptContext;

/// Names that never pass from the member to a program, whatever their case; `*` stands for any text. They follow what
/// a peer (Drakkar) hides, and add cloud credentials and the member's own settings.
pub const DENIED_NAMES: [&str; 14] = [
    "RINGHOLD__*",
    "*PASSWORD*",
    "*PASSWD*",
    "*PASSPHRASE*",
    "*SECRET*",
    "*TOKEN*",
    "*_KEY",
    "*_KEY_ID",
    "*_DSN",
    "*CREDENTIAL*",
    "*SALT*",
    "AWS_*",
    "AZURE_*",
    "GOOGLE_APPLICATION_*",
];

/// The member's environment without names that look like secrets: the lowest layer of every program's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberEnvironment {
    entries: BTreeMap<OsString, OsString>,
}

impl MemberEnvironment {
    /// The environment of this process, filtered by [`DENIED_NAMES`].
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::filtered(std::env::vars_os())
    }

    /// `entries` filtered by [`DENIED_NAMES`].
    pub fn filtered(entries: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let allowed = |(name, _): &(OsString, OsString)| {
            let name = name.to_string_lossy().to_ascii_uppercase();
            !DENIED_NAMES
                .iter()
                .any(|pattern| matches_pattern(pattern, &name))
        };
        Self {
            entries: entries.into_iter().filter(allowed).collect(),
        }
    }

    /// The value of `PATH`, by which plain program names are found.
    pub(super) fn search_path(&self) -> &OsStr {
        self.entries
            .get(OsStr::new("PATH"))
            .map_or(OsStr::new("/usr/bin:/bin"), OsString::as_os_str)
    }

    /// The whole environment of one attempt's program.
    pub(super) fn with_task(
        &self,
        task: &BTreeMap<String, String>,
        context: &AttemptContext,
    ) -> BTreeMap<OsString, OsString> {
        let mut all = self.entries.clone();
        all.extend(task.iter().map(|(name, value)| (name.into(), value.into())));
        // Last, so that no task can pass for another attempt.
        let own = [
            ("RINGHOLD_TASK_ID", context.task_id().to_string()),
            ("RINGHOLD_ATTEMPT", context.attempt().to_string()),
            ("RINGHOLD_FENCING_TOKEN", context.fencing_token()),
            ("RINGHOLD_MEMBER", context.member().to_string()),
        ];
        all.extend(own.map(|(name, value)| (name.into(), value.into())));
        all
    }
}

/// Whether `text` matches `pattern`, in which each `*` stands for any text, also none.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(before) else {
        return false;
    };
    // Cuts at every character's edge; names are short.
    (0..=rest.len())
        .filter(|&at| rest.is_char_boundary(at))
        .any(|at| matches_pattern(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_with_and_without_text_for_the_star() {
        assert!(matches_pattern("*TOKEN*", "GITHUB_TOKEN"));
        assert!(matches_pattern("*TOKEN*", "TOKEN"));
        assert!(matches_pattern("*_KEY", "API_KEY"));
        assert!(!matches_pattern("*_KEY", "API_KEYS"));
        assert!(!matches_pattern("RINGHOLD__*", "RINGHOLD_TASK_ID"));
        assert!(matches_pattern("A", "A"));
    }

    #[test]
    fn secrets_of_the_member_are_left_out_in_any_case() {
        let entries = [
            "PATH",
            "HOME",
            "aws_region",
            "Db_Password",
            "RINGHOLD__SERVER",
            "SSH_KEY",
        ];
        let kept = MemberEnvironment::filtered(
            entries.map(|name| (OsString::from(name), OsString::from("x"))),
        );
        let names: Vec<_> = kept.entries.keys().collect();
        assert_eq!(names, ["HOME", "PATH"]);
    }
}
