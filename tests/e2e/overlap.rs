//! Why an incremental reaches back to the *start* of its base (`docs/design.md#overlap`): a page that changed after
//! the base had read it, and was flushed before the base ended, is in no later delta of the kind
//! that xtrabackup makes. Merged without the base's redo it is silently old.

use crate::lsnap;
use crate::sandbox::{RESTORED, SOURCE, Sandbox, run, scratch, value, wait_for};
use ::lsnap::backup::{self, BackupOptions};
use ::lsnap::progress::{Phase, Progress, Silent};
use ::lsnap::restore::{self, ApplierChoice, RestoreOptions};
use ::lsnap::server::ConnectOptions;
use ::lsnap::store::Repository;
use std::path::Path;
use std::time::Duration;

/// Changes rows when all pages have been read, and waits until they are on disk and behind the
/// checkpoint.
struct ChangeAfterCopy<'a>(&'a Sandbox);

impl Progress for ChangeAfterCopy<'_> {
    fn phase(&self, phase: Phase, _total: Option<u64>) {
        if phase == Phase::DataCopied {
            self.0.run("UPDATE d.t SET c = 'changed after it was read'");
            flushed(self.0);
        }
    }
}

/// Returns when everything up to now is on disk and behind the checkpoint.
fn flushed(server: &Sandbox) {
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
}

/// Restores `name` by the library, with `force` also where the merge can't be right.
fn restored_rows(
    server: &Sandbox,
    repository: &Path,
    name: &str,
    target: &Path,
    force: bool,
) -> String {
    let repo = Repository::open(&lsnap::url(repository)).unwrap();
    let options = RestoreOptions {
        applier: ApplierChoice::Mysqld,
        mysqld: Some(server.program("mysqld")),
        user: Some(lsnap::owner()),
        allow_missing_overlap: force,
        ..RestoreOptions::new(target)
    };
    let plan = restore::plan(&repo, name, &options).unwrap();
    restore::run(&repo, &plan, &options, &Silent).unwrap();
    let copy = Sandbox::start_on("e2e-overlap-copy", target, &[RESTORED]);
    copy.value("SELECT GROUP_CONCAT(DISTINCT c) FROM d.t")
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
    // Else the base would lack more than this test means to take from it: even the schema.
    flushed(&server);
    let without = room.path().join("without");
    let with = room.path().join("with");
    std::fs::create_dir(&without).unwrap();
    let repo = Repository::open(&lsnap::url(&without)).unwrap();
    let options = BackupOptions::new(ConnectOptions::for_socket(server.socket(), "root"));
    backup::run(&repo, &options, &ChangeAfterCopy(&server)).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&without, &with])
        .status()
        .unwrap();
    assert!(copied.success());

    // The base alone is right: its redo has the change.
    let base = restored_rows(&server, &with, "latest", &room.path().join("base"), false);
    assert_eq!(base, "changed after it was read");

    let overlapping = lsnap::incremental(&server, &with);
    let right = restored_rows(
        &server,
        &with,
        &overlapping.name,
        &room.path().join("right"),
        false,
    );
    assert_eq!(right, "changed after it was read");

    // xtrabackup's way of choosing pages: refused for a merge, and rightly.
    let said = lsnap::try_backup(&server, &without, &["--incremental", "--no-overlap"]).ok();
    let name = said.json["name"].as_str().unwrap().to_owned();
    let target = room.path().join("refused");
    lsnap::try_restore(&without, &name, &target, &[]).refused(14, &[&name, "cannot be merged"]);
    assert!(!target.exists(), "a refused restore left a target");
    let stale = restored_rows(&server, &without, &name, &room.path().join("stale"), true);
    assert_eq!(stale, "old", "the overlap would not be needed");
}
