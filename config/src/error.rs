//! What is wrong with a configuration, and what was left out of it.

use std::fmt;

use crate::Place;

/// One mistake, with its place and, where there is one, the way out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub help: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.message)?;
        if let Some(help) = &self.help {
            write!(formatter, "; {help}")?;
        }
        Ok(())
    }
}

/// Every mistake of a configuration, in the order of its files and lines; at least one. Printed one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            error.fmt(formatter)?;
        }
        Ok(())
    }
}

/// Something that was read and left aside, such as a setting of Hazelcast's that has no meaning here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Where.
    pub place: Place,
    /// What.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.text)
    }
}

/// Collects what the passes find.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) errors: Vec<ConfigError>,
    pub(crate) notes: Vec<Note>,
}

impl Report {
    pub(crate) fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.errors.push(ConfigError {
            place: place.clone(),
            message: message.into(),
            help: None,
        });
    }

    pub(crate) fn error_with_help(
        &mut self,
        place: &Place,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.errors.push(ConfigError {
            place: place.clone(),
            message: message.into(),
            help,
        });
    }

    pub(crate) fn note(&mut self, place: &Place, text: impl Into<String>) {
        self.notes.push(Note {
            place: place.clone(),
            text: text.into(),
        });
    }
}

/// The candidate that is most like `word`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let distance =
        |candidate: &&str| strsim::damerau_levenshtein(&word, &candidate.to_ascii_lowercase());
    // A third of the letters may be wrong.
    let near = |candidate: &&str| distance(candidate) <= word.chars().count().div_ceil(3);
    candidates.into_iter().filter(near).min_by_key(distance)
}

/// The help that goes with an unknown word.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}
