//! A scripted cluster: real gRPC servers in this process that answer as a test tells them to.

#![allow(unreachable_pub, reason = "a module of one test binary")]

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use ringhold_proto::v1::cluster_service_server::{ClusterService, ClusterServiceServer};
use ringhold_proto::v1::executor_service_server::{ExecutorService, ExecutorServiceServer};
use ringhold_proto::{ApiError, v1};
use ringhold_types::{ErrorCode, PartitionCount, partition_of};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream, WatchStream};
use tonic::{Request, Response, Status, Streaming};

pub const PARTITIONS: u32 = 8;

/// What a member does with the next submit that reaches it.
#[derive(Clone, Debug)]
pub enum OnSubmit {
    /// Stores it and breaks the stream before the answer.
    LoseReply,
    /// Refuses it.
    Refuse(ApiError),
    /// Never answers, and stores nothing.
    Ignore,
}

/// What a member does with the next retrieval that reaches it.
#[derive(Clone, Debug)]
pub enum OnRetrieve {
    /// Refuses it.
    Refuse(ApiError),
    /// Breaks the call as a lost connection does.
    Break,
    /// Never answers.
    Ignore,
}

/// What all members of the fake cluster share.
pub struct Cluster {
    pub table: watch::Sender<v1::RoutingTable>,
    pub tasks: Mutex<BTreeMap<Vec<u8>, v1::TaskId>>,
    /// Keys of all submits in the order of their arrival.
    pub keys_seen: Mutex<Vec<Vec<u8>>>,
    pub cancelled: Mutex<Vec<v1::TaskId>>,
    /// Tasks whose outcome was taken, with the name of the read that took it.
    pub disposed: Mutex<BTreeMap<String, bytes::Bytes>>,
    pub confirmed: Mutex<Vec<v1::TaskId>>,
    pub confirm_calls: AtomicUsize,
    /// Reads that leave the outcome unread.
    pub kept: AtomicUsize,
    /// Whether tasks have ended.
    pub finished: watch::Sender<bool>,
    pub waiting: AtomicUsize,
    pub in_flight: AtomicUsize,
    pub in_flight_most: AtomicUsize,
    /// How long a submit takes.
    pub submit_time: Mutex<Duration>,
}

/// One scripted member.
pub struct Member {
    pub address: String,
    pub connections: AtomicUsize,
    pub submits: AtomicUsize,
    /// How long the last submit said that it waits for its answer.
    pub patience: Mutex<Option<ringhold_proto::WireDuration>>,
    pub on_submit: Mutex<VecDeque<OnSubmit>>,
    pub on_retrieve: Mutex<VecDeque<OnRetrieve>>,
    pub on_cancel: Mutex<VecDeque<OnRetrieve>>,
    /// Refusals of the next drains.
    pub on_drain: Mutex<VecDeque<ApiError>>,
    /// How long each drain was to be waited for, if at all, in the order of their arrival.
    pub drain_waits: Mutex<Vec<Option<Duration>>>,
    /// Whether streams of submits that are opened now are never read.
    pub reads_nothing: AtomicBool,
    pub cluster: Arc<Cluster>,
}

/// A fake cluster; its servers end with the test's runtime.
pub struct Fake {
    pub cluster: Arc<Cluster>,
    pub members: Vec<Arc<Member>>,
}

pub fn cluster_id(number: u128) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&number.to_be_bytes())
}

impl Fake {
    /// Starts members on ports picked by the system; all partitions of executor `reports` begin on the first.
    pub async fn start(members: usize) -> Self {
        let cluster = Arc::new(Cluster {
            table: watch::Sender::new(v1::RoutingTable::default()),
            tasks: Mutex::default(),
            keys_seen: Mutex::default(),
            cancelled: Mutex::default(),
            disposed: Mutex::default(),
            confirmed: Mutex::default(),
            confirm_calls: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            finished: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            in_flight_most: AtomicUsize::new(0),
            submit_time: Mutex::new(Duration::ZERO),
        });
        let mut started = Vec::new();
        for _ in 0..members {
            started.push(serve(cluster.clone()).await);
        }
        let fake = Self {
            cluster,
            members: started,
        };
        fake.lead(&vec![0; PARTITIONS as usize]);
        fake
    }

