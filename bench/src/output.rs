//! What the bench prints, and how it is interrupted.

use std::future::Future;
use std::io::Write;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Format;

/// Prints figures: one JSON document, or a line for each.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print(format: Format, report: &impl Serialize) -> anyhow::Result<()> {
    let document = serde_json::to_value(report).context("a report has a JSON form")?;
    let text = match format {
        Format::Json => format!("{document}\n"),
        Format::Table => lines(&document),
    };
    let mut output = std::io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .context("cannot write to standard output")
}

/// Says something to people.
pub(crate) fn say(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// Resolves at Ctrl-C, SIGTERM or SIGHUP. What runs is dropped then, and with it every process and directory.
///
/// # Errors
/// When the operating system gives no signal handler.
pub(crate) fn interrupted() -> anyhow::Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

/// A document as one line for each value, with the path to it.
fn lines(document: &Value) -> String {
    let mut found = Vec::new();
    collect(String::new(), document, &mut found);
    let width = found.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
    found
        .into_iter()
        .map(|(path, value)| format!("{path:width$}  {value}\n"))
        .collect()
}

fn collect(path: String, value: &Value, found: &mut Vec<(String, String)>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(below(name), value, found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (place, value) in items.iter().enumerate() {
                collect(below(&place.to_string()), value, found);
            }
        }
        Value::String(text) => found.push((path, text.clone())),
        other => found.push((path, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_get_a_line_for_each_figure() {
        let document =
            json!({ "latency_us": { "p50": 7 }, "members": [{ "rss_bytes": 1 }], "loop": "open" });
        let text = lines(&document);
        for line in [
            "latency_us.p50       7\n",
            "members.0.rss_bytes  1\n",
            "loop                 open\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
