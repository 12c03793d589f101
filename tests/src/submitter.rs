//! A client in a process of its own: submits echo tasks until it is killed, and writes what it sees as a history to standard
//! output, a line for each event as it happens.
//!
//! Arguments: the members' client addresses, with commas between them, and the executor. Task `n` has the key
//! `submitter-n`.

use std::process::ExitCode;

use ringhold_client::{BuildError, Client, HandlerTask, SubmitError};
use ringhold_history::text::to_line;
use ringhold_history::{Action, Event, Kind, Sighting};
use rustix::time::{ClockId, clock_gettime};

/// Submits under way at once.
const SUBMITTERS: u64 = 8;
/// Numbers that the test's own clients do not use.
const FIRST_OPERATION: u64 = 1 << 40;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addresses, executor] = arguments.as_slice() else {
        eprintln!("usage: submitter ADDRESSES EXECUTOR");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("the system gives threads");
    match runtime.block_on(submit_until_killed(addresses, executor)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn submit_until_killed(addresses: &str, executor: &str) -> Result<(), BuildError> {
    let client = Client::builder().endpoints(addresses.split(','));
    let client = client.build().await?;
    let mut submitters = tokio::task::JoinSet::new();
    for first in 0..SUBMITTERS {
        submitters.spawn(submit(client.clone(), executor.to_owned(), first));
    }
    submitters.join_all().await;
    Ok(())
}

async fn submit(client: Client, executor: String, mut number: u64) {
    loop {
        let key = format!("submitter-{number}");
        let action = Action::Submit {
            key: key.clone(),
            payload: number,
        };
        say(number, Kind::Invoke(action));
        let task = HandlerTask::new("ringhold.echo", number.to_string());
        let submit = client.executor(&executor).submit(task);
        say(
            number,
            match submit.idempotency_key(key).await {
                Ok(handle) => {
                    let receipt = handle.receipt();
                    Kind::Ok(Sighting::Stored {
                        id: receipt.id.to_string(),
                        term: receipt.term.get(),
                        reused: receipt.reused,
                    })
                }
                Err(SubmitError::Indeterminate { .. }) => Kind::Unknown,
                Err(error) => Kind::Fail(error.code()),
            },
        );
        number += SUBMITTERS;
    }
}

fn say(number: u64, kind: Kind) {
    let time = clock_gettime(ClockId::Monotonic);
    let event = Event {
        at: time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs(),
        process: FIRST_OPERATION,
        operation: FIRST_OPERATION + number,
        kind,
    };
    println!("{}", to_line(&event));
}
