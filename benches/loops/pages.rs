//! Pages: their checksums, and the filter for changed pages.

use super::made::Sum;
use super::{Loop, NEWEST, SPACE, Scale, run, table};
use lsnap::benching::changed_pages;
use lsnap::innodb::{Lsn, PageNo, PageVerifier, SpaceFlags, SpaceId};

const KIB: usize = 1024;
/// Tables of compressed pages of 8 KiB.
const ZIP: SpaceFlags = SpaceFlags(0x4029);

pub fn loops(scale: Scale) -> Vec<Loop> {
    let mut loops: Vec<Loop> = [4, 8, 16, 32, 64]
        .map(|kib| verify(scale, kib, Sum::Crc32))
        .into();
    loops.push(verify(scale, 16, Sum::Innodb));
    loops.push(verify(scale, 16, Sum::None));
    let zip = zip_pages(scale.bytes);
    loops.push(verified(
        "verify/crc32, compressed 8 KiB",
        8 * KIB,
        ZIP,
        zip,
    ));
    let flags = SpaceFlags(table(16 * KIB, Sum::Crc32, scale.bytes).flags());
    let zeros = vec![0; scale.bytes];
    loops.push(verified("verify/zero 16 KiB", 16 * KIB, flags, zeros));
    loops.push(filter(scale, "filter/none changed", NEWEST));
    loops.push(filter(scale, "filter/all changed", 0));
    let zeros = vec![0; scale.bytes];
    loops.push(Loop::bytes("filter/zero", scale.bytes, move || {
        changed_pages(&zeros, 16 * KIB, Lsn(NEWEST))
    }));
    loops
}

fn verify(scale: Scale, kib: usize, sum: Sum) -> Loop {
    let space = table(kib * KIB, sum, scale.bytes);
    let name = format!("verify/{} {kib} KiB", format!("{sum:?}").to_lowercase());
    verified(&name, kib * KIB, SpaceFlags(space.flags()), run(&space))
}

fn verified(name: &str, page: usize, flags: SpaceFlags, data: Vec<u8>) -> Loop {
    let verifier = PageVerifier::new(SpaceId(SPACE), flags).expect("sound flags");
    Loop::bytes(name, data.len(), move || {
        let numbered = data.chunks_exact(page).zip(0..);
        let good = numbered
            .filter(|(page, no)| verifier.verify(PageNo(*no), page).is_ok())
            .count();
        assert_eq!(good, data.len() / page);
        good
    })
}

/// Returns pages of `ROW_FORMAT=COMPRESSED`: no trailer, and a checksum over three ranges.
fn zip_pages(bytes: usize) -> Vec<u8> {
    let mut data = run(&table(8 * KIB, Sum::Crc32, bytes));
    for page in data.chunks_exact_mut(8 * KIB) {
        let crc = crc32c::crc32c;
        let sum = crc(&page[4..16]) ^ crc(&page[24..26]) ^ crc(&page[34..]);
        page[..4].copy_from_slice(&sum.to_be_bytes());
    }
    data
}

fn filter(scale: Scale, name: &str, floor: u64) -> Loop {
    let data = run(&table(16 * KIB, Sum::Crc32, scale.bytes));
    Loop::bytes(name, data.len(), move || {
        changed_pages(&data, 16 * KIB, Lsn(floor))
    })
}
