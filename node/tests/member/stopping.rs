//! A planned stop (DESIGN G7).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ringhold_node::{AttemptContext, ExecutorConfig, HandlerError, Member, TypedHandler};
use ringhold_proto::v1::{self, outcome};
use tokio::sync::watch;

use super::support::{cluster, eventually, executors, patient, task, three};

const TASKS: u64 = 60;

/// Who ran what, and the gate that runs wait at.
struct Watched {
    runs: Mutex<BTreeMap<u64, Vec<usize>>>,
    open: watch::Sender<bool>,
}

/// A handler on one member that notes its run and waits for the gate.
struct Wait {
    member: usize,
    watched: Arc<Watched>,
}

impl TypedHandler for Wait {
    const NAME: &'static str = "wait";
    type Input = u64;
    type Output = u64;

    async fn run(&self, _context: AttemptContext, number: u64) -> Result<u64, HandlerError> {
        self.watched
            .runs
            .lock()
            .expect("not poisoned")
            .entry(number)
            .or_default()
            .push(self.member);
        let mut open = self.watched.open.subscribe();
        open.wait_for(|open| *open).await.expect("the test lives");
        Ok(number)
    }
}

async fn submit_all(member: &Member) -> Vec<v1::TaskId> {
    let client = executors(member).await;
    let submits = (0..TASKS).map(|number| {
        let mut client = client.clone();
        async move {
            let request = v1::SubmitRequest {
                executor: "work".to_owned(),
                task: Some(task(
                    Wait::NAME,
                    number.to_string(),
                    &format!("key-{number}"),
                )),
                ..v1::SubmitRequest::default()
            };
            let answer = client.submit(patient(request)).await.expect("stored");
            let receipt = answer.into_inner().receipt.expect("a receipt");
            receipt.id.expect("an id")
        }
    });
    futures_util::future::join_all(submits).await
}

async fn outcome_of(member: &Member, id: v1::TaskId) -> v1::RetrieveResultResponse {
    let wait = ringhold_proto::WireDuration {
        seconds: 50,
        nanos: 0,
    };
    let request = v1::RetrieveResultRequest {
        id: Some(id),
        wait: Some(wait),
        ..v1::RetrieveResultRequest::default()
    };
    let answer = executors(member)
        .await
        .retrieve_result(patient(request))
        .await;
    answer.expect("an outcome").into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_stopped_hands_over_lets_its_attempts_end_and_no_task_runs_twice() {
    let watched = Arc::new(Watched {
        runs: Mutex::default(),
        open: watch::Sender::new(false),
    });
    let mut three = three(|number, builder| {
        let watched = Arc::clone(&watched);
        let executor = ExecutorConfig::new("work").pool_size(4).durability(1);
        builder.executor(executor).handler(Wait {
            member: number,
            watched,
        })
    })
    .await;
    let ids = submit_all(&three.members[1]).await;
    let runs_on_first = || {
        let runs = watched.runs.lock().expect("not poisoned");
        runs.values().filter(|members| members.contains(&0)).count()
    };
    eventually("the first member runs tasks", || async {
        runs_on_first() == 4
    })
    .await;

    let stopping = tokio::spawn(three.members.remove(0).shutdown());
    let others = &three.members;
    let mut service = cluster(&others[0]).await;
    loop {
        let listed = service.list_members(patient(v1::ListMembersRequest::default()));
        let members = listed.await.expect("listed").into_inner().members;
        let first = members.iter().find(|member| member.name == "m1");
        if first.is_some_and(|first| first.draining && first.primaries == 0) {
            break;
        }
        assert!(
            !stopping.is_finished(),
            "it stops only when it leads nothing"
        );
        tokio::task::yield_now().await;
    }
    watched.open.send_replace(true);
    for (number, id) in (0..).zip(ids) {
        let answer = outcome_of(&others[number % 2], id).await;
        let outcome = answer.outcome.and_then(|outcome| outcome.outcome);
        let Some(outcome::Outcome::Succeeded(result)) = outcome else {
            panic!("task {number}: {outcome:?}");
        };
        assert_eq!(result.payload, number.to_string(), "its own result");
    }
    stopping.await.expect("it stops");
    let runs = watched.runs.lock().expect("not poisoned").clone();
    let rerun: Vec<_> = runs
        .iter()
        .filter(|(_, members)| members.len() > 1)
        .collect();
    assert!(rerun.is_empty(), "ran more than once: {rerun:?}");
    assert_eq!(runs.len() as u64, TASKS);
    three.stop().await;
}
