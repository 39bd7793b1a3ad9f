//! The `.meta` file, which describes the tablespace of a delta
//! (`docs/format/delta.md#the-meta-file`).

use super::DeltaError;
use crate::counted::count;
use crate::innodb::{PageSize, SpaceFlags, SpaceId};

/// The largest `.meta` that is read, in bytes.
const MAX: usize = 64 << 10;

/// The text file next to a `.delta` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Physical page size.
    pub page_size: PageSize,
    /// The physical page size of a `ROW_FORMAT=COMPRESSED` tablespace, else 0.
    pub zip_size: u32,
    /// The id of the tablespace.
    pub space_id: SpaceId,
    /// The flags of the tablespace, as on its first page.
    pub space_flags: SpaceFlags,
}

impl Meta {
    /// Returns the `.meta` of a tablespace with these flags.
    #[must_use]
    pub fn of(space_id: SpaceId, flags: SpaceFlags, page_size: PageSize) -> Self {
        Self {
            page_size,
            zip_size: flags.zip_size().map_or(0, u32::from),
            space_id,
            space_flags: flags,
        }
    }

    /// Returns the text of the file.
    #[must_use]
    pub fn encode(&self) -> String {
        format!(
            "page_size = {}\nzip_size = {}\nspace_id = {}\nspace_flags = {}\n",
            self.page_size, self.zip_size, self.space_id, self.space_flags.0
        )
    }

    /// Parses the text of the file: `key = value` lines in any order. Unknown keys are skipped, as
    /// xtrabackup does.
    ///
    /// # Errors
    /// [`DeltaError::Meta`].
    pub fn parse(text: &str) -> Result<Self, DeltaError> {
        if text.len() > MAX {
            return Err(DeltaError::Meta(format!(
                "{}, at most {MAX} are accepted",
                count(text.len(), "byte")
            )));
        }
        let value = |key: &str| -> Result<Option<u32>, DeltaError> {
            let line = text
                .lines()
                .filter_map(|line| line.split_once('='))
                .find(|(k, _)| k.trim() == key);
            let Some((_, value)) = line else {
                return Ok(None);
            };
            value.trim().parse().map(Some).map_err(|_| {
                DeltaError::Meta(format!(
                    "{key} is {:?}, expected a number below 2^32",
                    value.trim()
                ))
            })
        };
        let need =
            |key: &str| value(key)?.ok_or_else(|| DeltaError::Meta(format!("{key} is missing")));
        let page_size = PageSize::new(need("page_size")?)
            .map_err(|bad| DeltaError::Meta(format!("page_size: {bad}")))?;
        Ok(Self {
            page_size,
            zip_size: value("zip_size")?.unwrap_or(0),
            space_id: SpaceId(need("space_id")?),
            space_flags: SpaceFlags(value("space_flags")?.unwrap_or(0)),
        })
    }
}
