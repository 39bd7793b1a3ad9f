//! Chains of small backups, prepared step by step in their own directories: the files must be those of the newest
//! member, however often a step is interrupted.

use super::files::{Budget, Files};
use super::journal::JOURNAL;
use super::member::STATE;
use super::prepared::PREPARED;
use super::recovery::LastStep;
use super::{PrepareError, PrepareOptions, PrepareReport, Prepared, steps};
use crate::delta::Meta;
use crate::innodb::redo::HEADER;
use crate::innodb::{Lsn, PageSize, SpaceFlags, SpaceId};
use crate::progress::Silent;
use crate::reader::fixture::{P, UUID, files_below, page, redo_log};
use crate::restore::{ApplierChoice, ApplierKind, RestoreError};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Flags of tables with pages of 1 KiB.
const FLAGS: u32 = 0x4023;
const DICTIONARY: u32 = SpaceId::DICTIONARY.0;

/// The pages of a tablespace: LSN and content of each; `None` is a zero page.
type Pages = Vec<Option<(u64, u8)>>;

/// A server with tablespaces (by id: path and pages) and other files.
#[derive(Clone, Default)]
struct Server {
    spaces: BTreeMap<u32, (String, Pages)>,
    files: BTreeMap<String, String>,
    lsn: u64,
}

/// Returns the LSN at which backup `number` begins.
const fn start(number: usize) -> u64 {
    100_000 * (number as u64 + 1) + 10
}

const fn end(number: usize) -> u64 {
    start(number) + 1500
}

