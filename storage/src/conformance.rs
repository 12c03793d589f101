//! What every backend must do. Backends run these from their tests; each function panics at the first deviation.

mod log;
mod metadata;

pub use log::{LogBackend, check_log, entry, partition, replica, state};
pub use metadata::{MetadataBackend, check_metadata};
