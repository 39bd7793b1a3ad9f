//! Golden files, made by `testdata/golden.py` without any of lsnap's code: every byte is named
//! here, and lsnap writes and reads exactly these bytes.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use lsnap::codec::xbcrypt::{self, Algorithm, Key};
use lsnap::delta::{DeltaReader, DeltaWriter, Meta};
use lsnap::innodb::{Lsn, PageNo, PageSize, SpaceFlags, SpaceId, page};
use lsnap::xbstream::{self, Chunk, Reader, SparseEntry, Writer};

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Checks the fields of `bytes`, each with its name, its offset and its content; together they must
/// cover all bytes.
#[track_caller]
fn fields(bytes: &[u8], fields: &[(&str, usize, &[u8])]) {
    let mut at = 0;
    for (name, offset, content) in fields {
        assert_eq!(at, *offset, "{name} is at another offset");
        let found = bytes.get(at..at + content.len());
        assert_eq!(found, Some(*content), "{name} at offset {at}");
        at += content.len();
    }
    assert_eq!(at, bytes.len(), "bytes after the last field");
}

/// Checks that `bytes`, read from a stream and from memory, are `expected`.
#[track_caller]
fn read_as(bytes: &[u8], expected: &[Chunk]) {
    let read: Vec<_> = Reader::new(bytes).map(Result::unwrap).collect();
    assert_eq!(read, expected);
    let sliced = xbstream::chunks(Bytes::copy_from_slice(bytes)).map(Result::unwrap);
    assert_eq!(sliced.collect::<Vec<_>>(), expected);
}

fn written(write: impl FnOnce(&mut Writer<Vec<u8>>)) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    write(&mut writer);
    writer.into_inner()
}

#[test]
fn a_payload_chunk() {
    let bytes = golden("xbstream/golden-payload");
    fields(
        &bytes,
        &[
            ("magic", 0, b"XBSTCK01"),
            ("flags", 8, &[0]),
            ("type", 9, b"P"),
            ("length of the path", 10, &[8, 0, 0, 0]),
            ("path", 14, b"db/t.ibd"),
            ("length of the payload", 22, &[5, 0, 0, 0, 0, 0, 0, 0]),
            (
                "offset in the file",
                30,
                &[0x55, 0x44, 0x33, 0x22, 0x11, 0, 0, 0],
            ),
            (
                "CRC-32 of the payload, 0x3610a686",
                38,
                &[0x86, 0xA6, 0x10, 0x36],
            ),
            ("payload", 42, b"hello"),
        ],
    );
    let offset = 0x0011_2233_4455;
    assert_eq!(
        written(|w| w.payload("db/t.ibd", offset, b"hello").unwrap()),
        bytes
    );
    read_as(
        &bytes,
        &[Chunk::Payload {
            path: "db/t.ibd".into(),
            offset,
            data: Bytes::from_static(b"hello"),
            flags: 0,
        }],
    );
}

#[test]
fn an_end_chunk() {
    let bytes = golden("xbstream/golden-end");
    fields(
        &bytes,
        &[
            ("magic", 0, b"XBSTCK01"),
            ("flags", 8, &[0]),
            ("type", 9, b"E"),
            ("length of the path", 10, &[8, 0, 0, 0]),
            ("path", 14, b"db/t.ibd"),
        ],
    );
    assert_eq!(written(|w| w.end("db/t.ibd").unwrap()), bytes);
    let path = "db/t.ibd".into();
    read_as(&bytes, &[Chunk::End { path }]);
}

/// `printf hello > t; mbstream -c t`, of MariaDB 10.11.19.
#[test]
fn a_stream_of_mbstream() {
    let bytes = golden("xbstream/golden-mbstream");
    fields(
        &bytes,
        &[
            ("magic", 0, b"XBSTCK01"),
            ("flags", 8, &[0]),
            ("type", 9, b"P"),
            ("length of the path", 10, &[1, 0, 0, 0]),
            ("path", 14, b"t"),
            ("length of the payload", 15, &[5, 0, 0, 0, 0, 0, 0, 0]),
            ("offset in the file", 23, &[0; 8]),
            ("CRC-32 of the payload", 31, &[0x86, 0xA6, 0x10, 0x36]),
            ("payload", 35, b"hello"),
            ("magic", 40, b"XBSTCK01"),
            ("flags", 48, &[0]),
            ("type", 49, b"E"),
            ("length of the path", 50, &[1, 0, 0, 0]),
            ("path", 54, b"t"),
        ],
    );
    let ours = written(|w| {
        w.payload("t", 0, b"hello").unwrap();
        w.end("t").unwrap();
    });
    assert_eq!(ours, bytes);
    let payload = Chunk::Payload {
        path: "t".into(),
        offset: 0,
        data: Bytes::from_static(b"hello"),
        flags: 0,
    };
    read_as(&bytes, &[payload, Chunk::End { path: "t".into() }]);
}

