//! Directories of xtrabackup, created by hand from `docs/format/checkpoints.md` and prepared by a
//! test double: the number and order of its runs, their directories, and the errors that are found
//! before anything is changed.

use super::super::{
    ApplierChoice, MergeMethod, RestoreError, RestoreOptions, plan_directories, run_directories,
};
use super::prepared::double;
use crate::delta::Meta;
use crate::innodb::{Lsn, PageSize, SpaceFlags, SpaceId};
use crate::progress::Silent;
use crate::reader::fixture::{UUID, files_below, page, redo_log, start_of};
use std::fs;
use std::path::{Path, PathBuf};

/// Creates a small backup directory with the number `number`; from the second on, an incremental.
fn directory(base: &Path, number: usize) -> PathBuf {
    let dir = base.join(format!("b{number}"));
    fs::create_dir_all(dir.join("db")).unwrap();
    let (from, to) = (lsn(number), lsn(number + 1));
    let (kind, from) = match number {
        0 => ("full-backuped", 0),
        _ => ("incremental", from),
    };
    let put = |name: &str, content: &[u8]| fs::write(dir.join(name), content).unwrap();
    put(
        "xtrabackup_checkpoints",
        format!(
            "backup_type = {kind}\nfrom_lsn = {from}\nto_lsn = {to}\nlast_lsn = {}\nflushed_lsn = 0\n\
             redo_memory = 0\nredo_frames = 0\n",
            to + 100
        )
        .as_bytes(),
    );
    put(
        "xtrabackup_info",
        format!("uuid = u{number}\ntool_name = xtrabackup\nserver_version = 8.4.5\n").as_bytes(),
    );
    put(
        "backup-my.cnf",
        format!("[mysqld]\ninnodb_page_size=1024\nserver_uuid={UUID}\n").as_bytes(),
    );
    put("xtrabackup_tablespaces", b"{\"version\":2}");
    put("xtrabackup_binlog_info", b"binlog.000002\t157\n");
    let checkpoint = Lsn(start_of(number) + 10);
    put("xtrabackup_logfile", &redo_log(checkpoint, Lsn(to + 100)));
    for (name, space) in [("ibdata1", 0), ("mysql.ibd", 0xFFFF_FFFE), ("db/t.ibd", 9)] {
        if number == 0 {
            put(name, &page(space, 0, 1, 0).repeat(4));
        } else {
            put(&format!("{name}.delta"), b"XTRA");
            let meta = Meta {
                page_size: PageSize::new(1024).unwrap(),
                zip_size: 0,
                space_id: SpaceId(space),
                space_flags: SpaceFlags(0),
            };
            put(&format!("{name}.meta"), meta.encode().as_bytes());
        }
    }
    dir
}

/// Returns the LSN at which backup `number` begins: the `to_lsn` of the one before it.
fn lsn(number: usize) -> u64 {
    start_of(number) - 500_000
}

fn options(base: &Path, mode: &str) -> RestoreOptions {
    RestoreOptions {
        applier: ApplierChoice::Auto,
        xtrabackup: Some(double(base, mode, "8.4.5")),
        mysqld: Some("/nonexistent/mysqld".into()),
        user: Some("root".into()),
        ..RestoreOptions::new(base.join("data"))
    }
}

#[test]
fn a_chain_is_prepared_on_copies_step_by_step() {
    let base = tempfile::tempdir().unwrap();
    let dirs: Vec<_> = (0..3).map(|n| directory(base.path(), n)).collect();
    let before: Vec<_> = dirs.iter().map(|dir| files_below(dir)).collect();
    let options = RestoreOptions {
        keep_failed: true,
        ..options(base.path(), "ok")
    };
    let plan = plan_directories(&dirs, &options).unwrap();
    assert_eq!(plan.way, MergeMethod::Stepwise);
    assert!(plan.to_string().contains("stepwise"), "{plan}");
    run_directories(&plan, &options, &Silent).unwrap();
    for (dir, before) in dirs.iter().zip(before) {
        assert!(files_below(dir) == before, "{} was changed", dir.display());
    }
    let files = files_below(&options.datadir);
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        [
            "#innodb_redo/#ib_redo10",
            "#innodb_redo/#ib_redo11_tmp",
            "db/t.ibd",
            "ibdata1",
            "mysql.ibd",
            "xtrabackup_binlog_info",
            "xtrabackup_info",
        ]
    );
    assert!(files["xtrabackup_info"].starts_with(b"uuid = u2\n"));
}

