//! Streams: both readers, and the listing of a stream's content.

use super::{Dribble, le};
use bytes::Bytes;
use lsnap::archive::{self, Input};
use lsnap::progress::Silent;
use lsnap::xbstream::{Chunk, Chunks, Reader, chunks, end_chunk, payload_head};
use std::io::Read;

/// Compares the reader of streams, with full and with short reads, and the reader of objects in
/// memory.
pub fn readers(data: &[u8]) {
    agree(data);
    agree(&sealed(data));
}

fn agree(data: &[u8]) {
    // objects in memory have no limit other than their length
    let mut whole = Reader::with_limit(data, u64::MAX);
    let mut cut = Reader::with_limit(Dribble::new(data), u64::MAX);
    let mut memory: Chunks = chunks(Bytes::copy_from_slice(data));
    loop {
        let start = whole.position();
        match (whole.next(), cut.next(), memory.next()) {
            (None, None, None) => break,
            (Some(Ok(a)), Some(Ok(b)), Some(Ok(c))) => {
                assert_eq!(a, b, "the result depends on the lengths of the reads");
                assert_eq!(a, c, "stream and memory disagree");
                assert!(whole.position() > start && whole.position() <= data.len() as u64);
                written_again(&a, &data[start as usize..whole.position() as usize]);
            }
            (Some(Err(a)), Some(Err(b)), Some(Err(c))) => {
                assert_eq!(
                    a.to_string(),
                    b.to_string(),
                    "the result depends on the lengths of the reads"
                );
                assert_eq!(
                    std::mem::discriminant(&a),
                    std::mem::discriminant(&c),
                    "{a} or {c}"
                );
                assert!(
                    whole.next().is_none() && memory.next().is_none(),
                    "more after {a}"
                );
                break;
            }
            (a, b, c) => panic!("the readers disagree: {a:?}, {b:?}, {c:?}"),
        }
    }
}

/// Encodes a chunk that was read and checks that the bytes are the same.
fn written_again(chunk: &Chunk, bytes: &[u8]) {
    assert!(chunk.span() <= i64::MAX as u64);
    match chunk {
        Chunk::Payload {
            path,
            offset,
            data,
            flags: 0,
        } => {
            let crc = crc32fast::hash(data);
            let head = payload_head(path, *offset, data.len() as u64, crc).expect("it was read");
            assert_eq!([&head[..], &data[..]].concat(), bytes);
        }
        Chunk::End { path } => assert_eq!(end_chunk(path).expect("it was read")[10..], bytes[10..]),
        _ => {}
    }
}

/// Returns the stream with corrected chunk checksums, as far as its fields can be parsed: the
/// fuzzer can't guess a CRC.
fn sealed(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    let mut at = 0;
    while let Some(next) = seal(&mut out, at) {
        at = next;
    }
    out
}

fn seal(out: &mut [u8], at: usize) -> Option<usize> {
    let kind = *out.get(at + 9)?;
    let fields = at + 14 + le(out, at + 10, 4)? as usize;
    let (fields, entries) = match kind {
        b'E' => return Some(fields),
        b'S' => (fields + 4, le(out, fields, 4)? as usize),
        _ => (fields, 0),
    };
    let length = usize::try_from(le(out, fields, 8)?).ok()?;
    let body = fields + 20;
    let end = body.checked_add(entries * 8)?.checked_add(length)?;
    let crc = crc32fast::hash(out.get(body..end)?);
    out[fields + 16..body].copy_from_slice(&crc.to_le_bytes());
    Some(end)
}

/// Lists a stream: the result is the same for a reader and for a buffer, and no name leads outside
/// of the root.
pub fn listing(data: &[u8]) {
    for data in [data.to_vec(), sealed(data)] {
        let mut cut = Vec::new();
        Dribble::new(&data).read_to_end(&mut cut).expect("memory");
        let bytes = || Input::Bytes(Bytes::copy_from_slice(&data));
        let stream = Input::Stream(Box::new(std::io::Cursor::new(cut)));
        let mut verify = archive::ListOptions::default();
        verify.verify = true;
        let checked = archive::list(vec![stream], verify.clone(), &Silent);
        let memory = archive::list(vec![bytes()], verify, &Silent);
        let trusted = archive::list(vec![bytes()], archive::ListOptions::default(), &Silent);
        match (&checked, &memory, &trusted) {
            (Ok(a), Ok(b), Ok(c)) => {
                assert_eq!(a, b, "stream and memory disagree");
                let mut looked_at = a.files.clone();
                for file in &mut looked_at {
                    file.refused = None;
                }
                assert_eq!(
                    looked_at, c.files,
                    "the result depends on the check of valid checksums"
                );
                for file in &a.files {
                    // rewritten bytes count once in `bytes` and every time in `data`
                    assert!(file.data <= data.len() as u64, "{file:?}");
                    assert_eq!(file.complete, file.fault.is_none());
                    super::text::extracted(&file.path);
                }
            }
            (Ok(_), _, _) | (_, Ok(_), _) => {
                panic!("the listings disagree: {checked:?}, {memory:?}, {trusted:?}")
            }
            _ => {}
        }
    }
}
