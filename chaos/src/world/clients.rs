//! Clients: each does one thing at a time, asks again elsewhere when it hears nothing, and notes what it saw.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ringhold_history::{Action, Event as Seen, Kind, NOT_FROM_A_RUN, Sighting};
use ringhold_replica::{Asked, Event, Reply, Request, RequestToken, Submission};
use ringhold_types::{
    ErrorCode, FailureKind, Generation, IdempotencyKey, MemberId, Millis, OnInterrupt, Outcome,
    PartitionKey, RequestId, Sequence, TaskCall, TaskSpec, Tick, UnixMillis, WhenFull,
};

use super::World;
use super::queue::Happening;
use crate::coverage::Mark;
use crate::plan::MILLISECOND;

/// How long a member may take for an answer, by its own clock.
const DEADLINE: Millis = Millis(1_500);
/// How long a client waits for the answer to one try, in microseconds.
const PATIENCE: u64 = 1_200 * MILLISECOND;
/// How long a client keeps trying one operation during the storm, in microseconds.
const PERSISTENCE: u64 = 8_000 * MILLISECOND;

/// A question on its way to a member.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) token: RequestToken,
    pub(crate) client: usize,
    pub(crate) partition: PartitionKey,
    pub(crate) request: Request,
}

/// What is known of an open question.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) partition: PartitionKey,
    pub(crate) request: Request,
    /// Whether the task was stored when it was asked.
    pub(crate) was_stored: bool,
    /// The generation in which it had ended when it was asked, if it had.
    pub(crate) had_ended: Option<Generation>,
}

/// One operation of a client.
#[derive(Clone, Debug)]
struct Doing {
    operation: u64,
    partition: PartitionKey,
    request: Request,
    /// The try on its way.
    token: Option<RequestToken>,
    target: MemberId,
    give_up_at: u64,
    /// Whether it repeats a destructive read that was answered.
    repeats: bool,
}

/// A client.
pub(crate) struct Client {
    doing: Option<Doing>,
    operations: usize,
    /// Its submits that were given up: it may try them again.
    unsure: Vec<(PartitionKey, Request)>,
    /// Destructive reads, to be repeated.
    taken: Vec<(PartitionKey, Request)>,
    /// Whom it believes to lead.
    hints: BTreeMap<PartitionKey, MemberId>,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self {
            doing: None,
            operations: 0,
            unsure: Vec::new(),
            taken: Vec::new(),
            hints: BTreeMap::new(),
        }
    }

    /// Whether it waits for nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.doing.is_none()
    }
}

impl World {
    /// A client begins an operation, or asks again.
    pub(crate) fn client_acts(&mut self, client: usize) {
        if self.clients[client].doing.is_none() {
            if self.healed || self.clients[client].operations >= self.plan.work.operations {
                return;
            }
            self.begin_operation(client);
        }
        self.ask(client);
    }

    fn begin_operation(&mut self, client: usize) {
        let (partition, request, repeats) = self.choose(client);
        let operation = self.next_operation();
        self.clients[client].operations += 1;
        let target = self.any_member();
        let target = self.clients[client]
            .hints
            .get(&partition)
            .copied()
            .unwrap_or(target);
        self.note(
            client,
            operation,
            Kind::Invoke(action_of(partition, &request)),
        );
        self.clients[client].doing = Some(Doing {
            operation,
            partition,
            request,
            token: None,
            target,
            give_up_at: self.now + PERSISTENCE,
            repeats,
        });
    }

    fn next_operation(&mut self) -> u64 {
        self.next_execution += 1;
        self.next_execution
    }

    fn any_member(&mut self) -> MemberId {
        let random = &mut self.random.clients;
        let present: Vec<MemberId> = self
            .hosts
            .iter()
            .filter(|it| !it.is_gone && !it.stays_dead)
            .map(|it| it.member)
            .collect();
        random.pick(&present).copied().unwrap_or_default()
    }

