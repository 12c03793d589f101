//! `ringhold task`: submits tasks, shows them, gets their results.

use std::io::Read;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ringhold_client::{
    Client, Executor, HandlerTask, ListFilter, Millis, Outcome, ProcessTask, Receipt, RequestError,
    Retrieved, Submit, Submittable, TaskError, TaskId, TaskInfo, TaskStatus,
};
use serde_json::{Value, json};

use crate::arguments::{
    Format, ListArguments, ManyTasks, ResultArguments, Server, SubmitArguments, TaskCommand,
    WaitArguments,
};
use crate::connect::connect;
use crate::failure::{Exit, Failure};
use crate::output::{self, Table};
use crate::{directory, duration, json, signals};

/// Most bytes read as a task's input; a task that large is refused by the cluster.
const INPUT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most tasks of one page.
const PAGE_MAX: u32 = 1000;

pub(super) async fn run(command: TaskCommand, format: Format) -> Result<Exit, Failure> {
    let command = async {
        match command {
            TaskCommand::Submit(arguments) => submit(&arguments, format).await,
            TaskCommand::Get(task) => get(&task.server, &task.id, format).await,
            TaskCommand::Wait(arguments) => wait(&arguments, format).await,
            TaskCommand::Result(arguments) => result(&arguments, format).await,
            TaskCommand::Dispose(tasks) => dispose(&tasks, format).await,
            TaskCommand::Cancel(tasks) => cancel(&tasks, format).await,
            TaskCommand::Ls(arguments) => list(&arguments, format).await,
        }
    };
    tokio::select! {
        done = command => done,
        interrupted = signals::interrupted() => {
            interrupted?;
            Err(Failure::interrupted("tasks that are stored go on; `ringhold task wait ID` waits again"))
        }
    }
}

async fn submit(arguments: &SubmitArguments, format: Format) -> Result<Exit, Failure> {
    let input = arguments.input.as_deref().map(read_input).transpose()?;
    let client = connect(&arguments.server).await?;
    let executor = client.executor(&arguments.executor);
    let receipt = match &arguments.handler {
        Some(handler) => {
            let task = HandlerTask::new(handler, input.unwrap_or_default())
                .content_type(&arguments.content_type);
            send(&executor, task, arguments).await?
        }
        None => {
            let mut task = ProcessTask::default().args(&arguments.command);
            if let Some(input) = input {
                task = task.standard_input(input);
            }
            if let Some(directory) = directory::named(arguments.directory.as_deref())? {
                task = task.working_directory(directory);
            }
            send(&executor, task, arguments).await?
        }
    };
    let table = client.routing_table();
    if arguments.wait {
        output::say(format_args!(
            "{} is stored on {}",
            receipt.id,
            json::member_names(&receipt, &table).join(", ")
        ));
        let retrieved = client.retrieve_result(&receipt.id).await?;
        return print_outcome(&retrieved, format);
    }
    let members = json::member_names(&receipt, &table).join(", ");
    let shown = Table::of_pairs([
        ("id", receipt.id.to_string()),
        ("members", members),
        (
            "copies",
            format!(
                "{} ({})",
                receipt.copies().0,
                json::persistence(receipt.persistence)
            ),
        ),
        ("reused", receipt.reused.to_string()),
    ]);
    output::print(format, &json::receipt(&receipt, &table), &shown)?;
    Ok(Exit::Ok)
}

async fn send<S: Submittable>(
    executor: &Executor,
    task: S,
    arguments: &SubmitArguments,
) -> Result<Receipt, Failure> {
    if arguments.forget {
        return Ok(options(executor.execute(task), arguments).await?);
    }
    Ok(options(executor.submit(task), arguments)
        .await?
        .receipt()
        .clone())
}

fn options<A>(mut submit: Submit<A>, arguments: &SubmitArguments) -> Submit<A> {
    if let Some(key) = &arguments.key {
        submit = submit.key(key.clone());
    }
    if let Some(key) = &arguments.idempotency_key {
        submit = submit.idempotency_key(key.clone());
    }
    if let Some(limit) = arguments.run_limit {
        submit = submit.run_limit(limit);
    }
    if let Some(delay) = arguments.delay {
        submit = submit.not_before(SystemTime::now() + delay);
    }
    arguments
        .label
        .iter()
        .fold(submit, |submit, (name, value)| submit.label(name, value))
}

