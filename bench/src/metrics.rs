//! What a member says of itself on its metrics page.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// How long a page may take: it is made from what is counted already.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes that the log of a member has appended since its start. `ready`: the file by which it said where its pages are.
pub(crate) fn log_bytes(ready: &Path) -> Option<u64> {
    let ready: serde_json::Value = serde_json::from_slice(&std::fs::read(ready).ok()?).ok()?;
    counted(
        &page(ready["http"].as_str()?).ok()?,
        "ringhold_log_bytes_total",
    )
}

fn page(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn counted(page: &str, name: &str) -> Option<u64> {
    let mut lines = page.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_the_line_of_its_whole_name() {
        let page = "# HELP bytes Bytes\n# TYPE bytes counter\nbytes_more 7\nbytes 4096\n";
        assert_eq!(counted(page, "bytes"), Some(4096));
        assert_eq!(counted(page, "byte"), None);
    }
}
