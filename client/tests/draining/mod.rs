//! A drain that is waited for.

use std::time::Duration;

use ringhold_client::ErrorCode;
use ringhold_types::Millis;

use crate::fake::{Fake, refusal};

#[tokio::test]
async fn a_drain_that_is_asked_for_again_waits_for_what_is_left_and_not_for_the_whole_again() {
    const WITHIN: Duration = Duration::from_secs(3600);
    /// The member asks the SDK to stay away for this long, so at least as much of the deadline is gone at the next try.
    const PAUSE: Millis = Millis(200);
    let fake = Fake::start(1).await;
    let member = &fake.members[0];
    let not_now = refusal(ErrorCode::Unavailable).with_retry_after(PAUSE);
    member.on_drain.lock().expect("no panic").push_back(not_now);

    let cluster = fake.client().await.cluster();
    cluster.drain_within("m1", WITHIN).await.expect("drained");

    let waits = member.drain_waits.lock().expect("no panic").clone();
    let [Some(first), Some(second)] = waits[..] else {
        panic!("two tries, each with its wait: {waits:?}");
    };
    assert!(first <= WITHIN, "{first:?}");
    assert!(
        second <= WITHIN - Duration::from_millis(PAUSE.0),
        "{second:?}"
    );
    // Not nothing either: most of the hour is still there.
    assert!(second > WITHIN / 2, "{second:?}");
}

#[tokio::test]
async fn a_drain_that_is_not_waited_for_states_no_wait() {
    let fake = Fake::start(1).await;
    let cluster = fake.client().await.cluster();
    cluster.drain("m1", false).await.expect("begun");
    let waits = fake.members[0].drain_waits.lock().expect("no panic");
    assert_eq!(*waits, [None]);
}
