//! All documents that comments and pages cite must be in the repository: no document outside of it,
//! and no page or heading that does not exist. `docs/format/README.md#how-to-cite` has the rule.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Directories with code, scripts and their pages.
const CODE: &[&str] = &["src", "tests", "benches", "fuzz", "tools", "examples"];

/// Directories with generated files.
const MADE: &[&str] = &[
    "target",
    "artifacts",
    "corpus",
    "regressions",
    "__pycache__",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text files below `directory`, with their paths from the root.
fn texts(directory: &str, found: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(root().join(directory))
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{directory}/{name}");
        if entry.file_type().unwrap().is_dir() {
            if !MADE.contains(&name.as_str()) {
                texts(&path, found);
            }
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            found.push((path, text));
        }
    }
}

fn code() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for directory in CODE {
        texts(directory, &mut found);
    }
    // This file contains the words that it searches for.
    found.retain(|(path, _)| path != "tests/papers.rs");
    assert!(found.len() > 200, "only {} files found", found.len());
    found
}

/// Returns the pages: all Markdown files of `docs`, and those at the root and next to code and test
/// data.
fn pages() -> BTreeMap<String, String> {
    let mut found = code();
    texts("docs", &mut found);
    texts("testdata", &mut found);
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if is_page(&name) {
            found.push((name.clone(), fs::read_to_string(root().join(name)).unwrap()));
        }
    }
    found.retain(|(path, _)| is_page(path));
    found.into_iter().collect()
}

fn is_page(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|e| e == "md")
}

/// Returns the comments of a file, line by line with their numbers. A page counts as comment; so
/// does a script, because a docstring has no mark of its own.
fn comments<'a>(path: &str, text: &'a str) -> Vec<(usize, &'a str)> {
    let rust = Path::new(path).extension().is_some_and(|e| e == "rs");
    let of_line = |line: &'a str| match line.find("//") {
        Some(at) if rust => Some(&line[at..]),
        _ => (!rust).then_some(line),
    };
    let numbered = (1..).zip(text.lines());
    numbered
        .filter_map(|(number, line)| Some((number, of_line(line)?)))
        .collect()
}

/// Returns a document outside of the repository that a comment cites.
fn outside(comment: &str) -> Option<&'static str> {
    // A script may use the directory next to the project, but not cite it.
    let is_value = comment.contains("$PROJECT/../");
    let words = ["DESIGN", "specs/", "xtrabackup-formats"];
    let word = words.into_iter().find(|word| comment.contains(word));
    if word.is_some() {
        return word;
    }
    if comment.contains("shared/") && !is_value {
        return Some("shared/");
    }
    let numbered = comment.match_indices("spec ").any(|(at, word)| {
        let before = comment[..at].chars().next_back();
        let after = comment[at + word.len()..].chars().next();
        before.is_none_or(|c| !c.is_alphanumeric()) && after.is_some_and(|c| c.is_ascii_digit())
    });
    numbered.then_some("spec")
}

/// Returns the pages that a comment cites, as `docs/page.md` or `docs/page.md#heading`.
fn cited(comment: &str) -> Vec<&str> {
    let part = |c: char| c.is_ascii_alphanumeric() || "_./#-".contains(c);
    let found = comment.match_indices("docs/").filter(|(at, _)| {
        let before = comment[..*at].chars().next_back();
        before.is_none_or(|c| !part(c))
    });
    found
        .map(|(at, _)| {
            let rest = &comment[at..];
            let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
            rest[..end].trim_end_matches('.')
        })
        .filter(|citation| citation.contains(".md"))
        .collect()
}

/// Returns the lines of a page outside of its code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// Returns the anchors of a page, as GitHub derives them from its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeMap::new();
    for line in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let slug: String = heading.trim().to_lowercase().chars().filter(kept).collect();
        *found.entry(slug.replace(' ', "-")).or_insert(0) += 1;
    }
    let numbered = found.into_iter().flat_map(|(slug, times)| {
        (0..times).map(move |n| match n {
            0 => slug.clone(),
            _ => format!("{slug}-{n}"),
        })
    });
    numbered.collect()
}

/// Returns the targets of the links of a page, without links to other sites.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in prose(text) {
        // Every second piece is between backticks.
        for piece in line.split('`').step_by(2) {
            for (at, mark) in piece.match_indices("](") {
                let rest = &piece[at + mark.len()..];
                found.extend(rest.find(')').map(|end| &rest[..end]));
            }
        }
    }
    found.retain(|target| !target.contains("://") && !target.starts_with("mailto:"));
    found
}

/// Returns a path without `..`, relative to the root.
fn plain(path: &Path) -> String {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                parts.pop();
            }
            Component::Normal(name) => parts.push(name.to_str().unwrap()),
            _ => {}
        }
    }
    parts.join("/")
}

/// Returns the reason why a page, or the heading of a page, can't be found.
fn fault(pages: &BTreeMap<String, String>, path: &str, anchor: Option<&str>) -> Option<String> {
    if !root().join(path).exists() {
        return Some(format!("{path} does not exist"));
    }
    let anchor = anchor?;
    let known = pages.get(path).map(|text| anchors(text));
    match known {
        Some(known) if known.contains(anchor) => None,
        Some(known) => Some(format!("{path} has no heading #{anchor}; it has {known:?}")),
        None => Some(format!(
            "{path} is not a page, but #{anchor} is cited of it"
        )),
    }
}

