//! Finding the cluster: `--server`, else `RINGHOLD__SERVER`, else 127.0.0.1:7400.

use std::time::Duration;

use ringhold_client::{Client, ClientBuilder};

use crate::arguments::Server;
use crate::failure::Failure;

/// How long a command waits for a first member to answer: a person waits too.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// A client of the cluster that the arguments name.
///
/// # Errors
/// [`Failure`] that names the addresses when no member answers.
pub(crate) async fn connect(server: &Server) -> Result<Client, Failure> {
    Ok(builder(server).build().await?)
}

/// The same, with more to be said.
pub(crate) fn builder(server: &Server) -> ClientBuilder {
    Client::builder()
        .endpoints(server.server.iter().cloned())
        .connect_deadline(CONNECT_DEADLINE)
}
