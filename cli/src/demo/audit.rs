//! The proof: reads every acknowledged task from every surviving member, and compares.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use ringhold_client::{Client, Outcome, Retrieved, TaskId};

use super::files::HashedFile;
use crate::failure::Failure;
use crate::map::LineNumber;
use crate::output;

/// Reads under way at once, per member.
const READS_AT_ONCE: usize = 32;
/// How long one read may take.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// Findings that are printed one by one.
const FINDINGS_SHOWN: u64 = 10;

/// What the audit found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Tasks that some member could not give an outcome of.
    pub(super) lost: u64,
    /// Tasks with a hash other than the file's, or with outcomes that differ between members.
    pub(super) mismatches: u64,
    /// Tasks with more than one attempt.
    pub(super) rerun: u64,
    /// Tasks that ended in another way than with a result.
    pub(super) failed: u64,
}

/// What the members said about one task.
#[derive(Default)]
struct Answers {
    outcomes: Vec<Retrieved>,
    missing: Vec<String>,
}

/// Reads `tasks` from each of `members` (name and client address), over a connection to that member alone.
pub(super) async fn audit(
    members: &[(String, String)],
    tasks: &BTreeMap<LineNumber, TaskId>,
    files: &[HashedFile],
) -> Result<Findings, Failure> {
    let mut answers: BTreeMap<LineNumber, Answers> = BTreeMap::new();
    for line in tasks.keys() {
        answers.entry(*line).or_default();
    }
    for (name, address) in members {
        let builder = Client::builder().endpoints([address.clone()]);
        let client = builder
            .smart_routing(false)
            .confirm_retrieved(false)
            .build()
            .await?;
        let reads = tasks.iter().map(|(line, id)| {
            let retrieve = client.retrieve_result(id).deadline(READ_DEADLINE);
            async move { (*line, retrieve.await) }
        });
        let mut reads = futures_util::stream::iter(reads).buffer_unordered(READS_AT_ONCE);
        while let Some((line, read)) = reads.next().await {
            let answers = answers.entry(line).or_default();
            match read {
                Ok(retrieved) => answers.outcomes.push(retrieved),
                Err(error) => answers.missing.push(format!("{name}: {error}")),
            }
        }
    }
    Ok(judge(&answers, tasks, files))
}

fn judge(
    answers: &BTreeMap<LineNumber, Answers>,
    tasks: &BTreeMap<LineNumber, TaskId>,
    files: &[HashedFile],
) -> Findings {
    let mut findings = Findings::default();
    let mut shown = 0;
    let mut show = |text: String| {
        shown += 1;
        if shown <= FINDINGS_SHOWN {
            output::say(text);
        }
    };
    for (line, answers) in answers {
        let id = tasks.get(line).map(ToString::to_string).unwrap_or_default();
        if !answers.missing.is_empty() {
            findings.lost += 1;
            show(format!("lost: {id}: {}", answers.missing.join("; ")));
        }
        let Some(first) = answers.outcomes.first() else {
            continue;
        };
        let place = usize::try_from(line.0)
            .ok()
            .and_then(|number| number.checked_sub(1));
        let file = place.and_then(|place| files.get(place));
        let same = answers
            .outcomes
            .iter()
            .all(|answer| answer.outcome == first.outcome);
        if !same || !holds_hash(&first.outcome, file) {
            findings.mismatches += 1;
            show(format!(
                "mismatch: {id}: {:?}, the file has {file:?}",
                first.outcome
            ));
        }
        findings.rerun += u64::from(answers.outcomes.iter().any(|answer| answer.attempts > 1));
        findings.failed += u64::from(!matches!(first.outcome, Outcome::Succeeded(_)));
    }
    findings
}

/// Whether an outcome is the line that `sha256sum` prints for the file. A task that failed claims no hash.
fn holds_hash(outcome: &Outcome, file: Option<&HashedFile>) -> bool {
    let Outcome::Succeeded(result) = outcome else {
        return true;
    };
    let expected = file.map(|file| [file.hash.as_bytes(), b"  ", &file.path, b"\n"].concat());
    expected.is_some_and(|expected| result.payload == expected)
}

#[cfg(test)]
mod tests {
    use ringhold_client::TaskResult;

    use super::*;

    fn file() -> HashedFile {
        HashedFile {
            path: "/a".into(),
            hash: "00ff".into(),
        }
    }

    fn answer(payload: &'static str, attempts: u32) -> Retrieved {
        let id = "demo/1/2".parse().expect("well formed");
        let result = TaskResult {
            payload: payload.into(),
            ..TaskResult::default()
        };
        Retrieved {
            id,
            outcome: Outcome::Succeeded(result),
            attempts,
        }
    }

    fn judged(outcomes: Vec<Retrieved>, missing: Vec<String>) -> Findings {
        let tasks = BTreeMap::from([(LineNumber(1), "demo/1/2".parse().expect("well formed"))]);
        let answers = BTreeMap::from([(LineNumber(1), Answers { outcomes, missing })]);
        judge(&answers, &tasks, &[file()])
    }

    #[test]
    fn the_same_right_hash_from_everybody_is_no_finding() {
        let right = || answer("00ff  /a\n", 1);
        assert_eq!(judged(vec![right(), right()], vec![]), Findings::default());
    }

    #[test]
    fn a_wrong_hash_a_differing_outcome_and_a_missing_one_are_findings() {
        let wrong = judged(vec![answer("ff00  /a\n", 1)], vec![]);
        assert_eq!((wrong.mismatches, wrong.lost), (1, 0));
        let differing = judged(vec![answer("00ff  /a\n", 1), answer("", 1)], vec![]);
        assert_eq!(differing.mismatches, 1);
        let missing = judged(vec![answer("00ff  /a\n", 2)], vec!["m3: gone".into()]);
        assert_eq!(
            missing,
            Findings {
                lost: 1,
                rerun: 1,
                ..Findings::default()
            }
        );
    }
}
