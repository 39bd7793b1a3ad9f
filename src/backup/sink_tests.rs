//! Tests of the output of a sink, with any order of pieces and failures at any byte.

use super::*;
use crate::backup::RANGE_BYTES;
use crate::codec::xbcrypt::Algorithm;
use crate::codec::{self, xbcrypt};
use crate::codec::{Format, decompress};
use crate::delta::DeltaWriter;
use crate::innodb::{PageNo, PageSize};
use crate::manifest::packed::{PACK_BYTES, SMALL};
use crate::manifest::{CompressionFormat, EncryptionAlgorithm, StoredOffset};
use crate::store::tests as stores;
use crate::xbstream::{Chunk as Read, Reader, XbstreamError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

/// An output that accepts a few bytes at a time and fails once. Later writes succeed, which is more
/// dangerous for readers than a permanent failure.
#[derive(Default)]
struct Recording {
    bytes: Vec<u8>,
    /// The length at which a write fails.
    fails_at: Option<usize>,
    flush_fails: bool,
}

#[derive(Clone)]
struct Output {
    recording: Arc<Mutex<Recording>>,
    step: usize,
}

impl Output {
    fn new(fails_at: Option<usize>, step: usize) -> Self {
        let recording = Recording {
            fails_at,
            ..Recording::default()
        };
        Self {
            recording: Arc::new(Mutex::new(recording)),
            step,
        }
    }

    fn written(&self) -> Vec<u8> {
        self.recording.lock().unwrap().bytes.clone()
    }
}

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let mut recording = self.recording.lock().unwrap();
        let mut take = data.len().min(self.step);
        if let Some(at) = recording.fails_at {
            take = take.min(at - recording.bytes.len());
            if take == 0 && !data.is_empty() {
                recording.fails_at = None;
                return Err(ErrorKind::StorageFull.into());
            }
        }
        recording.bytes.extend_from_slice(&data[..take]);
        Ok(take)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match std::mem::take(&mut self.recording.lock().unwrap().flush_fails) {
            true => Err(ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

fn key() -> Key {
    Key::new(Algorithm::Aes128, &[3; 16]).unwrap()
}

fn stream_to(outputs: &[Output], compression: Option<&str>, key: Option<Key>) -> Sink {
    let boxed = outputs.iter().map(|output| Box::new(output.clone()) as _);
    let streams = Streams::new(boxed.collect());
    Sink::streams(streams, compression.map(|how| how.parse().unwrap()), key)
}

fn bytes(len: usize) -> Bytes {
    (0..len).map(|i| (i * i / 300) as u8).collect()
}

fn piece(index: u64, offset: u64, data: Bytes, last: bool) -> Piece {
    Piece {
        index,
        offset,
        hole: 0,
        data,
        last,
    }
}

/// Cuts data into pieces of 1000 bytes.
fn cut(data: &Bytes) -> Vec<Piece> {
    let count = data.len().div_ceil(1000).max(1);
    let one = |i: usize| {
        let range = data.slice(i * 1000..data.len().min((i + 1) * 1000));
        piece(i as u64, i as u64 * 1000, range, i + 1 == count)
    };
    (0..count).map(one).collect()
}

/// Returns the files of a stream; the chunks of a file must be in order, followed by one end chunk.
fn read(stream: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, XbstreamError> {
    let reader = Reader::new(stream);
    let mut files = BTreeMap::<String, (Vec<u8>, bool)>::new();
    for chunk in reader {
        match chunk? {
            Read::Payload {
                path, offset, data, ..
            } => {
                let (file, ended) = files.entry(path).or_default();
                assert!(!*ended && offset == file.len() as u64);
                file.extend_from_slice(&data);
            }
            Read::End { path } => {
                let (_, ended) = files.entry(path).or_default();
                assert!(!std::mem::replace(ended, true));
            }
            other => panic!("{other:?}"),
        }
    }
    let whole = |(path, (data, ended)): (String, (Vec<u8>, bool))| {
        assert!(ended, "{path}");
        (path, data)
    };
    Ok(files.into_iter().map(whole).collect())
}

fn files() -> Vec<(&'static str, WrapMode, Bytes)> {
    vec![
        ("ibdata1", WrapMode::All, bytes(25_300)),
        ("db/secret.ibd", WrapMode::Ciphertext, bytes(9_001)),
        ("xtrabackup_info", WrapMode::Plain, bytes(1500)),
        ("empty", WrapMode::All, Bytes::new()),
        ("empty.secret", WrapMode::Ciphertext, Bytes::new()),
    ]
}

/// Puts all files from four threads, which take the pieces in order like the page workers.
fn feed(sink: &Sink) -> Vec<FileEntry> {
    let mut queue: Vec<_> = files()
        .into_iter()
        .flat_map(|(name, wrap_mode, data)| {
            cut(&data).into_iter().map(move |p| (name, wrap_mode, p))
        })
        .collect();
    queue.reverse();
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((name, wrap_mode, piece)) = queue.lock().unwrap().pop() else {
                        return;
                    };
                    sink.put(name, wrap_mode, piece).unwrap();
                }
            });
        }
    });
    let entry = |(name, wrap_mode, data): (&str, _, Bytes)| {
        sink.entry(name, wrap_mode, FileRole::Plain, data.len() as u64)
    };
    files().into_iter().map(|f| entry(f).unwrap()).collect()
}

