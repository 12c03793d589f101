//! `ringhold member`: shows, drains and forgets members.

use ringhold_client::{Drained, Forgotten, MemberInfo, RequestError};
use serde_json::{Value, json};

use crate::arguments::{Format, MemberCommand};
use crate::connect::connect;
use crate::failure::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(command: MemberCommand, format: Format) -> Result<Exit, Failure> {
    match command {
        MemberCommand::Ls(server) => {
            let members = connect(&server).await?.cluster().members().await?;
            let documents: Vec<Value> = members.iter().map(document).collect();
            output::print(format, &json!({ "members": documents }), &table(&members))?;
        }
        MemberCommand::Drain {
            server,
            member,
            undo,
            drain_timeout,
        } => {
            let cluster = connect(&server).await?.cluster();
            if let Some(within) = drain_timeout {
                print_drained(&cluster.drain_within(&member, within).await?, format)?;
                return Ok(Exit::Ok);
            }
            let member = cluster.drain(&member, undo).await?;
            if member.draining {
                output::say(
                    "the drain has begun; it is over when the member leads nothing, has no seat and runs nothing",
                );
            }
            output::print(
                format,
                &document(&member),
                &table(std::slice::from_ref(&member)),
            )?;
        }
        MemberCommand::Forget {
            server,
            member,
            process_ended,
        } => {
            let cluster = connect(&server).await?.cluster();
            match cluster.forget(&member, process_ended).await {
                Ok(done) => print_forgotten(&done, format)?,
                Err(refused) => {
                    print_refused(&member, &refused, format)?;
                    return Err(refused.into());
                }
            }
        }
    }
    Ok(Exit::Ok)
}

fn print_drained(drained: &Drained, format: Format) -> Result<(), Failure> {
    let handed_back = match drained.handed_back {
        None | Some(0) => String::new(),
        Some(count) => format!("; {count} attempts still ran on it and were handed back"),
    };
    output::say(format!(
        "the drain is over: the member can be stopped{handed_back}"
    ));
    let member = &drained.member;
    let mut document = document(member);
    document["handed_back"] = json!(drained.handed_back);
    output::print(format, &document, &table(std::slice::from_ref(member)))
}

fn print_forgotten(done: &Forgotten, format: Format) -> Result<(), Failure> {
    let names = |partitions: &[(String, u32)]| -> Vec<String> {
        partitions
            .iter()
            .map(|(executor, partition)| format!("{executor}/{partition}"))
            .collect()
    };
    let (removed, lost) = (names(&done.removed), names(&done.lost));
    let state = if done.already_forgotten {
        "forgotten before; nothing has changed"
    } else {
        "forgotten"
    };
    let shown = Table::of_pairs([
        ("member", format!("{}: {state}", done.member_name)),
        ("seats removed", removed.len().to_string()),
        ("partitions lost", list(&lost, lost.len())),
    ]);
    let document = json!({
        "member": done.member_name,
        "forgotten": true,
        "already_forgotten": done.already_forgotten,
        "removed": removed,
        "lost": lost,
    });
    output::print(format, &document, &shown)
}

/// Names what a forget would have lost. Prints nothing for a refusal for another reason.
fn print_refused(member: &str, refused: &RequestError, format: Format) -> Result<(), Failure> {
    let Some(names) = refused.metadata.get("would_lose") else {
        return Ok(());
    };
    let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
    let count = refused.metadata.get("would_lose_partitions");
    let count = count.and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(names.len());
    let shown = Table::of_pairs([
        ("member", format!("{member}: not forgotten")),
        ("partitions that would be lost", list(&names, count)),
    ]);
    let document = json!({
        "member": member,
        "forgotten": false,
        "code": refused.code.as_str(),
        "removed": [],
        "lost": [],
        "would_lose": names,
        "would_lose_partitions": count,
    });
    output::print(format, &document, &shown)
}

/// Names, and how many there are beside them.
fn list<N: AsRef<str>>(names: &[N], count: usize) -> String {
    if count == 0 {
        return "none".to_owned();
    }
    let shown: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let more = match count.saturating_sub(names.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{count}: {}{more}", shown.join(", "))
}

fn table(members: &[MemberInfo]) -> Table {
    let mut table = Table::new(&[
        "NAME",
        "STATE",
        "ROLE",
        "PRIMARIES",
        "SEATS",
        "LEARNERS",
        "CLIENTS",
        "ZONE",
        "ID",
    ]);
    for member in members {
        let state = match (member.state, member.draining) {
            (state, true) => format!("{}, draining", state.as_str()),
            (state, false) => state.as_str().to_owned(),
        };
        table.row([
            member.name.clone(),
            state,
            role(member).to_owned(),
            member.primaries.to_string(),
            member.seats.to_string(),
            member.learners.to_string(),
            member.client_address.clone(),
            member.zone.clone().unwrap_or_else(|| "-".to_owned()),
            member.id.to_string(),
        ]);
    }
    table
}

/// What a member is to the control plane.
fn role(member: &MemberInfo) -> &'static str {
    match member {
        MemberInfo {
            control_leader: true,
            ..
        } => "leader",
        MemberInfo { witness: true, .. } => "witness",
        MemberInfo { voter: true, .. } => "voter",
        _ => "member",
    }
}

fn document(member: &MemberInfo) -> Value {
    json!({
        "id": member.id.to_string(),
        "name": member.name,
        "zone": member.zone,
        "client_address": member.client_address,
        "peer_address": member.peer_address,
        "http_address": member.http_address,
        "state": member.state.as_str(),
        "draining": member.draining,
        "witness": member.witness,
        "voter": member.voter,
        "control_leader": member.control_leader,
        "primaries": member.primaries,
        "seats": member.seats,
        "learners": member.learners,
    })
}
