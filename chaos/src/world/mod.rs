//! The simulated world: machines with processes and disks, a network, a control plane, clients, and everything that goes wrong.
//!
//! One seed is one run: it is decided by its plan and its streams of random numbers alone. Start reading at [`World::run`].

mod assertions;
mod audit;
mod clients;
mod control;
pub(crate) mod directed;
mod disk;
mod execution;
mod faults;
mod host;
mod network;
mod observe;
mod queue;
mod store;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringhold_control::Command;
use ringhold_history::Event as Seen;
use ringhold_replica::{Event, RequestToken};
use ringhold_types::{
    AttemptNumber, ClusterId, Configuration, ExecutorConfig, ExecutorId, ExecutorName, Generation,
    MemberId, Millis, PartitionCount, PartitionKey, PartitionNumber, Persistence, ReplicaId,
    Sequence, Term,
};

#[cfg(test)]
pub(crate) use self::assertions::RULES;
use self::clients::{Client, Open};
use self::control::ControlPlane;
pub(crate) use self::disk::{CrashRandom, Disk};
use self::host::{Host, StoreId};
use self::network::Cuts;
use self::queue::{Happening, Queue};
use crate::coverage::Coverage;
use crate::oracle::Oracle;
use crate::plan::{MILLISECOND, Plan, SECOND};
use crate::random::{Concern, Stream};
use crate::sabotage::{Sabotage, Watch};
use crate::trace::Trace;

/// Longest time after the storm until everything must be well, in microseconds of true time.
const HEALING: u64 = 90 * SECOND;
/// A run of more happenings than this goes in circles.
const HAPPENINGS_MAX: u64 = 3_000_000;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
    /// When, in microseconds of true time.
    pub at: u64,
}

/// What a run showed.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The first broken invariant.
    pub violation: Option<Violation>,
    /// What was met.
    pub coverage: Coverage,
    /// Hash over all that happened.
    pub trace: u64,
    /// Happenings.
    pub events: u64,
    /// True time of the end, in microseconds.
    pub ended: u64,
    /// Crashes, losses, changes.
    pub met: Met,
}

/// The streams of random numbers.
struct Streams {
    network: Stream,
    disk: Stream,
    control: Stream,
    faults: Stream,
    clients: Stream,
    execution: Stream,
    handlers: Stream,
    processes: Stream,
    last_death: Stream,
    log: Stream,
    disk_faults: Stream,
}

/// The world of one seed.
pub struct World {
    plan: Plan,
    sabotage: Sabotage,
    watch: Watch,
    now: u64,
    queue: Queue,
    random: Streams,
    hosts: Vec<Host>,
    cuts: Cuts,
    control: ControlPlane,
    clients: Vec<Client>,
    partitions: Vec<PartitionKey>,
    oracle: Oracle,
    coverage: Coverage,
    trace: Trace,
    history: Vec<Seen>,
    violation: Option<Violation>,
    /// Questions that were asked.
    open: BTreeMap<RequestToken, Open>,
    answered: BTreeSet<RequestToken>,
    /// Attempts that were given back before their handlers had begun.
    unbegun: BTreeSet<(PartitionKey, Sequence, AttemptNumber)>,
    /// The store in which each replica was first seen (I9).
    stores: BTreeMap<ReplicaId, StoreId>,
    /// The process that led in each term: its machine, and which of its starts it is (I18).
    reigns: BTreeMap<(PartitionKey, Term), (usize, usize)>,
    /// The newest generation of each partition that has committed anything.
    begun: BTreeMap<PartitionKey, Generation>,
    /// The member whose disk lost flushed writes last.
    damaged: Option<MemberId>,
    next_token: u64,
    next_member: u64,
    next_execution: u64,
    healed: bool,
    /// Who is to die for good, once all is well.
    last_to_die: Option<usize>,
    finished: bool,
    narrates: bool,
    /// Who directs, in a directed schedule.
    director: Option<directed::Director>,
    scene: directed::Scene,
    /// What a seed must have had at least once.
    met: Met,
}

/// What a seed must have had at least once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Processes that ended.
    pub crashes: u64,
    /// Messages that were lost.
    pub losses: u64,
    /// Changes of the configuration of a partition in use.
    pub changes: u64,
}

/// A configuration in few words.
fn shown(configuration: &Configuration) -> String {
    let list = |replicas: &[ReplicaId]| {
        let short = |it: &ReplicaId| format!("{}.{}", it.member.0, it.incarnation);
        replicas.iter().map(short).collect::<Vec<_>>().join(" ")
    };
    format!(
        "version {} term {} generation {} primary {} in sync [{}] learners [{}]",
        configuration.version,
        configuration.term,
        configuration.generation,
        list(configuration.primary.as_slice()),
        list(&configuration.in_sync),
        list(&configuration.learners),
    )
}

