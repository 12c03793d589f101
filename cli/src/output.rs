//! What the program prints: data to standard output, as a table for people or JSON for programs.

use std::io::Write;

use ringhold_client::ErrorCode;
use serde::Serialize;

use crate::arguments::{Arguments, Command, Format};
use crate::failure::Failure;

/// A table without borders.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// A table with these headings; several things, one a line.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table
            .load_style(comfy_table::presets::NOTHING)
            .set_header(headings.to_vec());
        Self(table)
    }

    /// A table of names and values; one thing.
    pub(crate) fn of_pairs<V: Into<String>>(
        pairs: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        for (name, value) in pairs {
            table.add_row(vec![name.to_owned(), value.into()]);
        }
        Self(table)
    }

    /// Adds a line.
    pub(crate) fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.0
            .add_row(cells.into_iter().map(Into::into).collect::<Vec<String>>());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in self.0.lines() {
            writeln!(formatter, "{}", line.trim())?;
        }
        Ok(())
    }
}

/// Prints one thing: as JSON, or the table.
///
/// # Errors
/// [`Failure`] when standard output cannot be written.
pub(crate) fn print(format: Format, json: &impl Serialize, table: &Table) -> Result<(), Failure> {
    match format {
        Format::Json => {
            let mut line = serde_json::to_vec(json)
                .map_err(|error| Failure::of(ErrorCode::Internal, &error))?;
            line.push(b'\n');
            write(&line)
        }
        Format::Table => write(table.to_string().as_bytes()),
    }
}

/// Writes bytes to standard output.
///
/// # Errors
/// [`Failure`] when it cannot be written; one that nobody reads ends the program quietly.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    let written = output.write_all(bytes).and_then(|()| output.flush());
    written.map_err(|error| Failure::io("write to standard output", &error))
}

/// Says something to people, on standard error.
pub(crate) fn say(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// Starts the log on standard error: of a member what an operator wants to see, of others warnings; `RUST_LOG` says
/// otherwise. Members of `dev` start and stop together, so what they say of each other then is no news.
pub(crate) fn start_log(arguments: &Arguments) {
    let usual = match arguments.command {
        Command::Server(_) => "info,openraft=error,h2=warn,hyper=warn",
        Command::Dev(_) => "warn,openraft=off,ringhold_node::peer=error",
        _ => "warn",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(usual));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second start in one process, as in tests, keeps the first log.
    let _ = log.try_init();
}
