//! Cancels every long job at random moments: it ends soon, its error is of the kind `Interrupted`, it leaves nothing that
//! looks finished, and the next run succeeds. `tests/e2e/cancels.rs` cancels backups of a running server.

#![allow(clippy::unwrap_used)]

use crate::archive::{
    self, CreateOptions, ExtractOptions, InPlaceOptions, Input, Layer, ListOptions,
};
use crate::cancel::Cancel;
use crate::cloud::{GetOptions, PutOptions};
use crate::codec::{Compression, compress};
use crate::consolidate::ConsolidateOptions;
use crate::error_kind::ErrorKind;
use crate::manifest::BackupName;
use crate::progress::{Phase, Progress, Silent};
use crate::reader::fixture::{Space, World, files_below, system};
use crate::restore::tests::prepared::double;
use crate::restore::{ApplierChoice, RestoreOptions};
use crate::store::tests::{backup, full_name, keys, memory};
use crate::store::{DeleteOptions, Policy, Repository};
use crate::verify::{Level, VerifyOptions, Which};
use crate::xbstream;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A cancelled job ends within this time.
const SOON: Duration = Duration::from_secs(10);
/// Number of moments at which each job is cancelled.
const MOMENTS: u32 = 12;

/// Cancels a job at its progress event with this number.
struct CancelAt {
    moment: usize,
    events: AtomicUsize,
    cancel: Cancel,
}

impl CancelAt {
    fn new(moment: usize) -> Self {
        let this = Self {
            moment,
            events: AtomicUsize::new(0),
            cancel: Cancel::new(),
        };
        if moment == 0 {
            this.cancel.cancel();
        }
        this
    }

    fn count(&self) {
        if self.events.fetch_add(1, Ordering::AcqRel) + 1 == self.moment {
            self.cancel.cancel();
        }
    }
}

impl Progress for CancelAt {
    fn phase(&self, _: Phase, _: Option<u64>) {
        self.count();
    }
    fn advance(&self, _: Phase, _: u64) {
        self.count();
    }
    fn note(&self, _: &str) {
        self.count();
    }
}

/// Cancels `job` at random moments. `left` checks the state after a job that succeeded or was interrupted.
fn at_random_moments<W>(
    make: impl Fn() -> W,
    job: impl Fn(&W, &Cancel, &dyn Progress) -> Result<(), ErrorKind>,
    left: impl Fn(&W, bool),
) {
    let whole = CancelAt::new(usize::MAX);
    let world = make();
    job(&world, &whole.cancel, &whole).unwrap();
    left(&world, true);
    let events = whole.events.into_inner();
    let one = |moment: usize| {
        let (world, progress) = (make(), CancelAt::new(moment));
        let begun = Instant::now();
        let result = job(&world, &progress.cancel, &progress);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert!(result.is_err() || moment > 0, "it was cancelled before");
        left(&world, result.is_ok());
        if let Err(kind) = result {
            assert_eq!(kind, ErrorKind::Interrupted, "moment {moment} of {events}");
            job(&world, &Cancel::new(), &Silent).unwrap();
            left(&world, true);
        }
    };
    one(0);
    let config = Config {
        cases: MOMENTS,
        failure_persistence: None,
        ..Config::default()
    };
    let moments = TestRunner::new(config).run(&(1..=events), |moment| {
        one(moment);
        Ok(())
    });
    moments.unwrap();
}

/// Five files of four chunks each.
fn contents() -> BTreeMap<String, Vec<u8>> {
    (0..5u8)
        .map(|n| (format!("db/t{n}.ibd"), vec![n + 1; 4000]))
        .collect()
}

fn stream(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, data) in files {
        for (number, piece) in data.chunks(1000).enumerate() {
            let (at, crc) = (number as u64 * 1000, xbstream::crc(piece));
            let head = xbstream::payload_head(path, at, piece.len() as u64, crc);
            out.extend_from_slice(&head.unwrap());
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(&xbstream::end_chunk(path).unwrap());
    }
    out
}

