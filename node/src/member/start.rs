//! How a member starts, top to bottom, in this order: ports, directory, log, control plane, replicas, calls.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ringhold_control::{Command, MemberInfo, Response, StoreReport};
use ringhold_storage::{DataDirectory, DirectoryExpectation, RedbStore};
use ringhold_types::{ClusterId, ExecutorConfig, MemberId, StartNonce};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::disk::{Home, ScratchDirectory, random_number};
use super::ending::{Ended, Ending};
use super::listeners::{Addresses, Listeners};
use super::memory;
use super::runtimes::Runtimes;
use super::store::{self, OpenedLog};
use super::{Member, MemberBuilder, StartError};
use crate::clock::Clock;
use crate::control::{ControlEvents, ControlOptions, ControlPlane};
use crate::execution::{Execution, ExecutionOptions, HandlerRegistry, MemberEnvironment};
use crate::http::Readiness;
use crate::partition::{Committer, Driver, DriverHandle, DriverOptions};
use crate::peer::{Links, PeerIdentity, PeerServiceImpl};
use crate::rpc::{Api, ApiOptions, Servers, ServersOptions, Serving, serve_pages, serve_peers};
use crate::spawn;

/// Feature level of this version.
const FEATURE_LEVEL: u32 = 2;
/// Reports of attempts that may queue for the driver; ended attempts wait beyond it.
const REPORTS_QUEUED_MAX: usize = 4096;
/// Pause between tries to create a configured executor, while too few members are there for its copies.
const EXECUTOR_PAUSE: Duration = Duration::from_millis(250);
/// Longest such pause: by then it waits for people.
const EXECUTOR_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a member that is not in its cluster yet says why.
const WAITING_SAID_EVERY: Duration = Duration::from_secs(5);
/// How long one such try may take.
const EXECUTOR_PATIENCE: Duration = Duration::from_secs(5);

/// Starts a member on its own threads.
pub(super) async fn start(builder: MemberBuilder) -> Result<Member, StartError> {
    let runtimes = Runtimes::start()?;
    on(&runtimes.rpc(), start_inside(builder, runtimes)).await
}

