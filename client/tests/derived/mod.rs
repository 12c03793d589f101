//! Tasks whose kind is derived.

use ringhold_client::{Codec, CodecCause, Json, Task, TaskError};

use crate::fake::Fake;

/// JSON under a name of its own.
struct Own;

impl Codec for Own {
    const CONTENT_TYPE: &'static str = "application/x-own";

    fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, CodecCause> {
        Json::encode(value)
    }

    fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecCause> {
        Json::decode(bytes)
    }
}

#[derive(serde::Serialize, Task)]
#[task(executor = "reports", output = String)]
struct RenderPage {
    page: u64,
}

#[tokio::test]
async fn a_derived_task_is_submitted_and_a_result_of_another_form_than_the_codecs_is_refused() {
    let fake = Fake::start(1).await;
    fake.cluster.finished.send_replace(true);
    let client = fake.client().await;
    assert_eq!(
        (RenderPage::NAME, RenderPage::EXECUTOR),
        ("render-page", "reports")
    );
    let pages = client.typed::<RenderPage>();
    let handle = pages.submit(&RenderPage { page: 7 }).await.expect("stored");
    assert_eq!(handle.await.expect("JSON as usual"), "done");
    let own = pages.codec::<Own>();
    let handle = own.submit(&RenderPage { page: 7 }).await.expect("stored");
    let id = handle.id().clone();
    let expected = |error: TaskError| {
        let text = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(
            text.as_deref(),
            Some("the result is \"application/json\", not application/x-own")
        );
    };
    expected(handle.await.expect_err("the fake speaks JSON only"));
    expected(own.retrieve_result(&id).await.expect_err("the same"));
}