#[test]
fn a_sparse_chunk_that_is_a_hole() {
    let bytes = golden("xbstream/golden-hole");
    fields(
        &bytes,
        &[
            ("magic", 0, b"XBSTCK01"),
            ("flags", 8, &[0]),
            ("type", 9, b"S"),
            ("length of the path", 10, &[1, 0, 0, 0]),
            ("path", 14, b"t"),
            ("entries of the map", 15, &[2, 0, 0, 0]),
            ("length of the payload", 19, &[0; 8]),
            ("offset in the file", 27, &[16, 0, 0, 0, 0, 0, 0, 0]),
            ("CRC-32 of the map", 35, &bytes[35..39]),
            ("entry 0: bytes to skip", 39, &[0xFF; 4]),
            ("entry 0: bytes to take", 43, &[0; 4]),
            ("entry 1: bytes to skip", 47, &[2, 0, 0, 0]),
            ("entry 1: bytes to take", 51, &[0; 4]),
        ],
    );
    assert_eq!(crc32fast::hash(&bytes[39..]).to_le_bytes(), bytes[35..39]);
    assert_eq!(written(|w| w.hole("t", 16, 0x1_0000_0001).unwrap()), bytes);
    let skip = |skip| SparseEntry { skip, len: 0 };
    read_as(
        &bytes,
        &[Chunk::Sparse {
            path: "t".into(),
            offset: 16,
            map: vec![skip(u32::MAX), skip(2)],
            data: Bytes::new(),
        }],
    );
}

/// lsnap writes holes only as whole chunks; it reads holes with data between them.
#[test]
fn a_sparse_chunk_with_data() {
    let bytes = golden("xbstream/golden-sparse");
    fields(
        &bytes,
        &[
            ("magic", 0, b"XBSTCK01"),
            ("flags", 8, &[0]),
            ("type", 9, b"S"),
            ("length of the path", 10, &[1, 0, 0, 0]),
            ("path", 14, b"t"),
            ("entries of the map", 15, &[2, 0, 0, 0]),
            ("length of the payload", 19, &[5, 0, 0, 0, 0, 0, 0, 0]),
            ("offset in the file", 27, &[0, 0x40, 0, 0, 0, 0, 0, 0]),
            ("CRC-32 of map and payload", 35, &bytes[35..39]),
            ("entry 0: bytes to skip", 39, &[0, 0x10, 0, 0]),
            ("entry 0: bytes to take", 43, &[3, 0, 0, 0]),
            ("entry 1: bytes to skip", 47, &[8, 0, 0, 0]),
            ("entry 1: bytes to take", 51, &[2, 0, 0, 0]),
            ("payload", 55, b"abcde"),
        ],
    );
    assert_eq!(crc32fast::hash(&bytes[39..]).to_le_bytes(), bytes[35..39]);
    read_as(
        &bytes,
        &[Chunk::Sparse {
            path: "t".into(),
            offset: 16384,
            map: vec![
                SparseEntry { skip: 4096, len: 3 },
                SparseEntry { skip: 8, len: 2 },
            ],
            data: Bytes::from_static(b"abcde"),
        }],
    );
}

