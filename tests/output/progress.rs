//! Progress: on terminals of several widths, in a log, for programs, and none on a pipe.

use crate::common::program::{PROGRAM, command, text};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Number of files in the stream, and bytes of each.
const FILES: usize = 12;
const BYTES: usize = 512 << 10;

/// Runs a shell's command line in a terminal; returns the states of its last line, and everything.
fn in_terminal(columns: u32, locale: &str, line: &str) -> (Vec<String>, String) {
    let out = Command::new("script")
        .args(["-qec", &format!("stty cols {columns}; {line}"), "/dev/null"])
        .env("LC_ALL", locale)
        .env("TERM", "xterm")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let all = text(&out.stdout);
    assert!(out.status.success(), "{line}: {all}");
    let states = all.split("\r\u{1b}[K").map(str::to_owned).collect();
    (states, all)
}

fn files(dir: &Path) -> (String, String) {
    fs::create_dir(dir.join("files")).unwrap();
    let mut names: Vec<String> = (0..FILES)
        .map(|number| format!("undo_{number:03}"))
        .collect();
    for name in &names {
        fs::write(dir.join("files").join(name), vec![7; BYTES]).unwrap();
    }
    fs::write(dir.join("files/xtrabackup_tablespaces"), "{}").unwrap();
    names.push("xtrabackup_tablespaces".to_owned());
    let at = |name: &str| dir.join(name).display().to_string();
    let (stream, repository) = (at("stream"), format!("file://{}", at("repository")));
    fs::create_dir(dir.join("repository")).unwrap();
    let create = ["xbstream", "-c", "-C", &at("files")];
    let made = command()
        .args(create)
        .args(names)
        .stdout(File::create(&stream).unwrap())
        .status();
    assert!(made.unwrap().success());
    let put = ["cloud", "put", "--repo", &repository, "theirs"];
    let made = command()
        .args(put)
        .stdin(File::open(&stream).unwrap())
        .status();
    assert!(made.unwrap().success());
    (stream, repository)
}

/// Reads a stream whose second half comes later.
fn on_a_pipe(stream: &str, style: &[&str]) -> Output {
    let line = format!(
        "{{ head -c 3000000 '{stream}'; sleep 1.2; tail -c +3000001 '{stream}'; }} | '{PROGRAM}' xbstream -t {} >/dev/null",
        style.join(" ")
    );
    Command::new("sh").args(["-c", &line]).output().unwrap()
}

#[test]
fn a_line_fits_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, repository) = files(dir.path());
    // Slowly enough to be seen: an object has 6 MiB, and a whole one is fetched at once.
    let target = dir.path().join("got").display().to_string();
    for (columns, locale) in [(40, "C"), (80, "C"), (120, "C.UTF-8")] {
        let line = format!(
            "{{ head -c 3000000 '{stream}'; sleep 1.2; tail -c +3000001 '{stream}'; }} | '{PROGRAM}' xbstream -x -C '{target}'"
        );
        fs::create_dir(&target).unwrap();
        let (states, all) = in_terminal(columns, locale, &line);
        fs::remove_dir_all(&target).unwrap();
        let shown: Vec<&String> = states
            .iter()
            .filter(|s| s.starts_with("extracting"))
            .collect();
        assert!(shown.len() > 3, "{all:?}");
        for state in shown {
            assert!(state.chars().count() < columns as usize, "{state:?}");
            assert!(state.is_ascii() && !state.contains("left"), "{state:?}");
        }
        assert!(all.contains(" MiB "), "{all:?}");
        // The line is removed at the end.
        assert_eq!(states.last().map(String::as_str), Some(""), "{all:?}");
    }
    // With a known total: a percentage, and a bar where there is room for it.
    for (columns, locale, bar) in [
        (40, "C", ""),
        (100, "C", "...."),
        (100, "C.UTF-8", "\u{2591}"),
    ] {
        let get = format!(
            "'{PROGRAM}' cloud get --repo '{repository}' --max-rate 6M theirs -C '{target}'"
        );
        fs::create_dir(&target).unwrap();
        let (states, all) = in_terminal(columns, locale, &get);
        fs::remove_dir_all(&target).unwrap();
        let shown: Vec<&String> = states
            .iter()
            .filter(|s| s.starts_with("extracting"))
            .collect();
        assert!(
            shown
                .iter()
                .any(|state| state.contains('%') && state.contains(bar)),
            "{all:?}"
        );
        for state in shown {
            assert!(state.chars().count() < columns as usize, "{state:?}");
            assert!(locale != "C" || state.is_ascii(), "{state:?}");
            // Nothing can be said in the first seconds.
            assert!(!state.contains("left"), "{state:?}");
        }
    }
}

#[test]
fn programs_get_lines_of_json_and_a_pipe_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, _) = files(dir.path());
    let silent = on_a_pipe(&stream, &[]);
    assert_eq!(text(&silent.stderr), "");
    let plain = text(&on_a_pipe(&stream, &["--progress", "plain"]).stderr);
    assert_eq!(plain, "reading\n");
    let json = text(&on_a_pipe(&stream, &["--progress", "json"]).stderr);
    let lines: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {json}")))
        .collect();
    assert!(lines.len() >= 3, "{json}");
    for line in &lines {
        assert_eq!(line["type"], "progress", "{json}");
        assert_eq!(line["phase"], "transfer", "{json}");
        assert!(
            line["total_bytes"].is_null() && line["seconds_left"].is_null(),
            "{json}"
        );
    }
    let done = |line: &serde_json::Value| line["done_bytes"].as_u64().unwrap();
    assert_eq!(done(&lines[0]), 0);
    assert!(
        done(lines.last().unwrap()) >= (FILES * BYTES) as u64,
        "{json}"
    );
}
