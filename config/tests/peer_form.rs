//! Hazelcast's form: `${…}` variables and imports, as people have them in the files that they bring along.

use std::path::Path;

use ringhold_config::{Config, ConfigErrors, Format, Loaded, Source};
use ringhold_types::{ExecutorConfig, ExecutorName, WhenFull};

fn variables<'a>(
    pairs: &'a [(&'a str, &'a str)],
) -> impl Iterator<Item = (String, String)> + use<'a> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

fn parse(format: Format, text: &str, pairs: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let source = Source {
        name: "hazelcast".to_owned(),
        format,
        text: text.to_owned(),
    };
    Config::parse(&[source], variables(pairs))
}

fn executor(loaded: &Loaded, name: &str) -> ExecutorConfig {
    let name = ExecutorName::new(name).expect("valid");
    let resolved = loaded.config.resolve(&name).expect("not ambiguous");
    resolved.config().expect("found")
}

fn executor_element(name: &str, settings: &str) -> String {
    format!("<durable-executor-service name=\"{name}\">{settings}</durable-executor-service>")
}

fn document(inner: &str) -> String {
    format!("<hazelcast xmlns=\"http://www.hazelcast.com/schema/config\">\n{inner}\n</hazelcast>")
}

/// A folder with files, and what loading the first of them gives.
fn load(files: &[(&str, String)], pairs: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    let first = folder.path().join(files[0].0);
    Config::load(&[first], variables(pairs)).map_err(|errors| shown(&errors, folder.path()))
}

/// Errors without the folder's name.
fn shown(errors: &ConfigErrors, folder: &Path) -> Vec<String> {
    let folder = format!("{}/", folder.display());
    let lines = errors
        .0
        .iter()
        .map(|error| error.to_string().replace(&folder, ""));
    lines.collect()
}

#[test]
fn variables_stand_for_the_environment_and_may_have_a_default() {
    let settings = "<pool-size>${pool.size}</pool-size><durability>${backups:2}</durability>\
                    <capacity>${tens}0</capacity>";
    let text = document(&executor_element("${team:nobody}-reports", settings));
    let pairs = [("POOL_SIZE", "8"), ("tens", "5"), ("team", "sales")];
    let loaded = parse(Format::Xml, &text, &pairs).expect("valid");
    let reports = executor(&loaded, "sales-reports");
    assert_eq!(
        (reports.pool_size, reports.durability, reports.capacity),
        (8, 2, 50)
    );
    assert_eq!(reports.when_full, WhenFull::Overwrite);
}

#[test]
fn a_variable_in_yaml_is_what_its_setting_makes_of_it() {
    let text = "hazelcast:\n  network:\n    port: ${not.ours}\n  durable-executor-service:\n    reports:\n      \
                pool-size: ${size:7}\n      statistics-enabled: ${counted}\n";
    let loaded = parse(Format::Yaml, text, &[("counted", "false")]).expect("valid");
    let reports = executor(&loaded, "reports");
    assert_eq!((reports.pool_size, reports.statistics_enabled), (7, false));
}

#[test]
fn a_variable_without_a_value_is_an_error_with_its_place_and_the_nearest_name() {
    let settings = "\n  <pool-size>${POOL_SIEZ}</pool-size>\n  <capacity>${elsewhere}</capacity>\n  \
                    <durability>${open</durability>";
    let text = document(&executor_element("reports", settings));
    let errors = parse(Format::Xml, &text, &[("POOL_SIZE", "8")]).expect_err("refused");
    let lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    let says = |place: &str, what: &str| {
        let found = lines
            .iter()
            .any(|line| line.starts_with(place) && line.contains(what));
        assert!(found, "{place} {what}: {lines:#?}");
    };
    says(
        "hazelcast:3:",
        "the variable `POOL_SIEZ` has no value and no default; did you mean `POOL_SIZE`?",
    );
    says(
        "hazelcast:4:",
        "`elsewhere` has no value and no default; set it in the environment, or write ${elsewhere:default}",
    );
    says("hazelcast:5:", "`${open` has no closing `}`");
}

#[test]
fn what_a_variable_stands_for_is_not_replaced_again() {
    let settings = "<pool-size>${a}</pool-size>";
    let text = document(&executor_element("reports", settings));
    let errors = parse(Format::Xml, &text, &[("a", "${b}"), ("b", "3")]).expect_err("refused");
    assert!(errors.to_string().contains("${b}"), "{errors}");
}

#[test]
fn our_own_form_has_no_variables() {
    let text = "<ringhold><cluster-name>${name:x}</cluster-name></ringhold>";
    let loaded = parse(Format::Xml, text, &[]).expect("valid");
    assert_eq!(loaded.config.cluster_name, "${name:x}");
}

