//! Stores that the own log is compared with: one table, a task by partition and number, its outcome in its place.

pub(super) mod fjall;
pub(super) mod redb;
pub(super) mod sled;
