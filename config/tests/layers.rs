//! Several files and the environment, one over the other.

use std::path::PathBuf;

use ringhold_config::{Config, ConfigErrors, Format, Loaded, Resolution, Source};
use ringhold_types::{ExecutorName, Millis, WhenFull};

fn toml(name: &str, text: &str) -> Source {
    Source {
        name: name.to_owned(),
        format: Format::Toml,
        text: text.to_owned(),
    }
}

fn parse(sources: &[Source], variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let owned = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(sources, owned)
}

fn config(sources: &[Source], variables: &[(&str, &str)]) -> Config {
    parse(sources, variables)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .config
}

fn errors(sources: &[Source], variables: &[(&str, &str)]) -> Vec<String> {
    let errors = parse(sources, variables).expect_err("accepted");
    errors.0.iter().map(ToString::to_string).collect()
}

fn executor(config: &Config, name: &str) -> ringhold_types::ExecutorConfig {
    let name = ExecutorName::new(name).expect("valid");
    config
        .resolve(&name)
        .expect("not ambiguous")
        .config()
        .expect("found")
}

#[test]
fn nothing_at_all_is_a_good_configuration() {
    assert_eq!(config(&[], &[]), Config::default());
}

#[test]
fn a_later_file_wins_setting_by_setting_and_the_environment_over_all() {
    let base = toml(
        "a.toml",
        "[durable-executor.reports]\npool-size = 1\ncapacity = 1\ndurability = 0",
    );
    let over = toml(
        "b.toml",
        "[durable-executor.reports]\npool-size = 2\ncapacity = 2",
    );
    let variables = [("RINGHOLD__DURABLE_EXECUTOR__REPORTS__POOL_SIZE", "16")];
    let reports = executor(&config(&[base, over], &variables), "reports");
    assert_eq!(
        (reports.pool_size, reports.capacity, reports.durability),
        (16, 2, 0)
    );
}

#[test]
fn variables_set_everything_a_file_can() {
    let variables = [
        ("PATH", "/bin"),
        ("RINGHOLD__SERVER", "m1:7400"),
        ("RINGHOLD_SERVICE_PORT", "1"),
        ("RINGHOLD_PORT_7400_TCP__ADDR", "1"),
        ("RINGHOLD__CLUSTER_NAME", "prod"),
        ("RINGHOLD__MEMBER__DATA_DIR", "/data"),
        ("RINGHOLD__MEMBER__JOIN", "m1:7401, m2:7401"),
        ("RINGHOLD__MEMBER__INSECURE", "true"),
        ("RINGHOLD__DURABLE_EXECUTOR__NEW_ONE__RESULT_TTL", "30s"),
        ("RINGHOLD__DURABLE_EXECUTOR__DEFAULT__WHEN_FULL", "wait"),
    ];
    let config = config(&[], &variables);
    assert_eq!(config.cluster_name, "prod");
    assert_eq!(config.member.data_dir, PathBuf::from("/data"));
    assert_eq!(config.member.join.len(), 2);
    assert_eq!(config.member.effective_expect(), 2);
    assert!(config.member.insecure);
    assert_eq!(executor(&config, "new-one").result_ttl, Millis(30_000));
    assert_eq!(executor(&config, "anything").when_full, WhenFull::Wait);
}

#[test]
fn a_variable_finds_the_executor_whatever_its_spelling() {
    let file = toml("a.toml", "[durable-executor.\"My.Exec__2\"]\npool-size = 1");
    let variables = [("RINGHOLD__DURABLE_EXECUTOR__MY_EXEC__2__POOL_SIZE", "5")];
    let config = config(&[file], &variables);
    assert_eq!(config.executors.len(), 1);
    assert_eq!(executor(&config, "My.Exec__2").pool_size, 5);
}

#[test]
fn a_variable_that_means_two_executors_is_refused() {
    let file = toml(
        "a.toml",
        "[durable-executor.a-b]\n[durable-executor.\"a.b\"]",
    );
    let variables = [("RINGHOLD__DURABLE_EXECUTOR__A_B__POOL_SIZE", "5")];
    assert_eq!(
        errors(&[file], &variables),
        [
            "RINGHOLD__DURABLE_EXECUTOR__A_B__POOL_SIZE: means the executors `a-b` and `a.b` alike; rename one of them, \
          or set it in a file"
        ]
    );
}

