//! Golden bytes (`docs/format/xbstream.md`), malformed input, and properties of all streams.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::io::Read;

/// The chunk of "hello" at offset 5 of `a/b`, byte for byte.
const PAYLOAD: &[u8] = &[
    b'X', b'B', b'S', b'T', b'C', b'K', b'0', b'1', // magic
    0,    // flags
    b'P', // type
    3, 0, 0, 0, // path length
    b'a', b'/', b'b', // path
    5, 0, 0, 0, 0, 0, 0, 0, // payload length
    5, 0, 0, 0, 0, 0, 0, 0, // offset in the file
    0x86, 0xA6, 0x10, 0x36, // CRC-32 of "hello": 0x3610A686
    b'h', b'e', b'l', b'l', b'o', // payload
];

const END: &[u8] = &[
    b'X', b'B', b'S', b'T', b'C', b'K', b'0', b'1', 0, b'E', 3, 0, 0, 0, b'a', b'/', b'b',
];

/// A hole of 0x1_0000_0001 bytes at offset 16: two entries, because a skip is 32 bits wide.
const HOLE: &[u8] = &[
    b'X', b'B', b'S', b'T', b'C', b'K', b'0', b'1', // magic
    0,    // flags
    b'S', // type
    3, 0, 0, 0, // path length
    b'a', b'/', b'b', // path
    2, 0, 0, 0, // entries of the map
    0, 0, 0, 0, 0, 0, 0, 0, // payload length
    16, 0, 0, 0, 0, 0, 0, 0, // offset in the file
    0x97, 0x96, 0x1F,
    0xA9, // CRC-32 of the map (patched by the test from the map's own bytes)
    0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, // skip, len
    2, 0, 0, 0, 0, 0, 0, 0, // skip, len
];

fn payload(path: &str, offset: u64, data: &[u8]) -> Vec<u8> {
    let head = payload_head(path, offset, data.len() as u64, crc(data)).unwrap();
    [&head[..], data].concat()
}

