//! Translates fields of the library to the options of xtrabackup. Messages of the library name fields of its option
//! structs (`BackOptions::datadir`); under the name of xtrabackup, they must not name options of lsnap.
//!
//! [`super::log`] translates everything that it writes. A field without an option of xtrabackup becomes the option of
//! lsnap's own command, which is named with it.

use crate::cli;
use std::borrow::Cow;

/// Fields, and variants of fields' types, and the options of the programs that set them.
const FIELDS: &[(&str, &str)] = &[
    ("BackOptions::data_file_path", "--innodb-data-file-path"),
    ("BackOptions::datadir", "--datadir"),
    (
        "BackOptions::force_non_empty",
        "--force-non-empty-directories",
    ),
    ("BackOptions::target", "--target-dir"),
    ("BackupOptions::allow_untested", "--no-server-version-check"),
    ("BackupOptions::compression", "--compress"),
    ("BackupOptions::incremental", "--incremental-basedir"),
    ("BackupOptions::key", "--encrypt-key-file"),
    ("BackupOptions::lock_timeout", "--lock-ddl-timeout"),
    (
        "BackupOptions::page_tracking",
        "--page-tracking or --incremental-force-scan",
    ),
    ("BackupOptions::spool_dir", "--tmpdir"),
    ("BackupOptions::stop_applier", "--safe-slave-backup"),
    ("BackupOptions::threads", "--parallel"),
    ("BackupOptions::throttle", "--throttle"),
    ("CreateOptions::absolute_names", "--absolute-names"),
    ("ExtractOptions::absolute_names", "--absolute-names"),
    ("ExtractOptions::decompress", "--decompress"),
    ("ExtractOptions::key", "--decrypt"),
    ("FifoOptions::count", "--fifo-streams"),
    ("FifoOptions::directory", "--fifo-dir"),
    ("FifoOptions::timeout", "--fifo-timeout"),
    ("FileChoice::no_defaults", "--no-defaults"),
    ("InPlaceOptions::directory", "--target-dir"),
    ("Overrides::host", "--host"),
    ("Overrides::password", "--password"),
    ("Overrides::password_file", "--password"),
    ("Overrides::socket", "--socket"),
    ("PrepareOptions::export", "--export"),
    ("PrepareOptions::incremental", "--incremental-dir"),
    (
        "PrepareOptions::keyring_config",
        "--component-keyring-config",
    ),
    ("PrepareOptions::log_only", "--apply-log-only"),
    ("PrepareOptions::mysqld", MYSQLD),
    (
        "PrepareOptions::rollback_prepared",
        "--rollback-prepared-trx",
    ),
    ("PrepareOptions::target", "--target-dir"),
    ("RestoreOptions::datadir", "--target-dir"),
    (
        "RestoreOptions::keyring_config",
        "--component-keyring-config",
    ),
    ("RestoreOptions::mysqld", MYSQLD),
    ("TrackingChoice::Off", "--incremental-force-scan"),
    ("TrackingChoice::On", "--page-tracking"),
];

/// The server program, for which xtrabackup has no option.
const MYSQLD: &str = "the environment variable LSNAP_MYSQLD";

/// Replaces the paths of fields in a text by options.
pub(super) fn translated(text: &str) -> Cow<'_, str> {
    cli::translated_by(text, &|owner, field| {
        let path = format!("{owner}::{field}");
        let own = FIELDS.iter().find(|(other, _)| *other == path);
        own.map(|(_, option)| (*option).to_owned())
            .or_else(|| cli::option_with_command(owner, field))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::messages::{library_texts, members, named, paths};
    use crate::compat::options::Spec;
    use crate::compat::{xbcloud, xbcrypt, xbstream, xtrabackup};
    use std::collections::BTreeSet;

    /// Options that select option files are in no table.
    const SOURCES: [&str; 1] = ["no-defaults"];

    /// Returns the options that a text names as those of the programs: without "--x of `lsnap y`".
    fn own(text: &str) -> BTreeSet<String> {
        let all = named(text).into_iter();
        let own = all.filter(|name| !text.contains(&format!("--{name} of `lsnap")));
        own.map(str::to_owned).collect()
    }

    /// Every field that a message of the library names becomes an option that one of the programs has, or one of lsnap
    /// that is named with its command.
    #[test]
    fn no_message_names_an_option_that_the_programs_do_not_have() {
        let tables: [&[Spec]; 4] = [
            xtrabackup::OPTIONS,
            xbstream::TABLE,
            xbcloud::OPTIONS,
            xbcrypt::TABLE,
        ];
        let known: BTreeSet<&str> = tables
            .iter()
            .flat_map(|table| table.iter().map(|spec| spec.name))
            .chain(SOURCES)
            .collect();
        let members = members();
        let mut seen = 0;
        let mut wrong = Vec::new();
        let texts = library_texts().into_iter().flat_map(|(file, texts)| {
            let texts = texts.into_iter().filter(|text| text.contains(' '));
            texts.map(move |text| (file.clone(), text))
        });
        for (file, text) in texts {
            for (owner, field) in paths(&text) {
                let path = format!("{owner}::{field}");
                if !members.contains(&path) {
                    continue;
                }
                seen += 1;
                let shown = translated(&path);
                if shown.contains("::") {
                    wrong.push(format!("{file}: {path} has no option"));
                }
                let missing = own(&shown)
                    .into_iter()
                    .find(|name| !known.contains(&**name));
                wrong.extend(missing.map(|name| format!("{file}: {path}: --{name}")));
            }
        }
        for (path, option) in FIELDS {
            if !members.contains(*path) {
                wrong.push(format!("{path} doesn't exist"));
            }
            let missing = own(option)
                .into_iter()
                .find(|name| !known.contains(&**name));
            wrong.extend(missing.map(|name| format!("{path}: --{name}")));
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(seen > 50, "{seen}");
    }

    #[test]
    fn fields_become_options_of_the_programs() {
        for (text, expected) in [
            (
                "set BackOptions::datadir to another",
                "set --datadir to another",
            ),
            (
                "set BackupOptions::allow_untested to true",
                "set --no-server-version-check",
            ),
            (
                "set BackupOptions::memory",
                "set --memory of `lsnap backup`",
            ),
            (
                "use ApplierChoice::Mysqld",
                "use --redo-applier=mysqld of `lsnap`",
            ),
        ] {
            assert_eq!(translated(text), expected);
        }
    }
}
