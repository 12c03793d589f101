//! Three members inside one program, configured in code, with a handler of its own.
//!
//! ```console
//! $ cargo run -p ringhold-node --example embedded
//! ```

use std::error::Error;
use std::net::TcpListener;
use std::time::Duration;

use ringhold_node::{AttemptContext, ExecutorConfig, HandlerError, Member, TypedHandler};
use ringhold_proto::v1::executor_service_client::ExecutorServiceClient;
use ringhold_proto::v1::{self, outcome};
use serde::{Deserialize, Serialize};

/// What a task carries.
#[derive(Serialize, Deserialize)]
struct Page {
    title: String,
}

/// A handler: renders a page.
struct Render;

impl TypedHandler for Render {
    const NAME: &'static str = "render";
    type Input = Page;
    type Output = String;

    async fn run(&self, context: AttemptContext, page: Page) -> Result<String, HandlerError> {
        let token = context.token();
        Ok(format!(
            "<h1>{}</h1><!-- attempt {} -->",
            page.title, token.attempt
        ))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let peers = free_addresses(3)?;
    let mut starting = Vec::new();
    for (number, address) in (1..).zip(&peers) {
        let builder = Member::builder()
            .name(format!("m{number}"))
            .cluster("c")
            .join(peers.clone())
            .peer_address(address)
            .data_dir(data.path().join(format!("m{number}")))
            .executor(
                ExecutorConfig::new("pages")
                    .pool_size(8)
                    .durability(1)
                    .capacity(1000),
            )
            .handler(Render);
        starting.push(tokio::spawn(builder.start()));
    }
    let mut members = Vec::new();
    for start in starting {
        members.push(start.await??);
    }
    let result = render_through(&members[2]).await?;
    println!("{result}");
    for member in members {
        member.shutdown().await;
    }
    if result.starts_with("<h1>durable</h1>") {
        Ok(())
    } else {
        Err(result.into())
    }
}

/// Submits a page through any member, and waits for it.
async fn render_through(member: &Member) -> Result<String, Box<dyn Error>> {
    let address = format!("http://{}", member.client_address());
    let mut client = ExecutorServiceClient::connect(address).await?;
    let payload = serde_json::to_vec(&Page {
        title: "durable".to_owned(),
    })?;
    let call = v1::task::Call::Handler(v1::HandlerCall {
        name: Render::NAME.to_owned(),
        payload: payload.into(),
        content_type: "application/json".to_owned(),
        version: None,
    });
    let request = v1::SubmitRequest {
        executor: "pages".to_owned(),
        task: Some(v1::Task {
            call: Some(call),
            ..v1::Task::default()
        }),
        wait: Some(ringhold_proto::WireDuration {
            seconds: 10,
            nanos: 0,
        }),
        ..v1::SubmitRequest::default()
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), client.submit(request)).await??;
    match answer
        .into_inner()
        .outcome
        .and_then(|outcome| outcome.outcome)
    {
        Some(outcome::Outcome::Succeeded(result)) => Ok(serde_json::from_slice(&result.payload)?),
        other => Err(format!("no result: {other:?}").into()),
    }
}

/// Addresses that were free a moment ago: every member must know the others' before any has started.
fn free_addresses(count: usize) -> std::io::Result<Vec<String>> {
    let held: Result<Vec<TcpListener>, _> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect();
    held?
        .iter()
        .map(|listener| Ok(listener.local_addr()?.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn three_embedded_members_run_a_handler_of_their_own() {
        super::main().expect("the page is rendered");
    }
}
