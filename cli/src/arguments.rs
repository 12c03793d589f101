//! The grammar of the command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ringhold_client::{Persistence, TaskId, TaskStatus};

use crate::duration;
use crate::failure::{EXIT_CODES, Exit};

/// Where clients look for a member.
const SERVER_DEFAULT: &str = "127.0.0.1:7400";

/// A durable distributed executor cluster: tasks that survive the death of machines.
#[derive(Debug, Parser)]
#[command(name = "ringhold", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Arguments {
    /// How data is printed: a table for people, or JSON for programs.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// One JSON document.
    Json,
}

/// Where the cluster is.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// Client addresses of members, as host:port; one is enough, several survive its death.
    #[arg(long, env = "RINGHOLD__SERVER", value_delimiter = ',', default_value = SERVER_DEFAULT)]
    pub server: Vec<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a member.
    Server(Box<ServerArguments>),
    /// Run a throw-away cluster in this process, for a first try and for development.
    Dev(DevArguments),
    /// Watch a cluster of three processes lose one in the middle of real work, and nothing else.
    Demo(DemoArguments),
    /// Run one durable task for each line of standard input: xargs that survives machines, and itself.
    Map(MapArguments),
    /// Submit tasks, look at them, get their results.
    #[command(subcommand, visible_alias = "tasks")]
    Task(TaskCommand),
    /// Show executors.
    #[command(subcommand, visible_alias = "executors")]
    Executor(ExecutorCommand),
    /// Show, drain and forget members.
    #[command(subcommand, visible_alias = "members")]
    Member(MemberCommand),
    /// Show partitions.
    #[command(subcommand, visible_alias = "partitions")]
    Partition(PartitionCommand),
    /// Show the cluster.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Check and show configurations.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Arguments of `server`. Each lays itself over the configuration files and the environment.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ringhold server --name m1 --data-dir /var/lib/ringhold --client-address 0.0.0.0:7400 --peer-address 0.0.0.0:7401 \
    --advertise-host m1 --join m1:7401,m2:7401,m3:7401 --expect 3 --insecure
  RINGHOLD__MEMBER__NAME=m1 ringhold server --config ringhold.toml")]
pub struct ServerArguments {
    /// Configuration files (.toml, .xml, .yaml); later ones over earlier ones.
    #[arg(long = "config", value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Name of the cluster.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Name of this member, unique in the cluster.
    #[arg(long)]
    pub name: Option<String>,
    /// Directory for everything durable.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address for clients, host:port; port 0: the system picks one.
    #[arg(long, value_name = "ADDRESS")]
    pub client_address: Option<String>,
    /// Address for other members.
    #[arg(long, value_name = "ADDRESS")]
    pub peer_address: Option<String>,
    /// Address for health, readiness and metrics.
    #[arg(long, value_name = "ADDRESS")]
    pub http_address: Option<String>,
    /// Host under which others reach those addresses; needed where they are 0.0.0.0 or [::].
    #[arg(long, value_name = "HOST")]
    pub advertise_host: Option<String>,
    /// Peer addresses of members to find the cluster by.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub join: Vec<String>,
    /// Members that must be there before a new cluster is made.
    #[arg(long, value_name = "N")]
    pub expect: Option<u32>,
    /// Members of one zone fail together.
    #[arg(long)]
    pub zone: Option<String>,
    /// Vote in the control plane and hold no tasks.
    #[arg(long)]
    pub witness: bool,
    /// Serve addresses that other machines can reach, without authentication.
    #[arg(long)]
    pub insecure: bool,
    /// Write the addresses to this file, in one step, once the member has joined. The same line goes to standard output
    /// with `-o json`.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// End when standard input ends, so that the member does not outlive what started it.
    #[arg(long)]
    pub exit_with_stdin: bool,
}

/// Arguments of `dev`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ringhold dev
  ringhold dev --members 3 --data-dir ./dev-data")]
