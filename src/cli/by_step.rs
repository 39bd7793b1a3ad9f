//! The commands that restore a chain which lsnap can only prepare step by step: one with an incremental without a
//! manifest.

use super::exit::Failure;
use super::occupied;
use crate::manifest::BackupName;
use crate::reader::ReadError;
use crate::restore::{RestoreError, quoted_word};
use crate::store::{BackupFault, Listed, ListedState, Repository, StoreError};
use std::path::Path;

/// The directory in the commands to which the backups are extracted.
const EXTRACTED: &str = "extracted";

/// Converts the error of a plan; adds the commands that help. `repo` is the repository and its URL as it was typed.
pub(super) fn failure(
    error: RestoreError,
    repo: Option<(&Repository, &str)>,
    datadir: &Path,
) -> Failure {
    let commands = match (&error, repo) {
        (RestoreError::OnlyByStep { directories, .. }, _) => {
            let directories = directories.iter().map(|d| d.display().to_string());
            Some(prepared(
                &directories.collect::<Vec<_>>(),
                datadir,
                "copy-back",
            ))
        }
        (RestoreError::Read(ReadError::Store(of_store)), Some((repo, url))) => match &**of_store {
            StoreError::Backup(BackupFault::Foreign { name }) => {
                in_repository(repo, url, name, datadir)
            }
            _ => None,
        },
        _ => return occupied::failure(error),
    };
    let failure = Failure::from(error);
    match commands {
        Some(commands) => failure.with_hint(&format!("To restore it:\n{}", commands.trim_end())),
        None => failure,
    }
}

/// Returns the commands for a backup in a repository; `None` if the backups that it needs are not known.
fn in_repository(
    repo: &Repository,
    url: &str,
    name: &BackupName,
    datadir: &Path,
) -> Option<String> {
    let names = members(&repo.list().ok()?, name)?;
    let directory = |number: usize| format!("{EXTRACTED}/{number}");
    let directories: Vec<String> = (0..names.len()).map(directory).collect();
    let mut out = format!("  mkdir -p {}\n", directories.join(" "));
    for (name, directory) in names.iter().zip(&directories) {
        out += &format!(
            "  lsnap cloud get --repo {} {} -C {directory} --decompress\n",
            quoted_word(url),
            quoted_word(name.as_str())
        );
    }
    out += &prepared(&directories, datadir, "move-back");
    out += "If the backups are encrypted, add --decrypt AES256 --encrypt-key-file FILE to the commands with cloud get";
    Some(out)
}

/// Returns the backups that a backup without a manifest needs, and itself: in the layout of the operator, all finished
/// ones of its chain up to it.
fn members(listed: &[Listed], name: &BackupName) -> Option<Vec<BackupName>> {
    let base = name.base();
    let finished = |listed: &&Listed| {
        matches!(
            listed.state,
            ListedState::Finished(_)
                | ListedState::Stream { finished: true }
                | ListedState::Foreign { finished: true }
        )
    };
    let of_chain = listed.iter().filter(finished).map(|listed| &listed.name);
    let mut names: Vec<BackupName> = of_chain
        .filter(|other| other.base() == base && (**other == base || *other <= name))
        .cloned()
        .collect();
    names.sort_by_key(|other| (*other != base, other.clone()));
    (names.first() == Some(&base) && names.last() == Some(name)).then_some(names)
}

/// Returns the commands that prepare extracted backups and place the result.
fn prepared(directories: &[String], datadir: &Path, place: &str) -> String {
    let word = |text: &str| quoted_word(text);
    let Some((full, incrementals)) = directories.split_first() else {
        return String::new();
    };
    let target = format!("--target-dir={}", word(full));
    let only = |last: bool| if last { "" } else { " --apply-log-only" };
    let mut out = format!(
        "  lsnap xtrabackup --prepare{} {target}\n",
        only(incrementals.is_empty())
    );
    for (number, incremental) in (1..).zip(incrementals) {
        out += &format!(
            "  lsnap xtrabackup --prepare{} {target} --incremental-dir={}\n",
            only(number == incrementals.len()),
            word(incremental)
        );
    }
    out += &format!(
        "  lsnap xtrabackup --{place} {target} --datadir={}\n",
        word(&datadir.display().to_string())
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_alone_applies_the_redo_log() {
        let directories = ["/b/full", "/b/in c1", "/b/inc2"].map(str::to_owned);
        let text = prepared(&directories, Path::new("/data"), "copy-back");
        let expected = "  lsnap xtrabackup --prepare --apply-log-only --target-dir=/b/full\n  \
             lsnap xtrabackup --prepare --apply-log-only --target-dir=/b/full --incremental-dir='/b/in c1'\n  \
             lsnap xtrabackup --prepare --target-dir=/b/full --incremental-dir=/b/inc2\n  \
             lsnap xtrabackup --copy-back --target-dir=/b/full --datadir=/data\n";
        assert_eq!(text, expected);
        let text = prepared(&directories[..1], Path::new("/data"), "copy-back");
        assert!(!text.contains("apply-log-only"), "{text}");
    }
}