fn parts(citation: &str) -> (&str, Option<&str>) {
    match citation.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (citation, None),
    }
}

#[test]
fn no_comment_cites_a_document_outside_of_the_repository() {
    let mut files = code();
    files.extend(pages());
    let mut wrong = Vec::new();
    for (path, text) in &files {
        for (number, comment) in comments(path, text) {
            if let Some(word) = outside(comment) {
                wrong.push(format!("{path}:{number}: cites {word}: {}", comment.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_page_and_heading_that_a_comment_cites_exists() {
    let pages = pages();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (path, text) in code().iter().filter(|(path, _)| !is_page(path)) {
        for (number, comment) in comments(path, text) {
            for citation in cited(comment) {
                count += 1;
                let (page, anchor) = parts(citation);
                let fault = fault(&pages, page, anchor);
                wrong.extend(fault.map(|fault| format!("{path}:{number}: {fault}")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(count > 0, "no comment cites a page: check `cited`");
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading() {
    let pages = pages();
    assert!(
        pages.contains_key("docs/format/redo.md"),
        "{:?}",
        pages.keys()
    );
    let mut wrong = Vec::new();
    let mut count = 0;
    for (path, text) in &pages {
        for link in links(text) {
            count += 1;
            let (target, anchor) = parts(link);
            let target = match target {
                "" => path.clone(),
                _ => plain(&Path::new(path).parent().unwrap().join(target)),
            };
            let fault = fault(&pages, &target, anchor);
            wrong.extend(fault.map(|fault| format!("{path}: link to {link}: {fault}")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let counts = format!("{count} links checked on {} pages\n", pages.len());
    fs::write(root().join("target/docs-links.txt"), counts).unwrap();
}

#[test]
fn every_page_of_docs_is_in_its_index() {
    let pages = pages();
    for (index, below) in [
        ("docs/README.md", "docs/"),
        ("docs/format/README.md", "docs/format/"),
    ] {
        let listed = links(&pages[index]);
        for page in pages.keys() {
            let Some(name) = page.strip_prefix(below).filter(|name| *name != "README.md") else {
                continue;
            };
            let is_deeper = name.contains('/');
            assert!(
                is_deeper || listed.contains(&name),
                "{index} does not link to {name}"
            );
        }
    }
}

/// Returns the keys of a JSON text, with a simple method: strings before a colon.
fn keys(json: &str) -> BTreeSet<&str> {
    let pieces: Vec<&str> = json.split('"').collect();
    let pairs = pieces.windows(2).skip(1).step_by(2);
    let found = pairs.filter(|pair| pair[1].trim_start().starts_with(':'));
    found.map(|pair| pair[0]).collect()
}

#[test]
fn every_key_of_a_manifest_is_in_its_page() {
    let page = fs::read_to_string(root().join("docs/format/manifest.md")).unwrap();
    let mut files = Vec::new();
    texts("testdata/manifest", &mut files);
    files.retain(|(path, _)| Path::new(path).extension().is_some_and(|e| e == "json"));
    assert!(files.len() >= 3, "{files:?}");
    for (path, text) in &files {
        let keys = keys(text);
        assert!(keys.len() > 50, "{path}: {keys:?}");
        for key in keys {
            let is_there = page.contains(&format!("`{key}`"));
            assert!(
                is_there,
                "{path} has {key}, docs/format/manifest.md does not"
            );
        }
    }
}

#[test]
fn violations_of_the_rules_are_detected() {
    for bad in [
        "// order (spec 3.1)",
        "// the overlap (DESIGN 2.2)",
        "//! `specs/formats.md` 2",
        "# see ../shared/README",
    ] {
        assert!(outside(bad).is_some(), "{bad}");
    }
    for good in [
        "// inspec 3, a spec of mine",
        "ARCHIVE=$PROJECT/../shared/mysql.tar.xz",
        "// docs/format/redo.md#blocks",
    ] {
        assert_eq!(outside(good), None, "{good}");
    }
    let cases = comments("a.rs", "let spec = 3; // one\nlet x = 1;\n/// two");
    assert_eq!(cases, [(1, "// one"), (3, "/// two")]);
    assert_eq!(
        cited("/// (docs/format/redo.md#blocks, docs/design.md). https://x/docs/y.md"),
        ["docs/format/redo.md#blocks", "docs/design.md"]
    );
    let page =
        "# A `b_c` D.\n```\n# no\n```\n## Twice\n## Twice\n[x](y.md#z) `[a](b)` [w](https://w)";
    let known: Vec<String> = anchors(page).into_iter().collect();
    assert_eq!(known, ["a-b_c-d", "twice", "twice-1"]);
    assert_eq!(links(page), ["y.md#z"]);
    assert_eq!(
        plain(Path::new("docs/format/../design.md")),
        "docs/design.md"
    );
    let pages = pages();
    assert!(fault(&pages, "docs/design.md", Some("no-such-heading")).is_some());
    assert!(fault(&pages, "docs/none.md", None).is_some());
}
