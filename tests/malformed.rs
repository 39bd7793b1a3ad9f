//! Malformed input of every kind: each is a valid input with one change, and each message contains
//! the offset, the value read, and the value expected. The messages are complete here, as an
//! operator sees them.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use lsnap::archive::{ExtractOptions, Input, extract};
use lsnap::codec::xbcrypt::{self, Algorithm, Key};
use lsnap::codec::{Compression, Format, compress, decompress};
use lsnap::delta::{DeltaReader, Meta};
use lsnap::innodb::PageSize;
use lsnap::progress::Silent;
use lsnap::xbstream::{self, Chunk, Reader, Writer};

/// Rows of a table: the change, the bytes, the message.
type Row<'a> = (&'a str, Vec<u8>, &'a str);

#[track_caller]
fn table(rows: &[Row<'_>], read: impl Fn(&[u8]) -> String) {
    let mut wrong = String::new();
    for (what, bytes, expected) in rows {
        let found = read(bytes);
        if found != *expected {
            wrong += &format!("{what}:\n    {found:?}\n  expected\n    {expected:?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Returns `bytes` with `new` at offset `at`.
fn with(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

/// 17 bytes of an end chunk of `a/b`, then 42 bytes of a payload chunk of `c/d`, and its end.
fn stream() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.end("a/b").unwrap();
    writer.payload("c/d", 0, b"hello").unwrap();
    writer.end("c/d").unwrap();
    writer.into_inner()
}

/// The offset of the payload chunk.
const AT: usize = 17;

/// Returns the first error, which must be the same from a stream and from memory.
fn first_error(bytes: &[u8]) -> String {
    let error = |chunk: Result<Chunk, xbstream::XbstreamError>| chunk.err().map(|e| e.to_string());
    let read = Reader::new(bytes).find_map(error);
    let sliced = xbstream::chunks(Bytes::copy_from_slice(bytes)).find_map(error);
    // If a length exceeds the limit of a stream, an input in memory just ends.
    if !read.as_ref().is_some_and(|text| text.contains("at most")) {
        assert_eq!(read, sliced);
    }
    read.unwrap_or_else(|| "no error".to_owned())
}

#[test]
fn chunks() {
    let good = stream();
    assert_eq!(first_error(&good), "no error");
    let sparse = |entries: u32, length: u64, map: &[(u32, u32)], offset: u64| {
        let mut out = b"XBSTCK01\0S\x03\0\0\0c/d".to_vec();
        out.extend(entries.to_le_bytes());
        out.extend(length.to_le_bytes());
        out.extend(offset.to_le_bytes());
        let map: Vec<u8> = map
            .iter()
            .flat_map(|(skip, len)| [skip.to_le_bytes(), len.to_le_bytes()].concat())
            .collect();
        let rest = [&map[..], &vec![b'x'; length.min(64) as usize]].concat();
        out.extend(crc32fast::hash(&rest).to_le_bytes());
        out.extend(rest);
        out
    };
    table(
        &[
            (
                "no xbstream",
                b"PK\x03\x04 a zip file".to_vec(),
                "stream offset 0: found [50, 4b, 03, 04, 20, 61, 20, 7a] where a chunk must begin with \"XBSTCK01\": not an xbstream, or damaged before this place",
            ),
            (
                "another magic",
                with(&good, AT, b"XBSTCK02"),
                "stream offset 17: found [58, 42, 53, 54, 43, 4b, 30, 32] where a chunk must begin with \"XBSTCK01\": not an xbstream, or damaged before this place",
            ),
            (
                "an unknown type",
                with(&good, AT + 9, b"q"),
                "stream offset 17: chunk type 0x71 is unknown and not marked as ignorable: the stream was written by a newer program",
            ),
            (
                "an empty path",
                with(&good, AT + 10, &[0; 4]),
                "stream offset 17: a path of 0 bytes, expected 1 to 511",
            ),
            (
                "a path of 512 bytes",
                with(&good, AT + 10, &[0, 2, 0, 0]),
                "stream offset 17: a path of 512 bytes, expected 1 to 511",
            ),
            (
                "a path of 4 GiB",
                with(&good, AT + 10, &[0xFF; 4]),
                "stream offset 17: a path of 4294967295 bytes, expected 1 to 511",
            ),
            (
                "a path with a NUL",
                with(&good, AT + 14, b"c\0d"),
                "stream offset 17: path \"c\\0d\" contains a NUL byte",
            ),
            (
                "a path that is not UTF-8",
                with(&good, AT + 14, b"c\xFFd"),
                "stream offset 17: path \"c�d\" is not UTF-8",
            ),
            (
                "a payload of 4 GiB",
                with(&good, AT + 17, &[0, 0, 0, 0, 1]),
                "stream offset 17, c/d: a payload of 4294967296 bytes, at most 1073741824 are accepted",
            ),
            (
                "a payload of 2^63 bytes",
                with(&good, AT + 17, &[0xFF; 8]),
                "stream offset 17, c/d: 18446744073709551615 bytes at file offset 0: no file is that long",
            ),
            (
                "a payload that is longer by one",
                with(&good, AT + 17, &[6]),
                "stream offset 17, c/d: the checksum of the chunk at file offset 0 is b35f00f8, the stream has 3610a686: damaged",
            ),
            (
                "an offset of 2^63",
                with(&good, AT + 25, &[0xFF; 8]),
                "stream offset 17, c/d: 5 bytes at file offset 18446744073709551615: no file is that long",
            ),
            (
                "a checksum",
                with(&good, AT + 33, &[0]),
                "stream offset 17, c/d: the checksum of the chunk at file offset 0 is 3610a686, the stream has 3610a600: damaged",
            ),
            (
                "a byte of the payload",
                with(&good, AT + 37, b"j"),
                "stream offset 17, c/d: the checksum of the chunk at file offset 0 is 4cd0f5e6, the stream has 3610a686: damaged",
            ),
            (
                "cut in the magic",
                good[..AT + 3].to_vec(),
                "stream offset 17: the stream ends inside the header of a chunk: it was cut off",
            ),
            (
                "cut in the path",
                good[..AT + 15].to_vec(),
                "stream offset 17: the stream ends inside the path of a chunk: it was cut off",
            ),
            (
                "cut before the fields",
                good[..AT + 17].to_vec(),
                "stream offset 17: the stream ends inside the fields of a chunk of c/d: it was cut off",
            ),
            (
                "cut in the checksum",
                good[..AT + 35].to_vec(),
                "stream offset 17: the stream ends inside the fields of a chunk of c/d: it was cut off",
            ),
            (
                "cut in the payload",
                good[..AT + 40].to_vec(),
                "stream offset 17: the stream ends inside the payload of a chunk of c/d: it was cut off",
            ),
            (
                "a map of 2^32 entries",
                sparse(u32::MAX, 0, &[], 0),
                "stream offset 0, c/d: a sparse map of 4294967295 entries, at most 1048576 are accepted",
            ),
            (
                "a map that is cut off",
                sparse(3, 0, &[(1, 0)], 0),
                "stream offset 0: the stream ends inside the sparse map of a chunk of c/d: it was cut off",
            ),
            (
                "a map that takes more than there is",
                sparse(1, 5, &[(4, 6)], 0),
                "stream offset 0, c/d: the sparse map takes 6 bytes, the payload has 5",
            ),
            (
                "a map that takes less",
                sparse(1, 5, &[(4, 4)], 0),
                "stream offset 0, c/d: the sparse map takes 4 bytes, the payload has 5",
            ),
            (
                "a map beyond all files",
                sparse(1, 0, &[(u32::MAX, 0)], i64::MAX as u64),
                "stream offset 0, c/d: a sparse map of 4294967295 bytes at file offset 9223372036854775807: no file is that long",
            ),
            (
                "a rename to an empty path",
                b"XBSTCK01\0R\x01\0\0\0a\0\0\0\0".to_vec(),
                "stream offset 0: a rename to a path of 0 bytes, expected 1 to 511",
            ),
            (
                "a rename to a path that is cut off",
                b"XBSTCK01\0R\x01\0\0\0a\x05\0\0\0b".to_vec(),
                "stream offset 0: the stream ends inside the new path of a chunk of a: it was cut off",
            ),
            (
                "a seek beyond all files",
                b"XBSTCK01\0S\x01\0\0\0a\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFXBSTCK01".to_vec(),
                "stream offset 0, a: a seek to offset 18446744073709551615: no file is that long",
            ),
        ],
        first_error,
    );
}

/// A part of a chunk: its end, its name, and the chunk that it belongs to.
type Part<'a> = (usize, &'a str, &'a str);

/// If a stream is cut anywhere, the message names the part and the chunk; at the end of a chunk the
/// stream is just shorter.
#[test]
fn every_cut() {
    let rename = xbstream::rename_chunk("c/d", "e").unwrap();
    let sparse = xbstream::hole_chunk("c/d", 0, 5).unwrap();
    let seek = [
        &xbstream::seek_chunk("c/d", 9).unwrap()[..],
        &xbstream::end_chunk("c/d").unwrap(),
    ]
    .concat();
    let of = " of a chunk of c/d";
    let head = [
        (14, "the header", " of a chunk"),
        (17, "the path", " of a chunk"),
    ];
    let chunks: [(&str, &[u8], &[Part<'_>]); 4] = [
        (
            "a payload",
            &stream()[AT..59],
            &[(37, "the fields", of), (42, "the payload", of)],
        ),
        (
            "a hole",
            &sparse,
            &[(41, "the fields", of), (49, "the sparse map", of)],
        ),
        ("a rename", &rename, &[(22, "the new path", of)]),
        // If it is cut before the end of the next magic, it could also be a sparse chunk.
        ("a seek", &seek[..33], &[(33, "the fields", of)]),
    ];
    for (what, bytes, parts) in chunks {
        for cut in 1..bytes.len() {
            let (_, part, of) = head.iter().chain(parts).find(|p| cut < p.0).unwrap();
            let expected =
                format!("stream offset 17: the stream ends inside {part}{of}: it was cut off");
            let found = first_error(&[&stream()[..AT], &bytes[..cut]].concat());
            assert_eq!(found, expected, "{what}, cut at {cut}");
        }
    }
}

#[test]
fn files_of_a_stream() {
    let chunk = |path: &str, offset: u64, data: &[u8]| {
        let head = xbstream::payload_head(path, offset, data.len() as u64, xbstream::crc(data));
        [&head.unwrap()[..], data].concat()
    };
    let end = |path: &str| xbstream::end_chunk(path).unwrap().to_vec();
    let long = "x".repeat(256);
    let whole = [chunk("t", 0, b"hello"), end("t")].concat();
    let hole = xbstream::hole_chunk("t", 0, 5).unwrap().to_vec();
    table(
        &[
            (
                "an absolute path",
                chunk("/etc/x", 0, b"x"),
                "path \"/etc/x\" in the stream is absolute (ExtractOptions::absolute_names allows it); nothing was written for it",
            ),
            (
                "a path upwards",
                chunk("db/../../x", 0, b"x"),
                "path \"db/../../x\" in the stream leads upwards (`..`); nothing was written for it",
            ),
            (
                "a path that is a directory",
                chunk("db/", 0, b"x"),
                "path \"db/\" in the stream names no file; nothing was written for it",
            ),
            (
                "a path of dots",
                chunk("./.", 0, b"x"),
                "path \"./.\" in the stream names no file; nothing was written for it",
            ),
            (
                "a component that is too long",
                chunk(&long, 0, b"x"),
                "path \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" in the stream has a component of more than 255 bytes, which no file system takes; nothing was written for it",
            ),
            (
                "a path through a file",
                [&whole[..], &chunk("t/u", 0, b"x")].concat(),
                "path \"t/u\" in the stream goes through \"t\", which is a symbolic link or a file below DIR; nothing was written for it",
            ),
            (
                "no end",
                chunk("t", 0, b"hello"),
                "the stream ended, but 1 file did not (the first: t): it was cut off, or its writer failed; the received parts of them were removed",
            ),
            (
                "no end of two",
                [chunk("t", 0, b"x"), chunk("s", 0, b"y")].concat(),
                "the stream ended, but 2 files did not (the first: s): it was cut off, or its writer failed; the received parts of them were removed",
            ),
            (
                "a gap",
                [chunk("t", 0, b"hello"), chunk("t", 9, b"x"), end("t")].concat(),
                "t: bytes 5 to 9 are missing, but the file's end was received; the file was removed",
            ),
            (
                "no beginning",
                [chunk("t", 3, b"hello"), end("t")].concat(),
                "t: bytes 0 to 3 are missing, but the file's end was received; the file was removed",
            ),
            (
                "an overlap",
                [chunk("t", 0, b"hello"), chunk("t", 4, b"x"), end("t")].concat(),
                "t: a chunk of bytes 4 to 5, but bytes 0 to 5 were already received; the file was removed",
            ),
            (
                "a hole over bytes",
                [chunk("t", 0, b"hello"), hole, end("t")].concat(),
                "t: a chunk of bytes 0 to 5, but bytes 0 to 5 were already received; the file was removed",
            ),
            (
                "a second end",
                [&whole[..], &end("t")].concat(),
                "t: chunks of it follow its end: the stream is damaged, or two streams were concatenated; the data before its end is kept",
            ),
            (
                "a chunk after the end",
                [&whole[..], &chunk("t", 5, b"x"), &end("t")].concat(),
                "t: chunks of it follow its end: the stream is damaged, or two streams were concatenated; the data before its end is kept",
            ),
            (
                "the file again",
                [&whole[..], &whole].concat(),
                "t: chunks of it follow its end: the stream is damaged, or two streams were concatenated; the data before its end is kept",
            ),
            (
                "a seek after the end",
                [
                    &whole[..],
                    &xbstream::seek_chunk("t", 1).unwrap(),
                    &end("t"),
                ]
                .concat(),
                "t: chunks of it follow its end: the stream is damaged, or two streams were concatenated; the data before its end is kept",
            ),
            (
                "a chunk that is not where the seek leads",
                [
                    &chunk("t", 0, b"hello")[..],
                    &xbstream::seek_chunk("t", 8).unwrap(),
                    &chunk("t", 7, b"x"),
                    &end("t"),
                ]
                .concat(),
                "t: a chunk of bytes 7 to 8, but there was a seek, after which the next byte is 8; the file was removed",
            ),
            (
                "a rename before the end",
                [
                    chunk("t", 0, b"x"),
                    xbstream::rename_chunk("t", "u").unwrap().to_vec(),
                ]
                .concat(),
                "t: it is renamed or removed before its end; the file was removed",
            ),
        ],
        |bytes| {
            let room = tempfile::tempdir().unwrap();
            let input = Input::Bytes(Bytes::copy_from_slice(bytes));
            let result = extract(vec![input], ExtractOptions::new(room.path()), &Silent);
            let text = result.map_or_else(|error| error.to_string(), |_| "no error".to_owned());
            text.replace(room.path().to_str().unwrap(), "DIR")
        },
    );
}

#[test]
fn deltas() {
    let page = |first: &[u8]| [first, &vec![0; 1024 - first.len()]].concat();
    let one = [page(b"XTRA\0\0\0\x07\xFF\xFF\xFF\xFF"), page(b"x")].concat();
    let full = [page(b"xtra"), vec![0; 255 << 10]].concat();
    let more = [page(b"xtra\0\0\0\x07\xFF\xFF\xFF\xFF"), page(b"x")].concat();
    table(
        &[
            (
                "nothing",
                Vec::new(),
                "offset 0: the delta ends inside the header of a cluster: it was cut off",
            ),
            (
                "another magic",
                with(&one, 0, b"XtRA"),
                "offset 0: a cluster of the delta begins with [58, 74, 52, 41], expected \"xtra\" or \"XTRA\": not a delta, or of another page size than 1024",
            ),
            (
                "a cut header",
                one[..1000].to_vec(),
                "offset 0: the delta ends inside the header of a cluster: it was cut off",
            ),
            (
                "a cut page",
                one[..2000].to_vec(),
                "offset 1024: the delta ends inside page 7: it was cut off",
            ),
            (
                "no page",
                one[..1024].to_vec(),
                "offset 1024: the delta ends inside page 7: it was cut off",
            ),
            (
                "a cluster that is not full and not the last",
                more,
                "offset 0: a cluster of the delta lists 1 page and is not the last, expected 255: damaged",
            ),
            (
                "a full list of pages that are not there",
                page(b"XTRA"),
                "offset 1024: the delta ends inside page 0: it was cut off",
            ),
            (
                "no last cluster",
                full.clone(),
                "offset 262144: the delta ends inside the header of a cluster: it was cut off",
            ),
            (
                "something else for the last cluster",
                [full, page(b"more")].concat(),
                "offset 262144: a cluster of the delta begins with [6d, 6f, 72, 65], expected \"xtra\" or \"XTRA\": not a delta, or of another page size than 1024",
            ),
        ],
        |bytes| {
            let mut reader = DeltaReader::new(bytes, PageSize::new(1024).unwrap());
            let mut page = Vec::new();
            loop {
                match reader.next_page(&mut page) {
                    Ok(Some(_)) => {}
                    Ok(None) => return "no error".to_owned(),
                    Err(error) => return error.to_string(),
                }
            }
        },
    );
}

#[test]
fn metas() {
    let rows = [
        ("nothing", "", ".meta file: page_size is missing"),
        (
            "text without keys",
            "this is no .meta file\n",
            ".meta file: page_size is missing",
        ),
        (
            "no page size",
            "zip_size = 0\nspace_id = 9\nspace_flags = 0\n",
            ".meta file: page_size is missing",
        ),
        (
            "no space id",
            "page_size = 1024\n",
            ".meta file: space_id is missing",
        ),
        (
            "an invalid page size",
            "page_size = 1000\nspace_id = 9\n",
            ".meta file: page_size: 1000 is no InnoDB page size: expected a power of two from 1024 to 65536",
        ),
        (
            "a page size that is not a number",
            "page_size = large\nspace_id = 9\n",
            ".meta file: page_size is \"large\", expected a number below 2^32",
        ),
        (
            "an unknown line, which xtrabackup skips too, before a wrong one",
            "color = red\npage_size = 1025\nspace_id = 9\n",
            ".meta file: page_size: 1025 is no InnoDB page size: expected a power of two from 1024 to 65536",
        ),
        (
            "a negative space id",
            "page_size = 1024\nspace_id = -1\n",
            ".meta file: space_id is \"-1\", expected a number below 2^32",
        ),
        (
            "flags that are not a number",
            "page_size = 1024\nspace_id = 9\nspace_flags = 0x21\n",
            ".meta file: space_flags is \"0x21\", expected a number below 2^32",
        ),
        (
            "a space id of 2^32",
            "page_size = 1024\nspace_id = 4294967296\n",
            ".meta file: space_id is \"4294967296\", expected a number below 2^32",
        ),
    ];
    let rows = rows.map(|(what, text, expected)| (what, text.as_bytes().to_vec(), expected));
    table(&rows, |bytes| {
        let text = std::str::from_utf8(bytes).unwrap();
        Meta::parse(text).map_or_else(|e| e.to_string(), |_| "no error".to_owned())
    });
    let long = "x".repeat(1 << 20);
    assert_eq!(
        Meta::parse(&long).unwrap_err().to_string(),
        ".meta file: 1048576 bytes, at most 65536 are accepted"
    );
}

#[test]
fn encrypted_chunks() {
    let key = Key::new(Algorithm::Aes128, &[7; 16]).unwrap();
    let two = xbcrypt::encrypt(&key, 5, b"helloworld").unwrap();
    let at = two.len() / 2;
    let other = Key::new(Algorithm::Aes128, &[8; 16]).unwrap();
    let theirs = xbcrypt::encrypt(&other, 5, b"hello").unwrap();
    table(
        &[
            (
                "another magic",
                with(&two, at, b"XBCRYP04"),
                "offset 97: found [58, 42, 43, 52, 59, 50, 30, 34], expected \"XBCRYP03\": not an xbcrypt chunk, or damaged before this place",
            ),
            (
                "the oldest version",
                with(&two, at, b"XBCRYP01"),
                "offset 97: a chunk XBCRYP01 of an xtrabackup before 2.4, which has no digest: decrypt it with xbcrypt",
            ),
            (
                "the second version",
                with(&two, at, b"XBCRYP02"),
                "offset 97: a chunk XBCRYP02 of an xtrabackup before 2.4, which has no digest: decrypt it with xbcrypt",
            ),
            (
                "a reserved field",
                with(&two, at + 8, &[1]),
                "offset 97: reserved field 0x1, expected 0: damaged",
            ),
            (
                "a length without room for the digest",
                with(&two, at + 16, &[31]),
                "offset 97: plaintext of 31 bytes in ciphertext of 37, expected the same number, at least 32: damaged",
            ),
            (
                "a length of 2^63",
                with(&two, at + 24, &[0xFF; 8]),
                "offset 97: an xbcrypt chunk of 18446744073709551615 bytes, at most 268435456 bytes are accepted",
            ),
            (
                "two lengths that differ",
                with(&two, at + 16, &[38]),
                "offset 97: plaintext of 38 bytes in ciphertext of 37, expected the same number, at least 32: damaged",
            ),
            (
                "an IV of 2^63 bytes",
                with(&two, at + 36, &[0xFF; 8]),
                "offset 97: an IV of 18446744073709551615 bytes, expected 16: damaged",
            ),
            (
                "an IV of 15 bytes",
                with(&two, at + 36, &[15]),
                "offset 97: an IV of 15 bytes, expected 16: damaged",
            ),
            (
                "a byte of the ciphertext",
                with(&two, at + 60, &[two[at + 60] ^ 1]),
                "offset 97: the CRC of an xbcrypt chunk is <crc>, expected <crc>: damaged",
            ),
            (
                "cut in the header",
                two[..at + 20].to_vec(),
                "offset 97: the bytes end inside the head of an xbcrypt chunk: they were cut off",
            ),
            (
                "cut in the IV",
                two[..at + 50].to_vec(),
                "offset 97: the bytes end inside the IV of an xbcrypt chunk: they were cut off",
            ),
            (
                "cut in the ciphertext",
                two[..two.len() - 1].to_vec(),
                "offset 97: the bytes end inside the ciphertext of an xbcrypt chunk: they were cut off",
            ),
            (
                "another key",
                theirs,
                "offset 0: the ciphertext is intact (its CRC is right), but its AES128 plaintext does not match the digest inside: it was encrypted with another key or another algorithm",
            ),
        ],
        |bytes| {
            let got = xbcrypt::decrypt(&key, bytes, 1 << 20);
            // The values that differ between runs are random.
            let text = got.map_or_else(|e| e.to_string(), |_| "no error".to_owned());
            hide_crcs(&text)
        },
    );
    let error = xbcrypt::decrypt(&key, &two, 9).unwrap_err().to_string();
    assert_eq!(
        error,
        "offset 194: the chunks hold more, at most 9 bytes are accepted"
    );
}

/// Replaces eight hexadecimal digits in a row, which are a CRC.
fn hide_crcs(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive([' ', ',', ':', ';', '(', ')']) {
        let digits = word.trim_end_matches([' ', ',', ':', ';', '(', ')']);
        if digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            out += &word.replace(digits, "<crc>");
        } else {
            out += word;
        }
    }
    out
}

#[test]
fn frames() {
    let plain = b"hello, hello, hello, hello, hello".repeat(9);
    let zstd = compress(Compression::Zstd { level: 1 }, &plain).unwrap();
    let lz4 = compress(Compression::Lz4, &plain).unwrap();
    let read = |format: Format| {
        move |bytes: &[u8]| {
            let got = decompress(format, bytes, 1 << 20);
            got.map_or_else(|e| e.to_string(), |_| "no error".to_owned())
        }
    };
    let end = zstd.len();
    table(
        &[
            (
                "no zstd",
                b"hello".to_vec(),
                "offset 0: found [68, 65, 6c, 6c], expected 28 b5 2f fd: not a zstd frame, or damaged before this place",
            ),
            (
                "cut in the magic",
                zstd[..3].to_vec(),
                "offset 0: the bytes end inside a zstd frame: they were cut off",
            ),
            (
                "cut in the frame",
                zstd[..end - 6].to_vec(),
                "offset 0: the bytes end inside a zstd frame: they were cut off",
            ),
            (
                "cut in the checksum",
                zstd[..end - 1].to_vec(),
                "offset 0: the bytes end inside a zstd frame: they were cut off",
            ),
            (
                "another checksum",
                with(&zstd, end - 1, &[zstd[end - 1] ^ 1]),
                "offset 0: a zstd frame: Restored data doesn't match checksum: damaged",
            ),
            (
                "garbage after the end",
                [&zstd[..], b"more"].concat(),
                "offset 62: found [6d, 6f, 72, 65], expected 28 b5 2f fd: not a zstd frame, or damaged before this place",
            ),
            (
                "a second frame that is cut",
                [&zstd[..], &zstd[..9]].concat(),
                "offset 62: the bytes end inside a zstd frame: they were cut off",
            ),
            (
                "a skippable frame that is cut",
                b"\x50\x2A\x4D\x18\x09\0\0\0abc".to_vec(),
                "offset 0: the bytes end inside a skippable frame: they were cut off",
            ),
            (
                "a dictionary",
                // `zstd --train FILES -o D; printf 'hello hello hello hello' | zstd -D D`
                b"\x28\xB5\x2F\xFD\x27\xF9\x5B\x17\x20\x17\x5D\0\0\x08\x20\x02\xFC\xB1\xCB\xCB\x62\x38\x76\x12\x17\x5E\xAE\x0D".to_vec(),
                "offset 0: a frame that was made with a dictionary, which is not read here: unpack it with `zstd -d -D DICTIONARY`",
            ),
            (
                "a window of 2^31 bytes",
                b"\x28\xB5\x2F\xFD\x00\xA8\x01\x00\x00".to_vec(),
                "offset 0: a frame with a window of more than 2^27 bytes, which is not read here: unpack it with `zstd -d --long=31`",
            ),
        ],
        read(Format::Zstd),
    );
    let end = lz4.len();
    // Magic, version 1 with independent blocks and a dictionary, its number, the header's checksum.
    let mut dictionary = b"\x04\x22\x4D\x18\x61\x40\x01\0\0\0".to_vec();
    dictionary.extend([0xD0, 0, 0, 0, 0]);
    table(
        &[
            (
                "no lz4",
                b"hello".to_vec(),
                "offset 0: found [68, 65, 6c, 6c], expected 04 22 4d 18: not an lz4 frame, or damaged before this place",
            ),
            (
                "the legacy format",
                b"\x02\x21\x4C\x18\0\0\0\0".to_vec(),
                "offset 0: a frame of the legacy lz4 format, which is not read here: unpack it with `lz4 -d`",
            ),
            (
                "a dictionary",
                dictionary,
                "offset 0: a frame that was made with a dictionary, which is not read here: unpack it with `lz4 -d -D DICTIONARY`",
            ),
            (
                "another checksum of the header",
                with(&lz4, 14, &[lz4[14] ^ 1]),
                "offset 0: an lz4 frame: HeaderChecksumError: damaged",
            ),
            (
                "cut in the frame",
                lz4[..end - 6].to_vec(),
                "offset 0: the bytes end inside an lz4 frame: they were cut off",
            ),
            (
                "cut in the checksum",
                lz4[..end - 1].to_vec(),
                "offset 0: the bytes end inside an lz4 frame: they were cut off",
            ),
            (
                "another checksum",
                with(&lz4, end - 1, &[lz4[end - 1] ^ 1]),
                "offset 0: an lz4 frame: ContentChecksumError: damaged",
            ),
            (
                "garbage after the end",
                [&lz4[..], b"more"].concat(),
                "offset 56: found [6d, 6f, 72, 65], expected 04 22 4d 18: not an lz4 frame, or damaged before this place",
            ),
        ],
        read(Format::Lz4),
    );
    let error = decompress(Format::Zstd, &zstd, 10).unwrap_err().to_string();
    assert_eq!(
        error,
        "offset 0: 62 bytes decompress to more than 10, at most 10 bytes are accepted"
    );
}
