//! The pages of `testdata/pages`; its README describes how each was made.

use super::{PageNo, PageVerifier, SpaceFlags, SpaceId};
use std::io::Read;

/// A real page, and the values of page 0 of its file.
pub(super) struct Fixture {
    pub name: &'static str,
    pub number: PageNo,
    pub space: SpaceId,
    pub flags: SpaceFlags,
}

const fn fixture(name: &'static str, number: u32, space: u32, flags: u32) -> Fixture {
    Fixture {
        name,
        number: PageNo(number),
        space: SpaceId(space),
        flags: SpaceFlags(flags),
    }
}

/// Pages with a checksum: a change of any covered byte is detected.
pub(super) const CHECKED: &[Fixture] = &[
    fixture("index-16k-crc32.page", 7, 25, 0x4000),
    fixture("index-16k-innodb.page", 7, 25, 0x4000),
    fixture("fsp_hdr-16k-encrypted-space.page", 0, 21, 0x6021),
    fixture("fsp_hdr-16k-dictionary.page", 0, 0xFFFF_FFFE, 0x4800),
    fixture("fsp_hdr-16k-big-endian.page", 0, 0xFFFF_FFFE, 0x4800),
    fixture("trx_sys-16k.page", 5, 0, 0x4800),
    fixture("index-4k-crc32.page", 7, 23, 0x40C0),
    fixture("trx_sys-4k.page", 5, 0, 0x48C0),
    fixture("index-64k-crc32.page.gz", 4, 19, 0x41C0),
    fixture("zip8-crc32.page", 5, 15, 0x4029),
    fixture("zip4-adler32.page", 5, 16, 0x4027),
    fixture("zip1-crc32.page", 8, 18, 0x4023),
    fixture("fsp_hdr-zip1-adler32.page", 0, 18, 0x4023),
    fixture("undo-16k-encrypted-space.page", 136, 0xFFFF_FFEF, 0x2000),
];

/// Page-compressed pages.
pub(super) const COMPRESSED: &[Fixture] = &[
    fixture("compressed-16k-zlib.page", 5, 19, 0x4021),
    fixture("compressed-16k-lz4.page", 5, 20, 0x4021),
    fixture("compressed-16k-lz4-innodb.page", 5, 20, 0x4021),
];

/// Pages without a verifiable checksum.
pub(super) const UNPROVEN: &[Fixture] = &[
    fixture("index-16k-none.page", 5, 25, 0x4000),
    fixture("zip2-none.page", 6, 17, 0x4025),
    fixture("encrypted-16k.page", 7, 21, 0x6021),
    fixture("encrypted-compressed-16k.page", 7, 22, 0x6021),
    fixture("encrypted-zip4.page", 7, 23, 0x6027),
];

impl Fixture {
    pub fn page(&self) -> Vec<u8> {
        read("pages", self.name)
    }

    pub fn verifier(&self) -> PageVerifier {
        PageVerifier::new(self.space, self.flags).unwrap()
    }
}

/// Returns the decompressed content of a file of `testdata`.
pub(super) fn read(folder: &str, name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(folder)
        .join(name);
    let bytes = std::fs::read(path).unwrap();
    if !name.ends_with(".gz") {
        return bytes;
    }
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    unpacked
}
