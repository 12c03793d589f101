//! The HTTP pages.

use ringhold_node::{Member, MemberBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{eventually, held_addresses};

/// The status and the text of a page; nothing while nobody listens.
pub(super) async fn page(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let text = answer.split_once("\r\n\r\n")?.1.to_owned();
    Some((status, text))
}

fn member(number: usize, peers: &[String], http: &str) -> MemberBuilder {
    Member::builder()
        .name(format!("m{number}"))
        .cluster("test")
        .join(peers.to_vec())
        .peer_address(&peers[number - 1])
        .http_address(http)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_waits_to_join_says_on_its_pages_whom_it_asked_and_is_ready_once_it_has_joined()
 {
    let held = held_addresses(4);
    let addresses: Vec<String> = held.iter().map(|it| it.address().to_string()).collect();
    let (peers, http) = addresses.split_at(2);
    let first = tokio::spawn(member(1, peers, &http[0]).start());
    eventually("it says what it waits for", || async {
        let Some((status, text)) = page(&http[0], "/readyz").await else {
            return false;
        };
        status == 503 && text.contains(&peers[1])
    })
    .await;
    let (status, _) = page(&http[0], "/healthz").await.expect("answers");
    assert_eq!(status, 200, "it is alive though it waits");
    let (_, metrics) = page(&http[0], "/metrics").await.expect("answers");
    assert!(metrics.contains("ringhold_ready 0"), "{metrics}");
    assert!(!first.is_finished(), "it still waits");

    let second = member(2, peers, &http[1]).start().await.expect("joins");
    let first = first.await.expect("no panic").expect("joins");
    for address in http {
        eventually("both are ready", || async {
            page(address, "/readyz").await == Some((200, "ready\n".to_owned()))
        })
        .await;
    }
    futures_util::future::join(first.shutdown(), second.shutdown()).await;
}
