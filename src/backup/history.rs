//! Checks whether the server has the same history as its base.
//!
//! A server that was reset to an older state (a snapshot of its volume, a copy of its files) and
//! continued from there has the same `server_uuid`, the same redo log uuid, soon an LSN above the
//! base's, and assigns the same GTIDs again. An incremental on such a base mixes pages of two
//! histories. So each backup records marks that only its own history has ([`History`]), and the
//! next incremental checks them:
//!
//! | mark | available | proof |
//! |---|---|---|
//! | records of the redo log before the backup's last LSN | until the server reuses the file |
//! certain in both directions |
//! | start of the binary log file of the backup's position | until it is purged | certain in both
//! directions, if binary logs and data are reset together |
//! | LSNs of the pages that changed last, and of others | always | a wrong mark is certain; see
//! below |
//!
//! Let F be the base's start checkpoint. All changes below F were in the files before the base read
//! them. So a page that the base read with LSN p now has either p or an LSN of at least F, and
//! never less than p. For p above F this is certain only after the server's checkpoint has passed
//! p, because until then a crash of the machine may lose the write. As long as the checkpoint is
//! below p, the redo log is available.
//!
//! A server that continued from LSN f, below the base's end, is detected by a marked page that one
//! of the two histories changed after f, unless the new history changed it again after F. Pages
//! that change all the time prove little: the new history has changed them after F too. Pages that
//! never change prove nothing. So the marks are of the pages that changed last, and of others of
//! every age ([`aged`]).
//!
//! Not detected: a server whose redo log and binary log of that time are gone, and whose marked
//! pages are all either unchanged in both histories since f, or changed by the new one after F.
//! unchanged in both histories since f, or changed by the new one after F.

use super::base::refusal;
use super::error::BackupError;
use super::redo_files::{RedoFiles, StartPoint};
use super::session::Session;
use crate::backup::binlog::binlog_digest;
use crate::datadir::{PageReader, ReadMode, Survey, Tablespace};
use crate::innodb::{Lsn, PageNo, SpaceId, StartCheckpoint, page};
use crate::manifest::{Binlog, History, Manifest, PageMark, RedoMark};
use crate::server::{BinlogPosition, Server};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

/// Maximum number of recorded pages: those that changed last, and others. The check of a page costs
/// one read.
const NEWEST: usize = 256;
const OTHERS: usize = 256;
/// Builds the marks of a backup. `pages` are in the order in which they were read, all after the
/// start checkpoint was chosen; if a page occurs twice, the later mark is used.
pub(super) fn of(
    redo: Option<RedoMark>,
    binlog: Option<String>,
    pages: impl Iterator<Item = PageMark>,
) -> History {
    let mut newest: BTreeMap<(SpaceId, u32, PageNo), PageMark> = BTreeMap::new();
    for mark in pages {
        newest.insert((mark.space_id, mark.node, mark.page), mark);
    }
    let mut pages: Vec<PageMark> = newest.into_values().collect();
    pages.sort_by_key(|mark| std::cmp::Reverse(mark.lsn));
    let others = pages.split_off(pages.len().min(NEWEST));
    if let Some(newest) = pages.first().map(|mark| mark.lsn) {
        pages.extend(aged(others, newest));
    }
    History {
        redo,
        binlog,
        pages,
    }
}

/// Selects marks evenly over their ages. The age is the power of two of the LSN distance to the
/// newest mark.
fn aged(marks: Vec<PageMark>, newest: Lsn) -> Vec<PageMark> {
    let mut ages: BTreeMap<u32, Vec<PageMark>> = BTreeMap::new();
    for mark in marks {
        let age = newest.0.saturating_sub(mark.lsn.0).checked_ilog2();
        ages.entry(age.unwrap_or(0)).or_default().push(mark);
    }
    // Ages with few marks first: they leave their unused share to the others.
    let mut left = OTHERS;
    let mut ages: Vec<Vec<PageMark>> = ages.into_values().collect();
    ages.sort_by_key(Vec::len);
    let mut chosen = Vec::new();
    let number = ages.len();
    for (done, marks) in ages.into_iter().enumerate() {
        let share = (left / (number - done)).min(marks.len());
        // Evenly over the marks of the age, and so over all files.
        chosen.extend((0..share).map(|i| marks[i * marks.len() / share]));
        left -= share;
    }
    chosen.sort_by_key(|mark| std::cmp::Reverse(mark.lsn));
    chosen
}