#[test]
fn an_import_is_relative_to_its_file_and_what_follows_it_wins() {
    let base = document(
        &(executor_element("reports", "<pool-size>1</pool-size><capacity>7</capacity>")
            + &executor_element("base", "<pool-size>4</pool-size>")
            + "<import resource=\"deeper.xml\"/>"),
    );
    let deeper = document(&executor_element("deep", "<durability>0</durability>"));
    let own = executor_element("reports", "<pool-size>2</pool-size>");
    let import = "<import resource=\"${where:parts}/base.xml\"/>";
    let parts = |main: String| {
        [
            ("main.xml", document(&main)),
            ("parts/base.xml", base.clone()),
            ("parts/deeper.xml", deeper.clone()),
        ]
    };
    let loaded = load(&parts(format!("{import}{own}")), &[]).expect("valid");
    let reports = executor(&loaded, "reports");
    assert_eq!((reports.pool_size, reports.capacity), (2, 7));
    assert_eq!(executor(&loaded, "base").capacity, 100);
    assert_eq!(executor(&loaded, "deep").durability, 0);
    let loaded = load(&parts(format!("{own}{import}")), &[]).expect("valid");
    assert_eq!(executor(&loaded, "reports").pool_size, 1);
}

#[test]
fn yaml_imports_by_a_list() {
    let main = "hazelcast:\n  import:\n    - base.yaml\n    - more.xml\n  durable-executor-service:\n    \
                reports:\n      pool-size: 2\n";
    let base = "hazelcast:\n  durable-executor-service:\n    reports:\n      pool-size: 1\n      capacity: 7\n";
    let more = document(&executor_element("more", "<durability>0</durability>"));
    let files = [
        ("main.yaml", main.to_owned()),
        ("base.yaml", base.to_owned()),
        ("more.xml", more),
    ];
    let loaded = load(&files, &[]).expect("valid");
    let reports = executor(&loaded, "reports");
    assert_eq!((reports.pool_size, reports.capacity), (2, 7));
    assert_eq!(executor(&loaded, "more").durability, 0);
}

#[test]
fn an_import_that_leads_nowhere_is_an_error_with_its_place() {
    let imports = "<import resource=\"gone.xml\"/>\n<import resource=\"classpath:base.xml\"/>\n<import/>\n\
                   <import resource=\"own.toml\"/>\n<import resource=\"other.xml\"/>";
    let files = [
        ("main.xml", document(imports)),
        ("own.toml", String::new()),
        ("other.xml", "<other/>".to_owned()),
    ];
    let errors = load(&files, &[]).expect_err("refused");
    let says = |place: &str, what: &str| {
        let found = errors
            .iter()
            .any(|line| line.starts_with(place) && line.contains(what));
        assert!(found, "{place} {what}: {errors:#?}");
    };
    says("main.xml:2:", "gone.xml cannot be read");
    says("main.xml:3:", "classpath cannot be imported here");
    says("main.xml:4:", "an import names a file");
    says("main.xml:5:", "own.toml is neither .xml nor .yaml");
    says(
        "other.xml:1:",
        "the root element of an imported file is <hazelcast>, found <other>",
    );
    let text = document("<import resource=\"gone.xml\"/>");
    let errors = parse(Format::Xml, &text, &[]).expect_err("refused");
    assert!(
        errors.to_string().contains("only a file can import"),
        "{errors}"
    );
}

#[test]
fn imports_in_a_circle_and_without_end_are_errors() {
    let import = |name: &str| document(&format!("<import resource=\"{name}\"/>"));
    let circle = [
        ("a.xml", import("b.xml")),
        (
            "b.xml",
            import("../circle/./a.xml").replace("../circle/", ""),
        ),
    ];
    let errors = load(&circle, &[]).expect_err("refused");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("b.xml:2:"), "{errors:?}");
    assert!(
        errors[0].contains("go in a circle: a.xml imports b.xml imports"),
        "{errors:?}"
    );

    let names: Vec<String> = (0..12).map(|number| format!("{number}.xml")).collect();
    let long: Vec<(&str, String)> = names
        .windows(2)
        .map(|pair| (pair[0].as_str(), import(&pair[1])))
        .chain([("11.xml", document(""))])
        .collect();
    let errors = load(&long, &[]).expect_err("refused");
    assert!(
        errors[0].contains("more than 8 files import one another"),
        "{errors:?}"
    );

    let twice = document(&"<import resource=\"b.xml\"/>".repeat(300));
    let wide = [("a.xml", twice), ("b.xml", document(""))];
    let errors = load(&wide, &[]).expect_err("refused");
    assert!(
        errors[0].contains("more than 256 files are imported"),
        "{errors:?}"
    );
}

#[test]
fn a_setting_twice_in_one_file_is_an_error_but_not_twice_over_an_import() {
    let one = executor_element("reports", "<pool-size>1</pool-size>");
    let other = executor_element("${name:reports}", "<pool-size>2</pool-size>");
    let errors = parse(Format::Xml, &document(&(one.clone() + &other)), &[]).expect_err("refused");
    assert!(
        errors.to_string().contains("`reports` is set twice"),
        "{errors}"
    );
    let files = [
        (
            "main.xml",
            document(&format!("<import resource=\"b.xml\"/>{one}")),
        ),
        ("b.xml", document(&other)),
    ];
    assert_eq!(
        executor(&load(&files, &[]).expect("valid"), "reports").pool_size,
        1
    );
}
