//! Why an incremental begins at the *start* of its base (`docs/design.md#overlap`): a page that
//! changed after the base had read it, and was flushed before the base ended, is in no later delta
//! of the kind that xtrabackup makes. Merged without the base's redo, it is silently out of date.

use crate::lsnap;
use crate::sandbox::{RESTORED, SOURCE, Sandbox, run, scratch, value, wait_for};
use crate::wrapped::forge;
use ::lsnap::backup::{self, BackupOptions};
use ::lsnap::innodb::Lsn;
use ::lsnap::manifest::{BackupName, Manifest};
use ::lsnap::progress::{Phase, Progress, Silent};
use ::lsnap::restore::{self, ApplierChoice, RestoreError, RestoreOptions};
use ::lsnap::server::ConnectOptions;
use ::lsnap::store::Repository;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Changes rows when all pages have been read, waits until they are on disk and below the
/// checkpoint, and stores that checkpoint.
struct ChangeAfterCopy<'a>(&'a Sandbox, AtomicU64);

impl Progress for ChangeAfterCopy<'_> {
    fn phase(&self, phase: Phase, _total: Option<u64>) {
        if phase == Phase::DataCopied {
            self.0.run("UPDATE d.t SET c = 'changed after it was read'");
            self.1.store(flushed(self.0), Ordering::Relaxed);
        }
    }
}

/// Returns the checkpoint when all current changes are on disk and below it.
fn flushed(server: &Sandbox) -> u64 {
    let mut conn = server.connect();
    let mut status = |name: &str| -> u64 {
        let sql = format!(
            "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME = '{name}'"
        );
        value(&mut conn, &sql).parse().unwrap()
    };
    let goal = status("Innodb_redo_log_current_lsn");
    wait_for("dirty pages to be flushed", Duration::from_secs(60), || {
        status("Innodb_redo_log_checkpoint_lsn") >= goal
    });
    status("Innodb_redo_log_checkpoint_lsn")
}

/// Restores `name` with the library, and returns the rows.
fn restored_rows(server: &Sandbox, repository: &Path, name: &str, target: &Path) -> String {
    restored(server, repository, name, target, false).unwrap()
}

/// The same, with `force` even if the merge can't be right.
fn restored(
    server: &Sandbox,
    repository: &Path,
    name: &str,
    target: &Path,
    force: bool,
) -> Result<String, RestoreError> {
    let repo = Repository::open(&lsnap::url(repository)).unwrap();
    let mut options = RestoreOptions::new(target);
    options.applier = ApplierChoice::Mysqld;
    options.mysqld = Some(server.program("mysqld"));
    options.user = Some(lsnap::owner());
    options.allow_missing_overlap = force;
    let plan = restore::plan(&repo, name, &options).unwrap();
    restore::run(&repo, &plan, &options, &Silent)?;
    let copy = Sandbox::start_on("e2e-overlap-copy", target, &[RESTORED]);
    Ok(copy.value("SELECT GROUP_CONCAT(DISTINCT c ORDER BY c) FROM d.t"))
}

