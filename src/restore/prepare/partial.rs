//! The steps of partial backups, and the export.

use super::PrepareOptions;
use super::error::PrepareError;
use super::files::{self, io};
use super::member::Member;
use crate::manifest::filter::{INFO_KEY, Matcher, TableName};
use crate::manifest::{Dictionary, Filtering, Manifest, TableFilter, line_value};
use crate::restore::ApplierPlan;
use crate::restore::applier::ApplierKind;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

const INFO: &str = "xtrabackup_info";
/// Longest `xtrabackup_info` that is read, in bytes.
const LONGEST: u64 = 1 << 30;

fn filtering(manifest: &Manifest) -> Filtering<'_> {
    let dictionary = manifest.dictionary.as_ref();
    dictionary.map_or(Filtering::default(), Dictionary::filtering)
}

/// Returns the text of `xtrabackup_info`; empty if the file is missing.
fn info(directory: &Path) -> Result<String, PrepareError> {
    let path = directory.join(INFO);
    match files::read(&path, LONGEST) {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(io("read", &path)(error).into()),
    }
}

/// Returns whether an `xtrabackup_info` says that a backup is partial.
fn says_partial(info: &str) -> bool {
    line_value(info, "partial") == Some("Y")
}

fn state(directory: &Path, why: String) -> PrepareError {
    PrepareError::State {
        path: directory.to_path_buf(),
        why,
    }
}

/// Refuses a partial backup of which it is not recorded what it lacks: a file that was lost could not be distinguished.
pub(super) fn check_target(target: &Member) -> Result<(), PrepareError> {
    let known = filtering(&target.manifest).filter.is_some();
    if known || !says_partial(&info(&target.directory)?) {
        return Ok(());
    }
    Err(state(
        &target.directory,
        format!(
            "it is a partial backup ({INFO}) without lsnap_manifest.json, so that it is not known which tables were left out; \
             prepare it with the program that made it, or back up with lsnap"
        ),
    ))
}

/// Refuses an incremental that has other tables than the target by its filter, and gives an incremental without a
/// manifest the filter in its `xtrabackup_info`.
pub(super) fn carry(target: &Manifest, next: &mut Member) -> Result<(), PrepareError> {
    let refuse = |why| state(&next.directory, why);
    let base = filtering(target);
    if let Some(dictionary) = &next.manifest.dictionary {
        return compared(base, dictionary.filtering()).map_err(refuse);
    }
    let info = info(&next.directory)?;
    let partial = says_partial(&info);
    let filter = TableFilter::of_info(&info)
        .map_err(|why| state(&next.directory.join(INFO), why))?
        .map(TableFilter::normalised);
    if partial && filter.is_none() {
        return Err(refuse(format!(
            "it is partial ({INFO}), but it has no line {INFO_KEY}: another program made it, and its filter is not known; take \
             the incremental with lsnap"
        )));
    }
    let new = Filtering {
        filter: filter.as_ref(),
        partial,
    };
    compared(base, new).map_err(refuse)?;
    let Some(filter) = filter else {
        return Ok(());
    };
    let matcher = Matcher::new(&filter).map_err(|error| refuse(error.to_string()))?;
    let files = next.manifest.files.iter();
    let spaces: Vec<_> = files.filter_map(|file| file.role.space()).collect();
    let of_table = |name: &str| TableName::of_path(name).is_some_and(|name| !matcher.keeps(&name));
    if let Some(space) = (spaces.iter()).find(|space| !space.undo && of_table(&space.name)) {
        return Err(state(
            &next.directory.join(&space.name),
            format!(
                "the incremental has this table, which its own filter leaves out ({filter}); take it again"
            ),
        ));
    }
    let there: BTreeSet<_> = spaces.iter().map(|space| space.space_id).collect();
    // Those that were created since the target are not known; their names are in the filter.
    let absent = target.dictionary.iter().flat_map(Dictionary::filtered);
    let absent: Vec<_> = absent
        .filter(|space| partial && !there.contains(&space.space_id))
        .cloned()
        .collect();
    next.manifest.dictionary = Some(Dictionary {
        tablespaces: (there.len() + absent.len()) as u64,
        absent,
        filter: Some(filter),
        filter_unused: !partial,
        ..Dictionary::default()
    });
    Ok(())
}

