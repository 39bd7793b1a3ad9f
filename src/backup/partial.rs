//! Partial backups: the tables that the filter leaves out ([`TableFilter`]), and the bases on which a partial incremental
//! can be made.
//!
//! A backup is partial if its filter names what it has, or if a table was left out. A filter that only leaves out, and
//! finds nothing to leave out, makes a whole backup. It is recorded nevertheless: if such tables are created later, an
//! incremental with the same filter continues the backup.

use super::base::refusal;
use super::error::BackupError;
use super::options::BackupOptions;
use super::sdi;
use super::session::Session;
use crate::datadir::{Difference, DifferenceKind, LeftOut, PlainFile, Survey, TablespaceKind};
use crate::manifest::filter::{Matcher, TableName, is_of_server};
use crate::manifest::{Dictionary, Filtering, Layout, TableFilter};
use std::path::Path;

/// The filter of a backup, ready to use.
pub(super) struct Filter {
    matcher: Matcher,
    filter: TableFilter,
}

/// The results of leaving out tables.
#[derive(Debug, Default)]
pub(super) struct Filtered {
    /// The filter, if there is one.
    pub filter: Option<TableFilter>,
    /// The filter only leaves out, and there is nothing to leave out.
    pub unused: bool,
    /// Warnings about entries of the filter that nothing matches.
    pub warnings: Vec<String>,
}

impl Filter {
    /// Compiles the filter of the options; `None` if there is none.
    ///
    /// # Errors
    /// [`BackupError::Filter`].
    pub(super) fn of(options: &BackupOptions) -> Result<Option<Self>, BackupError> {
        let filter = options.filter.clone().normalised();
        if filter.is_empty() {
            return Ok(None);
        }
        let matcher = Matcher::new(&filter)?;
        Ok(Some(Self { matcher, filter }))
    }

    /// Returns whether it names what the backup has: the backup is partial, whatever the server has.
    pub(super) fn includes(&self) -> bool {
        self.filter.includes()
    }

    /// Returns whether the backup has a table, by the names that a person writes.
    pub(super) fn keeps(&self, schema: &str, table: &str) -> bool {
        self.matcher.keeps(&TableName::written(schema, table))
    }

    /// Removes the tables that are left out from the survey, and records them in it. Returns whether there were any.
    fn leave_out(&self, survey: &mut Survey, seen: &mut Vec<TableName>) -> bool {
        let mut left_out = false;
        let mut keeps = |name: Option<TableName>| {
            let Some(name) = name else { return true };
            let keeps = self.matcher.keeps(&name);
            seen.push(name);
            left_out |= !keeps;
            keeps
        };
        // A table whose file is missing is not missed if it is left out.
        for missing in &mut survey.differences {
            // Only names of tables have a slash.
            let of_table = missing.name.contains('/');
            if matches!(missing.kind, DifferenceKind::Missing(_))
                && of_table
                && !keeps(of_path(&missing.path))
            {
                missing.kind = DifferenceKind::Filtered;
            }
        }
        let differences = &mut survey.differences;
        survey.tablespaces.retain(|space| {
            if space.kind != TablespaceKind::FilePerTable || keeps(TableName::of_path(&space.name))
            {
                return true;
            }
            differences.retain(|other| {
                other.space_id != Some(space.space_id) || other.kind != DifferenceKind::NotOpened
            });
            differences.push(Difference {
                space_id: Some(space.space_id),
                name: space.tablespace_name.clone().unwrap_or_default(),
                path: space.source.clone(),
                kind: DifferenceKind::Filtered,
            });
            false
        });
        let others = &mut survey.left_out;
        survey.plain.retain(|file| {
            let keeps = keeps(of_plain(file));
            if !keeps {
                others.push(LeftOut::filtered(file.name.clone()));
            }
            keeps
        });
        left_out
    }
}

fn of_path(path: &Path) -> Option<TableName> {
    TableName::of_path(path.to_str()?)
}

/// Returns the table of a file of another engine; `None` if the file is not of one table.
fn of_plain(file: &PlainFile) -> Option<TableName> {
    if file.name.ends_with(".opt") {
        return None;
    }
    if !sdi::is_one(file) {
        return TableName::of_path(&file.name);
    }
    let table = sdi::table(file).ok()?;
    Some(TableName::written(&table.schema, &table.table))
}

