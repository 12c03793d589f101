//! Files in `tests/golden`, and what becomes of each: the configuration as TOML and its notes, or all errors.
//!
//! `RINGHOLD_UPDATE_GOLDEN=1` writes what is found instead of comparing it.

use std::path::{Path, PathBuf};

use ringhold_config::{Config, Format, Source};

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn outcome(file: &Path) -> String {
    let source = Source {
        name: file
            .file_name()
            .and_then(|name| name.to_str())
            .expect("text")
            .to_owned(),
        format: Format::of_path(file).expect("a known format"),
        text: std::fs::read_to_string(file).expect("readable"),
    };
    match Config::parse(&[source], std::iter::empty()) {
        Ok(loaded) => {
            let notes: String = loaded
                .notes
                .iter()
                .map(|note| format!("# note: {note}\n"))
                .collect();
            format!("{notes}{}", loaded.config.show())
        }
        Err(errors) => format!("{errors}\n"),
    }
}

#[test]
fn every_golden_file_is_read_as_recorded() {
    let mut files = 0;
    let mut differing = Vec::new();
    for entry in std::fs::read_dir(golden_folder()).expect("the folder") {
        let file = entry.expect("readable").path();
        if file
            .extension()
            .is_some_and(|extension| extension == "expected")
        {
            continue;
        }
        files += 1;
        let expected = PathBuf::from(format!("{}.expected", file.display()));
        let found = outcome(&file);
        if std::env::var_os("RINGHOLD_UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected, found).expect("writable");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != found {
            differing.push(format!("{}:\n{found}", file.display()));
        }
    }
    assert!(files >= 15, "only {files} golden files");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn the_three_formats_say_the_same() {
    let read = |name: &str| outcome(&golden_folder().join(name));
    assert_eq!(read("full.toml"), read("full.yaml"));
    assert_eq!(read("full.toml"), read("full.xml"));
    let without_notes = |text: String| {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(
        without_notes(read("hazelcast.xml")),
        without_notes(read("hazelcast.yaml"))
    );
}