/// Checks that an incremental can continue a target.
///
/// # Errors
/// The reason why it can't.
fn compared(target: Filtering<'_>, next: Filtering<'_>) -> Result<(), String> {
    if next.continues(target) {
        return Ok(());
    }
    let text = |of: Filtering<'_>| of.filter.map(ToString::to_string).unwrap_or_default();
    Err(match (target.partial, next.partial) {
        (true, true) => format!(
            "the incremental is partial with another filter ({}) than the target ({}): tables that it lacks would be taken for \
             dropped; take an incremental with the filter of the target",
            text(next),
            text(target)
        ),
        (true, false) => format!(
            "the incremental is a whole one, the target is partial ({}); take an incremental with the same filter",
            text(target)
        ),
        (false, _) => format!(
            "the incremental is partial ({}), the target is a whole backup: the tables that the incremental lacks would be \
             taken for dropped; take an incremental {}",
            text(next),
            target.filter.map_or_else(
                || "without a filter".to_owned(),
                |filter| format!("with the filter of the target ({filter})")
            )
        ),
    })
}

/// Refuses what the redo applier of the last step can't do.
pub(super) fn check_applier(
    newest: &Manifest,
    applier: &ApplierPlan,
    options: &PrepareOptions,
) -> Result<(), PrepareError> {
    crate::restore::partial::check_applier(newest, applier, &options.target)?;
    if options.export && applier.kind != ApplierKind::Mysqld {
        return Err(state(
            &options.target,
            "PrepareOptions::export needs a mysqld, which writes the .cfg files; name one with RestoreOptions::mysqld. \
             (IMPORT TABLESPACE works without .cfg files too, but then it doesn't check the table.)"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Refuses an export in a step that doesn't recover the directory.
pub(super) fn check_export(options: &PrepareOptions, prepared: bool) -> Result<(), PrepareError> {
    if !options.export {
        return Ok(());
    }
    let why = if prepared {
        "it is prepared already, so that no server runs that could export its tables; give PrepareOptions::export with the \
         step that prepares it"
    } else if options.log_only {
        "PrepareOptions::export is possible only in the last step, without PrepareOptions::log_only"
    } else {
        return Ok(());
    };
    Err(state(&options.target, why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::BackupName;

    fn filter(databases: &str, exclude: &str) -> TableFilter {
        let names = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        TableFilter {
            databases: names(databases),
            databases_exclude: names(exclude),
            ..TableFilter::default()
        }
    }

    fn manifest(filter: Option<TableFilter>, partial: bool) -> Manifest {
        let name = BackupName::unnamed();
        Manifest {
            dictionary: Some(Dictionary {
                filter,
                filter_unused: !partial,
                ..Dictionary::default()
            }),
            ..Manifest::blank(name)
        }
    }

    /// Carries the filter of a target to an incremental with these last lines of `xtrabackup_info`. Returns its new
    /// dictionary.
    fn carried(target: &Manifest, lines: &str) -> Result<Option<Dictionary>, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(INFO), format!("uuid = u\n{lines}")).unwrap();
        let mut next = Member {
            directory: dir.path().to_path_buf(),
            manifest: Manifest {
                dictionary: None,
                ..target.clone()
            },
            foreign: true,
            warnings: Vec::new(),
        };
        carry(target, &mut next).map_err(|error| error.to_string())?;
        Ok(next.manifest.dictionary)
    }

    #[test]
    fn an_incremental_without_a_manifest_needs_the_filter_of_the_target() {
        let info = |partial: &str, filter: &TableFilter| {
            format!("partial = {partial}\n{INFO_KEY} = {}\n", filter.to_info())
        };
        let (wide, narrow) = (filter("d tmpdb", ""), filter("d", ""));
        let excluding = filter("", "tmpdb");
        let partial = manifest(Some(wide.clone()), true);
        let dictionary = carried(&partial, &info("Y", &wide)).unwrap().unwrap();
        assert!(dictionary.is_partial() && dictionary.filter == Some(wide));
        for (lines, words) in [
            (info("Y", &narrow), "another filter (databases: d) than"),
            ("partial = N\n".to_owned(), "is a whole one"),
            ("partial = Y\n".to_owned(), "another program made it"),
            (
                "partial = Y\nlsnap_filter = {\n".to_owned(),
                "lsnap_filter: ",
            ),
        ] {
            let error = carried(&partial, &lines).unwrap_err();
            assert!(error.contains(words), "{words}: {error}");
        }
        // The database was created after the target.
        let unused = manifest(Some(excluding.clone()), false);
        let dictionary = carried(&unused, &info("Y", &excluding)).unwrap().unwrap();
        assert!(dictionary.is_partial());
        let dictionary = carried(&unused, &info("N", &excluding)).unwrap().unwrap();
        assert!(!dictionary.is_partial() && dictionary.filter == Some(excluding.clone()));
        assert_eq!(carried(&unused, "partial = N\n"), Ok(None));
        let whole = manifest(None, true);
        assert_eq!(carried(&whole, ""), Ok(None));
        assert!(carried(&whole, &info("N", &excluding)).is_ok());
        for target in [&unused, &whole] {
            let error = carried(target, &info("Y", &narrow)).unwrap_err();
            assert!(error.contains("the target is a whole backup"), "{error}");
        }
    }
}
