//! Everything is synced before an extraction succeeds.

use super::extract::Extraction;
use super::unsynced::Unsynced;
use super::{ArchiveError, ExtractOptions, ExtractReport, Input, streams};
use crate::codec::{Compression, compress};
use crate::progress::{Phase, Progress, Silent};
use crate::xbstream::{Writer, rename_chunk};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Files at all depths, one of which is unwrapped, and one renamed.
fn stream() -> Vec<u8> {
    let frame = compress(Compression::Zstd { level: 1 }, b"unwrapped").unwrap();
    let mut w = Writer::new(Vec::new());
    w.payload("ibdata1", 0, b"bytes").unwrap();
    w.payload("db/t.ibd.zst", 0, &frame).unwrap();
    w.payload("x/y/z/old", 0, b"bytes").unwrap();
    for name in ["ibdata1", "db/t.ibd.zst", "empty", "x/y/z/old"] {
        w.end(name).unwrap();
    }
    let rename = rename_chunk("x/y/z/old", "other/new").unwrap();
    [&w.into_inner()[..], &rename].concat()
}

fn run(
    into: &Path,
    progress: &dyn Progress,
    sync: impl Fn(&Unsynced) -> Result<(), ArchiveError> + Send + Sync + 'static,
) -> Result<ExtractReport, ArchiveError> {
    let options = ExtractOptions {
        decompress: true,
        parallel: 2,
        ..ExtractOptions::new(into)
    };
    let extraction = Extraction::with_sync(options, sync)?;
    streams::run(extraction, vec![Input::Bytes(stream().into())], progress)
}

fn name(file: &Unsynced, root: &Path) -> String {
    let name = file.path().strip_prefix(root).unwrap();
    name.to_str().unwrap().to_owned()
}

#[test]
fn all_files_and_directories_are_synced_before_success() {
    let room = tempfile::tempdir().unwrap();
    let root = room.path().to_owned();
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let (into, log) = (root.clone(), Arc::clone(&seen));
    let report = run(&into, &Silent, move |file| {
        file.sync()?;
        // An extraction that doesn't wait for this would end first.
        std::thread::sleep(Duration::from_millis(50));
        log.lock().unwrap().insert(name(file, &root));
        Ok(())
    });
    assert_eq!(report.unwrap().files, 4);
    let files = ["ibdata1", "db/t.ibd", "empty", "x/y/z/old"];
    let directories = ["", "db", "x", "x/y", "x/y/z", "other"];
    let expected = files.into_iter().chain(directories).map(str::to_owned);
    assert_eq!(*seen.lock().unwrap(), expected.collect());
    assert!(into.join("other/new").exists());
}

#[test]
fn a_failed_sync_fails_the_extraction_with_the_path() {
    for bad in ["ibdata1", "db/t.ibd", "empty", "x/y/z/old", "x/y", ""] {
        let room = tempfile::tempdir().unwrap();
        let root = room.path().to_owned();
        let result = run(room.path(), &Silent, move |file| {
            if name(file, &root) != bad {
                return file.sync();
            }
            Err(ArchiveError::Unsynced {
                path: file.path().to_owned(),
                source: std::io::ErrorKind::StorageFull.into(),
            })
        });
        let error = result.unwrap_err().to_string();
        let path = room.path().join(bad);
        let told = format!(
            "{} did not reach the disk: no storage space",
            path.display()
        );
        assert!(error.starts_with(&told), "{bad}: {error}");
    }
}

/// Signals that all chunks were read.
#[derive(Default)]
struct Taken(Mutex<usize>, Condvar);

impl Progress for Arc<Taken> {
    fn advance(&self, _: Phase, _: u64) {
        *self.0.lock().unwrap() += 1;
        self.1.notify_all();
    }
}

#[test]
fn the_stream_is_read_while_a_sync_blocks() {
    const CHUNKS: usize = 8;
    let room = tempfile::tempdir().unwrap();
    let taken = Arc::new(Taken::default());
    let all = Arc::clone(&taken);
    run(room.path(), &taken, move |file| {
        let count = all.0.lock().unwrap();
        let (count, _) = all
            .1
            .wait_timeout_while(count, Duration::from_secs(60), |count| *count < CHUNKS)
            .unwrap();
        assert_eq!(
            *count,
            CHUNKS,
            "the stream waits for {}",
            file.path().display()
        );
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_panic_of_a_sync_is_an_error() {
    let room = tempfile::tempdir().unwrap();
    let root = room.path().to_owned();
    let result = run(room.path(), &Silent, move |file| {
        assert_ne!(name(file, &root), "ibdata1");
        Ok(())
    });
    assert!(matches!(result, Err(ArchiveError::Panicked(_))));
}
