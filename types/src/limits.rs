//! Every hard upper bound of the system, each with its reason. Soft defaults live in [`crate::ExecutorConfig`].

use crate::{GrowthFactor, Millis};

/// Most partitions of one executor: the control plane keeps a record for each in memory on every member.
pub const PARTITION_COUNT_MAX: u32 = 65_536;
/// Most bytes of an affinity, idempotency or request key: keys are kept in memory for the dedup window.
pub const KEY_BYTES_MAX: usize = 512;
/// Most bytes of an executor's name: it is part of every printed task id.
pub const EXECUTOR_NAME_BYTES_MAX: usize = 128;
/// Most bytes of a task (payload, arguments, environment, labels): one message of 4 MiB must carry it with room to spare.
pub const TASK_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most bytes of a result kept in a ring, for the same reason.
pub const RESULT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most bytes of a checkpoint (issue 3): it is logged again with each checkpoint.
pub const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of one gRPC message; the usual default of gRPC libraries, so that no client has to be configured.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest answer of a member, in bytes: an entry with its task and its outcome, or a page of them, with room to spare.
/// Whoever asks, a client or a forwarding member, has to take as much.
pub const ANSWER_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// Most labels of a task, and most bytes of one label's name plus value.
pub const LABELS_MAX: usize = 32;
/// Most bytes of one label's name plus value.
pub const LABEL_BYTES_MAX: usize = 1024;
/// Most attempts whose history is kept with a task.
pub const ATTEMPT_HISTORY_MAX: usize = 16;
/// Most backups of a partition, as in the peer (copies = backups + 1).
pub const DURABILITY_MAX: u32 = 6;
/// Most bytes of live entries in one partition, whatever `capacity` says.
pub const PARTITION_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// What an entry costs a member beside its bytes of variable length, in bytes: its record, its places in the indices of ring
/// and log, and room for an outcome of a few hundred bytes. So the bound of a member's rings holds many small tasks, too.
pub const ENTRY_BYTES: u64 = 1024;
/// Bytes of the rings that a member holds, all partitions together, if neither its configuration nor the machine says how many.
pub const RING_BYTES_DEFAULT: u64 = 1024 * 1024 * 1024;
/// Least bound of the bytes of a member's rings: below it not one task of the largest size would be sure of its place.
pub const RING_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Part of that bound (a sixteenth) that a backup keeps free when it says that it is full: what is under way to it by the time
/// its primaries hear of it, a heartbeat later, finds room there.
pub const RING_BYTES_SPARE_PART: u64 = 16;
/// Most entries one prepare message carries: larger ones add latency, hardly throughput (dependencies.md §4).
pub const PREPARE_ENTRIES_MAX: usize = 256;
/// Most payload bytes one prepare message carries (a single larger entry still travels, alone).
pub const PREPARE_BYTES_MAX: usize = 1024 * 1024;
/// Log entries a replica keeps in memory behind the applied position, so that a returning replica gets the difference only.
/// Few, since every replica of a member keeps as many (180 of them for one executor on three members) whether it has live
/// tasks or not (DESIGN G8); a replica that is further behind gets a snapshot, which is as large as what lives.
pub const LOG_TAIL_ENTRIES_MAX: usize = 128;
/// Bytes of such entries.
pub const LOG_TAIL_BYTES_MAX: usize = 128 * 1024;
/// Entries that may be appended and not yet committed in one partition; admission waits beyond it.
pub const UNCOMMITTED_ENTRIES_MAX: usize = 8192;
/// Entries a learner buffers while its snapshot is on the way; on overflow catch-up starts over.
pub const LEARNER_BUFFER_ENTRIES_MAX: usize = 16_384;
/// Bytes of such buffered entries.
pub const LEARNER_BUFFER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Parked retrievals per member: each costs about 200 bytes.
pub const WAITERS_PER_MEMBER_MAX: usize = 200_000;
/// Parked retrievals per connection: half of the above, so that one client cannot take them all.
pub const WAITERS_PER_CONNECTION_MAX: usize = 100_000;
/// Most items of a list page.
pub const LIST_PAGE_MAX: usize = 1000;

