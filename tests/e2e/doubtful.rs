//! `latest` if a newer backup is damaged, unfinished or has lost its manifest; and manifests with
//! valid digests on which a recovering server fails.

use crate::lsnap::{self, Said};
use crate::sandbox::{SOURCE, Sandbox, scratch};
use crate::wrapped::forge;
use std::path::{Path, PathBuf};

struct World {
    server: Sandbox,
    room: tempfile::TempDir,
    repository: PathBuf,
}

impl World {
    fn latest(&self, command: &str, more: &[&str]) -> Said {
        let from = lsnap::url(&self.repository);
        let mut arguments = vec![command, "--json", "--from", &from, "latest"];
        arguments.extend(more);
        lsnap::lsnap(arguments)
    }

    fn restore(&self, name: &str, more: &[&str]) -> Said {
        let mysqld = self.server.program("mysqld");
        let applier = [
            "--redo-applier=mysqld",
            "--mysqld",
            mysqld.to_str().unwrap(),
        ];
        let target = self.room.path().join("restored");
        let how = [&applier[..], more].concat();
        let said = lsnap::try_restore(&self.repository, name, &target, &how);
        let _ = std::fs::remove_dir_all(&target);
        said
    }

    fn document(&self, name: &str, document: &str) -> PathBuf {
        self.repository
            .join(name)
            .join(format!("{document}.{:020}", 0))
    }
}

#[test]
fn doubtful_newer_backups_are_not_skipped_silently() {
    let room = scratch();
    let server = Sandbox::start("e2e-doubtful", &[SOURCE]);
    server.run("CREATE DATABASE d");
    server.run("CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(100))");
    server.run("INSERT INTO d.t VALUES (1, 'one')");
    let repository = room.path().join("repository");
    let world = World {
        server,
        room,
        repository,
    };
    let backup = |more: &[&str]| lsnap::backup(&world.server, &world.repository, more);
    let full = backup(&["--cluster=a"]).name;
    world.server.run("INSERT INTO d.t VALUES (2, 'two')");
    let second = backup(&["--cluster=a", "--incremental"]).name;

    crafted(&world, &full, &second);

    world.server.run("INSERT INTO d.t VALUES (3, 'three')");
    let newest = backup(&["--cluster=a"]).name;
    latest(&world, &second, &newest);
    clusters(&world);
}

/// A server with the same UUID, as a clone has it, and another cluster: its backups are separate.
fn clusters(world: &World) {
    let clone = |more: &[&str]| {
        let arguments = [&["--cluster=b"], more].concat();
        lsnap::try_backup(&world.server, &world.repository, &arguments)
    };
    clone(&["--incremental"]).refused(14, &["none of cluster b, but of cluster a"]);
    let of_a = world.latest("show", &[]).ok().json["backup"]["name"].clone();
    let based = ["--incremental", "--base", of_a.as_str().unwrap()];
    clone(&based).refused(14, &["not a backup of cluster b"]);
    let of_b = clone(&[]).member().name;
    for command in ["show", "verify", "pin", "consolidate"] {
        world
            .latest(command, &[])
            .refused(2, &["a or b", "--cluster"]);
    }
    world
        .restore("latest", &[])
        .refused(2, &["a or b", "--cluster"]);
    let plan = |cluster: &str| {
        let option = format!("--cluster={cluster}");
        let plan = world.restore("latest", &["--print-plan", &option]);
        plan.ok().json["backup"]["name"].clone()
    };
    assert_eq!((plan("a"), plan("b")), (of_a, of_b.as_str().into()));
    let none = world.latest("show", &["--cluster=c"]);
    none.refused(10, &["no backup of cluster c, but of a, b"]);
    let ago = world.latest("show", &["--cluster=b", "--before=1d"]);
    ago.refused(10, &["no finished backup of cluster b before"]);
}