/// Runs `work` to its end on another runtime, where everything that it spawns stays. Dropped before, it ends the work: a
/// start that nobody waits for any more leaves no half a member behind.
async fn on<F>(runtime: &Handle, work: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let mut done = {
        let _inside = runtime.enter();
        EndedWhenDropped(spawn::task("start", work))
    };
    let ended = (&mut done.0).await;
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// A task that ends with its owner.
struct EndedWhenDropped<T>(JoinHandle<T>);

impl<T> Drop for EndedWhenDropped<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the parts of the start hand on.
struct Ground {
    home: Arc<Home>,
    identity: Arc<PeerIdentity>,
    log: Option<OpenedLog>,
}

async fn start_inside(
    mut builder: MemberBuilder,
    runtimes: Runtimes,
) -> Result<Member, StartError> {
    let handlers = std::mem::replace(&mut builder.handlers, Ok(HandlerRegistry::new()))?;
    let listeners = Listeners::bind(&mut builder).await?;
    let addresses = listeners.addresses();
    let readiness = Arc::new(Readiness::default());
    let http = serve_pages(listeners.http, Arc::clone(&readiness));
    let mut ground = prepare_ground(&builder)?;
    let info = member_info(&builder, addresses, ground.identity.member);
    let options = control_options(&builder, &ground, info)?;
    let (control, control_events) = on(&runtimes.control(), ControlPlane::new(options)).await?;
    readiness.joins(control.clone());
    let driver_place = Arc::new(OnceLock::new());
    let peer_service =
        PeerServiceImpl::new(Arc::clone(&ground.identity), Arc::clone(&driver_place));
    let peers = serve_peers(
        &runtimes.control(),
        listeners.peer,
        control.service(),
        peer_service,
    );
    let cluster = join(&runtimes.control(), &control, &mut ground).await?;
    let running = start_driver(
        &mut ground,
        &control,
        control_events,
        handlers,
        &runtimes,
        builder.ring_bytes_max.unwrap_or_else(memory::share),
    )?;
    // A second set is impossible: this is the only place that sets it.
    let _only = driver_place.set(running.driver.clone());
    readiness.runs(
        ground.identity.member,
        running.driver.clone(),
        running.ended.clone(),
    );
    let front = Front {
        client: listeners.client,
        http,
        peers,
        addresses,
        readiness,
    };
    finish(builder, ground, control, running, front, cluster, runtimes).await
}

/// The port that is served last, and those that are served already.
struct Front {
    client: tokio::net::TcpListener,
    http: Serving,
    peers: Serving,
    addresses: Addresses,
    readiness: Arc<Readiness>,
}

/// Opens the directory, notes this start in it, and opens the log if the directory belongs to a cluster already.
fn prepare_ground(builder: &MemberBuilder) -> Result<Ground, StartError> {
    let (path, scratch): (PathBuf, _) = match &builder.data_directory {
        Some(path) => (path.clone(), None),
        None => {
            let scratch = ScratchDirectory::create().map_err(store::io_error)?;
            (scratch.path().to_owned(), Some(scratch))
        }
    };
    let expectation = DirectoryExpectation {
        member_name: builder.name.clone(),
        cluster: None,
        now: Clock.wall(),
    };
    let directory = DataDirectory::open(&path, &expectation)?;
    let log = match directory.identity().cluster {
        Some(cluster) => Some(store::open_log(&directory, cluster)?),
        None => None,
    };
    let start = StartNonce(random_number().map_err(store::io_error)?);
    let member = directory.identity().member;
    let identity = PeerIdentity {
        cluster: OnceLock::new(),
        member,
        start,
    };
    Ok(Ground {
        home: Arc::new(Home::new(directory, scratch)),
        identity: Arc::new(identity),
        log,
    })
}

fn member_info(builder: &MemberBuilder, addresses: Addresses, id: MemberId) -> MemberInfo {
    let reached = |bound: SocketAddr| match &builder.advertise_host {
        Some(host) if host.contains(':') => format!("[{host}]:{}", bound.port()),
        Some(host) => format!("{host}:{}", bound.port()),
        None => bound.to_string(),
    };
    MemberInfo {
        id,
        name: builder.name.clone(),
        zone: builder.zone.clone(),
        client_address: reached(addresses.client),
        peer_address: reached(addresses.peer),
        http_address: reached(addresses.http),
        witness: builder.witness,
        feature_level: FEATURE_LEVEL,
    }
}

fn control_options(
    builder: &MemberBuilder,
    ground: &Ground,
    member: MemberInfo,
) -> Result<ControlOptions, StartError> {
    let metadata = RedbStore::open(ground.home.directory.metadata_path())?;
    Ok(ControlOptions {
        member,
        cluster_name: builder.cluster.clone(),
        join: builder.join.clone(),
        expect: builder.expected(),
        store: Arc::new(metadata),
        known_cluster: ground.home.directory.identity().cluster,
        new_cluster: ClusterId(random_cluster().map_err(store::io_error)?),
        fresh: ground.identity.start,
        store_report: ground
            .log
            .as_ref()
            .map_or(StoreReport::Empty, |log| log.report),
        join_deadline: builder.join_deadline,
        clock: Clock,
    })
}

fn random_cluster() -> std::io::Result<u128> {
    Ok(u128::from(random_number()?) << 64 | u128::from(random_number()?))
}

/// Joins the cluster and has this process start recorded (PROTOCOL I18, §5).
async fn join(
    runtime: &Handle,
    control: &ControlPlane,
    ground: &mut Ground,
) -> Result<ClusterId, StartError> {
    let watcher = spawn::task("say-why", say_why_it_waits(control.clone()));
    // Raft begins when the member joins, and stays where it begins.
    let joining = control.clone();
    let joined = on(runtime, async move { joining.join().await }).await;
    watcher.abort();
    joined?;
    let cluster = control.view().cluster.id().unwrap_or_default();
    let home = Arc::get_mut(&mut ground.home).expect("nobody else has it before there is a log");
    home.directory.set_cluster(cluster)?;
    // A second set is impossible: a member joins once.
    let _only = ground.identity.cluster.set(cluster);
    Ok(cluster)
}

/// A member that cannot join says why, again and again, until it has.
async fn say_why_it_waits(control: ControlPlane) {
    loop {
        tokio::time::sleep(WAITING_SAID_EVERY).await;
        if let Some((why, asked)) = control.waiting() {
            tracing::warn!(why, %asked, "not in the cluster yet");
        }
    }
}

/// The threads that drive replicas and run attempts.
struct Running {
    driver: DriverHandle,
    execution: Execution,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<Ended>,
    thread: std::thread::JoinHandle<()>,
}

fn start_driver(
    ground: &mut Ground,
    control: &ControlPlane,
    control_events: ControlEvents,
    handlers: HandlerRegistry,
    runtimes: &Runtimes,
    ring_bytes_max: u64,
) -> Result<Running, StartError> {
    let cluster = ground.identity.cluster.get().copied().unwrap_or_default();
    let opened = match ground.log.take() {
        Some(opened) => opened,
        None => store::open_log(&ground.home.directory, cluster)?,
    };
    let member = ground.identity.member;
    let settled = opened.settle(&control.view().cluster, member)?;
    let (reports, reports_receiver) = mpsc::channel(REPORTS_QUEUED_MAX);
    let options = ExecutionOptions {
        member,
        scratch_directory: scratch_of(ground.home.directory.path()),
        runtime: runtimes.execution(),
        environment: MemberEnvironment::of_this_process(),
    };
    let execution = Execution::start(options, handlers, reports);
    let (driver, handle) = Driver::new(DriverOptions {
        member,
        start: ground.identity.start,
        recovered: settled.replicas,
        unlisted_cut: settled.unlisted_cut,
        ring_bytes_max,
        committer: Committer::start(settled.log, Arc::clone(&ground.home))?,
        control: control.clone(),
        control_events,
        execution: execution.clone(),
        reports: reports_receiver,
        links: Links::new(Arc::clone(&ground.identity)),
        clock: Clock,
    });
    let (stop, stopped) = watch::channel(false);
    let (ended_sender, ended) = watch::channel(None);
    let ending = Ending {
        control: control.clone(),
        runtime: runtimes.control(),
        ended: ended_sender,
    };
    let thread = spawn::thread("ringhold-ring", move || {
        drive(driver, stopped, ending);
    })
    .map_err(StartError::Thread)?;
    Ok(Running {
        driver: handle,
        execution,
        stop,
        ended,
        thread,
    })
}

/// Programs that name no working directory run here.
fn scratch_of(directory: &Path) -> PathBuf {
    directory.join("scratch")
}

/// The partition thread: a runtime of its own, one thread, no locks (DESIGN §4).
fn drive(mut driver: Driver, stopped: watch::Receiver<bool>, ending: Ending) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(driver.run(stopped)),
        Err(error) => Err(format!("the partition thread has no runtime: {error}")),
    };
    ending.tell(result);
    // Only now: what waits for the disk may wait for long.
    drop(driver.into_committer());
}