#[test]
fn an_ignorable_unknown_chunk() {
    let bytes = golden("xbstream/golden-unknown");
    fields(
        &bytes,
        &[
            ("magic", 0, b"XBSTCK01"),
            ("flags: may be ignored", 8, &[1]),
            ("type", 9, b"Z"),
            ("length of the path", 10, &[1, 0, 0, 0]),
            ("path", 14, b"t"),
            ("length of the payload", 15, &[2, 0, 0, 0, 0, 0, 0, 0]),
            ("offset in the file", 23, &[0; 8]),
            ("a checksum that is not checked", 31, &[0; 4]),
            ("payload", 35, b"??"),
        ],
    );
    let (path, kind) = ("t".into(), b'Z');
    read_as(&bytes, &[Chunk::Unknown { path, kind }]);
}

/// MariaDB's chunks; `tests/mbstream.rs` tests that `mbstream` handles them as lsnap does.
#[test]
fn chunks_of_mariadb() {
    let bytes = golden("xbstream/golden-rename");
    fields(
        &bytes,
        &[
            ("magic", 0, b"XBSTCK01"),
            ("flags", 8, &[0]),
            ("type", 9, b"R"),
            ("length of the path", 10, &[1, 0, 0, 0]),
            ("path", 14, b"a"),
            ("length of the new path", 15, &[2, 0, 0, 0]),
            ("new path", 19, b"b2"),
        ],
    );
    assert_eq!(xbstream::rename_chunk("a", "b2").unwrap(), bytes);
    let (path, to) = ("a".into(), "b2".into());
    read_as(&bytes, &[Chunk::Rename { path, to }]);

    let bytes = golden("xbstream/golden-remove");
    fields(
        &bytes,
        &[
            ("magic", 0, b"XBSTCK01"),
            ("flags", 8, &[0]),
            ("type", 9, b"D"),
            ("length of the path", 10, &[1, 0, 0, 0]),
            ("path", 14, b"a"),
        ],
    );
    assert_eq!(xbstream::remove_chunk("a").unwrap(), bytes);
    read_as(&bytes, &[Chunk::Remove { path: "a".into() }]);

    let bytes = golden("xbstream/golden-seek-end");
    fields(
        &bytes,
        &[
            ("magic", 0, b"XBSTCK01"),
            ("flags", 8, &[0]),
            ("type", 9, b"S"),
            ("length of the path", 10, &[1, 0, 0, 0]),
            ("path", 14, b"a"),
            ("offset in the file", 15, &[2, 1, 0, 0, 0, 0, 0, 0]),
            ("the next chunk", 23, b"XBSTCK01\0E\x01\0\0\0a"),
        ],
    );
    let end = xbstream::end_chunk("a").unwrap();
    assert_eq!(
        [xbstream::seek_chunk("a", 0x0102).unwrap(), end].concat(),
        bytes
    );
    let path = || "a".to_owned();
    let seek = Chunk::Seek {
        path: path(),
        offset: 0x0102,
    };
    read_as(&bytes, &[seek, Chunk::End { path: path() }]);

    let bytes = golden("xbstream/golden-rewrite");
    fields(
        &bytes,
        &[
            ("magic", 0, b"XBSTCK01"),
            ("flags: truncates and starts the file again", 8, &[2]),
            ("type", 9, b"P"),
            ("length of the path", 10, &[1, 0, 0, 0]),
            ("path", 14, b"a"),
            ("length of the payload", 15, &[3, 0, 0, 0, 0, 0, 0, 0]),
            ("offset in the file", 23, &[0; 8]),
            (
                "CRC-32 of the payload",
                31,
                &xbstream::crc(b"new").to_le_bytes(),
            ),
            ("payload", 35, b"new"),
        ],
    );
    let head = xbstream::rewrite_head("a", 0, 3, xbstream::crc(b"new")).unwrap();
    assert_eq!([&head[..], b"new"].concat(), bytes);
    read_as(
        &bytes,
        &[Chunk::Payload {
            path: path(),
            offset: 0,
            data: Bytes::from_static(b"new"),
            flags: xbstream::FLAG_REWRITE,
        }],
    );
}

fn delta(pages: &[(u32, &[u8])]) -> Vec<u8> {
    let size = PageSize::new(1024).unwrap();
    let mut out = Vec::new();
    let mut put = |piece: lsnap::delta::Piece| {
        let end = piece.offset as usize + piece.data.len();
        out.resize(end.max(out.len()), 0);
        out[piece.offset as usize..end].copy_from_slice(&piece.data);
    };
    let mut writer = DeltaWriter::new(size, 64 << 10);
    for (number, page) in pages {
        writer.push(PageNo(*number), page, &mut put);
    }
    writer.finish(&mut put);
    out
}

