//! Any configuration, written in any format, reads back as the same.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use ringhold_config::{Address, Config, ExecutorTemplate, Format, MemberConfig, Source};
use ringhold_types::limits::{DURABILITY_MAX, PARTITION_COUNT_MAX, RESULT_BYTES_MAX};
use ringhold_types::{ExecutorConfig, ExecutorName, Millis, PartitionCount, Persistence, WhenFull};

/// Text as a person may write it: anything but control characters, no spaces around it.
fn text() -> impl Strategy<Value = String> {
    "\\PC{1,12}".prop_filter_map("empty when trimmed", |text| {
        let text = text.trim().to_owned();
        (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
    })
}

/// A binary's name: as text, but a comma would divide a list in a format without types.
fn binary() -> impl Strategy<Value = String> {
    text()
}

fn address() -> impl Strategy<Value = Address> {
    let host = prop_oneof!["[a-z][a-z0-9.-]{0,8}", Just("[::1]".to_owned())];
    (host, any::<u16>()).prop_map(|(host, port)| format!("{host}:{port}").parse().expect("good"))
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._:-]{1,10}",
        "[a-z-]{0,4}\\*[a-z0-9.]{0,4}",
        Just("default".to_owned())
    ]
}

fn member() -> impl Strategy<Value = MemberConfig> {
    let addresses = (address(), address(), address());
    let flags = (any::<bool>(), any::<bool>());
    let join = vec(address(), 0..4);
    let rest = (
        option::of(text()),
        option::of(text()),
        text(),
        option::of(1_u32..9),
        option::of(text()),
        option::of(16 << 20..=u64::MAX),
    );
    (addresses, flags, join, rest).prop_map(|(addresses, flags, join, rest)| MemberConfig {
        name: rest.0,
        zone: rest.1,
        data_dir: rest.2.into(),
        client_address: addresses.0,
        peer_address: addresses.1,
        http_address: addresses.2,
        advertise_host: rest.4,
        join,
        expect: rest.3,
        ring_bytes_max: rest.5,
        insecure: flags.0,
        witness: flags.1,
    })
}

fn executor() -> impl Strategy<Value = ExecutorTemplate> {
    let when_full = prop_oneof![
        Just(WhenFull::Reject),
        Just(WhenFull::Wait),
        Just(WhenFull::Overwrite)
    ];
    let persistence = prop_oneof![Just(Persistence::Memory), Just(Persistence::Fsync)];
    let span = || any::<u64>().prop_map(Millis);
    let numbers = (
        1..=u32::from(u16::MAX),
        (0..=DURABILITY_MAX).prop_flat_map(|backups| (Just(backups), option::of(1..=backups + 1))),
        any::<u64>(),
        1..=PARTITION_COUNT_MAX,
        1..=u32::MAX,
        0..=RESULT_BYTES_MAX as u64,
    );
    let spans = (1..=u64::MAX, span(), option::of(span()), span());
    let words = (when_full, persistence, vec(binary(), 0..4), any::<bool>());
    (numbers, spans, words).prop_map(|(numbers, spans, words)| {
        ExecutorTemplate::of(ExecutorConfig {
            pool_size: numbers.0,
            durability: numbers.1.0,
            capacity: numbers.2,
            when_full: words.0,
            partition_count: PartitionCount::new(numbers.3).expect("in range"),
            persistence: words.1,
            min_copies: numbers.1.1,
            result_ttl: Millis(spans.0),
            dedup_window: spans.1,
            crash_limit: numbers.4,
            allowed_binaries: words.2,
            run_limit: spans.2,
            kill_grace: spans.3,
            output_bytes_max: numbers.5,
            statistics_enabled: words.3,
            ..ExecutorConfig::with_name(ExecutorName::new("x").expect("valid"))
        })
    })
}

fn config() -> impl Strategy<Value = Config> {
    let executors = btree_map(pattern(), executor(), 0..4);
    (text(), member(), executors).prop_map(
        |(cluster_name, member, executors): (_, _, BTreeMap<_, _>)| Config {
            cluster_name,
            member,
            executors,
        },
    )
}

proptest! {
    #[test]
    fn every_configuration_reads_back_as_it_was_written(config in config()) {
        for format in [Format::Toml, Format::Yaml, Format::Xml] {
            let text = config.show_as(format);
            let source = Source { name: "written".to_owned(), format, text: text.clone() };
            let read = Config::parse(&[source], std::iter::empty());
            match read {
                Ok(loaded) => prop_assert_eq!(&loaded.config, &config, "{}", text),
                Err(errors) => prop_assert!(false, "{}\n{}", errors, text),
            }
        }
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in "[\\PC\n<>\\[\\]{}:=\"'#&-]{0,60}") {
        for format in [Format::Toml, Format::Yaml, Format::Xml] {
            let source = Source { name: "any".to_owned(), format, text: text.clone() };
            let _ = Config::parse(&[source], std::iter::empty());
        }
    }
}
