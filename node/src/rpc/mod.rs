//! The gRPC face: answers what this member leads, forwards the rest to the primary. One file per operation.

mod api;
mod budget;
mod cluster;
mod creation;
mod executor;
mod forward;
mod materialise;
mod operation;
mod servers;

pub use api::{Api, ApiOptions};
pub use cluster::ClusterServiceImpl;
pub use creation::ExecutorTemplates;
pub use executor::ExecutorServiceImpl;
pub(crate) use servers::{Servers, ServersOptions, Serving, serve_pages, serve_peers};

use ringhold_proto::ApiError;
use ringhold_types::ErrorCode;

/// An error without a time to retry after and without metadata.
pub(crate) fn api_error(code: ErrorCode, message: impl Into<String>) -> ApiError {
    ApiError::new(code, message)
}
