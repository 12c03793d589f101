//! `failover`: a fault hits a primary, again and again, while tasks live in the cluster.

mod probe;
mod report;
mod scene;

use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt};
use ringhold_client::{Client, Executor, TaskId};
use rustix::process::Signal;

use crate::arguments::{Arguments, FailoverArguments, Fault};
use crate::cluster::Processes;
use crate::machine::Machine;
use crate::whole::wait_until_whole;
use crate::{Verdict, executor, network, output};
use probe::Probes;
use report::{Hit, Report};
use scene::{Target, choose};

/// Submits under way at once while the live tasks are stored.
const STORING: usize = 256;
/// The live tasks wait until the year 2100, counted from 1970: longer than any bench, and no clock has to be read.
const NOT_BEFORE: Duration = Duration::from_secs(4_102_444_800);
/// How long the cluster may take to acknowledge again, before the bench gives up.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(60);
/// Live tasks that are read again at the end.
const SAMPLE: usize = 500;
/// How often a target may change its kind before it is hit.
const CHOICES_MAX: u32 = 10;

/// Runs it.
///
/// # Errors
/// When the cluster does not start, or does not recover.
pub(crate) async fn run(
    arguments: &Arguments,
    failover: &FailoverArguments,
) -> anyhow::Result<Verdict> {
    output::say(format_args!(
        "starting {} member processes",
        failover.members
    ));
    let mut processes = Processes::start(failover.members, arguments.data_dir.as_deref()).await?;
    let machine = Machine::look(processes.directory());
    let client = processes.client(STORING * 2).await?;
    let executor = executor::create(&client, failover.persistence, 1).await?;
    executor::touch_all(&client, &executor).await?;
    output::say(format_args!("storing {} tasks", failover.live_tasks));
    let live = store(&executor, failover).await?;
    let mut hits = Vec::new();
    for number in 1..=failover.kills {
        let hit = hit_one(&mut processes, &client, &executor, failover).await;
        let hit = hit.with_context(|| format!("fault {number} of {}", failover.kills))?;
        output::say(format_args!(
            "{number}: {} to {}{}, primary of {} partitions: first acknowledgement after {} ms, whole after {} ms",
            failover.fault.as_str(),
            hit.member,
            if hit.was_raft_leader {
                " (Raft leader)"
            } else {
                ""
            },
            hit.primary_partitions,
            hit.first_ack_ms,
            hit.whole_ms
        ));
        hits.push(hit);
    }
    let lost = client.cluster().status().await?.losses.len();
    let missing = missing(&client, &live).await;
    let report = Report::new(failover, hits, (lost, missing), machine);
    output::print(arguments.output, &report)?;
    Ok(report.verdict())
}

/// Stores tasks that live for as long as the bench: acknowledged, replicated, not to be started yet.
async fn store(executor: &Executor, failover: &FailoverArguments) -> anyhow::Result<Vec<TaskId>> {
    let payload = executor::payload(failover.payload_bytes);
    let later = SystemTime::UNIX_EPOCH + NOT_BEFORE;
    let submits = (0..failover.live_tasks).map(|_| {
        let submit = executor.submit(executor::echo(&payload)).not_before(later);
        async move { submit.await.map(|handle| handle.id().clone()) }
    });
    let stored = futures_util::stream::iter(submits).buffer_unordered(STORING);
    stored
        .try_collect()
        .await
        .context("cannot store the live tasks")
}

/// Hits a member of the wanted kind, as it is at that very moment.
async fn hit_one(
    processes: &mut Processes,
    client: &Client,
    executor: &Executor,
    failover: &FailoverArguments,
) -> anyhow::Result<Hit> {
    for _ in 0..CHOICES_MAX {
        wait_until_whole(client).await?;
        let target = choose(client, failover.victim).await?;
        let hit = hit(processes, client, executor, &target, failover.fault).await?;
        if let Some(hit) = hit {
            return Ok(hit);
        }
    }
    anyhow::bail!("the Raft leadership changed {CHOICES_MAX} times before a member could be hit")
}

/// One fault, from before it to the whole cluster; `None` if the target became another kind of member before it.
async fn hit(
    processes: &mut Processes,
    client: &Client,
    executor: &Executor,
    target: &Target,
    fault: Fault,
) -> anyhow::Result<Option<Hit>> {
    let place = processes
        .place_of(&target.name)
        .context("the member is one of ours")?;
    let probes = Probes::begin(client, executor, &target.led)?;
    probes.wait_for_all(RECOVERY_PATIENCE).await?;
    let now = scene::look_again(client, &target.name).await?;
    if now.is_raft_leader != target.is_raft_leader || now.led.is_empty() {
        return Ok(None);
    }
    let led = now.led;
    probes.fault(&led)?;
    let at = Instant::now();
    match fault {
        Fault::Kill => processes.kill(place),
        Fault::Stop => processes.signal(place, Signal::STOP)?,
        Fault::Drop => network::set_link(place + 1, false)?,
    }
    let answered = probes.wait_for_all(RECOVERY_PATIENCE).await;
    // Whatever came of it, the member gets its chance to come back.
    match fault {
        Fault::Kill => processes.spawn(place)?,
        Fault::Stop => processes.signal(place, Signal::CONT)?,
        Fault::Drop => network::set_link(place + 1, true)?,
    }
    let acknowledged = answered?;
    drop(probes);
    if fault == Fault::Kill {
        processes.wait_until_ready(place).await?;
    }
    wait_until_whole(client).await?;
    Ok(Some(Hit {
        member: target.name.clone(),
        was_raft_leader: target.is_raft_leader,
        primary_partitions: led.len(),
        first_ack_ms: report::millis(acknowledged.first.saturating_duration_since(at)),
        all_acks_ms: report::millis(acknowledged.last.saturating_duration_since(at)),
        whole_ms: report::millis(at.elapsed()),
    }))
}

/// How many of a sample of the live tasks the cluster does not show any more.
async fn missing(client: &Client, live: &[TaskId]) -> usize {
    let step = live.len().div_ceil(SAMPLE).max(1);
    let reads = live.iter().step_by(step).map(|id| client.get(id));
    let reads = futures_util::stream::iter(reads).buffer_unordered(STORING);
    reads
        .filter(|read| std::future::ready(read.is_err()))
        .count()
        .await
}
