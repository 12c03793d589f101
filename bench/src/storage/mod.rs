//! `storage`: the own log beside other stores, on the life cycle of a ring: a task is accepted (1 KiB), completed (its
//! outcome takes its place) and disposed, in batches that share one flush to the device, with a bounded number alive.
//!
//! Each store and batch size has a process of its own, which ends without closing anything; a second process opens what
//! is there, times that, and counts what lives.

mod life;
mod own;
#[cfg(feature = "peers")]
mod peers;
mod report;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::arguments::{Arguments, StorageArguments, StorageLifeArguments};
use crate::device::Device;
use crate::histogram::Histogram;
use crate::machine::Machine;
use crate::process::Usage;
use crate::{Verdict, cluster, executor, output};
use life::{Change, Lives};
use report::{Batch, Recovered, Report, Store as StoreReport, Worked};

/// A store as a ring uses it.
trait Store {
    /// Applies a batch and makes it durable with one flush.
    fn commit(&mut self, batch: &[Change]) -> anyhow::Result<()>;
}

/// What lives in a store that was opened again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Living {
    tasks: u64,
    bytes: u64,
}

/// The stores of this build, the own log first.
const STORES: &[&str] = if cfg!(feature = "peers") {
    &["own", "redb", "fjall", "sled"]
} else {
    &["own"]
};

/// Runs it.
///
/// # Errors
/// When a store fails, or forgets what it was given.
pub(crate) fn run(arguments: &Arguments, storage: &StorageArguments) -> anyhow::Result<Verdict> {
    let directory = cluster::directory(arguments.data_dir.as_deref())?;
    let machine = Machine::look(directory.path());
    if STORES.len() == 1 {
        output::say("note: only the own log; build with --features peers to compare");
    }
    let mut stores = Vec::new();
    for store in STORES {
        let mut batches = Vec::new();
        for batch in &storage.batches {
            output::say(format_args!(
                "{store}, {batch} lives a flush, {} s",
                storage.seconds
            ));
            let place = directory.path().join(format!("{store}-{batch}"));
            batches.push(measure(store, *batch, &place, storage)?);
            std::fs::remove_dir_all(&place).context("cannot remove a store")?;
        }
        stores.push(StoreReport { store, batches });
    }
    output::print(arguments.output, &Report::new(storage, stores, machine))?;
    Ok(Verdict::Kept)
}

fn measure(
    store: &str,
    batch: usize,
    place: &Path,
    storage: &StorageArguments,
) -> anyhow::Result<Batch> {
    let worked: Worked = start(store, batch, place, storage, false)?;
    let recovered: Recovered = start(store, batch, place, storage, true)?;
    if recovered.live != worked.live {
        bail!(
            "{store} forgot what it had made durable: {} tasks lived, {} were found",
            worked.live,
            recovered.live
        );
    }
    Ok(Batch::new(batch, worked, recovered))
}

/// Starts a process that holds the store, and reads what it says.
fn start<T: serde::de::DeserializeOwned>(
    store: &str,
    batch: usize,
    place: &Path,
    storage: &StorageArguments,
    recover: bool,
) -> anyhow::Result<T> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command
        .args(["storage-life", "--store", store])
        .args(["--batch", &batch.to_string()])
        .args(["--seconds", &storage.seconds.to_string()])
        .args(["--live", &storage.live.to_string()])
        .args(["--payload-bytes", &storage.payload_bytes.to_string()])
        .arg("--directory")
        .arg(place)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if recover {
        command.arg("--recover");
    }
    let output = command
        .output()
        .context("cannot start a process for the store")?;
    if !output.status.success() {
        bail!("the process of {store} ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("the process of a store said something strange")
}

/// The process that holds one store.
///
/// # Errors
/// When the store fails.
pub(crate) fn child(arguments: &StorageLifeArguments) -> anyhow::Result<Verdict> {
    let said = if arguments.recover {
        serde_json::to_string(&recover(arguments)?)?
    } else {
        serde_json::to_string(&work(arguments)?)?
    };
    println!("{said}");
    Ok(Verdict::Kept)
}

fn work(arguments: &StorageLifeArguments) -> anyhow::Result<Worked> {
    let mut store = open(&arguments.store, &arguments.directory)?.0;
    let mut lives = Lives::new(arguments.live, executor::payload(arguments.payload_bytes));
    // Filling up is not measured: the live set is what the store works against.
    while !lives.is_full() {
        store.commit(&lives.next_batch(arguments.batch.max(64)))?;
    }
    let device = Device::of(&arguments.directory);
    let device_bytes = || device.as_ref().and_then(Device::written_bytes);
    let device_before = device_bytes();
    let (before, disposed_before) = (Usage::of_self()?, lives.disposed());
    let mut commits = Histogram::default();
    let began = Instant::now();
    let span = Duration::from_secs(arguments.seconds);
    while began.elapsed() < span {
        let batch = lives.next_batch(arguments.batch);
        let asked = Instant::now();
        store.commit(&batch)?;
        commits.record(asked.elapsed());
    }
    let (elapsed, after) = (began.elapsed(), Usage::of_self()?);
    let device_after = device_bytes();
    // It ends like a process that was killed: nothing is closed.
    std::mem::forget(store);
    let tasks = lives.disposed() - disposed_before;
    Ok(Worked {
        tasks,
        seconds: elapsed.as_secs_f64(),
        commit_us: commits.latency(),
        device_bytes: device_after
            .zip(device_before)
            .map(|(after, before)| after - before),
        process_bytes: after.written_bytes.saturating_sub(before.written_bytes),
        cpu_us: u64::try_from(after.cpu.saturating_sub(before.cpu).as_micros()).unwrap_or(u64::MAX),
        rss_bytes: after.resident_bytes,
        live: lives.live(),
    })
}

fn recover(arguments: &StorageLifeArguments) -> anyhow::Result<Recovered> {
    let began = Instant::now();
    let (store, living) = open(&arguments.store, &arguments.directory)?;
    let elapsed = began.elapsed();
    drop(store);
    Ok(Recovered {
        recover_ms: elapsed.as_secs_f64() * 1000.0,
        live: living.tasks,
        live_bytes: living.bytes,
    })
}

/// Opens a store, reads everything that lives in it, and counts.
fn open(store: &str, directory: &Path) -> anyhow::Result<(Box<dyn Store>, Living)> {
    match store {
        "own" => own::open(directory),
        #[cfg(feature = "peers")]
        "redb" => peers::redb::open(directory),
        #[cfg(feature = "peers")]
        "fjall" => peers::fjall::open(directory),
        #[cfg(feature = "peers")]
        "sled" => peers::sled::open(directory),
        other => bail!("no store {other:?} in this build"),
    }
}
