//! The log store and state machine under openraft's own suite, and across a restart.

use std::sync::Arc;

use openraft::StorageError;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, RaftLogReader};
use ringhold_control::Command;
use ringhold_storage::RedbStore;
use ringhold_types::StartNonce;
use tempfile::TempDir;

use crate::control::disk::Disk;
use crate::control::events::Publisher;
use crate::control::log_store::LogStore;
use crate::control::metadata::{Batch, Identity, Metadata};
use crate::control::state_machine::StateMachine;
use crate::control::types::{Entry, LeaderId, LogId, Proposal, RaftTypes, Vote};

struct Stores;

fn open(directory: &TempDir) -> Metadata {
    let store = RedbStore::open(directory.path().join("metadata.redb")).expect("opens");
    Metadata::new(Arc::new(store))
}

impl StoreBuilder<RaftTypes, LogStore, StateMachine, TempDir> for Stores {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<RaftTypes>> {
        let directory = tempfile::tempdir().expect("a directory");
        let metadata = open(&directory);
        let found = metadata.load().expect("an empty store loads");
        let disk = Disk::start(metadata).expect("a thread");
        let (publisher, _events) = Publisher::new();
        let log = LogStore::new(found.log, disk.clone());
        let machine = StateMachine::new(found.snapshot, disk, Arc::new(publisher));
        Ok((directory, log, machine))
    }
}

#[test]
fn the_log_store_and_the_state_machine_pass_the_suite_of_openraft() {
    RaftTypes::run(async {
        Suite::test_all(Stores).await.expect("the suite passes");
    });
}

fn entry(index: u64) -> Entry {
    let log_id = LogId {
        leader_id: LeaderId {
            term: 3,
            node_id: 9,
        },
        index,
    };
    let command = Command::RaiseFeatureLevel {
        level: u32::try_from(index).expect("small"),
    };
    Entry {
        log_id,
        payload: EntryPayload::Normal(Proposal(command)),
    }
}

#[tokio::test]
async fn vote_log_and_identity_are_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let vote = Vote::new_committed(3, 9);
    let identity = Identity {
        cluster: Some(ringhold_types::ClusterId(77)),
        accepted: StartNonce(1),
        presented: vec![StartNonce(2), StartNonce(3)],
    };
    {
        let metadata = open(&directory);
        let found = metadata.load().expect("loads");
        let disk = Disk::start(metadata).expect("a thread");
        let mut log = LogStore::new(found.log, disk.clone());
        log.save_vote(&vote).await.expect("saved");
        let (sender, flushed) = RaftTypes::oneshot();
        log.append((0..10).map(entry), IOFlushed::signal(sender))
            .await
            .expect("appended");
        flushed.await.expect("answered").expect("durable");
        log.truncate_after(Some(entry(7).log_id))
            .await
            .expect("cut");
        log.purge(entry(2).log_id).await.expect("purged");
        disk.write(Batch::default().identity(&identity))
            .await
            .expect("written");
        disk.stop().await;
        assert!(
            log.save_vote(&vote).await.is_err(),
            "a stopped store takes nothing"
        );
    }
    let metadata = open(&directory);
    let found = metadata.load().expect("loads");
    assert_eq!(found.identity, identity);
    let disk = Disk::start(metadata).expect("a thread");
    let mut log = LogStore::new(found.log, disk);
    assert_eq!(log.read_vote().await.expect("read"), Some(vote));
    let state = log.get_log_state().await.expect("read");
    assert_eq!(state.last_purged_log_id, Some(entry(2).log_id));
    assert_eq!(state.last_log_id, Some(entry(7).log_id));
    let entries = log.try_get_log_entries(0..100).await.expect("read");
    assert_eq!(entries, (3..8).map(entry).collect::<Vec<_>>());
}
