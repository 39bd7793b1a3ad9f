//! Pages that no digest vouches for are asked themselves, as when a server's files are copied.

use crate::innodb::{PageFault, PageNo, PageState, PageVerifier, SpaceId, doublewrite_extents};
use crate::manifest::{FileRole, Finding, SpaceFile};
use crate::reader::error::ReadError;
use crate::reader::fetch::Fetcher;
use crate::reader::stored::Stored;

/// The page that names the old doublewrite area.
const TRX_SYS_PAGE: u64 = 5;

/// The checks for one stored file of a tablespace.
pub(crate) struct PageProof {
    verifier: PageVerifier,
    page_size: usize,
    /// Pages of the tablespace's files before this one.
    before: u64,
}

/// A tablespace file: which tablespace, which of its files, and how many pages it has.
pub(crate) type SpacePart = (SpaceId, u32, u64);

impl PageProof {
    /// What the pages of `stored` must be; `parts` are the tablespace files of its backup.
    ///
    /// # Errors
    /// As [`verifier`].
    pub(crate) fn of(
        fetcher: &Fetcher<'_>,
        parts: impl Iterator<Item = SpacePart>,
        stored: Stored<'_>,
    ) -> Result<Self, ReadError> {
        let (verifier, space) = verifier(fetcher, stored)?;
        let before = match space.node {
            // Else each of a hundred thousand tables would look at all the others.
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

    /// The bytes of a page.
    pub(crate) const fn page_size(&self) -> usize {
        self.page_size
    }

    /// Checks one page, number `number` of its file, and gives its state with its number in the tablespace.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub(crate) fn page(&self, number: u64, bytes: &[u8]) -> Result<(PageNo, PageState), Finding> {
        let no = u32::try_from(self.before + number)
            .map(PageNo)
            .map_err(|_| Finding::new(format!("page {number}"), "less than 2^32 pages"))?;
        let state = self.verifier.verify(no, bytes).map_err(finding)?;
        Ok((no, state))
    }

    /// Checks whole pages, of which the first is page `first` of the file.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub(crate) fn check(&self, first: u64, data: &[u8]) -> Result<(), Finding> {
        for (number, page) in (first..).zip(data.chunks(self.page_size)) {
            self.page(number, page)?;
        }
        Ok(())
    }
}

/// What is wrong with a page, in fields.
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
            format!(
                "{expected}: a write went to the wrong place, or the file is not the one it is taken for"
            ),
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

/// The checks of single pages of a stored file, and what tablespace file it is.
///
/// # Errors
/// [`ReadError::Innodb`] for flags that no server writes; those of a fetch.
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
    // A table is encrypted by a copy of it; these are encrypted where they are.
    let table = space.name.contains('/');
    let verifier = match (table, system) {
        (false, false) => verifier.with_encryption(),
        (_, true) => verifier.with_doublewrite(doublewrite(fetcher, stored, space)?),
        _ => verifier,
    };
    Ok((verifier, space))
}

/// Where the system tablespace keeps copies of other pages. A delta has none of them to speak of, but
/// an old server's full backup has.
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
    // The first range holds it: ranges are longer than six pages.
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