/// Incrementals with the same start have the same `to_lsn`. `--prepare` would apply them in the
/// wrong order, and set pages back to their state at the end of the earlier one.
#[test]
fn incrementals_of_one_start_in_the_wrong_order_are_refused() {
    let base = tempfile::tempdir().unwrap();
    let dirs: Vec<_> = (0..4).map(|n| directory(base.path(), n)).collect();
    for n in [2, 3] {
        let path = dirs[n].join("xtrabackup_checkpoints");
        let text = fs::read_to_string(&path).unwrap();
        let at = |key: &str, to: u64| format!("{key} = {to}");
        let text = text.replace(&at("from_lsn", lsn(n)), &at("from_lsn", lsn(2)));
        let text = text.replace(&at("to_lsn", lsn(n + 1)), &at("to_lsn", lsn(2)));
        fs::write(&path, text).unwrap();
        let end = lsn(n + 1) + 100;
        let log = redo_log(Lsn(start_of(1) + 10), Lsn(end));
        fs::write(dirs[n].join("xtrabackup_logfile"), log).unwrap();
    }
    let plan = |order: [usize; 4]| {
        let chosen = order.map(|n| dirs[n].clone());
        plan_directories(&chosen, &options(base.path(), "ok"))
    };
    assert_eq!(plan([0, 1, 2, 3]).unwrap().way, MergeMethod::Stepwise);
    let text = plan([0, 1, 3, 2]).unwrap_err().to_string();
    for word in ["b2 does not continue b3", "last_lsn"] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

/// The runs of the program, as the double logs them, up to the one that fails.
#[test]
fn only_the_last_step_rolls_back() {
    let base = tempfile::tempdir().unwrap();
    let dirs: Vec<_> = (0..3).map(|n| directory(base.path(), n)).collect();
    let options = options(base.path(), "half");
    let plan = plan_directories(&dirs, &options).unwrap();
    let error = run_directories(&plan, &options, &Silent).unwrap_err();
    let RestoreError::Applier { log, .. } = &error else {
        panic!("{error}");
    };
    let said = fs::read_to_string(log).unwrap();
    let runs: Vec<_> = said
        .lines()
        .filter_map(|line| line.strip_prefix("double: "))
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    assert_eq!(
        runs,
        [
            "--prepare --apply-log-only --target-dir=data",
            "--prepare --apply-log-only --target-dir=data --incremental-dir=incremental-1",
            "--prepare --target-dir=data --incremental-dir=incremental-2",
        ]
    );
    assert!(error.to_string().contains("log-applied"), "{error}");
    assert!(!options.datadir.exists());
}

#[test]
fn refusals_name_the_fault_and_a_remedy() {
    let refused = |change: &dyn Fn(&Path), which: &[usize], applier, words: &[&str]| {
        let base = tempfile::tempdir().unwrap();
        let dirs: Vec<_> = (0..3).map(|n| directory(base.path(), n)).collect();
        change(&dirs[0]);
        let chosen: Vec<_> = which.iter().map(|&n| dirs[n].clone()).collect();
        let options = RestoreOptions {
            applier,
            ..options(base.path(), "ok")
        };
        let text = plan_directories(&chosen, &options).unwrap_err().to_string();
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
    };
    let edit = |name: &'static str, from: &'static str, to: &'static str| {
        move |dir: &Path| {
            let path = dir.join(name);
            let text = fs::read_to_string(&path).unwrap().replace(from, to);
            fs::write(path, text).unwrap();
        }
    };
    let rename = |from: &'static str, to: &'static str| {
        move |dir: &Path| fs::rename(dir.join(from), dir.join(to)).unwrap()
    };
    let nothing = |_: &Path| ();
    let auto = ApplierChoice::Auto;
    refused(&nothing, &[1], auto, &["b1", "incremental", "full backup"]);
    refused(
        &nothing,
        &[0, 2],
        auto,
        &["b2 does not continue b0", "from_lsn"],
    );
    refused(
        &nothing,
        &[0, 1],
        ApplierChoice::Mysqld,
        &["stepwise", "RestoreOptions::applier"],
    );
    let uuid = edit("backup-my.cnf", UUID, "other");
    refused(&uuid, &[0, 1], auto, &["server uuid", "other"]);
    let prepared = edit("xtrabackup_checkpoints", "full-backuped", "full-prepared");
    refused(&prepared, &[0], auto, &["applied already", "full-prepared"]);
    let broken = edit("xtrabackup_checkpoints", "to_lsn", "to");
    refused(&broken, &[0], auto, &["line 3", "`to_lsn = ...`"]);
    let none = rename("xtrabackup_checkpoints", "x");
    refused(
        &none,
        &[0],
        auto,
        &["neither lsnap_manifest.json nor xtrabackup_checkpoints"],
    );
    let packed = rename("xtrabackup_logfile", "xtrabackup_logfile.zst");
    refused(
        &packed,
        &[0],
        auto,
        &["xtrabackup_logfile.zst", "decompress"],
    );
    let packed = rename("ibdata1", "ibdata1.zst.xbcrypt");
    refused(&packed, &[0], auto, &["decrypt"]);
    let maria = edit(
        "xtrabackup_info",
        "tool_name = xtrabackup",
        "tool_name = mariadb-backup",
    );
    refused(&maria, &[0], auto, &["mariadb-backup made it"]);
    let log = |dir: &Path| {
        let path = dir.join("xtrabackup_logfile");
        let mut log = fs::read(&path).unwrap();
        log[16..20].fill(b' ');
        fs::write(path, log).unwrap();
    };
    refused(
        &log,
        &[0],
        auto,
        &["was applied already", "expected xtrabkup"],
    );
}