    /// Publishes a routing table in which the members with these positions lead the partitions.
    pub fn lead(&self, primaries: &[i32]) {
        self.cluster.table.send_modify(|table| {
            table.version += 1;
            table.cluster_id = cluster_id(1);
            table.members = (self.members.iter().zip(1..))
                .map(|(member, id)| v1::RoutingMember {
                    id,
                    name: format!("m{id}"),
                    client_address: member.address.clone(),
                })
                .collect();
            table.executors = vec![v1::RoutingExecutor {
                name: "reports".into(),
                partition_count: PARTITIONS,
                durability: 1,
                persistence: v1::Persistence::Fsync.into(),
                primaries: primaries.to_vec(),
            }];
        });
    }

    pub fn endpoints(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| member.address.clone())
            .collect()
    }

    pub async fn client(&self) -> ringhold_client::Client {
        let builder = ringhold_client::Client::builder().endpoints(self.endpoints());
        builder.build().await.expect("the fake cluster answers")
    }
}

async fn serve(cluster: Arc<Cluster>) -> Arc<Member> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let member = Arc::new(Member {
        address: listener.local_addr().expect("bound").to_string(),
        connections: AtomicUsize::new(0),
        submits: AtomicUsize::new(0),
        patience: Mutex::default(),
        on_submit: Mutex::default(),
        on_retrieve: Mutex::default(),
        on_cancel: Mutex::default(),
        on_drain: Mutex::default(),
        drain_waits: Mutex::default(),
        reads_nothing: AtomicBool::new(false),
        cluster,
    });
    let counted = member.clone();
    let incoming = TcpListenerStream::new(listener).inspect(move |_| {
        counted.connections.fetch_add(1, Ordering::SeqCst);
    });
    let server = tonic::transport::Server::builder()
        .add_service(ExecutorServiceServer::new(Service(member.clone())))
        .add_service(ClusterServiceServer::new(Service(member.clone())))
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    member
}

struct Service(Arc<Member>);

/// Counts a call for as long as it lives, also when the client breaks it off.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Member {
    fn store(&self, request: &v1::SubmitStreamRequest) -> v1::Receipt {
        let task = request.task.clone().expect("a task");
        let key = task
            .idempotency_key
            .expect("the SDK always gives a key")
            .to_vec();
        let place = task
            .affinity_key
            .map_or_else(|| key.clone(), |key| key.to_vec());
        let partition = partition_of(&place, PartitionCount::new(PARTITIONS).expect("valid"));
        let mut tasks = self.cluster.tasks.lock().expect("no panic");
        let reused = tasks.contains_key(&key);
        let sequence = tasks.len() as u64;
        let id = tasks.entry(key).or_insert_with(|| v1::TaskId {
            cluster_id: Some(cluster_id(1)),
            executor: request.executor.clone(),
            partition: partition.0,
            sequence,
            text: format!("{}/{partition}/{sequence}", request.executor),
        });
        v1::Receipt {
            id: Some(id.clone()),
            term: 1,
            members: vec![v1::ReceiptMember {
                id: 1,
                name: "m1".into(),
            }],
            copies: 1,
            persistence: v1::Persistence::Fsync.into(),
            reused,
            retry_safe: true,
        }
    }

    /// The answer to one submit; an error breaks the stream.
    async fn submit(
        &self,
        request: v1::SubmitStreamRequest,
    ) -> Result<v1::SubmitStreamResponse, Status> {
        let cluster = &self.cluster;
        let key = request
            .task
            .as_ref()
            .and_then(|task| task.idempotency_key.clone());
        let key = key.expect("the SDK always gives a key").to_vec();
        cluster.keys_seen.lock().expect("no panic").push(key);
        self.submits.fetch_add(1, Ordering::SeqCst);
        *self.patience.lock().expect("no panic") = request.patience;
        let now = cluster.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        cluster.in_flight_most.fetch_max(now, Ordering::SeqCst);
        let takes = *cluster.submit_time.lock().expect("no panic");
        tokio::time::sleep(takes).await;
        cluster.in_flight.fetch_sub(1, Ordering::SeqCst);
        let script = self.on_submit.lock().expect("no panic").pop_front();
        let answer = match script {
            None => v1::submit_answer::Answer::Receipt(self.store(&request)),
            Some(OnSubmit::Refuse(error)) => v1::submit_answer::Answer::Error((&error).into()),
            Some(OnSubmit::LoseReply) => {
                self.store(&request);
                return Err(Status::unavailable("the connection is lost"));
            }
            Some(OnSubmit::Ignore) => std::future::pending().await,
        };
        Ok(v1::SubmitStreamResponse {
            correlation_id: request.correlation_id,
            answer: Some(v1::SubmitAnswer {
                answer: Some(answer),
            }),
        })
    }

    async fn outcome(&self, wait: Option<Duration>) -> Option<v1::Outcome> {
        let _waiting = Counted::one_more(&self.cluster.waiting);
        let mut finished = self.cluster.finished.subscribe();
        let wait = wait.unwrap_or(Duration::from_secs(60));
        let ended = tokio::time::timeout(wait, finished.wait_for(|finished| *finished)).await;
        ended.ok().map(|_| v1::Outcome {
            outcome: Some(v1::outcome::Outcome::Succeeded(v1::TaskResult {
                payload: "\"done\"".into(),
                content_type: "application/json".into(),
                process: None,
            })),
        })
    }
}

