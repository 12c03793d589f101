//! What every metadata store must do.

use crate::metadata::KeyValue;
use crate::{MetadataStore, StorageError, TableName, WriteBatch};

const LOG: TableName = TableName("log");
const OTHER: TableName = TableName("other");

/// A kind of metadata store under test.
pub trait MetadataBackend {
    /// Makes a place for a new, empty store and forgets the one before.
    fn renew(&mut self);

    /// Opens the store at the current place; the one opened before has been dropped.
    ///
    /// # Errors
    /// As the backend's.
    fn open(&mut self) -> Result<Box<dyn MetadataStore>, StorageError>;
}

/// Runs every check.
///
/// # Panics
/// At the first deviation.
pub fn check_metadata(backend: &mut dyn MetadataBackend) {
    let checks: [fn(&mut dyn MetadataBackend); 6] = [
        a_new_store_is_empty,
        what_was_written_is_found_after_reopening,
        a_batch_applies_in_its_order,
        ranges_are_ordered_and_limited,
        range_deletes_respect_their_ends_and_their_table,
        the_last_key_is_the_highest,
    ];
    for check in checks {
        backend.renew();
        check(backend);
    }
}

fn open(backend: &mut dyn MetadataBackend) -> Box<dyn MetadataStore> {
    backend.open().expect("the store opens")
}

fn write(store: &dyn MetadataStore, batch: WriteBatch) {
    store.write(batch).expect("the write succeeds");
}

/// Ten numbered keys.
fn ten() -> WriteBatch {
    (0..10).fold(WriteBatch::new(), |batch, number: u8| {
        batch.put(LOG, [number], [number, number])
    })
}

fn all(store: &dyn MetadataStore, table: TableName) -> Vec<KeyValue> {
    store.range(table, &[], usize::MAX).expect("range succeeds")
}

fn keys(store: &dyn MetadataStore, table: TableName) -> Vec<u8> {
    all(store, table).iter().map(|(key, _)| key[0]).collect()
}

fn a_new_store_is_empty(backend: &mut dyn MetadataBackend) {
    let store = open(backend);
    assert_eq!(store.get(LOG, b"key").expect("get succeeds"), None);
    assert_eq!(store.last(LOG).expect("last succeeds"), None);
    assert_eq!(all(&*store, LOG), []);
    write(&*store, WriteBatch::new());
    write(&*store, WriteBatch::new().delete(LOG, *b"absent"));
}

fn what_was_written_is_found_after_reopening(backend: &mut dyn MetadataBackend) {
    let store = open(backend);
    let batch = WriteBatch::new()
        .put(LOG, *b"a", *b"1")
        .put(OTHER, *b"a", *b"2")
        .put(LOG, *b"empty", *b"");
    write(&*store, batch);
    drop(store);
    let store = open(backend);
    let get = |table, key: &[u8]| store.get(table, key).expect("get succeeds");
    assert_eq!(get(LOG, b"a"), Some(b"1".to_vec()));
    assert_eq!(get(OTHER, b"a"), Some(b"2".to_vec()));
    assert_eq!(get(LOG, b"empty"), Some(Vec::new()));
    assert_eq!(get(OTHER, b"empty"), None);
}

fn a_batch_applies_in_its_order(backend: &mut dyn MetadataBackend) {
    let store = open(backend);
    let mut batch = WriteBatch::new()
        .put(LOG, *b"k", *b"first")
        .delete(LOG, *b"k")
        .put(LOG, *b"x", *b"gone")
        .delete_range(LOG, *b"x", None);
    batch.append(WriteBatch::new().put(LOG, *b"y", *b"old"));
    batch.append(WriteBatch::new().put(LOG, *b"y", *b"new"));
    write(&*store, batch);
    assert_eq!(all(&*store, LOG), [(b"y".to_vec(), b"new".to_vec())]);
}

fn ranges_are_ordered_and_limited(backend: &mut dyn MetadataBackend) {
    let store = open(backend);
    write(&*store, ten());
    write(&*store, WriteBatch::new().put(OTHER, [0], [0]));
    assert_eq!(keys(&*store, LOG), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let some = store.range(LOG, &[4], 3).expect("range succeeds");
    let expected = [4, 5, 6].map(|number| (vec![number], vec![number, number]));
    assert_eq!(some, expected);
    assert_eq!(store.range(LOG, &[4], 0).expect("range succeeds"), []);
    assert_eq!(store.range(LOG, &[10], 5).expect("range succeeds"), []);
}

fn range_deletes_respect_their_ends_and_their_table(backend: &mut dyn MetadataBackend) {
    let store = open(backend);
    write(&*store, ten());
    write(&*store, WriteBatch::new().put(OTHER, [3], [3]));
    let batch = WriteBatch::new()
        .delete_range(LOG, [2], Some(vec![5]))
        .delete_range(LOG, [8], None)
        .delete_range(LOG, [7], Some(vec![6]));
    write(&*store, batch);
    assert_eq!(keys(&*store, LOG), [0, 1, 5, 6, 7]);
    assert_eq!(keys(&*store, OTHER), [3]);
    drop(store);
    assert_eq!(keys(&*open(backend), LOG), [0, 1, 5, 6, 7]);
}

fn the_last_key_is_the_highest(backend: &mut dyn MetadataBackend) {
    let store = open(backend);
    write(&*store, ten());
    write(&*store, WriteBatch::new().put(OTHER, [200], [0]));
    let last = store.last(LOG).expect("last succeeds");
    assert_eq!(last, Some((vec![9], vec![9, 9])));
    write(&*store, WriteBatch::new().delete_range(LOG, [5], None));
    let last = store.last(LOG).expect("last succeeds");
    assert_eq!(last, Some((vec![4], vec![4, 4])));
}
