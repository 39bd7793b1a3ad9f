//! The first page of a tablespace that was created just before a backup copied it.
//!
//! The server creates a tablespace file by writing page 0 with LSN 0 directly to the file. The page
//! gets an LSN in memory, and that version may be written after the backup has read the page. A
//! delta of pages chosen by LSN then lacks page 0 (observed on MySQL 9.7.4 after `TRUNCATE TABLE`).
//! Its changes are in the redo log, because they were not on disk at the start checkpoint; but
//! recovery finds the file by the id in page 0. So the page is created as the server first wrote
//! it, like xtrabackup does in that case (`docs/format/delta.md#applying-a-delta`): page number,
//! type, space id, flags, checksum.

use crate::innodb::SpaceFlags;
use crate::reader::FilePlan;

const TYPE_FSP_HDR: u16 = 8;

/// Creates the page, or returns why that is impossible.
pub(crate) fn make(file: &FilePlan, flags: SpaceFlags) -> Result<Vec<u8>, String> {
    if file.encrypted || flags.is_encrypted() {
        return Err(
            "its first page is in no member, and for an encrypted tablespace it cannot be made"
                .to_owned(),
        );
    }
    let mut page = vec![0u8; file.page_size.bytes()];
    let id = file.space_id.0.to_be_bytes();
    page[24..26].copy_from_slice(&TYPE_FSP_HDR.to_be_bytes());
    page[34..38].copy_from_slice(&id);
    page[38..42].copy_from_slice(&id);
    page[54..58].copy_from_slice(&flags.0.to_be_bytes());
    seal(&mut page, flags.zip_size().is_some());
    Ok(page)
}

/// Sets the checksums (`docs/format/pages.md#checksums`), also for ROW_FORMAT=COMPRESSED.
fn seal(page: &mut [u8], zip: bool) {
    let crc = |range: std::ops::Range<usize>| crc_fast::crc32_iscsi(&page[range]);
    let end = page.len();
    if zip {
        let sum = crc(4..16) ^ crc(24..26) ^ crc(34..end);
        page[..4].copy_from_slice(&sum.to_be_bytes());
    } else {
        let sum = crc(4..26) ^ crc(38..end - 8);
        page[..4].copy_from_slice(&sum.to_be_bytes());
        page[end - 8..end - 4].copy_from_slice(&sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use crate::innodb::{PageNo, PageSize, PageState, PageVerifier, SpaceHeader, SpaceId};
    use crate::reader::first_page::*;

    fn file(page_size: u32, encrypted: bool) -> FilePlan {
        FilePlan {
            path: "db/t.ibd".into(),
            space_id: SpaceId(9),
            node: 0,
            page_size: PageSize::new(page_size).unwrap(),
            bytes: 7 * u64::from(page_size),
            undo: false,
            encrypted,
            external: None,
            sources: Vec::new(),
        }
    }

    /// The created page passes the check of pages that are read from a server.
    #[test]
    fn the_page_is_valid() {
        // 16 KiB DYNAMIC, and 8 KiB ROW_FORMAT=COMPRESSED.
        for (flags, size) in [(0x4021, 16384), (0x4029, 8192)] {
            let flags = SpaceFlags(flags);
            assert_eq!(flags.physical_page_size().unwrap().bytes(), size as usize);
            let page = make(&file(size, false), flags).unwrap();
            let header = SpaceHeader::parse(&page).unwrap();
            assert_eq!((header.space_id, header.flags), (SpaceId(9), flags));
            let verifier = PageVerifier::new(SpaceId(9), flags).unwrap();
            let state = verifier.verify(PageNo(0), &page);
            assert!(matches!(state, Ok(PageState::Verified)), "{state:?}");
        }
        assert!(make(&file(16384, true), SpaceFlags(0x4021)).is_err());
    }
}