pub struct DevArguments {
    /// Members to run, all in this process.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub members: u32,
    /// Keep the data here; otherwise it goes with the process.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  ringhold demo
  ringhold demo --members 5 --durability 2 --kills 2 -o json")]
pub struct DemoArguments {
    /// Member processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=9))]
    pub members: u32,
    /// Members to kill at the same instant.
    #[arg(long, default_value_t = 1)]
    pub kills: u32,
    /// Backups of each task.
    #[arg(long, default_value_t = 1)]
    pub durability: u32,
    /// Where copies live.
    #[arg(long, default_value = "fsync", value_parser = parse_persistence)]
    pub persistence: Persistence,
    /// Where the files are.
    #[arg(long, value_name = "DIR", default_value = "/usr")]
    pub files: PathBuf,
    /// How many files, by path.
    #[arg(long, default_value_t = 300)]
    pub count: usize,
    /// Decides keys and the moment of the kill.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where the members' directories are made; the system's temporary directory otherwise. They are removed at the end.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Arguments of `map`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  find . -type f | ringhold map --executor default -- sha256sum {}
  ringhold map --resume nightly -- convert {} {}.png < images.txt

Where the program runs: in the directory in which map was called, if every member listens on this machine only \
(127.0.0.1, ::1), so that relative names mean what they mean here; otherwise in a scratch directory of the member. \
--directory names another one.")]
pub struct MapArguments {
    /// Where the cluster is.
    #[command(flatten)]
    pub server: Server,
    /// The executor.
    #[arg(long, default_value = "default")]
    pub executor: String,
    /// Affinity key; `{}` is the line.
    #[arg(long, value_name = "TEMPLATE")]
    pub key: Option<String>,
    /// Most tasks under way at once.
    #[arg(long, short, default_value_t = 64, value_parser = parse_jobs)]
    pub jobs: usize,
    /// Print results as they come instead of in the order of the lines.
    #[arg(long)]
    pub unordered: bool,
    /// Name of the run, to resume it by; drawn and printed otherwise.
    #[arg(long, value_name = "ID", conflicts_with = "resume")]
    pub run: Option<String>,
    /// Resume this run: with the same input, retrieves what is done and submits what is not.
    #[arg(long, value_name = "ID")]
    pub resume: Option<String>,
    /// Write a JSON summary to this file.
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Longest run of one attempt; the executor's default otherwise.
    #[arg(long, value_parser = duration::parse)]
    pub run_limit: Option<Duration>,
    /// How long to wait for room in a full partition without any progress, before stopping; ten minutes otherwise.
    #[arg(long, value_name = "SPAN", value_parser = duration::parse)]
    pub wait_for_room: Option<Duration>,
    /// Where the program runs, a directory that every member sees; empty: a scratch directory of the member.
    #[arg(long, value_name = "DIR")]
    pub directory: Option<std::ffi::OsString>,
    /// The program and its arguments; `{}` is the line.
    #[arg(last = true, required = true)]
    pub command: Vec<std::ffi::OsString>,
}

/// Commands about tasks.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Submit a task: a program, or a handler by name.
    Submit(Box<SubmitArguments>),
    /// Show one task.
    Get(OneTask),
    /// Wait for tasks to end. The exit code says how the last one that did not succeed ended.
    Wait(WaitArguments),
    /// Write the result of a task to standard output, waiting for it.
    Result(ResultArguments),
    /// Remove the outcomes of ended tasks.
    Dispose(ManyTasks),
    /// End tasks as cancelled, whether they wait or run.
    Cancel(ManyTasks),
    /// List tasks.
    #[command(visible_alias = "list")]
    Ls(ListArguments),
}

/// Arguments of `task submit`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ringhold task submit --executor default --wait -- sha256sum /etc/hostname
  echo '{\"page\":7}' | ringhold task submit --handler render --input -")]
pub struct SubmitArguments {
    /// Where the cluster is.
    #[command(flatten)]
    pub server: Server,
    /// The executor.
    #[arg(long, short, default_value = "default")]
    pub executor: String,
    /// Tasks with the same key live in the same partition.
    #[arg(long)]
    pub key: Option<String>,
    /// Names this submit: submitting again finds the task.
    #[arg(long)]
    pub idempotency_key: Option<String>,
    /// A label, as name=value.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_label)]
    pub label: Vec<(String, String)>,
    /// Longest run of one attempt.
    #[arg(long, value_parser = duration::parse)]
    pub run_limit: Option<Duration>,
    /// Start no attempt before this long from now.
    #[arg(long, value_parser = duration::parse)]
    pub delay: Option<Duration>,
    /// Forget the task once it succeeded.
    #[arg(long, conflicts_with = "wait")]
    pub forget: bool,
    /// Call a handler instead of a program.
    #[arg(long, value_name = "NAME", conflicts_with = "command")]
    pub handler: Option<String>,
    /// Input: text, `@FILE`, or `-` for standard input. Of a program it is the standard input.
    #[arg(long)]
    pub input: Option<String>,
    /// Where the program runs, a directory that every member sees; a scratch directory of the member otherwise.
    #[arg(long, value_name = "DIR", conflicts_with = "handler")]
    pub directory: Option<PathBuf>,
    /// Form of a handler's input.
    #[arg(long, default_value = ringhold_client::JSON)]
    pub content_type: String,
    /// Wait for the result and write it to standard output.
    #[arg(long)]
    pub wait: bool,
    /// The program and its arguments.
    #[arg(last = true, required_unless_present = "handler")]
    pub command: Vec<std::ffi::OsString>,
}

/// One task.
#[derive(Debug, Args)]
pub struct OneTask {
    /// Where the cluster is.
    #[command(flatten)]
    pub server: Server,
    /// The task, as executor/partition/sequence.
    pub id: TaskId,
}

/// Several tasks.
#[derive(Debug, Args)]
pub struct ManyTasks {
    /// Where the cluster is.
    #[command(flatten)]
    pub server: Server,
    /// The tasks, as executor/partition/sequence.
    #[arg(required = true)]
    pub ids: Vec<TaskId>,
}

/// Arguments of `task wait`.
#[derive(Debug, Args)]
pub struct WaitArguments {
    /// The tasks.
    #[command(flatten)]
    pub tasks: ManyTasks,
    /// Give up after this time.
    #[arg(long, value_parser = duration::parse)]
    pub timeout: Option<Duration>,
}

/// Arguments of `task result`.
#[derive(Debug, Args)]
pub struct ResultArguments {
    /// The task.
    #[command(flatten)]
    pub task: OneTask,
    /// Give up after this time.
    #[arg(long, value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// Remove the outcome as well.
    #[arg(long)]
    pub dispose: bool,
}

/// Arguments of `task ls`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Where the cluster is.
    #[command(flatten)]
    pub server: Server,
    /// Only tasks of this executor.
    #[arg(long, short)]
    pub executor: Option<String>,
    /// Only tasks with one of these statuses.
    #[arg(long, value_delimiter = ',', value_parser = parse_status)]
    pub status: Vec<TaskStatus>,
    /// Only tasks accepted at least this long ago.
    #[arg(long, value_parser = duration::parse)]
    pub older_than: Option<Duration>,
    /// Most tasks to list.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
}

