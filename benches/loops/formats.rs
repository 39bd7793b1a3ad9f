//! The stream, the deltas, and the checksums of both.

use super::made::Sum;
use super::{Loop, SPACE, Scale, run, table};
use bytes::Bytes;
use lsnap::delta::{DeltaReader, DeltaWriter, Meta, Piece};
use lsnap::innodb::{PageNo, PageSize, SpaceFlags, SpaceId};
use lsnap::{restore, xbstream};
use std::hint::black_box;

const PAGE: usize = 16384;
/// Length of a payload. Those of xtrabackup are 10 MiB, those of lsnap 8 MiB.
const PAYLOAD: usize = 1 << 20;

pub fn loops(scale: Scale) -> Vec<Loop> {
    let data = run(&table(PAGE, Sum::Crc32, scale.bytes));
    let (crc, crc_c, hash) = (data.clone(), data.clone(), data.clone());
    let bytes = data.len();
    let mut loops = vec![
        Loop::bytes("sum/crc-32 (xbstream)", bytes, move || {
            xbstream::crc(black_box(&crc)) as usize
        }),
        Loop::bytes("sum/crc-32c", bytes, move || {
            crc_fast::crc32_iscsi(black_box(&crc_c)) as usize
        }),
        Loop::bytes("sum/blake3", bytes, move || {
            usize::from(blake3::hash(black_box(&hash)).as_bytes()[0])
        }),
    ];
    loops.extend(stream(&data));
    let delta = delta_of(&data);
    loops.push(merge(&data));
    loops.push(Loop::bytes("delta/read", delta.len(), move || {
        let mut reader = DeltaReader::new(&delta[..], PageSize::DEFAULT);
        let mut page = vec![0; PAGE];
        let mut pages = 0;
        while let Ok(Some(_)) = reader.next_page(&mut page) {
            pages += 1;
        }
        pages
    }));
    loops.push(Loop::bytes("delta/write", bytes, move || {
        let mut written = 0;
        write_delta(&data, &mut |piece| written += piece.data.len());
        written
    }));
    loops
}

fn stream(data: &[u8]) -> [Loop; 3] {
    let mut whole = xbstream::Writer::new(Vec::new());
    write(&mut whole, data);
    let whole = Bytes::from(whole.into_inner());
    let (mapped, data) = (whole.clone(), data.to_vec());
    [
        Loop::bytes("xbstream/write", data.len(), move || {
            write(&mut xbstream::Writer::new(std::io::sink()), &data)
        }),
        Loop::bytes("xbstream/read from memory", mapped.len(), move || {
            let found = xbstream::chunks(mapped.clone());
            found.filter(Result::is_ok).count()
        }),
        Loop::bytes("xbstream/read from a reader", whole.len(), move || {
            let found = xbstream::Reader::new(&whole[..]);
            found.filter(Result::is_ok).count()
        }),
    ]
}

fn write<W: std::io::Write>(writer: &mut xbstream::Writer<W>, data: &[u8]) -> usize {
    let mut at = 0;
    for payload in data.chunks(PAYLOAD) {
        let written = writer.payload("db/t.ibd", at as u64, payload);
        written.expect("memory takes everything");
        at += payload.len();
    }
    writer.end("db/t.ibd").expect("memory takes everything");
    at
}

/// Emits the pieces of a delta that has every page.
fn write_delta(data: &[u8], emit: &mut dyn FnMut(Piece)) {
    let mut writer = DeltaWriter::new(PageSize::DEFAULT, 8 << 20);
    for (page, no) in data.chunks_exact(PAGE).zip(0..) {
        writer.push(PageNo(no), page, emit);
    }
    writer.finish(emit);
}

/// Returns the same delta as one buffer.
fn delta_of(data: &[u8]) -> Vec<u8> {
    let mut pieces = Vec::new();
    write_delta(data, &mut |piece| pieces.push(piece));
    pieces.sort_by_key(|piece| piece.offset);
    pieces
        .iter()
        .map(|piece| &piece.data[..])
        .collect::<Vec<_>>()
        .concat()
}

/// Restores one file from its image and a delta that has half of its pages, on a RAM disk.
fn merge(data: &[u8]) -> Loop {
    let half = delta_of(&data[..data.len() / 2]);
    let room = tempfile::tempdir_in("/dev/shm").expect("a RAM disk");
    let (base, change) = (room.path().join("base"), room.path().join("delta"));
    std::fs::write(&base, data).expect("the RAM disk has room");
    std::fs::write(&change, half).expect("the RAM disk has room");
    let meta = Meta {
        page_size: PageSize::DEFAULT,
        zip_size: 0,
        space_id: SpaceId(SPACE),
        space_flags: SpaceFlags(table(PAGE, Sum::Crc32, 0).flags()),
    };
    let bytes = data.len() as u64;
    let out = room.path().join("out");
    Loop::bytes(
        "merge/image and half a delta, digests included",
        data.len(),
        move || {
            let _ = (std::fs::remove_file(&out), &room);
            restore::merge_onto(Some(&base), &change, &meta, bytes, &out).expect("a sound delta");
            bytes as usize
        },
    )
    .not_counted()
}
