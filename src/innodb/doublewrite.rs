//! Locates the old doublewrite area in the system tablespace (8.0.19 and before; later servers
//! still reserve it). It contains copies of other pages, so its pages can't be verified.
//!
//! The TRX_SYS page (page 5) contains its location, 200 bytes before the end of the page:
//! ```text
//! +0 segment header (10 bytes)   +10 magic u32   +14 first page of block 1 u32   +18 of block 2 u32
//! ```

use super::{PageKind, be, page};
use std::ops::Range;

const FROM_END: usize = 200;
const MAGIC_AT: usize = 10;
const MAGIC: u32 = 536_853_855;
const BLOCKS_AT: [usize; 2] = [14, 18];

/// Returns the page numbers of the two blocks of the doublewrite area, from the whole page 5 of the
/// system tablespace. The result is empty if the page is not a TRX_SYS page or has no such area.
#[must_use]
pub fn doublewrite_extents(trx_sys_page: &[u8]) -> Vec<Range<u32>> {
    let Some(at) = trx_sys_page.len().checked_sub(FROM_END) else {
        return Vec::new();
    };
    if page::kind(trx_sys_page) != PageKind::TRX_SYS
        || be::u32_at(trx_sys_page, at + MAGIC_AT) != MAGIC
    {
        return Vec::new();
    }
    let pages = extent_pages(trx_sys_page.len());
    BLOCKS_AT
        .iter()
        .map(|block| be::u32_at(trx_sys_page, at + block))
        .filter(|&first| first != 0)
        .map(|first| first..first.saturating_add(pages))
        .collect()
}

/// Returns the number of pages in an extent: 1 MiB for pages up to 16 KiB, 64 pages for larger
/// ones.
const fn extent_pages(page_size: usize) -> u32 {
    if page_size <= 16384 {
        ((1 << 20) / page_size) as u32
    } else {
        64
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::read;
    use super::*;

    #[test]
    fn real_trx_sys_pages_contain_two_extents() {
        assert_eq!(
            doublewrite_extents(&read("pages", "trx_sys-16k.page")),
            [64..128, 128..192]
        );
        assert_eq!(
            doublewrite_extents(&read("pages", "trx_sys-4k.page")),
            [256..512, 512..768]
        );
    }

    #[test]
    fn extents_have_the_size_that_the_page_size_gives() {
        for (page_size, pages) in [
            (4096, 256),
            (8192, 128),
            (16384, 64),
            (32768, 64),
            (65536, 64),
        ] {
            assert_eq!(extent_pages(page_size), pages);
        }
    }

    #[test]
    fn other_pages_contain_none() {
        let mut page = read("pages", "trx_sys-16k.page");
        assert!(doublewrite_extents(&read("pages", "index-16k-crc32.page")).is_empty());
        assert!(doublewrite_extents(&page[..199]).is_empty());
        page[16384 - FROM_END + MAGIC_AT] ^= 1;
        assert!(doublewrite_extents(&page).is_empty());
    }
}
