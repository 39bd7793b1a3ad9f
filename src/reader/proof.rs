//! Pages that no digest vouches for are asked themselves, as when a server's files are copied.

use crate::innodb::{PageFault, PageNo, PageVerifier, SpaceId, doublewrite_extents};
use crate::manifest::{FileRole, Finding, SpaceFile};
use crate::reader::error::ReadError;
use crate::reader::fetch::Fetcher;
use crate::reader::file_plan::FilePlan;
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

impl PageProof {
    /// What the pages of `stored` must be.
    pub(crate) fn of(
        fetcher: &Fetcher<'_>,
        files: &[FilePlan],
        stored: Stored<'_>,
    ) -> Result<Self, ReadError> {
        let (verifier, space) = verifier(fetcher, stored)?;
        let before = match space.node {
            // Else each of a hundred thousand tables would look at all the others.
            0 => 0,
            node => files
                .iter()
                .filter(|file| file.space_id == space.space_id && file.node < node)
                .map(|file| file.bytes / file.page_size.bytes() as u64)
                .sum(),
        };
        Ok(Self {
            verifier,
            page_size: space.page_size.bytes(),
            before,
        })
    }

    /// Checks whole pages, of which the first is page `first` of the file. The error says what is
    /// wrong.
    pub(crate) fn check(&self, first: u64, data: &[u8]) -> Result<(), Finding> {
        let numbers = self.before + first..;
        for (number, page) in numbers.zip(data.chunks(self.page_size)) {
            let number = u32::try_from(number)
                .map_err(|_| Finding::from(format!("page {number} is none")))?;
            self.verifier
                .verify(PageNo(number), page)
                .map_err(finding)?;
        }
        Ok(())
    }
}

/// What is wrong with a page, in fields.
pub(crate) fn finding(fault: PageFault) -> Finding {
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
pub(crate) fn verifier<'a>(
    fetcher: &Fetcher<'_>,
    stored: Stored<'a>,
) -> Result<(PageVerifier, &'a SpaceFile), ReadError> {
    let (FileRole::Tablespace(space) | FileRole::Delta(space)) = &stored.entry.role else {
        return Err(stored.damaged("it is no file of a tablespace"));
    };
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
