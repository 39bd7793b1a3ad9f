//! A server that is backed up by a configuration file alone: full and incremental backups by the age of the chain, the
//! policy after each, and what monitoring says of them.

use crate::common::program;
use crate::sandbox::{SOURCE, Sandbox, run, scratch};
use serde_json::Value;
use std::path::Path;

/// Runs the program with the file; returns the exit code and the JSON document.
fn lsnap(file: &Path, arguments: &[&str]) -> (i32, Value) {
    let file = file.to_str().unwrap();
    let said = program::lsnap(["--config", file, "--json"].iter().chain(arguments));
    let all = format!("{arguments:?}: {}{}", said.stdout, said.stderr);
    assert!(!(said.json.is_null() && said.error.is_null()), "{all}");
    let is_failure = said.json.is_null();
    (said.code, if is_failure { said.error } else { said.json })
}

fn names(listed: &Value) -> Vec<String> {
    let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
    let backups = listed["backups"].as_array().unwrap().iter();
    backups.map(name).collect()
}

#[test]
fn a_file_is_all_that_a_nightly_backup_needs() {
    let dir = scratch();
    let server = Sandbox::start("configured", &[SOURCE]);
    let mut conn = server.connect();
    for statement in [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (a INT PRIMARY KEY)",
        "INSERT INTO d.t VALUES (1)",
    ] {
        run(&mut conn, statement);
    }
    let (file, repository) = (dir.path().join("lsnap.toml"), dir.path().join("repo"));
    let text = format!(
        "cluster = 'shop'\n[repository]\nurl = 'file://{}'\n[server]\nno-defaults = true\n",
        repository.display()
    );
    std::fs::write(&file, &text).unwrap();
    let (code, refused) = lsnap(&file, &["list"]);
    assert_eq!(code, 2, "{refused}");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("server.no-defaults: there is no such key"),
        "{refused}"
    );

    let text = format!(
        "cluster = 'shop'\n[repository]\nurl = 'file://{}'\n[server]\nuser = 'root'\nsocket = '{}'\n\
         [backup]\nfull-every = '7d'\nmax-incrementals = 1\nprune = true\n[retention]\nkeep-full = 1\n[restore]\nmysqld = '{}'\n",
        repository.display(),
        server.socket(),
        server.program("mysqld").display()
    );
    std::fs::write(&file, text).unwrap();
    let (code, tried) = lsnap(&file, &["config", "check"]);
    // The repository is not there yet: the first backup creates it.
    assert_eq!(code, 0, "{tried}");
    let tried = tried["checks"].as_array().unwrap().iter();
    let found = tried.filter(|one| one["what"] == "repository");
    let found: Vec<_> = found.map(|one| one["found"].as_str().unwrap()).collect();
    assert!(
        found[0].contains("the first backup creates it"),
        "{found:?}"
    );
    assert!(!repository.exists());

    let backup = |expected: &str| {
        let (code, report) = lsnap(&file, &["backup"]);
        assert_eq!(
            (code, report["backup"]["kind"].as_str()),
            (0, Some(expected)),
            "{report:#}"
        );
        (
            report["backup"]["name"].as_str().unwrap().to_owned(),
            report,
        )
    };
    let (first, report) = backup("full");
    assert!(
        report["reason"].as_str().unwrap().contains("no base"),
        "{}",
        report["reason"]
    );
    let (second, _) = backup("incremental");
    let (third, report) = backup("full");
    assert!(
        report["reason"].as_str().unwrap().contains("1 incremental"),
        "{}",
        report["reason"]
    );
    let deleted = report["pruned"]["deleted"].as_array().unwrap();
    let deleted: Vec<_> = deleted
        .iter()
        .map(|one| one["backup"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(deleted, [second.as_str(), first.as_str()]);

    let (code, health) = lsnap(&file, &["check"]);
    assert_eq!(
        (code, health["state"].as_str()),
        (0, Some("ok")),
        "{health}"
    );
    assert_eq!(lsnap(&file, &["check", "--max-age", "0s"]).0, 1);
    assert_eq!(lsnap(&file, &["check", "--nagios", "--max-age", "0s"]).0, 2);
    assert_eq!(lsnap(&file, &["pin", "latest"]).0, 0);

    // A chain that can't be continued makes a full backup due. The pinned one stays, damaged as it is.
    let object = repository
        .join(&third)
        .join("mysql.ibd.00000000000000000000");
    std::fs::remove_file(&object).unwrap();
    let (fourth, report) = backup("full");
    assert!(
        report["reason"].as_str().unwrap().contains(&third)
            || report["reason"].as_str().unwrap().contains("no base"),
        "{}",
        report["reason"]
    );
    let (_, listed) = lsnap(&file, &["list"]);
    assert_eq!(names(&listed), [third, fourth]);
    let damaged = &listed["backups"][0];
    let problem = damaged["problem"].as_str().unwrap();
    assert_eq!(damaged["state"], "damaged");
    assert!(
        problem.contains("mysql.ibd.00000000000000000000"),
        "{problem}"
    );
    assert_eq!(
        lsnap(&file, &["check", "--nagios"]).0,
        2,
        "damage is critical"
    );
}
