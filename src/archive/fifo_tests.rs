//! Several streams at once, through real FIFOs: no thread blocks forever.

use super::extract::Extraction;
use super::list::verifying;
use super::{ArchiveError, ExtractOptions, Input, ListOptions, extract, fifo, list, streams};
use crate::cancel::Cancel;
use crate::progress::Silent;
use crate::xbstream::Writer;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Much longer than any of these tests, also on a busy machine.
const LONG: Duration = Duration::from_secs(60);
const NONSENSE: &[u8] = b"nonsense, nonsense";

/// Runs `work` in a thread of its own, and panics if it takes longer than [`LONG`].
pub(crate) fn within<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(work()));
    let result = receiver.recv_timeout(LONG);
    result.unwrap_or_else(|error| panic!("{what}: {error}"))
}

fn payload(path: &str, data: &[u8]) -> Vec<u8> {
    let mut w = Writer::new(Vec::new());
    w.payload(path, 0, data).unwrap();
    w.into_inner()
}

fn whole(path: &str, data: &[u8]) -> Vec<u8> {
    let mut w = Writer::new(payload(path, data));
    w.end(path).unwrap();
    w.into_inner()
}

/// Writes a part of a chunk, and waits until it was read: the reader then waits for the rest.
fn half(fifo: &mut File) {
    let chunk = payload("open", b"bytes");
    fifo.write_all(&chunk[..chunk.len() - 2]).unwrap();
    let until = Instant::now() + LONG;
    while rustix::io::ioctl_fionread(&*fifo).unwrap() > 0 {
        assert!(Instant::now() < until, "the part was not read");
        std::thread::yield_now();
    }
}

type AsInput = fn(File) -> Input;

const PIPE: AsInput = Input::Pipe;
const STREAM: AsInput = |file| Input::Stream(Box::new(file));

/// Opens both ends of `count` FIFOs in `dir`.
fn fifos(dir: &Path, count: usize) -> (Vec<File>, Vec<File>) {
    let options = fifo::FifoOptions {
        directory: dir.to_owned(),
        count,
        timeout: LONG,
        cancel: Cancel::new(),
    };
    std::thread::scope(|scope| {
        let writers = scope.spawn(|| {
            let mut writers = fifo::writers(&options).unwrap();
            // A reader waits for the first bytes.
            for (number, fifo) in writers.iter_mut().enumerate() {
                let first = whole(&format!("first-{number}"), b"1");
                fifo.write_all(&first).unwrap();
            }
            writers
        });
        let readers = fifo::readers(&options).unwrap();
        (writers.join().unwrap(), readers)
    })
}

fn extracted(readers: Vec<File>, how: AsInput, parallel: usize) -> Result<u64, ArchiveError> {
    let room = tempfile::tempdir().unwrap();
    let options = ExtractOptions {
        parallel,
        ..ExtractOptions::new(room.path())
    };
    let inputs = readers.into_iter().map(how).collect();
    extract(inputs, options, &Silent).map(|report| report.files)
}

/// A program writes all streams and blocks on one of them, which is damaged. It keeps the others open until it
/// gets `EPIPE`.
#[test]
fn a_writer_of_several_streams_gets_epipe_after_a_failure() {
    for (how, parallel) in [(STREAM, 1), (STREAM, 4), (PIPE, 1), (PIPE, 4)] {
        let dir = tempfile::tempdir().unwrap();
        let (mut writers, readers) = fifos(dir.path(), 2);
        let writer = std::thread::spawn(move || {
            half(&mut writers[1]);
            loop {
                if let Err(error) = writers[0].write_all(NONSENSE) {
                    return error.kind();
                }
            }
        });
        let error = within("the extraction", move || extracted(readers, how, parallel));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("XBSTCK01"), "{error}");
        let heard = within("the writer", move || writer.join().unwrap());
        assert_eq!(heard, ErrorKind::BrokenPipe);
    }
}

