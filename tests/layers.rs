//! The rule on layers (`docs/design.md#layers`): a lower room never imports a higher one, and the format
//! rooms know nothing of files, servers or clouds.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import of the others. `progress` is for every room above the formats.
const MAY: &[(&str, &[&str])] = &[
    ("mem", &[]),
    ("pace", &[]),
    ("counted", &[]),
    ("shown", &[]),
    ("secret_file", &["shown"]),
    ("named_certificate", &[]),
    ("syncing", &[]),
    ("child", &[]),
    ("innodb", &[]),
    ("progress", &[]),
    ("xbstream", &["innodb", "shown"]),
    ("delta", &["innodb"]),
    ("codec", &[]),
    ("datadir", &["innodb", "mem"]),
    (
        "server",
        &["innodb", "pace", "secret_file", "named_certificate"],
    ),
    (
        "store",
        &[
            "innodb",
            "mem",
            "xbstream",
            "pace",
            "progress",
            "named_certificate",
        ],
    ),
    (
        "archive",
        &["mem", "shown", "syncing", "xbstream", "codec", "progress"],
    ),
    (
        "cloud",
        &["xbstream", "codec", "store", "archive", "progress"],
    ),
    (
        "backup",
        &[
            "innodb", "mem", "pace", "xbstream", "delta", "codec", "datadir", "server", "store",
            "progress", "child",
        ],
    ),
    (
        "restore",
        &[
            "innodb", "mem", "syncing", "child", "xbstream", "delta", "codec", "server", "store",
            "progress",
        ],
    ),
    (
        "verify",
        &[
            "innodb", "xbstream", "delta", "codec", "store", "restore", "progress",
        ],
    ),
    (
        "consolidate",
        &[
            "innodb", "xbstream", "delta", "codec", "store", "restore", "verify", "progress",
        ],
    ),
    // doors for the benchmarks; nothing imports it
    (
        "benching",
        &["innodb", "store", "backup", "restore", "progress"],
    ),
    // doors for the fuzzer; nothing imports it
    ("fuzzing", &["archive", "backup", "store"]),
    (
        "cli",
        &[
            "mem",
            "shown",
            "secret_file",
            "innodb",
            "codec",
            "archive",
            "cloud",
            "backup",
            "restore",
            "server",
            "datadir",
            "store",
            "progress",
            "xbstream",
            "verify",
            "consolidate",
        ],
    ),
];

/// Rooms that every other one may import: words of messages.
const ANY: &[&str] = &["counted"];

/// Words that the pure rooms must not contain outside of their tests.
const PURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "tokio",
    "object_store",
    "mysql::",
];

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn room_of(file: &Path) -> String {
    let inside = file
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let first = inside
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap();
    first
        .trim_end_matches(".rs")
        .trim_end_matches("_tests")
        .to_owned()
}

/// The rooms that a line of code names.
fn imports(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, word) in line.match_indices("crate::") {
        let rest = &line[at + word.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let names = group
                .split(['{', '}', ','])
                .map(|n| n.trim().split("::").next().unwrap());
            found.extend(names.filter(|n| MAY.iter().any(|(room, _)| room == n)));
        } else {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            found.push(&rest[..end]);
        }
    }
    found
}

/// Files that are compiled for tests alone.
fn is_test(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap();
    file.contains("/tests/")
        || name.contains("test")
        || name.starts_with("real_")
        || name == "fixtures.rs"
}

fn check(file: &str, room: &str, text: &str) -> Vec<String> {
    let Some((_, may)) = MAY.iter().find(|(name, _)| *name == room) else {
        return vec![format!(
            "{file}: room {room} is not in the table of tests/layers.rs"
        )];
    };
    let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
    let mut wrong = Vec::new();
    for line in code {
        for import in imports(line) {
            let known = MAY.iter().any(|(name, _)| *name == import);
            if known && import != room && !ANY.contains(&import) && !may.contains(&import) {
                wrong.push(format!(
                    "{file}: {room} must not import {import}: {}",
                    line.trim()
                ));
            }
        }
    }
    if room != "child" && !is_test(file) {
        let before_tests = text.split("#[cfg(test)]").next().unwrap();
        let started = |l: &&str| !l.trim_start().starts_with("//") && l.contains("Command::new(");
        wrong.extend(before_tests.lines().filter(started).map(|line| {
            format!(
                "{file}: only src/child.rs starts programs, without the environment: {}",
                line.trim()
            )
        }));
    }
    if ["innodb", "xbstream", "delta", "codec"].contains(&room) && !is_test(file) {
        let before_tests = text.split("#[cfg(test)]").next().unwrap();
        let code = before_tests
            .lines()
            .filter(|l| !l.trim_start().starts_with("//"));
        for line in code {
            for word in PURE.iter().filter(|w| line.contains(**w)) {
                wrong.push(format!(
                    "{file}: {room} is pure, but names {word}: {}",
                    line.trim()
                ));
            }
        }
    }
    wrong
}

#[test]
fn no_room_imports_what_stands_above_it() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.len() > 20, "the sources were not found: {files:?}");
    let mut wrong = Vec::new();
    for file in files {
        let room = room_of(&file);
        if room == "lib" || room == "main" {
            continue;
        }
        wrong.extend(check(
            &file.display().to_string(),
            &room,
            &fs::read_to_string(&file).unwrap(),
        ));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_rule_notices_what_breaks_it() {
    assert_eq!(
        check("x.rs", "innodb", "use crate::store::Manifest;").len(),
        1
    );
    assert_eq!(
        check("x.rs", "store", "use crate::{innodb::Lsn, backup};").len(),
        1
    );
    assert_eq!(
        check("x.rs", "delta", "let f = std::fs::File::open(p);").len(),
        1
    );
    assert_eq!(
        check("x.rs", "backup", "use crate::store::{Manifest, Upload};").len(),
        0
    );
    assert_eq!(check("x.rs", "innodb", "// crate::store is above").len(), 0);
    assert_eq!(check("x.rs", "backup", "Command::new(\"ls\")").len(), 1);
}
