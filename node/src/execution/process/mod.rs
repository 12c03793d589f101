//! Runs a program: no shell, a process group of its own, bounded output, TERM before KILL.

mod capture;
pub(super) mod environment;
mod exit;
mod program;
mod started;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use ringhold_replica::AttemptEnd;
use ringhold_sys::ProcessGroup;
use ringhold_types::{Failure, FailureKind, ProcessCall};
use tokio::process::{Child, Command};

use super::ExecutionOptions;
use super::attempt::{Run, failure, own_end, stopped_end};
use crate::clock::Clock;
use crate::spawn;

use program::launch_failure;
use started::{Ended, Started};

/// Runs the program of one attempt to its end.
pub(super) async fn run(options: &ExecutionOptions, call: &ProcessCall, run: &Run) -> AttemptEnd {
    let name = short_name(call);
    let started = match start(options, call, run).await {
        Ok(started) => started,
        Err(failure) => return own_end(Err(failure)),
    };
    match started.attend(call.standard_input.clone(), run).await {
        Err(error) => {
            let message = format!("could not follow {name} to its end: {error}");
            own_end(Err(failure(FailureKind::Internal, message)))
        }
        Ok(Ended {
            status,
            exit,
            stop: None,
        }) => own_end(exit::own_end(&name, status, exit)),
        Ok(Ended {
            exit,
            stop: Some(stop),
            ..
        }) => stopped_end(stop.reason, || run.timed_out(&name, Some(exit))),
    }
}

async fn start(
    options: &ExecutionOptions,
    call: &ProcessCall,
    run: &Run,
) -> Result<Started, Arc<Failure>> {
    let begun = Clock.now();
    // A relative directory is relative to the scratch directory, not to wherever the member was started.
    let named = call.working_directory.as_deref();
    let directory = options.scratch_directory.join(named.unwrap_or_default());
    let is_scratch = named.is_none();
    let environment = options
        .environment
        .with_task(&call.environment, &run.context);
    let search_path = options.environment.search_path().to_owned();
    let (call, config) = (call.clone(), run.config.clone());
    // Looking for files and starting a process both block.
    let spawned = spawn::blocking("program start", move || {
        let file = program::find_allowed(&call, &config, &search_path, &directory)?;
        prepare_directory(&directory, is_scratch)?;
        let mut command = command(&file, &call, &directory);
        command.env_clear().envs(environment);
        spawn_group(&mut command, &file)
    });
    let (child, group) = spawned.await.map_err(|error| {
        launch_failure(format!(
            "the member failed while starting the program: {error}"
        ))
    })??;
    Started::watch(child, group, begun)
        .map_err(|error| launch_failure(format!("could not watch the program: {error}")))
}

/// The program's name as a person knows it: `sha256sum` of `/usr/bin/sha256sum`.
fn short_name(call: &ProcessCall) -> String {
    let name = OsStr::from_bytes(call.arguments.first().map_or(&[], |name| name));
    let last = Path::new(name).file_name().unwrap_or(name);
    last.to_string_lossy().into_owned()
}

fn prepare_directory(directory: &Path, is_scratch: bool) -> Result<(), Arc<Failure>> {
    let shown = directory.display();
    if is_scratch {
        return std::fs::create_dir_all(directory).map_err(|error| {
            launch_failure(format!(
                "could not create the scratch directory {shown}: {error}"
            ))
        });
    }
    if directory.is_dir() {
        Ok(())
    } else {
        Err(launch_failure(format!(
            "the working directory {shown} is no directory on this member, or not one that it may enter; state another one \
             that is there, or none, to run in the member's scratch directory"
        )))
    }
}

fn command(file: &Path, call: &ProcessCall, directory: &Path) -> Command {
    let mut arguments = call
        .arguments
        .iter()
        .map(|argument| OsStr::from_bytes(argument));
    let mut command = Command::new(file);
    if let Some(name) = arguments.next() {
        // Some programs do what the name they were called by says.
        command.arg0(name);
    }
    let has_input = call.standard_input.is_some();
    command
        .args(arguments)
        .current_dir(directory)
        .stdin(if has_input {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

fn spawn_group(command: &mut Command, file: &Path) -> Result<(Child, ProcessGroup), Arc<Failure>> {
    let shown = file.display();
    let mut child = command
        .spawn()
        .map_err(|error| launch_failure(format!("could not start {shown}: {error}")))?;
    // Only a reaped child has no id, and nobody has reaped this one.
    let process_id = child.id().unwrap_or_default();
    match ProcessGroup::of_child(process_id) {
        Ok(group) => Ok((child, group)),
        Err(error) => {
            // It must not run unwatched; that it has ended meanwhile is no matter.
            let _ = child.start_kill();
            Err(launch_failure(format!("could not watch {shown}: {error}")))
        }
    }
}
