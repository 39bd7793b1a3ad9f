//! The tablespaces of the server's dictionary at the time of the backup. With them, a manifest
//! lists the tables whose data is missing, and shows that no other is missing.

use crate::counted::count;
use crate::innodb::SpaceId;
use crate::manifest::{FileEntry, Finding, TableFilter};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;

/// The server's dictionary, without the tablespaces that are files of the backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Dictionary {
    /// Number of tablespaces in the dictionary, without the system tablespace and the temporary
    /// one. Each is either in the backup or in `absent`.
    pub tablespaces: u64,
    /// Tablespaces that aren't in the backup, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<AbsentSpace>,
    /// Number of tablespaces in the backup that the server had not opened.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_opened: u64,
    /// Tables of storage engines that can't be backed up; only their definitions are in the backup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_engines: Vec<EngineTable>,
    /// The filter that the backup was made with; `None`: it has every table, except for those in `absent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<TableFilter>,
    /// The filter only leaves out tables, and the server had none of them: the backup is a whole one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub filter_unused: bool,
}

/// What a filter made of a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Filtering<'a> {
    /// The filter, if there is one.
    pub(crate) filter: Option<&'a TableFilter>,
    /// The backup has only a part of the tables.
    pub(crate) partial: bool,
}

impl Filtering<'_> {
    /// Returns whether a backup can continue `base`: both have the same tables, apart from those that were created or
    /// dropped between them. A table that only the base has would be taken for dropped; of a table that only the
    /// incremental has, it would have only the pages that changed.
    pub(crate) fn continues(self, base: Filtering<'_>) -> bool {
        self.filter == base.filter || !(self.partial || base.partial)
    }
}

/// A table of a storage engine that can't be backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EngineTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its engine; `None` if the server didn't name one.
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AbsentSpace {
    /// Its id.
    pub space_id: SpaceId,
    /// Its name in the server: `db/t`, `db/t#p#p0`.
    pub name: String,
    /// The path of its file: relative to the data directory, or absolute.
    pub path: String,
    /// Why it isn't in the backup.
    pub why: Absence,
    /// Of a missing one: what was found at its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// Why a tablespace of the dictionary isn't in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// It was discarded (`ALTER TABLE ... DISCARD TABLESPACE`): there are no data to back up.
    Discarded,
    /// Its file was missing, and the backup was made without it.
    Missing,
    /// The filter of the backup leaves it out.
    Filtered,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde requires
pub(crate) const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Dictionary {
    /// Returns whether the backup has only a part of the tables: its filter names those that it has, or left out some.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.filter.is_some() && (!self.filter_unused || self.filtered().next().is_some())
    }

    /// Returns what the filter made of the backup.
    pub(crate) fn filtering(&self) -> Filtering<'_> {
        Filtering {
            filter: self.filter.as_ref(),
            partial: self.is_partial(),
        }
    }

    /// Returns the tablespaces that the filter of a partial backup leaves out.
    pub fn filtered(&self) -> impl Iterator<Item = &AbsentSpace> {
        let absent = self.absent.iter();
        absent.filter(|space| space.why == Absence::Filtered)
    }

    /// Returns the tablespaces whose files were missing: a restored server has the tables without
    /// their data.
    pub fn missing(&self) -> impl Iterator<Item = &AbsentSpace> {
        let absent = self.absent.iter();
        absent.filter(|space| space.why == Absence::Missing)
    }

    /// Returns the number of tables whose data a restored server lacks.
    #[must_use]
    pub fn lacking(&self) -> u64 {
        (self.missing().count() + self.filtered().count() + self.other_engines.len()) as u64
    }

    /// Checks that `files` and the absent tablespaces together are those of the dictionary.
    ///
    /// # Errors
    /// The found and the expected value.
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
                "it has {found} and lists {} as absent",
                self.absent.len(),
                found = count(found, "tablespace")
            ),
            format!("{} together", self.tablespaces),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_continues_one_with_the_same_filter_or_both_are_whole() {
        let excluding = |name: &str| TableFilter {
            databases_exclude: vec![name.to_owned()],
            ..TableFilter::default()
        };
        let (x, y) = (excluding("x"), excluding("y"));
        let made = |filter, partial| Filtering { filter, partial };
        let none = Filtering::default();
        for (base, new, fits) in [
            (none, none, true),
            // The database was created or dropped in between.
            (made(Some(&x), false), made(Some(&x), true), true),
            (made(Some(&x), true), made(Some(&x), false), true),
            (made(Some(&x), false), none, true),
            (none, made(Some(&x), false), true),
            (made(Some(&x), false), made(Some(&y), false), true),
            (made(Some(&x), true), none, false),
            (none, made(Some(&x), true), false),
            (made(Some(&x), false), made(Some(&y), true), false),
            (made(Some(&x), true), made(Some(&y), false), false),
        ] {
            assert_eq!(new.continues(base), fits, "{base:?} {new:?}");
        }
    }

    #[test]
    fn a_filter_that_left_out_nothing_makes_a_whole_backup() {
        let parsed = |text: &str| serde_json::from_str::<Dictionary>(text).unwrap();
        let filter = r#""tablespaces": 1, "filter": {"databases_exclude": ["x"]}"#;
        // As earlier versions wrote it: only of partial backups.
        assert!(parsed(&format!("{{{filter}}}")).is_partial());
        assert!(!parsed(&format!("{{{filter}, \"filter_unused\": true}}")).is_partial());
        assert!(!parsed(r#"{"tablespaces": 1}"#).is_partial());
        let absent = r#"[{"space_id": 3, "name": "x/t", "path": "x/t.ibd", "why": "filtered"}]"#;
        let both = format!("{{{filter}, \"filter_unused\": true, \"absent\": {absent}}}");
        assert!(parsed(&both).is_partial());
    }
}