/// With a server as the applier, the files of a single full backup are listed.
#[test]
fn files_of_lock_ddl_reduced_need_xtrabackup() {
    let base = tempfile::tempdir().unwrap();
    let dir = directory(base.path(), 0);
    fs::write(dir.join("db/9.ren"), "db/u.ibd").unwrap();
    let program = base.path().join("mysqld");
    fs::write(&program, "#!/bin/sh\necho 'mysqld  Ver 8.4.5 for Linux'\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, mode).unwrap();
    let options = RestoreOptions {
        applier: ApplierChoice::Mysqld,
        mysqld: Some(program),
        ..options(base.path(), "ok")
    };
    let error = plan_directories(std::slice::from_ref(&dir), &options).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("db/9.ren") && text.contains("REDUCED"),
        "{text}"
    );
    fs::remove_file(dir.join("db/9.ren")).unwrap();
    for (name, space) in [
        ("ibdata1", 0u32),
        ("mysql.ibd", 0xFFFF_FFFE),
        ("db/t.ibd", 9),
    ] {
        let mut first = vec![0; 4 * 16384];
        first[16] = 1;
        first[34..38].copy_from_slice(&space.to_be_bytes());
        first[38..42].copy_from_slice(&space.to_be_bytes());
        fs::write(dir.join(name), first).unwrap();
    }
    let plan = plan_directories(&[dir], &options).unwrap();
    assert_eq!(plan.way, MergeMethod::Merge);
    let mut names: Vec<_> = plan.files.iter().map(|file| file.path.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["db/t.ibd", "ibdata1", "mysql.ibd"]);
}
