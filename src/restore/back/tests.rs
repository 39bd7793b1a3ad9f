mod refusals;

use super::*;
use crate::error_kind::ErrorKind;
use crate::progress::Silent;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

const CHECKPOINTS: &str =
    "backup_type = full-prepared\nfrom_lsn = 0\nto_lsn = 100\nlast_lsn = 200\nflushed_lsn = 200\n";

/// A directory with a prepared backup, and a place for a data directory.
struct Room {
    dir: tempfile::TempDir,
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

impl Room {
    fn new() -> Self {
        let room = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for (name, text) in [
            ("xtrabackup_checkpoints", CHECKPOINTS),
            ("xtrabackup_info", "uuid = x\n"),
            ("xtrabackup_galera_info", "uuid:7\n"),
            ("xtrabackup_binlog_info", "binlog.000003\t157\n"),
            (
                "xtrabackup_tablespaces",
                r#"{"version":2,"external_tablespaces":[]}"#,
            ),
            ("xtrabackup_logfile", "redo"),
            ("lsnap_manifest.json", "{}"),
            (
                "backup-my.cnf",
                "[mysqld]\ninnodb_data_file_path=ibdata1:12M;ibdata2:12M:autoextend\n",
            ),
            ("auto.cnf", "[auto]\n"),
            ("ibdata1", "system 1"),
            ("ibdata2", "system 2"),
            ("mysql.ibd", "dictionary"),
            ("undo_001", "undo"),
            ("more.ibu", "undo too"),
            ("binlog.000003", "log"),
            ("binlog.index", "/old/binlog.000001\n"),
            ("db/t.ibd", "table"),
            ("db/t.ibd.zst", "packed"),
            ("#innodb_redo/#ib_redo0", "lazy"),
            ("#innodb_temp/temp_1.ibt", "temporary"),
            ("innobackup.move.log", "a foreign file"),
        ] {
            write(&room.backup().join(name), text);
        }
        fs::create_dir_all(room.backup().join("empty")).unwrap();
        room
    }

    fn backup(&self) -> PathBuf {
        self.dir.path().join("backup")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn options(&self) -> BackOptions {
        let mut options = BackOptions::new(self.backup(), self.data());
        options.parallel = 3;
        options
    }

    fn error(&self, change: impl FnOnce(&mut BackOptions)) -> BackError {
        let mut options = self.options();
        change(&mut options);
        back(&options, &Silent).unwrap_err()
    }

    /// Returns the error of a run that must not have changed anything.
    fn refused(&self, change: impl FnOnce(&mut BackOptions)) -> String {
        let before = tree(self.dir.path());
        let error = self.error(change);
        assert!(!matches!(error, BackError::Unfinished { .. }), "{error}");
        assert_eq!(tree(self.dir.path()), before, "{error}");
        error.to_string()
    }
}

/// Returns all files with their texts, and the empty directories.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(directory) = open.pop() {
        let entries: Vec<_> = fs::read_dir(&directory).unwrap().flatten().collect();
        let name = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
        if entries.is_empty() {
            out.insert(name(&directory) + "/", String::new());
        }
        for entry in entries {
            let path = entry.path();
            if path.is_symlink() {
                out.insert(name(&path), "link".to_owned());
            } else if path.is_dir() {
                open.push(path);
            } else {
                out.insert(name(&path), fs::read_to_string(&path).unwrap());
            }
        }
    }
    out
}

const PLACED: [(&str, &str); 13] = [
    ("#innodb_redo/#ib_redo0", "lazy"),
    ("binlog.000003", "log"),
    ("binlog.index", "./binlog.000003\n"),
    ("db/t.ibd", "table"),
    ("empty/", ""),
    ("ibdata1", "system 1"),
    ("ibdata2", "system 2"),
    ("innobackup.move.log", "a foreign file"),
    ("more.ibu", "undo too"),
    ("mysql.ibd", "dictionary"),
    ("undo_001", "undo"),
    ("xtrabackup_galera_info", "uuid:7\n"),
    ("xtrabackup_info", "uuid = x\n"),
];

