//! `<import resource="…"/>` and YAML's `import:` of Hazelcast's form.

use std::path::{Path, PathBuf};

use crate::Place;
use crate::error::Report;
use crate::load::{Format, read_text};
use crate::tree::Table;
use crate::variables::Variables;
use crate::{xml_file, yaml_file};

/// The element or key.
pub(crate) const IMPORT: &str = "import";
/// Its attribute in XML.
pub(crate) const RESOURCE: &str = "resource";
/// Files that may import one another in a row: more is a mistake, and each costs memory while the next one is read.
const DEPTH_MAX: usize = 8;
/// Files that one file may import in all: eight that import eight each would otherwise be 16 million.
const FILES_MAX: usize = 256;

/// What stands around a file: the environment, and the files that led to it.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) variables: Variables,
    /// The file that is read, last, and those that imported it, outermost first; none for a text without a file.
    path: Vec<Step>,
    imported: usize,
}

/// A file on the way to the one that is read.
#[derive(Debug)]
struct Step {
    /// As it was written, for messages and for what is relative to it.
    shown: PathBuf,
    /// One name for a file, however its links are written, so that a circle is noticed.
    identity: PathBuf,
}

impl Step {
    fn of(file: &Path) -> Self {
        Self {
            shown: file.to_owned(),
            identity: std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned()),
        }
    }
}

impl Surroundings {
    pub(crate) fn new(variables: Variables) -> Self {
        Self {
            variables,
            path: Vec::new(),
            imported: 0,
        }
    }

    /// Reads something that lies in a file.
    pub(crate) fn within<T>(&mut self, file: &Path, read: impl FnOnce(&mut Self) -> T) -> T {
        if self.path.is_empty() {
            self.imported = 0;
        }
        self.path.push(Step::of(file));
        let result = read(self);
        self.path.pop();
        result
    }

    /// The settings of an imported file in the peer's form, variables replaced and nothing translated yet.
    pub(crate) fn import(&mut self, resource: &str, place: &Place, report: &mut Report) -> Table {
        let resource = self.variables.replace(resource, place, report);
        match self.file_of(&resource) {
            Ok(file) => self.import_file(&file, place, report),
            Err(message) => {
                report.error(place, message);
                Table::default()
            }
        }
    }

    /// The file that a resource names.
    fn file_of(&mut self, resource: &str) -> Result<PathBuf, String> {
        if resource.is_empty() {
            return Err("an import names a file".to_owned());
        }
        let Some(importing) = self.path.last() else {
            return Err("only a file can import another one".to_owned());
        };
        let file = match resource.strip_prefix("file:") {
            Some(file) => file.strip_prefix("//").unwrap_or(file),
            None => resource,
        };
        if let Some((scheme, _)) = file.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) {
            return Err(format!(
                "`{resource}` is not a file: {scheme} cannot be imported here"
            ));
        }
        let folder = importing.shown.parent().unwrap_or(Path::new(""));
        let step = Step::of(&folder.join(file));
        let is_it = |above: &Step| above.identity == step.identity;
        if let Some(first) = self.path.iter().position(is_it) {
            let around = self.path[first..].iter().chain([&step]);
            let names: Vec<String> = around.map(|it| it.shown.display().to_string()).collect();
            return Err(format!(
                "the imports go in a circle: {}",
                names.join(" imports ")
            ));
        }
        if self.path.len() > DEPTH_MAX {
            return Err(format!(
                "more than {DEPTH_MAX} files import one another in a row"
            ));
        }
        if self.imported >= FILES_MAX {
            return Err(format!("more than {FILES_MAX} files are imported"));
        }
        self.imported += 1;
        Ok(step.shown)
    }

    fn import_file(&mut self, file: &Path, place: &Place, report: &mut Report) -> Table {
        let read = read_text(file);
        let source = place.of_imported(file.display().to_string());
        match (Format::of_path(file), read) {
            (_, Err(error)) => {
                report.error(place, format!("{} cannot be read: {error}", file.display()));
                Table::default()
            }
            (Some(Format::Xml), Ok(text)) => self.within(file, |surroundings| {
                xml_file::imported(&text, &source, surroundings, report)
            }),
            (Some(Format::Yaml), Ok(text)) => self.within(file, |surroundings| {
                yaml_file::imported(&text, &source, surroundings, report)
            }),
            (Some(Format::Toml) | None, Ok(_)) => {
                let message = format!("{} is neither .xml nor .yaml", file.display());
                report.error(place, message);
                Table::default()
            }
        }
    }
}

/// Whether this is what begins a URL: at least two letters, so that no drive is taken for one.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
}
