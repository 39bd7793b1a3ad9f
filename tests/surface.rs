//! The public surface of the library, so that it changes on purpose: `docs/public-api.txt` lists every public item that
//! isn't hidden, with its fields, variants and methods. After a change that is meant, write it anew:
//!
//! ```sh
//! LSNAP_SURFACE=write cargo test --test surface
//! ```

#![allow(clippy::unwrap_used)]

use quote::ToTokens;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, TraitItem, Type, UseTree, Visibility};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The items of a module: `["store", "url"]` lies in `src/store/url.rs`.
fn items_of(module: &[String]) -> Option<Rc<Vec<Item>>> {
    let place: PathBuf = root().join(module.iter().collect::<PathBuf>());
    let files = match module {
        [] => vec![root().join("lib.rs")],
        _ => vec![place.with_extension("rs"), place.join("mod.rs")],
    };
    files.iter().find_map(|file| parsed(file))
}

/// The items of a file, which is parsed once.
fn parsed(file: &Path) -> Option<Rc<Vec<Item>>> {
    thread_local! {
        static PARSED: RefCell<HashMap<PathBuf, Option<Rc<Vec<Item>>>>> = RefCell::default();
    }
    PARSED.with_borrow_mut(|all| {
        let parse = || {
            let text = fs::read_to_string(file).ok()?;
            let parsed = syn::parse_file(&text);
            let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            Some(Rc::new(parsed.items))
        };
        all.entry(file.to_owned()).or_insert_with(parse).clone()
    })
}

fn text(tokens: &impl ToTokens) -> String {
    let spaced = tokens.to_token_stream().to_string();
    let mut text = spaced
        .replace(" :: ", "::")
        .replace(" < ", "<")
        .replace(" >", ">");
    for (from, to) in [
        ("& ", "&"),
        (" ,", ","),
        (" :", ":"),
        ("( ", "("),
        (" )", ")"),
        (" (", "("),
        ("<'_> ", "<'_>"),
    ] {
        text = text.replace(from, to);
    }
    text
}

fn says(attributes: &[Attribute], name: &str, word: &str) -> bool {
    let named = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident(name));
    let mut texts = named.map(|attribute| text(&attribute.meta));
    texts.any(|text| text.contains(word))
}

fn is_shown(visibility: &Visibility, attributes: &[Attribute]) -> bool {
    matches!(visibility, Visibility::Public(_))
        && !says(attributes, "doc", "hidden")
        && !says(attributes, "cfg", "(test)")
}

/// Each path of a `use`, with the name that it gets.
fn uses(tree: &UseTree, before: &[String], to: &mut Vec<(Vec<String>, String)>) {
    let with = |name: String| [before, &[name]].concat();
    match tree {
        UseTree::Path(path) => uses(&path.tree, &with(path.ident.to_string()), to),
        UseTree::Name(name) => to.push((with(name.ident.to_string()), name.ident.to_string())),
        UseTree::Rename(name) => to.push((with(name.ident.to_string()), name.rename.to_string())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| uses(tree, before, to)),
        UseTree::Glob(_) => to.push((before.to_vec(), "*".to_owned())),
    }
}

fn name_of(item: &Item) -> Option<String> {
    Some(match item {
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Const(item) => item.ident.to_string(),
        _ => return None,
    })
}

/// The definition that a path within a module leads to, through other `use`s, and its module.
fn resolve(module: &[String], path: &[String]) -> Option<(Vec<String>, Item)> {
    let (mut place, mut path) = (module.to_vec(), path.to_vec());
    while path.len() > 1 {
        match path.remove(0).as_str() {
            "crate" => place.clear(),
            "self" => {}
            "super" => drop(place.pop()),
            child => place.push(child.to_owned()),
        }
    }
    let name = path.pop()?;
    let items = items_of(&place)?;
    for item in &*items {
        if name_of(item).is_some_and(|found| found == name) {
            return Some((place, item.clone()));
        }
        if let Item::Use(used) = item {
            let mut found = Vec::new();
            uses(&used.tree, &[], &mut found);
            if let Some((from, _)) = found.into_iter().find(|(_, to)| *to == name) {
                return resolve(&place, &from);
            }
        }
    }
    None
}

#[derive(Default)]
struct Surface(BTreeSet<String>);

impl Surface {
    /// A module that is public, and all that is below it.
    fn module(&mut self, module: &[String], shown: &str) {
        let items = items_of(module).unwrap_or_else(|| panic!("{module:?} has no file"));
        for item in &*items {
            match item {
                Item::Mod(child) if is_shown(&child.vis, &child.attrs) => {
                    let name = child.ident.to_string();
                    let path = format!("{shown}::{name}");
                    self.0.insert(format!("{path} mod"));
                    assert!(
                        child.content.is_none(),
                        "{path}: a module with a file of its own, please"
                    );
                    self.module(&[module, &[name]].concat(), &path);
                }
                Item::Use(used) if is_shown(&used.vis, &used.attrs) => {
                    let mut found = Vec::new();
                    uses(&used.tree, &[], &mut found);
                    for (from, name) in found {
                        assert!(name != "*", "{from:?}: a glob hides what it makes public");
                        let path = format!("{shown}::{name}");
                        match resolve(module, &from) {
                            // Its module shows it as a whole.
                            Some((place, _)) if module.is_empty() && self.shows(&place) => {
                                self.0.insert(format!("{path} use {}", from.join("::")));
                            }
                            Some((place, item)) => self.item(&path, &place, &item),
                            None => drop(self.0.insert(format!("{path} use {}", from.join("::")))),
                        }
                    }
                }
                _ => {
                    if let (Some(name), true) = (name_of(item), is_public(item)) {
                        self.item(&format!("{shown}::{name}"), module, item);
                    }
                }
            }
        }
    }

