//! Upper bounds of the cluster state, each with its reason.

/// Most members that are not forgotten: every member keeps a stream to every other one.
pub const MEMBERS_MAX: usize = 256;
/// Most forgotten members remembered by id. An older one is refused anyway, since it presents a nonce that nobody knows.
pub const FORGOTTEN_MEMBERS_MAX: usize = 1024;
/// Most partitions of all executors together: each member keeps a record of about 200 bytes for each in memory.
pub const PARTITIONS_MAX: usize = 1_000_000;
/// Most partition losses remembered, newest kept: enough to list every partition of several executors.
pub const LOSSES_MAX: usize = 10_000;
/// Most names of deleted executors remembered; the generations of older ones are folded into one floor for all names.
pub const TOMBSTONES_MAX: usize = 4096;
/// Most partitions that catch up anywhere while rebalancing starts further moves: copies compete with tasks for disk and
/// network. Repair is not held back by it.
pub const MOVES_IN_FLIGHT_MAX: usize = 32;
