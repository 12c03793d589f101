//! The SDK against a member that is embedded in the same program.

use ringhold_client::{Client, Codec, CodecCause, Task, TaskError};
use ringhold_node::{AttemptContext, Coded, ExecutorConfig, HandlerError, Member, TypedHandler};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A form that nobody takes for JSON: its bytes in hexadecimal digits.
struct Hexadecimal;

impl Codec for Hexadecimal {
    const CONTENT_TYPE: &'static str = "application/x-hexadecimal";

    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecCause> {
        let json = serde_json::to_vec(value)?;
        let digits: String = json.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(digits.into_bytes())
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecCause> {
        let digits = std::str::from_utf8(bytes)?;
        let byte = |at| u8::from_str_radix(digits.get(at..at + 2).unwrap_or("?"), 16);
        let json: Result<Vec<u8>, _> = (0..digits.len()).step_by(2).map(byte).collect();
        Ok(serde_json::from_slice(&json?)?)
    }
}

/// A form that the handler does not speak.
struct Unheard;

impl Codec for Unheard {
    const CONTENT_TYPE: &'static str = "application/x-unheard";

    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecCause> {
        Hexadecimal::encode(value)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecCause> {
        Hexadecimal::decode(bytes)
    }
}

#[derive(Serialize, Deserialize)]
struct Sum {
    parts: Vec<u64>,
}

impl Task for Sum {
    const NAME: &'static str = "sum";
    const EXECUTOR: &'static str = "sums";
    type Output = u64;
}

struct Adds;

impl TypedHandler for Adds {
    const NAME: &'static str = Sum::NAME;
    type Input = Sum;
    type Output = u64;

    async fn run(&self, _context: AttemptContext, sum: Sum) -> Result<u64, HandlerError> {
        Ok(sum.parts.iter().sum())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typed_task_and_its_handler_speak_the_codec_that_the_task_was_submitted_in() {
    let member = Member::single()
        .executor(ExecutorConfig::new(Sum::EXECUTOR))
        .coded_handler(Coded::new(Adds).codec::<Hexadecimal>());
    let member = member.start().await.expect("it starts");
    let address = member.client_address().to_string();
    let client = Client::builder().endpoints([address]).build().await;
    let client = client.expect("the member answers");
    let sums = client.typed::<Sum>();
    let sum = Sum {
        parts: vec![3, 4, 5],
    };

    let in_json = sums.submit(&sum).await.expect("stored");
    assert_eq!(in_json.await.expect("a sum"), 12);

    let hexadecimal = sums.codec::<Hexadecimal>();
    let handle = hexadecimal.submit(&sum).await.expect("stored");
    let id = handle.id().clone();
    assert_eq!(handle.await.expect("a sum"), 12);
    let raw = client.retrieve_result(&id).await.expect("it is kept");
    let (form, payload) = raw
        .read(|result| Ok((result.content_type, result.payload)))
        .expect("it succeeded");
    assert_eq!(form, Hexadecimal::CONTENT_TYPE);
    assert_eq!(&payload[..], b"3132");
    assert_eq!(hexadecimal.retrieve_result(&id).await.expect("a sum"), 12);

    let unheard = sums.codec::<Unheard>();
    let handle = unheard.submit(&sum).await.expect("stored");
    let failed = handle.await.expect_err("the handler does not speak it");
    assert!(matches!(failed, TaskError::Failed { .. }), "{failed}");
    let text = format!("{failed:?}");
    assert!(
        text.contains("sum does not speak application/x-unheard; it speaks application/json"),
        "{text}"
    );
    member.shutdown().await;
}