fn placed() -> BTreeMap<String, String> {
    let all = PLACED.iter();
    all.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn a_copy_has_the_files_of_the_server_and_leaves_the_backup() {
    let room = Room::new();
    let before = tree(&room.backup());
    let report = back(&room.options(), &Silent).unwrap();
    assert_eq!(tree(&room.data()), placed());
    assert_eq!(tree(&room.backup()), before);
    assert_eq!((report.files, report.continued), (11, false));
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    // Again: the directory is not empty.
    let again = room.refused(|_| ());
    assert!(again.contains("is not empty"), "{again}");
    let again = room.refused(|options| options.force_non_empty = true);
    assert!(again.contains("another redo log"), "{again}");
    fs::remove_dir_all(room.data().join("#innodb_redo")).unwrap();
    let again = room.refused(|options| options.force_non_empty = true);
    assert!(again.contains("exists already"), "{again}");
}

#[test]
fn a_move_leaves_only_what_is_not_placed() {
    let room = Room::new();
    let mut options = room.options();
    options.move_files = true;
    back(&options, &Silent).unwrap();
    assert_eq!(tree(&room.data()), placed());
    let left = tree(&room.backup());
    let left: Vec<_> = left.keys().map(String::as_str).collect();
    assert!(left.contains(&"xtrabackup_checkpoints") && left.contains(&"db/t.ibd.zst"));
    for gone in ["ibdata1", "db/t.ibd", "binlog.index", "xtrabackup_info"] {
        assert!(!left.contains(&gone), "{gone}");
    }
    fs::remove_dir_all(room.data()).unwrap();
    let again = room.refused(|options| options.move_files = true);
    assert!(again.contains("it has no ibdata1"), "{again}");
}

#[test]
fn files_have_the_places_of_the_servers_options() {
    let room = Room::new();
    let at = |name: &str| room.dir.path().join(name);
    let external = at("ext/space.ibd");
    let table = at("ext/db/u.ibd");
    write(&room.backup().join("space.ibd"), "general");
    write(&room.backup().join("db/u.ibd"), "table elsewhere");
    let spaces = serde_json::json!({"version": 2, "external_tablespaces": [
        {"file_name": external, "tablespace_name": "ts", "tablespace_type": "TABLESPACE"},
        {"file_name": table, "tablespace_name": "db/u", "tablespace_type": "TABLESPACE"},
        {"file_name": "/old/undo_001", "tablespace_name": "innodb_undo_001", "tablespace_type": "UNDO_LOG"},
    ]});
    write(
        &room.backup().join("xtrabackup_tablespaces"),
        &spaces.to_string(),
    );
    let mut options = room.options();
    options.undo_directory = Some(at("undo"));
    options.data_home = Some(PathBuf::new());
    options.data_file_path = Some(format!(
        "{}:12M;ibdata2:12M:autoextend",
        at("system/ibdata1").display()
    ));
    options.redo_directory = Some("../redo".into());
    options.log_bin = Some(at("logs/mysql-bin.log"));
    let report = back(&options, &Silent).unwrap();
    assert_eq!(report.external, [table.clone(), external.clone()]);
    let is = |path: PathBuf, text: &str| assert_eq!(fs::read_to_string(path).unwrap(), text);
    is(external, "general");
    is(table, "table elsewhere");
    is(at("undo/undo_001"), "undo");
    is(at("undo/more.ibu"), "undo too");
    is(at("system/ibdata1"), "system 1");
    is(at("data/ibdata2"), "system 2");
    is(at("redo/#innodb_redo/#ib_redo0"), "lazy");
    is(at("logs/mysql-bin.000003"), "log");
    is(
        at("logs/mysql-bin.index"),
        &format!("{}\n", at("logs/mysql-bin.000003").display()),
    );
    assert!(!at("data/undo_001").exists() && !at("data/binlog.000003").exists());
    // The place of the general tablespace is occupied.
    fs::remove_dir_all(at("data")).unwrap();
    let occupied = room.refused(|_| ());
    assert!(
        occupied.contains("ext/") && occupied.contains("exists already"),
        "{occupied}"
    );
}

#[test]
fn a_backup_may_be_in_the_data_directory() {
    let room = Room::new();
    let inside = room.data().join("staging");
    fs::create_dir_all(room.data()).unwrap();
    fs::rename(room.backup(), &inside).unwrap();
    let refused = room.refused(|options| options.target.clone_from(&inside));
    assert!(refused.contains("is not empty"), "{refused}");
    let mut options = room.options();
    (options.target, options.move_files, options.force_non_empty) = (inside.clone(), true, true);
    back(&options, &Silent).unwrap();
    let mut found = tree(&room.data());
    found.retain(|name, _| !name.starts_with("staging/"));
    assert_eq!(found, placed());
    assert!(inside.join("xtrabackup_checkpoints").exists());
}

#[test]
fn backups_that_are_not_ready_are_refused() {
    let room = Room::new();
    let with = |kind: &str| {
        let text = CHECKPOINTS.replace("full-prepared", kind);
        write(&room.backup().join("xtrabackup_checkpoints"), &text);
        room.refused(|_| ())
    };
    for kind in ["full-backuped", "log-applied"] {
        let error = with(kind);
        assert!(error.contains("not fully prepared"), "{error}");
    }
    assert!(with("other").contains("line 1"));
    write(&room.backup().join("xtrabackup_checkpoints"), CHECKPOINTS);
    let preparing = room.backup().join(crate::restore::prepare::JOURNAL);
    write(&preparing, "{}");
    let error = room.refused(|_| ());
    assert!(error.contains("step of --prepare did not end"), "{error}");
    fs::remove_file(&preparing).unwrap();
    for name in ["mysql.ibd", "ibdata2", "xtrabackup_checkpoints"] {
        let (path, aside) = (room.backup().join(name), room.dir.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        let error = room.refused(|_| ());
        assert!(error.contains(&format!("it has no {name}")), "{error}");
        fs::rename(&aside, &path).unwrap();
    }
    let error = room.refused(|options| options.data_file_path = Some("ibdata1:12M".to_owned()));
    assert!(error.contains("ibdata2"), "{error}");
    symlink("/etc", room.backup().join("db/link")).unwrap();
    let error = room.refused(|_| ());
    assert!(error.contains("db/link is a symbolic link"), "{error}");
}

#[test]
fn places_that_a_backup_may_not_have_are_refused() {
    let room = Room::new();
    write(&room.backup().join("space.ibd"), "general");
    for place in ["/etc/../root/space.ibd", "/etc/cron.d/space"] {
        let spaces = serde_json::json!({"external_tablespaces": [
            {"file_name": place, "tablespace_name": "space", "tablespace_type": "TABLESPACE"}]});
        write(
            &room.backup().join("xtrabackup_tablespaces"),
            &spaces.to_string(),
        );
        let error = room.refused(|_| ());
        assert!(error.contains("has the place"), "{error}");
    }
    let error = room.refused(|options| options.datadir.clone_from(&options.target));
    assert!(error.contains("the backup itself"), "{error}");
    let error = room.refused(|options| options.datadir = options.target.join("db/data"));
    assert!(error.contains("in the directory of the backup"), "{error}");
}

#[test]
fn a_file_that_is_only_compressed_is_told() {
    let room = Room::new();
    write(&room.backup().join("db/m.MYD.zst.xbcrypt"), "packed");
    let report = back(&room.options(), &Silent).unwrap();
    assert_eq!(
        report.warnings,
        [
            "1 file of the backup, the first of them db/m.MYD.zst.xbcrypt, is not decompressed or not decrypted, and not placed"
        ]
    );
}

/// Fails in the middle, and the same run again succeeds. In between, nothing starts: the system tablespace and the
/// dictionary are missing, and no other backup is accepted.
fn fails_and_continues(move_files: bool) {
    let room = Room::new();
    // A directory that can't be made, because a file is there.
    let blocked = room.dir.path().join("blocked");
    write(&room.backup().join("space.ibd"), "general");
    let spaces = serde_json::json!({"external_tablespaces": [
        {"file_name": blocked.join("space.ibd"), "tablespace_name": "space", "tablespace_type": "TABLESPACE"}]});
    write(
        &room.backup().join("xtrabackup_tablespaces"),
        &spaces.to_string(),
    );
    write(&blocked, "");
    let change = |options: &mut BackOptions| {
        (options.move_files, options.parallel) = (move_files, 1);
    };
    // `blocked/space.ibd` is looked at before: ENOTDIR is an error there, so it is made later.
    fs::remove_file(&blocked).unwrap();
    fs::create_dir(&blocked).unwrap();
    fs::set_permissions(
        &blocked,
        std::os::unix::fs::PermissionsExt::from_mode(0o555),
    )
    .unwrap();
    if rustix::process::geteuid().is_root() {
        // Root may write everywhere: an immutable place is needed.
        fs::remove_dir(&blocked).unwrap();
        symlink("/proc/self", &blocked).unwrap();
    }
    let error = room.error(change);
    assert!(matches!(error, BackError::Unfinished { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("where no server can start"), "{text}");
    let found = tree(&room.data());
    for missing in ["ibdata1", "ibdata2", "mysql.ibd"] {
        assert!(!found.contains_key(missing), "{missing}");
        assert!(room.backup().join(missing).exists());
    }
    assert!(found.contains_key("db/t.ibd"), "{found:?}");
    assert_eq!(room.backup().join("db/t.ibd").exists(), !move_files);

    if move_files {
        // The backup is not complete anywhere else.
        for move_files in [false, true] {
            let refused = room.refused(|options| {
                options.datadir = room.dir.path().join("elsewhere");
                options.move_files = move_files;
            });
            assert!(refused.contains("moved files of it to"), "{refused}");
        }
        let (data, aside) = (room.data(), room.dir.path().join("aside"));
        fs::rename(&data, &aside).unwrap();
        let refused = room.refused(change);
        assert!(refused.contains("was emptied since"), "{refused}");
        fs::rename(&aside, &data).unwrap();
    }
    // An incomplete file of a run that was killed.
    write(&room.data().join("db/.lsnap-back-0123456789abcdef"), "half");
    let other = room.dir.path().join("other");
    copy_tree(&room.backup(), &other);
    write(&other.join("db/t.ibd"), "table");
    let refused = room.refused(|options| {
        change(options);
        options.force_non_empty = true;
        options.target = other;
    });
    assert!(refused.contains("files of the backup in"), "{refused}");

    if blocked.is_symlink() {
        fs::remove_file(&blocked).unwrap();
    } else {
        fs::remove_dir(&blocked).unwrap();
    }
    let mut options = room.options();
    change(&mut options);
    let report = back(&options, &Silent).unwrap();
    assert!(report.continued);
    assert_eq!(tree(&room.data()), placed());
    assert!(!room.backup().join(moved::NAME).exists());
    assert_eq!(
        fs::read_to_string(blocked.join("space.ibd")).unwrap(),
        "general"
    );
}

fn copy_tree(from: &Path, to: &Path) {
    for (name, text) in tree(from) {
        if !name.ends_with('/') {
            write(&to.join(name), &text);
        }
    }
}

#[test]
fn a_copy_that_failed_continues() {
    fails_and_continues(false);
}

#[test]
fn a_move_that_failed_continues() {
    fails_and_continues(true);
}

#[test]
fn what_changed_after_a_failed_run_is_not_overwritten() {
    let room = Room::new();
    let source = Source::open(&room.backup()).unwrap();
    let options = room.options();
    let placing = Placing::new(&options, false);
    fs::create_dir(room.data()).unwrap();
    Marker::write(&room.data(), &source, &Plan::default(), &placing).unwrap();
    write(&room.data().join("db/t.ibd"), "other");
    let error = room.error(|_| ());
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(!room.data().join("ibdata1").exists());
    fs::remove_file(room.data().join("db/t.ibd")).unwrap();
    // Another backup in the same place.
    write(
        &room.backup().join("xtrabackup_checkpoints"),
        &CHECKPOINTS.replace("100", "101"),
    );
    let refused = room.refused(|_| ());
    assert!(refused.contains("another backup was in"), "{refused}");
}

#[test]
fn holes_stay_holes_between_file_systems() {
    let shm = Path::new("/dev/shm");
    let Ok(other) = tempfile::tempdir_in(shm) else {
        return;
    };
    let room = Room::new();
    let table = room.backup().join("db/t.ibd");
    let file = fs::OpenOptions::new().write(true).open(&table).unwrap();
    file.write_all_at(b"end", 8 << 20).unwrap();
    file.set_len(16 << 20).unwrap();
    let expected = fs::read(&table).unwrap();
    let mut options = room.options();
    options.move_files = true;
    options.datadir = other.path().join("data");
    back(&options, &Silent).unwrap();
    let moved = options.datadir.join("db/t.ibd");
    assert!(fs::read(&moved).unwrap() == expected);
    assert!(fs::metadata(&moved).unwrap().blocks() * 512 < 1 << 20);
    assert!(!table.exists());
    assert_eq!(fs::metadata(&moved).unwrap().mode() & 0o137, 0);
}

#[test]
fn a_cancelled_run_ends_before_the_last_files() {
    let room = Room::new();
    let error = room.error(|options| options.cancel.cancel());
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(!room.data().join("ibdata1").exists());
    assert!(back(&room.options(), &Silent).unwrap().continued);
    assert_eq!(tree(&room.data()), placed());
}
