//! What the pages of docs/ name exists: options, command lines, kinds of errors.

use super::commands_page::{PAGE, commands, program, root, visible};
use super::{Configuration, keys, show};
use crate::cli::Cli;
use crate::cli::exit_code::ExitCode;
use crate::error_kind::ErrorKind;
use clap::{Command, CommandFactory as _};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Options of other programs that pages name: the option, the program.
const OF_OTHERS: &[(&str, &str)] = &[
    ("build-arg", "podman"),
    ("collector", "node_exporter"),
    ("defaults-file", "mysql"),
    ("exclude-gtids", "mysqlbinlog"),
    ("lock-ddl", "xtrabackup"),
    ("no-deps", "cargo"),
    ("open", "cargo"),
    ("prepare", "xtrabackup"),
    ("stop-datetime", "mysqlbinlog"),
];

/// Options of the server that recovers a restore, in the pages about what it is started with.
const OF_MYSQLD: &[&str] = &[
    "event-scheduler",
    "innodb-data-file-path",
    "innodb-directories",
    "innodb-force-recovery",
    "log-bin",
    "log-error-verbosity",
    "persisted-globals-load",
    "relay-log",
    "relay-log-index",
    "skip-grant-tables",
    "skip-networking",
    "skip-replica-start",
];

/// Pages that name options of [`OF_MYSQLD`].
const WITH_MYSQLD: &[&str] = &["docs/checks.md", "docs/security.md"];

/// Pages about the project's own tools, whose options are of cargo and the tools, and about the options of xtrabackup
/// and xbcloud, which have tests of their own.
const OF_TOOLS: &[&str] = &[
    "docs/performance.md",
    "docs/design.md",
    "docs/format/",
    "docs/xtrabackup.md",
    "docs/reference/callers.md",
    "docs/reference/xbcloud-options.md",
    "docs/reference/xtrabackup-options.md",
];

/// Returns the pages with their paths from the root.
fn pages() -> Vec<(String, String)> {
    fn below(dir: &Path, to: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, to);
            } else if path.extension().is_some_and(|e| e == "md") {
                to.push(path);
            }
        }
    }
    let mut paths = vec![root().join("README.md")];
    below(&root().join("docs"), &mut paths);
    let read = paths.into_iter().map(|path| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, std::fs::read_to_string(path).unwrap())
    });
    read.collect()
}

/// Returns the long options in a text.
fn options(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("--") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '-') {
            continue;
        }
        let tail = &text[at + 2..];
        let end = tail.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        let name = tail[..end.unwrap_or(tail.len())].trim_end_matches('-');
        let wildcard = tail[name.len()..].starts_with("-*");
        if name.starts_with(|c: char| c.is_ascii_lowercase()) && !wildcard {
            found.push(name);
        }
    }
    found
}

/// Returns the parts of a line that are about lsnap: of a table that maps options, all but the first column.
fn ours<'a>(page: &str, line: &'a str) -> &'a str {
    let maps = page == "docs/migrate.md" && line.starts_with("| ");
    match line[2.min(line.len())..].split_once(" | ") {
        Some((_, rest)) if maps => rest,
        _ => line,
    }
}

fn all_options(command: &Command, to: &mut BTreeSet<String>) {
    for arg in command.get_arguments() {
        to.extend(arg.get_long().map(str::to_owned));
        let aliases = arg.get_all_aliases().unwrap_or_default();
        to.extend(aliases.into_iter().map(str::to_owned));
    }
    for sub in command.get_subcommands() {
        all_options(sub, to);
    }
}

