//! `run`: whole task lives against member processes.

mod life;
mod load;
mod report;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold_client::Client;

use crate::arguments::{Arguments, RunArguments};
use crate::cluster::Processes;
use crate::device::Device;
use crate::machine::Machine;
use crate::process::Usage;
use crate::watch::Watch;
use crate::whole::wait_until_whole;
use crate::{Verdict, executor, output};
use life::Lives;
use load::Load;
use report::{Measured, Report};

/// Time for what is under way at the end.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// Runs it.
///
/// # Errors
/// When the cluster does not start, or does not answer.
pub(crate) async fn run(arguments: &Arguments, run: &RunArguments) -> anyhow::Result<Verdict> {
    output::say(format_args!("starting {} member processes", run.members));
    let processes = Processes::start(run.members, arguments.data_dir.as_deref()).await?;
    let machine = Machine::look(processes.directory());
    let client = processes.client(load::most_in_flight(run)).await?;
    let executor = executor::create(&client, run.persistence, run.durability).await?;
    executor::touch_all(&client, &executor).await?;
    wait_until_whole(&client).await?;
    let lives = Arc::new(Lives::new(
        client.clone(),
        executor,
        executor::payload(run.payload_bytes),
    ));
    let measured = measure(run, &processes, &client, &lives).await?;
    let report = Report::new(run, &measured, machine);
    output::print(arguments.output, &report)?;
    Ok(report.verdict())
}

async fn measure(
    run: &RunArguments,
    processes: &Processes,
    client: &Client,
    lives: &Arc<Lives>,
) -> anyhow::Result<Measured> {
    let load = Load::begin(run, lives);
    tokio::time::sleep(Duration::from_secs(run.warm_up)).await;
    output::say(format_args!("measuring for {} s", run.seconds));
    let watch = Watch::begin(client).await?;
    let device = Device::of(processes.directory());
    let device_bytes = || device.as_ref().and_then(Device::written_bytes);
    let device_before = device_bytes();
    let log_before = processes.log_bytes();
    let (before, own_before) = (processes.usage()?, Usage::of_self()?);
    let began = Instant::now();
    lives.measure_from(began);
    tokio::time::sleep(Duration::from_secs(run.seconds)).await;
    let elapsed = began.elapsed();
    let counted = lives.measure_until(began + elapsed);
    let (after, own_after) = (processes.usage()?, Usage::of_self()?);
    let device_after = device_bytes();
    let log_after = processes.log_bytes();
    let disturbances = watch.end().await?;
    let unfinished = load.end(DRAIN_PATIENCE).await;
    let spent = |of: fn(&Usage) -> u64| -> u64 {
        let pairs = after.iter().zip(&before);
        pairs
            .map(|(after, before)| of(after).saturating_sub(of(before)))
            .sum()
    };
    Ok(Measured {
        elapsed,
        lives: counted,
        times: lives.take_times(),
        member_cpu: Duration::from_micros(spent(|usage| micros(usage.cpu))),
        own_cpu: own_after.cpu.saturating_sub(own_before.cpu),
        device_bytes: device_after
            .zip(device_before)
            .map(|(after, before)| after - before),
        log_bytes: log_after
            .zip(log_before)
            .map(|(after, before)| after.saturating_sub(before)),
        process_bytes: spent(|usage| usage.written_bytes),
        peak_bytes: after.iter().map(|usage| usage.peak_bytes).collect(),
        unfinished,
        disturbances,
    })
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
