//! What can be said already and does nothing yet is refused by name, whoever says it.

use ringhold_node::{ExecutorConfig, Member};
use ringhold_proto::v1;
use ringhold_types::{ExecutorName, Priority};
use tonic::Code;

use super::codes::{assert_row, submit, submit_of};
use super::support::{cluster, executors, patient, refusal, task};

/// Changes one thing of a task that a handler would run.
type Change = (&'static str, fn(&mut v1::Task));

fn set_version(task: &mut v1::Task) {
    if let Some(v1::task::Call::Handler(call)) = &mut task.call {
        call.version = Some("2".into());
    }
}

const CHANGES: [Change; 8] = [
    ("metadata", |task| task.metadata = "m".into()),
    ("priority", |task| task.priority = Some(3)),
    ("serial", |task| task.serial = Some(false)),
    ("retry", |task| {
        task.retry = Some(v1::RetryPolicy::default());
    }),
    ("at-end", |task| task.at_end = v1::AtEnd::Fail.into()),
    ("group", |task| task.group = Some(v1::TaskRef::default())),
    ("parent", |task| {
        task.parent = Some(v1::TaskId {
            text: "reports/0/1".into(),
            ..v1::TaskId::default()
        });
    }),
    ("handler version", set_version),
];

/// Changes one thing of a program.
type ProgramChange = (&'static str, fn(&mut v1::ProcessCall));

const PROGRAM_CHANGES: [ProgramChange; 4] = [
    ("default-binary", |call| call.uses_default_binary = true),
    ("detach-ok", |call| call.detach_ok = true),
    ("process-limits", |call| {
        call.limits = Some(v1::ProcessLimits::default());
    }),
    ("output-policy", |call| {
        call.output_policy = v1::OutputPolicy::Fail.into();
    }),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_asks_for_what_does_nothing_yet_is_refused_by_name() {
    let member = Member::single().executor(ExecutorConfig::new("reports").partition_count(1));
    let member = member.start().await.expect("it starts");
    let mut asked = Vec::new();
    for (name, change) in CHANGES {
        let mut task = task("ringhold.echo", "1".into(), name);
        change(&mut task);
        asked.push((name, task));
    }
    for (name, change) in PROGRAM_CHANGES {
        let mut call = v1::ProcessCall {
            arguments: vec!["true".into()],
            ..v1::ProcessCall::default()
        };
        change(&mut call);
        let call = v1::task::Call::Process(call);
        let task = v1::Task {
            call: Some(call),
            ..v1::Task::default()
        };
        asked.push((name, task));
    }
    for (name, task) in &asked {
        let refused = submit(&member, submit_of("reports", Some(task.clone()))).await;
        let message = refusal(refused.as_ref().expect_err("refused")).message;
        assert_eq!(message, format!("{name} is not supported yet"));
        assert_row(("INVALID_ARGUMENT", Code::InvalidArgument, false), refused);
    }
    // In a batch each for itself.
    let request = v1::SubmitBatchRequest {
        executor: "reports".to_owned(),
        tasks: asked.into_iter().map(|(_, task)| task).collect(),
        ..v1::SubmitBatchRequest::default()
    };
    let answer = executors(&member)
        .await
        .submit_batch(patient(request))
        .await;
    for answer in answer.expect("answered").into_inner().answers {
        let Some(v1::submit_answer::Answer::Error(error)) = answer.answer else {
            panic!("stored: {answer:?}");
        };
        assert!(error.message.ends_with("not supported yet"), "{error:?}");
    }
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_that_has_no_effect_yet_is_refused_by_name() {
    let member = Member::single().start().await.expect("it starts");
    let request = v1::CreateExecutorRequest {
        config: Some(v1::ExecutorConfig {
            name: "reports".to_owned(),
            on_failure: v1::AtEnd::Fail.into(),
            ..v1::ExecutorConfig::default()
        }),
        ..v1::CreateExecutorRequest::default()
    };
    let refused = cluster(&member)
        .await
        .create_executor(patient(request))
        .await;
    let message = refusal(refused.as_ref().expect_err("refused")).message;
    assert_eq!(message, "on-failure is not supported yet");
    assert_row(("INVALID_ARGUMENT", Code::InvalidArgument, false), refused);
    member.shutdown().await;

    // An embedded member's own executors, too.
    let name = ExecutorName::new("reports").expect("a name");
    let config = ringhold_types::ExecutorConfig {
        priority: Priority::new(3),
        ..ringhold_types::ExecutorConfig::with_name(name)
    };
    let refused = Member::single().executor(config).start().await;
    let error = refused.expect_err("refused");
    assert_eq!(
        error.to_string(),
        "executor reports: priority is not supported yet"
    );
}
