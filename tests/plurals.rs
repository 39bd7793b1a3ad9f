//! No message contains "1 files": a number with a noun after it is formatted by `counted::count`,
//! never by a format string. The test searches the texts of all of `src` for a placeholder before a
//! plural.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// The nouns that messages count. The test can't find a noun that is missing here: add it with the
/// first message that contains it.
const PLURALS: &[&str] = &[
    "backups",
    "blocks",
    "bytes",
    "chains",
    "channels",
    "chunks",
    "clusters",
    "columns",
    "connections",
    "copies",
    "cores",
    "days",
    "deltas",
    "descriptors",
    "digests",
    "digits",
    "directories",
    "entries",
    "errors",
    "events",
    "faults",
    "fields",
    "files",
    "frames",
    "hours",
    "incrementals",
    "indexes",
    "instants",
    "items",
    "keys",
    "leases",
    "levels",
    "lines",
    "links",
    "locks",
    "logs",
    "looks",
    "maps",
    "members",
    "messages",
    "minutes",
    "nodes",
    "objects",
    "options",
    "packs",
    "pages",
    "parts",
    "pieces",
    "positions",
    "problems",
    "ranges",
    "reads",
    "records",
    "requests",
    "retries",
    "rows",
    "seconds",
    "segments",
    "servers",
    "spaces",
    "steps",
    "streams",
    "tables",
    "tablespaces",
    "tasks",
    "threads",
    "times",
    "transactions",
    "tries",
    "uploads",
    "variables",
    "versions",
    "warnings",
    "workers",
    "writes",
];

/// Words that end the search for a noun after a number.
const BETWEEN: &[&str] = &[
    "and", "at", "but", "found", "from", "given", "has", "have", "holds", "in", "into", "is",
    "its", "lists", "no", "not", "of", "on", "or", "other", "out", "says", "than", "that", "the",
    "to", "unwraps", "was", "where", "which", "with", "without",
];

/// Placeholders that are never 1, each with the reason.
const ALLOWED: &[(&str, &str)] = &[
    ("page_size", "pages have at least 1024 bytes"),
    ("size", "the size of a page"),
];

fn sources(dir: &Path, to: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, to);
        } else if name.ends_with(".rs")
            && !name.ends_with("tests.rs")
            && name != "messages.rs"
            && !name.starts_with("real_")
        {
            to.push(path);
        }
    }
}

/// Returns the code without its tests, comments and the line ends within its texts.
fn texts(source: &str) -> String {
    let end = source
        .find("#[cfg(test)]\nmod tests {")
        .unwrap_or(source.len());
    let lines = source[..end].lines().map(str::trim);
    let mut code = String::new();
    for line in lines.filter(|line| !line.starts_with("//")) {
        match line.strip_suffix('\\') {
            Some(goes_on) => code.push_str(goes_on),
            None => code.extend([line, "\n"]),
        }
    }
    code
}

/// Returns placeholders with the words after them: `found`, `bytes`, `are`.
fn counted(code: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (end, _) in code.match_indices("} ") {
        let Some(begin) = code[..end].rfind(['{', '}', '\n']) else {
            continue;
        };
        let inside = &code[begin + 1..end];
        let name = inside.split(':').next().unwrap();
        let is_placeholder = code[begin..].starts_with('{')
            && inside
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_:.#?<>".contains(c));
        if is_placeholder {
            found.push((name, code[end + 2..].lines().next().unwrap_or_default()));
        }
    }
    found
}

/// Returns the plural after a number.
fn plural(behind: &str) -> Option<&str> {
    let mut words = behind.split(|c: char| !c.is_ascii_alphabetic() && c != '-');
    let first = words.next()?;
    if PLURALS.contains(&first) {
        return Some(first);
    }
    let second = words.next()?;
    let goes_on = behind.strip_prefix(first)?.starts_with(' ');
    (goes_on && !first.is_empty() && !BETWEEN.contains(&first) && PLURALS.contains(&second))
        .then_some(second)
}

fn is_constant(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Returns every text in a source that could read "1 files".
fn wrong(source: &str) -> Vec<String> {
    let code = texts(source);
    let counted = counted(&code);
    let found = counted.into_iter().filter_map(|(name, behind)| {
        let plural = plural(behind)?;
        // a constant has a known value, which is more than 1
        let allowed = is_constant(name) || ALLOWED.iter().any(|(known, _)| *known == name);
        (!allowed).then(|| format!("{{{name}}} {behind:.60} ({plural})"))
    });
    found.collect()
}

#[test]
fn numbers_with_nouns_use_count() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 100, "{}", files.len());
    let mut all = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&src).unwrap().display();
        all.extend(
            wrong(&source)
                .into_iter()
                .map(|text| format!("{name}: {text}")),
        );
    }
    assert!(
        all.is_empty(),
        "use counted::count for:\n{}",
        all.join("\n")
    );
}

#[test]
fn violations_of_the_rule_are_found() {
    for text in [
        r#"format!("{} files", n)"#,
        r#"format!("{n} files, {bytes}")"#,
        r#"format!("{:>4} encrypted pages", n)"#,
        "#[error(\"it has {found} \\\n    bytes\")]",
        r#"format!("found {} of {} bytes", a, b)"#,
        r#"writeln!(out, "{0} tablespace files", n)"#,
    ] {
        assert_eq!(wrong(text).len(), 1, "{text}");
    }
    for text in [
        r#"format!("{}, {size}", count(n, "file"))"#,
        r#"format!("at most {MAX} bytes")"#,
        r#"format!("{name} has pages")"#,
        "// {n} files",
        r#"match x { A { .. } => "files" }"#,
    ] {
        assert_eq!(wrong(text), [""; 0], "{text}");
    }
}