/// Manifests with valid digests; the summary still has the old digest, which is reported too.
fn crafted(world: &World, full: &str, second: &str) {
    let verify = |name: &str| {
        let from = lsnap::url(&world.repository);
        lsnap::lsnap(["verify", "--data", "--from", &from, name])
    };
    let exchange = |name: &str, from: &str, to: &str, check: &dyn Fn()| {
        let place = world.document(name, "lsnap_manifest.json");
        let whole = std::fs::read(&place).unwrap();
        let forged = forge(&whole, from, to);
        assert_ne!(forged, whole, "{from} is not in the manifest");
        std::fs::write(&place, forged).unwrap();
        check();
        std::fs::write(&place, whole).unwrap();
    };
    verify(second).ok();
    // The dictionary's own page has 0; an incremental uses the value of its base.
    let case = [
        "\"lower_case_table_names\":0",
        "\"lower_case_table_names\":1",
    ];
    for name in [full, second] {
        exchange(name, case[0], case[1], &|| {
            verify(name).refused(13, &["0, as in the data dictionary"]);
        });
    }
    let case = [case[0], "\"lower_case_table_names\":9"];
    exchange(second, case[0], case[1], &|| {
        verify(second).refused(13, &["expected 0, 1 or 2"]);
        world
            .restore(second, &[])
            .refused(13, &["expected 0, 1 or 2"]);
    });
    // Every delta claims to contain all pages of its file: ibdata1 comes first.
    let object = std::fs::read(world.document(second, "lsnap_manifest.json")).unwrap();
    let text = String::from_utf8_lossy(&object).into_owned();
    let at = text.find("\"floor\":").unwrap();
    let floor = text[at..].split([',', '}']).next().unwrap();
    exchange(second, floor, "\"floor\":0", &|| {
        verify(second).refused(13, &["no page 0"]);
        world.restore(second, &[]).refused(13, &["first page"]);
    });
    let set = "\"gtid_executed\":\"";
    exchange(second, set, &format!("{set}../x,"), &|| {
        verify(second).refused(13, &["../x"]);
        world.restore(second, &[]).refused(13, &["../x"]);
    });
}

fn latest(world: &World, second: &str, newest: &str) {
    let place = |document| world.document(newest, document);
    let aside = world.room.path().join("aside");
    let take_away = |path: &Path| std::fs::rename(path, &aside).unwrap();
    let put_back = |path: &Path| std::fs::rename(&aside, path).unwrap();
    let in_doubt = || {
        let words = [newest, second, "instead of `latest`"];
        world.restore("latest", &[]).refused(13, &words);
        for command in ["consolidate", "show"] {
            world.latest(command, &[]).refused(13, &words);
        }
        let verified = world.latest("verify", &[]);
        assert!([13, 15].contains(&verified.code), "{verified:?}");
        verified.refused(verified.code, &[newest]);
        // by its name it is the requested backup
        world.restore(second, &["--print-plan"]).ok();
    };
    let object = world
        .repository
        .join(newest)
        .join(format!("d/t.ibd.{:020}", 0));
    take_away(&object);
    in_doubt();
    put_back(&object);
    let manifest = place("lsnap_manifest.json");
    take_away(&manifest);
    in_doubt();
    // An incremental on the older chain is valid, and the output says so.
    let made = lsnap::try_backup(
        &world.server,
        &world.repository,
        &["--incremental", "--cluster=a"],
    );
    assert!(made.stderr.contains(newest), "{made:?}");
    let made = made.member();
    assert!(
        made.json["warnings"][0].as_str().unwrap().contains(newest),
        "{}",
        made.json
    );

    // Never finished: the older backup is used, and the output says so.
    std::fs::remove_file(place("lsnap_summary.json")).unwrap();
    let unfinished = backup_that_is_killed(world);
    let plan = world.restore("latest", &["--print-plan"]).ok();
    assert_eq!(plan.json["backup"]["name"], made.name.as_str());
    assert!(plan.stderr.contains(&unfinished), "{}", plan.stderr);
    let warnings = plan.json["plan"]["warnings"].to_string();
    assert!(warnings.contains(&unfinished), "{warnings}");
    let shown = world.latest("show", &[]).ok();
    let passed = shown.json["passed_over"].as_array().unwrap();
    let of_it = |p: &&serde_json::Value| p["name"] == unfinished.as_str();
    let passed = passed.iter().find(of_it).unwrap();
    assert_eq!(passed["why"], "unfinished");
    world.latest("verify", &[]).ok();
}

/// Starts a backup and kills it before it is finished; returns its name.
fn backup_that_is_killed(world: &World) -> String {
    let name = "a-2999-01-01-00:00:00-full";
    let directory = world.repository.join(name);
    std::fs::create_dir(&directory).unwrap();
    let claim = world.document(name, "lsnap_upload.json");
    std::fs::write(claim, b"x").unwrap();
    std::fs::write(world.document(name, "ibdata1"), b"x").unwrap();
    name.to_owned()
}