    /// What a client does next, and whether it repeats a destructive read.
    fn choose(&mut self, client: usize) -> (PartitionKey, Request, bool) {
        let random = &mut self.random.clients;
        let known = self.oracle.acknowledged.len();
        let dice = random.below(100);
        if known == 0 || dice < 45 {
            let repeat = random.chance(500_000);
            if repeat && let Some(unsure) = self.clients[client].unsure.pop() {
                return (unsure.0, unsure.1, false);
            }
            let (partition, request) = self.new_submit(client);
            return (partition, request, false);
        }
        if dice < 50
            && let Some(again) = self.clients[client].taken.pop()
        {
            return (again.0, again.1, true);
        }
        // Mostly young ids: that is where things still change.
        let age = random.skewed(0, known as u64 - 1) as usize;
        let id = &self.oracle.acknowledged[known - 1 - age];
        let (partition, sequence) = (id.partition, id.sequence);
        let request = match dice {
            50..=74 => Request::Retrieve {
                sequence,
                dispose: None,
                wait: true,
                keep: false,
            },
            75..=79 => Request::Retrieve {
                sequence,
                dispose: None,
                wait: false,
                keep: false,
            },
            80..=84 => Request::Get { sequence },
            85..=88 => Request::Dispose { sequence },
            89..=91 => Request::Cancel { sequence },
            92..=95 => Request::ConfirmRetrieved {
                sequences: vec![sequence],
            },
            _ => {
                self.next_token += 1;
                let name = format!("r{}", self.next_token);
                let dispose = RequestId::new(name.into_bytes()).ok();
                Request::Retrieve {
                    sequence,
                    dispose,
                    wait: true,
                    keep: false,
                }
            }
        };
        (partition, request, false)
    }

    fn new_submit(&mut self, client: usize) -> (PartitionKey, Request) {
        self.next_token += 1;
        let plan = &self.plan.work;
        let random = &mut self.random.clients;
        let name = format!("k{}-{client}", self.next_token);
        let partition = *random
            .pick(&self.partitions)
            .unwrap_or(&PartitionKey::default());
        let once = random.chance(plan.once);
        let call = TaskCall::Handler {
            name: "work".to_owned(),
            version: None,
            payload: Bytes::from(name.clone().into_bytes()),
            content_type: String::new(),
        };
        let key = IdempotencyKey::new(name.into_bytes()).expect("a short key");
        let mut task = TaskSpec::new(call, key);
        if once {
            task.on_interrupt = OnInterrupt::Fail;
        }
        let delayed = random.chance(plan.delayed);
        let submission = Submission {
            task: Arc::new(task),
            delay: delayed.then(|| Millis(random.below(2_000))),
            now: UnixMillis(self.now / MILLISECOND),
        };
        (partition, Request::Submit(submission))
    }

    /// Sends the operation's question to the member that the client thinks right.
    fn ask(&mut self, client: usize) {
        self.next_token += 1;
        let token = RequestToken(self.next_token);
        let Some(doing) = self.clients[client].doing.as_mut() else {
            return;
        };
        doing.token = Some(token);
        let question = Question {
            token,
            client,
            partition: doing.partition,
            request: doing.request.clone(),
        };
        let to = doing.target;
        let sequence = sequence_of(&doing.request);
        let stored = sequence.and_then(|it| self.oracle.accepted(doing.partition, it));
        let had_ended = sequence.and_then(|it| self.oracle.ended_in(doing.partition, it));
        let open = Open {
            partition: doing.partition,
            request: doing.request.clone(),
            was_stored: stored.is_some(),
            had_ended,
        };
        self.open.insert(token, open);
        if let Some(delay) = self.delay() {
            let question = Box::new(question);
            self.queue
                .push(self.now + delay, Happening::Question { to, question });
        }
        self.queue
            .push(self.now + PATIENCE, Happening::Impatience { client, token });
    }

    /// Asks a member about the newest acknowledged task, for nobody who would wait for the answer.
    pub(crate) fn ask_about_newest(&mut self, slot: usize) {
        let Some(newest) = self.oracle.acknowledged.last() else {
            return;
        };
        let (partition, sequence) = (newest.partition, newest.sequence);
        self.next_token += 1;
        let token = RequestToken(self.next_token);
        let request = Request::Get { sequence };
        let open = Open {
            partition,
            request: request.clone(),
            was_stored: true,
            had_ended: self.oracle.ended_in(partition, sequence),
        };
        self.open.insert(token, open);
        let question = Question {
            token,
            client: usize::MAX,
            partition,
            request,
        };
        let member = self.hosts[slot].member;
        self.question_arrived(member, question);
    }

    /// A question has come to a member.
    pub(crate) fn question_arrived(&mut self, to: MemberId, question: Question) {
        let Some(slot) = self.slot_of(to) else {
            return;
        };
        let Some(process) = self.hosts[slot].process.as_ref() else {
            return;
        };
        let deadline: Tick = process.clock.tick(self.now).after(DEADLINE);
        let asked = Asked {
            token: question.token,
            connection: question.client as u64,
            partition: question.partition,
            deadline,
            request: question.request,
        };
        self.put(slot, Event::Asked(Box::new(asked)));
    }

