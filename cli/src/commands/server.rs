//! `ringhold server`: one member.

use std::path::Path;

use ringhold_config::{Address, Config, Loaded};
use ringhold_node::{Member, MemberBuilder};
use ringhold_types::{ErrorCode, ExecutorName};
use serde_json::json;

use crate::arguments::{Format, ServerArguments};
use crate::failure::{Exit, Failure};
use crate::{output, signals};

/// Name of a member whose operator gave none.
const NAME_DEFAULT: &str = "m1";

pub(super) async fn run(arguments: ServerArguments, format: Format) -> Result<Exit, Failure> {
    let config = configuration(&arguments)?;
    let member = builder(&config)?
        .start()
        .await
        .map_err(|error| Failure::of(error.code(), &error))?;
    announce(&member, &arguments, format)?;
    let parent_gone = async {
        if arguments.exit_with_stdin {
            signals::standard_input_closed().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        interrupted = signals::interrupted() => interrupted?,
        () = parent_gone => {}
        reason = member.wait_fatal() => {
            return Err(Failure::new(ErrorCode::Internal, "the member cannot go on").because(reason)
                .advise("see its log; the cluster goes on without it. Start it again when the cause is gone"));
        }
    }
    output::say(format_args!("member {} stops", member.name()));
    tokio::select! {
        () = member.shutdown() => Ok(Exit::Ok),
        again = signals::interrupted() => {
            again?;
            output::say("told twice; it stops at once, and what it leads fails over");
            Ok(Exit::Interrupted)
        }
    }
}

/// Files, then the environment, then the arguments.
fn configuration(arguments: &ServerArguments) -> Result<Config, Failure> {
    let Loaded { mut config, notes } = super::config::load(&arguments.config)?;
    for note in notes {
        output::say(format_args!("note: {note}"));
    }
    let address = |name: &str, text: &String| {
        text.parse::<Address>().map_err(|error| {
            Failure::new(
                ErrorCode::InvalidConfiguration,
                format!("--{name}: {error}"),
            )
        })
    };
    let member = &mut config.member;
    if let Some(text) = &arguments.client_address {
        member.client_address = address("client-address", text)?;
    }
    if let Some(text) = &arguments.peer_address {
        member.peer_address = address("peer-address", text)?;
    }
    if let Some(text) = &arguments.http_address {
        member.http_address = address("http-address", text)?;
    }
    if !arguments.join.is_empty() {
        let join = arguments.join.iter().map(|text| address("join", text));
        member.join = join.collect::<Result<_, _>>()?;
    }
    if let Some(directory) = &arguments.data_dir {
        member.data_dir.clone_from(directory);
    }
    let host = arguments.advertise_host.clone();
    member.advertise_host = host.or(member.advertise_host.take());
    member.name = arguments.name.clone().or(member.name.take());
    member.zone = arguments.zone.clone().or(member.zone.take());
    member.expect = arguments.expect.or(member.expect);
    member.witness |= arguments.witness;
    member.insecure |= arguments.insecure;
    if let Some(cluster) = &arguments.cluster {
        config.cluster_name.clone_from(cluster);
    }
    Ok(config)
}

/// A member of this configuration.
pub(super) fn builder(config: &Config) -> Result<MemberBuilder, Failure> {
    let member = &config.member;
    let mut builder = Member::builder()
        .name(
            member
                .name
                .clone()
                .unwrap_or_else(|| NAME_DEFAULT.to_owned()),
        )
        .cluster(&config.cluster_name)
        .data_dir(&member.data_dir)
        .client_address(member.client_address.as_str())
        .peer_address(member.peer_address.as_str())
        .http_address(member.http_address.as_str())
        .join(member.join.iter().map(Address::as_str))
        .expect(member.effective_expect())
        .witness(member.witness)
        .insecure(member.insecure);
    if let Some(zone) = &member.zone {
        builder = builder.zone(zone);
    }
    if let Some(bytes) = member.ring_bytes_max {
        builder = builder.ring_bytes_max(bytes);
    }
    if let Some(host) = &member.advertise_host {
        builder = builder.advertise_host(host);
    }
    let mut patterns = Vec::new();
    for (name, template) in &config.executors {
        let exact = ExecutorName::new(name.as_str())
            .ok()
            .filter(|_| name != "default");
        match exact {
            Some(name) => builder = builder.executor(template.named(&name)),
            None => patterns.push(name.clone()),
        }
    }
    let rules = config.clone();
    let resolve = move |name: &ExecutorName| {
        let found = rules.resolve(name).map_err(|error| error.to_string())?;
        Ok(found.config())
    };
    Ok(builder.other_executors(patterns, Box::new(resolve)))
}

/// Says where the member is: to people always, to programs as they asked for it.
fn announce(member: &Member, arguments: &ServerArguments, format: Format) -> Result<(), Failure> {
    output::say(format_args!(
        "member {} of cluster {} is ready: clients {}, members {}, http {}",
        member.name(),
        member.cluster_id(),
        member.client_address(),
        member.peer_address(),
        member.http_address(),
    ));
    let line = json!({
        "schema": "ringhold.server/1",
        "member": member.name(),
        "member_id": member.member_id().to_string(),
        "cluster_id": member.cluster_id().to_string(),
        "pid": std::process::id(),
        "client": member.client_address().to_string(),
        "peer": member.peer_address().to_string(),
        "http": member.http_address().to_string(),
    });
    if let Some(file) = &arguments.ready_file {
        write_ready_file(file, &format!("{line}\n"))?;
    }
    match format {
        Format::Json => output::write(format!("{line}\n").as_bytes()),
        Format::Table => Ok(()),
    }
}

/// Writes beside the file and renames, so that a reader sees all of it or nothing.
fn write_ready_file(file: &Path, text: &str) -> Result<(), Failure> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, file))
        .map_err(|error| Failure::io(&format!("write {}", file.display()), &error))
}
