//! The loops that every byte of a backup goes through: `cargo bench`.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lsnap::delta::DeltaWriter;
use lsnap::innodb::{Lsn, PageNo, PageSize, PageVerifier, SpaceFlags, SpaceId, page};
use lsnap::xbstream;
use std::hint::black_box;

const PAGE: usize = 16384;
const PAGES: usize = 512;

/// A run of valid pages of one tablespace, as it comes from the disk: header, body, checksum.
fn pages() -> Vec<u8> {
    let mut out = Vec::with_capacity(PAGE * PAGES);
    for number in 0..PAGES as u32 {
        let mut p: Vec<u8> = (0..PAGE).map(|i| (i as u32 * 31 + number) as u8).collect();
        p[4..8].copy_from_slice(&number.to_be_bytes());
        let lsn = 1_000_000 + u64::from(number);
        p[16..24].copy_from_slice(&lsn.to_be_bytes());
        p[24..26].copy_from_slice(&17855u16.to_be_bytes());
        p[34..38].copy_from_slice(&7u32.to_be_bytes());
        p[PAGE - 4..].copy_from_slice(&(lsn as u32).to_be_bytes());
        let crc = crc32c::crc32c(&p[4..26]) ^ crc32c::crc32c(&p[38..PAGE - 8]);
        p[..4].copy_from_slice(&crc.to_be_bytes());
        p[PAGE - 8..PAGE - 4].copy_from_slice(&crc.to_be_bytes());
        out.extend_from_slice(&p);
    }
    out
}

fn hot_loops(c: &mut Criterion) {
    let data = pages();
    let mut group = c.benchmark_group("8 MiB");
    group.throughput(Throughput::Bytes(data.len() as u64));

    let Ok(verifier) = PageVerifier::new(SpaceId(7), SpaceFlags(0x4021)) else {
        return;
    };
    group.bench_function("verify crc32", |b| {
        b.iter(|| {
            let numbered = data.chunks_exact(PAGE).zip(0..);
            numbered
                .filter(|(p, n)| verifier.verify(PageNo(*n), p).is_ok())
                .count()
        });
    });
    group.bench_function("filter by LSN, none changed", |b| {
        let floor = Lsn(2_000_000);
        b.iter(|| {
            data.chunks_exact(PAGE)
                .filter(|p| page::lsn(p) >= floor)
                .count()
        });
    });
    group.bench_function("xbstream crc", |b| {
        b.iter(|| xbstream::crc(black_box(&data)))
    });
    group.bench_function("delta, every page", |b| {
        b.iter(|| {
            let mut writer = DeltaWriter::new(PageSize::DEFAULT, 8 << 20);
            let mut bytes = 0;
            for (p, n) in data.chunks_exact(PAGE).zip(0..) {
                writer.push(PageNo(n), p, &mut |piece| bytes += piece.data.len());
            }
            writer.finish(&mut |piece| bytes += piece.data.len());
            bytes
        });
    });
    let crc = xbstream::crc(&data);
    if let Ok(head) = xbstream::payload_head("db/t.ibd", 0, data.len() as u64, crc) {
        let object = Bytes::from([&head[..], &data].concat());
        group.bench_function("xbstream read", |b| {
            b.iter(|| {
                xbstream::chunks(object.clone())
                    .filter(Result::is_ok)
                    .count()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hot_loops);
criterion_main!(benches);
