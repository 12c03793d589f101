//! `ringhold dev`: a throw-away cluster in this process.

use std::net::TcpListener;
use std::path::PathBuf;

use futures_util::future::{join_all, try_join_all};
use ringhold_node::Member;
use ringhold_types::{ErrorCode, ExecutorConfig, ExecutorName};
use serde_json::json;

use crate::arguments::{DevArguments, Format};
use crate::failure::{Exit, Failure};
use crate::{output, signals};

/// The address that clients try when nobody tells them another.
const CLIENT_ADDRESS: &str = "127.0.0.1:7400";
/// An address of which the system picks the port.
const ANY_ADDRESS: &str = "127.0.0.1:0";

pub(super) async fn run(arguments: &DevArguments, format: Format) -> Result<Exit, Failure> {
    let members = start(arguments).await?;
    banner(arguments, &members, format)?;
    let fatal = futures_util::future::select_all(
        members.iter().map(|member| Box::pin(member.wait_fatal())),
    );
    let fallen = tokio::select! {
        interrupted = signals::interrupted() => {
            interrupted?;
            None
        }
        (reason, place, _) = fatal => Some((members[place].name().to_owned(), reason)),
    };
    output::say("stopping");
    join_all(members.into_iter().map(Member::shutdown)).await;
    match fallen {
        None => Ok(Exit::Ok),
        Some((name, reason)) => Err(Failure::new(
            ErrorCode::Internal,
            format!("member {name} cannot go on"),
        )
        .because(reason)),
    }
}

async fn start(arguments: &DevArguments) -> Result<Vec<Member>, Failure> {
    let failed = |error: std::io::Error| Failure::io("find a free port", &error);
    let peers: Vec<TcpListener> = (0..arguments.members)
        .map(|_| TcpListener::bind(ANY_ADDRESS))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let addresses = peers
        .iter()
        .map(|peer| Ok(peer.local_addr().map_err(failed)?.to_string()));
    let join: Vec<String> = addresses.collect::<Result<_, Failure>>()?;
    // Another program may have it, `dev` itself perhaps; then the system picks one.
    let mut well_known = TcpListener::bind(CLIENT_ADDRESS).ok();
    // Each backup needs a member of its own.
    let durability = u32::from(arguments.members > 1);
    let default = ExecutorName::new("default").expect("letters are a name");
    let starts = (1..=arguments.members).zip(peers).map(|(number, peer)| {
        let others = move |name: &ExecutorName| Ok(Some(executor(name, durability)));
        let mut builder = Member::builder()
            .name(format!("m{number}"))
            .cluster("dev")
            .join(join.clone())
            .expect(arguments.members)
            .client_address(ANY_ADDRESS)
            .peer_listener(peer)
            .http_address(ANY_ADDRESS)
            .executor(executor(&default, durability))
            .other_executors(vec!["default".to_owned()], Box::new(others));
        if let Some(listener) = well_known.take() {
            builder = builder.client_listener(listener);
        }
        if let Some(directory) = directory(arguments, number) {
            builder = builder.data_dir(directory);
        }
        let start = builder.start();
        async move {
            start
                .await
                .map_err(|error| Failure::of(error.code(), &error))
        }
    });
    try_join_all(starts).await
}

/// An executor that runs any program: `default` stands for every name, as in `ringhold server`.
fn executor(name: &ExecutorName, durability: u32) -> ExecutorConfig {
    ExecutorConfig {
        durability,
        allowed_binaries: vec!["*".to_owned()],
        ..ExecutorConfig::with_name(name.clone())
    }
}

fn directory(arguments: &DevArguments, number: u32) -> Option<PathBuf> {
    Some(arguments.data_dir.as_ref()?.join(format!("m{number}")))
}

/// Says what runs, what persists, and what to try.
fn banner(arguments: &DevArguments, members: &[Member], format: Format) -> Result<(), Failure> {
    let first = members
        .first()
        .map(|member| member.client_address().to_string())
        .unwrap_or_default();
    let durability = u32::from(arguments.members > 1);
    output::say("Ringhold, a cluster for development: not for production, and on loopback only.");
    for member in members {
        output::say(format_args!(
            "  {}  clients {}  http {}",
            member.name(),
            member.client_address(),
            member.http_address()
        ));
    }
    match &arguments.data_dir {
        Some(directory) => output::say(format_args!("  data stays in {}", directory.display())),
        None => output::say("  data goes with this process; --data-dir keeps it"),
    }
    output::say(format_args!(
        "  executor `default`, which stands for every name: durability {durability}{}, and it runs any program",
        if durability == 0 {
            " (one member can hold one copy; --members 3 holds two)"
        } else {
            ""
        }
    ));
    let server = if first == CLIENT_ADDRESS {
        String::new()
    } else {
        format!(" --server {first}")
    };
    output::say("Try:");
    output::say(format_args!(
        "  ringhold task submit{server} --wait -- sha256sum /etc/hostname"
    ));
    output::say(format_args!(
        "  ls -d /usr/bin/* | ringhold map{server} -- sha256sum {{}}"
    ));
    output::say(format_args!("  ringhold cluster status{server}"));
    if format == Format::Json {
        let members = members.iter().map(|member| {
            json!({
                "member": member.name(),
                "client": member.client_address().to_string(),
                "peer": member.peer_address().to_string(),
                "http": member.http_address().to_string(),
            })
        });
        let document = json!({
            "schema": "ringhold.dev/1",
            "pid": std::process::id(),
            "durability": durability,
            "data_dir": arguments.data_dir,
            "members": members.collect::<Vec<_>>(),
        });
        output::write(format!("{document}\n").as_bytes())?;
    }
    Ok(())
}