impl Session<'_> {
    /// Compares the redo log and the binary log with what the base recorded.
    pub(super) fn check_logs(
        &self,
        server: &mut Server,
        base: &Manifest,
        files: &RedoFiles,
    ) -> Result<(), BackupError> {
        let Some(history) = &base.history else {
            return Ok(());
        };
        if let Some(mark) = &history.redo
            && let Some(found) = files.digest(mark.from, mark.to)
            && found != mark.digest
        {
            return Err(refusal(
                base,
                format!(
                    "the server's redo log between LSN {} and {} is not the one at the time of the base: this is \
                     an older state of the server that continued on its own (its files were reset)",
                    mark.from, mark.to
                ),
            ));
        }
        let (Some(then), Some(digest)) = (&base.binlog, &history.binlog) else {
            return Ok(());
        };
        let (Some(now), Some(basename)) =
            (server.log_status()?.binlog, server.binary_log_basename()?)
        else {
            return Ok(());
        };
        let path =
            super::binlog::basename(&self.variables.datadir, &basename).with_file_name(&then.file);
        check_binlog(base, then, digest, &now, &path)
    }

    /// Checks the pages that the base recorded; returns their present marks.
    pub(super) fn check_pages_of_base(
        &self,
        survey: &Survey,
        start: &StartPoint,
    ) -> Result<Vec<PageMark>, BackupError> {
        let mut now = Vec::new();
        let Some(base) = self.base_manifest() else {
            return Ok(now);
        };
        let Some(history) = &base.history else {
            return Ok(now);
        };
        let mut marks: BTreeMap<(SpaceId, u32), Vec<&PageMark>> = BTreeMap::new();
        for mark in &history.pages {
            let of_file = marks.entry((mark.space_id, mark.node)).or_default();
            of_file.push(mark);
        }
        let floor = StartCheckpoint::at(base.lsn.start_checkpoint);
        for ts in &survey.tablespaces {
            let Some(marks) = marks.get(&(ts.space_id, ts.node)) else {
                continue;
            };
            for (mark, found) in marks.iter().zip(lsns(ts, marks, self.options.mode)?) {
                let Some(lsn) = found else { continue };
                if is_wrong(mark.lsn, lsn, floor, start.checkpoint) {
                    return Err(refusal(
                        base,
                        format!(
                            "page {} of {} has LSN {lsn}, the base read it with LSN {}, and its start checkpoint was \
                             {floor}: this is an older state of the server that continued on its own (its files, or \
                             this file, were reset)",
                            mark.page, ts.name, mark.lsn
                        ),
                    ));
                }
                now.push(PageMark { lsn, ..**mark });
            }
        }
        Ok(now)
    }
}

/// Returns whether a page that was read with LSN `then` can't have `now`. `floor` is the base's
/// start checkpoint, `checkpoint` that of the new backup.
fn is_wrong(then: Lsn, now: Lsn, floor: StartCheckpoint, checkpoint: StartCheckpoint) -> bool {
    // The page may not have reached the disk durably.
    if checkpoint.lsn() < then {
        return false;
    }
    now != then && (now < then || now < floor.lsn())
}

/// Returns the present LSNs of the marked pages; `None` for a page that is missing or empty, for
/// example after an import.
fn lsns(
    ts: &Tablespace,
    marks: &[&PageMark],
    mode: ReadMode,
) -> Result<Vec<Option<Lsn>>, BackupError> {
    let reader = PageReader::open(ts, mode)?;
    let mut page = vec![0; ts.page_size.bytes()];
    let mut found = Vec::with_capacity(marks.len());
    for mark in marks {
        if u64::from(mark.page.0) >= reader.pages() {
            found.push(None);
            continue;
        }
        reader.read(mark.page, 1, &mut page)?;
        found.push((!page::is_zero(&page)).then(|| page::lsn(&page)));
    }
    Ok(found)
}

