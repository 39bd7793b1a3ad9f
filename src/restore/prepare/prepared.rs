//! The list of the files that a prepared directory must have: a file that is lost afterwards is
//! found before a server starts without it.

use super::error::PrepareError;
use super::files::{self, Files};
use super::scan;
use crate::manifest::Manifest;
use crate::restore::applier::ApplierKind;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;

/// Its name in a prepared directory.
pub(crate) const PREPARED: &str = "lsnap_prepared.json";

/// Longest list that is read, in bytes: with the names of all tablespaces.
const LONGEST: u64 = 1 << 30;

/// The files of a prepared directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreparedList {
    /// The paths of the tablespace files after the last step, relative to the directory.
    pub(crate) files: Vec<String>,
    /// True if the redo log in `#innodb_redo` is not applied: the first start of a server does it.
    pub(crate) redo_pending: bool,
}

impl PreparedList {
    /// Returns the list after the last step. `newest`: the backup whose files these are.
    pub(super) fn of(
        root: &Path,
        newest: &Manifest,
        applier: ApplierKind,
    ) -> Result<Self, PrepareError> {
        let redo_pending = applier == ApplierKind::Server;
        let mut files = match redo_pending {
            true => scan::spaces(newest)
                .map(|space| space.name.clone())
                .collect(),
            // The recovering server may have created, renamed or removed some.
            false => scan::names(root, newest)?,
        };
        files.sort_unstable();
        Ok(Self {
            files,
            redo_pending,
        })
    }

    pub(super) fn write(&self, files: &Files<'_>) -> Result<(), PrepareError> {
        let text = serde_json::to_vec(self).map_err(|error| PrepareError::State {
            path: files.path(PREPARED),
            why: error.to_string(),
        })?;
        Ok(files.replace(PREPARED, &text)?)
    }
}

/// Reads the list of a prepared directory; `None` if there is none, because another program or an
/// older version prepared it.
///
/// # Errors
/// [`PrepareError::State`] if it can't be parsed or has a path outside of the directory.
pub(crate) fn prepared_list(directory: &Path) -> Result<Option<PreparedList>, PrepareError> {
    let path = directory.join(PREPARED);
    let text = match files::read(&path, LONGEST) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(files::io("read", &path)(error).into()),
    };
    let wrong = |error: String| PrepareError::State {
        path: path.clone(),
        why: format!(
            "the list of the files of a prepared directory can't be read ({error}); extract and prepare the backup again"
        ),
    };
    let list: PreparedList =
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    for name in &list.files {
        crate::reader::paths::check("prepared", name).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(Some(list))
}
