//! Runs every input that the fuzzer found, and every seed file, through the bodies of the fuzz
//! targets (`fuzz/bodies`), on any compiler.

#![allow(clippy::unwrap_used)]

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[global_allocator]
static ALLOCATOR: bodies::Counting = bodies::Counting;

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the input files of a folder; none if the folder doesn't exist.
fn inputs(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file() && path.file_name().unwrap() != "README.md");
    files.sort();
    files
}

/// Runs one input and its prefixes; if it panics, prints which one it was.
fn run(target: &bodies::Target, path: &Path) {
    let data = fs::read(path).unwrap();
    let attempt = |data: &[u8]| {
        std::panic::catch_unwind(|| bodies::run(target.name, data)).unwrap_or_else(|_| {
            panic!(
                "{}: {} bytes of {}",
                target.name,
                data.len(),
                path.display()
            );
        });
    };
    attempt(&data);
    for cut in [data.len() / 2, data.len().saturating_sub(1)] {
        attempt(&data[..cut]);
    }
}

#[test]
fn every_finding_and_every_seed() {
    for target in bodies::TARGETS {
        let mut seeds = 0;
        for corpus in target.corpora {
            let files = inputs(&project().join("testdata").join(corpus));
            seeds += files.len();
            files.iter().for_each(|path| run(target, path));
        }
        assert!(
            seeds > 0,
            "{}: nothing in testdata/{:?}",
            target.name,
            target.corpora
        );
        let found = inputs(&project().join("fuzz/regressions").join(target.name));
        found.iter().for_each(|path| run(target, path));
        run_no_file(target);
    }
}

/// Runs inputs that need no file.
fn run_no_file(target: &bodies::Target) {
    for data in [&b""[..], &[0], &[0xFF; 600], &[0; 2048]] {
        bodies::run(target.name, data);
    }
}

#[test]
fn every_target_is_in_all_lists() {
    let named: BTreeSet<_> = bodies::TARGETS.iter().map(|t| t.name.to_owned()).collect();
    assert_eq!(named.len(), bodies::TARGETS.len());
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let files = inputs(&project().join("fuzz/fuzz_targets"));
    assert_eq!(named, files.into_iter().map(stem).collect());
    let cargo = fs::read_to_string(project().join("fuzz/Cargo.toml")).unwrap();
    for target in bodies::TARGETS {
        assert!(cargo.contains(&format!("path = \"fuzz_targets/{}.rs\"", target.name)));
        let text =
            fs::read_to_string(project().join(format!("fuzz/fuzz_targets/{}.rs", target.name)));
        assert!(
            text.unwrap()
                .contains(&format!("bodies::run(\"{}\"", target.name))
        );
        assert!(target.max_len >= 1024);
    }
    let kept = fs::read_dir(project().join("fuzz/regressions")).unwrap();
    for folder in kept
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.is_dir())
    {
        assert!(
            named.contains(folder.file_name().unwrap().to_str().unwrap()),
            "{folder:?}"
        );
    }
}

#[test]
#[should_panic(expected = "bytes were allocated at one time")]
fn an_allocation_beyond_the_limit_is_detected() {
    let held = bodies::most_held(|| drop(std::hint::black_box(vec![1u8; 100 << 20])));
    assert!(held < 100 << 20, "{held} bytes were allocated at one time");
}
