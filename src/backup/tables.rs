//! The tablespaces of the backup: the survey of the data directory, and the consequence of each
//! difference between the server's lists and the disk.
//!
//! | difference | consequence |
//! |---|---|
//! | not opened | backed up, counted in the manifest |
//! | discarded | recorded in the manifest and reported |
//! | missing | the backup fails; with `allow_missing_tables` recorded and reported, unless the base
//! has the tablespace |
//! | left out by the filter | recorded in the manifest |
//! | unknown, or a copy | left out with a warning |
//! | file without a tablespace | left out |

use super::engines;
use super::error::BackupError;
use super::partial::Filtered;
use super::session::Session;
use crate::backup::error::NAMED;
use crate::datadir::{
    DictionarySpace, Difference, DifferenceKind, ServerLists, ServerTablespace, Spaces, Survey,
    is_hidden, survey,
};
use crate::innodb::SpaceId;
use crate::manifest::{Absence, AbsentSpace, Dictionary, EngineTable, Manifest};
use crate::server::{DictionaryRow, Server, TablespaceRow};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

impl Session<'_> {
    /// Surveys the data directory. `open` are the files that the server has open.
    pub(super) fn survey(
        &self,
        server: &mut Server,
        open: &[TablespaceRow],
    ) -> Result<(Survey, Filtered), BackupError> {
        let lists = ServerLists {
            dictionary: server.dictionary()?.into_iter().map(listed).collect(),
            open: open.iter().map(opened).collect(),
        };
        let mut survey = survey(&self.paths(), Spaces::OfServer(&lists))?;
        let filtered = self.apply_filter(&mut survey)?;
        let missing = missing(&survey);
        if let Some(base) = self.base_manifest() {
            refuse_lost(base, &missing)?;
        }
        if !missing.is_empty() && !self.options.allow_missing_tables {
            let tables = missing.iter().map(|d| described(d)).collect();
            return Err(BackupError::MissingTables { tables });
        }
        Ok((survey, filtered))
    }
}

fn listed(row: DictionaryRow) -> DictionarySpace {
    DictionarySpace {
        space_id: SpaceId(row.space_id),
        name: row.name,
        path: row.path.map(PathBuf::from),
        undo: row.undo,
        discarded: row.discarded,
    }
}

fn opened(row: &TablespaceRow) -> ServerTablespace {
    ServerTablespace {
        space_id: SpaceId(row.space_id),
        name: row.name.clone(),
        path: PathBuf::from(&row.path),
        undo: row.undo,
    }
}

fn missing(survey: &Survey) -> Vec<&Difference> {
    let differences = survey.differences.iter();
    differences
        .filter(|d| matches!(d.kind, DifferenceKind::Missing(_)))
        .collect()
}

/// Refuses an incremental if a tablespace that both the base and the dictionary have is missing: it
/// was not dropped, and an incremental without it would hide the loss.
fn refuse_lost(base: &Manifest, missing: &[&Difference]) -> Result<(), BackupError> {
    let spaces = base.files.iter().filter_map(|file| file.role.space());
    let had: HashSet<SpaceId> = spaces.map(|space| space.space_id).collect();
    let lost = missing
        .iter()
        .filter(|d| d.space_id.is_some_and(|id| had.contains(&id)));
    let tables: Vec<String> = lost.map(|d| described(d)).collect();
    if tables.is_empty() {
        return Ok(());
    }
    Err(BackupError::LostSinceBase {
        base: base.name.to_string(),
        tables,
    })
}

/// Describes a difference in a message.
fn described(difference: &Difference) -> String {
    let id = difference.space_id.map(|id| format!(" (space {id})"));
    let id = id.unwrap_or_default();
    let path = difference.path.display();
    match &difference.kind {
        DifferenceKind::Missing(why) => format!("{}{id}: {path}: {why}", difference.name),
        _ => format!("{}{id}: {path}", difference.name),
    }
}

/// Returns the summary of the server's dictionary for the manifest.
pub(super) fn dictionary(
    survey: &Survey,
    other_engines: &[EngineTable],
    filtered: &Filtered,
    datadir: &Path,
) -> Dictionary {
    let mut absent: Vec<AbsentSpace> = survey
        .differences
        .iter()
        .filter_map(|d| absent(d, datadir))
        .collect();
    absent.sort_by_key(|space| space.space_id);
    let taken = survey.tablespaces.iter().map(|t| t.space_id);
    let taken: HashSet<SpaceId> = taken.filter(|id| *id != SpaceId::SYSTEM).collect();
    let not_opened = survey.differences.iter();
    let not_opened = not_opened.filter(|d| d.kind == DifferenceKind::NotOpened);
    Dictionary {
        tablespaces: (taken.len() + absent.len()) as u64,
        absent,
        not_opened: not_opened.count() as u64,
        other_engines: other_engines.to_vec(),
        filter: filtered.filter.clone(),
        filter_unused: filtered.unused,
    }
}