/// Returns the image of a page; the first page has the length of the tablespace.
fn image(id: u32, no: usize, (lsn, fill): (u64, u8), length: usize) -> Vec<u8> {
    let mut bytes = page(id, u32::try_from(no).unwrap(), lsn, fill);
    if no == 0 {
        bytes[38..].fill(0);
        bytes[38..42].copy_from_slice(&id.to_be_bytes());
        bytes[46..50].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        bytes[54..58].copy_from_slice(&FLAGS.to_be_bytes());
        bytes[100] = fill;
        let crc = |range: std::ops::Range<usize>| crc32c::crc32c(&bytes[range]);
        let sum = crc(4..16) ^ crc(24..26) ^ crc(34..P);
        bytes[..4].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

impl Server {
    fn new() -> Self {
        let mut server = Self::default();
        server.create(0, "ibdata1", 4);
        server.create(DICTIONARY, "mysql.ibd", 4);
        server.file("ib_buffer_pool", "0,1\n");
        server
    }

    fn create(&mut self, id: u32, path: &str, pages: usize) {
        let lsn = self.lsn;
        let pages = vec![Some((lsn, u8::try_from(id % 200).unwrap())); pages];
        self.spaces.insert(id, (path.to_owned(), pages));
    }

    fn file(&mut self, path: &str, text: &str) {
        self.files.insert(path.to_owned(), text.to_owned());
    }

    /// Writes a page; the first page has a new length if the file grows.
    fn write(&mut self, id: u32, no: usize, fill: u8) {
        let lsn = self.lsn;
        let pages = &mut self.spaces.get_mut(&id).unwrap().1;
        if no >= pages.len() {
            pages.resize(no + 1, None);
            pages[0] = Some((lsn, fill));
        }
        pages[no] = Some((lsn, fill));
    }

    fn rename(&mut self, id: u32, path: &str) {
        path.clone_into(&mut self.spaces.get_mut(&id).unwrap().0);
    }

    fn bytes(&self, id: u32) -> Vec<u8> {
        let pages = &self.spaces[&id].1;
        let page = |(no, page): (usize, &Option<(u64, u8)>)| {
            page.map_or(vec![0; P], |page| image(id, no, page, pages.len()))
        };
        pages.iter().enumerate().flat_map(page).collect()
    }

    /// Returns the tablespaces and the other files, as a data directory has them.
    fn datadir(&self) -> BTreeMap<String, Vec<u8>> {
        let spaces = self
            .spaces
            .keys()
            .map(|id| (self.spaces[id].0.clone(), self.bytes(*id)));
        let files = self
            .files
            .iter()
            .map(|(path, text)| (path.clone(), text.clone().into_bytes()));
        spaces.chain(files).collect()
    }

    /// Backs up into a new directory, and goes on to an LSN after the start of this backup.
    fn back_up(&mut self, base: &Path, number: usize) -> PathBuf {
        let dir = base.join(format!("backup-{number}"));
        let put = |name: &str, content: &[u8]| {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        let (kind, from) = match number {
            0 => ("full-backuped", 0),
            _ => ("incremental", start(number - 1)),
        };
        put(
            "xtrabackup_checkpoints",
            format!(
                "backup_type = {kind}\nfrom_lsn = {from}\nto_lsn = {}\nlast_lsn = {}\nflushed_lsn = 0\n\
                 redo_memory = 0\nredo_frames = 0\n",
                start(number),
                end(number)
            )
            .as_bytes(),
        );
        put(
            "xtrabackup_info",
            format!("uuid = u{number}\ntool_name = xtrabackup\nserver_version = 8.4.5\n")
                .as_bytes(),
        );
        put(
            "backup-my.cnf",
            format!("[mysqld]\ninnodb_page_size=1024\nserver_uuid={UUID}\n").as_bytes(),
        );
        put("xtrabackup_tablespaces", b"{\"version\":2}");
        if number != 1 {
            put(
                "xtrabackup_binlog_info",
                format!("b.00000{number}\t157\n").as_bytes(),
            );
            put(&format!("b.00000{number}"), b"log");
            put(
                "b.index",
                format!("/var/lib/mysql/b.00000{number}\n").as_bytes(),
            );
        }
        put(
            "xtrabackup_logfile",
            &redo_log(Lsn(start(number)), Lsn(end(number))),
        );
        for (path, text) in &self.files {
            put(path, text.as_bytes());
        }
        for (id, (path, pages)) in &self.spaces {
            if number == 0 {
                put(path, &self.bytes(*id));
                continue;
            }
            let changed = pages.iter().enumerate();
            let changed: Vec<_> = changed
                .filter_map(|(no, page)| Some((no, (*page)?)))
                .filter(|(_, (lsn, _))| *lsn >= from || *lsn == 0)
                .collect();
            let mut delta = vec![0; P];
            delta[..4].copy_from_slice(b"XTRA");
            delta[4..].fill(0xFF);
            for (at, (no, page)) in changed.iter().enumerate() {
                let no32 = u32::try_from(*no).unwrap();
                delta[4 * (at + 1)..4 * (at + 2)].copy_from_slice(&no32.to_be_bytes());
                delta.extend(image(*id, *no, *page, pages.len()));
            }
            put(&format!("{path}.delta"), &delta);
            let meta = Meta::of(
                SpaceId(*id),
                SpaceFlags(FLAGS),
                PageSize::new(1024).unwrap(),
            );
            put(&format!("{path}.meta"), meta.encode().as_bytes());
        }
        self.lsn = start(number) + 3000;
        dir
    }
}

/// A full backup and two incrementals with every kind of change between them, and the server at the
/// time of each.
struct Chain {
    room: tempfile::TempDir,
    servers: Vec<Server>,
}

impl Chain {
    fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        let base = room.path();
        let mut server = Server::new();
        server.lsn = 1000;
        for (id, path) in [
            (3, "db/written.ibd"),
            (4, "db/a.ibd"),
            (5, "db/b.ibd"),
            (6, "db/dropped.ibd"),
            (7, "gone/t.ibd"),
            (8, "db/moved.ibd"),
            (9, "db/same_name.ibd"),
            (0xFFFF_FFEF, "undo_001"),
        ] {
            server.create(id, path, 6);
        }
        server.file("db/m.MYD", "rows 0");
        server.file("db/old.MYD", "old");
        server.file("gone/x.MYI", "x");
        let mut servers = vec![server.clone()];
        server.back_up(base, 0);

        server.write(3, 2, 77);
        server.write(3, 9, 78);
        server.rename(4, "db/tmp");
        server.rename(5, "db/a.ibd");
        server.rename(4, "db/b.ibd");
        server.spaces.remove(&6);
        server.spaces.remove(&7);
        server.files.remove("gone/x.MYI");
        server.rename(8, "db2/moved.ibd");
        server.write(8, 3, 9);
        // The name of a dropped table, and of an undo tablespace that was truncated.
        server.spaces.remove(&9);
        server.create(12, "db/same_name.ibd", 3);
        server.spaces.remove(&0xFFFF_FFEF);
        server.create(0xFFFF_FFEE, "undo_001", 4);
        server.create(13, "new/schema.ibd", 5);
        server.file("db/m.MYD", "rows 1");
        server.file("new/n.CSV", "1,2\n");
        server.files.remove("db/old.MYD");
        let clone = server.clone();
        server.back_up(base, 1);
        servers.push(clone);

        server.rename(4, "db/a2.ibd");
        server.rename(5, "db/b.ibd");
        server.rename(4, "db/a.ibd");
        server.write(13, 1, 200);
        server.write(0, 2, 200);
        server.spaces.remove(&12);
        server.file("db/m.MYD", "rows 2");
        let clone = server.clone();
        server.back_up(base, 2);
        servers.push(clone);
        Self { room, servers }
    }

    fn path(&self) -> &Path {
        self.room.path()
    }

    /// Copies the backups to a directory of their own.
    fn copy(&self, name: &str) -> Copies {
        let to = self.path().join(name);
        if to.exists() {
            fs::remove_dir_all(&to).unwrap();
        }
        for number in 0..self.servers.len() {
            let from = self.path().join(format!("backup-{number}"));
            for (path, bytes) in files_below(&from) {
                let path = to.join(number.to_string()).join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
        fs::write(to.join("0/caller.log"), "the caller's").unwrap();
        fs::create_dir(to.join("0/lost+found")).unwrap();
        Copies(to)
    }
}

struct Copies(PathBuf);

impl Copies {
    fn dir(&self, number: usize) -> PathBuf {
        self.0.join(number.to_string())
    }

    fn target(&self) -> PathBuf {
        self.dir(0)
    }

    fn step(&self, incremental: Option<usize>, log_only: bool) -> PrepareOptions {
        PrepareOptions {
            incremental: incremental.map(|number| self.dir(number)),
            log_only,
            applier: ApplierChoice::Server,
            threads: 1,
            ..PrepareOptions::new(self.target())
        }
    }

    fn run(
        &self,
        incremental: Option<usize>,
        log_only: bool,
    ) -> Result<PrepareReport, PrepareError> {
        let step = self.step(incremental, log_only);
        steps::run(&step, &Silent, &Budget::unlimited())
    }

    fn kind(&self) -> String {
        let text = fs::read_to_string(self.target().join("xtrabackup_checkpoints")).unwrap();
        let line = text.lines().next().unwrap();
        line.strip_prefix("backup_type = ").unwrap().to_owned()
    }

    /// Checks that the target has exactly the files of the server.
    fn proves(&self, server: &Server, ready: bool) {
        let mut found = files_below(&self.target());
        for (path, bytes) in server.datadir() {
            let mut here = found.remove(&path).unwrap_or_default();
            // Extended to the least length that a server accepts.
            if path.starts_with("undo_") && here.iter().skip(bytes.len()).all(|byte| *byte == 0) {
                here.truncate(bytes.len());
            }
            assert!(here == bytes, "{path}");
        }
        let redo = found.remove("#innodb_redo/#ib_redo0");
        assert_eq!(redo.is_some(), ready);
        let mut left: Vec<&str> = found.keys().map(String::as_str).collect();
        left.retain(|name| !name.starts_with("xtrabackup_") && !name.starts_with("b."));
        let mut expected = vec!["backup-my.cnf", "caller.log"];
        expected.push(if ready { PREPARED } else { STATE });
        assert_eq!(left, expected);
        let list = super::prepared_list(&self.target()).unwrap();
        assert_eq!(list.is_some(), ready);
        if let Some(list) = list {
            let mut names: Vec<_> = server
                .spaces
                .values()
                .map(|(name, _)| name.clone())
                .collect();
            names.sort_unstable();
            assert_eq!((list.files, list.redo_pending), (names, true));
        }
        assert!(!self.target().join("gone").exists());
        assert!(self.target().join("lost+found").exists());
    }
}

/// Returns the files without the random identity of the redo log.
fn comparable(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = files_below(directory);
    for (path, bytes) in &mut files {
        if path.ends_with("#innodb_redo/#ib_redo0") {
            bytes.drain(..512);
        }
    }
    files
}

#[test]
fn a_chain_becomes_the_newest_member() {
    let chain = Chain::new();
    // The last step with an incremental, or bare after all of them.
    for bare in [false, true] {
        let copies = chain.copy("steps");
        let target = copies.target();
        assert_eq!(copies.run(None, true).unwrap().state, Prepared::LogApplied);
        assert_eq!(copies.run(None, true).unwrap().state, Prepared::LogApplied);
        assert_eq!(copies.kind(), "log-applied");
        let report = copies.run(Some(1), true).unwrap();
        assert_eq!((report.to_lsn, report.last_lsn), (start(1), end(1)));
        copies.proves(&chain.servers[1], false);
        // The incremental without a position leaves none of the full backup.
        assert!(!target.join("xtrabackup_binlog_info").exists());
        assert!(!target.join("b.000000").exists());
        fs::remove_dir_all(copies.dir(1)).unwrap();
        let report = match bare {
            false => copies.run(Some(2), false).unwrap(),
            true => {
                copies.run(Some(2), true).unwrap();
                copies.run(None, false).unwrap()
            }
        };
        assert_eq!((report.state, report.last_lsn), (Prepared::Ready, end(2)));
        assert!(
            report
                .warnings
                .iter()
                .any(|w| w.contains("redo log is not applied yet"))
        );
        copies.proves(&chain.servers[2], true);
        let read = |name: &str| fs::read_to_string(target.join(name)).unwrap();
        assert_eq!(read("b.index"), "./b.000002\n");
        assert!(read("xtrabackup_info").starts_with("uuid = u2\n"));
        let log = fs::read(target.join("xtrabackup_logfile")).unwrap();
        assert_eq!(log[16..24], *b"        ", "it is marked as used");
        let redo = fs::read(target.join("#innodb_redo/#ib_redo0")).unwrap();
        assert_eq!(redo[HEADER..HEADER + 512], log[HEADER..HEADER + 512]);
        let before = files_below(&target);
        assert_eq!(copies.run(None, false).unwrap().state, Prepared::Already);
        assert!(files_below(&target) == before);
    }
}

/// After every number of changes, the step is interrupted, then run again: the result is that of a
/// step that was never interrupted. Until it is complete, no other step is accepted.
#[test]
fn an_interrupted_step_is_continued_at_every_point() {
    let chain = Chain::new();
    for (incremental, log_only) in [(Some(1), true), (Some(1), false), (None, false)] {
        let whole = chain.copy("whole");
        whole.run(None, true).unwrap();
        whole.run(incremental, log_only).unwrap();
        let expected = comparable(&whole.0);
        let mut limit = 0;
        loop {
            let copies = chain.copy("interrupted");
            copies.run(None, true).unwrap();
            let budget = Budget::of(limit);
            let step = copies.step(incremental, log_only);
            match steps::run(&step, &Silent, &budget) {
                Ok(_) => break,
                Err(PrepareError::Restore(RestoreError::Interrupted)) => {}
                Err(other) => panic!("{other}"),
            }
            assert_eq!(budget.done(), limit + 1);
            if copies.target().join(JOURNAL).exists() {
                let before = files_below(&copies.target());
                for (other, only) in [
                    (None, true),
                    (None, false),
                    (Some(1), true),
                    (Some(1), false),
                    (Some(2), true),
                ] {
                    if (other, only) != (incremental, log_only) {
                        let error = copies.run(other, only).unwrap_err();
                        assert!(matches!(error, PrepareError::Unfinished { .. }), "{error}");
                    }
                }
                assert!(files_below(&copies.target()) == before);
            }
            // Interrupted twice, unless only the marks at its end were missing.
            if steps::run(&step, &Silent, &Budget::of(limit / 2)).is_err() {
                copies
                    .run(incremental, log_only)
                    .unwrap_or_else(|error| panic!("{limit}: {error}"));
            }
            let found = comparable(&copies.0);
            assert_eq!(
                found.keys().collect::<Vec<_>>(),
                expected.keys().collect::<Vec<_>>(),
                "{limit}"
            );
            for (path, bytes) in &expected {
                assert!(found[path] == *bytes, "{path} after {limit}");
            }
            limit += 1;
        }
        assert!(limit > 8, "{limit}");
    }
}

/// While a step is interrupted, the target never looks prepared.
#[test]
fn a_half_prepared_target_has_no_known_type() {
    let chain = Chain::new();
    let copies = chain.copy("half");
    copies.run(None, true).unwrap();
    let step = copies.step(Some(1), false);
    for limit in 0.. {
        match steps::run(&step, &Silent, &Budget::of(limit)) {
            Ok(_) => break,
            Err(_) if copies.target().join(JOURNAL).exists() => {
                let kind = copies.kind();
                let files = files_below(&copies.target());
                let complete = files.contains_key("#innodb_redo/#ib_redo0");
                assert!(
                    kind == "prepare-unfinished"
                        || (kind == "log-applied" && limit < 4)
                        || (kind == "full-prepared" && complete),
                    "{kind} after {limit}"
                );
            }
            Err(_) => assert_eq!(copies.kind(), "log-applied"),
        }
    }
    assert_eq!(copies.kind(), "full-prepared");
}

/// A refused step changes nothing.
#[test]
fn wrong_steps_are_refused_and_change_nothing() {
    let chain = Chain::new();
    let refused = |copies: &Copies, incremental: Option<usize>, words: &str| {
        let before = files_below(&copies.0);
        let error = copies.run(incremental, true).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?}: {error}");
        assert!(files_below(&copies.0) == before, "{words}");
    };
    let copies = chain.copy("order");
    refused(
        &copies,
        Some(1),
        "applying incremental backup needs target prepared with",
    );
    copies.run(None, true).unwrap();
    refused(&copies, Some(2), "seems not to be proper for the target.");
    copies.run(Some(1), true).unwrap();
    refused(&copies, Some(1), "seems not to be proper for the target.");
    // The target itself as the incremental.
    refused(&copies, Some(0), "expected incremental");

    // Another copy of the same incremental, of which the log was used.
    let used = chain.copy("used");
    used.run(None, true).unwrap();
    fs::copy(
        copies.dir(1).join("xtrabackup_logfile"),
        used.dir(1).join("xtrabackup_logfile"),
    )
    .unwrap();
    refused(&used, Some(1), "was already used");

    let change = |name: &str, file: &str, from: &str, to: &str, words: &str| {
        let copies = chain.copy(name);
        copies.run(None, true).unwrap();
        let path = copies.dir(1).join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(&path, text.replace(from, to)).unwrap();
        refused(&copies, Some(1), words);
    };
    let other = UUID.replace('3', "4");
    change("server", "backup-my.cnf", UUID, &other, "server uuid");
    let (last, older) = (end(1).to_string(), (end(0) - 1).to_string());
    let to = start(1).to_string();
    change(
        "maria",
        "xtrabackup_info",
        "xtrabackup",
        "mariadb-backup",
        "MariaDB",
    );
    change(
        "type",
        "xtrabackup_checkpoints",
        "incremental",
        "full-backuped",
        "from_lsn",
    );
    let copies = chain.copy("older");
    copies.run(None, true).unwrap();
    let path = copies.dir(1).join("xtrabackup_checkpoints");
    let text = fs::read_to_string(&path).unwrap();
    let text = text
        .replace(&last, &older)
        .replace(&to, &start(0).to_string());
    fs::write(&path, text).unwrap();
    refused(&copies, Some(1), "it is older");
}

/// Without overlap, the changes during the first copy are only in its redo log.
#[test]
fn an_incremental_without_overlap_is_refused() {
    let chain = Chain::new();
    let copies = chain.copy("gap");
    // As xtrabackup writes it: to_lsn is the checkpoint at the end.
    let to_lsn = |dir: &Path, key: &str, to: u64| {
        let path = dir.join("xtrabackup_checkpoints");
        let text = fs::read_to_string(&path).unwrap();
        let from = format!("{key} = {}", start(0));
        assert!(text.contains(&from), "{text}");
        fs::write(&path, text.replace(&from, &format!("{key} = {to}"))).unwrap();
    };
    to_lsn(&copies.target(), "to_lsn", start(0) + 700);
    to_lsn(&copies.dir(1), "from_lsn", start(0) + 700);
    copies.run(None, true).unwrap();
    let before = files_below(&copies.0);
    let error = copies.run(Some(1), true).unwrap_err();
    assert!(matches!(error, PrepareError::NoOverlap { .. }), "{error}");
    assert!(files_below(&copies.0) == before);
}

/// Damage in an incremental is found before the target is changed.
#[test]
fn damage_is_found_before_anything_is_changed() {
    let chain = Chain::new();
    let damage = |name: &str, words: &str, change: &dyn Fn(&Copies)| {
        let copies = chain.copy(name);
        copies.run(None, true).unwrap();
        change(&copies);
        let before = files_below(&copies.0);
        let error = copies.run(Some(1), false).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?}: {error}");
        assert!(files_below(&copies.0) == before, "{words}");
    };
    let flip = |path: PathBuf, at: usize| {
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    damage("page", "checksum", &|copies| {
        flip(copies.dir(1).join("db/written.ibd.delta"), P + 500);
    });
    damage("log", "redo block", &|copies| {
        flip(copies.dir(1).join("xtrabackup_logfile"), HEADER + 600);
    });
    damage("cut", "db/written.ibd.delta", &|copies| {
        let path = copies.dir(1).join("db/written.ibd.delta");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    });
    damage("incomplete", "xtrabackup_tablespaces", &|copies| {
        fs::remove_file(copies.dir(1).join("xtrabackup_tablespaces")).unwrap();
    });
    damage("meta", "db/a.ibd.meta", &|copies| {
        fs::remove_file(copies.dir(1).join("db/a.ibd.meta")).unwrap();
    });
    damage("lost", "db/written.ibd", &|copies| {
        fs::remove_file(copies.target().join("db/written.ibd")).unwrap();
    });
    damage("other", "db/written.ibd", &|copies| {
        let other = fs::read(copies.target().join("db/dropped.ibd")).unwrap();
        fs::write(copies.target().join("db/written.ibd"), other).unwrap();
    });
    damage("wrapped", "decompress", &|copies| {
        let path = copies.dir(1).join("db/written.ibd.delta");
        fs::rename(&path, path.with_extension("delta.zst")).unwrap();
    });
    damage("redo", "#innodb_redo", &|copies| {
        fs::create_dir(copies.target().join("#innodb_redo")).unwrap();
    });
}

/// The redo log of a member that others follow is not needed any more.
#[test]
fn a_damaged_log_of_the_full_backup_is_a_warning_until_it_is_needed() {
    let chain = Chain::new();
    let copies = chain.copy("damaged");
    let path = copies.target().join("xtrabackup_logfile");
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER + 600] ^= 1;
    fs::write(&path, bytes).unwrap();
    let report = copies.run(None, true).unwrap();
    assert!(
        report
            .warnings
            .iter()
            .any(|w| w.contains("redo log is damaged"))
    );
    let error = copies.run(None, false).unwrap_err().to_string();
    assert!(error.contains("redo block"), "{error}");
    assert_eq!(copies.kind(), "log-applied");
    copies.run(Some(1), false).unwrap();
    copies.proves(&chain.servers[1], true);
}

#[test]
fn two_steps_at_the_same_time_are_refused() {
    let chain = Chain::new();
    let copies = chain.copy("busy");
    let directory = fs::File::open(copies.target()).unwrap();
    rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = copies.run(None, true).unwrap_err();
    assert!(matches!(error, PrepareError::Busy { .. }), "{error}");
}

/// Before the last step without an incremental, every file of the backup must be there.
#[test]
fn a_lost_file_is_found_before_the_last_step() {
    let chain = Chain::new();
    for name in ["db/a.ibd", "undo_001"] {
        let copies = chain.copy("lost");
        copies.run(None, true).unwrap();
        fs::remove_file(copies.target().join(name)).unwrap();
        let before = files_below(&copies.0);
        let error = copies.run(None, false).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("missing"), "{error}");
        assert!(files_below(&copies.0) == before, "{name}");
        assert_eq!(copies.kind(), "log-applied");
    }
    // Lost while the step was interrupted.
    let copies = chain.copy("lost");
    copies.run(None, true).unwrap();
    let step = copies.step(None, false);
    steps::run(&step, &Silent, &Budget::of(3)).unwrap_err();
    assert!(copies.target().join(JOURNAL).exists());
    fs::remove_file(copies.target().join("db/a.ibd")).unwrap();
    let error = copies.run(None, false).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
    assert!(!copies.target().join("#innodb_redo").exists());
}

/// A recovering server may create files; the list has them.
#[test]
fn the_list_after_a_recovery_has_the_files_of_the_directory() {
    let chain = Chain::new();
    let copies = chain.copy("list");
    copies.run(None, true).unwrap();
    let manifest = super::member::state(&copies.target()).unwrap().unwrap();
    let target = copies.target();
    fs::rename(target.join("undo_001"), target.join("undo_003")).unwrap();
    let list = super::PreparedList::of(&target, &manifest, ApplierKind::Mysqld).unwrap();
    let has = |name: &str| list.files.iter().any(|file| file == name);
    assert!(has("undo_003") && has("db/a.ibd") && has("ibdata1") && !has("undo_001"));
    assert!(!list.redo_pending);
    fs::write(
        target.join(PREPARED),
        r#"{"files":["../x"],"redo_pending":true}"#,
    )
    .unwrap();
    let error = super::prepared_list(&target).unwrap_err().to_string();
    assert!(error.contains(PREPARED), "{error}");
}

/// A server that was started while a step was interrupted made a redo log: it is never replaced.
#[test]
fn the_redo_log_of_a_server_is_not_replaced() {
    let chain = Chain::new();
    let mut refused = 0;
    for limit in 0.. {
        let copies = chain.copy("started");
        copies.run(None, true).unwrap();
        let step = copies.step(None, false);
        if steps::run(&step, &Silent, &Budget::of(limit)).is_ok() {
            break;
        }
        let redo = copies.target().join("#innodb_redo");
        if !copies.target().join(JOURNAL).exists() || redo.exists() {
            continue;
        }
        fs::create_dir(&redo).unwrap();
        fs::write(redo.join("#ib_redo7"), "the server's").unwrap();
        let error = copies.run(None, false).unwrap_err().to_string();
        assert!(error.contains("#innodb_redo"), "{limit}: {error}");
        let names: Vec<_> = fs::read_dir(&redo).unwrap().collect();
        assert_eq!(names.len(), 1, "{limit}");
        assert_eq!(copies.kind(), "prepare-unfinished");
        refused += 1;
    }
    assert!(refused > 4, "{refused}");
}

/// A recovery would use them.
#[test]
fn files_of_another_recovery_are_refused() {
    let chain = Chain::new();
    for name in [
        "#ib_16384_0.dblwr",
        "#ib_16384_1.bdblwr",
        "ib_logfile0",
        "ib_logfile101",
    ] {
        let copies = chain.copy("stale");
        copies.run(None, true).unwrap();
        fs::write(copies.target().join(name), "x").unwrap();
        let before = files_below(&copies.0);
        for incremental in [None, Some(1)] {
            let error = copies.run(incremental, false).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert!(files_below(&copies.0) == before, "{name}");
        }
    }
}

/// Files that the backup never had are left, and refused if they are in the way.
#[test]
fn files_that_are_not_of_the_backup_stay() {
    let chain = Chain::new();
    let put = |copies: &Copies, name: &str, bytes: &[u8]| {
        let path = copies.target().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let space = |id| image(id, 0, (1000, 5), 1);
    let copies = chain.copy("kept");
    copies.run(None, true).unwrap();
    let own = [
        ("keep/x.ibd", space(500)),
        ("db/empty.ibd", vec![0; P]),
        ("keep/p.MYD", b"rows".to_vec()),
        ("keep.sdi", b"{}".to_vec()),
    ];
    for (name, bytes) in &own {
        put(&copies, name, bytes);
    }
    let report = copies.run(Some(1), true).unwrap();
    let files = files_below(&copies.target());
    for (name, bytes) in &own {
        assert!(files.get(*name) == Some(bytes), "{name}");
        assert!(
            report.warnings.iter().any(|text| text.contains(name)),
            "{name}: {:?}",
            report.warnings
        );
    }
    for name in ["db/dropped.ibd", "db/old.MYD", "gone/t.ibd", "gone/x.MYI"] {
        assert!(!files.contains_key(name), "{name}");
    }
    // The id of a new tablespace, and its name.
    for (name, bytes) in [
        ("keep/x.ibd", space(13)),
        ("new/schema.ibd", space(500)),
        ("new/schema.ibd", vec![0; P]),
        // The name of a new file of another engine.
        ("new/n.CSV", b"a person's".to_vec()),
    ] {
        let copies = chain.copy("kept");
        copies.run(None, true).unwrap();
        put(&copies, name, &bytes);
        let before = files_below(&copies.0);
        match copies.run(Some(1), true) {
            Err(error) => {
                assert!(error.to_string().contains("move it away"), "{error}");
                assert!(files_below(&copies.0) == before, "{name}");
            }
            // A file without content is not anybody's.
            Ok(_) => assert!(bytes == vec![0; P], "{name}"),
        }
    }
}

/// An incremental without a manifest does not make the target forget what only its manifest has.
#[test]
fn facts_of_the_server_outlive_an_incremental_without_a_manifest() {
    let chain = Chain::new();
    let copies = chain.copy("facts");
    copies.run(None, true).unwrap();
    let path = copies.target().join(STATE);
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let absent = |id: u32| serde_json::json!({ "space_id": id, "name": "db/x", "path": "./db/x.ibd", "why": "discarded" });
    // 13 comes with the incremental.
    state["dictionary"] =
        serde_json::json!({ "tablespaces": 9, "absent": [absent(70), absent(13)] });
    state["replica"] = serde_json::json!({
        "gtid_executed": "u:1-5", "gtid_executed_is_exact": false, "channels": []
    });
    state["server"]["lower_case_table_names"] = 1.into();
    state["server"]["settings"] = serde_json::json!({
        "port": 3307, "server_id": 5, "gtid_mode": "ON", "log_replica_updates": true
    });
    fs::write(&path, serde_json::to_vec(&state).unwrap()).unwrap();
    for number in [1, 2] {
        copies.run(Some(number), true).unwrap();
        let found = super::member::state(&copies.target()).unwrap().unwrap();
        assert_eq!(found.server.lower_case_table_names, 1);
        assert_eq!(found.server.settings.unwrap().port, 3307);
        let replica = found.replica.unwrap();
        assert!(!replica.gtid_executed_is_exact && replica.gtid_executed.is_empty());
        let absent = found.dictionary.unwrap().absent;
        let absent: Vec<u32> = absent.iter().map(|space| space.space_id.0).collect();
        assert_eq!(absent, [70]);
    }
}

/// Whole tablespace files without digests are checked, and what can't be made is missed in time.
#[test]
fn new_tablespaces_are_checked_before_anything_is_changed() {
    let chain = Chain::new();
    let refused = |words: &str, change: &dyn Fn(&Path)| {
        let copies = chain.copy("new");
        copies.run(None, true).unwrap();
        change(&copies.dir(1));
        let before = files_below(&copies.0);
        let error = copies.run(Some(1), true).unwrap_err().to_string();
        assert!(error.contains(words), "{words:?}: {error}");
        assert!(files_below(&copies.0) == before, "{words}");
    };
    refused("checksum", &|dir| {
        let mut bytes = image(40, 0, (1000, 5), 2);
        bytes.extend(image(40, 1, (1000, 5), 2));
        bytes[P + 500] ^= 1;
        fs::write(dir.join("db/whole.ibd"), bytes).unwrap();
    });
    refused("first page of an encrypted tablespace", &|dir| {
        let encrypted = FLAGS | 0x2000;
        let mut delta = vec![0xFF; P];
        delta[..4].copy_from_slice(b"XTRA");
        delta[4..8].copy_from_slice(&1u32.to_be_bytes());
        delta.extend(image(13, 1, (start(0), 5), 5));
        fs::write(dir.join("new/schema.ibd.delta"), delta).unwrap();
        let meta = Meta::of(
            SpaceId(13),
            SpaceFlags(encrypted),
            PageSize::new(1024).unwrap(),
        );
        fs::write(dir.join("new/schema.ibd.meta"), meta.encode()).unwrap();
    });
}

/// The identity of the target stays, although a recovering server that was killed left its own.
#[test]
fn the_identity_of_the_target_outlives_a_killed_recovery() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join(".lsnap-prepare/held")).unwrap();
    fs::write(root.join(".lsnap-prepare/held/auto.cnf"), "original").unwrap();
    fs::write(root.join(".lsnap-prepare/held/ca.pem"), "ca").unwrap();
    fs::write(root.join("auto.cnf"), "of the recovering server").unwrap();
    let budget = Budget::unlimited();
    let last = LastStep {
        options: &PrepareOptions::new(root),
        progress: &Silent,
        files: &Files::of(root, &budget).unwrap(),
        lock: &fs::File::open(root).unwrap(),
    };
    last.put_back().unwrap();
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert_eq!(
        (read("auto.cnf"), read("ca.pem")),
        ("original".into(), "ca".into())
    );
    assert!(!root.join(".lsnap-prepare").exists());
}