    /// A member hears that a caller went away.
    pub(crate) fn caller_is_gone(&mut self, to: MemberId, token: RequestToken) {
        if let Some(slot) = self.slot_of(to) {
            self.put(slot, Event::Gone(token));
        }
    }

    /// A member answers; the answer may be lost.
    pub(crate) fn answer(&mut self, slot: usize, token: RequestToken, reply: Reply) {
        let client = match &reply {
            _ if !self.open.contains_key(&token) => return,
            _ => self.clients.iter().position(|it| {
                it.doing
                    .as_ref()
                    .is_some_and(|doing| doing.token == Some(token))
            }),
        };
        let member = self.hosts[slot].member;
        let full = matches!(&reply, Reply::Refused(it) if it.code == ErrorCode::ExecutorFull);
        if matches!(&reply, Reply::Refused(it) if it.code == ErrorCode::DiskFull) {
            self.coverage.mark(Mark::DiskFullRefused);
        }
        if full && self.plan.when_full != WhenFull::Overwrite {
            self.coverage.mark(Mark::Full);
        }
        if let Some(client) = client
            && let Some(delay) = self.delay()
        {
            let client_state = &mut self.clients[client];
            if let Some(doing) = client_state.doing.as_ref() {
                client_state.hints.insert(doing.partition, member);
            }
            let reply = Box::new(reply);
            self.queue.push(
                self.now + delay,
                Happening::Reply {
                    client,
                    token,
                    reply,
                },
            );
        }
    }

    /// A client has heard nothing for too long.
    pub(crate) fn client_is_impatient(&mut self, client: usize, token: RequestToken) {
        let next = self.any_member();
        let now = self.now;
        let delay = self.delay();
        let Some(doing) = self.clients[client].doing.as_mut() else {
            return;
        };
        if doing.token != Some(token) {
            return;
        }
        let to = doing.target;
        if let Some(delay) = delay {
            self.queue.push(now + delay, Happening::Gone { to, token });
        }
        self.clients[client].hints.clear();
        self.try_again(client, next, 0);
    }

    /// Asks the next member, or gives up.
    fn try_again(&mut self, client: usize, next: MemberId, after: u64) {
        let now = self.now;
        let healed = self.healed;
        let Some(doing) = self.clients[client].doing.as_mut() else {
            return;
        };
        doing.token = None;
        doing.target = next;
        if now < doing.give_up_at || healed {
            self.queue
                .push(now + after.max(1), Happening::Client { client });
            return;
        }
        let done = self.clients[client].doing.take();
        if let Some(done) = done {
            self.note(client, done.operation, Kind::Unknown);
            if matches!(done.request, Request::Submit(_)) {
                self.clients[client]
                    .unsure
                    .push((done.partition, done.request));
            }
        }
        self.rest(client);
    }

    fn rest(&mut self, client: usize) {
        let pause = self
            .random
            .clients
            .skewed(MILLISECOND, self.plan.work.think.max(MILLISECOND));
        self.queue
            .push(self.now + pause, Happening::Client { client });
    }

    /// An answer has come to a client.
    pub(crate) fn reply_arrived(&mut self, client: usize, token: RequestToken, reply: Reply) {
        let waits = self.clients[client].doing.as_ref();
        if waits.is_none_or(|doing| doing.token != Some(token)) {
            return;
        }
        if let Reply::Refused(refusal) = &reply
            && (refusal.code.is_retryable() || refusal.code == ErrorCode::Indeterminate)
        {
            let any = self.any_member();
            let next = refusal.primary.unwrap_or(any);
            let wait = self.random.clients.between(5, 60) * MILLISECOND;
            self.clients[client].hints.clear();
            self.try_again(client, next, wait);
            return;
        }
        let waiting_on = matches!(reply, Reply::NotYet { .. })
            && waits
                .is_some_and(|doing| matches!(doing.request, Request::Retrieve { wait: true, .. }));
        if waiting_on {
            let next = waits.map(|doing| doing.target).unwrap_or_default();
            self.try_again(client, next, MILLISECOND);
            return;
        }
        let Some(done) = self.clients[client].doing.take() else {
            return;
        };
        self.note_reply(client, &done, &reply);
        if let Request::Retrieve {
            dispose: Some(_), ..
        } = &done.request
            && !done.repeats
        {
            self.clients[client]
                .taken
                .push((done.partition, done.request));
        }
        self.rest(client);
    }