/// Text as it is, `@FILE`, or `-` for standard input.
fn read_input(text: &str) -> Result<Bytes, Failure> {
    let read = |input: &mut dyn Read| {
        let mut bytes = Vec::new();
        input
            .take(INPUT_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map(|_| Bytes::from(bytes))
    };
    if text == "-" {
        return read(&mut std::io::stdin())
            .map_err(|error| Failure::io("read standard input", &error));
    }
    let Some(file) = text.strip_prefix('@') else {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    };
    std::fs::File::open(file)
        .and_then(|mut file| read(&mut file))
        .map_err(|error| Failure::io(&format!("read {file}"), &error))
}

/// Writes a result to standard output as it is, or an outcome as JSON.
fn print_outcome(retrieved: &Retrieved, format: Format) -> Result<Exit, Failure> {
    if format == Format::Json {
        output::write(format!("{}\n", outcome_document(retrieved)).as_bytes())?;
        return Ok(exit_of(&retrieved.outcome));
    }
    match &retrieved.outcome {
        Outcome::Succeeded(result) => output::write(&result.payload)?,
        Outcome::Failed(failure) | Outcome::DeadLettered(failure) => {
            if let Some(exit) = &failure.process {
                output::write(&exit.standard_output)?;
                output::say(String::from_utf8_lossy(&exit.standard_error).trim_end());
            }
            return Err(TaskError::Failed(Box::new(failure.clone())).into());
        }
        Outcome::Cancelled => return Err(TaskError::Cancelled.into()),
        Outcome::Replaced(children) => return Err(TaskError::Replaced(children.clone()).into()),
    }
    Ok(Exit::Ok)
}

fn outcome_document(retrieved: &Retrieved) -> Value {
    let mut document = json::outcome(&retrieved.outcome);
    document["id"] = retrieved.id.to_string().into();
    document["attempts"] = retrieved.attempts.into();
    document
}

fn exit_of(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Succeeded(_) => Exit::Ok,
        Outcome::Cancelled => Exit::TaskCancelled,
        Outcome::Failed(_) | Outcome::DeadLettered(_) | Outcome::Replaced(_) => Exit::TaskFailed,
    }
}

async fn get(server: &Server, id: &TaskId, format: Format) -> Result<Exit, Failure> {
    let task = connect(server).await?.get(id).await?;
    let mut pairs = vec![
        ("id", task.id.to_string()),
        ("status", task.status.to_string()),
        ("runs", task.name.clone()),
        ("age", span(task.age)),
        ("attempts", task.attempts.to_string()),
        ("members that died under it", task.crashes.to_string()),
        ("retrieved", task.retrieved.to_string()),
    ];
    pairs.extend(task.starts_in.map(|wait| ("starts in", span(wait))));
    pairs.extend(
        task.labels
            .iter()
            .map(|(name, value)| ("label", format!("{name}={value}"))),
    );
    pairs.extend(task.history.iter().map(|attempt| {
        let ran = attempt
            .ran
            .map_or_else(|| "runs".to_owned(), |ran| format!("ran {}", span(ran)));
        let failure = attempt
            .failure
            .as_deref()
            .map(|kind| format!(", {kind}"))
            .unwrap_or_default();
        let text = format!("{} on {}, {ran}{failure}", attempt.number, attempt.member);
        ("attempt", text)
    }));
    if let Some(Outcome::Failed(failure) | Outcome::DeadLettered(failure)) = &task.outcome {
        pairs.push(("failure", format!("{}: {}", failure.kind, failure.message)));
    }
    output::print(format, &json::task(&task), &Table::of_pairs(pairs))?;
    Ok(Exit::Ok)
}

fn span(span: Millis) -> String {
    duration::show(Duration::from_millis(span.0))
}

async fn retrieve(
    client: &Client,
    id: &TaskId,
    timeout: Option<Duration>,
    dispose: bool,
) -> Result<Retrieved, Failure> {
    let retrieve = if dispose {
        client.retrieve_and_dispose_result(id)
    } else {
        client.retrieve_result(id)
    };
    let retrieve = match timeout {
        Some(timeout) => retrieve.deadline(timeout),
        None => retrieve,
    };
    Ok(retrieve.await?)
}

/// Waits for each task, whatever becomes of the others. One that failed alone is the failure of the command.
async fn wait(arguments: &WaitArguments, format: Format) -> Result<Exit, Failure> {
    let client = connect(&arguments.tasks.server).await?;
    let waits = arguments
        .tasks
        .ids
        .iter()
        .map(|id| retrieve(&client, id, arguments.timeout, false));
    let waited = futures_util::future::join_all(waits).await;
    if let ([_], [Err(failure)]) = (&arguments.tasks.ids[..], &waited[..]) {
        return Err(failure.clone());
    }
    let mut table = Table::new(&["ID", "STATUS", "ATTEMPTS"]);
    let mut exit = Exit::Ok;
    let mut tasks = Vec::new();
    for (id, waited) in arguments.tasks.ids.iter().zip(&waited) {
        let (status, attempts) = match waited {
            Ok(retrieved) => (
                retrieved.outcome.status().to_string(),
                retrieved.attempts.to_string(),
            ),
            Err(failure) => (
                format!("{}: {}", failure.code, failure.what),
                "-".to_owned(),
            ),
        };
        table.row([id.to_string(), status, attempts]);
        exit = exit.worse(match waited {
            Ok(retrieved) => exit_of(&retrieved.outcome),
            Err(failure) => failure.exit,
        });
        tasks.push(match waited {
            Ok(retrieved) => outcome_document(retrieved),
            Err(failure) => json!({
                "id": id.to_string(),
                "code": failure.code.as_str(),
                "message": failure.what,
            }),
        });
    }
    output::print(format, &json!({ "tasks": tasks }), &table)?;
    Ok(exit)
}