impl World {
    /// Runs a seed's plan to its end, or to the first broken invariant.
    #[must_use]
    pub fn run(plan: Plan, sabotage: Sabotage, watch: Watch) -> RunReport {
        let mut world = Self::new(plan, sabotage);
        world.watch = watch;
        world.run_to_end()
    }

    /// [`World::run`] that tells on standard error what happens.
    #[must_use]
    pub fn narrate(plan: Plan, sabotage: Sabotage) -> RunReport {
        let mut world = Self::new(plan, sabotage);
        world.narrates = true;
        world.run_to_end()
    }

    fn run_to_end(self) -> RunReport {
        let mut world = self;
        world.begin();
        let mut events = 0;
        while let Some((at, happening)) = world.queue.pop() {
            world.now = at;
            world.trace.fold(at);
            world.happen(happening);
            events += 1;
            if events > HAPPENINGS_MAX {
                world.violate("Liveness", "the run goes in circles".to_owned());
            }
            if world.violation.is_some() || world.finished {
                break;
            }
        }
        RunReport {
            violation: world.violation,
            coverage: world.coverage,
            trace: world.trace.hash(),
            events,
            ended: world.now,
            met: world.met,
        }
    }

    fn new(mut plan: Plan, sabotage: Sabotage) -> Self {
        if sabotage == Sabotage::Rule(ringhold_replica::Rule::NewIncarnation) {
            // Memory-only replicas lose everything with their process: so does a disk that is emptied each time.
            plan.persistence = Persistence::Fsync;
        }
        let stream = |concern| Stream::new(plan.seed, concern);
        let partitions = (0..plan.partitions).map(|number| PartitionKey {
            executor: ExecutorId(0),
            partition: PartitionNumber(number),
        });
        Self {
            partitions: partitions.collect(),
            sabotage,
            watch: Watch::All,
            now: 0,
            queue: Queue::default(),
            random: Streams {
                network: stream(Concern::Network),
                disk: stream(Concern::Disk),
                control: stream(Concern::Control),
                faults: stream(Concern::Faults),
                clients: stream(Concern::Clients),
                execution: stream(Concern::Execution),
                handlers: stream(Concern::Handlers),
                processes: stream(Concern::Processes),
                last_death: stream(Concern::LastDeath),
                log: stream(Concern::Log),
                disk_faults: stream(Concern::DiskFaults),
            },
            hosts: Vec::new(),
            cuts: Cuts::default(),
            control: ControlPlane::new(),
            clients: Vec::new(),
            oracle: Oracle::default(),
            coverage: Coverage::default(),
            trace: Trace::default(),
            history: Vec::new(),
            violation: None,
            open: BTreeMap::new(),
            answered: BTreeSet::new(),
            unbegun: BTreeSet::new(),
            stores: BTreeMap::new(),
            reigns: BTreeMap::new(),
            begun: BTreeMap::new(),
            damaged: None,
            next_token: 0,
            next_member: 0,
            next_execution: 0,
            healed: false,
            last_to_die: None,
            finished: false,
            narrates: false,
            director: None,
            scene: directed::Scene::default(),
            met: Met::default(),
            plan,
        }
    }

    /// Members start, an executor is made, clients begin, faults begin.
    fn begin(&mut self) {
        let initialise = Command::Initialise {
            cluster: ClusterId(u128::from(self.plan.seed)),
            name: "explored".to_owned(),
        };
        self.command(&initialise);
        for _ in 0..self.plan.members {
            let slot = self.add_host(None);
            self.queue.push(0, Happening::Start { slot });
        }
        self.queue.push(50 * MILLISECOND, Happening::Watch);
        for client in 0..self.plan.clients {
            self.clients.push(Client::new());
            let at = 600 * MILLISECOND + self.random.clients.below(200 * MILLISECOND);
            self.queue.push(at, Happening::Client { client });
        }
        if self.director.is_none() {
            self.queue.push(SECOND, Happening::Fault);
        }
        if self.plan.disk.faults.is_some() {
            self.queue.push(SECOND, Happening::DiskFault);
        }
        self.queue.push(self.plan.storm, Happening::Heal);
    }

    /// Puts a machine with an empty directory into the rack; a replaced one keeps its name.
    fn add_host(&mut self, name: Option<String>) -> usize {
        self.next_member += 1;
        let member = MemberId(self.next_member);
        let name = name.unwrap_or_else(|| format!("m{}", self.next_member));
        let most = self.plan.drift;
        let above = self.random.processes.below(2 * most + 1);
        let deviation = above.cast_signed() - most.cast_signed();
        let disk = Disk::new(self.plan.disk.model, self.sabotage);
        self.hosts.push(Host::new(member, name, deviation, disk));
        self.hosts.len() - 1
    }

