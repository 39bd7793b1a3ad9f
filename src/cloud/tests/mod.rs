//! Tests of the module, over an in-memory store and a store with injected faults.

mod delete;
mod get;
mod own;
mod put;
mod round;

use std::sync::Arc;

use object_store::memory::InMemory;

use super::*;
use crate::progress::Silent;
use crate::store::Repository;
use crate::store::tests::faults::Faulty;
use crate::store::tests::{get_raw, keys, put_raw, remove_raw};
use crate::xbstream::{self, Writer};

/// Returns a repository in a store with injected faults, and the store inside.
fn faulty() -> (Repository, Arc<Faulty>, Arc<InMemory>) {
    let inner = Arc::new(InMemory::new());
    let store = Faulty::new(inner.clone());
    let repository = Repository::over("test:", store.clone()).unwrap();
    (repository, store, inner)
}

fn name(text: &str) -> BackupName {
    BackupName::parse(text).unwrap()
}

/// Returns a stream of `files`, each with its path and payloads. Chunks of the files alternate,
/// those that mark a backup as finished come last.
fn stream(files: &[(&str, &[&[u8]])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let longest = files.iter().map(|(_, chunks)| chunks.len()).max();
    for round in 0..=longest.unwrap_or(0) {
        for (path, chunks) in files {
            let offset: usize = chunks.iter().take(round).map(|c| c.len()).sum();
            match chunks.get(round) {
                Some(data) => writer.payload(path, offset as u64, data).unwrap(),
                None if round == chunks.len() => writer.end(path).unwrap(),
                None => {}
            }
        }
    }
    writer.into_inner()
}

/// Returns a small complete backup.
fn small() -> Vec<u8> {
    stream(&[
        ("db/t.ibd", &[b"first ", b"second ", b"third"]),
        ("empty", &[]),
        ("xtrabackup_tablespaces", &[b"[]"]),
    ])
}

fn put_bytes(
    repository: &Repository,
    to: &str,
    bytes: &[u8],
    change: impl FnOnce(&mut PutOptions),
) -> Result<PutReport, CloudError> {
    let mut options = PutOptions::default();
    change(&mut options);
    let input = crate::archive::Input::Bytes(bytes.to_vec().into());
    put(repository, &name(to), vec![input], &options, &Silent)
}

fn get_bytes(
    repository: &Repository,
    from: &str,
    change: impl FnOnce(&mut GetOptions),
) -> (Vec<u8>, Result<GetReport, CloudError>) {
    let mut options = GetOptions::default();
    change(&mut options);
    let mut out = Vec::new();
    let result = get(repository, &name(from), &mut out, &options, &Silent);
    (out, result)
}

/// Returns the chunks of each path, in order.
fn by_path(stream: &[u8]) -> std::collections::BTreeMap<String, Vec<xbstream::Chunk>> {
    let mut out = std::collections::BTreeMap::<_, Vec<_>>::new();
    for chunk in xbstream::Reader::new(stream) {
        let chunk = chunk.unwrap();
        out.entry(chunk.path().to_owned()).or_default().push(chunk);
    }
    out
}

fn key(backup: &str, path: &str, index: u64) -> String {
    format!("{backup}/{path}.{index:020}")
}