/// Independent writers, one of which stops writing, within a chunk or between two.
#[test]
fn a_failure_does_not_wait_for_a_silent_stream() {
    for within_a_chunk in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (mut writers, readers) = fifos(dir.path(), 2);
        let extraction = std::thread::spawn(move || extracted(readers, PIPE, 4));
        if within_a_chunk {
            half(&mut writers[1]);
        }
        writers[0].write_all(NONSENSE).unwrap();
        let error = within("the extraction", move || extraction.join().unwrap());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("XBSTCK01"), "{error}");
        for mut writer in writers {
            let error = writer.write_all(b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
    }
}

#[test]
fn a_failure_of_the_disk_does_not_wait_for_a_silent_stream() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writers, readers) = fifos(dir.path(), 1);
    writers[0].write_all(&whole("a", b"bytes")).unwrap();
    let error = within("the extraction", move || {
        let room = tempfile::tempdir().unwrap();
        let full = |file: &super::unsynced::Unsynced| {
            Err(ArchiveError::Unsynced {
                path: file.path().to_owned(),
                source: ErrorKind::StorageFull.into(),
            })
        };
        let extraction = Extraction::with_sync(ExtractOptions::new(room.path()), full);
        let inputs = readers.into_iter().map(Input::Pipe).collect();
        streams::run(extraction.unwrap(), inputs, &Silent)
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("did not reach the disk"), "{error}");
}

/// A panic of a reader is a failure.
#[test]
fn a_panic_does_not_wait_for_a_silent_stream() {
    struct Bad;
    impl Read for Bad {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("of the test")
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (writers, mut readers) = fifos(dir.path(), 1);
    let error = within("the extraction", move || {
        let room = tempfile::tempdir().unwrap();
        let inputs = vec![Input::Pipe(readers.remove(0)), Input::Stream(Box::new(Bad))];
        extract(inputs, ExtractOptions::new(room.path()), &Silent)
    });
    assert!(matches!(error, Err(ArchiveError::Panicked(_))), "{error:?}");
    drop(writers);
}

#[test]
fn several_streams_are_one_extraction() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writers, readers) = fifos(dir.path(), 3);
    let data = vec![7; 300_000];
    let writer = std::thread::spawn(move || {
        for (number, fifo) in writers.iter_mut().enumerate().rev() {
            fifo.write_all(&whole(&number.to_string(), &data)).unwrap();
        }
    });
    let files = within("the extraction", move || extracted(readers, PIPE, 1));
    assert_eq!(files.unwrap(), 6);
    writer.join().unwrap();
}

/// The writer fills one stream before it continues with another, independent of the one that is read first.
#[test]
fn several_streams_are_listed_together() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writers, readers) = fifos(dir.path(), 3);
    let data = vec![7; 3 << 20];
    let writer = std::thread::spawn(move || {
        for (number, fifo) in writers.iter_mut().enumerate().rev() {
            fifo.write_all(&whole(&number.to_string(), &data)).unwrap();
        }
    });
    let listed = within("the list", move || {
        let inputs = readers.into_iter().map(PIPE).collect();
        list(inputs, verifying(), &Silent).unwrap()
    });
    assert!(listed.is_whole() && listed.verified);
    let names: Vec<_> = listed
        .files
        .iter()
        .map(|f| (&f.path[..], f.bytes))
        .collect();
    let large = |name| (name, 3 << 20);
    let small = [("first-0", 1), ("first-1", 1), ("first-2", 1)];
    assert_eq!(
        names,
        [&[large("0"), large("1"), large("2")], &small[..]].concat()
    );
    writer.join().unwrap();
}

#[test]
fn a_list_does_not_wait_for_a_silent_stream_after_a_failure() {
    for bad in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        let (mut writers, readers) = fifos(dir.path(), 2);
        let list = std::thread::spawn(move || {
            let inputs = readers.into_iter().map(PIPE).collect();
            list(inputs, ListOptions::default(), &Silent)
                .unwrap_err()
                .to_string()
        });
        half(&mut writers[1 - bad]);
        writers[bad].write_all(NONSENSE).unwrap();
        let error = within("the list", move || list.join().unwrap());
        assert!(error.contains("XBSTCK01"), "{error}");
        for mut writer in writers {
            let error = writer.write_all(b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
    }
}