fn unwrapped(entry: &FileEntry, stored: &[u8]) -> Vec<u8> {
    let mut data = stored.to_vec();
    let Some(wrapping) = &entry.wrapping else {
        return data;
    };
    if wrapping.encryption.is_some() {
        data = xbcrypt::decrypt(&key(), &data, data.len()).unwrap();
    }
    match wrapping.compression.as_ref().map(CompressionFormat::as_str) {
        Some("zstd") => decompress(Format::Zstd, &data, 1 << 20).unwrap(),
        Some("lz4") => decompress(Format::Lz4, &data, 1 << 20).unwrap(),
        _ => data,
    }
}

#[test]
fn streams_contain_every_file_in_order_and_entries_have_the_offsets() {
    for count in [1, 3] {
        for how in [None, Some("zstd"), Some("lz4")] {
            for key in [None, Some(key())] {
                let outputs: Vec<_> = (0..count).map(|_| Output::new(None, 700)).collect();
                let entries = feed(&stream_to(&outputs, how, key.clone()));
                let mut found = BTreeMap::new();
                for output in &outputs {
                    found.extend(read(&output.written()).unwrap());
                }
                assert_eq!(found.len(), entries.len());
                for ((name, wrap_mode, plain), entry) in files().into_iter().zip(&entries) {
                    let stored = &found[entry.path.as_stored()];
                    let compressed = how.is_some() && matches!(wrap_mode, WrapMode::All);
                    let encrypted = key.is_some() && !matches!(wrap_mode, WrapMode::Plain);
                    let suffix = match how {
                        Some("zstd") if compressed => ".zst",
                        Some(_) if compressed => ".lz4",
                        _ => "",
                    };
                    let layer = if encrypted { ".xbcrypt" } else { "" };
                    assert_eq!(entry.path.as_stored(), format!("{name}{suffix}{layer}"));
                    assert_eq!(unwrapped(entry, stored), plain, "{}", entry.path);
                    // Each range can also be unwrapped alone.
                    for object in &entry.objects {
                        let at = object.stored_offset().0 as usize;
                        let range = &stored[at..at + object.bytes as usize];
                        let digest = crate::manifest::Digest::of(range);
                        assert_eq!(object.digest, Some(digest));
                        let from = object.offset as usize;
                        let to = plain.len().min(from + 1000);
                        assert_eq!(unwrapped(entry, range), plain[from..to]);
                    }
                    // The decoders refuse a file without a frame.
                    assert!(!compressed || !stored.is_empty());
                }
            }
        }
    }
}

/// Makes a small backup into `outputs`, which ends like a session.
fn backup(outputs: &[Output]) -> Result<(), BackupError> {
    let sink = stream_to(outputs, None, None);
    let mut entries = Vec::new();
    let run = || -> Result<(), BackupError> {
        for (name, len) in [("a", 40), ("b", 0), ("c", 30)] {
            sink.put(name, WrapMode::All, piece(0, 0, bytes(len), len == 0))?;
            if len > 0 {
                sink.put(name, WrapMode::All, piece(1, len as u64, bytes(5), true))?;
            }
            entries.push(sink.entry(name, WrapMode::All, FileRole::Plain, len as u64)?);
        }
        let mut manifest = stores::manifest(&stores::full_name(1), None, 10, Vec::new());
        manifest.layout = Layout::Stream;
        sink.finish(&manifest)
    };
    let mut run = run;
    let result = run();
    if result.is_err() {
        sink.abort();
    }
    result
}