fn absent(difference: &Difference, datadir: &Path) -> Option<AbsentSpace> {
    let (why, found) = match &difference.kind {
        DifferenceKind::Discarded => (Absence::Discarded, None),
        DifferenceKind::Missing(why) => (Absence::Missing, Some(why.clone())),
        DifferenceKind::Filtered => (Absence::Filtered, None),
        _ => return None,
    };
    let path = difference.path.strip_prefix(datadir);
    let path = path.unwrap_or(&difference.path);
    Some(AbsentSpace {
        space_id: difference.space_id?,
        name: difference.name.clone(),
        path: path.display().to_string(),
        why,
        found,
    })
}

/// Returns the warnings about the contents, one sentence each.
pub(super) fn warnings(survey: &Survey, other_engines: &[EngineTable]) -> Vec<String> {
    let warning = |d: &Difference| match &d.kind {
        DifferenceKind::Missing(_) => {
            Some(format!("the backup lacks a tablespace: {}", described(d)))
        }
        DifferenceKind::Unknown => Some(format!(
            "not backed up: {} is a tablespace file{} that the server's dictionary doesn't have; import it, or move it \
             out of the data directory",
            d.path.display(),
            d.space_id
                .map(|id| format!(" (space {id})"))
                .unwrap_or_default()
        )),
        DifferenceKind::Copy => Some(format!(
            "not backed up: {} has the space id of {}, which is a different file; MySQL doesn't start with two files \
             of one id: move it out of the data directory",
            d.path.display(),
            name_with_id(d)
        )),
        _ => None,
    };
    let hidden = survey.tablespaces.iter().filter(|t| is_hidden(t)).map(|t| {
        format!(
            "{}: crash recovery of MySQL doesn't find tablespace files that begin with a dot: if the redo log has \
             changes of it, neither this server after a crash nor a restore starts; move its tables into another tablespace",
            t.source.display()
        )
    });
    // First the tables that the backup lacks: the list is cut.
    let all = engines::warnings(other_engines);
    let all = all.chain(survey.differences.iter().filter_map(warning));
    let all: Vec<String> = all.chain(hidden).collect();
    let more = all.len().saturating_sub(NAMED);
    let mut some: Vec<String> = all.into_iter().take(NAMED).collect();
    if more > 0 {
        some.push(format!(
            "and {more} more of this kind: the manifest has all of them"
        ));
    }
    some
}

fn name_with_id(difference: &Difference) -> String {
    let id = difference.space_id.map(|id| format!(" (space {id})"));
    format!("{}{}", difference.name, id.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(id: u32, kind: DifferenceKind) -> Difference {
        Difference {
            space_id: Some(SpaceId(id)),
            name: format!("db/t{id}"),
            path: format!("/data/db/t{id}.ibd").into(),
            kind,
        }
    }

    fn lost() -> DifferenceKind {
        DifferenceKind::Missing("no file is there".into())
    }

    fn with(differences: Vec<Difference>) -> Survey {
        Survey {
            differences,
            ..Survey::default()
        }
    }

    #[test]
    fn the_manifest_records_discarded_and_missing_tablespaces() {
        let survey = with(vec![
            difference(3, DifferenceKind::NotOpened),
            difference(2, lost()),
            difference(1, DifferenceKind::Discarded),
            difference(9, DifferenceKind::Unknown),
        ]);
        let dictionary = dictionary(&survey, &[], &Filtered::default(), Path::new("/data"));
        assert_eq!((dictionary.tablespaces, dictionary.not_opened), (2, 1));
        let absent: Vec<_> = dictionary
            .absent
            .iter()
            .map(|a| (a.path.as_str(), a.why))
            .collect();
        assert_eq!(
            absent,
            [
                ("db/t1.ibd", Absence::Discarded),
                ("db/t2.ibd", Absence::Missing)
            ]
        );
    }

    #[test]
    fn messages_name_tables_and_paths_up_to_a_limit() {
        let one = BackupError::MissingTables {
            tables: vec![described(&difference(7, lost()))],
        };
        let text = one.to_string();
        for word in [
            "1 tablespace of",
            "db/t7",
            "space 7",
            "/data/db/t7.ibd",
            "no file is there",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let many = (0..1000).map(|id| difference(id, lost()));
        let many: Vec<String> = many.map(|d| described(&d)).collect();
        let text = crate::backup::error::lines(&many);
        assert!(text.contains("and 980 more"), "{text}");
        let survey = with(
            (0..1000)
                .map(|id| difference(id, DifferenceKind::Unknown))
                .collect(),
        );
        assert_eq!(warnings(&survey, &[]).len(), NAMED + 1);
    }
}