#[test]
fn a_delta() {
    let bytes = golden("delta/golden.delta");
    fields(
        &bytes,
        &[
            ("magic of the last cluster", 0, b"XTRA"),
            ("number of the first page", 4, &[0, 0, 0, 7]),
            ("end of the list", 8, &[0xFF; 4]),
            ("nothing, up to a page", 12, &[0; 1012]),
            ("page 7: its checksum", 1024, &[0; 4]),
            ("page 7: its number", 1028, &[0, 0, 0, 7]),
            ("page 7: its neighbours", 1032, &[0; 8]),
            ("page 7: its LSN", 1040, &[0, 0, 0, 1, 2, 3, 4, 5]),
            ("page 7: its type and more", 1048, &[0; 10]),
            ("page 7: its tablespace", 1058, &[0, 0, 0, 9]),
            ("page 7: the rest", 1062, &[0; 986]),
        ],
    );
    assert_eq!(delta(&[(7, &bytes[1024..])]), bytes);
    let mut reader = DeltaReader::new(&bytes[..], PageSize::new(1024).unwrap());
    let mut found = Vec::new();
    assert_eq!(reader.next_page(&mut found).unwrap(), Some(PageNo(7)));
    assert_eq!(found, bytes[1024..]);
    assert_eq!(page::lsn(&found), Lsn(0x0001_0203_0405));
    assert_eq!(reader.next_page(&mut found).unwrap(), None);
}

#[test]
fn a_delta_without_pages() {
    let bytes = golden("delta/golden-empty.delta");
    fields(
        &bytes,
        &[
            ("magic of the last cluster", 0, b"XTRA"),
            ("end of the list", 4, &[0xFF; 4]),
            ("nothing, up to a page", 8, &[0; 1016]),
        ],
    );
    assert_eq!(delta(&[]), bytes);
    let mut reader = DeltaReader::new(&bytes[..], PageSize::new(1024).unwrap());
    assert_eq!(reader.next_page(&mut Vec::new()).unwrap(), None);
}

#[test]
fn a_meta() {
    let text = String::from_utf8(golden("delta/golden.meta")).unwrap();
    let meta = Meta {
        page_size: PageSize::new(1024).unwrap(),
        zip_size: 1024,
        space_id: SpaceId(9),
        space_flags: SpaceFlags(37),
    };
    assert_eq!(Meta::parse(&text).unwrap(), meta);
    assert_eq!(meta.encode(), text);
}

/// A test in `codec` checks that lsnap writes the same bytes with the same IV; here its IV is
/// random.
#[test]
fn an_xbcrypt_chunk() {
    let bytes = golden("xbcrypt/golden.xbcrypt");
    let iv: Vec<u8> = (0xF0..=0xFF).collect();
    fields(
        &bytes,
        &[
            ("magic", 0, b"XBCRYP03"),
            ("nothing", 8, &[0; 8]),
            (
                "length with its SHA-256, 5 + 32",
                16,
                &[37, 0, 0, 0, 0, 0, 0, 0],
            ),
            ("length of the ciphertext", 24, &[37, 0, 0, 0, 0, 0, 0, 0]),
            ("CRC-32 of the ciphertext", 32, &bytes[32..36]),
            ("length of the IV", 36, &[16, 0, 0, 0, 0, 0, 0, 0]),
            ("IV", 44, &iv),
            (
                "ciphertext of the text and of its SHA-256",
                60,
                &bytes[60..],
            ),
        ],
    );
    assert_eq!(crc32fast::hash(&bytes[60..]).to_le_bytes(), bytes[32..36]);
    let secret: Vec<u8> = (0..32).collect();
    let key = Key::new(Algorithm::Aes256, &secret).unwrap();
    assert_eq!(xbcrypt::decrypt(&key, &bytes, 100).unwrap(), b"hello");
    let ours = xbcrypt::encrypt(&key, xbcrypt::CHUNK, b"hello").unwrap();
    assert_eq!(ours.len(), bytes.len());
    for same in [0..32, 36..44] {
        assert_eq!(ours[same.clone()], bytes[same]);
    }
}
