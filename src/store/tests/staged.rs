//! Puts that don't wait for the store.

use std::sync::Arc;

use object_store::memory::InMemory;

use super::faults::Faulty;
use super::*;

#[test]
fn staged_puts_do_not_wait_for_an_unavailable_store_and_are_stored_later() {
    const COUNT: u64 = 100;
    const BYTES: usize = 1 << 20;
    let directory = tempfile::tempdir().unwrap();
    let store = Faulty::new(Arc::new(InMemory::new()));
    let repository = Repository::over("test:", store.clone()).unwrap();
    let name = full_name(0);
    let upload = repository.begin(&name, 2).unwrap();
    let data = |index: u64| {
        let mut data = vec![0; BYTES];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&index.to_le_bytes());
        hasher.finalize_xof().fill(&mut data);
        data
    };
    store.close();
    upload.stage(directory.path());
    for index in 0..COUNT {
        let last = index + 1 == COUNT;
        let at = index * BYTES as u64;
        let parts = object("t.MYD", at, &data(index), last);
        upload.put("t.MYD", index, at, parts).unwrap();
    }
    // reached only if the puts didn't wait: two at once, and none is stored
    upload.unstage();
    store.open();
    let objects = upload.finish_file("t.MYD").unwrap();
    assert_eq!(objects.len() as u64, COUNT);
    for object in &objects {
        let got = repository.fetch(&name, "t.MYD", object).unwrap();
        let expected = data(object.index);
        assert!(
            got.windows(64).any(|w| w == &expected[..64]),
            "{}",
            object.index
        );
    }
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        0,
        "it has no name"
    );
    assert!(store.most() <= 4, "{}", store.most());
    upload.abort().unwrap();
}

#[test]
fn a_failure_ends_staged_puts() {
    let directory = tempfile::tempdir().unwrap();
    let store = Faulty::new(Arc::new(InMemory::new()));
    let repository = Repository::over("test:", store.clone()).unwrap();
    let upload = repository.begin(&full_name(0), 1).unwrap();
    store.set(|f| f.refuse_put = Some("/t.MYD".to_owned()));
    upload.stage(directory.path());
    for index in 0..10 {
        let parts = object("t.MYD", index, b"x", index == 9);
        if upload.put("t.MYD", index, index, parts).is_err() {
            break;
        }
    }
    let error = upload.finish_file("t.MYD").unwrap_err().to_string();
    assert!(error.contains("injected: put refused"), "{error}");
    upload.abort().unwrap();
}

#[test]
fn without_a_disk_staged_puts_wait() {
    let store = Faulty::new(Arc::new(InMemory::new()));
    let repository = Repository::over("test:", store.clone()).unwrap();
    let upload = repository.begin(&full_name(0), 2).unwrap();
    upload.stage(std::path::Path::new("/nowhere/at/all"));
    for index in 0..12u64 {
        let at = index * (16 << 20);
        let parts = vec![bytes::Bytes::from(vec![1; 16 << 20])];
        upload.put("t.MYD", index, at, parts).unwrap();
    }
    assert_eq!(upload.finish_file("t.MYD").unwrap().len(), 12);
    upload.abort().unwrap();
}
