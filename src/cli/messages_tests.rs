//! The options and fields that texts name exist: the program names options, the library names fields of its option
//! structs, which the program translates ([`super::option_names`]).

use super::Cli;
use super::option_names::{DIFFERENT, OF_COMPAT, STRUCTS, translated};
use clap::CommandFactory as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Options of other programs in texts: the option, the program.
const OF_OTHERS: &[(&str, &str)] = &[
    ("apply-log-only", "xtrabackup"),
    ("format", "aws"),
    ("lock-ddl", "xtrabackup"),
    ("long", "zstd"),
    ("lower-case-table-names", "mysqld"),
    ("move-back", "xtrabackup"),
    ("prepare", "xtrabackup"),
    ("target-dir", "xtrabackup"),
];

/// Files with command lines of other programs: the file, the program.
const LINES_OF_OTHERS: &[(&str, &str)] = &[
    (
        "agent/sidecar/calls.rs",
        "lsnap under the names of xtrabackup",
    ),
    ("restore/mysqld/arguments.rs", "mysqld"),
    ("restore/mysqld/missing.rs", "mysqld"),
    ("restore/next/start.rs", "mysqld"),
    ("restore/xtrabackup.rs", "xtrabackup"),
];

/// Texts of the library with options of other programs that lsnap has too: the file, a part of the text, the program.
const ALSO_OF_OTHERS: &[(&str, &str, &str)] = &[
    ("reader/foreign.rs", "xtrabackup --decompress", "xtrabackup"),
    ("restore/applier.rs", "--no-defaults", "mysqld"),
    ("restore/applier.rs", "--version", "mysqld"),
    ("restore/owner.rs", "--user={name}", "mysqld"),
    ("restore/owner.rs", "--user=root", "mysqld"),
    (
        "store/backend/aws_profile.rs",
        "export-credentials --profile",
        "aws",
    ),
];

/// Adds all long options of a command and its subcommands, including hidden ones and aliases.
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

/// Returns the string literals of Rust source, without those of tests at its end.
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

/// Returns the number of hashes of a raw string that starts here.
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

/// Returns the long options that a text names.
pub(crate) fn named(text: &str) -> Vec<&str> {
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

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn all_sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    sources(&src(), &mut files);
    assert!(files.len() > 100, "{}", files.len());
    files
}

/// Returns the literals of each file of the library, without the files in [`LINES_OF_OTHERS`].
pub(crate) fn library_texts() -> Vec<(String, Vec<String>)> {
    let src = src();
    let all = all_sources().into_iter().map(|file| {
        let path = file
            .strip_prefix(&src)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        (path, literals(&std::fs::read_to_string(&file).unwrap()))
    });
    // `compat` has the options of xtrabackup, `agent` composes the command lines of its jobs, and the texts of `metrics` are
    // for people who run the program.
    let of_program = ["cli/", "compat/", "agent/", "metrics/"];
    all.filter(|(path, _)| !of_program.iter().any(|layer| path.starts_with(layer)))
        .filter(|(path, _)| LINES_OF_OTHERS.iter().all(|(other, _)| other != path))
        .collect()
}

#[test]
fn options_in_messages_are_real() {
    let mut known = BTreeSet::new();
    options(&Cli::command(), &mut known);
    known.extend(["help", "version"].map(str::to_owned));
    let others: BTreeSet<_> = OF_OTHERS.iter().map(|(name, _)| *name).collect();
    let src = src();
    let mut files = all_sources();
    files.retain(|file| !file.starts_with(src.join("compat")));
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
fn the_library_names_no_options() {
    let others: BTreeSet<_> = OF_OTHERS.iter().map(|(name, _)| *name).collect();
    let mut unseen: Vec<_> = ALSO_OF_OTHERS.to_vec();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, texts) in library_texts() {
        let layer = path.split(['/', '.']).next().unwrap().to_owned();
        for text in texts {
            let is_here =
                |(file, part, _): &(&str, &str, &str)| *file == path && text.contains(*part);
            unseen.retain(|also| !is_here(also));
            if ALSO_OF_OTHERS.iter().any(is_here) {
                continue;
            }
            for name in named(&text) {
                if !others.contains(name) {
                    let text = format!("{path}: --{name} in {text:?}");
                    found.entry(layer.clone()).or_default().push(text);
                }
            }
        }
    }
    assert!(
        found.is_empty(),
        "these texts of the library name options, not fields: {found:#?}"
    );
    assert!(unseen.is_empty(), "no text has these any more: {unseen:?}");
}