/// Several chunks at a time, from a file, also with threads that unwrap.
#[test]
fn extractions() {
    for wrapped in [false, true] {
        let plain = contents();
        let stored = plain.iter().map(|(path, data)| match wrapped {
            true => {
                let zstd = Compression::Zstd { level: 1 };
                (format!("{path}.zst"), compress(zstd, data).unwrap())
            }
            false => (path.clone(), data.clone()),
        });
        let stream = stream(&stored.collect());
        // Files that were complete before the interruption stay: the next run needs another directory.
        let runs = AtomicUsize::new(0);
        let directory = |dir: &tempfile::TempDir| {
            let number = runs.fetch_add(1, Ordering::Relaxed);
            let directory = dir.path().join(number.to_string());
            std::fs::create_dir(&directory).unwrap();
            directory
        };
        at_random_moments(
            || tempfile::tempdir().unwrap(),
            |dir, cancel, progress| {
                let options = ExtractOptions {
                    parallel: 2,
                    decompress: true,
                    cancel: cancel.clone(),
                    ..ExtractOptions::new(directory(dir))
                };
                let path = dir.path().join("stream");
                std::fs::write(&path, &stream).unwrap();
                let input = Input::File(std::fs::File::open(&path).unwrap());
                let report = archive::extract(vec![input], options, progress);
                report.map(drop).map_err(|error| error.kind())
            },
            |dir, finished| {
                let last = dir
                    .path()
                    .join((runs.load(Ordering::Relaxed) - 1).to_string());
                let found = files_below(&last);
                let whole = found
                    .iter()
                    .all(|(path, data)| plain.get(path) == Some(data));
                assert!(whole, "{:?}", found.keys());
                assert!(!finished || found.len() == plain.len());
            },
        );
    }
}

#[test]
fn an_extraction_that_waits_for_its_pipe() {
    let (read, write) = std::io::pipe().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = ExtractOptions::new(dir.path());
    let cancel = options.cancel.clone();
    std::thread::scope(|scope| {
        let file = std::fs::File::from(std::os::fd::OwnedFd::from(read));
        let job = scope.spawn(|| archive::extract(vec![Input::Pipe(file)], options, &Silent));
        cancel.cancel();
        let error = job.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    });
    drop(write);
}

#[test]
fn lists_and_creations() {
    let stream = stream(&contents());
    at_random_moments(
        || (),
        |(), cancel, progress| {
            let options = ListOptions {
                verify: true,
                cancel: cancel.clone(),
                ..ListOptions::default()
            };
            let input = Input::Bytes(stream.clone().into());
            let report = archive::list(vec![input], options, progress);
            report.map(drop).map_err(|error| error.kind())
        },
        |(), _| {},
    );
    let source = tempfile::tempdir().unwrap();
    for (path, data) in contents() {
        let path = source.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, data).unwrap();
    }
    let files: Vec<_> = contents().keys().map(Into::into).collect();
    at_random_moments(
        || std::sync::Mutex::new(Vec::new()),
        |out, cancel, progress| {
            let mut options = CreateOptions::new(source.path());
            options.cancel = cancel.clone();
            let mut made = Vec::new();
            let created = archive::create(&files, vec![&mut made], &options, progress);
            *out.lock().unwrap() = made;
            created.map(drop).map_err(|error| error.kind())
        },
        |out, finished| {
            let made = out.lock().unwrap().clone();
            let read = archive::list(
                vec![Input::Bytes(made.into())],
                ListOptions::default(),
                &Silent,
            );
            assert_eq!(read.is_ok_and(|report| report.is_whole()), finished);
        },
    );
}