pub fn refusal(code: ErrorCode) -> ApiError {
    ApiError::new(code, format!("scripted {code}"))
}

type Pushed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ExecutorService for Service {
    async fn submit(
        &self,
        _: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn submit_batch(
        &self,
        _: Request<v1::SubmitBatchRequest>,
    ) -> Result<Response<v1::SubmitBatchResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    type SubmitStreamStream = Pushed<v1::SubmitStreamResponse>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<v1::SubmitStreamRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let mut requests = request.into_inner();
        let (answers, stream) = mpsc::channel(1024);
        let member = self.0.clone();
        let reads_nothing = self.0.reads_nothing.load(Ordering::SeqCst);
        tokio::spawn(async move {
            if reads_nothing {
                // Held, not read, until the client breaks the connection off.
                let (_requests, _answers) = (requests, answers);
                return std::future::pending::<()>().await;
            }
            while let Ok(Some(request)) = requests.message().await {
                let (member, answers) = (member.clone(), answers.clone());
                tokio::spawn(async move {
                    let _ = answers.send(member.submit(request).await).await;
                });
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    /// Shows a task as cancelled if a cancel of it has been done, else as succeeded.
    async fn find(
        &self,
        request: Request<v1::FindRequest>,
    ) -> Result<Response<v1::FindResponse>, Status> {
        let key = request.into_inner().idempotency_key;
        let tasks = self.0.cluster.tasks.lock().expect("no panic");
        let id = tasks.get(&key[..]).cloned();
        Ok(Response::new(v1::FindResponse { id }))
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        let id = request.into_inner().id.expect("an id");
        let cancelled = self.0.cluster.cancelled.lock().expect("no panic");
        let status = match cancelled.iter().any(|it| it.text == id.text) {
            true => v1::TaskStatus::Cancelled,
            false => v1::TaskStatus::Succeeded,
        };
        let task = v1::TaskView {
            id: Some(id),
            status: status.into(),
            ..v1::TaskView::default()
        };
        Ok(Response::new(v1::GetResponse { task: Some(task) }))
    }

    async fn list(
        &self,
        _: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn retrieve_result(
        &self,
        request: Request<v1::RetrieveResultRequest>,
    ) -> Result<Response<v1::RetrieveResultResponse>, Status> {
        let request = request.into_inner();
        let script = self.0.on_retrieve.lock().expect("no panic").pop_front();
        match script {
            Some(OnRetrieve::Refuse(error)) => return Err(error.into_status()),
            Some(OnRetrieve::Break) => return Err(Status::unavailable("the connection is lost")),
            Some(OnRetrieve::Ignore) => std::future::pending().await,
            None => {}
        }
        let kept = usize::from(request.keep);
        self.0.cluster.kept.fetch_add(kept, Ordering::SeqCst);
        let wait = request.wait.and_then(|wait| Duration::try_from(wait).ok());
        let outcome = self.0.outcome(wait).await;
        let status = match outcome {
            Some(_) => v1::TaskStatus::Succeeded,
            None => v1::TaskStatus::Running,
        };
        Ok(Response::new(v1::RetrieveResultResponse {
            id: request.id,
            status: status.into(),
            attempts: u32::from(outcome.is_some()),
            outcome,
        }))
    }

    async fn dispose_result(
        &self,
        _: Request<v1::DisposeResultRequest>,
    ) -> Result<Response<v1::DisposeResultResponse>, Status> {
        let script = self.0.on_retrieve.lock().expect("no panic").pop_front();
        match script {
            Some(OnRetrieve::Refuse(error)) => Err(error.into_status()),
            Some(_) => Err(Status::unavailable("the connection is lost")),
            None => Ok(Response::new(v1::DisposeResultResponse {})),
        }
    }

    /// Disposes before a lost answer, as a member does; a repeat under another request id finds nothing.
    async fn retrieve_and_dispose(
        &self,
        request: Request<v1::RetrieveAndDisposeRequest>,
    ) -> Result<Response<v1::RetrieveAndDisposeResponse>, Status> {
        let request = request.into_inner();
        let name = request.request_id.expect("the SDK always names the read");
        let outcome = self.0.outcome(Some(Duration::from_secs(20))).await;
        let id = request.id.expect("an id");
        {
            let mut disposed = self.0.cluster.disposed.lock().expect("no panic");
            let first = disposed.entry(id.text.clone()).or_insert(name.clone());
            if *first != name {
                return Err(refusal(ErrorCode::Disposed).into_status());
            }
        }
        let script = self.0.on_retrieve.lock().expect("no panic").pop_front();
        if script.is_some() {
            return Err(Status::unavailable("the connection is lost"));
        }
        Ok(Response::new(v1::RetrieveAndDisposeResponse {
            id: Some(id),
            status: v1::TaskStatus::Succeeded.into(),
            attempts: 1,
            outcome,
        }))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::CancelResponse>, Status> {
        let id = request.into_inner().id.expect("an id");
        let script = self.0.on_cancel.lock().expect("no panic").pop_front();
        if let Some(OnRetrieve::Refuse(error)) = script {
            return Err(error.into_status());
        }
        self.0.cluster.cancelled.lock().expect("no panic").push(id);
        match script {
            Some(_) => Err(Status::unavailable("the connection is lost")),
            None => Ok(Response::new(v1::CancelResponse {})),
        }
    }

    async fn confirm_retrieved(
        &self,
        request: Request<v1::ConfirmRetrievedRequest>,
    ) -> Result<Response<v1::ConfirmRetrievedResponse>, Status> {
        self.0.cluster.confirm_calls.fetch_add(1, Ordering::SeqCst);
        self.0
            .cluster
            .confirmed
            .lock()
            .expect("no panic")
            .extend(request.into_inner().ids);
        Ok(Response::new(v1::ConfirmRetrievedResponse {}))
    }
}

#[tonic::async_trait]
impl ClusterService for Service {
    async fn get_routing_table(
        &self,
        _: Request<v1::GetRoutingTableRequest>,
    ) -> Result<Response<v1::GetRoutingTableResponse>, Status> {
        let table = self.0.cluster.table.borrow().clone();
        Ok(Response::new(v1::GetRoutingTableResponse {
            table: Some(table),
        }))
    }

    type WatchRoutingTableStream = Pushed<v1::WatchRoutingTableResponse>;

    async fn watch_routing_table(
        &self,
        _: Request<v1::WatchRoutingTableRequest>,
    ) -> Result<Response<Self::WatchRoutingTableStream>, Status> {
        let tables = WatchStream::new(self.0.cluster.table.subscribe());
        let pushed = tables.map(|table| Ok(v1::WatchRoutingTableResponse { table: Some(table) }));
        Ok(Response::new(Box::pin(pushed)))
    }

    async fn list_members(
        &self,
        _: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn drain_member(
        &self,
        request: Request<v1::DrainMemberRequest>,
    ) -> Result<Response<v1::DrainMemberResponse>, Status> {
        let wait = request.into_inner().wait;
        let wait = wait.map(|it| Duration::try_from(it).expect("not negative"));
        self.0.drain_waits.lock().expect("no panic").push(wait);
        match self.0.on_drain.lock().expect("no panic").pop_front() {
            Some(error) => Err(error.into_status()),
            None => Ok(Response::new(v1::DrainMemberResponse::default())),
        }
    }

    async fn forget_member(
        &self,
        _: Request<v1::ForgetMemberRequest>,
    ) -> Result<Response<v1::ForgetMemberResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_executors(
        &self,
        _: Request<v1::ListExecutorsRequest>,
    ) -> Result<Response<v1::ListExecutorsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn get_executor(
        &self,
        _: Request<v1::GetExecutorRequest>,
    ) -> Result<Response<v1::GetExecutorResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn create_executor(
        &self,
        _: Request<v1::CreateExecutorRequest>,
    ) -> Result<Response<v1::CreateExecutorResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_partitions(
        &self,
        _: Request<v1::ListPartitionsRequest>,
    ) -> Result<Response<v1::ListPartitionsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}
