//! `idle`: what members cost that have nothing to do.

use std::time::{Duration, Instant};

use ringhold_client::Persistence;
use serde::Serialize;

use crate::arguments::{Arguments, IdleArguments};
use crate::cluster::Processes;
use crate::machine::Machine;
use crate::{Verdict, executor, output};

/// Most of one core that an idle member may use, in percent.
const CPU_PERCENT_MAX: f64 = 2.0;
/// Most memory that an idle member may have.
const RSS_BYTES_MAX: u64 = 60 * 1024 * 1024;

/// The report. Names are a public contract.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    seconds: f64,
    /// Whether an executor was there, each partition of which had had a task.
    used: bool,
    members: Vec<IdleMember>,
    cpu_percent_bar: f64,
    rss_bytes_bar: u64,
    ok: bool,
    machine: Machine,
}

#[derive(Debug, Serialize)]
struct IdleMember {
    name: String,
    rss_bytes: u64,
    cpu_percent: f64,
}

/// Runs it.
///
/// # Errors
/// When the cluster does not start.
pub(crate) async fn run(arguments: &Arguments, idle: &IdleArguments) -> anyhow::Result<Verdict> {
    output::say(format_args!("starting {} member processes", idle.members));
    let processes = Processes::start(idle.members, arguments.data_dir.as_deref()).await?;
    let machine = Machine::look(processes.directory());
    if !idle.untouched {
        let client = processes.client(1).await?;
        let durability = 1.min(idle.members - 1);
        let executor = executor::create(&client, Persistence::Fsync, durability).await?;
        executor::touch_all(&client, &executor).await?;
    }
    tokio::time::sleep(Duration::from_secs(idle.settle)).await;
    output::say(format_args!("measuring for {} s", idle.seconds));
    let before = processes.usage()?;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(idle.seconds)).await;
    let elapsed = began.elapsed();
    let after = processes.usage()?;
    let members = processes
        .named()?
        .into_iter()
        .zip(before.iter().zip(&after));
    let members = members.map(|((name, _), (before, after))| IdleMember {
        name,
        rss_bytes: after.resident_bytes,
        cpu_percent: percent(after.cpu.saturating_sub(before.cpu), elapsed),
    });
    let report = Report::new(members.collect(), elapsed, !idle.untouched, machine);
    output::print(arguments.output, &report)?;
    Ok(if report.ok {
        Verdict::Kept
    } else {
        Verdict::Missed
    })
}

impl Report {
    fn new(members: Vec<IdleMember>, elapsed: Duration, used: bool, machine: Machine) -> Self {
        let keeps = |member: &IdleMember| {
            member.cpu_percent <= CPU_PERCENT_MAX && member.rss_bytes <= RSS_BYTES_MAX
        };
        Self {
            schema: "ringhold.bench.idle/1",
            seconds: elapsed.as_secs_f64(),
            used,
            ok: members.iter().all(keeps),
            members,
            cpu_percent_bar: CPU_PERCENT_MAX,
            rss_bytes_bar: RSS_BYTES_MAX,
            machine,
        }
    }
}

fn percent(part: Duration, whole: Duration) -> f64 {
    100.0 * part.as_secs_f64() / whole.as_secs_f64().max(f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn report(cpu_percent: f64, rss_bytes: u64) -> Report {
        let member = IdleMember {
            name: "m1".to_owned(),
            rss_bytes,
            cpu_percent,
        };
        let machine = Machine::look(Path::new("/"));
        Report::new(vec![member], Duration::from_secs(60), true, machine)
    }

    #[test]
    fn the_names_of_the_interface_are_there() {
        let report = serde_json::to_value(report(1.5, 1024)).expect("it has a JSON form");
        assert_eq!(report["schema"], "ringhold.bench.idle/1");
        assert_eq!(report["members"][0]["rss_bytes"], 1024);
        assert_eq!(report["members"][0]["cpu_percent"], 1.5);
    }

    #[test]
    fn a_member_above_either_bar_misses_it() {
        assert!(report(2.0, RSS_BYTES_MAX).ok);
        assert!(!report(2.1, 0).ok);
        assert!(!report(0.0, RSS_BYTES_MAX + 1).ok);
        assert!((percent(Duration::from_secs(1), Duration::from_secs(50)) - 2.0).abs() < 1e-9);
    }
}