/// How often members tell the voters that they are alive, and how soon a lease that was not granted is asked for again.
pub const HEARTBEAT: Millis = Millis(100);
/// How often leases that everybody grants are renewed: a third of a lease, so that two more rounds fit into what is left. Half
/// as often as heartbeats, because at rest these rounds are most of what a member that holds partitions costs.
pub const LEASE_RENEWAL: Millis = Millis(200);
/// How long a lease is valid, counted from the time its request was sent (PROTOCOL I14).
pub const LEASE: Millis = Millis(600);
/// How long a grantor waits beyond the lease for clocks that run at different rates, in percent (DESIGN G13).
pub const LEASE_DRIFT_PERCENT: u64 = 10;
/// Silence after which the Raft leader declares a member down; longer than the lease with its drift margin.
pub const FAILURE_TIMEOUT: Millis = Millis(900);
/// A seat without a living replica and without a replacement is removed after this time (PROTOCOL §3).
pub const DEGRADE_AFTER: Millis = Millis(10_000);
/// How long a new primary leaves attempts of older terms to be adopted before it runs them again (PROTOCOL §3).
pub const ADOPT_WINDOW: Millis = Millis(3_000);
/// Most that ring time may advance over a takeover (PROTOCOL I16).
pub const MAX_CLOCK_STEP: Millis = Millis(3_600_000);
/// A served outcome counts as retrieved after this time without the client's confirmation (PROTOCOL §4).
pub const RETRIEVED_GRACE: Millis = Millis(60_000);
/// A disposed outcome is still answered to the same request id for this time (PROTOCOL §4).
pub const DISPOSE_GRACE: Millis = Millis(60_000);
/// Bounded count of such outcomes per partition.
pub const DISPOSE_GRACE_ENTRIES_MAX: usize = 1024;
/// How long a planned hand-over may hold submits (PROTOCOL §3).
pub const HAND_OVER_HOLD: Millis = Millis(500);
/// How long an attempt may take to end when it is told to so that its task can run elsewhere: half of it until a program is
/// killed (PROTOCOL §3).
pub const HAND_BACK_GRACE: Millis = Millis(5_000);
/// Longest that handing back takes at the end of a drain's time: [`HAND_BACK_GRACE`], and for the new primaries to commit the
/// reports.
pub const HAND_BACK_MAX: Millis = Millis(HAND_BACK_GRACE.0 + 2_000);
/// How long a drained member asks, when the drain's time is over, whether it is still on: two elections.
pub const DRAIN_CONFIRM_MAX: Millis = Millis(2_000);
/// Longest that a drain is worked on after its time.
pub const DRAIN_END_MAX: Millis = Millis(DRAIN_CONFIRM_MAX.0 + HAND_BACK_MAX.0);
/// A member that the leader's process has not heard since that process started is "starting" for this long (PROTOCOL §6).
pub const RESTART_GRACE: Millis = Millis(30_000);
/// A dead voter is replaced after this time (PROTOCOL §6).
pub const VOTER_REPLACE_AFTER: Millis = Millis(30_000);
/// Bytes of outcomes kept for [`DISPOSE_GRACE`] per partition: room for a few of the largest results, or for all
/// [`DISPOSE_GRACE_ENTRIES_MAX`] of an ordinary size.
pub const DISPOSE_GRACE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Losses of a partition whose exact range is remembered; ids of older ones answer GONE. Each needed the death of
/// every copy.
pub const LOST_RANGES_MAX: usize = 1024;
/// Bytes of content after which a part of a ring's snapshot is full (a single larger entry travels alone): parts of
/// this size keep a catching-up learner from delaying prepares on the same stream.
pub const RING_PART_BYTES_MAX: usize = 512 * 1024;

/// Most bytes of a task's opaque metadata: it is kept and shown with the task, not worked on.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of a handler's version: a tag or a hash.
pub const HANDLER_VERSION_BYTES_MAX: usize = 128;
/// Highest priority, and the lowest with a minus: room to say more and less without a head start that lasts for days.
pub const PRIORITY_MAX: i16 = 1000;
/// Starts of other tasks that one unit of priority goes ahead of: about a default pool of them.
pub const PRIORITY_STARTS: u64 = 16;
/// Attempts of a task that nobody gave a policy: a second that meets the same hiccup, and a third after it.
pub const RETRY_ATTEMPTS: u32 = 3;
/// Most attempts of any policy: at the default cap they fill 17 hours.
pub const RETRY_ATTEMPTS_MAX: u32 = 1000;
/// Longest wait of a task that nobody gave a policy.
pub const RETRY_CAP: Millis = Millis(60_000);
/// Longest wait of any policy, or wish of a hook; what is to run later than that is another task.
pub const RETRY_DELAY_MAX: Millis = Millis(24 * 3_600_000);
/// Largest growth from one wait to the next: more is above the cap at once.
pub const RETRY_FACTOR_MAX: GrowthFactor = GrowthFactor(100_000);
/// Most kinds of failure that a policy names: twice those that there are.
pub const RETRY_KINDS_MAX: usize = 32;
/// The exit code that asks for another attempt: EX_TEMPFAIL of sysexits.h.
pub const EXIT_CODE_RETRY: i32 = 75;
/// Most exit codes of one list of a policy; every task that has a policy of its own carries them.
pub const EXIT_CODES_MAX: usize = 32;
/// Most replacements in one line of tasks: a task that replaces itself for ever is a loop, and this ends it.
pub const LINEAGE_DEPTH_MAX: u8 = 8;
/// Most bytes of a worker's name: it stands with each of its attempts.
pub const WORKER_NAME_BYTES_MAX: usize = 128;
/// Most bytes of error text kept of an attempt that was not the last: sixteen of them stand with a task.
pub const ATTEMPT_TEXT_BYTES_MAX: usize = 1024;
/// Most bytes of output kept of an attempt that was not the last, its end.
pub const ATTEMPT_TAIL_BYTES_MAX: usize = 2 * 1024;
/// How long the descendants of a program may take to go once they are killed: what hangs in the system longer is reported as
/// unreaped, and its slot is free.
pub const REAP_MAX: Millis = Millis(5_000);
/// How long a dead letter is kept where nobody says otherwise: over a weekend and the week after.
pub const DEAD_LETTER_TTL: Millis = Millis(7 * 24 * 3_600_000);
/// Bytes of log kept per attempt where nobody says otherwise: some hundred lines.
pub const TASK_LOG_BYTES: u64 = 16 * 1024;
/// Most bytes of log kept per attempt: it is replicated like the task itself.
pub const TASK_LOG_BYTES_MAX: u64 = 256 * 1024;
/// How long a worker keeps an attempt without a heartbeat where nobody says otherwise: three heartbeats, and a failover of the
/// member between them.
pub const WORKER_LEASE: Millis = Millis(10_000);
/// Shortest such lease: below it a pause of the worker's or a failover of the member's takes its attempts away.
pub const WORKER_LEASE_MIN: Millis = Millis(1_000);
/// Longest such lease: so long a dead worker's attempts stand still.
pub const WORKER_LEASE_MAX: Millis = Millis(600_000);
/// Longest reason for a pause or a shutdown, in bytes: a sentence or two, kept by every member.
pub const STATE_REASON_BYTES_MAX: usize = 512;
