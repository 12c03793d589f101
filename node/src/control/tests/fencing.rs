//! Leases while a command about their holder is on its way.

use std::sync::{Arc, Condvar, Mutex};

use ringhold_control::{Command, MemberStart, StoreReport};
use ringhold_storage::{MetadataStore, RedbStore, StorageError, TableName, WriteBatch};
use ringhold_types::{MemberId, StartNonce, UnixMillis};

use super::support::{PATIENCE, eventually, info, open_on, place, plan};
use crate::control::lease;

/// A store whose writes can be held up.
struct Gated {
    store: RedbStore,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    opened: Condvar,
}

#[derive(Default)]
struct GateState {
    closed: bool,
    waiting: bool,
}

impl Gate {
    fn close(&self) {
        self.state.lock().expect("not poisoned").closed = true;
    }

    fn open(&self) {
        self.state.lock().expect("not poisoned").closed = false;
        self.opened.notify_all();
    }

    /// Whether a write is held up.
    fn holds(&self) -> bool {
        self.state.lock().expect("not poisoned").waiting
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("not poisoned");
        while state.closed {
            state.waiting = true;
            state = self.opened.wait(state).expect("not poisoned");
        }
        state.waiting = false;
    }
}

impl MetadataStore for Gated {
    fn get(&self, table: TableName, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.store.get(table, key)
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StorageError> {
        self.gate.pass();
        self.store.write(batch)
    }

    fn range(
        &self,
        table: TableName,
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StorageError> {
        self.store.range(table, from, limit)
    }

    fn last(&self, table: TableName) -> Result<Option<(Vec<u8>, Vec<u8>)>, StorageError> {
        self.store.last(table)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_gets_no_lease_while_nobody_knows_what_became_of_the_command_to_forget_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = RedbStore::open(directory.path().join("metadata.redb")).expect("opens");
    let gate = Arc::new(Gate::default());
    let gated = Gated {
        store,
        gate: Arc::clone(&gate),
    };
    let one = open_on(Arc::new(gated), place(), &plan(1, 101, &[], 1)).await;
    one.plane.join().await.expect("joins");
    let (other, start) = (MemberId(2), StartNonce(201));
    let joins = Command::Start(MemberStart {
        member: info(other.0, "127.0.0.1:1"),
        last_accepted: StartNonce::ZERO,
        fresh: start,
        store: StoreReport::Empty,
        at: UnixMillis(1),
    });
    one.plane.propose(joins, PATIENCE).await.expect("answered");
    let core = &one.plane.core;
    let is_granted = || lease::grant(core, other, start).is_some();
    eventually("a lease", is_granted).await;

    gate.close();
    let forget = Command::Forget {
        member: other,
        process_ended: false,
        at: UnixMillis(1),
    };
    let plane = one.plane.clone();
    let asks = crate::spawn::task("asks", async move { plane.propose(forget, PATIENCE).await });
    eventually("it is being written", || gate.holds()).await;
    asks.abort();
    assert!(
        asks.await.is_err(),
        "whoever asked is gone, and has no answer"
    );
    eventually("others get theirs", || {
        lease::grant(core, core.own(), core.fresh).is_some()
    })
    .await;
    assert!(!is_granted(), "the command may yet be applied");

    // It is refused, as the member may be running.
    gate.open();
    eventually("a lease again", is_granted).await;
    one.stop().await;
}