fn check_binlog(
    base: &Manifest,
    then: &Binlog,
    digest: &str,
    now: &BinlogPosition,
    path: &Path,
) -> Result<(), BackupError> {
    let number = |file: &str| -> Option<(String, u64)> {
        let (stem, number) = file.rsplit_once('.')?;
        Some((stem.to_owned(), number.parse().ok()?))
    };
    let (Some(was), Some(is)) = (number(&then.file), number(&now.file)) else {
        return Ok(());
    };
    if was.0 != is.0 {
        return Ok(());
    }
    if is.1 < was.1 {
        return Err(refusal(
            base,
            format!(
                "its position is in the binary log file {}, but the server is only at {}: this is an older state of \
                 the server, or its binary logs were reset (RESET BINARY LOGS AND GTIDS, RESET MASTER)",
                then.file, now.file
            ),
        ));
    }
    match File::open(path).and_then(|mut file| binlog_digest(&mut file, then.position)) {
        Ok(Some(found)) if found == digest => Ok(()),
        Ok(_) => Err(refusal(
            base,
            format!(
                "the server's binary log file {} is not the one at the time of the base: this is an older state \
                 of the server that continued on its own, or its binary logs were reset (RESET BINARY LOGS AND GTIDS, \
                 RESET MASTER)",
                then.file
            ),
        )),
        // The file was purged.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BackupError::Binlog {
            path: path.to_owned(),
            what: format!("cannot read it: {error}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::binlog::{ENCRYPTED, FLAGS, IN_USE};

    fn mark(space: u32, page: u32, lsn: u64) -> PageMark {
        PageMark {
            space_id: SpaceId(space),
            node: 0,
            page: PageNo(page),
            lsn: Lsn(lsn),
        }
    }

    #[test]
    fn a_page_keeps_its_lsn_or_has_one_above_the_floor() {
        let at = |lsn| StartCheckpoint::at(Lsn(lsn));
        let wrong = |then, now| is_wrong(Lsn(then), Lsn(now), at(1000), at(2000));
        for (then, now) in [
            (500, 500),
            (500, 1000),
            (500, 9000),
            (1500, 1500),
            (1500, 1501),
        ] {
            assert!(!wrong(then, now), "{then} {now}");
        }
        for (then, now) in [
            (500, 499),
            (500, 501),
            (500, 999),
            (1500, 1499),
            (1500, 1000),
        ] {
            assert!(wrong(then, now), "{then} {now}");
        }
        // Possibly not durable on disk: the redo log decides.
        assert!(!wrong(2001, 1500));
    }

    #[test]
    fn the_newest_pages_are_kept_and_a_page_once() {
        let old = [mark(1, 4, 50), mark(1, 5, 900_000)].into_iter();
        let many = (0..4 * NEWEST as u32).map(|n| mark(2, n, 1000 + u64::from(n)));
        let found = of(None, None, old.chain(many).chain([mark(1, 4, 800_000)]));
        assert_eq!(found.pages.len(), NEWEST + OTHERS);
        assert_eq!(found.pages[..2], [mark(1, 5, 900_000), mark(1, 4, 800_000)]);
        assert!(found.pages.iter().skip(2).all(|m| m.space_id == SpaceId(2)));
        let unique: std::collections::HashSet<_> = found.pages.iter().map(|m| m.page).collect();
        assert_eq!(unique.len(), found.pages.len());
        let newest = found.pages[..NEWEST].iter().skip(2).map(|m| m.page.0);
        assert!(newest.eq((0..1024).rev().take(NEWEST - 2)));
    }

    #[test]
    fn others_are_of_every_age() {
        // 20,000 pages that are very old, a hundred of each younger age.
        let newest = Lsn(1 << 40);
        let old = (0..20_000).map(|n| mark(1, n, 1 + u64::from(n)));
        let younger = (10..30).flat_map(|age| {
            (0..100).map(move |n| mark(2, age * 100 + n, newest.0 - (1 << age) - u64::from(n)))
        });
        let chosen = aged(old.chain(younger).collect(), newest);
        assert_eq!(chosen.len(), OTHERS);
        for age in 10..30 {
            let of_age = |m: &&PageMark| m.space_id == SpaceId(2) && m.page.0 / 100 == age;
            assert!(chosen.iter().filter(of_age).count() >= 10, "age {age}");
        }
        assert!(aged(Vec::new(), newest).is_empty());
    }

    #[test]
    fn a_binary_log_is_identified_by_the_digest_of_its_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("binlog.000003");
        let digest_of = |position| binlog_digest(&mut File::open(&path).unwrap(), position);
        for magic in [&b"\xFEbin"[..], &[&ENCRYPTED[..], &[7; 508]].concat()] {
            let body: Vec<u8> = (0..200).collect();
            let write = |body: &[u8]| std::fs::write(&path, [magic, body].concat()).unwrap();
            // Positions count from the magic number; in an encrypted file, in the decrypted
            // content.
            let flags = if magic.len() == 4 { FLAGS - 4 } else { FLAGS };
            write(&body);
            let digest = digest_of(150).unwrap().unwrap();
            let mut closed = body.clone();
            closed[flags] ^= IN_USE;
            write(&closed);
            assert_eq!(digest_of(150).unwrap().unwrap(), digest);
            closed.extend_from_slice(b"more");
            write(&closed);
            assert_eq!(digest_of(150).unwrap().unwrap(), digest);
            let mut other = body.clone();
            other[100] ^= 1;
            write(&other);
            assert_ne!(digest_of(150).unwrap().unwrap(), digest);
            write(&body[..100]);
            assert_eq!(digest_of(150).unwrap(), None);
        }
        // A different key in the header of an encrypted file is not a different history.
        let file = |header: u8| [&ENCRYPTED[..], &[header; 508], &[1; 90]].concat();
        std::fs::write(&path, file(1)).unwrap();
        let digest = digest_of(90).unwrap();
        std::fs::write(&path, file(2)).unwrap();
        assert_eq!(digest_of(90).unwrap(), digest);
    }
}