/// Independent of the byte at which a write fails, and of the success of later writes, no reader
/// accepts the stream as complete.
#[test]
fn a_failed_stream_is_refused_by_its_reader() {
    let whole = Output::new(None, usize::MAX);
    backup(std::slice::from_ref(&whole)).unwrap();
    let whole = whole.written();
    assert_eq!(read(&whole).unwrap().len(), 4);
    for step in [1, 7, usize::MAX] {
        for at in 0..whole.len() {
            let output = Output::new(Some(at), step);
            let error = backup(std::slice::from_ref(&output)).unwrap_err();
            assert!(matches!(error, BackupError::Stream(_)), "{at}: {error}");
            let written = output.written();
            assert!(written.starts_with(&whole[..at]), "{at}");
            assert!(written.len() <= at + 4, "{at}: more bytes follow");
            let mut reader = Reader::new(&written[..]);
            let end = reader.find(Result::is_err);
            assert!(
                matches!(end, Some(Err(XbstreamError::Truncated { .. }))),
                "{at}, {step}: {end:?}"
            );
        }
    }
}

/// With several streams, the manifest is written when the others can't fail any more.
#[test]
fn the_manifest_is_written_after_the_other_streams_are_flushed() {
    let outputs = [Output::new(None, 100), Output::new(None, 100)];
    outputs[1].recording.lock().unwrap().flush_fails = true;
    backup(&outputs).unwrap_err();
    for output in &outputs {
        assert!(read(&output.written()).is_err());
    }
    let text = outputs[0].written();
    assert!(!text.windows(14).any(|bytes| bytes == b"lsnap_manifest"));
    // The flush of the first stream fails after the manifest.
    let outputs = [Output::new(None, 100), Output::new(None, 100)];
    outputs[0].recording.lock().unwrap().flush_fails = true;
    backup(&outputs).unwrap_err();
    for output in &outputs {
        assert!(read(&output.written()).is_err());
    }
}

#[test]
fn a_closed_pipe_ends_every_writer() {
    let (reader, writer) = std::io::pipe().unwrap();
    let streams = Streams::new(vec![Box::new(writer)]);
    let sink = Sink::streams(streams, None, None);
    drop(reader);
    let errors: Vec<_> = std::thread::scope(|scope| {
        let sink = &sink;
        let put = |index: u64| {
            scope.spawn(move || {
                let piece = piece(index, index * 1000, bytes(1000), index == 3);
                sink.put("a", WrapMode::All, piece).unwrap_err()
            })
        };
        let threads: Vec<_> = [3, 2, 1, 0].into_iter().map(put).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let broken =
        |e: &BackupError| matches!(e, BackupError::Stream(e) if e.kind() == ErrorKind::BrokenPipe);
    assert!(broken(&errors[3]), "{:?}", errors[3]);
    for error in &errors[..3] {
        assert!(matches!(error, BackupError::Interrupted), "{error:?}");
    }
    // The same for later pieces of other files.
    let late = sink.put("b", WrapMode::All, piece(0, 0, bytes(10), true));
    assert!(matches!(late, Err(BackupError::Interrupted)), "{late:?}");
    sink.abort();
}

#[test]
fn a_halt_ends_the_wait_for_a_missing_piece() {
    let (repository, _) = stores::memory();
    let upload = repository.begin(&stores::full_name(1), 2).unwrap();
    let sinks = [
        stream_to(&[Output::new(None, 100)], None, None),
        Sink::objects(upload, Some("zstd".parse().unwrap()), None),
    ];
    for sink in &sinks {
        let started = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (1..4u64)
                .map(|index| {
                    let started = &started;
                    scope.spawn(move || {
                        started.fetch_add(1, Ordering::SeqCst);
                        sink.put(
                            "a",
                            WrapMode::All,
                            piece(index, index * 10, bytes(10), false),
                        )
                    })
                })
                .collect();
            while started.load(Ordering::SeqCst) < 3 {
                std::thread::yield_now();
            }
            sink.halt();
            for thread in waiting {
                let result = thread.join().unwrap();
                assert!(matches!(result, Err(BackupError::Interrupted)));
            }
        });
    }
}

