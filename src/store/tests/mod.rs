//! Tests of the module, over an in-memory store, a directory, and stores with injected faults.

use crate::manifest::{BackupName, FileEntry, FileRole, Manifest, StoredPath};
mod authentic;
pub(crate) mod breaking;
mod bucket;
mod chains;
mod conformance;
mod damage;
mod deletes;
pub(crate) mod faults;
mod headers;
mod health;
mod latest;
mod lease_races;
mod leases;
mod local;
mod markers;
mod order;
mod packs;
mod race_store;
mod reading;
mod retention;
mod scope;
pub(crate) mod sim_store;
mod slots;
mod staged;
mod uploads;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::innodb::{Lsn, PageSize};
pub(crate) use crate::manifest::fixture::{SERVER, at, full_name, incr_name, manifest};
use crate::store::*;
use crate::xbstream;

/// Returns one xbstream object: a chunk of `data` at `offset`, and the end chunk if it is the last.
pub(crate) fn object(path: &str, offset: u64, data: &[u8], last: bool) -> Vec<Bytes> {
    let crc = xbstream::crc(data);
    let mut parts = vec![
        xbstream::payload_head(path, offset, data.len() as u64, crc).unwrap(),
        Bytes::copy_from_slice(data),
    ];
    if last {
        parts.push(xbstream::end_chunk(path).unwrap());
    }
    parts
}

/// Puts `path` as `count` objects of 100 bytes each and finishes it.
pub(crate) fn put_file(upload: &Upload, path: &str, count: u64) -> Result<FileEntry, StoreError> {
    for index in (0..count).rev() {
        let data = [index as u8; 100];
        upload.put(
            path,
            index,
            index * 100,
            object(path, index * 100, &data, index + 1 == count),
        )?;
    }
    Ok(FileEntry {
        wrapping: None,
        path: StoredPath::new(path),
        role: FileRole::Plain,
        bytes: count * 100,
        objects: upload.finish_file(path)?,
    })
}

/// Makes a small complete backup. `change` is applied to its manifest before the put.
pub(crate) fn backup_with(
    repository: &Repository,
    name: &BackupName,
    base: Option<&Manifest>,
    to: u64,
    change: impl FnOnce(&mut Manifest),
) -> Manifest {
    let upload = repository.begin(name, 4).unwrap();
    let files = vec![
        put_file(&upload, "db/t.ibd", 3).unwrap(),
        put_file(&upload, "xtrabackup_info", 1).unwrap(),
        put_file(&upload, "xtrabackup_tablespaces", 1).unwrap(),
    ];
    let mut manifest = manifest(name, base, to, files);
    change(&mut manifest);
    upload.finish(&manifest).unwrap();
    manifest
}

/// Begins an incremental that is entered in the ledger of its chain, as every one is.
pub(crate) fn entered(
    repository: &Repository,
    name: &BackupName,
    base: &Manifest,
    to: u64,
) -> Manifest {
    let upload = repository.begin(name, 4).unwrap();
    let ttl = std::time::Duration::from_secs(60);
    upload.follow(&base.name, ttl).unwrap();
    let files = vec![put_file(&upload, "db/t.ibd", 3).unwrap()];
    let manifest = manifest(name, Some(base), to, files);
    upload.finish(&manifest).unwrap();
    manifest
}

pub(crate) fn backup(
    repository: &Repository,
    name: &BackupName,
    base: Option<&Manifest>,
    to: u64,
) -> Manifest {
    backup_with(repository, name, base, to, |_| {})
}

pub(crate) fn memory() -> (Repository, std::sync::Arc<object_store::memory::InMemory>) {
    let store = std::sync::Arc::new(object_store::memory::InMemory::new());
    let repository = Repository::over("memory:", store.clone()).unwrap();
    (repository, store)
}

/// Puts an object directly, as another tool would.
pub(crate) fn put_raw(store: &dyn object_store::ObjectStore, key: &str, bytes: &[u8]) {
    let path = object_store::path::Path::parse(key).unwrap();
    let put = store.put_opts(
        &path,
        Bytes::copy_from_slice(bytes).into(),
        Default::default(),
    );
    futures::executor::block_on(put).unwrap();
}

pub(crate) fn get_raw(store: &dyn object_store::ObjectStore, key: &str) -> Bytes {
    let path = object_store::path::Path::parse(key).unwrap();
    futures::executor::block_on(async {
        store
            .get_opts(&path, Default::default())
            .await?
            .bytes()
            .await
    })
    .unwrap()
}

pub(crate) fn remove_raw(store: &dyn object_store::ObjectStore, key: &str) {
    let path = object_store::path::Path::parse(key).unwrap();
    futures::executor::block_on(object_store::ObjectStoreExt::delete(store, &path)).unwrap();
}

/// Returns all keys except the repository's marker, which every backup leaves.
pub(crate) fn keys(store: &dyn object_store::ObjectStore) -> Vec<String> {
    use futures::TryStreamExt;
    let listed = store
        .list(None)
        .map_ok(|m| m.location.to_string())
        .try_collect::<Vec<_>>();
    let mut keys = futures::executor::block_on(listed).unwrap();
    keys.retain(|key| key != MARKER);
    keys.sort();
    keys
}