/// Returns the paths `Type::name` in a text.
pub(crate) fn paths(text: &str) -> Vec<(&str, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let all = text.match_indices("::").map(|(at, _)| {
        let (before, tail) = (&text[..at], &text[at + 2..]);
        let start = before.rfind(|c| !is_word(c)).map_or(0, |at| at + 1);
        let end = tail.find(|c| !is_word(c)).unwrap_or(tail.len());
        (before.get(start..).unwrap_or_default(), &tail[..end])
    });
    all.filter(|(owner, _)| owner.starts_with(|c: char| c.is_ascii_uppercase()))
        .collect()
}

/// Returns the fields of all structs and the variants of all enums of the sources, as `Type::name`.
pub(crate) fn members() -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for file in all_sources() {
        let text = std::fs::read_to_string(file).unwrap();
        for item in syn::parse_file(&text).unwrap().items {
            match item {
                syn::Item::Struct(item) => out.extend(item.fields.iter().filter_map(|field| {
                    Some(format!("{}::{}", item.ident, field.ident.as_ref()?))
                })),
                syn::Item::Enum(item) => out.extend(
                    item.variants
                        .iter()
                        .map(|variant| format!("{}::{}", item.ident, variant.ident)),
                ),
                _ => {}
            }
        }
    }
    out
}

/// Returns the options of the subcommands that fill a struct, or of all subcommands for an enum.
fn options_of(owner: &str) -> BTreeSet<String> {
    let program = Cli::command();
    let mut out = BTreeSet::new();
    match STRUCTS.iter().find(|(name, _)| *name == owner) {
        None => options(&program, &mut out),
        Some((_, commands)) => {
            for command in *commands {
                options(program.find_subcommand(command).unwrap(), &mut out);
            }
        }
    }
    out
}

/// Returns the fault of a path in a message of the library.
fn fault(owner: &str, name: &str, members: &BTreeSet<String>) -> Option<String> {
    let path = format!("{owner}::{name}");
    if !members.contains(&path) {
        return Some(format!("{path} doesn't exist"));
    }
    if OF_COMPAT.contains(&owner) {
        return None;
    }
    let translated = translated(&path);
    let known = options_of(owner);
    let options = named(&translated);
    if options.is_empty() {
        return Some(format!("{path} has no option"));
    }
    let missing = options
        .into_iter()
        .find(|option| !known.contains(*option))?;
    Some(format!("{path}: no command that fills it has --{missing}"))
}

#[test]
fn paths_in_messages_are_options() {
    let members = members();
    let mut wrong = Vec::new();
    for (file, texts) in library_texts() {
        // Without values of attributes, such as `skip_serializing_if = "Option::is_none"`.
        for text in texts.iter().filter(|text| text.contains(' ')) {
            let faults = paths(text).into_iter();
            let faults = faults.filter_map(|(owner, name)| fault(owner, name, &members));
            wrong.extend(faults.map(|fault| format!("{file}: {fault}")));
        }
    }
    for (path, _) in DIFFERENT {
        let (owner, name) = path.split_once("::").unwrap();
        wrong.extend(fault(owner, name, &members));
    }
    for (name, _) in STRUCTS {
        let prefix = format!("{name}::");
        if !members.iter().any(|member| member.starts_with(&prefix)) {
            wrong.push(format!("{name} doesn't exist"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (owner, name) in [
        ("BackupOptions", "no_such_field"),
        ("BackupOptions", "cancel"),
        ("NoSuchStruct", "field"),
    ] {
        assert!(fault(owner, name, &members).is_some(), "{owner}::{name}");
    }
    assert_eq!(
        paths("(A::b), c::d"),
        [("A", "b")],
        "paths of fields have types"
    );
}

#[test]
fn literals_are_found() {
    let source = r##"
        // "--comment"
        /* "--block" */
        let a = "--one \" --two"; let c = '"'; let d = '\''; let l: &'static str = "--three";
        let r = r#"--four "#; let var"; // not a literal
    "##;
    let source = source.replace("let var\"", "let bar = \"--five\"");
    let all = literals(&source).join(" ");
    assert_eq!(named(&all), ["one", "two", "three", "four", "five"]);
    assert!(named("a--b ---c -- d, 0x--").is_empty());
    assert_eq!(named("(--lock-timeout) or --to=x"), ["lock-timeout", "to"]);
}
