//! Checks of pages without a digest, like the checks when a server's files are copied.

use crate::innodb::{PageFault, PageNo, PageState, PageVerifier, SpaceId, doublewrite_extents};
use crate::manifest::{FileRole, Finding, SpaceFile};
use crate::reader::error::ReadError;
use crate::reader::fetch::Fetcher;
use crate::reader::stored::Stored;

/// The page with the location of the old doublewrite area.
const TRX_SYS_PAGE: u64 = 5;

/// The page checks for one stored file of a tablespace.
pub(crate) struct PageProof {
    verifier: PageVerifier,
    page_size: usize,
    /// Number of pages in the tablespace's files before this one.
    before: u64,
}

/// A tablespace file: the id of the tablespace, the file within it, and its number of pages.
pub(crate) type SpacePart = (SpaceId, u32, u64);

impl PageProof {
    /// Creates the checks for the pages of `stored`; `parts` are the tablespace files of its
    /// backup.
    ///
    /// # Errors
    /// The same as those of [`verifier`].
    pub(crate) fn of(
        fetcher: &Fetcher<'_>,
        parts: impl Iterator<Item = SpacePart>,
        stored: Stored<'_>,
    ) -> Result<Self, ReadError> {
        let (verifier, space) = verifier(fetcher, stored)?;
        let before = match space.node {
            // Without this case, each of 100,000 tables would iterate over all others.
            0 => 0,
            node => parts
                .filter(|(id, of, _)| *id == space.space_id && *of < node)
                .map(|(_, _, pages)| pages)
                .sum(),
        };
        Ok(Self {
            verifier,
            page_size: space.page_size.bytes(),
            before,
        })
    }

    /// Returns the size of a page in bytes.
    pub(crate) const fn page_size(&self) -> usize {
        self.page_size
    }

    /// Checks page `number` of the file, and returns its page number in the tablespace and its
    /// state.
    ///
    /// # Errors
    /// The found and the expected value.
    pub(crate) fn page(&self, number: u64, bytes: &[u8]) -> Result<(PageNo, PageState), Finding> {
        let no = u32::try_from(self.before + number)
            .map(PageNo)
            .map_err(|_| Finding::new(format!("page {number}"), "less than 2^32 pages"))?;
        let state = self.verifier.verify(no, bytes).map_err(finding)?;
        Ok((no, state))
    }

    /// Checks whole pages; `first` is the number of the first in the file.
    ///
    /// # Errors
    /// The same as those of [`Self::page`].
    pub(crate) fn check(&self, first: u64, data: &[u8]) -> Result<(), Finding> {
        for (number, page) in (first..).zip(data.chunks(self.page_size)) {
            self.page(number, page)?;
        }
        Ok(())
    }
}

/// Converts a fault of a page into fields.
fn finding(fault: PageFault) -> Finding {
    match fault {
        PageFault::Torn { page, head, tail } => Finding::new(
            format!(
                "page {page}: torn: its LSN ends in {head:#010x} at its head and {tail:#010x} at its tail"
            ),
            "one write of the page",
        ),
        PageFault::Checksum {
            page,
            found,
            expected,
        } => Finding::new(
            format!("page {page}: checksum {found:#010x}, which no algorithm gives"),
            format!("{expected:#010x} (crc32)"),
        ),
        PageFault::WrongPageNumber {
            page,
            found,
            expected,
        } => Finding::new(
            format!("page {page}: carries page number {found}"),
            format!("{expected}: a write went to the wrong place, or the file is another one"),
        ),
        PageFault::WrongSpace {
            page,
            found,
            expected,
        } => Finding::new(
            format!("page {page}: carries space id {found}"),
            format!(
                "{expected}: the file was replaced (truncated or re-created table?) or a write went to the wrong file"
            ),
        ),
        other => other.to_string().into(),
    }
}

/// Returns the verifier for the pages of a stored file, and the tablespace file.
///
/// # Errors
/// [`ReadError::Innodb`] for flags that no server writes; the errors of a fetch.
fn verifier<'a>(
    fetcher: &Fetcher<'_>,
    stored: Stored<'a>,
) -> Result<(PageVerifier, &'a SpaceFile), ReadError> {
    let space = stored.space()?;
    let verifier =
        PageVerifier::new(space.space_id, space.flags).map_err(|source| ReadError::Innodb {
            what: format!("{}/{}", stored.manifest.name, stored.entry.path),
            source,
        })?;
    let system = space.space_id == SpaceId::SYSTEM;
    // A table is encrypted by creating a copy of it; other tablespaces are encrypted in place.
    let table = space.name.contains('/');
    let verifier = match (table, system) {
        (false, false) => verifier.with_encryption(),
        (_, true) => verifier.with_doublewrite(doublewrite(fetcher, stored, space)?),
        _ => verifier,
    };
    Ok((verifier, space))
}

/// Returns the extents of the system tablespace with copies of other pages. A delta has hardly any
/// of them, but the full backup of an old server has.
fn doublewrite(
    fetcher: &Fetcher<'_>,
    stored: Stored<'_>,
    space: &SpaceFile,
) -> Result<Vec<std::ops::Range<u32>>, ReadError> {
    if space.node != 0 || !matches!(stored.entry.role, FileRole::Tablespace(_)) {
        return Ok(Vec::new());
    }
    let size = space.page_size.bytes();
    let at = TRX_SYS_PAGE * size as u64;
    let mut blocks = Vec::new();
    // The first range contains the page, because ranges are longer than six pages.
    fetcher.each::<ReadError>(stored, 0, &mut |offset, data| {
        let page = at
            .checked_sub(offset)
            .and_then(|from| usize::try_from(from).ok())
            .and_then(|from| data.get(from..from + size));
        blocks.extend(page.into_iter().flat_map(doublewrite_extents));
        Ok(())
    })?;
    Ok(blocks)
}
