//! Disks that fail, fill up, or hold bytes of an earlier life; files of others; other versions.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ringhold_storage::conformance::{entry, state};
use ringhold_storage::{
    FileSystem, LogOptions, LogRecord, RecordLog, SegmentedLog, SimulatedFileSystem, StorageError,
};
use ringhold_types::{ClusterId, ErrorCode, Lsn};
use support::{DIRECTORY, OPTIONS, open};

fn large(lsn: u64) -> LogRecord {
    LogRecord {
        payload: Bytes::from(vec![0xee; 3000]),
        ..entry(1, lsn)
    }
}

fn segments(disk: &SimulatedFileSystem) -> Vec<(PathBuf, Vec<u8>)> {
    disk.contents()
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().contains("segment-"))
        .collect()
}

#[test]
fn a_failed_flush_poisons_the_log_and_is_never_retried() {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    log.append(&[entry(1, 1)]).expect("append succeeds");
    log.sync().expect("sync succeeds");
    log.append(&[entry(1, 2)]).expect("append succeeds");
    disk.fail_sync_after(0);
    let failed = log.sync().expect_err("the flush failed");
    assert_eq!(failed.code(), ErrorCode::Internal);
    let flushes = disk.syncs();
    for _ in 0..3 {
        assert!(matches!(log.sync(), Err(StorageError::Poisoned)));
        let append = log.append(&[entry(1, 3)]);
        assert!(matches!(append, Err(StorageError::Poisoned)));
        assert!(matches!(log.prepare(), Err(StorageError::Poisoned)));
    }
    assert_eq!(disk.syncs(), flushes, "nothing was flushed again");
    drop(log);
    disk.crash(0);
    let (_, recovered) = open(&disk).expect("opens");
    assert_eq!(recovered.replicas[0].entries, [entry(1, 1)]);
}

#[test]
fn a_failed_write_poisons_the_log() {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    log.append(&[entry(1, 1)]).expect("append succeeds");
    log.sync().expect("sync succeeds");
    disk.fail_write_after(0);
    assert!(log.append(&[large(2)]).is_err());
    assert!(matches!(log.sync(), Err(StorageError::Poisoned)));
    drop(log);
    disk.kill();
    let (_, recovered) = open(&disk).expect("opens");
    assert_eq!(recovered.replicas[0].entries, [entry(1, 1)]);
    assert!(recovered.torn_tail.is_some(), "half a batch is there");
}

#[test]
fn what_a_restart_reports_is_durable() {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    log.append(&[entry(1, 1)]).expect("append succeeds");
    // The process dies before the flush; its write is still in the machine's memory, and is found.
    drop(log);
    disk.kill();
    let (log, recovered) = open(&disk).expect("opens");
    assert_eq!(recovered.replicas[0].last_lsn(), Lsn(1));
    drop(log);
    // Its replica may have acknowledged it since: now the power goes.
    for seed in 0..20 {
        let disk = disk.fork();
        disk.crash(seed);
        let (_, recovered) = open(&disk).expect("opens");
        assert_eq!(recovered.replicas[0].last_lsn(), Lsn(1));
    }
}

#[test]
fn what_a_restart_reports_is_durable_also_after_a_failed_flush() {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    log.append(&[entry(1, 1)]).expect("append succeeds");
    log.sync().expect("sync succeeds");
    log.append(&[entry(1, 2), large(3)])
        .expect("append succeeds");
    disk.fail_sync_after(0);
    log.sync().expect_err("the flush failed");
    drop(log);
    disk.kill();
    // The machine still shows what the flush did not bring to the disk, and takes it for written.
    let (log, recovered) = open(&disk).expect("opens");
    let reported = recovered.replicas[0].last_lsn();
    assert_eq!(reported, Lsn(3));
    drop(log);
    disk.lose_unflushed();
    let (_, recovered) = open(&disk).expect("opens");
    assert_eq!(recovered.replicas[0].last_lsn(), reported);
}

#[test]
fn a_full_disk_refuses_before_anything_is_written_and_recovers() {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    log.append(&[large(1)]).expect("append succeeds");
    log.sync().expect("sync succeeds");
    disk.set_capacity(Some(disk.used()));
    let mut last = 1;
    let refused = loop {
        match log.append(&[large(last + 1), large(last + 2)]) {
            Ok(()) => last += 2,
            Err(error) => break error,
        }
        log.sync().expect("what was taken can be flushed");
    };
    assert_eq!(refused.code(), ErrorCode::DiskFull);
    assert!(log.is_nearly_full());
    log.prepare().expect("a full disk is no failure");
    assert!(log.is_nearly_full());

    disk.set_capacity(None);
    log.prepare().expect("there is room again");
    assert!(!log.is_nearly_full());
    log.append(&[large(last + 1)]).expect("append succeeds");
    log.sync().expect("sync succeeds");
    drop(log);
    disk.crash(7);
    let (_, recovered) = open(&disk).expect("opens");
    assert_eq!(recovered.replicas[0].last_lsn(), Lsn(last + 1));
    assert_eq!(recovered.torn_tail, None);
}

#[test]
fn room_made_ready_lets_promised_work_end_on_a_full_disk() {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    for _ in 0..10 {
        log.prepare().expect("there is room");
    }
    disk.set_capacity(Some(disk.used()));
    assert!(!log.is_nearly_full());
    // The segment written to cannot grow; the spare one, which is ready, holds four of these.
    for lsn in 1..=4 {
        log.append(&[large(lsn)]).expect("append succeeds");
        log.sync().expect("sync succeeds");
        assert!(log.is_nearly_full() || lsn == 1);
    }
    let refused = log.append(&[large(5)]).expect_err("no room is left");
    assert_eq!(refused.code(), ErrorCode::DiskFull);
    drop(log);
    disk.crash(1);
    let (_, recovered) = open(&disk).expect("opens");
    assert_eq!(recovered.replicas[0].last_lsn(), Lsn(4));
}