impl Filtered {
    fn filtering(&self) -> Filtering<'_> {
        Filtering {
            filter: self.filter.as_ref(),
            partial: self.filter.is_some() && !self.unused,
        }
    }
}

impl Session<'_> {
    /// Applies the filter of the options to a survey.
    ///
    /// # Errors
    /// [`BackupError::Filter`], [`BackupError::NothingMatches`], [`BackupError::PartialInRepository`], or
    /// [`BackupError::BaseUnusable`] if the base has another filter.
    pub(super) fn apply_filter(&self, survey: &mut Survey) -> Result<Filtered, BackupError> {
        let mut done = Filtered::default();
        if let Some(filter) = Filter::of(self.options)? {
            let mut seen = Vec::new();
            let left_out = filter.leave_out(survey, &mut seen);
            if filter.filter.includes() {
                let of_user =
                    |name: &&TableName| !name.is_of_index() && !name.schemas().any(is_of_server);
                let mut users = seen.iter().filter(of_user);
                if !users.any(|name| filter.matcher.keeps(name)) {
                    return Err(BackupError::NothingMatches {
                        filter: filter.filter.to_string(),
                    });
                }
            }
            let unmatched = filter.matcher.unmatched(&seen);
            done.warnings.extend(unmatched.iter().map(|entry| {
                format!("the filter of the backup names {entry:?}, but the server has no such database or table")
            }));
            done.unused = !(filter.filter.includes() || left_out);
            done.filter = Some(filter.filter);
        }
        let this = done.filtering();
        if this.partial && self.sink.layout() == Layout::Objects {
            return Err(BackupError::PartialInRepository);
        }
        if let Some(base) = self.base_manifest() {
            let of_base = base.dictionary.as_ref();
            let of_base = of_base.map_or(Filtering::default(), Dictionary::filtering);
            compared(of_base, this).map_err(|reason| refusal(base, reason))?;
        }
        Ok(done)
    }
}