fn read_all(bytes: &[u8]) -> Result<Vec<Chunk>, XbstreamError> {
    let sliced: Result<Vec<_>, _> = chunks(Bytes::copy_from_slice(bytes)).collect();
    let read: Result<Vec<_>, _> = Reader::with_limit(bytes, u64::MAX).collect();
    match (&sliced, &read) {
        (Ok(a), Ok(b)) => assert_eq!(a, b),
        (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
        other => panic!("the two readers disagree: {other:?}"),
    }
    read
}

#[test]
fn the_bytes_are_those_of_the_format() {
    assert_eq!(payload("a/b", 5, b"hello"), PAYLOAD);
    assert_eq!(end_chunk("a/b").unwrap(), END);
    let mut hole = HOLE.to_vec();
    let map_crc = crc(&HOLE[41..]);
    hole[37..41].copy_from_slice(&map_crc.to_le_bytes());
    assert_eq!(hole_chunk("a/b", 16, 0x1_0000_0001).unwrap(), hole);
    let mut writer = Writer::new(Vec::new());
    writer.payload("a/b", 5, b"hello").unwrap();
    writer.hole("a/b", 16, 0x1_0000_0001).unwrap();
    writer.end("a/b").unwrap();
    assert_eq!(writer.into_inner(), [PAYLOAD, &hole, END].concat());
}

#[test]
fn a_stream_is_read_as_it_was_written() {
    let stream = [PAYLOAD, END].concat();
    let found = read_all(&stream).unwrap();
    assert_eq!(found[0].path(), "a/b");
    assert_eq!(found[0].span(), 5);
    assert!(
        matches!(&found[0], Chunk::Payload { offset: 5, data, flags: 0, .. } if data == "hello")
    );
    assert_eq!(found[1], Chunk::End { path: "a/b".into() });
}

#[test]
fn a_sparse_chunk_has_its_data_and_its_crc_covers_map_and_data() {
    let map = [[3u32, 4], [8, 2]].concat();
    let map: Vec<u8> = map.iter().flat_map(|n| n.to_le_bytes()).collect();
    let mut chunk = [&MAGIC[..], &[0, b'S', 1, 0, 0, 0, b'f']].concat();
    chunk.extend_from_slice(&2u32.to_le_bytes());
    chunk.extend_from_slice(&6u64.to_le_bytes());
    chunk.extend_from_slice(&100u64.to_le_bytes());
    chunk.extend_from_slice(&crc(&[&map[..], b"abcdef"].concat()).to_le_bytes());
    chunk.extend_from_slice(&map);
    chunk.extend_from_slice(b"abcdef");
    let found = read_all(&chunk).unwrap();
    assert_eq!(found[0].span(), 17);
    let Chunk::Sparse {
        map,
        data,
        offset: 100,
        ..
    } = &found[0]
    else {
        panic!("{found:?}")
    };
    assert_eq!(map[1], SparseEntry { skip: 8, len: 2 });
    assert_eq!(data, "abcdef");
    *chunk.last_mut().unwrap() ^= 1;
    assert!(matches!(
        read_all(&chunk),
        Err(XbstreamError::Checksum { .. })
    ));
}

#[test]
fn an_unknown_chunk_is_skipped_only_if_marked_ignorable() {
    let mut unknown = PAYLOAD.to_vec();
    unknown[9] = b'Z';
    assert!(matches!(
        read_all(&unknown),
        Err(XbstreamError::UnknownType { at: 0, kind: b'Z' })
    ));
    unknown[8] = FLAG_IGNORABLE;
    let found = read_all(&[&unknown, END].concat()).unwrap();
    assert!(matches!(found[0], Chunk::Unknown { kind: b'Z', .. }));
    assert_eq!(found.len(), 2);
}

/// A name, a change to a stream, and the error that the change must cause.
type Damage = (&'static str, fn(&mut Vec<u8>), &'static str);

const DAMAGES: &[Damage] = &[
    ("magic", |s| s[3] ^= 1, "offset 0: found"),
    (
        "magic of the second chunk",
        |s| s[PAYLOAD.len()] = b'Y',
        "offset 42: found",
    ),
    ("a byte of the payload", |s| s[38] ^= 1, "file offset 5 is"),
    ("the CRC", |s| s[33] ^= 1, "the checksum of the chunk"),
    ("empty path", |s| s[10] = 0, "a path of 0 bytes"),
    (
        "long path",
        |s| s[11] = 2,
        "a path of 515 bytes, expected 1 to 511",
    ),
    ("huge path", |s| s[13] = 0xFF, "expected 1 to 511"),
    ("NUL in the path", |s| s[15] = 0, "contains a NUL"),
    ("path that is no text", |s| s[15] = 0xFF, "is not UTF-8"),
    (
        "a wrong length field",
        |s| s[20] = 1,
        "ends inside the payload of a chunk of a/b",
    ),
    (
        "a length beyond all",
        |s| s[24] = 0x80,
        "no file is that long",
    ),
    (
        "an offset beyond all",
        |s| s[32] = 0x80,
        "no file is that long",
    ),
    (
        "cut in the header",
        |s| s.truncate(13),
        "ends inside the header",
    ),
    (
        "cut in the path",
        |s| s.truncate(16),
        "ends inside the path",
    ),
    (
        "cut in the fields",
        |s| s.truncate(36),
        "ends inside the fields of a chunk of a/b",
    ),
    (
        "cut in the payload",
        |s| s.truncate(41),
        "ends inside the payload",
    ),
    (
        "cut in the end chunk",
        |s| s.truncate(PAYLOAD.len() + 16),
        "ends inside the path",
    ),
];

#[test]
fn malformed_streams_are_refused_with_offset_and_expected_value() {
    for (what, damage, expected) in DAMAGES {
        let mut stream = [PAYLOAD, END].concat();
        damage(&mut stream);
        let error = read_all(&stream).expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn a_sparse_map_must_fit_its_payload() {
    let mut hole = hole_chunk("f", 0, 10).unwrap().to_vec();
    let at = hole.len() - 4;
    hole[at] = 1;
    let map_crc = crc(&hole[at - 4..]);
    hole[at - 8..at - 4].copy_from_slice(&map_crc.to_le_bytes());
    let error = read_all(&hole).unwrap_err().to_string();
    assert!(error.contains("takes 1 byte, the payload has 0"), "{error}");
    let mut many = hole_chunk("f", 0, 10).unwrap().to_vec();
    many[15 + 3] = 0xFF;
    let error = read_all(&many).unwrap_err().to_string();
    assert!(error.contains("entries, at most"), "{error}");
}

#[test]
fn a_wrong_length_does_not_cause_an_allocation() {
    let head = payload_head("f", 0, 1 << 40, 0).unwrap();
    let error = Reader::with_limit(&head[..], 1 << 50)
        .next()
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(
            error,
            XbstreamError::Truncated {
                part: "the payload",
                ..
            }
        ),
        "{error}"
    );
    let error = Reader::with_limit(&head[..], 1 << 20)
        .next()
        .unwrap()
        .unwrap_err();
    assert!(
        error.to_string().contains("at most 1048576 are accepted"),
        "{error}"
    );
}

#[test]
fn paths_that_no_reader_accepts_are_not_written() {
    for path in ["", "a\0b", &"x".repeat(512)] {
        assert!(end_chunk(path).is_err(), "{path:?}");
    }
    assert!(end_chunk(&"x".repeat(511)).is_ok());
}

/// Returns its bytes in pieces of the lengths that the test sets.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self
            .sizes
            .next()
            .unwrap_or(1)
            .min(buffer.len())
            .min(self.bytes.len());
        buffer[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let chunk = prop_oneof![
        (
            "[a-z/]{1,9}",
            any::<u32>(),
            proptest::collection::vec(any::<u8>(), 0..40)
        )
            .prop_map(|(path, offset, data)| payload(&path, offset.into(), &data)),
        ("[a-z/]{1,9}").prop_map(|path| end_chunk(&path).unwrap().to_vec()),
        ("[a-z/]{1,9}", any::<u32>(), 0..(1u64 << 34)).prop_map(|(path, offset, len)| {
            hole_chunk(&path, offset.into(), len).unwrap().to_vec()
        }),
    ];
    proptest::collection::vec(chunk, 0..6).prop_map(|chunks| chunks.concat())
}

proptest! {
    #[test]
    fn a_written_stream_is_read_in_any_split(
        stream in any_stream(),
        sizes in proptest::collection::vec(1usize..20, 1..6),
    ) {
        let whole = read_all(&stream).unwrap();
        let pieces = Pieces { bytes: &stream, sizes: sizes.into_iter().cycle() };
        let split: Result<Vec<_>, _> = Reader::new(pieces).collect();
        prop_assert_eq!(split.unwrap(), whole);
    }

    #[test]
    fn damaged_streams_end_in_an_error_or_in_chunks(
        mut stream in any_stream(), at in any::<prop::sample::Index>(), bits in 1u8.., cut in any::<prop::sample::Index>(),
    ) {
        if !stream.is_empty() {
            let at = at.index(stream.len());
            stream[at] ^= bits;
            stream.truncate(cut.index(stream.len()) + 1);
        }
        let _ = read_all(&stream);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_all(&bytes);
        let _ = read_all(&[MAGIC, &bytes[..]].concat());
    }
}

/// `S` is the type byte of two chunk types; the bytes after the first eight distinguish them.
#[test]
fn a_seek_is_not_a_sparse_chunk() {
    let seek = seek_chunk("a", 0x0102).unwrap();
    let hole = hole_chunk("a", 7, 5).unwrap();
    let end = end_chunk("a").unwrap();
    let stream = [&seek[..], &seek, &hole, &seek, &end].concat();
    let read: Vec<_> = Reader::new(&stream[..]).map(Result::unwrap).collect();
    let sliced: Vec<_> = chunks(Bytes::from(stream)).map(Result::unwrap).collect();
    assert_eq!(read, sliced);
    let offset = |chunk: &Chunk| match chunk {
        Chunk::Seek { offset, .. } => Some(*offset),
        _ => None,
    };
    let offsets: Vec<_> = read.iter().map(offset).collect();
    assert_eq!(
        offsets,
        [Some(0x0102), Some(0x0102), None, Some(0x0102), None]
    );
    // At the end of a stream, it is a chunk that was cut off.
    for bytes in [&seek[..], &[&seek[..], b"XBST"].concat()] {
        let error = Reader::new(bytes).next().unwrap().unwrap_err();
        assert!(matches!(error, XbstreamError::Truncated { .. }), "{error}");
        let error = chunks(Bytes::copy_from_slice(bytes))
            .next()
            .unwrap()
            .unwrap_err();
        assert!(matches!(error, XbstreamError::Truncated { .. }), "{error}");
    }
}

#[test]
fn renames_and_removals_are_read_as_written() {
    let stream = [
        rename_chunk("db/a", "b").unwrap(),
        remove_chunk("c").unwrap(),
    ]
    .concat();
    let expected = [
        Chunk::Rename {
            path: "db/a".into(),
            to: "b".into(),
        },
        Chunk::Remove { path: "c".into() },
    ];
    let read: Vec<_> = Reader::new(&stream[..]).map(Result::unwrap).collect();
    assert_eq!(read, expected);
    let sliced: Vec<_> = chunks(Bytes::from(stream.clone()))
        .map(Result::unwrap)
        .collect();
    assert_eq!(sliced, expected);
    for cut in 1..rename_chunk("db/a", "b").unwrap().len() {
        assert!(
            Reader::new(&stream[..cut]).next().unwrap().is_err(),
            "{cut}"
        );
        let cut = Bytes::copy_from_slice(&stream[..cut]);
        assert!(chunks(cut).next().unwrap().is_err());
    }
}
