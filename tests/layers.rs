//! The rule on layers (`docs/design.md#layers`): a lower layer never imports a higher one, and the
//! layers of formats don't use files, servers or clouds. Sources are parsed as syntax, so that no
//! line break hides an import.

#![allow(clippy::unwrap_used)]

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use std::fs;
use std::path::{Path, PathBuf};
use syn::{Attribute, Item, ItemMod};

/// The layers that each layer may import. `progress` is for every layer above the formats.
const MAY: &[(&str, &[&str])] = &[
    ("mem", &[]),
    ("pace", &[]),
    ("counted", &[]),
    // for tests only
    ("reference_file", &[]),
    ("error_kind", &[]),
    ("locked", &[]),
    ("cancel", &[]),
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
    ("manifest", &["innodb", "xbstream", "codec"]),
    (
        "store",
        &[
            "innodb",
            "mem",
            "xbstream",
            "manifest",
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
        &[
            "xbstream", "codec", "manifest", "store", "archive", "progress",
        ],
    ),
    (
        "backup",
        &[
            "innodb", "mem", "pace", "xbstream", "delta", "codec", "datadir", "server", "manifest",
            "store", "progress", "child",
        ],
    ),
    (
        "reader",
        &[
            "innodb", "xbstream", "delta", "codec", "manifest", "store", "progress",
        ],
    ),
    (
        "restore",
        &[
            "innodb", "mem", "syncing", "child", "xbstream", "delta", "codec", "server",
            "manifest", "store", "reader", "progress",
        ],
    ),
    (
        "verify",
        &[
            "innodb", "xbstream", "delta", "codec", "manifest", "store", "reader", "restore",
            "progress",
        ],
    ),
    // `restore`: only its tests, for their fixture
    (
        "consolidate",
        &[
            "innodb", "xbstream", "delta", "codec", "manifest", "store", "reader", "restore",
            "verify", "progress",
        ],
    ),
    (
        "copy",
        // `verify`: only its tests
        &["codec", "manifest", "store", "reader", "verify", "progress"],
    ),
    // the error of the crate's root; only the program uses it
    (
        "error",
        &[
            "codec",
            "xbstream",
            "manifest",
            "server",
            "store",
            "archive",
            "cloud",
            "reader",
            "backup",
            "restore",
            "verify",
            "consolidate",
            "copy",
            // only its tests
            "progress",
        ],
    ),
    // entry points of the benchmarks; not imported by any layer
    (
        "benching",
        &[
            "innodb", "manifest", "store", "reader", "backup", "restore", "progress",
        ],
    ),
    // tests of guarantees of all jobs
    (
        "jobs",
        &[
            "archive",
            "cloud",
            "codec",
            "consolidate",
            "manifest",
            "progress",
            "reader",
            "restore",
            "store",
            "verify",
            "xbstream",
        ],
    ),
    // entry points of the fuzzer; not imported by any layer
    (
        "fuzzing",
        &["archive", "backup", "manifest", "restore", "store"],
    ),
    ("metrics", &["manifest", "store"]),
    (
        "agent",
        &[
            "metrics",
            "shown",
            "secret_file",
            "child",
            "xbstream",
            "manifest",
            "store",
            "server",
            "progress",
        ],
    ),
    (
        "cli",
        &[
            "agent",
            "metrics",
            "mem",
            "shown",
            "secret_file",
            "child",
            "innodb",
            "codec",
            "archive",
            "cloud",
            "backup",
            "restore",
            "server",
            "datadir",
            "manifest",
            "store",
            "reader",
            "progress",
            "xbstream",
            "verify",
            "consolidate",
            "copy",
        ],
    ),
    (
        "compat",
        &[
            "shown",
            "secret_file",
            "child",
            "innodb",
            "codec",
            "archive",
            "backup",
            "restore",
            "server",
            "manifest",
            "store",
            "cloud",
            "progress",
            "cli",
        ],
    ),
];

/// Layers that every layer may import.
const EVERYWHERE: &[&str] = &[
    "counted",
    "error_kind",
    "locked",
    "cancel",
    "reference_file",
];

/// Layers of formats, without I/O.
const PURE: &[&str] = &["innodb", "xbstream", "delta", "codec", "manifest"];

/// Paths that those layers must not use outside of their tests.
const IMPURE: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "net"],
    &["std", "process"],
    &["tokio"],
    &["object_store"],
    &["mysql"],
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

/// Returns the module of a file: `["store", "url"]` for `src/store/url.rs`.
fn module_of(file: &Path) -> Vec<String> {
    let inside = file
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let parts = inside.with_extension("");
    let mut parts: Vec<String> = parts
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    // `x_tests.rs` holds the tests of `x.rs`.
    parts[0] = parts[0].trim_end_matches("_tests").to_owned();
    parts
}

/// Returns whether a file is compiled for tests only.
fn is_test(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap();
    file.contains("/tests/")
        || name.contains("test")
        || name.starts_with("real_")
        || name.starts_with("fixture")
        || file.contains("/fixture/")
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .to_token_stream()
                .to_string()
                .replace(' ', "")
                .contains("cfg(test)")
    })
}

/// Removes the modules that only tests have.
fn without_tests(items: Vec<Item>) -> Vec<Item> {
    let kept = items.into_iter().filter_map(|item| match item {
        Item::Mod(module) if is_for_tests(&module.attrs) => None,
        Item::Mod(module) => Some(Item::Mod(ItemMod {
            content: module
                .content
                .map(|(brace, items)| (brace, without_tests(items))),
            ..module
        })),
        other => Some(other),
    });
    kept.collect()
}

