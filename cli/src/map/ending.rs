//! The end of a run of which everything was printed: its mark goes first, its results after that. Between the two there are
//! results without a run, which expire; the other way round there would be a run without results, and resuming it would run
//! its lines a second time.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::time::Duration;

use futures_util::StreamExt;
use ringhold_client::{Client, RequestError, RetrieveError, TaskId};

use crate::{output, progress};

/// How long the end of a run waits for its mark to go: longer than a failover takes. It has run long ago, or nothing has.
const MARK_PATIENCE: Duration = Duration::from_secs(15);

/// Disposes the mark of a run. `false`, and people know why, when it may be there still: then its results have to stay.
pub(crate) async fn dispose_mark(client: &Client, mark: &TaskId) -> bool {
    let removed = client.retrieve_and_dispose_result(mark).into_future();
    let why = match tokio::time::timeout(MARK_PATIENCE, removed).await {
        Ok(Ok(_) | Err(RetrieveError::Gone { .. })) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => format!("no answer within {}", crate::duration::show(MARK_PATIENCE)),
    };
    output::say(format_args!(
        "everything was printed, but the run's end could not be stored ({why}): its results stay until they expire \
         (result-ttl), and --resume prints them again while they are there"
    ));
    false
}

/// Disposes the results of a run that has ended. Stops at the first that no member answers for: what is left expires.
pub(crate) async fn dispose_all(client: &Client, ids: VecDeque<TaskId>, at_once: usize) {
    let all = u64::try_from(ids.len()).unwrap_or(u64::MAX);
    let bar = progress::bar(all, "disposing");
    let disposed = futures_util::stream::iter(ids)
        .map(|id| async move { client.dispose_result(&id).await })
        .buffer_unordered(at_once);
    let (done, stopped) = until_unanswered(disposed, || bar.inc(1)).await;
    bar.finish_and_clear();
    if let Some(error) = stopped {
        let left = all.saturating_sub(done);
        output::say(format_args!(
            "the run has ended; {left} of its {all} results are not disposed ({error}), and expire (result-ttl)"
        ));
    }
}

/// Counts answers up to the first that is none.
async fn until_unanswered(
    answers: impl futures_util::Stream<Item = Result<(), RequestError>>,
    mut count: impl FnMut(),
) -> (u64, Option<RequestError>) {
    let mut answers = std::pin::pin!(answers);
    let mut done = 0;
    while let Some(answer) = answers.next().await {
        match answer {
            Err(error) if !error.code.is_absence() => return (done, Some(error)),
            Ok(()) | Err(_) => {
                done += 1;
                count();
            }
        }
    }
    (done, None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ringhold_client::ErrorCode;

    use super::*;

    fn answer(code: ErrorCode) -> Result<(), RequestError> {
        Err(RequestError {
            code,
            message: "no".to_owned(),
            metadata: BTreeMap::new(),
        })
    }

    #[tokio::test]
    async fn disposing_stops_at_the_first_result_that_nobody_answers_for() {
        let mut asked = 0;
        let answers = [
            Ok(()),
            answer(ErrorCode::Disposed),
            answer(ErrorCode::Unavailable),
            Ok(()),
        ];
        let answers = futures_util::stream::iter(answers).inspect(|_| asked += 1);
        let (done, stopped) = until_unanswered(answers, || ()).await;
        assert_eq!(done, 2);
        assert_eq!(
            stopped.expect("one went unanswered").code,
            ErrorCode::Unavailable
        );
        assert_eq!(asked, 3);
    }
}