#[test]
fn unwrapping_in_place() {
    at_random_moments(
        || {
            let dir = tempfile::tempdir().unwrap();
            for (path, data) in contents() {
                let path = dir.path().join(format!("{path}.zst"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let wrapped = compress(Compression::Zstd { level: 1 }, &data).unwrap();
                std::fs::write(path, wrapped).unwrap();
            }
            dir
        },
        |dir, cancel, progress| {
            let mut options = InPlaceOptions::new(dir.path(), Layer::Compression);
            options.cancel = cancel.clone();
            let report = archive::unwrap_in_place(&options, progress);
            report.map(drop).map_err(|error| error.kind())
        },
        |dir, finished| {
            let mut found = files_below(dir.path());
            for (path, data) in contents() {
                assert!(found.remove(&format!("{path}.zst")).is_some());
                let made = found.remove(&path);
                assert!(
                    made.is_none_or(|made| made == data)
                        && (!finished || dir.path().join(path).exists())
                );
            }
            assert!(found.is_empty(), "{:?}", found.keys());
        },
    );
}

fn backup_stream() -> Vec<u8> {
    let mut files = contents();
    files.insert("xtrabackup_tablespaces".to_owned(), b"[]".to_vec());
    stream(&files)
}

fn put(repository: &Repository, cancel: &Cancel, progress: &dyn Progress) -> Result<(), ErrorKind> {
    let options = PutOptions {
        cancel: cancel.clone(),
        ..PutOptions::default()
    };
    let name = BackupName::parse("b").unwrap();
    let inputs = vec![Input::Bytes(backup_stream().into())];
    let put = crate::cloud::put(repository, &name, inputs, &options, progress);
    put.map(drop).map_err(|error| error.kind())
}

#[test]
fn cloud_puts() {
    at_random_moments(
        memory,
        |(repository, _), cancel, progress| put(repository, cancel, progress),
        |(_, store), finished| assert_eq!(keys(&**store).len(), if finished { 27 } else { 0 }),
    );
}

#[test]
fn cloud_gets() {
    let (repository, _) = memory();
    put(&repository, &Cancel::new(), &Silent).unwrap();
    at_random_moments(
        || std::sync::Mutex::new(Vec::new()),
        |out, cancel, progress| {
            let options = GetOptions {
                cancel: cancel.clone(),
                ..GetOptions::default()
            };
            let (name, mut got) = (BackupName::parse("b").unwrap(), Vec::new());
            let report = crate::cloud::get(&repository, &name, &mut got, &options, progress);
            *out.lock().unwrap() = got;
            report.map(drop).map_err(|error| error.kind())
        },
        |out, finished| {
            let got = out.lock().unwrap().clone();
            let whole = got.len() == backup_stream().len();
            assert!(whole || !finished);
        },
    );
}

#[test]
fn prunes() {
    at_random_moments(
        || {
            let (repository, store) = memory();
            for second in 0..3u64 {
                let name = full_name(second as i64 * 1000);
                backup(&repository, &name, None, 1000 * (second + 1));
            }
            (repository, store)
        },
        |(repository, _), cancel, progress| {
            let policy = Policy {
                keep_full: Some(1),
                ..Policy::default()
            };
            let options = DeleteOptions {
                cancel: cancel.clone(),
                lease: Some(Duration::from_secs(1)),
                parallel: 2,
                ..DeleteOptions::default()
            };
            let now = chrono::Utc::now();
            let report = crate::store::prune(repository, &policy, &options, now, progress);
            let report = report.map_err(|error| error.kind())?;
            assert_eq!((report.failed, report.skipped), (vec![], vec![]));
            Ok(())
        },
        |(repository, _), finished| {
            let listed = repository.list().unwrap();
            assert!(!finished || listed.len() == 1, "{listed:?}");
            let newest = full_name(2000);
            assert!(
                listed
                    .iter()
                    .any(|backup| backup.name == newest && backup.finished().is_some())
            );
        },
    );
}

fn world() -> World {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 20, 50));
    world.backup(&spaces);
    spaces[2].write(5, 2_000_000, 2);
    world.backup(&spaces);
    world
}

#[test]
fn verifications() {
    let world = world();
    at_random_moments(
        || (),
        |(), cancel, progress| {
            let options = VerifyOptions {
                level: Level::Data,
                threads: 2,
                cancel: cancel.clone(),
                ..VerifyOptions::default()
            };
            let report = crate::verify::verify(&world.repo, Which::All, &options, progress);
            report.map(drop).map_err(|error| error.kind())
        },
        |(), _| {},
    );
}

#[test]
fn consolidations() {
    at_random_moments(
        || {
            let world = world();
            let before = files_below(&world.dir.path().join("repo"));
            (world, before)
        },
        |(world, _), cancel, progress| {
            let options = ConsolidateOptions {
                threads: 2,
                range_bytes: 4096,
                window_pages: 50,
                cancel: cancel.clone(),
                ..ConsolidateOptions::default()
            };
            let made = crate::consolidate::consolidate(&world.repo, "latest", &options, progress);
            made.map(drop).map_err(|error| error.kind())
        },
        |(world, before), finished| {
            let after = files_below(&world.dir.path().join("repo"));
            assert_eq!(after == *before, !finished);
        },
    );
}

#[test]
fn restores() {
    let world = world();
    let program = double(world.dir.path(), "ok", "8.4.6");
    at_random_moments(
        || tempfile::tempdir_in(world.dir.path()).unwrap(),
        |dir, cancel, progress| {
            let options = RestoreOptions {
                applier: ApplierChoice::Xtrabackup,
                xtrabackup: Some(program.clone()),
                user: Some("root".into()),
                threads: 2,
                cancel: cancel.clone(),
                ..RestoreOptions::new(dir.path().join("data"))
            };
            let plan = crate::restore::plan(&world.repo, "latest", &options);
            let plan = plan.map_err(|error| error.kind())?;
            let report = crate::restore::run(&world.repo, &plan, &options, progress);
            report.map(drop).map_err(|error| error.kind())
        },
        |dir, finished| {
            let names = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
            assert_eq!(names(dir.path()), usize::from(finished));
        },
    );
}