#[test]
fn bytes_of_an_earlier_life_never_join_the_log() {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    // Batches of one size lie at the same places in each life of a segment.
    for lsn in 1..=400 {
        log.append(&[large(lsn)]).expect("append succeeds");
        log.sync().expect("sync succeeds");
        if lsn % 4 == 0 {
            log.append(&[state(lsn, 0, 1)]).expect("append succeeds");
            log.sync().expect("sync succeeds");
        }
        let fork = disk.fork();
        fork.kill();
        let (_, recovered) = open(&fork).expect("opens");
        assert_eq!((recovered.damage, recovered.torn_tail), (None, None));
        assert_eq!(recovered.replicas[0].last_lsn(), Lsn(lsn));
    }
    assert!(log.statistics().recycled > 80);
    let newest = segments(&disk).pop().expect("there are segments");
    let old = newest.1.iter().filter(|byte| **byte == 0xee).count();
    assert!(
        old > 3000,
        "the segment is full of bytes of an earlier life"
    );
}

#[test]
fn a_restart_skips_segments_that_hold_nothing_needed() {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    let other = LogRecord {
        partition: ringhold_storage::conformance::partition(2),
        ..entry(1, 1)
    };
    log.append(&[other]).expect("append succeeds");
    for lsn in 1..=40 {
        log.append(&[large(lsn)]).expect("append succeeds");
        log.sync().expect("sync succeeds");
    }
    log.append(&[state(40, 0, 1)]).expect("append succeeds");
    for lsn in 41..=50 {
        log.append(&[large(lsn)]).expect("append succeeds");
        log.sync().expect("sync succeeds");
    }
    drop(log);
    disk.kill();
    // The third segment is rotten, but only the first one pins it.
    let (path, _) = segments(&disk).swap_remove(2);
    disk.tamper(&path, b"rotten".to_vec());
    let (_, recovered) = open(&disk).expect("opens");
    assert_eq!(recovered.damage, None);
    assert_eq!(recovered.replicas.len(), 2);
    assert_eq!(recovered.replicas[0].last_lsn(), Lsn(50));
    // Without the checkpoint it is read, and found out.
    disk.remove(&Path::new(DIRECTORY).join("checkpoint"))
        .expect("removed");
    let (_, recovered) = open(&disk).expect("opens");
    assert!(recovered.damage.is_some());
}

#[test]
fn a_record_larger_than_a_segment_is_refused_whole() {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    let too_large = LogRecord {
        payload: Bytes::from(vec![1; 16 * 1024]),
        ..entry(1, 2)
    };
    let refused = log.append(&[entry(1, 1), too_large]);
    assert!(matches!(refused, Err(StorageError::RecordTooLarge { .. })));
    log.append(&[entry(1, 1)]).expect("nothing was taken");
    let largest = LogRecord {
        payload: Bytes::from(vec![1; 12 * 1024 - 64 - 30]),
        ..entry(1, 2)
    };
    log.append(std::slice::from_ref(&largest)).expect("it fits");
    log.sync().expect("sync succeeds");
    drop(log);
    let (_, recovered) = open(&disk).expect("opens");
    assert_eq!(recovered.replicas[0].entries, [entry(1, 1), largest]);
}

#[test]
fn segments_of_another_size_are_read_and_replaced() {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    for lsn in 1..=9 {
        log.append(&[large(lsn)]).expect("append succeeds");
    }
    log.sync().expect("sync succeeds");
    drop(log);
    for segment_bytes in [64 * 1024, 32 * 1024] {
        let options = LogOptions {
            segment_bytes,
            ..OPTIONS
        };
        let opened = SegmentedLog::open_on(Arc::new(disk.clone()), DIRECTORY, options);
        let (mut log, recovered) = opened.expect("opens");
        let last = recovered.replicas[0].last_lsn().0;
        for lsn in last + 1..last + 40 {
            log.append(&[large(lsn)]).expect("append succeeds");
            log.append(&[state(lsn, 0, 1)]).expect("append succeeds");
            log.sync().expect("sync succeeds");
        }
    }
    let (_, recovered) = open(&disk).expect("opens");
    assert_eq!(recovered.replicas[0].last_lsn(), Lsn(87));
}

#[test]
fn a_log_of_another_cluster_is_refused_with_both_ids() {
    let disk = SimulatedFileSystem::new();
    drop(open(&disk).expect("opens"));
    let options = LogOptions {
        cluster: ClusterId(78),
        ..OPTIONS
    };
    let refused = SegmentedLog::open_on(Arc::new(disk), DIRECTORY, options);
    let Err(refused) = refused else {
        panic!("opened the log of another cluster");
    };
    assert_eq!(refused.code(), ErrorCode::DataDirectory);
    let text = refused.to_string();
    assert!(text.contains("4d") && text.contains("4e"), "{text}");
}

#[test]
fn opening_and_closing_again_and_again_costs_no_space() {
    let disk = SimulatedFileSystem::new();
    for lsn in 1..=50 {
        let (mut log, recovered) = open(&disk).expect("opens");
        assert_eq!(recovered.torn_tail, None);
        log.append(&[entry(1, lsn)]).expect("append succeeds");
        log.sync().expect("sync succeeds");
    }
    assert!(disk.used() <= 2 * 16 * 1024, "{} bytes", disk.used());
}
