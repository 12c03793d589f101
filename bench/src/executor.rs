//! The executor that the bench loads, and the tasks that it gives it.

use anyhow::Context;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use ringhold_client::{
    Client, Executor, ExecutorConfig, ExecutorName, HandlerTask, PartitionNumber, Persistence,
};

/// Its name.
pub(crate) const EXECUTOR: &str = "bench";
/// The handler that every member has: it returns its input.
const HANDLER: &str = "ringhold.echo";
/// Submits under way at once while something is prepared.
const PREPARING: usize = 64;
/// Keys tried for a partition: of 271 partitions each is met long before.
const KEYS_TRIED_MAX: u32 = 100_000;

/// Creates the executor, with defaults for everything else.
///
/// # Errors
/// When the cluster refuses it.
pub(crate) async fn create(
    client: &Client,
    persistence: Persistence,
    durability: u32,
) -> anyhow::Result<Executor> {
    let config = ExecutorConfig {
        persistence,
        durability,
        ..ExecutorConfig::with_name(ExecutorName::new(EXECUTOR)?)
    };
    client
        .cluster()
        .create_executor(&config)
        .await
        .context("cannot create the executor")?;
    Ok(client.executor(EXECUTOR))
}

/// A task that carries these bytes and returns them.
pub(crate) fn echo(payload: &Bytes) -> HandlerTask {
    HandlerTask::new(HANDLER, payload.clone()).content_type("application/octet-stream")
}

/// Bytes that do not compress.
pub(crate) fn payload(length: usize) -> Bytes {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let bytes = std::iter::repeat_with(|| {
        // Xorshift (Marsaglia 2003): nothing here needs more.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    bytes.take(length).collect::<Vec<u8>>().into()
}

/// A key for each partition, by number.
///
/// # Errors
/// When the client does not know the executor.
pub(crate) fn keys(client: &Client) -> anyhow::Result<Vec<(PartitionNumber, String)>> {
    let table = client.routing_table();
    let executor = table
        .executors
        .get(EXECUTOR)
        .context("the executor is not known yet")?;
    let count = usize::try_from(executor.partition_count.get())?;
    let mut found = std::collections::BTreeMap::new();
    for number in 0..KEYS_TRIED_MAX {
        let key = format!("k{number}");
        if let Some(partition) = table.partition_of(EXECUTOR, key.as_bytes()) {
            found.entry(partition).or_insert(key);
        }
        if found.len() == count {
            return Ok(found.into_iter().collect());
        }
    }
    anyhow::bail!("no key was found for some partition")
}

/// Gives each partition one task, so that all are in use.
///
/// # Errors
/// When one is refused.
pub(crate) async fn touch_all(client: &Client, executor: &Executor) -> anyhow::Result<()> {
    let payload = payload(16);
    let touch = |(_, key): (PartitionNumber, String)| {
        let submit = executor.submit(echo(&payload)).key(key);
        async move {
            let handle = submit.await?;
            client.retrieve_and_dispose_result(handle.id()).await?;
            anyhow::Ok(())
        }
    };
    futures_util::stream::iter(keys(client)?)
        .map(touch)
        .buffer_unordered(PREPARING)
        .try_collect::<Vec<()>>()
        .await
        .context("cannot use every partition")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_length_and_no_pattern() {
        let payload = payload(1024);
        assert_eq!(payload.len(), 1024);
        let distinct: std::collections::BTreeSet<&u8> = payload.iter().collect();
        assert!(
            distinct.len() > 200,
            "only {} different bytes",
            distinct.len()
        );
    }
}
