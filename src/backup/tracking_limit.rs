//! The size of the server's list of changed pages, and the limit from which no reset point may be
//! set in it.
//!
//! The server stores the list in blocks of 16 KiB, and with each reset point the number of its
//! block, in **two bytes** (`Arch_Block::add_reset` in MySQL's `arch0page.cc`; from the source, not
//! tested; Percona tracks it as PS-11175). So a reset point beyond block 65,535 is stored wrongly:
//! after a restart of the server, a request for changed pages may end it (MY-012646), or it ends at
//! every start (MY-012642). If no reset point is set there, nothing breaks: the list may grow
//! further, and the earlier points are stored correctly.
//!
//! Beyond the limit, a list from a reset point below it would still be correct. But it would serve
//! only one more incremental (the next one needs its own reset point), and if another tool has set
//! points beyond the limit, the request is what ends the server. So no list is requested there.
//!
//! The location of the list (`arch0arch.h` and a MySQL 9.7.4): each period of tracking is a group,
//! the directory `#ib_archive/page_group_<LSN>` of the datadir, with a file `active` in it until
//! tracking is stopped. Its `ib_page_<n>` have 2,044 blocks each, the first of them for reset
//! points. Purging removes the first files and renumbers nothing, so the number of the last file
//! counts, not the sum of the lengths.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const ARCHIVE: &str = "#ib_archive";
const GROUP: &str = "page_group_";
const FILE: &str = "ib_page_";
const ACTIVE: &str = "active";
/// Length of a full file, in bytes.
const FULL: u64 = 2044 * (16 << 10);
/// Limit in bytes. Block 65,536 is at 1 GiB; the rest is reserved for blocks in the server's
/// memory, and for other tools.
const LIMIT: u64 = (1 << 30) / 10 * 9;

/// Checks that a reset point may be set; the error is the reason.
pub(super) fn check(datadir: &Path) -> Result<(), String> {
    let archive = datadir.join(ARCHIVE);
    // An unknown size is treated like one beyond the limit.
    let unknown = |error: io::Error| {
        format!(
            "the size of the server's list of changed pages can't be determined ({}: {error}), and no reset point may \
             be set in a list that is too long",
            archive.display()
        )
    };
    let Some(group) = active_group(&archive).map_err(unknown)? else {
        return Ok(());
    };
    let reached = reached(&group).map_err(unknown)?;
    if reached < LIMIT {
        return Ok(());
    }
    Err(format!(
        "the server's list of changed pages ({}) has reached {} MiB. The server stores reset points beyond 1 GiB \
         wrongly (PS-11175) and may then not start any more (MY-012642), so lsnap sets none from {} MiB on. To start a \
         new list: SELECT mysqlbackup_page_track_set(false), which returns an LSN, then SELECT \
         mysqlbackup_page_track_purge_up_to(LSN); the next backup starts page tracking again",
        group.display(),
        reached >> 20,
        LIMIT >> 20
    ))
}