    /// Makes the executor once members are there to hold it.
    fn make_executor(&mut self) {
        let name = ExecutorName::new("explored").expect("a valid name");
        if self.control.cluster.executor_by_name(&name).is_some() {
            return;
        }
        let up = self.control.cluster.members().len();
        if up < self.plan.members {
            return;
        }
        let mut config = ExecutorConfig::with_name(name);
        config.pool_size = self.plan.pool_size;
        config.durability = self.plan.durability;
        config.capacity = self.plan.capacity;
        config.when_full = self.plan.when_full;
        config.persistence = self.plan.persistence;
        config.result_ttl = Millis(60_000);
        config.crash_limit = self.plan.crash_limit;
        config.min_copies = self.plan.min_copies;
        if let Some(count) = PartitionCount::new(self.plan.partitions) {
            config.partition_count = count;
        }
        self.command(&Command::CreateExecutor { config });
        let executor = ExecutorId(0);
        let executors = self.control.cluster.executors();
        let executor = executors.keys().next().copied().unwrap_or(executor);
        for partition in &mut self.partitions {
            partition.executor = executor;
        }
        let partitions = self.partitions.iter().map(|it| it.partition).collect();
        self.command(&Command::Materialise {
            executor,
            partitions,
        });
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Turn { slot, start } => self.turn(slot, start),
            Happening::Timer { slot, start, at } => self.timer(slot, start, at),
            Happening::Message { to, from, message } => self.message_arrived(to, from, *message),
            Happening::Flushed { slot, start, batch } => self.flushed(slot, start, batch),
            Happening::Beat { slot, start } => self.beat(slot, start),
            Happening::Present { slot, start } => self.present(slot, start),
            Happening::Mail(mail) => self.mail_arrived(*mail),
            Happening::Answer { to, start, answer } => self.answer_arrived(to, start, *answer),
            Happening::Notice { slot, start } => self.notice(slot, start),
            Happening::Watch => {
                self.make_executor();
                self.watch();
            }
            Happening::Client { client } => self.client_acts(client),
            Happening::Impatience { client, token } => self.client_is_impatient(client, token),
            Happening::Question { to, question } => self.question_arrived(to, *question),
            Happening::Gone { to, token } => self.caller_is_gone(to, token),
            Happening::Reply {
                client,
                token,
                reply,
            } => self.reply_arrived(client, token, *reply),
            Happening::HandlerBegins { slot, start, token } => {
                self.handler_begins(slot, start, token);
            }
            Happening::AttemptEnds { slot, start, token } => self.attempt_ends(slot, start, token),
            Happening::HandlerReturns { slot, start, token } => {
                self.handler_returns(slot, start, token);
            }
            Happening::Fault => self.fault(),
            Happening::DiskFault => self.disk_fault(),
            Happening::LogFailed { slot, start } => self.log_failed(slot, start),
            Happening::Start { slot } => self.start_process(slot),
            Happening::Drain { slot, until } => self.drain(slot, until),
            Happening::DrainOver { slot, drain, over } => {
                self.put(slot, Event::DrainOver { drain, over });
            }
            Happening::DrainEnds { member } => self.drain_ends(member),
            Happening::Forget { member } => self.forget(member),
            Happening::Heal => self.heal(),
            Happening::Look => self.look(),
            Happening::Check => self.check(),
        }
    }

    /// The machine of a member, while the member exists.
    fn slot_of(&self, member: MemberId) -> Option<usize> {
        self.hosts.iter().position(|host| host.member == member)
    }

    /// Tells what happens, if somebody wants to know.
    fn tell(&self, what: impl FnOnce() -> String) {
        if self.narrates {
            eprintln!("{:>12.6} {}", self.now as f64 / 1e6, what());
        }
    }

    /// Notes that a named assertion is broken, unless only what shows from outside counts.
    fn refute(&mut self, invariant: &'static str, detail: String) {
        if self.watch == Watch::All {
            self.violate(invariant, detail);
        }
    }

    /// Notes a broken invariant; the first one stays.
    fn violate(&mut self, invariant: &'static str, detail: String) {
        let at = self.now;
        self.violation.get_or_insert(Violation {
            invariant,
            detail,
            at,
        });
    }

    /// The control plane's present state.
    fn cluster(&self) -> Arc<ringhold_control::Cluster> {
        Arc::clone(&self.control.cluster)
    }
}
