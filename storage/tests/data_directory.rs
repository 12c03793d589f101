//! Whose directory it is, and what bad directories get.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ringhold_storage::{DataDirectory, DirectoryExpectation, StorageError};
use ringhold_types::{ClusterId, ErrorCode, MemberId, UnixMillis};
use tempfile::TempDir;

fn expecting(name: &str, cluster: Option<u128>) -> DirectoryExpectation {
    DirectoryExpectation {
        member_name: name.to_owned(),
        cluster: cluster.map(ClusterId),
        now: UnixMillis(1_700_000_000_000),
    }
}

fn place() -> (TempDir, PathBuf) {
    let parent = TempDir::new().expect("a temporary directory");
    let path = parent.path().join("deep/data");
    (parent, path)
}

/// The refusal's text, after checking its code.
fn refusal(opened: Result<DataDirectory, StorageError>) -> String {
    let error = opened.expect_err("the directory must be refused");
    assert_eq!(error.code(), ErrorCode::DataDirectory, "{error}");
    error.to_string()
}

#[test]
fn a_directory_keeps_its_identity() {
    let (_parent, path) = place();
    let mut first = DataDirectory::open(&path, &expecting("m1", None)).expect("made");
    assert!(first.is_new());
    assert_ne!(first.identity().member, MemberId(0));
    first.set_cluster(ClusterId(9)).expect("recorded");
    first.set_cluster(ClusterId(9)).expect("the same is fine");
    let other = first.set_cluster(ClusterId(8));
    assert!(matches!(other, Err(StorageError::OtherCluster { .. })));
    let identity = first.identity().clone();
    drop(first);

    let again = DataDirectory::open(&path, &expecting("m1", Some(9))).expect("opens again");
    assert!(!again.is_new());
    assert_eq!(*again.identity(), identity);
    assert_eq!(identity.cluster, Some(ClusterId(9)));
    assert_eq!(identity.created, UnixMillis(1_700_000_000_000));
}

#[test]
fn two_new_directories_have_different_member_ids() {
    let ids = [place(), place()].map(|(_parent, path)| {
        let opened = DataDirectory::open(&path, &expecting("m1", None)).expect("made");
        opened.identity().member
    });
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_directory_in_use_is_refused_until_it_is_closed() {
    let (_parent, path) = place();
    let held = DataDirectory::open(&path, &expecting("m1", None)).expect("made");
    let text = refusal(DataDirectory::open(&path, &expecting("m1", None)));
    assert!(text.contains("in use by another process"), "{text}");
    drop(held);
    DataDirectory::open(&path, &expecting("m1", None)).expect("free again");
}

#[test]
fn a_directory_of_another_member_or_cluster_is_refused_by_name() {
    let (_parent, path) = place();
    drop(DataDirectory::open(&path, &expecting("m1", Some(9))).expect("made"));
    let text = refusal(DataDirectory::open(&path, &expecting("m2", Some(9))));
    assert!(text.contains("\"m1\"") && text.contains("\"m2\""), "{text}");
    let text = refusal(DataDirectory::open(&path, &expecting("m1", Some(10))));
    assert!(text.contains(&ClusterId(9).to_string()), "{text}");
    assert!(text.contains(&ClusterId(10).to_string()), "{text}");
    DataDirectory::open(&path, &expecting("m1", None)).expect("unchanged by the refusals");
}

#[test]
fn a_directory_of_another_version_or_a_damaged_identity_is_refused() {
    let (_parent, path) = place();
    drop(DataDirectory::open(&path, &expecting("m1", None)).expect("made"));
    let identity = path.join("identity");
    let text = fs::read_to_string(&identity).expect("text");
    let newer = text.replace("format = 1", "format = 2");
    fs::write(&identity, newer).expect("written");
    let refused = refusal(DataDirectory::open(&path, &expecting("m1", None)));
    assert!(refused.contains("format 2"), "{refused}");
    for bad in ["", "format = 1\nmember = zz\n", "\u{0}\u{1}"] {
        fs::write(&identity, bad).expect("written");
        let refused = DataDirectory::open(&path, &expecting("m1", None));
        assert!(matches!(refused, Err(StorageError::IdentityDamaged { .. })));
    }
}

#[test]
fn other_peoples_files_are_never_taken_over() {
    let (parent, path) = place();
    fs::create_dir_all(&path).expect("made");
    fs::write(path.join("thesis.tex"), "precious").expect("written");
    let text = refusal(DataDirectory::open(&path, &expecting("m1", None)));
    assert!(text.contains("thesis.tex"), "{text}");

    let file = parent.path().join("file");
    fs::write(&file, "x").expect("written");
    for path in [file.clone(), file.join("below")] {
        let text = refusal(DataDirectory::open(&path, &expecting("m1", None)));
        assert!(text.contains("not a directory"), "{text}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let (_parent, path) = place();
    fs::create_dir_all(&path).expect("made");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).expect("set");
    // Permissions do not bind the superuser, who can always write.
    if fs::write(path.join("probe"), "x").is_ok() {
        fs::remove_file(path.join("probe")).expect("removed");
        let read_only = DataDirectory::open("/proc/ringhold", &expecting("m1", None));
        assert!(read_only.is_err());
        return;
    }
    let text = refusal(DataDirectory::open(&path, &expecting("m1", None)));
    assert!(text.contains("not writable"), "{text}");
}