#[test]
fn overlap_off_gives_a_stale_page() {
    let room = scratch();
    let server = Sandbox::start(
        "e2e-overlap",
        &[
            SOURCE,
            &[
                "--innodb-max-dirty-pages-pct=0",
                "--innodb-max-dirty-pages-pct-lwm=0",
            ],
        ],
    );
    let mut conn = server.connect();
    run(&mut conn, "CREATE DATABASE d");
    run(
        &mut conn,
        "CREATE TABLE d.t (id INT PRIMARY KEY, c VARCHAR(100))",
    );
    run(
        &mut conn,
        "INSERT INTO d.t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
         SELECT i, 'old' FROM n",
    );
    // Without this, the base would lack more than this test intends: even the schema.
    flushed(&server);
    let place = |name: &str| room.path().join(name);
    let [now, without, with] = ["now", "without", "with"].map(place);
    std::fs::create_dir(&now).unwrap();
    let repo = Repository::open(&lsnap::url(&now)).unwrap();
    let options = BackupOptions::new(ConnectOptions::for_socket(server.socket(), "root"));
    let change = ChangeAfterCopy(&server, AtomicU64::new(0));
    let full = backup::run(&repo, &options, &change).unwrap().manifest;
    let end = Lsn(change.1.into_inner());
    for copy in [&without, &with] {
        let copied = Command::new("cp").arg("-a").args([&now, copy]).status();
        assert!(copied.unwrap().success());
        ends_at(copy, &full, end);
    }

    // The base alone is right, because its redo contains the change.
    let base = restored_rows(&server, &with, "latest", &place("base"));
    assert_eq!(base, "changed after it was read");

    // On a base of an earlier lsnap.
    let first = lsnap::incremental(&server, &with);
    let right = restored_rows(&server, &with, &first.name, &place("right"));
    assert_eq!(right, "changed after it was read");

    // The page selection of xtrabackup, on such a base: refused for a merge, correctly.
    let said = lsnap::try_backup(&server, &without, &["--incremental", "--no-overlap"]).ok();
    let name = said.json["backup"]["name"].as_str().unwrap().to_owned();
    let target = place("refused");
    lsnap::try_restore(&without, &name, &target, &[]).refused(14, &[&name, "cannot be merged"]);
    assert!(!target.exists(), "a refused restore left a target");
    match restored(&server, &without, &name, &place("stale"), true) {
        Ok(stale) => assert_eq!(stale, "old", "the overlap would not be needed"),
        // Pages of undo logs are out of date too; on a busy machine, the recovering server can fail at their lists.
        Err(RestoreError::Applier { what, .. }) => assert!(what.contains("ended"), "{what}"),
        Err(error) => panic!("{error}"),
    }

    // The same selection on a base whose `to_lsn` is its start checkpoint.
    assert!(full.lsn.to_lsn == full.lsn.start_checkpoint && full.lsn.to_lsn < end);
    let said = lsnap::try_backup(&server, &now, &["--incremental", "--no-overlap"]).ok();
    let name = said.json["backup"]["name"].as_str().unwrap().to_owned();
    let right = restored_rows(&server, &now, &name, &place("by to_lsn"));
    assert_eq!(right, "changed after it was read");

    // The chain that began with a backup of an earlier lsnap continues.
    server.run("INSERT INTO d.t VALUES (1000, 'in the second')");
    let second = lsnap::incremental(&server, &with);
    let lsns = |name: &str| {
        let repo = Repository::open(&lsnap::url(&with)).unwrap();
        let name = BackupName::parse(name).unwrap();
        repo.manifest(&name).unwrap().lsn
    };
    let (base, one, two) = (full.lsn, lsns(&first.name), lsns(&second.name));
    assert_eq!(lsns(full.name.as_str()).to_lsn, end);
    assert_eq!((one.from_lsn, one.scan_floor), (end, base.start_checkpoint));
    assert_eq!(one.to_lsn, one.start_checkpoint);
    let floor = one.start_checkpoint;
    assert_eq!((two.from_lsn, two.scan_floor), (floor, floor));
    let right = restored_rows(&server, &with, &second.name, &place("second"));
    assert_eq!(right, "changed after it was read,in the second");
}

/// Changes the base to one of an earlier lsnap, which recorded the checkpoint at its end as
/// `to_lsn`.
fn ends_at(repository: &Path, full: &Manifest, end: Lsn) {
    let directory = repository.join(full.name.as_str());
    let path = directory.join(format!("lsnap_manifest.json.{:020}", 0));
    let object = std::fs::read(&path).unwrap();
    let to_lsn = |lsn: Lsn| format!("\"to_lsn\":{lsn}");
    let forged = forge(&object, &to_lsn(full.lsn.to_lsn), &to_lsn(end));
    assert_ne!(forged, object);
    std::fs::write(&path, forged).unwrap();
    // It is optional.
    std::fs::remove_file(directory.join(format!("lsnap_summary.json.{:020}", 0))).unwrap();
}
