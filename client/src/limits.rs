//! Bounds and spans of the SDK, each with its reason. Most can be changed at the [`crate::ClientBuilder`].

use std::time::Duration;

/// How long a submit is retried before the caller is told. Well under the shortest sensible dedup window (10 min by
/// default, PROTOCOL §4), so that a retry always finds what an earlier try stored.
pub const SUBMIT_DEADLINE: Duration = Duration::from_secs(30);
/// Submits that one client has under way at once; further ones wait their turn.
pub const SUBMITS_IN_FLIGHT: usize = 1024;
/// Longest answer time of one try. A member that is frozen, not dead, keeps its connections: without this bound a
/// submit to it would wait for the deadline instead of finding the next primary.
pub const TRY_TIMEOUT: Duration = Duration::from_secs(3);
/// Time that a repeated try gets at least, or a quarter of the whole span if that is less. A try sent just before the
/// deadline has no time for its answer, and would turn a clear refusal into "it may be stored".
pub const LAST_TRY: Duration = Duration::from_millis(250);
/// Longest wait that one retrieval asks a member for; then it asks again. Longer waits save calls, shorter ones notice
/// sooner that a connection leads nowhere.
pub const RETRIEVE_WAIT: Duration = Duration::from_secs(20);
/// Time that a retrieval waits for its answer beyond the wait that it asked for.
pub const RETRIEVE_MARGIN: Duration = Duration::from_secs(3);
/// How long a retrieval without a deadline goes on asking while no member gives any answer.
pub const UNREACHABLE_LIMIT: Duration = Duration::from_secs(120);
/// How long one connection attempt may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection with calls on it is probed for life.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// How long the answer to such a probe may take.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// First pause between two tries; it doubles with each, up to [`BACKOFF_MAX`].
pub const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// Longest pause between two tries: about a failover, so that the first try after it is not late.
pub const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// Longest pause taken from a member's retry-after.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// Submits that may be queued for one member's stream; each has a permit of the client as well.
pub const STREAM_QUEUE: usize = 256;
/// Bytes of tasks that one client has under way at once: bounds memory where tasks are large.
pub const SUBMIT_BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;
/// Confirmations that wait to be sent; one that finds no room is left out, since the member counts an outcome as
/// retrieved by itself a minute after it was served (PROTOCOL §4).
pub const CONFIRMATION_QUEUE: usize = 16_384;
/// Most confirmations of one message.
pub const CONFIRMATIONS_PER_MESSAGE: usize = 512;
/// Keys drawn before one is taken as it is: with half of the members dead, 64 draws miss with probability 2^-64.
pub const KEY_DRAWS_MAX: usize = 64;
/// Tasks under way of one [`crate::Executor::submit_all`].
pub const SUBMIT_ALL_IN_FLIGHT: usize = 256;
/// Time between two tries to reach a member for its view of the routing table.
pub const ROUTING_RETRY: Duration = Duration::from_millis(200);
/// Full partitions that a submit tries before it fails, if it may live anywhere and does not want to wait.
pub const FULL_PARTITIONS_MAX: u32 = 8;
/// How long building a client waits for a first member to answer.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long requests other than submit and retrieve are tried.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(15);
/// How long a batch of confirmations is tried: it is a courtesy, so not for long.
pub const CONFIRMATION_DEADLINE: Duration = Duration::from_secs(5);
/// Members whose routing table is followed at once. Two, so that one that freezes does not freeze the client's view.
pub const ROUTING_SOURCES: usize = 2;
/// Longest that a drain is worked on after its time.
pub(crate) const DRAIN_END_MAX: Duration =
    Duration::from_millis(ringhold_types::limits::DRAIN_END_MAX.0);