/// Checks that this backup can continue a base.
///
/// # Errors
/// The reason why it can't.
fn compared(base: Filtering<'_>, this: Filtering<'_>) -> Result<(), String> {
    if this.continues(base) {
        return Ok(());
    }
    Err(match (base.filter, this.filter) {
        (Some(base), None) => format!("it is partial ({base}), and this backup has no filter"),
        (Some(old), Some(new)) if base.partial => {
            format!("it is partial with another filter: {old}; the filter of this backup is: {new}")
        }
        (_, new) => format!(
            "it is a whole backup, and this one is partial ({})",
            new.map(ToString::to_string).unwrap_or_default()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datadir::Tablespace;
    use crate::innodb::{PageSize, SpaceFlags, SpaceId};

    fn filter(databases: &[&str], exclude: &[&str]) -> TableFilter {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        TableFilter {
            databases: texts(databases),
            databases_exclude: texts(exclude),
            ..TableFilter::default()
        }
    }

    fn compiled(filter: TableFilter) -> Filter {
        Filter {
            matcher: Matcher::new(&filter).unwrap(),
            filter,
        }
    }

    fn space(name: &str, id: u32, kind: TablespaceKind) -> Tablespace {
        Tablespace {
            source: format!("/data/{name}").into(),
            name: name.to_owned(),
            kind,
            space_id: SpaceId(id),
            node: 0,
            first_page: 0,
            flags: SpaceFlags(0x4021),
            page_size: PageSize::DEFAULT,
            bytes: 1 << 20,
            tablespace_name: Some(name.trim_end_matches(".ibd").to_owned()),
            external: None,
        }
    }

    #[test]
    fn tables_that_are_left_out_are_recorded() {
        use TablespaceKind::{Dictionary, FilePerTable, General, System, Undo};
        let dir = tempfile::tempdir().unwrap();
        let plain = |name: &str, text: &str| {
            let source = dir.path().join(name.replace('/', "-"));
            std::fs::write(&source, text).unwrap();
            PlainFile {
                source,
                name: name.to_owned(),
                bytes: text.len() as u64,
            }
        };
        let sdi = |schema: &str, name: &str| {
            serde_json::json!({"dd_object": {"name": name, "schema_ref": schema}}).to_string()
        };
        let difference = |id: u32, path: &str, kind| Difference {
            space_id: Some(SpaceId(id)),
            name: "b/t".to_owned(),
            path: path.into(),
            kind,
        };
        let mut survey = Survey {
            tablespaces: vec![
                space("ibdata1", 0, System),
                space("mysql.ibd", 0xFFFF_FFFE, Dictionary),
                space("undo_001", 0xFFFF_FFEF, Undo),
                space("ts.ibd", 5, General),
                space("a/t.ibd", 6, FilePerTable),
                space("b/t.ibd", 7, FilePerTable),
                space("sys/sys_config.ibd", 1, FilePerTable),
            ],
            plain: vec![
                plain("a/m.MYD", ""),
                plain("b/long_name.MYD", ""),
                plain("b/long_n_12.sdi", &sdi("b", "long_name")),
                plain("a/unreadable_12.sdi", "{"),
                plain("b/db.opt", ""),
                plain("mysql/general_log.CSV", ""),
            ],
            differences: vec![
                difference(7, "/data/b/t.ibd", DifferenceKind::NotOpened),
                difference(
                    8,
                    "/data/b/gone.ibd",
                    DifferenceKind::Missing("no file".into()),
                ),
                difference(
                    9,
                    "/data/a/gone.ibd",
                    DifferenceKind::Missing("no file".into()),
                ),
            ],
            ..Survey::default()
        };
        let mut seen = Vec::new();
        assert!(compiled(filter(&["a"], &[])).leave_out(&mut survey, &mut seen));
        let names: Vec<&str> = survey.tablespaces.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "ibdata1",
                "mysql.ibd",
                "undo_001",
                "ts.ibd",
                "a/t.ibd",
                "sys/sys_config.ibd"
            ]
        );
        let names: Vec<&str> = survey.plain.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "a/m.MYD",
                "a/unreadable_12.sdi",
                "b/db.opt",
                "mysql/general_log.CSV"
            ]
        );
        let kinds = survey.differences.iter();
        let kinds: Vec<_> = kinds.map(|d| (d.space_id.unwrap().0, &d.kind)).collect();
        let missing = DifferenceKind::Missing("no file".into());
        assert_eq!(
            kinds,
            [
                (8, &DifferenceKind::Filtered),
                (9, &missing),
                (7, &DifferenceKind::Filtered)
            ]
        );
        assert_eq!(survey.left_out.len(), 2);
    }

    #[test]
    fn a_filter_that_only_leaves_out_may_leave_out_nothing() {
        let mut survey = Survey {
            tablespaces: vec![space("a/t.ibd", 6, TablespaceKind::FilePerTable)],
            ..Survey::default()
        };
        let excluding = compiled(filter(&[], &["lost+found"]));
        assert!(!excluding.leave_out(&mut survey, &mut Vec::new()));
        assert_eq!(survey.tablespaces.len(), 1);
        // A schema of that name is one.
        let mut survey = Survey {
            tablespaces: vec![space(
                "lost@002bfound/t.ibd",
                6,
                TablespaceKind::FilePerTable,
            )],
            ..Survey::default()
        };
        assert!(excluding.leave_out(&mut survey, &mut Vec::new()));
    }

    #[test]
    fn only_a_base_with_the_same_filter_is_continued() {
        let (one, other) = (filter(&["a"], &[]), filter(&["b"], &[]));
        let excluding = filter(&[], &["lost+found"]);
        let made = |filter, partial| Filtering { filter, partial };
        let none = Filtering::default();
        for (base, this) in [
            (none, none),
            (none, made(Some(&excluding), false)),
            (made(Some(&one), true), made(Some(&one), true)),
            // What is left out was created, or dropped, since the base.
            (made(Some(&excluding), false), made(Some(&excluding), true)),
            (made(Some(&excluding), true), made(Some(&excluding), false)),
        ] {
            assert_eq!(compared(base, this), Ok(()), "{base:?} {this:?}");
        }
        for (base, this, words) in [
            (made(Some(&one), true), none, "has no filter"),
            (
                made(Some(&one), true),
                made(Some(&other), true),
                "another filter: databases: a; the",
            ),
            (none, made(Some(&one), true), "it is a whole backup"),
            (
                made(Some(&excluding), false),
                made(Some(&one), true),
                "it is a whole backup",
            ),
        ] {
            let reason = compared(base, this).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        }
    }
}
