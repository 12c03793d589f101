//! What the program shows, as JSON. 64-bit numbers that are identities are texts, since many readers keep 53 bits.

use ringhold_client::{
    AttemptInfo, ExecutorConfig, Failure, Outcome, Persistence, ProcessExit, Receipt, RoutingTable,
    TaskInfo, TaskResult, WhenFull,
};
use ringhold_types::TaskCall;
use serde_json::{Value, json};

/// Bytes as text where they are UTF-8, else as hexadecimal digits.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "hex": hex(bytes) }),
    }
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The words for persistence.
pub(crate) const fn persistence(persistence: Persistence) -> &'static str {
    match persistence {
        Persistence::Memory => "memory",
        Persistence::Fsync => "fsync",
    }
}

/// A receipt, with members by name where they are known.
pub(crate) fn receipt(receipt: &Receipt, table: &RoutingTable) -> Value {
    json!({
        "id": receipt.id.to_string(),
        "term": receipt.term.get().to_string(),
        "members": member_names(receipt, table),
        "copies": receipt.copies().0,
        "persistence": persistence(receipt.persistence),
        "reused": receipt.reused,
    })
}

/// Names of the members of a receipt; identities where a name is not known.
pub(crate) fn member_names(receipt: &Receipt, table: &RoutingTable) -> Vec<String> {
    let name = |id| {
        table
            .member(id)
            .map_or_else(|| id.to_string(), |member| member.name.clone())
    };
    receipt.members.iter().copied().map(name).collect()
}

/// A task as it is.
pub(crate) fn task(task: &TaskInfo) -> Value {
    json!({
        "id": task.id.to_string(),
        "status": task.status.as_str(),
        "name": task.name,
        "labels": task.labels,
        "accepted_at_unix_ms": task.accepted_at.map(|at| at.0),
        "age_ms": task.age.0,
        "attempts": task.attempts,
        "crashes": task.crashes,
        "history": task.history.iter().map(attempt).collect::<Vec<_>>(),
        "starts_in_ms": task.starts_in.map(|span| span.0),
        "retrieved": task.retrieved,
        "call": task.task.as_ref().map(|task| call(&task.call)),
        "outcome": task.outcome.as_ref().map(outcome),
    })
}

fn attempt(attempt: &AttemptInfo) -> Value {
    json!({
        "number": attempt.number,
        "term": attempt.term.get().to_string(),
        "member_id": attempt.member.to_string(),
        "started_ms_ago": attempt.started_ago.0,
        "ran_ms": attempt.ran.map(|span| span.0),
        "failure": attempt.failure,
    })
}

fn call(call: &TaskCall) -> Value {
    match call {
        TaskCall::Handler {
            name,
            version,
            payload,
            content_type,
        } => json!({
            "handler": name,
            "version": version,
            "payload": bytes(payload),
            "content_type": content_type,
        }),
        TaskCall::Process(process) => {
            let arguments = process
                .arguments
                .iter()
                .map(|argument| String::from_utf8_lossy(argument));
            json!({
                "arguments": arguments.collect::<Vec<_>>(),
                "environment": process.environment,
                "working_directory": process.working_directory,
                "standard_input_bytes": process.standard_input.as_ref().map(|input| input.len()),
            })
        }
    }
}

/// How a task ended.
pub(crate) fn outcome(outcome: &Outcome) -> Value {
    let mut value = match outcome {
        Outcome::Succeeded(result) => json!({ "result": task_result(result) }),
        Outcome::Failed(failure) | Outcome::DeadLettered(failure) => {
            json!({ "failure": task_failure(failure) })
        }
        Outcome::Cancelled => json!({}),
        Outcome::Replaced(children) => {
            json!({ "sequences": children.iter().map(ToString::to_string).collect::<Vec<_>>() })
        }
    };
    value["status"] = outcome.status().as_str().into();
    value
}

fn task_result(result: &TaskResult) -> Value {
    json!({
        "payload": bytes(&result.payload),
        "content_type": result.content_type,
        "process": result.process.as_ref().map(process_exit),
    })
}

fn task_failure(failure: &Failure) -> Value {
    json!({
        "kind": failure.kind.as_str(),
        "message": failure.message,
        "process": failure.process.as_ref().map(process_exit),
    })
}

fn process_exit(exit: &ProcessExit) -> Value {
    json!({
        "exit_code": exit.exit_code,
        "signal": exit.signal,
        "process_id": exit.process_id,
        "spawn_ms": exit.spawn.0,
        "run_ms": exit.run.0,
        "standard_output": bytes(&exit.standard_output),
        "standard_error": bytes(&exit.standard_error),
        "output_truncated": exit.output_truncated,
        "error_truncated": exit.error_truncated,
    })
}

/// The settings of an executor, without its name.
pub(crate) fn executor_settings(config: &ExecutorConfig) -> Value {
    json!({
        "pool_size": config.pool_size,
        "durability": config.durability,
        "capacity": config.capacity,
        "when_full": match config.when_full {
            WhenFull::Reject => "reject",
            WhenFull::Wait => "wait",
            WhenFull::Overwrite => "overwrite",
        },
        "partition_count": config.partition_count.get(),
        "persistence": persistence(config.persistence),
        "min_copies": config.effective_min_copies(),
        "result_ttl_ms": config.result_ttl.0,
        "dedup_window_ms": config.dedup_window.0,
        "crash_limit": config.crash_limit,
        "allowed_binaries": config.allowed_binaries,
        "run_limit_ms": config.run_limit.map(|span| span.0),
        "kill_grace_ms": config.kill_grace.0,
        "output_bytes_max": config.output_bytes_max,
        "statistics_enabled": config.statistics_enabled,
    })
}
