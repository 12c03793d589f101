//! A member's configuration: TOML, XML, YAML and environment variables become one checked tree.
//!
//! Start at [`Config::load`]. Every file is parsed into one kind of tree that knows the place of each value; later files
//! and then `RINGHOLD__…` variables are laid over it; the sum is checked in one pass that reports all mistakes at once.
//! XML and YAML in Hazelcast's own form are translated on the way. [`Config::resolve`] finds an executor by name,
//! wildcard or `default`; [`Config::show`] writes the tree out again.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod check;
mod config;
mod environment;
mod error;
mod import;
mod load;
mod peer;
mod read;
mod resolve;
mod settings;
mod show;
mod toml_file;
mod tree;
mod unit;
mod variables;
mod xml_file;
mod yaml_file;

pub use config::{Address, AddressError, Config, ExecutorTemplate, MemberConfig};
pub use error::{ConfigError, ConfigErrors, Note};
pub use load::{Format, Loaded, Source};
pub use resolve::{AmbiguousPattern, Resolution};
pub use tree::Place;
