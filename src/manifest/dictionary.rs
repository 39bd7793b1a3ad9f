//! What the server's dictionary said of its tablespaces when they were backed up: a manifest says by it
//! which tables it lacks, and that it lacks no other.

use crate::counted::count;
use crate::innodb::SpaceId;
use crate::manifest::{FileEntry, Finding};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;

/// The dictionary of a server, without the tablespaces that are files of the backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dictionary {
    /// Tablespaces that it had; the system tablespace and the temporary one aren't counted. So many different
    /// ones are in the backup, or in `absent`.
    pub tablespaces: u64,
    /// Those that aren't in the backup, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<AbsentSpace>,
    /// Those in the backup that the server had not opened.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_opened: u64,
    /// Tables of storage engines that can't be backed up; only their definitions are in the backup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_engines: Vec<EngineTable>,
}

/// A table of a storage engine that can't be backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its engine; `None` if the server named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

impl fmt::Display for EngineTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = self.engine.as_deref().unwrap_or("unknown");
        write!(f, "{}.{} (engine {engine})", self.schema, self.name)
    }
}

/// A tablespace of the dictionary that isn't in the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsentSpace {
    /// Its id.
    pub space_id: SpaceId,
    /// Its name for the server: `db/t`, `db/t#p#p0`.
    pub name: String,
    /// Where its file would be: relative to the data directory, or absolute.
    pub path: String,
    /// Why it isn't in the backup.
    pub why: Absence,
    /// What was found at the path of a missing one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// Why a tablespace of the dictionary isn't in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// It was discarded (`ALTER TABLE ... DISCARD TABLESPACE`): there is nothing to back up.
    Discarded,
    /// Its file was missing, and the backup was made without it nevertheless.
    Missing,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde wants it
pub(crate) const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Dictionary {
    /// Those whose files were missing: a restored server has the tables, and not their data.
    pub fn missing(&self) -> impl Iterator<Item = &AbsentSpace> {
        let absent = self.absent.iter();
        absent.filter(|space| space.why == Absence::Missing)
    }

    /// Number of tables whose data a restored server lacks.
    #[must_use]
    pub fn lacking(&self) -> u64 {
        (self.missing().count() + self.other_engines.len()) as u64
    }

    /// Whether `files` are what the dictionary had, but for the absent ones.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub(crate) fn check(&self, files: &[FileEntry]) -> Result<(), Finding> {
        let mut spaces: HashSet<SpaceId> = files
            .iter()
            .filter_map(|file| file.role.space())
            .map(|space| space.space_id)
            .filter(|id| *id != SpaceId::SYSTEM)
            .collect();
        let found = spaces.len();
        for absent in &self.absent {
            if !spaces.insert(absent.space_id) {
                return Err(format!(
                    "tablespace {} (space {}) is both absent and a file, or absent twice",
                    absent.name, absent.space_id
                )
                .into());
            }
        }
        if spaces.len() as u64 == self.tablespaces {
            return Ok(());
        }
        Err(Finding::new(
            format!(
                "it has {found} and says that {} are absent",
                self.absent.len(),
                found = count(found, "tablespace")
            ),
            format!("{} together", self.tablespaces),
        ))
    }
}