    fn note_reply(&mut self, client: usize, done: &Doing, reply: &Reply) {
        let kind = match reply {
            Reply::Submitted {
                sequence,
                term,
                reused,
                ..
            } => Kind::Ok(Sighting::Stored {
                id: id(done.partition, *sequence),
                term: term.0,
                reused: *reused,
            }),
            Reply::Outcome { outcome, .. } => Kind::Ok(Sighting::Outcome {
                value: value_of(outcome),
            }),
            Reply::NotYet { .. } => Kind::Ok(Sighting::Pending),
            Reply::Task(view) => match view.entry.outcome() {
                Some(outcome) => Kind::Ok(Sighting::Outcome {
                    value: value_of(outcome),
                }),
                None => Kind::Ok(Sighting::Pending),
            },
            Reply::Done | Reply::Page(_) => Kind::Ok(Sighting::Done),
            Reply::Refused(refusal) => match refusal.code {
                code if code.is_absence() => {
                    if code == ErrorCode::DataLoss {
                        self.coverage.mark(Mark::DataLossAnswered);
                    }
                    Kind::Ok(Sighting::Absent { code })
                }
                code => Kind::Fail(code),
            },
        };
        if matches!(reply, Reply::Outcome { .. }) {
            self.coverage.mark(Mark::WaiterWoken);
        }
        if matches!(
            (reply, &done.request),
            (Reply::Done, Request::Cancel { .. })
        ) {
            self.coverage.mark(Mark::Cancelled);
        }
        if done.repeats && matches!(reply, Reply::Outcome { .. }) {
            self.coverage.mark(Mark::TakenTwice);
        }
        self.note(client, done.operation, kind);
    }

    /// Notes what a client did or saw.
    pub(crate) fn note(&mut self, process: usize, operation: u64, kind: Kind) {
        self.tell(|| format!("client {process} notes of {operation}: {kind:?}"));
        self.history.push(Seen {
            at: self.now * 1_000,
            process: process as u64,
            operation,
            kind,
        });
    }
}

/// The task that a request is about.
pub(crate) fn sequence_of(request: &Request) -> Option<Sequence> {
    match request {
        Request::Retrieve { sequence, .. }
        | Request::Get { sequence }
        | Request::Dispose { sequence }
        | Request::Cancel { sequence } => Some(*sequence),
        Request::ConfirmRetrieved { sequences } => sequences.first().copied(),
        Request::Submit(_) | Request::Find { .. } | Request::List { .. } => None,
    }
}

fn action_of(partition: PartitionKey, request: &Request) -> Action {
    let of = |sequence: Sequence| id(partition, sequence);
    match request {
        Request::Submit(submission) => Action::Submit {
            key: String::from_utf8_lossy(submission.task.idempotency_key.as_bytes()).into_owned(),
            payload: submission.task.identity(),
        },
        Request::Retrieve {
            sequence,
            dispose: Some(_),
            ..
        } => Action::Take { id: of(*sequence) },
        Request::Retrieve { sequence, .. } => Action::Retrieve { id: of(*sequence) },
        Request::Get { sequence } => Action::Get { id: of(*sequence) },
        Request::Dispose { sequence } => Action::Dispose { id: of(*sequence) },
        Request::Cancel { sequence } => Action::Cancel { id: of(*sequence) },
        Request::ConfirmRetrieved { .. } | Request::Find { .. } | Request::List { .. } => {
            Action::Other
        }
    }
}

/// The name of a task in a history.
pub(crate) fn id(partition: PartitionKey, sequence: Sequence) -> String {
    format!("{partition}/{sequence}")
}

/// A number that stands for an outcome: equal outcomes have equal ones. A result's payload is the number of its run.
pub(crate) fn value_of(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Succeeded(result) => {
            let mut bytes = [0; 8];
            let length = result.payload.len().min(8);
            bytes[..length].copy_from_slice(&result.payload[..length]);
            u64::from_le_bytes(bytes)
        }
        Outcome::Failed(failure) => {
            let own = NOT_FROM_A_RUN + number_of(failure.kind);
            failure.message.parse().unwrap_or(own)
        }
        Outcome::Cancelled => NOT_FROM_A_RUN + 100,
        Outcome::Replaced(_) => NOT_FROM_A_RUN + 101,
        Outcome::DeadLettered(_) => NOT_FROM_A_RUN + 102,
    }
}

/// The place of a kind of failure among those known; one after the last for any other.
fn number_of(kind: FailureKind) -> u64 {
    let place = FailureKind::ALL.iter().position(|known| *known == kind);
    place.unwrap_or(FailureKind::ALL.len()) as u64
}