#[test]
fn options_named_in_the_docs_exist() {
    let mut known = BTreeSet::new();
    all_options(&program(), &mut known);
    let (mut wrong, mut used) = (BTreeSet::new(), BTreeSet::new());
    let mut count = 0;
    for (name, text) in pages() {
        if OF_TOOLS.iter().any(|page| name.starts_with(page)) {
            continue;
        }
        // Blocks are run by tests/docs.rs.
        let mut in_block = false;
        for line in text.lines() {
            in_block ^= line.starts_with("```");
            if in_block || line.starts_with("<!--") {
                continue;
            }
            let line = ours(&name, line);
            for piece in line.split('`').skip(1).step_by(2) {
                for option in options(piece) {
                    count += 1;
                    let other = OF_OTHERS.iter().find(|(other, _)| *other == option);
                    used.extend(other.map(|(other, _)| *other));
                    let of_mysqld =
                        WITH_MYSQLD.contains(&name.as_str()) && OF_MYSQLD.contains(&option);
                    let of_other = other.is_some() || of_mysqld || is_of_other(piece);
                    if !known.contains(option) && !of_other {
                        wrong.insert(format!("{name}: --{option} in `{piece}`"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "no command has these: {wrong:#?}");
    assert!(count > 200, "only {count} options found");
    let idle: Vec<_> = OF_OTHERS
        .iter()
        .filter(|(o, _)| !used.contains(o))
        .collect();
    assert!(idle.is_empty(), "no page names {idle:?} any more");
}

/// Returns whether a code span is a command of another program.
fn is_of_other(piece: &str) -> bool {
    let first = piece.split([' ', '/']).next().unwrap_or_default();
    [
        "xtrabackup",
        "cargo",
        "tools",
        "aws",
        "mysqld",
        "mysqldump",
        "mariadb-backup",
        "wal-g",
        "podman",
        "systemctl",
    ]
    .contains(&first)
}

/// Returns the reason why the options of a command line `lsnap ...` are not those of its command.
fn fault(program: &Command, line: &str) -> Option<String> {
    let mut command = program;
    let mut names = BTreeSet::new();
    let mut words = line.split_whitespace().skip(1);
    for word in words.by_ref() {
        match command.find_subcommand(word) {
            Some(sub) => command = sub,
            None if word.starts_with("--") => names.extend(options(word)),
            None => break,
        }
        if command.get_subcommands().next().is_none() {
            break;
        }
    }
    let mut known = BTreeSet::new();
    all_options(command, &mut known);
    let rest: Vec<_> = words.collect();
    names.extend(rest.iter().flat_map(|word| options(word)));
    let wrong: Vec<_> = names.into_iter().filter(|o| !known.contains(*o)).collect();
    let of = command.get_name();
    (!wrong.is_empty()).then(|| format!("`{line}`: `{of}` doesn't have {wrong:?}"))
}

#[test]
fn command_lines_in_the_docs_have_the_options_of_their_commands() {
    let program = program();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (name, text) in pages() {
        for line in text.lines() {
            for piece in line.split('`').skip(1).step_by(2) {
                let piece = piece.split('|').next().unwrap_or_default().trim();
                if piece.starts_with("lsnap ") {
                    count += 1;
                    wrong.extend(fault(&program, piece).map(|fault| format!("{name}: {fault}")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 80, "only {count} command lines found");
    assert!(fault(&program, "lsnap list --incremental").is_some());
    assert!(fault(&program, "lsnap cloud put --md5 NAME").is_none());
}

/// Returns the kinds of errors, as programs see them.
fn kinds() -> Vec<(String, ErrorKind)> {
    use ErrorKind::*;
    let all = [
        Arguments,
        NotFound,
        AlreadyExists,
        Conflict,
        Busy,
        AccessDenied,
        Key,
        Damaged,
        ChainBroken,
        Unreachable,
        Changed,
        Precondition,
        Incompatible,
        Full,
        Interrupted,
        System,
        Internal,
    ];
    let source = std::fs::read_to_string(root().join("src/error_kind.rs")).unwrap();
    let variants = syn::parse_file(&source).unwrap().items.into_iter();
    let variants: usize = variants
        .map(|item| match item {
            syn::Item::Enum(item) if item.ident == "ErrorKind" => item.variants.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(variants, all.len(), "a kind is missing here");
    let named = all.map(|kind| {
        let name = serde_json::to_value(kind).unwrap();
        (name.as_str().unwrap().to_owned(), kind)
    });
    named.to_vec()
}

#[test]
fn every_kind_of_error_is_in_the_page_of_troubleshooting() {
    let page = std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    for (name, kind) in kinds() {
        let code = ExitCode::from(kind) as u8;
        let row = format!("| `{name}` | {code} | ");
        let found = page.lines().find(|line| line.starts_with(&row));
        let cells = found.map_or(0, |line| line.matches(" | ").count());
        assert_eq!(
            cells, 3,
            "troubleshooting.md has no row `{row}cause | what to do |`"
        );
    }
}

#[test]
fn an_option_is_the_same_everywhere() {
    let configuration =
        std::fs::read_to_string(root().join("docs/reference/configuration.md")).unwrap();
    let commands_page = std::fs::read_to_string(root().join(PAGE)).unwrap();
    let shown = show::rows(&Configuration::default(), &|_| None);
    let mut completions = Vec::new();
    clap_complete::generate(
        clap_complete::Shell::Bash,
        &mut Cli::command(),
        "lsnap",
        &mut completions,
    );
    let completions = String::from_utf8(completions).unwrap();
    for key in keys(&Cli::command()) {
        let row = format!(
            "| `{}` | `--{}` | `{}` |",
            key.name,
            key.option,
            key.variable()
        );
        assert!(configuration.contains(&row), "{row}");
        let of_show = shown.iter().find(|row| row.key == key.path());
        let of_show = of_show.map(|row| (row.option.clone(), row.variable.clone()));
        let expected = (format!("--{}", key.option), key.variable());
        assert_eq!(of_show, Some(expected), "config show: {}", key.path());
        let row = format!("| `{}` | `{}` |", key.path(), key.variable());
        assert!(commands_page.contains(&row), "{PAGE}: {row}");
    }
    for (path, command) in commands() {
        let mut man = Vec::new();
        clap_mangen::Man::new(command.clone())
            .render(&mut man)
            .unwrap();
        let man = String::from_utf8(man).unwrap();
        let help = command.clone().render_long_help().to_string();
        for arg in visible(&command) {
            let Some(long) = arg.get_long() else { continue };
            let roff = format!("--{long}").replace('-', "\\-");
            assert!(man.contains(&roff), "the manual page of {path}: --{long}");
            assert!(
                help.contains(&format!("--{long}")),
                "help of {path}: {long}"
            );
            assert!(completions.contains(&format!("--{long}")), "{path}: {long}");
            assert!(
                commands_page.contains(&format!("`--{long}")),
                "{path}: {long}"
            );
            assert!(!keys::help(arg).is_empty(), "{path}: --{long} has no help");
        }
    }
}