/// Returns the active group, in which reset points are set. The server has at most one; if there is
/// none, it creates one.
fn active_group(archive: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for path in paths(archive)? {
        let Some(lsn) = number(&path, GROUP) else {
            continue;
        };
        if path.join(ACTIVE).try_exists()? {
            newest = newest.max(Some((lsn, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Returns the end of the group, counted from its very first block, in bytes.
fn reached(group: &Path) -> io::Result<u64> {
    let mut reached = 0;
    for path in paths(group)? {
        let Some(index) = number(&path, FILE) else {
            continue;
        };
        match path.metadata() {
            Ok(meta) => {
                reached = reached.max(index.saturating_mul(FULL).saturating_add(meta.len()))
            }
            // The file was purged in the meantime.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reached)
}

/// Returns the paths in a directory; none if the directory doesn't exist.
fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match dir.read_dir() {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Returns the number after `prefix` in the last part of a path.
fn number(path: &Path, prefix: &str) -> Option<u64> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    name.strip_prefix(prefix)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    /// A group's LSN, whether it is active, and its files' numbers and lengths.
    type Group<'a> = (u64, bool, &'a [(u64, u64)]);

    fn datadir(groups: &[Group<'_>]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (lsn, active, files) in groups {
            let group = dir.path().join(format!("#ib_archive/page_group_{lsn}"));
            fs::create_dir_all(&group).unwrap();
            File::create(group.join("durable")).unwrap();
            if *active {
                File::create(group.join("active")).unwrap();
            }
            for (index, len) in *files {
                let file = File::create(group.join(format!("ib_page_{index}"))).unwrap();
                file.set_len(*len).unwrap();
            }
        }
        dir
    }

    fn full(files: std::ops::Range<u64>) -> Vec<(u64, u64)> {
        files.map(|index| (index, FULL)).collect()
    }

    #[track_caller]
    fn refused(dir: &Path, words: &[&str]) {
        let reason = check(dir).unwrap_err();
        for word in words {
            assert!(reason.contains(word), "no {word:?} in {reason}");
        }
    }

    #[test]
    fn a_list_that_reaches_the_limit_is_refused() {
        // 28 full files are 894 MiB, the limit is 921 MiB
        let below = [full(0..28), vec![(28, LIMIT - 28 * FULL - 1)]].concat();
        assert_eq!(check(datadir(&[(8_204_411, true, &below)]).path()), Ok(()));
        let beyond = [full(0..28), vec![(28, LIMIT - 28 * FULL)]].concat();
        refused(
            datadir(&[(8_204_411, true, &beyond)]).path(),
            &[
                "#ib_archive/page_group_8204411",
                "921 MiB",
                "MY-012642",
                "SELECT mysqlbackup_page_track_set(false)",
                "mysqlbackup_page_track_purge_up_to(LSN)",
            ],
        );
        // the first block with a number of three bytes is well beyond the limit
        let block = 65_536 / 2043 * FULL + (1 + 65_536 % 2043) * (16 << 10);
        assert!(block > LIMIT + (64 << 20), "{block}");
    }

    #[test]
    fn blocks_keep_their_numbers_when_the_first_files_are_purged() {
        refused(
            datadir(&[(1, true, &[(30, FULL), (31, 32 << 10)])]).path(),
            &["990 MiB"],
        );
        assert_eq!(check(datadir(&[(1, true, &[(3, FULL)])]).path()), Ok(()));
    }

    #[test]
    fn only_the_active_group_counts() {
        let (long, short) = (full(0..40), full(0..1));
        let stopped = datadir(&[(100, false, &long)]);
        assert_eq!(check(stopped.path()), Ok(()));
        let begun_anew = datadir(&[(100, false, &long), (99, true, &short)]);
        assert_eq!(check(begun_anew.path()), Ok(()));
        // by their numbers: "9" is not after "100"
        let newest = datadir(&[(9, true, &short), (100, true, &long)]);
        refused(newest.path(), &["page_group_100)"]);
    }

    #[test]
    fn an_unreadable_archive_is_refused_and_a_missing_one_accepted() {
        let none = tempfile::tempdir().unwrap();
        assert_eq!(check(none.path()), Ok(()));
        fs::create_dir(none.path().join("#ib_archive")).unwrap();
        assert_eq!(check(none.path()), Ok(()));

        let odd = tempfile::tempdir().unwrap();
        File::create(odd.path().join("#ib_archive")).unwrap();
        refused(odd.path(), &["#ib_archive", "can't be determined"]);

        // a group that is a file, and names that the server doesn't use
        let strange = datadir(&[(7, true, &full(0..2))]);
        let archive = strange.path().join("#ib_archive");
        File::create(archive.join("page_group_9")).unwrap();
        refused(strange.path(), &["can't be determined"]);
        fs::remove_file(archive.join("page_group_9")).unwrap();
        for name in ["page_group_", "page_group_x", "ib_dblwr", "log_group_9"] {
            fs::create_dir(archive.join(name)).unwrap();
        }
        File::create(archive.join("page_group_7/ib_page_x")).unwrap();
        assert_eq!(check(strange.path()), Ok(()));
    }

    #[test]
    fn an_archive_behind_a_link_is_checked() {
        let real = datadir(&[(1, true, &full(0..40))]);
        let linked = tempfile::tempdir().unwrap();
        let link = linked.path().join("#ib_archive");
        std::os::unix::fs::symlink(real.path().join("#ib_archive"), &link).unwrap();
        refused(linked.path(), &["has reached"]);
        // a dangling link is a missing list
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("/nonexistent/archive", &link).unwrap();
        assert_eq!(check(linked.path()), Ok(()));
    }
}
