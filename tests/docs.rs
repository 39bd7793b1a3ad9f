//! The commands of README.md and docs/ are run as they are printed, on machines that `tools/docs` makes, and the counts
//! are printed: `cargo test --test docs -- --nocapture`. `docs/README.md` documents the marks of the blocks.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The README is for the first minutes; all else is in docs/.
const README_WORDS: usize = 700;

#[test]
fn every_command_of_the_pages_runs_as_it_is_printed() {
    let out = Command::new(Path::new(ROOT).join("tools/docs"))
        .args(["--lsnap", env!("CARGO_BIN_EXE_lsnap")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    println!("{said}");
    let failed = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}{failed}");
    let counts = std::fs::read_to_string(Path::new(ROOT).join("target/docs-test.txt")).unwrap();
    assert!(number(&counts, " commands run") > 60, "{counts}");
    // Compilers, editors, containers and clusters are not on those machines, and the agent does not end.
    assert!(number(&counts, " blocks marked") <= 24, "{counts}");
}

#[test]
fn the_test_of_the_pages_sees_differences() {
    let script = Path::new(ROOT).join("tools/pages/selftest.py");
    let out = Command::new("python3").arg(script).output().unwrap();
    let failed = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{failed}");
}

/// Returns the number before a word.
fn number(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_readme_is_short() {
    let text = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let words = text.split_whitespace().count();
    let counts = format!("README.md: {words} words\n");
    std::fs::write(Path::new(ROOT).join("target/docs-words.txt"), counts).unwrap();
    assert!(
        words <= README_WORDS,
        "README.md has {words} words, {README_WORDS} are allowed"
    );
}

/// Every picture is used, has a title and a description for screen readers, and needs nothing from other places.
#[test]
fn pictures_are_used_and_described() {
    let mut pages = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    for entry in std::fs::read_dir(Path::new(ROOT).join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "md") {
            pages += &std::fs::read_to_string(path).unwrap();
        }
    }
    let mut count = 0;
    for entry in std::fs::read_dir(Path::new(ROOT).join("docs/pictures")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        for part in ["<title ", "<desc ", "viewBox=", "role=\"img\""] {
            assert!(text.contains(part), "{name} has no {part}");
        }
        for part in ["<script", "<image", "href=\"http", "url(http"] {
            assert!(!text.contains(part), "{name} has {part}");
        }
        assert!(
            pages.contains(&format!("pictures/{name})")),
            "no page shows {name}"
        );
        count += 1;
    }
    assert!(count >= 5, "{count} pictures");
}
