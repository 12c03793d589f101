//! Files and environment into one configuration.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Report;
use crate::import::Surroundings;
use crate::tree::Table;
use crate::variables::Variables;
use crate::{
    Config, ConfigErrors, Note, Place, check, environment, toml_file, xml_file, yaml_file,
};

/// Most bytes of one file: a thousand executors need less than a tenth of it, and a wrong path may be a huge file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.toml`.
    Toml,
    /// `.xml`: ours, or Hazelcast's.
    Xml,
    /// `.yaml` or `.yml`: ours, or Hazelcast's.
    Yaml,
}

impl Format {
    /// The format that a file's name tells.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "toml" => Some(Self::Toml),
            "xml" => Some(Self::Xml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// A configuration's text with its name for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's name.
    pub name: String,
    /// How it is written.
    pub format: Format,
    /// What it says.
    pub text: String,
}

/// A configuration that holds, and what was left aside on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Settings of the peer that have no meaning here.
    pub notes: Vec<Note>,
}

impl fmt::Display for Loaded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.config.show())
    }
}

impl Config {
    /// Reads `paths`, a later file over an earlier one, then the `RINGHOLD__…` variables among `environment` over all.
    ///
    /// Files in Hazelcast's form may hold `${name}` and `${name:default}`, which stand for any variable of `environment`,
    /// and may import others (`<import resource="…"/>`, relative to the importing file; a setting after an import wins
    /// over it, one before it loses).
    ///
    /// # Errors
    /// [`ConfigErrors`] with every mistake: files that cannot be read, syntax, unknown settings, values out of range.
    pub fn load(
        paths: &[PathBuf],
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigErrors> {
        let mut report = Report::default();
        let mut root = Table::default();
        let environment: Vec<(String, String)> = environment.collect();
        let mut surroundings = Surroundings::new(Variables::new(environment.clone()));
        for (order, path) in (0..).zip(paths) {
            let place = Place::of_source(order, path.display().to_string());
            if let Some((format, text)) = read_file(path, &place, &mut report) {
                surroundings.within(path, |surroundings| {
                    lay_over(&mut root, format, &text, &place, surroundings, &mut report);
                });
            }
        }
        let environment = environment.into_iter();
        finish(root, environment, report)
    }

    /// As [`Config::load`], of texts instead of files. They can import nothing.
    ///
    /// # Errors
    /// [`ConfigErrors`] with every mistake.
    pub fn parse(
        sources: &[Source],
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigErrors> {
        let mut report = Report::default();
        let mut root = Table::default();
        let environment: Vec<(String, String)> = environment.collect();
        let mut surroundings = Surroundings::new(Variables::new(environment.clone()));
        for (order, source) in (0..).zip(sources) {
            let place = Place::of_source(order, source.name.as_str());
            let text = &source.text;
            let around = &mut surroundings;
            lay_over(&mut root, source.format, text, &place, around, &mut report);
        }
        let environment = environment.into_iter();
        finish(root, environment, report)
    }
}

fn lay_over(
    root: &mut Table,
    format: Format,
    text: &str,
    place: &Place,
    surroundings: &mut Surroundings,
    report: &mut Report,
) {
    let table = match format {
        Format::Toml => toml_file::parse(text, place, report),
        Format::Xml => xml_file::parse(text, place, surroundings, report),
        Format::Yaml => yaml_file::parse(text, place, surroundings, report),
    };
    for entry in table.0 {
        root.overlay(entry);
    }
}

fn finish(
    mut root: Table,
    environment: impl Iterator<Item = (String, String)>,
    mut report: Report,
) -> Result<Loaded, ConfigErrors> {
    environment::overlay(&mut root, environment, u32::MAX, &mut report);
    let config = check::config(&root, &mut report);
    let Report {
        mut errors,
        mut notes,
    } = report;
    errors.sort();
    errors.dedup();
    notes.sort();
    if errors.is_empty() {
        Ok(Loaded { config, notes })
    } else {
        Err(ConfigErrors(errors))
    }
}

fn read_file(path: &Path, place: &Place, report: &mut Report) -> Option<(Format, String)> {
    let Some(format) = Format::of_path(path) else {
        let help = Some("name it .toml, .xml, .yaml or .yml".to_owned());
        report.error_with_help(place, "the file's name does not tell its format", help);
        return None;
    };
    match read_text(path) {
        Ok(text) => Some((format, text)),
        Err(error) => {
            report.error(place, format!("cannot be read: {error}"));
            None
        }
    }
}

/// The text of a file that is not too large to be a configuration.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    let found = std::fs::metadata(path)?;
    if found.len() > FILE_BYTES_MAX {
        let message = format!("has {} bytes, the limit is {FILE_BYTES_MAX}", found.len());
        return Err(std::io::Error::other(message));
    }
    std::fs::read_to_string(path)
}