/// Returns every path of these tokens, from its first word on; a group of a `use` gives each of its
/// paths.
fn paths(tokens: TokenStream, before: &[String], out: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = before.to_vec();
    // Two colons joined this word to the path before it.
    let mut joined = true;
    let mut colons = 0;
    let end = |path: &mut Vec<String>, out: &mut Vec<Vec<String>>| {
        if path.len() > before.len() {
            out.push(path.clone());
        }
        *path = before.to_vec();
    };
    for token in tokens {
        match token {
            TokenTree::Ident(word) => {
                if !joined {
                    end(&mut path, out);
                }
                path.push(word.to_string());
                (joined, colons) = (false, 0);
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => {
                colons += 1;
                joined = colons == 2;
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && joined => {
                paths(group.stream(), &path, out);
                path = before.to_vec();
                (joined, colons) = (true, 0);
            }
            TokenTree::Group(group) => {
                end(&mut path, out);
                paths(group.stream(), &[], out);
                (joined, colons) = (true, 0);
            }
            _ => {
                end(&mut path, out);
                (joined, colons) = (true, 0);
            }
        }
    }
    end(&mut path, out);
}

/// Returns the layer of a path in this module, if the path leads out of it.
fn layer_of(path: &[String], module: &[String]) -> Option<String> {
    if path.first()? == "crate" {
        return path.get(1).cloned();
    }
    let up = path.iter().take_while(|word| *word == "super").count();
    // Modules within the file are not counted, so the number may be larger.
    (up > 0 && up == module.len())
        .then(|| path.get(up).cloned())
        .flatten()
}

/// Returns the violations of the rule in a file.
fn check(file: &str, module: &[&str], text: &str) -> Vec<String> {
    let module: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
    let layer = &module[0];
    let Some((_, may)) = MAY.iter().find(|(name, _)| name == layer) else {
        return vec![format!(
            "{file}: layer {layer} is not in the table of tests/layers.rs"
        )];
    };
    let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let tokens = |items: Vec<Item>| items.into_iter().map(ToTokens::into_token_stream).collect();
    let (mut all, mut shipped) = (Vec::new(), Vec::new());
    paths(tokens(parsed.items.clone()), &[], &mut all);
    if !is_test(file) {
        paths(tokens(without_tests(parsed.items)), &[], &mut shipped);
    }
    let mut wrong = Vec::new();
    for path in &all {
        let Some(import) = layer_of(path, &module) else {
            continue;
        };
        let known = MAY.iter().any(|(name, _)| *name == import);
        let allowed = may.contains(&import.as_str()) || EVERYWHERE.contains(&import.as_str());
        if known && import != *layer && !allowed {
            wrong.push(format!(
                "{file}: {layer} must not import {import}: {}",
                path.join("::")
            ));
        }
    }
    for path in &shipped {
        if layer != "child" && path.ends_with(&["Command".to_owned(), "new".to_owned()]) {
            wrong.push(format!(
                "{file}: only src/child.rs starts programs, without the environment: {}",
                path.join("::")
            ));
        }
        let impure =
            |bad: &&&[&str]| path.iter().zip(**bad).filter(|(a, b)| a == b).count() == bad.len();
        if PURE.contains(&layer.as_str())
            && let Some(bad) = IMPURE.iter().find(impure)
        {
            wrong.push(format!(
                "{file}: {layer} is pure, but names {}",
                bad.join("::")
            ));
        }
    }
    wrong
}

#[test]
fn no_layer_imports_a_higher_one() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.len() > 20, "the sources were not found: {files:?}");
    let mut wrong = Vec::new();
    for file in files {
        let module = module_of(&file);
        if module == ["lib"] || module == ["main"] {
            continue;
        }
        let module: Vec<&str> = module.iter().map(String::as_str).collect();
        let text = fs::read_to_string(&file).unwrap();
        wrong.extend(check(&file.display().to_string(), &module, &text));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn violations_of_the_rule_are_detected() {
    let wrong = |module: &[&str], text: &str| check("x.rs", module, text).len();
    assert_eq!(wrong(&["innodb"], "use crate::store::Repository;"), 1);
    assert_eq!(wrong(&["store"], "use crate::{innodb::Lsn, backup};"), 1);
    let broken = "use crate::{\n    innodb::Lsn,\n    backup::{\n        run, x,\n    },\n};";
    assert_eq!(wrong(&["store"], broken), 2);
    assert_eq!(wrong(&["store"], "fn f() { crate\n::backup::run() }"), 1);
    assert_eq!(wrong(&["store", "url"], "use super::super::backup;"), 1);
    assert_eq!(wrong(&["store", "url"], "use super::backup;"), 0);
    assert_eq!(
        wrong(
            &["store"],
            "macro_rules! m { () => { crate::backup::run() } }"
        ),
        1
    );
    assert_eq!(wrong(&["delta"], "fn f() { std::fs::File::open(p) }"), 1);
    assert_eq!(
        wrong(&["delta"], "#[cfg(test)] mod tests { use std::fs; }"),
        0
    );
    assert_eq!(wrong(&["delta"], "use std::{fmt, fs};"), 1);
    assert_eq!(
        wrong(&["backup"], "use crate::store::{Manifest, Upload};"),
        0
    );
    assert_eq!(wrong(&["innodb"], "// crate::store is above"), 0);
    assert_eq!(wrong(&["innodb"], "const A: &str = \"crate::store\";"), 0);
    assert_eq!(wrong(&["backup"], "fn f() { Command::new(\"ls\") }"), 1);
    assert_eq!(
        wrong(&["backup"], "fn f() { std::process::Command::new(\"ls\") }"),
        1
    );
}