async fn finish(
    builder: MemberBuilder,
    ground: Ground,
    control: ControlPlane,
    running: Running,
    front: Front,
    cluster: ClusterId,
    runtimes: Runtimes,
) -> Result<Member, StartError> {
    let member = ground.identity.member;
    let executors = builder.templates.exact().to_vec();
    let api = Api::start(ApiOptions {
        member,
        driver: running.driver.clone(),
        control: control.clone(),
        templates: Arc::new(builder.templates),
        clock: Clock,
    });
    spawn::task(
        "create-executors",
        create_executors(control.clone(), executors),
    );
    let servers = Servers::start(ServersOptions {
        client: front.client,
        client_address: front.addresses.client,
        http: front.http,
        http_address: front.addresses.http,
        peers: front.peers,
        peer_address: front.addresses.peer,
        api,
        readiness: front.readiness,
        ended: running.ended.clone(),
    })
    .await;
    Ok(Member {
        id: member,
        name: builder.name,
        cluster,
        control,
        driver: running.driver,
        execution: running.execution,
        servers,
        stop: running.stop,
        ended: running.ended,
        partition_thread: Some(running.thread),
        _runtimes: runtimes,
        _home: ground.home,
    })
}

/// Creates the executors that the configuration names, once enough members are there for their copies.
async fn create_executors(control: ControlPlane, mut configs: Vec<ExecutorConfig>) {
    let mut told = BTreeMap::new();
    let mut pause = EXECUTOR_PAUSE;
    while !configs.is_empty() {
        let mut waiting = Vec::new();
        for config in configs {
            let command = Command::CreateExecutor {
                config: config.clone(),
            };
            match control.propose(command, EXECUTOR_PATIENCE).await {
                Ok(Response::Refused(ringhold_control::Refused::ExecutorDiffers { setting })) => {
                    tracing::warn!(
                        executor = %config.name, %setting,
                        "the cluster has this executor with another setting; the cluster's counts"
                    );
                }
                Ok(Response::Refused(reason)) => {
                    // Once for each reason: it may wait for members to join, or for ever for somebody to mend it.
                    let reason = reason.to_string();
                    if told.get(&config.name) != Some(&reason) {
                        tracing::warn!(
                            executor = %config.name, %reason,
                            "the configured executor cannot be created yet"
                        );
                        told.insert(config.name.clone(), reason);
                    }
                    waiting.push(config);
                }
                Ok(_) => tracing::info!(executor = %config.name, "executor is there"),
                Err(error) => {
                    tracing::debug!(executor = %config.name, %error, "not created yet");
                    waiting.push(config);
                }
            }
        }
        configs = waiting;
        if !configs.is_empty() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(EXECUTOR_PAUSE_MAX);
        }
    }
}
