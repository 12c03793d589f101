//! Writes a configuration in any of the formats; what is written reads back as the same.

use std::fmt::Write;

use crate::settings;
use crate::unit::show_size;
use crate::{Config, Format, MemberConfig};

/// A value to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<String>),
}

type Settings = Vec<(&'static str, Shown)>;

impl Config {
    /// The configuration as TOML, defaults included.
    #[must_use]
    pub fn show(&self) -> String {
        self.show_as(Format::Toml)
    }

    /// The configuration in a format, defaults included.
    #[must_use]
    pub fn show_as(&self, format: Format) -> String {
        let mut text = String::new();
        let written = match format {
            Format::Toml => self.write_toml(&mut text),
            Format::Yaml => self.write_yaml(&mut text),
            Format::Xml => self.write_xml(&mut text),
        };
        // A String takes everything that is written to it.
        debug_assert!(written.is_ok());
        text
    }

    fn write_toml(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "cluster-name = {}", quoted(&self.cluster_name))?;
        writeln!(text, "\n[member]")?;
        for (key, value) in member_settings(&self.member) {
            writeln!(text, "{key} = {}", inline(&value))?;
        }
        for (pattern, template) in &self.executors {
            writeln!(text, "\n[durable-executor.{}]", key(pattern))?;
            for (key, value) in settings::written(template.settings()) {
                writeln!(text, "{key} = {}", inline(&value))?;
            }
        }
        Ok(())
    }

    fn write_yaml(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "cluster-name: {}", quoted(&self.cluster_name))?;
        writeln!(text, "member:")?;
        for (key, value) in member_settings(&self.member) {
            writeln!(text, "  {key}: {}", inline(&value))?;
        }
        if !self.executors.is_empty() {
            writeln!(text, "durable-executor:")?;
        }
        for (pattern, template) in &self.executors {
            writeln!(text, "  {}:", quoted(pattern))?;
            for (key, value) in settings::written(template.settings()) {
                writeln!(text, "    {key}: {}", inline(&value))?;
            }
        }
        Ok(())
    }

    fn write_xml(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "<ringhold cluster-name=\"{}\">",
            escaped(&self.cluster_name)
        )?;
        writeln!(text, "  <member>")?;
        write_xml_settings(text, member_settings(&self.member))?;
        writeln!(text, "  </member>")?;
        for (pattern, template) in &self.executors {
            writeln!(text, "  <durable-executor name=\"{}\">", escaped(pattern))?;
            write_xml_settings(text, settings::written(template.settings()))?;
            writeln!(text, "  </durable-executor>")?;
        }
        writeln!(text, "</ringhold>")
    }
}

fn write_xml_settings(text: &mut String, settings: Settings) -> std::fmt::Result {
    for (key, value) in settings {
        let inner = match value {
            Shown::Text(text) => escaped(&text),
            Shown::Number(number) => number.to_string(),
            Shown::Flag(flag) => flag.to_string(),
            Shown::List(items) => items
                .iter()
                .map(|item| format!("<item>{}</item>", escaped(item)))
                .collect(),
        };
        writeln!(text, "    <{key}>{inner}</{key}>")?;
    }
    Ok(())
}

fn member_settings(member: &MemberConfig) -> Settings {
    let mut settings: Settings = Vec::new();
    let mut optional = |key, value: &Option<String>| {
        if let Some(value) = value {
            settings.push((key, Shown::Text(value.clone())));
        }
    };
    optional("name", &member.name);
    optional("zone", &member.zone);
    optional("advertise-host", &member.advertise_host);
    let join = member.join.iter().map(ToString::to_string).collect();
    settings.extend([
        (
            "data-dir",
            Shown::Text(member.data_dir.display().to_string()),
        ),
        (
            "client-address",
            Shown::Text(member.client_address.to_string()),
        ),
        ("peer-address", Shown::Text(member.peer_address.to_string())),
        ("http-address", Shown::Text(member.http_address.to_string())),
        ("join", Shown::List(join)),
    ]);
    if let Some(expect) = member.expect {
        settings.push(("expect", Shown::Number(expect.into())));
    }
    if let Some(bytes) = member.ring_bytes_max {
        settings.push(("ring-bytes-max", Shown::Text(show_size(bytes))));
    }
    settings.push(("insecure", Shown::Flag(member.insecure)));
    settings.push(("witness", Shown::Flag(member.witness)));
    settings
}

/// A value on one line; TOML and YAML write it alike.
fn inline(value: &Shown) -> String {
    match value {
        Shown::Text(text) => quoted(text),
        Shown::Number(number) => number.to_string(),
        Shown::Flag(flag) => flag.to_string(),
        Shown::List(items) => {
            let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

/// A key of TOML, quoted only where it must be.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.chars().all(is_bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// Text in double quotes; TOML and YAML escape it alike.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            // Characters outside the printable ones of either format.
            c if c.is_control() || ('\u{fff0}'..='\u{ffff}').contains(&c) || c == '\u{feff}' => {
                quoted.push_str(&format!("\\U{:08x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
