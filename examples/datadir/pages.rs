//! Pages with InnoDB headers and checksums, filled with generated rows.
//!
//! The offsets of the fields are those of `innodb::page` and `innodb::space`, and the flags are
//! those that MySQL 9.7.4 wrote. The checksums are implemented here a second time, so that lsnap
//! isn't tested against its own code. Half of a row is random and the other half is the same in all
//! rows of a page, which zstd compresses to about half, as with ordinary tables.

/// The checksum algorithm of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sum {
    /// `innodb_checksum_algorithm=crc32`, which servers write.
    Crc32,
    /// The algorithm before MySQL 5.7.
    Innodb,
    /// No checksum: both fields contain a constant.
    None,
}

/// The kind of tablespace that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ibdata1`, `mysql.ibd`
    Shared,
    /// `undo_001`
    Undo,
    /// `db/t.ibd`
    Table,
}

/// One tablespace.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// Its id.
    pub id: u32,
    /// The kind.
    pub kind: Kind,
    /// Page size in bytes: 4096 to 65536.
    pub page_size: usize,
    /// Its length in pages.
    pub pages: u32,
    /// The checksum algorithm of its pages.
    pub sum: Sum,
}

const FIL_NULL: u32 = 0xFFFF_FFFF;
const FSP_HDR: u16 = 8;
const XDES: u16 = 9;
const IBUF_BITMAP: u16 = 5;
const INODE: u16 = 3;
const TRX_SYS: u16 = 7;
const UNDO: u16 = 2;
const INDEX: u16 = 17855;
/// Offset of the first row: after the page header, the index header and the two fixed records.
const ROWS: usize = 128;
const ROW: usize = 64;
/// Random bytes in a row.
const RANDOM: usize = 32;

/// Random numbers (splitmix64): fast, and reproducible on every machine.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// Returns the next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Space {
    /// Returns the flags at byte 54 of page 0.
    pub fn flags(&self) -> u32 {
        // 16 KiB is the default page size and has the code 0.
        let ssize = match self.page_size {
            16384 => 0,
            size => (size / 1024).trailing_zeros() + 1,
        };
        let kind = match self.kind {
            Kind::Shared => 0x4800,
            Kind::Undo => 0,
            Kind::Table => 0x4021,
        };
        kind | ssize << 6
    }

    /// Writes page `no` with this LSN into `page`, which has the page size. The contents depend
    /// only on the arguments.
    pub fn write(&self, no: u32, lsn: u64, seed: u64, page: &mut [u8]) {
        let mut random = Random(seed ^ u64::from(self.id) << 32 ^ u64::from(no) ^ lsn << 7);
        let kind = self.kind_of(no);
        match kind {
            FSP_HDR => self.header(page),
            INDEX | UNDO => rows(page, no, &mut random),
            _ => page.fill(0),
        }
        let (before, after) = match kind {
            // page 0 has the versions of server and tablespace in these fields
            FSP_HDR => (90_704, 1),
            INDEX => (no - 1, no + 1),
            _ => (FIL_NULL, FIL_NULL),
        };
        put(page, 4, &no.to_be_bytes());
        put(page, 8, &before.to_be_bytes());
        put(page, 12, &after.to_be_bytes());
        put(page, 16, &lsn.to_be_bytes());
        put(page, 24, &kind.to_be_bytes());
        put(page, 26, &[0; 8]);
        put(page, 34, &self.id.to_be_bytes());
        let end = page.len() - 4;
        put(page, end, &(lsn as u32).to_be_bytes());
        seal(page, self.sum);
    }

    /// Returns the page type, the u16 at byte 24.
    fn kind_of(&self, no: u32) -> u16 {
        let round = no % self.page_size as u32;
        match (no, round, self.kind) {
            (0, ..) => FSP_HDR,
            (_, 0, _) => XDES,
            (_, 1, Kind::Table | Kind::Shared) => IBUF_BITMAP,
            (2, ..) => INODE,
            (5, _, Kind::Shared) if self.id == 0 => TRX_SYS,
            (.., Kind::Undo) => UNDO,
            _ => INDEX,
        }
    }

    /// Writes the tablespace header, with empty lists of extents.
    fn header(&self, page: &mut [u8]) {
        page.fill(0);
        put(page, 38, &self.id.to_be_bytes());
        put(page, 46, &self.pages.to_be_bytes());
        put(page, 50, &self.pages.to_be_bytes());
        put(page, 54, &self.flags().to_be_bytes());
        for list in [62, 78, 94, 118, 134] {
            put(page, list + 4, &FIL_NULL.to_be_bytes());
            put(page, list + 10, &FIL_NULL.to_be_bytes());
        }
    }
}

fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    page[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Fills fifteen sixteenths of a page with rows; the rest is zeros, like space for later rows.
fn rows(page: &mut [u8], no: u32, random: &mut Random) {
    let mut row = [b' '; ROW];
    row[..5].copy_from_slice(&[0, 0, 0x10, 0, ROW as u8]);
    row[19..32].copy_from_slice(b"roll-pt a way");
    let full = page.len() / 16 * 15;
    let (head, rest) = page.split_at_mut(ROWS);
    let (filled, free) = rest.split_at_mut((full - ROWS) / ROW * ROW);
    head.fill(0);
    head[38..40].copy_from_slice(&((filled.len() / ROW / 4) as u16).to_be_bytes());
    head[94..ROWS].copy_from_slice(&row[..ROWS - 94]);
    free.fill(0);
    row[13..19].copy_from_slice(&random.next().to_be_bytes()[2..]);
    for (i, place) in filled.chunks_exact_mut(ROW).enumerate() {
        row[5..13].copy_from_slice(&(u64::from(no) << 10 | i as u64).to_be_bytes());
        for word in row[ROW - RANDOM..].chunks_exact_mut(8) {
            word.copy_from_slice(&random.next().to_le_bytes());
        }
        place.copy_from_slice(&row);
    }
}

/// Sets the checksum fields of an uncompressed page.
pub fn seal(page: &mut [u8], sum: Sum) {
    let end = page.len() - 8;
    let (first, last) = match sum {
        Sum::Crc32 => {
            let sum = crc32c::crc32c(&page[4..26]) ^ crc32c::crc32c(&page[38..end]);
            (sum, sum)
        }
        // The second checksum covers the first one, which must be written before.
        Sum::Innodb => (fold(&page[4..26]).wrapping_add(fold(&page[38..end])), 0),
        Sum::None => (0xDEAD_BEEF, 0xDEAD_BEEF),
    };
    put(page, 0, &first.to_be_bytes());
    let last = match sum {
        Sum::Innodb => fold(&page[..26]),
        _ => last,
    };
    put(page, end, &last.to_be_bytes());
}

/// Computes the low half of InnoDB's hash of bytes (`ut_fold_binary` with 64-bit words).
fn fold(bytes: &[u8]) -> u32 {
    let mut sum: u64 = 0;
    for &byte in bytes {
        let mixed = (sum ^ u64::from(byte) ^ 1_653_893_711) << 8;
        sum = (mixed.wrapping_add(sum) ^ 1_463_735_687).wrapping_add(u64::from(byte));
    }
    sum as u32
}
