//! Every option that a text of the program names is one that there is.

use super::Cli;
use clap::CommandFactory as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Options of other programs that texts name, each with the program.
const OF_OTHERS: &[(&str, &str)] = &[
    ("apply-log-only", "xtrabackup"),
    ("format", "aws"),
    ("lock-ddl", "xtrabackup"),
    ("long", "zstd"),
    ("lower-case-table-names", "mysqld"),
    ("prepare", "xtrabackup"),
];

/// Files that write command lines of other programs, each with the program.
const LINES_OF_OTHERS: &[(&str, &str)] = &[
    ("restore/mysqld/arguments.rs", "mysqld"),
    ("restore/xtrabackup.rs", "xtrabackup"),
];

/// Every long name of any command, hidden ones and aliases too.
fn options(command: &clap::Command, to: &mut BTreeSet<String>) {
    for arg in command.get_arguments() {
        to.extend(arg.get_long().map(str::to_owned));
        let aliases = arg.get_all_aliases().unwrap_or_default();
        to.extend(aliases.into_iter().map(str::to_owned));
    }
    for sub in command.get_subcommands() {
        options(sub, to);
    }
}

fn sources(dir: &Path, to: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, to);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            to.push(path);
        }
    }
}

/// The string literals of Rust source, those of tests at its end left out.
fn literals(source: &str) -> Vec<String> {
    let source = source
        .find("#[cfg(test)]\nmod tests {")
        .map_or(source, |end| &source[..end]);
    let mut out = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'', 'r']) {
        let here = &rest[at..];
        let before = rest[..at].chars().next_back();
        let skip = if here.starts_with("//") {
            here.find('\n').unwrap_or(here.len())
        } else if here.starts_with("/*") {
            here.find("*/").map_or(here.len(), |end| end + 2)
        } else if let Some(hashes) = raw(here).filter(|_| !is_word(before)) {
            let body = &here[1 + hashes + 1..];
            let end = format!("\"{}", "#".repeat(hashes));
            let len = body.find(&end).unwrap_or(body.len());
            out.push(body[..len].to_owned());
            1 + hashes + 1 + len + end.len()
        } else if let Some(body) = here.strip_prefix('"') {
            let len = string_end(body);
            out.push(body[..len].replace("\\\n", "\n"));
            len + 2
        } else if let Some(escape) = here.strip_prefix("'\\") {
            escape.find('\'').map_or(here.len(), |end| end + 3)
        } else if here.starts_with("'\"'") {
            3
        } else {
            1
        };
        rest = here.get(skip..).unwrap_or_default();
    }
    out
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// How many hashes a raw string has that begins here.
fn raw(here: &str) -> Option<usize> {
    let after = here.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

fn string_end(body: &str) -> usize {
    let mut escaped = false;
    let end = body.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.unwrap_or(body.len())
}

/// The long options that a text names.
fn named(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("--") {
        if is_word(text[..at].chars().next_back()) || text[..at].ends_with('-') {
            continue;
        }
        let tail = &text[at + 2..];
        let is_of = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let end = tail.find(|c| !is_of(c)).unwrap_or(tail.len());
        let name = tail[..end].trim_end_matches('-');
        if name.starts_with(|c: char| c.is_ascii_lowercase()) {
            found.push(name);
        }
    }
    found
}

#[test]
fn options_in_messages_are_real() {
    let mut known = BTreeSet::new();
    options(&Cli::command(), &mut known);
    known.extend(["help", "version"].map(str::to_owned));
    let others: BTreeSet<_> = OF_OTHERS.iter().map(|(name, _)| *name).collect();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 100, "{}", files.len());
    let mut wrong: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for (line, _) in LINES_OF_OTHERS {
        let before = files.len();
        files.retain(|file| *file != src.join(line));
        assert_eq!(files.len() + 1, before, "{line} is gone");
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for literal in literals(&text) {
            for name in named(&literal) {
                if let Some(other) = others.get(name) {
                    used.insert(*other);
                } else if !known.contains(name) {
                    let file = file.strip_prefix(&src).unwrap().to_owned();
                    wrong.entry(format!("--{name}")).or_default().insert(file);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "no command has these options: {wrong:#?}");
    let idle: Vec<_> = others.difference(&used).collect();
    assert!(idle.is_empty(), "no text names {idle:?} any more");
}

#[test]
fn literals_are_found_where_they_are() {
    let source = r##"
        // "--comment"
        /* "--block" */
        let a = "--one \" --two"; let c = '"'; let d = '\''; let l: &'static str = "--three";
        let r = r#"--four "#; let var"; // never so
    "##;
    let source = source.replace("let var\"", "let bar = \"--five\"");
    let all = literals(&source).join(" ");
    assert_eq!(named(&all), ["one", "two", "three", "four", "five"]);
    assert!(named("a--b ---c -- d, 0x--").is_empty());
    assert_eq!(named("(--lock-timeout) or --to=x"), ["lock-timeout", "to"]);
}
