//! How far the server's list of changed pages has grown, and from where on no reset point may be set in it.
//!
//! The server keeps the list in blocks of 16 KiB and stores with each reset point the number of the block in
//! which it lies, in **two bytes** (`Arch_Block::add_reset` in MySQL's `arch0page.cc`, read, not tried; Percona
//! tracks it as PS-11175). A reset point beyond block 65,535 is so stored as a wrong one: once the server was
//! restarted, asking it for changed pages may end it (MY-012646), or it ends each of its starts by itself
//! (MY-012642). Whoever sets no reset point there does no harm: the list may grow on, and the earlier points
//! are stored rightly.
//!
//! What would still be right beyond the limit: a list from a reset point below it. It would serve one more
//! incremental (the next one needs a reset point of its own), and where another tool set points beyond the
//! limit, asking is what ends the server. So nothing is asked there.
//!
//! Where the list lies (`arch0arch.h` and a MySQL 9.7.4): each stretch of tracking is a group, the directory
//! `#ib_archive/page_group_<LSN>` of the datadir, with a file `active` in it until tracking is stopped. Its
//! `ib_page_<n>` have 2,044 blocks each, the first of them for reset points. Purging removes the first files
//! and renumbers nothing, so the last file's number counts and not how much there is.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const ARCHIVE: &str = "#ib_archive";
const GROUP: &str = "page_group_";
const FILE: &str = "ib_page_";
const ACTIVE: &str = "active";
/// Length of a file that is full, in bytes.
const FULL: u64 = 2044 * (16 << 10);
/// Block 65,536 lies at 1 GiB. The rest is for what the server holds in memory yet, and for other tools.
const LIMIT: u64 = (1 << 30) / 10 * 9;

/// Whether a reset point may be set; the reason why not is for people.
pub(super) fn check(datadir: &Path) -> Result<(), String> {
    let archive = datadir.join(ARCHIVE);
    // A server that may be past the limit is taken for one.
    let unknown = |error: io::Error| {
        format!(
            "how long the server's list of changed pages is can't be found out ({}: {error}), and in one that is \
             too long no reset point may be set",
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
        "the server's list of changed pages ({}) has reached {} MiB. It stores reset points beyond 1 GiB wrongly \
         (PS-11175) and may then not start any more (MY-012642), so lsnap sets none from {} MiB on. To begin a new \
         list: SELECT mysqlbackup_page_track_set(false), which gives an LSN, then SELECT \
         mysqlbackup_page_track_purge_up_to(LSN); the next backup has pages tracked again",
        group.display(),
        reached >> 20,
        LIMIT >> 20
    ))
}

/// The group that reset points are set in. The server has one at most; no group: it begins one.
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

/// Where the group's end lies, counted from its very first block, in bytes.
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
            // purged a moment ago
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reached)
}

/// What is in a directory, or would be if there were one.
fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match dir.read_dir() {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The number behind `prefix` in the last part of a path.
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
    fn up_to_the_limit_and_no_further() {
        // 28 full files are 894 MiB, the limit is 921
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
        // the first block whose number has three bytes is well beyond it
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
    fn only_the_list_that_is_written_to_counts() {
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
    fn what_cannot_be_looked_at_is_a_reason_and_no_list_is_none() {
        let none = tempfile::tempdir().unwrap();
        assert_eq!(check(none.path()), Ok(()));
        fs::create_dir(none.path().join("#ib_archive")).unwrap();
        assert_eq!(check(none.path()), Ok(()));

        let odd = tempfile::tempdir().unwrap();
        File::create(odd.path().join("#ib_archive")).unwrap();
        refused(odd.path(), &["#ib_archive", "can't be found out"]);

        // a group that is a file, names that are none of the server's
        let strange = datadir(&[(7, true, &full(0..2))]);
        let archive = strange.path().join("#ib_archive");
        File::create(archive.join("page_group_9")).unwrap();
        refused(strange.path(), &["can't be found out"]);
        fs::remove_file(archive.join("page_group_9")).unwrap();
        for name in ["page_group_", "page_group_x", "ib_dblwr", "log_group_9"] {
            fs::create_dir(archive.join(name)).unwrap();
        }
        File::create(archive.join("page_group_7/ib_page_x")).unwrap();
        assert_eq!(check(strange.path()), Ok(()));
    }

    #[test]
    fn an_archive_behind_a_link_is_looked_at() {
        let real = datadir(&[(1, true, &full(0..40))]);
        let linked = tempfile::tempdir().unwrap();
        let link = linked.path().join("#ib_archive");
        std::os::unix::fs::symlink(real.path().join("#ib_archive"), &link).unwrap();
        refused(linked.path(), &["has reached"]);
        // one that leads nowhere is no list
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("/nonexistent/archive", &link).unwrap();
        assert_eq!(check(linked.path()), Ok(()));
    }
}