#[test]
fn two_variables_for_one_setting_are_refused() {
    let variables = [
        ("RINGHOLD__CLUSTER_NAME", "a"),
        ("RINGHOLD__cluster_name", "b"),
    ];
    assert_eq!(
        errors(&[], &variables),
        ["RINGHOLD__cluster_name: sets the same as RINGHOLD__CLUSTER_NAME; remove one of them"]
    );
}

#[test]
fn an_unknown_variable_is_an_error_by_its_own_name() {
    let variables = [
        ("RINGHOLD__CLUSTERNAME", "a"),
        ("RINGHOLD__DURABLE_EXECUTOR__REPORTS__POOLSIZE", "1"),
        ("RINGHOLD__DURABLE_EXECUTOR__REPORTS", "1"),
        ("RINGHOLD__DURABLE_EXECUTOR__REPORTS__CAPACITY", "many"),
        ("RINGHOLD____X", "1"),
    ];
    assert_eq!(
        errors(&[], &variables),
        [
            "RINGHOLD__CLUSTERNAME: unknown setting `clustername`; did you mean `cluster-name`?",
            "RINGHOLD__DURABLE_EXECUTOR__REPORTS: names no executor and setting; write \
             RINGHOLD__DURABLE_EXECUTOR__REPORTS__POOL_SIZE",
            "RINGHOLD__DURABLE_EXECUTOR__REPORTS__CAPACITY: `capacity` needs a whole number, found \"many\"",
            "RINGHOLD__DURABLE_EXECUTOR__REPORTS__POOLSIZE: unknown setting `poolsize`; did you mean `pool-size`?",
            "RINGHOLD____X: has an empty part in its name",
        ]
    );
}

#[test]
fn errors_of_all_files_come_at_once_in_order() {
    let first = toml("b.toml", "\n\nx = 1\n[member]\nexpect = \"a\"");
    let second = toml("a.toml", "y = 1");
    let variables = [("RINGHOLD__Z", "1")];
    assert_eq!(
        errors(&[first, second], &variables),
        [
            "b.toml:3:1: unknown setting `x`",
            "b.toml:5:10: `expect` needs a whole number, found \"a\"",
            "a.toml:1:1: unknown setting `y`",
            "RINGHOLD__Z: unknown setting `z`",
        ]
    );
}

#[test]
fn our_file_completes_an_imported_one() {
    let imported = Source {
        name: "hazelcast.xml".to_owned(),
        format: Format::Xml,
        text: "<hazelcast><durable-executor-service name=\"x\"><pool-size>4</pool-size>\
               </durable-executor-service></hazelcast>"
            .to_owned(),
    };
    let ours = toml("ours.toml", "[durable-executor.x]\nwhen-full = \"reject\"");
    let x = executor(&config(&[imported, ours], &[]), "x");
    assert_eq!(
        (x.pool_size, x.capacity, x.when_full),
        (4, 100, WhenFull::Reject)
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("good.toml");
    std::fs::write(&good, "cluster-name = \"c\"").expect("written");
    let loaded = Config::load(std::slice::from_ref(&good), std::iter::empty()).expect("good");
    assert_eq!(loaded.config.cluster_name, "c");
    let paths = [
        good,
        folder.path().join("none.toml"),
        folder.path().join("what.ini"),
    ];
    let errors = Config::load(&paths, std::iter::empty()).expect_err("two are bad");
    let texts: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    assert!(
        texts[0].contains("none.toml: cannot be read: No such file"),
        "{texts:?}"
    );
    assert!(
        texts[1].contains("what.ini: the file's name does not tell its format"),
        "{texts:?}"
    );
}

#[test]
fn a_name_that_nothing_matches_finds_nothing() {
    let file = toml("a.toml", "[durable-executor.reports]");
    let name = ExecutorName::new("report").expect("valid");
    let found = config(&[file], &[]).resolve(&name).expect("not ambiguous");
    assert_eq!(
        found,
        Resolution::NotFound {
            nearest: Some("reports".to_owned())
        }
    );
}
