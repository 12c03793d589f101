//! What the SDK keeps for a member that takes nothing from its connection.

#[allow(dead_code, reason = "a module of two test binaries")]
mod fake;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fake::Fake;
use futures_util::future::join_all;
use ringhold_client::HandlerTask;

/// A payload that says when it leaves memory.
struct Watched(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_submit_that_is_given_up_keeps_no_bytes_though_its_member_reads_nothing() {
    const TASKS: usize = 100;
    let fake = Fake::start(1).await;
    fake.members[0].reads_nothing.store(true, Ordering::SeqCst);
    let executor = fake.client().await.executor("reports");
    let live = Arc::new(AtomicUsize::new(0));
    let submits = (0..TASKS).map(|_| {
        live.fetch_add(1, Ordering::SeqCst);
        let payload = Bytes::from_owner(Watched(vec![7; 256 * 1024], live.clone()));
        let submit = executor.submit(HandlerTask::new("render", payload));
        async { submit.deadline(Duration::from_secs(2)).await }
    });
    let ended = join_all(submits).await;
    assert!(ended.iter().all(Result::is_err));
    // At once, while the connection still stands.
    assert_eq!(live.load(Ordering::SeqCst), 0, "payloads are held back");
}