async fn result(arguments: &ResultArguments, format: Format) -> Result<Exit, Failure> {
    let client = connect(&arguments.task.server).await?;
    let retrieved = retrieve(
        &client,
        &arguments.task.id,
        arguments.timeout,
        arguments.dispose,
    )
    .await?;
    print_outcome(&retrieved, format)
}

async fn dispose(tasks: &ManyTasks, format: Format) -> Result<Exit, Failure> {
    let client = connect(&tasks.server).await?;
    let disposals = tasks.ids.iter().map(|id| client.dispose_result(id));
    let done = futures_util::future::join_all(disposals).await;
    print_done(tasks, done, "disposed", format)
}

async fn cancel(tasks: &ManyTasks, format: Format) -> Result<Exit, Failure> {
    let client = connect(&tasks.server).await?;
    let cancels = tasks.ids.iter().map(|id| client.cancel(id));
    let done = futures_util::future::join_all(cancels).await;
    print_done(tasks, done, "cancelled", format)
}

/// Says of each task whether it was done. One that failed alone is the failure of the command.
fn print_done(
    tasks: &ManyTasks,
    done: Vec<Result<(), RequestError>>,
    word: &str,
    format: Format,
) -> Result<Exit, Failure> {
    let failed = done.iter().filter(|done| done.is_err()).count();
    if let ([_], [Err(error)]) = (&tasks.ids[..], &done[..]) {
        return Err(error.clone().into());
    }
    let mut table = Table::new(&["ID", "ANSWER"]);
    let mut documents = Vec::new();
    for (id, done) in tasks.ids.iter().zip(&done) {
        let answer = match done {
            Ok(()) => word.to_owned(),
            Err(error) => format!("{}: {}", error.code, error.message),
        };
        let code = done.as_ref().err().map(|error| error.code.as_str());
        documents.push(json!({ "id": id.to_string(), "done": done.is_ok(), "code": code }));
        table.row([id.to_string(), answer]);
    }
    output::print(format, &json!({ "tasks": documents }), &table)?;
    Ok(match failed {
        0 => Exit::Ok,
        all if all == done.len() => Exit::Failed,
        _ => Exit::Partly,
    })
}

async fn list(arguments: &ListArguments, format: Format) -> Result<Exit, Failure> {
    let client = connect(&arguments.server).await?;
    let millis = |span: Duration| Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    let mut tasks: Vec<TaskInfo> = Vec::new();
    let mut unavailable = Vec::new();
    let mut page: Option<String> = None;
    loop {
        let missing = arguments
            .limit
            .saturating_sub(u32::try_from(tasks.len()).unwrap_or(u32::MAX));
        let filter = ListFilter {
            executor: arguments.executor.clone(),
            statuses: arguments.status.clone(),
            older_than: arguments.older_than.map(millis),
            page_size: missing.clamp(1, PAGE_MAX),
        };
        let answer = client.list(&filter, page.as_deref()).await?;
        tasks.extend(answer.tasks);
        unavailable.extend(answer.unavailable);
        page = answer.next_page;
        let enough = u32::try_from(tasks.len()).unwrap_or(u32::MAX) >= arguments.limit;
        if page.is_none() || enough {
            break;
        }
    }
    for partition in &unavailable {
        let reason = &partition.reason;
        output::say(format_args!(
            "{}/{} could not be asked: {reason}",
            partition.executor, partition.partition
        ));
    }
    if page.is_some() {
        output::say(format_args!(
            "there are more; --limit shows more than {}",
            arguments.limit
        ));
    }
    let mut table = Table::new(&["ID", "STATUS", "RUNS", "AGE", "ATTEMPTS"]);
    for task in &tasks {
        let status: TaskStatus = task.status;
        let cells = [
            task.id.to_string(),
            status.to_string(),
            task.name.clone(),
            span(task.age),
            task.attempts.to_string(),
        ];
        table.row(cells);
    }
    let documents: Vec<Value> = tasks.iter().map(json::task).collect();
    let document = json!({ "tasks": documents, "more": page.is_some(), "partitions_unavailable": unavailable.len() });
    output::print(format, &document, &table)?;
    Ok(if unavailable.is_empty() {
        Exit::Ok
    } else {
        Exit::Partly
    })
}
