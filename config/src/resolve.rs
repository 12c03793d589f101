//! Finds the settings of an executor by its name, by Hazelcast's rule.

use ringhold_types::{ExecutorConfig, ExecutorName};

use crate::error::nearest;
use crate::{Config, ExecutorTemplate};

/// The entry for names that nothing else matches.
const DEFAULT: &str = "default";

/// What a name finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// An entry of that very name.
    Exact(ExecutorConfig),
    /// An entry with a `*`.
    Wildcard {
        /// The entry.
        pattern: String,
        /// Its settings under the name that was asked for.
        config: ExecutorConfig,
    },
    /// The entry `default`.
    Default(ExecutorConfig),
    /// Nothing.
    NotFound {
        /// The most similar entry, if one is similar.
        nearest: Option<String>,
    },
}

impl Resolution {
    /// The settings, if there are some.
    #[must_use]
    pub fn config(self) -> Option<ExecutorConfig> {
        match self {
            Self::Exact(config) | Self::Wildcard { config, .. } | Self::Default(config) => {
                Some(config)
            }
            Self::NotFound { .. } => None,
        }
    }
}

/// Several patterns match a name equally well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "executor {name} matches {} equally well; configure the name itself, or make one of them longer",
    patterns.join(" and ")
)]
pub struct AmbiguousPattern {
    /// The name.
    pub name: String,
    /// The patterns.
    pub patterns: Vec<String>,
}

impl Config {
    /// The settings for the executor `name`.
    ///
    /// As in Hazelcast: what follows an `@` is cut off for the search; then the entry of that name counts, else the
    /// pattern with the most characters around its `*`, else `default`.
    ///
    /// # Errors
    /// [`AmbiguousPattern`] when two patterns match equally well.
    pub fn resolve(&self, name: &ExecutorName) -> Result<Resolution, AmbiguousPattern> {
        let searched = name.as_str().split('@').next().unwrap_or_default();
        if let Some(template) = self.executors.get(searched) {
            return Ok(Resolution::Exact(template.named(name)));
        }
        if let Some((pattern, template)) = self.best_pattern(searched)? {
            let pattern = pattern.to_owned();
            return Ok(Resolution::Wildcard {
                pattern,
                config: template.named(name),
            });
        }
        if let Some(template) = self.executors.get(DEFAULT) {
            return Ok(Resolution::Default(template.named(name)));
        }
        let known = self.executors.keys().map(String::as_str);
        Ok(Resolution::NotFound {
            nearest: nearest(searched, known).map(str::to_owned),
        })
    }

    fn best_pattern(
        &self,
        name: &str,
    ) -> Result<Option<(&str, &ExecutorTemplate)>, AmbiguousPattern> {
        let scored = self.executors.iter().filter_map(|(pattern, template)| {
            Some((score(pattern, name)?, pattern.as_str(), template))
        });
        let matching: Vec<_> = scored.collect();
        let Some(best) = matching.iter().map(|(score, ..)| *score).max() else {
            return Ok(None);
        };
        let mut winners = matching.into_iter().filter(|(score, ..)| *score == best);
        let first = winners
            .next()
            .map(|(_, pattern, template)| (pattern, template));
        let others: Vec<&str> = winners.map(|(_, pattern, _)| pattern).collect();
        match (first, others.as_slice()) {
            (found, []) => Ok(found),
            (first, others) => Err(AmbiguousPattern {
                name: name.to_owned(),
                patterns: first
                    .iter()
                    .map(|(pattern, _)| *pattern)
                    .chain(others.iter().copied())
                    .map(str::to_owned)
                    .collect(),
            }),
        }
    }
}

/// Characters before and after the `*` of a pattern that matches `name`.
fn score(pattern: &str, name: &str) -> Option<usize> {
    let (before, after) = pattern.split_once('*')?;
    let fixed = before.len() + after.len();
    let matches = name.len() >= fixed && name.starts_with(before) && name.ends_with(after);
    matches.then_some(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(patterns: &[&str]) -> Config {
        let executors = patterns
            .iter()
            .map(|pattern| ((*pattern).to_owned(), ExecutorTemplate::default()));
        Config {
            executors: executors.collect(),
            ..Config::default()
        }
    }

    fn found(patterns: &[&str], name: &str) -> String {
        let name = ExecutorName::new(name).expect("valid");
        match config(patterns).resolve(&name) {
            Ok(Resolution::Exact(config)) => {
                assert_eq!(config.name, name);
                "exact".to_owned()
            }
            Ok(Resolution::Wildcard { pattern, config }) => {
                assert_eq!(config.name, name);
                pattern
            }
            Ok(Resolution::Default(_)) => "default".to_owned(),
            Ok(Resolution::NotFound { nearest }) => format!("nothing, near {nearest:?}"),
            Err(ambiguous) => ambiguous.to_string(),
        }
    }

    #[test]
    fn the_exact_name_comes_before_patterns_and_patterns_before_the_default() {
        let all = ["default", "reports", "reports-*", "rep*"];
        assert_eq!(found(&all, "reports"), "exact");
        assert_eq!(found(&all, "reports@zone-1"), "exact");
        assert_eq!(found(&all, "reports-eu"), "reports-*");
        assert_eq!(found(&all, "reply"), "rep*");
        assert_eq!(found(&all, "other"), "default");
    }

    #[test]
    fn the_pattern_with_most_characters_around_its_star_wins() {
        assert_eq!(found(&["a*", "*-europe"], "a-europe"), "*-europe");
        assert_eq!(found(&["*"], "anything"), "*");
        // Both ends must fit without overlapping.
        assert_eq!(found(&["aba*aba", "default"], "aba"), "default");
    }

    #[test]
    fn patterns_that_match_equally_well_are_an_error_that_names_them() {
        assert_eq!(
            found(&["ab*", "*cd"], "abcd"),
            "executor abcd matches *cd and ab* equally well; configure the name itself, or make one of them longer"
        );
    }

    #[test]
    fn a_name_that_matches_nothing_is_answered_with_the_nearest() {
        assert_eq!(
            found(&["reports", "thumbnails"], "report"),
            "nothing, near Some(\"reports\")"
        );
        assert_eq!(found(&["reports"], "zzz"), "nothing, near None");
    }
}
