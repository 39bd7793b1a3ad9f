//! Restore drills: `lsnap verify --restore` with the user's queries, a time budget for tables, and a random backup.

use crate::lsnap::{self, Said};
use crate::sandbox::{SOURCE, Sandbox, run, scratch};
use std::path::{Path, PathBuf};

struct Drill {
    source: Sandbox,
    room: tempfile::TempDir,
}

impl Drill {
    fn repository(&self) -> PathBuf {
        self.room.path().join("repository")
    }

    fn checks(&self, text: &str) -> PathBuf {
        let path = self.room.path().join("checks.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    fn verify(&self, more: &[&str]) -> Said {
        let mut command = lsnap::command();
        command
            .args([
                "verify",
                "--json",
                "--restore",
                "--from",
                &lsnap::url(&self.repository()),
            ])
            .arg("--mysqld")
            .arg(self.source.program("mysqld"))
            .args(["--owner", &lsnap::owner()])
            .arg("--scratch")
            .arg(self.room.path().join("scratch"))
            .arg("--metrics-textfile")
            .arg(self.metrics())
            .args(more);
        lsnap::said(command.output().unwrap())
    }

    fn metrics(&self) -> PathBuf {
        self.room.path().join("lsnap.prom")
    }

    /// Returns the value of a metric.
    fn metric(&self, name: &str) -> f64 {
        let text = std::fs::read_to_string(self.metrics()).unwrap();
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name}: {text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }
}

fn begin() -> Drill {
    let room = scratch();
    std::fs::create_dir(room.path().join("repository")).unwrap();
    std::fs::create_dir(room.path().join("scratch")).unwrap();
    let source = Sandbox::start("e2e-drill", &[SOURCE]);
    let mut conn = source.connect();
    for sql in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.orders (id INT PRIMARY KEY, note VARCHAR(20))",
        "CREATE TABLE shop.other (id INT PRIMARY KEY)",
        "INSERT INTO shop.orders VALUES (1, 'a'), (2, NULL)",
    ] {
        run(&mut conn, sql);
    }
    Drill { source, room }
}

#[test]
fn restore_drills() {
    let drill = begin();
    lsnap::full(&drill.source, &drill.repository());
    run(
        &mut drill.source.connect(),
        "INSERT INTO shop.orders VALUES (3, 'c')",
    );
    lsnap::incremental(&drill.source, &drill.repository());

    let good = "[[check]]\nname = \"number\"\nquery = \"SELECT COUNT(*) FROM shop.orders\"\nexpect = 3\n\
                [[check]]\nquery = \"SELECT id, note FROM shop.orders ORDER BY id\"\nexpect = \"1\\ta\\n2\\tNULL\\n3\\tc\\n\"\n";
    let file = drill.checks(good);
    let file = file.to_str().unwrap();
    let said = drill.verify(&["--checks", file]).ok();
    let restored = &said.json["restored"][0];
    assert_eq!(
        restored["checks"].as_array().unwrap().len(),
        2,
        "{restored}"
    );
    assert_eq!(restored["checks"][0]["name"], "number");
    assert!(
        restored["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|check| check["passed"] == true)
    );
    assert!(
        restored["tables"].as_u64().unwrap() > 2 && restored["tables_left"] == 0,
        "{restored}"
    );
    for field in ["merge_seconds", "redo_seconds", "check_seconds"] {
        assert!(
            restored[field].as_f64().unwrap() > 0.0,
            "{field}: {restored}"
        );
    }
    for phase in ["merge", "redo", "check"] {
        let name = "lsnap_verify_restore_seconds";
        let text = std::fs::read_to_string(drill.metrics()).unwrap();
        let has =
            |line: &str| line.starts_with(name) && line.contains(&format!("phase=\"{phase}\""));
        assert!(text.lines().any(has), "{phase}: {text}");
    }
    assert!(drill.metric("lsnap_verify_restored_bytes") > 1e6);
    assert!(drill.metric("lsnap_verify_failed_queries").abs() < 0.5);

    a_query_fails(&drill);
    a_sample_of_the_tables(&drill);
    random_backups(&drill);
    let left: Vec<_> = std::fs::read_dir(drill.room.path().join("scratch"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn a_query_fails(drill: &Drill) {
    for (query, found) in [
        ("SELECT COUNT(*) FROM shop.orders", "3"),
        ("SELECT * FROM shop.never", "never"),
    ] {
        let file = drill.checks(&format!(
            "[[check]]\nname = \"n\"\nquery = \"{query}\"\nexpect = \"4\"\n"
        ));
        let said = drill.verify(&["--checks", file.to_str().unwrap()]);
        assert_eq!(said.code, 13, "{query}: {} {}", said.stdout, said.stderr);
        let problem = &said.json["restored"][0]["problems"][0];
        assert_eq!(problem["kind"], "query", "{problem}");
        assert!(
            problem["found"].as_str().unwrap().contains(found),
            "{problem}"
        );
        assert_eq!(problem["expected"], "\"4\"");
        assert!((drill.metric("lsnap_verify_failed_queries") - 1.0).abs() < 0.5);
    }
    let file = drill.checks("[[check]]\nquery = \"SELECT 1\"\n");
    assert_eq!(drill.verify(&["--checks", file.to_str().unwrap()]).code, 2);
    assert_eq!(drill.verify(&["--checks", "/nonexistent/checks"]).code, 2);
}

fn a_sample_of_the_tables(drill: &Drill) {
    let said = drill
        .verify(&["--check-tables-for", "0s", "--seed", "5"])
        .ok();
    let restored = &said.json["restored"][0];
    assert_eq!(restored["tables"], 1, "{restored}");
    assert!(restored["tables_left"].as_u64().unwrap() > 2, "{restored}");
    assert!(drill.metric("lsnap_verify_unchecked_tables") > 2.5);
}

fn random_backups(drill: &Drill) {
    let chosen = |seed: &str| {
        let said = lsnap::lsnap([
            "verify",
            "--json",
            "--from",
            &lsnap::url(&drill.repository()),
            "--pick",
            "random",
            "--seed",
            seed,
        ]);
        let said = said.ok();
        assert_eq!(said.json["picked"]["seed"].to_string(), seed);
        let name = said.json["picked"]["name"].as_str().unwrap().to_owned();
        let members = said.json["members"].as_array().unwrap().len();
        (name, members)
    };
    // The incremental is drawn only with the last second of the time between both.
    let all: Vec<_> = (0..20).map(|seed| chosen(&seed.to_string())).collect();
    assert_eq!(chosen("3"), all[3], "a seed repeats the choice");
    assert!(
        all.iter()
            .any(|(name, members)| name.ends_with("-full") && *members == 1),
        "{all:?}"
    );
    let url = lsnap::url(&drill.repository());
    for wrong in [
        &["--pick", "random", "x-full"][..],
        &["--pick", "random", "--all"],
        &["--pick", "oldest"],
    ] {
        let mut arguments = vec!["verify", "--from", &url];
        arguments.extend(wrong);
        assert_eq!(lsnap::lsnap(arguments).code, 2, "{wrong:?}");
    }
    let empty = drill.room.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let said = lsnap::lsnap([
        "verify",
        "--from",
        &lsnap::url(Path::new(&empty)),
        "--pick",
        "random",
    ]);
    assert_eq!(said.code, 10, "{}", said.stderr);
}