/// In a repository the entry of an object has the offset of its wrapped bytes, independent of the
/// order in which they were ready.
#[test]
fn offsets_of_wrapped_objects_are_contiguous() {
    let (repository, _) = stores::memory();
    let upload = repository.begin(&stores::full_name(1), 2).unwrap();
    let sink = Sink::objects(upload, Some("zstd".parse().unwrap()), Some(key()));
    for entry in feed(&sink) {
        let mut at = 0;
        for object in &entry.objects {
            let Some(wrapping) = &entry.wrapping else {
                assert_eq!(object.at, None, "{}", entry.path);
                continue;
            };
            assert_eq!(wrapping.encryption, Some(EncryptionAlgorithm::Aes128));
            assert_eq!(object.at, Some(StoredOffset(at)), "{}", entry.path);
            // A stored object has the heads of chunks around its payload.
            let head = crate::xbstream::payload_head(entry.path.as_stored(), 0, 1, 0)
                .unwrap()
                .len();
            let end = crate::xbstream::end_chunk(entry.path.as_stored())
                .unwrap()
                .len();
            let last = object.index + 1 == entry.objects.len() as u64;
            let around = if last { head + end } else { head };
            at += object.bytes.saturating_sub(around as u64);
        }
    }
}

/// A worker that waits for the output while another write fails adds nothing to it.
#[test]
fn nothing_follows_a_failed_write() {
    let output = Output::new(Some(30), 100);
    let streams = Streams::new(vec![Box::new(output.clone())]);
    let data = bytes(10);
    let crc = xbstream::crc(&data);
    let chunk = Chunk { at: 0, crc, data };
    let error = streams.write(0, "a", &chunk, true).unwrap_err();
    assert!(matches!(error, BackupError::Stream(_)), "{error}");
    let error = streams.write(0, "b", &chunk, true).unwrap_err();
    assert!(matches!(error, BackupError::Interrupted), "{error}");
    streams.cut_off();
    assert_eq!(output.written().len(), 30);
}

/// A large piece is one object, with chunks that readers of xbstreams accept, and with frames that
/// can be decoded concurrently.
#[test]
fn a_large_object_has_chunks_and_frames_of_the_usual_size() {
    const LARGE: usize = 20 << 20;
    let data = bytes(LARGE);
    for compression in [
        None,
        Some("zstd".parse().unwrap()),
        Some("lz4".parse().unwrap()),
    ] {
        let (repository, store) = stores::memory();
        let upload = repository.begin(&stores::full_name(1), 2).unwrap();
        let sink = Sink::objects(upload, compression, None);
        sink.put("a", WrapMode::All, piece(0, 0, data.clone(), false))
            .unwrap();
        sink.put("a", WrapMode::All, piece(1, LARGE as u64, bytes(100), true))
            .unwrap();
        let length = LARGE as u64 + 100;
        let entry = sink
            .entry("a", WrapMode::All, FileRole::Plain, length)
            .unwrap();
        assert_eq!(entry.objects.len(), 2);
        let key = format!("{}/{}.{:020}", stores::full_name(1), entry.path, 0);
        let mut stored = Vec::new();
        for chunk in xbstream::chunks(stores::get_raw(&*store, &key)) {
            let xbstream::Chunk::Payload { offset, data, .. } = chunk.unwrap() else {
                panic!("only payload")
            };
            assert_eq!(offset, stored.len() as u64);
            assert!(data.len() <= 10 << 20);
            stored.extend_from_slice(&data);
        }
        assert_eq!(
            entry.objects[1].at.map_or(LARGE as u64, |at| at.0),
            match compression {
                Some(_) => stored.len() as u64,
                None => LARGE as u64,
            }
        );
        if compression.is_none() {
            assert_eq!(stored, data);
            continue;
        }
        let format = if entry.path.as_stored().ends_with(".zst") {
            codec::Format::Zstd
        } else {
            codec::Format::Lz4
        };
        assert_eq!(codec::decompress(format, &stored, LARGE).unwrap(), data);
        let one = codec::compress(compression.unwrap(), &data[..RANGE_BYTES]).unwrap();
        assert_eq!(
            stored[..one.len()],
            one,
            "the first frame is of {RANGE_BYTES} bytes"
        );
    }
}