    /// Whether a module lies in a layer that is public.
    fn shows(&self, module: &[String]) -> bool {
        items_of(&[]).unwrap().iter().any(|item| match item {
            Item::Mod(layer) => layer.ident == module[0] && is_shown(&layer.vis, &layer.attrs),
            _ => false,
        })
    }

    fn item(&mut self, path: &str, module: &[String], item: &Item) {
        match item {
            Item::Fn(item) => drop(self.0.insert(format!("{path} {}", text(&item.sig)))),
            Item::Const(item) => drop(self.0.insert(format!("{path} const {}", text(&item.ty)))),
            Item::Type(item) => drop(self.0.insert(format!("{path} type {}", text(&item.ty)))),
            Item::Struct(item) => {
                self.kind(path, "struct", &item.attrs);
                self.fields(path, &item.fields, false);
                self.methods(path, module, &item.ident.to_string());
            }
            Item::Enum(item) => {
                self.kind(path, "enum", &item.attrs);
                for variant in &item.variants {
                    let path = format!("{path}::{}", variant.ident);
                    self.0.insert(format!("{path} variant"));
                    self.fields(&path, &variant.fields, true);
                }
                self.methods(path, module, &item.ident.to_string());
            }
            Item::Trait(item) => {
                self.kind(path, "trait", &item.attrs);
                for item in &item.items {
                    if let TraitItem::Fn(method) = item {
                        self.0.insert(format!(
                            "{path}::{} {}",
                            method.sig.ident,
                            text(&method.sig)
                        ));
                    }
                }
            }
            other => panic!("{path}: {}", text(other)),
        }
    }

    fn kind(&mut self, path: &str, kind: &str, attributes: &[Attribute]) {
        let open = says(attributes, "non_exhaustive", "");
        let more = if open { ", more may come" } else { "" };
        self.0.insert(format!("{path} {kind}{more}"));
    }

    fn fields(&mut self, path: &str, fields: &Fields, all: bool) {
        for (number, field) in fields.iter().enumerate() {
            if all || is_shown(&field.vis, &field.attrs) {
                let name = field
                    .ident
                    .as_ref()
                    .map_or(number.to_string(), ToString::to_string);
                self.0.insert(format!("{path}.{name} {}", text(&field.ty)));
            }
        }
    }

    /// The methods of a type, which may lie in any file of its layer.
    fn methods(&mut self, path: &str, module: &[String], name: &str) {
        let mut files = Vec::new();
        sources(&root().join(&module[0]), &mut files);
        files.push(root().join(&module[0]).with_extension("rs"));
        let sources = files
            .iter()
            .filter(|file| file.extension().is_some_and(|end| end == "rs"));
        for items in sources.filter_map(|file| parsed(file)) {
            for item in &*items {
                let Item::Impl(ItemImpl {
                    trait_: None,
                    self_ty,
                    items,
                    ..
                }) = item
                else {
                    continue;
                };
                let Type::Path(of) = self_ty.as_ref() else {
                    continue;
                };
                if of
                    .path
                    .segments
                    .last()
                    .is_none_or(|last| last.ident != name)
                {
                    continue;
                }
                for item in items {
                    if let ImplItem::Fn(method) = item
                        && is_shown(&method.vis, &method.attrs)
                    {
                        self.0.insert(format!(
                            "{path}::{} {}",
                            method.sig.ident,
                            text(&method.sig)
                        ));
                    }
                }
            }
        }
    }
}

fn is_public(item: &Item) -> bool {
    match item {
        Item::Fn(item) => is_shown(&item.vis, &item.attrs),
        Item::Struct(item) => is_shown(&item.vis, &item.attrs),
        Item::Enum(item) => is_shown(&item.vis, &item.attrs),
        Item::Trait(item) => is_shown(&item.vis, &item.attrs),
        Item::Type(item) => is_shown(&item.vis, &item.attrs),
        Item::Const(item) => is_shown(&item.vis, &item.attrs),
        _ => false,
    }
}

fn sources(directory: &Path, to: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, to);
        } else {
            to.push(path);
        }
    }
}

#[test]
fn it_changes_on_purpose() {
    let mut surface = Surface::default();
    surface.module(&[], "lsnap");
    let found: String = surface.0.iter().map(|line| format!("{line}\n")).collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/public-api.txt");
    if std::env::var("LSNAP_SURFACE").is_ok_and(|text| text == "write") {
        fs::write(&file, &found).unwrap();
    }
    let listed = fs::read_to_string(&file).unwrap_or_default();
    let listed: BTreeSet<&str> = listed.lines().collect();
    let found: BTreeSet<&str> = found.lines().collect();
    let gone: Vec<_> = listed
        .difference(&found)
        .map(|line| format!("- {line}"))
        .collect();
    let new: Vec<_> = found
        .difference(&listed)
        .map(|line| format!("+ {line}"))
        .collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "the public surface is not that of docs/public-api.txt:\n{}\nIf that is meant, run \
         `LSNAP_SURFACE=write cargo test --test surface` and name the change in CHANGELOG.md",
        [gone, new].concat().join("\n")
    );
}