/// Commands about executors.
#[derive(Debug, Subcommand)]
pub enum ExecutorCommand {
    /// List executors.
    #[command(visible_alias = "list")]
    Ls(Server),
    /// Show one executor.
    Get {
        /// Where the cluster is.
        #[command(flatten)]
        server: Server,
        /// Its name.
        name: String,
    },
}

/// Commands about members.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List members.
    #[command(visible_alias = "list")]
    Ls(Server),
    /// Hand over everything that a member has, so that it can be stopped.
    Drain {
        /// Where the cluster is.
        #[command(flatten)]
        server: Server,
        /// Its name or identity.
        member: String,
        /// End a drain that was begun.
        #[arg(long)]
        undo: bool,
        /// Wait until the member has nothing left and runs nothing, at most this long (a day at most). What still runs on it
        /// then is ended and handed back to run elsewhere; the drain goes on.
        #[arg(long, value_parser = duration::parse, conflicts_with = "undo")]
        drain_timeout: Option<Duration>,
    },
    /// State that a member will not come back.
    Forget {
        /// Where the cluster is.
        #[command(flatten)]
        server: Server,
        /// Its name or identity.
        member: String,
        /// Your word that its process has ended; needed for a member that may be running.
        #[arg(long)]
        process_ended: bool,
    },
}

