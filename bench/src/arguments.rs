//! The grammar of the command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use ringhold_client::Persistence;

/// Measures Ringhold against member processes of its own.
#[derive(Debug, Parser)]
#[command(name = "ringhold-bench", version)]
pub(crate) struct Arguments {
    /// How figures are printed: a table for people, or one JSON document.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Where the members' directories are made; the system's temporary directory otherwise. They are removed at the end.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// End with exit code 1 when a bar is missed.
    #[arg(long, global = true)]
    pub(crate) check: bool,
    /// What to measure.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Names and values.
    Table,
    /// One JSON document.
    Json,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Whole task lives: submitted, run, retrieved, disposed.
    Run(RunArguments),
    /// What members cost that have nothing to do.
    Idle(IdleArguments),
    /// From a fault to the first new acknowledgement in a partition whose primary it hit.
    Failover(FailoverArguments),
    /// The own log beside other stores (those need the build feature `peers`).
    Storage(StorageArguments),
    /// One store in a process of its own, so that its memory and its writes are its own.
    #[command(hide = true)]
    StorageLife(StorageLifeArguments),
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("load").required(true).args(["in_flight", "rate"]))]
pub(crate) struct RunArguments {
    /// Where copies live: memory or fsync.
    #[arg(long, default_value = "fsync", value_parser = parse_persistence)]
    pub(crate) persistence: Persistence,
    /// Closed loop: this many task lives under way at any time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub(crate) in_flight: Option<u32>,
    /// Open loop: task lives begun each second, whatever becomes of earlier ones; latency counts from the intended
    /// start.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// How long to measure.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Load before the measurement, in seconds.
    #[arg(long, default_value_t = 2)]
    pub(crate) warm_up: u64,
    /// Bytes that a task carries.
    #[arg(long, default_value_t = 1024)]
    pub(crate) payload_bytes: usize,
    /// Backups of each task.
    #[arg(long, default_value_t = 1)]
    pub(crate) durability: u32,
    /// Member processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub(crate) members: u32,
}

/// Arguments of `idle`.
#[derive(Clone, Debug, Args)]
pub(crate) struct IdleArguments {
    /// How long to measure.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Rest before the measurement, in seconds.
    #[arg(long, default_value_t = 3)]
    pub(crate) settle: u64,
    /// Member processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub(crate) members: u32,
    /// Leave the cluster without any executor. Otherwise each partition of one executor has had a task.
    #[arg(long)]
    pub(crate) untouched: bool,
}

/// Arguments of `failover`.
#[derive(Clone, Debug, Args)]
pub(crate) struct FailoverArguments {
    /// How often.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) kills: u32,
    /// Whom it hits: the Raft leader, or the member that leads most partitions among the others.
    #[arg(long, value_enum, default_value_t = Victim::Other)]
    pub(crate) victim: Victim,
    /// What happens to it.
    #[arg(long, value_enum, default_value_t = Fault::Kill)]
    pub(crate) fault: Fault,
    /// Tasks that live in the cluster meanwhile.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) live_tasks: u32,
    /// Bytes that each carries.
    #[arg(long, default_value_t = 1024)]
    pub(crate) payload_bytes: usize,
    /// Member processes: three, and one to spare.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(3..=9))]
    pub(crate) members: u32,
    /// Where copies live: memory or fsync.
    #[arg(long, default_value = "fsync", value_parser = parse_persistence)]
    pub(crate) persistence: Persistence,
}

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Victim {
    /// The member that leads the control plane.
    Leader,
    /// The one among the others that leads the most partitions.
    Other,
}

/// What happens to the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT once the cluster has recovered.
    Stop,
    /// Its network loses every packet, in both directions. Needs the right to make network namespaces.
    Drop,
}

impl Fault {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Drop => "drop",
        }
    }
}

/// Arguments of `storage`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StorageArguments {
    /// How long each store and batch size is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Task lives that share one flush to the device.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    pub(crate) batches: Vec<usize>,
    /// Tasks that live at any time.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) live: u64,
    /// Bytes of a task.
    #[arg(long, default_value_t = 1024)]
    pub(crate) payload_bytes: usize,
}

/// Arguments of the process that holds one store.
#[derive(Clone, Debug, Args)]
pub(crate) struct StorageLifeArguments {
    /// The store.
    #[arg(long)]
    pub(crate) store: String,
    /// Where it lives.
    #[arg(long)]
    pub(crate) directory: PathBuf,
    /// Open what is there and count it, instead of working.
    #[arg(long)]
    pub(crate) recover: bool,
    /// How long to work.
    #[arg(long, default_value_t = 1)]
    pub(crate) seconds: u64,
    /// Task lives that share one flush.
    #[arg(long, default_value_t = 1)]
    pub(crate) batch: usize,
    /// Tasks that live at any time.
    #[arg(long, default_value_t = 1)]
    pub(crate) live: u64,
    /// Bytes of a task.
    #[arg(long, default_value_t = 1024)]
    pub(crate) payload_bytes: usize,
}

fn parse_persistence(text: &str) -> Result<Persistence, String> {
    match text {
        "memory" => Ok(Persistence::Memory),
        "fsync" => Ok(Persistence::Fsync),
        _ => Err(format!("{text:?} is neither memory nor fsync")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn run_takes_a_closed_or_an_open_loop_and_never_both() {
        let arguments = parse("bench run --persistence fsync --in-flight 64 --seconds 30 -o json");
        let Command::Run(run) = arguments.expect("the README's command").command else {
            panic!("run was asked for");
        };
        assert_eq!((run.in_flight, run.rate, run.seconds), (Some(64), None, 30));
        assert_eq!(run.persistence, Persistence::Fsync);
        parse("bench run --persistence memory --rate 1000 --seconds 1").expect("open loop");
        parse("bench run --persistence memory --seconds 1").expect_err("no load");
        parse("bench run --in-flight 1 --rate 1").expect_err("two loads");
        parse("bench run --persistence disk --rate 1").expect_err("no such persistence");
    }

    #[test]
    fn failover_has_the_faults_and_victims_of_its_interface() {
        for (words, victim, fault) in [
            ("", Victim::Other, Fault::Kill),
            ("--victim leader --fault stop", Victim::Leader, Fault::Stop),
            ("--victim other --fault drop", Victim::Other, Fault::Drop),
        ] {
            let arguments =
                parse(&format!("bench failover --kills 20 {words}")).expect("known words");
            let Command::Failover(failover) = arguments.command else {
                panic!("failover was asked for");
            };
            assert_eq!(
                (failover.kills, failover.victim, failover.fault),
                (20, victim, fault)
            );
            assert_eq!(
                (failover.live_tasks, failover.payload_bytes),
                (20_000, 1024)
            );
        }
    }

    #[test]
    fn storage_takes_several_batch_sizes() {
        let arguments = parse("bench storage --batches 1,64 --seconds 1").expect("known words");
        let Command::Storage(storage) = arguments.command else {
            panic!("storage was asked for");
        };
        assert_eq!(storage.batches, [1, 64]);
    }
}
