//! `ringhold config`: checks and shows configurations.

use std::path::PathBuf;

use ringhold_config::{Config, ConfigErrors, Loaded};
use ringhold_types::ErrorCode;
use serde_json::json;

use crate::arguments::{ConfigCommand, Format};
use crate::failure::{Exit, Failure};
use crate::output;

pub(super) fn run(command: ConfigCommand, format: Format) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check { files } => check(&files, format),
        ConfigCommand::Show { files } => show(&files, format),
    }
}

/// Reads files, and the environment over them.
pub(super) fn load(files: &[PathBuf]) -> Result<Loaded, Failure> {
    read(files).map_err(|errors| failure(&errors))
}

fn read(files: &[PathBuf]) -> Result<Loaded, ConfigErrors> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Config::load(files, environment)
}

fn failure(errors: &ConfigErrors) -> Failure {
    let count = errors.0.len();
    let what = format!(
        "the configuration has {count} mistake{}",
        if count == 1 { "" } else { "s" }
    );
    let failure = Failure::new(ErrorCode::InvalidConfiguration, what);
    errors
        .0
        .iter()
        .fold(failure, |failure, error| failure.because(error.to_string()))
}

fn check(files: &[PathBuf], format: Format) -> Result<Exit, Failure> {
    let loaded = match read(files) {
        Ok(loaded) => loaded,
        Err(errors) => {
            let mistakes = errors.0.iter().map(ToString::to_string).collect();
            print_mistakes(mistakes, format)?;
            return Err(failure(&errors));
        }
    };
    if let Err(failure) = startable(&loaded.config) {
        print_mistakes(vec![failure.what.clone()], format)?;
        return Err(failure);
    }
    let notes: Vec<String> = loaded.notes.iter().map(ToString::to_string).collect();
    let executors: Vec<&String> = loaded.config.executors.keys().collect();
    for note in &notes {
        output::say(format_args!("note: {note}"));
    }
    let pairs = [
        ("cluster", loaded.config.cluster_name.clone()),
        (
            "executors",
            executors
                .iter()
                .map(|name| name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("mistakes", "none".to_owned()),
    ];
    let document = json!({
        "schema": "ringhold.config/1",
        "ok": true,
        "cluster": loaded.config.cluster_name,
        "executors": executors,
        "mistakes": [],
        "notes": notes,
    });
    output::print(format, &document, &output::Table::of_pairs(pairs))?;
    Ok(Exit::Ok)
}

/// Asks the member's own validator, as `ringhold server` would with these files and no arguments.
fn startable(config: &Config) -> Result<(), Failure> {
    let checked = super::server::builder(config)?.validate();
    checked.map_err(|error| {
        Failure::of(error.code(), &error).advise(
            "correct it; a setting that `ringhold server` is given as an argument has to be in a file or the environment \
             to be checked here",
        )
    })
}

fn print_mistakes(mistakes: Vec<String>, format: Format) -> Result<(), Failure> {
    if format == Format::Table {
        return Ok(());
    }
    let document = json!({ "schema": "ringhold.config/1", "ok": false, "mistakes": mistakes });
    output::write(format!("{document}\n").as_bytes())
}

fn show(files: &[PathBuf], format: Format) -> Result<Exit, Failure> {
    let loaded = load(files)?;
    let text = loaded.config.show();
    match format {
        Format::Table => output::write(text.as_bytes())?,
        Format::Json => {
            let executors = loaded.config.executors.iter().map(|(name, template)| {
                // The name stands beside the settings; a pattern is no name of its own.
                let stand_in =
                    ringhold_types::ExecutorName::new("executor").expect("letters are a name");
                (
                    name.clone(),
                    crate::json::executor_settings(&template.named(&stand_in)),
                )
            });
            let member = &loaded.config.member;
            let document = json!({
                "schema": "ringhold.config/1",
                "cluster": loaded.config.cluster_name,
                "member": {
                    "name": member.name,
                    "zone": member.zone,
                    "data_dir": member.data_dir,
                    "client_address": member.client_address.as_str(),
                    "peer_address": member.peer_address.as_str(),
                    "http_address": member.http_address.as_str(),
                    "advertise_host": member.advertise_host,
                    "join": member.join.iter().map(|address| address.as_str()).collect::<Vec<_>>(),
                    "expect": member.effective_expect(),
                    "insecure": member.insecure,
                    "witness": member.witness,
                },
                "executors": executors.collect::<serde_json::Map<_, _>>(),
            });
            output::write(format!("{document}\n").as_bytes())?;
        }
    }
    Ok(Exit::Ok)
}