/// Commands about partitions.
#[derive(Debug, Subcommand)]
pub enum PartitionCommand {
    /// List the partitions of an executor.
    #[command(visible_alias = "list")]
    Ls {
        /// Where the cluster is.
        #[command(flatten)]
        server: Server,
        /// The executor.
        #[arg(long, short, default_value = "default")]
        executor: String,
    },
    /// Show who has the partition of a key.
    Owner {
        /// Where the cluster is.
        #[command(flatten)]
        server: Server,
        /// The executor.
        #[arg(long, short, default_value = "default")]
        executor: String,
        /// The key.
        #[arg(long)]
        key: String,
    },
}

/// Commands about the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the state of the cluster. Exit code 6 when it is not safe.
    Status(Server),
}

/// Commands about configurations.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check configuration files, and report all mistakes at once.
    Check {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Show the configuration that files and environment make, defaults included.
    Show {
        /// The files.
        files: Vec<PathBuf>,
    },
}

/// Prints what clap has to say, to the right stream, and gives the exit code.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    // Nothing can be done about a terminal that is gone.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Usage.into()
    } else {
        Exit::Ok.into()
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is no label, such as batch=b1")),
    }
}

fn parse_status(text: &str) -> Result<TaskStatus, String> {
    let mut all = TaskStatus::ALL.into_iter();
    let names = || TaskStatus::ALL.map(TaskStatus::as_str).join(", ");
    all.find(|status| status.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| format!("{text:?} is no status; there are {}", names()))
}

fn parse_persistence(text: &str) -> Result<Persistence, String> {
    match text {
        "fsync" => Ok(Persistence::Fsync),
        "memory" => Ok(Persistence::Memory),
        _ => Err(format!("{text:?} is neither fsync nor memory")),
    }
}

fn parse_jobs(text: &str) -> Result<usize, String> {
    let refused = || format!("{text:?} is not 1 to {}", crate::map::JOBS_MAX);
    let jobs: usize = text.parse().map_err(|_| refused())?;
    if (1..=crate::map::JOBS_MAX).contains(&jobs) {
        Ok(jobs)
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Every leaf of the tree with arguments that it needs.
    const LEAVES: [&str; 23] = [
        "server",
        "dev",
        "demo",
        "map -- true",
        "task submit -- true",
        "task get a/1/2",
        "task wait a/1/2",
        "task result a/1/2",
        "task dispose a/1/2",
        "task cancel a/1/2",
        "task ls",
        "executor ls",
        "executor get a",
        "member ls",
        "member drain m1",
        "member drain m1 --drain-timeout 30s",
        "member forget m1",
        "partition ls",
        "partition owner --key k",
        "cluster status",
        "config check f.toml",
        "config show",
        "tasks list",
    ];

    #[test]
    fn every_command_takes_every_output_format_before_its_arguments() {
        Arguments::command().debug_assert();
        for leaf in LEAVES {
            for format in ["table", "json"] {
                let line = format!("ringhold -o {format} {leaf}");
                let parsed = Arguments::try_parse_from(line.split(' '));
                assert!(parsed.is_ok(), "{line}: {parsed:?}");
            }
        }
    }

    #[test]
    fn no_command_of_the_tree_is_missing_from_the_test() {
        let mut leaves = Vec::new();
        collect(&Arguments::command(), "", &mut leaves);
        for leaf in leaves {
            assert!(
                LEAVES.iter().any(|known| known.starts_with(leaf.trim())),
                "{leaf} is not tested"
            );
        }
    }

    fn collect(command: &clap::Command, prefix: &str, leaves: &mut Vec<String>) {
        let mut children = command
            .get_subcommands()
            .filter(|child| child.get_name() != "help")
            .peekable();
        if children.peek().is_none() {
            leaves.push(prefix.to_owned());
        }
        for child in children {
            collect(child, &format!("{prefix} {}", child.get_name()), leaves);
        }
    }

    #[test]
    fn map_keeps_its_command_as_it_is_and_wants_one() {
        let parsed =
            Arguments::try_parse_from(["ringhold", "map", "--jobs", "8", "--", "sh", "-o", "{}"]);
        let Ok(Arguments {
            command: Command::Map(map),
            ..
        }) = parsed
        else {
            panic!("{parsed:?}")
        };
        assert_eq!(map.command, ["sh", "-o", "{}"]);
        assert!(Arguments::try_parse_from(["ringhold", "map"]).is_err());
        assert!(Arguments::try_parse_from(["ringhold", "map", "-j", "0", "--", "true"]).is_err());
    }
}