/// Puts the delta of a table with this number of changed pages, like the page workers.
fn put_delta(sink: &Sink, name: &str, pages: u32) -> u64 {
    let mut writer = DeltaWriter::new(PageSize::DEFAULT, RANGE_BYTES);
    for number in 0..pages {
        let page: Vec<u8> = (0..PageSize::DEFAULT.bytes())
            .map(|i| (i * i * 31 + i * number as usize + name.len()) as u8)
            .collect();
        writer.push(PageNo(number), &page, &mut |_| panic!("a piece too early"));
    }
    let mut pieces = Vec::new();
    let stats = writer.finish_whole(SMALL, &mut |piece| pieces.push(piece));
    for made in pieces {
        let piece = Piece {
            index: made.index,
            offset: made.offset,
            hole: 0,
            data: made.data,
            last: made.last,
        };
        sink.put(name, WrapMode::All, piece).unwrap();
    }
    stats.bytes
}

/// Deltas of tables without changes or with a few changed pages, and their `.meta` files, share a
/// few objects; files that are looked up by name have their own object.
#[test]
fn small_files_share_objects() {
    const TABLES: u32 = 300;
    for (how, key) in [(None, None), (Some("zstd"), Some(key()))] {
        let (repository, store) = stores::memory();
        let name = stores::full_name(1);
        let upload = repository.begin(&name, 2).unwrap();
        let sink = Sink::objects(upload, how.map(|how| how.parse().unwrap()), key);
        sink.pack_small_files();
        let mut files = Vec::new();
        for number in 0..TABLES {
            let delta = format!("db/t{number}.ibd.delta");
            files.push((WrapMode::All, put_delta(&sink, &delta, number % 5), delta));
        }
        for number in 0..TABLES {
            let (meta, text) = (format!("db/t{number}.ibd.meta"), bytes(80));
            sink.put(&meta, WrapMode::Plain, piece(0, 0, text, true))
                .unwrap();
            files.push((WrapMode::Plain, 80, meta));
        }
        for path in ["ibdata1.delta", "xtrabackup_info"] {
            sink.put(path, WrapMode::All, piece(0, 0, bytes(100), true))
                .unwrap();
            files.push((WrapMode::All, 100, path.to_owned()));
        }
        let entries: Vec<FileEntry> = files
            .iter()
            .map(|(wrap_mode, bytes, path)| sink.entry(path, *wrap_mode, FileRole::Plain, *bytes))
            .collect::<Result<_, _>>()
            .unwrap();
        let stored: u64 = entries
            .iter()
            .flat_map(|e| &e.objects)
            .map(|o| o.bytes)
            .sum();
        let packs = (stored as usize).div_ceil(PACK_BYTES);
        // Two more objects are the claim and the repository's marker. A pack may be a little longer
        // than its nominal size, so there may be one pack less.
        let objects = stores::keys(&*store).len() - 2 - 2;
        assert!(
            (packs - 1..=packs).contains(&objects),
            "{objects} for {packs}"
        );
        for (entry, (wrap_mode, ..)) in entries.iter().zip(&files) {
            assert_eq!(entry.objects.len(), 1, "{}", entry.path);
            let shares = entry.plain_path().starts_with("db/");
            assert_eq!(entry.objects[0].pack.is_some(), shares, "{}", entry.path);
            let wrapped = how.is_some() && *wrap_mode == WrapMode::All;
            assert_eq!(entry.wrapping.is_some(), wrapped, "{}", entry.path);
        }
        let mut manifest = stores::manifest(&name, None, 10, entries);
        manifest.format = crate::manifest::PACKED_FORMAT;
        sink.finish(&manifest).unwrap();
        for (number, entry) in (0..TABLES).zip(&manifest.files) {
            let object = repository.fetch(&name, entry.path.as_stored(), &entry.objects[0]);
            let mut chunks = xbstream::chunks(object.unwrap());
            let Some(Ok(xbstream::Chunk::Payload { data, .. })) = chunks.next() else {
                panic!("no payload in {}", entry.path)
            };
            let plain = unwrapped(entry, &data);
            assert_eq!(plain.len() as u64, entry.bytes);
            assert_eq!(&plain[..4], b"XTRA");
            assert_eq!(
                plain.len() / PageSize::DEFAULT.bytes() - 1,
                number as usize % 5
            );
        }
    }
}
