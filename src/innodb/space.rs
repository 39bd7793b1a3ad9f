//! The header of a tablespace, in its page 0.
//!
//! ```text
//!  8 server version u32 (in place of the previous page)   12 space version u32 (of the next one)
//! 34 space id u32, as on every page
//! 38 space id u32        46 size in pages u32             54 flags u32
//! ```

use super::{InnodbError, SpaceFlags, SpaceId, be, page};

/// The tablespace header in page 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceHeader {
    /// The space id.
    pub space_id: SpaceId,
    /// The flags, which describe the format of the pages.
    pub flags: SpaceFlags,
    /// FSP_SIZE: number of pages of the whole tablespace. The file may be longer or (in a copy)
    /// shorter.
    pub size_pages: u32,
    /// The version of the server that last created or upgraded it, such as 90704 for 9.7.4; 0 in
    /// files of MySQL 5.7.
    pub server_version: u32,
    /// The tablespace format version (such as 80023).
    pub space_version: u32,
}

const HEADER_SPACE: usize = page::DATA;
const SIZE: usize = page::DATA + 8;
const FLAGS: usize = page::DATA + 16;
const NEEDED: usize = FLAGS + 4;
/// Number of bytes to check for zeros. It exceeds the fields, so that a page that was never written
/// is recognised.
const LOOKED_AT: usize = 512;

impl SpaceHeader {
    /// Parses page 0, or its first 1 KiB. The checksum of the page is not checked, because the page
    /// size is known only from the flags; verify the page afterwards.
    ///
    /// # Errors
    /// The input is too short, the page is all zero, the space ids differ, or the flags are
    /// impossible.
    pub fn parse(page0: &[u8]) -> Result<Self, InnodbError> {
        if page0.len() < NEEDED {
            return Err(InnodbError::Short {
                what: "page 0 of the tablespace",
                found: page0.len(),
                expected: NEEDED,
            });
        }
        if page::is_zero(&page0[..page0.len().min(LOOKED_AT)]) {
            return Err(InnodbError::EmptyHeader);
        }
        let in_page = page::space_id(page0);
        let in_header = be::u32_at(page0, HEADER_SPACE);
        if in_page.0 != in_header {
            return Err(InnodbError::SpaceIdsDiffer {
                in_page: in_page.0,
                in_header,
            });
        }
        let flags = SpaceFlags(be::u32_at(page0, FLAGS));
        flags.check()?;
        Ok(Self {
            space_id: in_page,
            flags,
            size_pages: be::u32_at(page0, SIZE),
            server_version: be::u32_at(page0, page::PREVIOUS),
            space_version: be::u32_at(page0, page::NEXT),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::read;
    use super::*;

    #[test]
    fn real_headers() {
        let dictionary = SpaceHeader {
            space_id: SpaceId::DICTIONARY,
            flags: SpaceFlags(0x4800),
            size_pages: 1792,
            server_version: 90704,
            space_version: 1,
        };
        let page = read("pages", "fsp_hdr-16k-dictionary.page");
        assert_eq!(SpaceHeader::parse(&page), Ok(dictionary));
        assert_eq!(SpaceHeader::parse(&page[..1024]), Ok(dictionary));
        assert_eq!(SpaceHeader::parse(&page[..58]), Ok(dictionary));
        let encrypted = read("pages", "fsp_hdr-16k-encrypted-space.page");
        let encrypted = SpaceHeader::parse(&encrypted[..1024]).unwrap();
        assert_eq!(encrypted.space_id, SpaceId(21));
        assert!(encrypted.flags.is_encrypted());
        let zip = SpaceHeader::parse(&read("pages", "fsp_hdr-zip1-adler32.page")).unwrap();
        assert_eq!(zip.flags.zip_size().map(u32::from), Some(1024));
        assert_eq!(zip.size_pages, 5120);
    }

    #[test]
    fn invalid_headers_are_refused() {
        let good = read("pages", "fsp_hdr-16k-dictionary.page");
        assert!(matches!(
            SpaceHeader::parse(&good[..57]),
            Err(InnodbError::Short {
                found: 57,
                expected: 58,
                ..
            })
        ));
        assert_eq!(
            SpaceHeader::parse(&[0; 1024]),
            Err(InnodbError::EmptyHeader)
        );
        let mut ids = good.clone();
        ids[41] ^= 1;
        assert_eq!(
            SpaceHeader::parse(&ids),
            Err(InnodbError::SpaceIdsDiffer {
                in_page: 0xFFFF_FFFE,
                in_header: 0xFFFF_FFFF
            })
        );
        let mut flags = good;
        flags[54] = 0x80;
        assert!(matches!(
            SpaceHeader::parse(&flags),
            Err(InnodbError::BadFlags {
                flags: 0x8000_4800,
                ..
            })
        ));
    }
}
