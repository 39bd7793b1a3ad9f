//! A directory as repository: the bytes on disk.

use crate::manifest::{FileEntry, FileRole, ManifestError, StoredPath};
use crate::store::error::backup::BackupFault;
use crate::store::error::base::BaseFault;
use crate::store::error::open::OpenFault;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path as FsPath;

use super::conformance::PATHS;
use super::*;

fn url(dir: &FsPath) -> String {
    ::url::Url::from_file_path(dir).unwrap().to_string()
}

fn files(dir: &FsPath) -> BTreeSet<Vec<u8>> {
    fn walk(root: &FsPath, dir: &FsPath, out: &mut BTreeSet<Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, out);
            } else if !path.ends_with(MARKER) {
                out.insert(
                    path.strip_prefix(root)
                        .unwrap()
                        .as_os_str()
                        .as_bytes()
                        .to_vec(),
                );
            }
        }
    }
    let mut out = BTreeSet::new();
    walk(dir, dir, &mut out);
    out
}

#[test]
fn names_on_disk_are_exactly_the_keys() {
    let dir = tempfile::tempdir().unwrap();
    // the repository's own path is also encoded for a URL internally
    let root = dir.path().join("a b#%41~ü");
    let repository = Repository::open(&url(&root)).unwrap();
    let name = full_name(0);
    let upload = repository.begin(&name, 4).unwrap();
    let entries: Vec<_> = PATHS
        .iter()
        .map(|path| put_file(&upload, path, 1).unwrap())
        .collect();
    upload.finish(&manifest(&name, None, 10, entries)).unwrap();
    let documents = [
        "lsnap_upload.json",
        "lsnap_summary.json",
        "lsnap_manifest.json",
    ];
    let expected: BTreeSet<_> = PATHS
        .iter()
        .chain(&documents)
        .map(|path| format!("{name}/{path}.00000000000000000000").into_bytes())
        .collect();
    assert_eq!(files(&root), expected);
    let reopened = Repository::open(root.to_str().unwrap()).unwrap();
    for file in &reopened.manifest(&name).unwrap().files {
        reopened
            .fetch(&name, file.path.as_stored(), &file.objects[0])
            .unwrap();
    }
}

#[test]
fn a_missing_directory_is_created_by_begin_only() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("x/y");
    let repository = Repository::open(root.to_str().unwrap()).unwrap();
    assert!(matches!(
        repository.list(),
        Err(StoreError::Open(OpenFault::NoRepository { .. }))
    ));
    assert!(matches!(
        repository.manifest(&full_name(0)),
        Err(StoreError::Open(OpenFault::NoRepository { .. }))
    ));
    assert!(matches!(
        repository.next_base(SERVER, None, None),
        Err(StoreError::Base(BaseFault::NoBase { .. }))
    ));
    assert!(!root.exists(), "reading made it");
    backup(&repository, &full_name(0), None, 10);
    assert_eq!(repository.list().unwrap().len(), 1);
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    assert!(matches!(
        Repository::open(file.to_str().unwrap()),
        Err(StoreError::Open(OpenFault::BadUrl { .. }))
    ));
}

#[test]
fn abort_removes_directories_and_an_empty_one_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::open(dir.path().to_str().unwrap()).unwrap();
    let name = full_name(0);
    std::fs::create_dir_all(dir.path().join(name.as_str()).join("db")).unwrap();
    assert_eq!(repository.list().unwrap(), vec![]);
    assert!(matches!(
        repository.manifest(&name),
        Err(StoreError::Backup(BackupFault::NotFound { .. }))
    ));
    let upload = repository.begin(&name, 2).unwrap();
    put_file(&upload, "db/t.ibd", 2).unwrap();
    put_file(&upload, "other/t.ibd", 2).unwrap();
    upload.abort().unwrap();
    assert_eq!(files(dir.path()), BTreeSet::new());
    assert!(!dir.path().join(name.as_str()).join("other").exists());
    assert!(dir.path().exists(), "the repository itself stays");
    backup(&repository, &name, None, 10);
}

#[test]
fn other_files_on_a_volume_do_not_break_a_listing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let repository = Repository::open(root.to_str().unwrap()).unwrap();
    backup(&repository, &full_name(0), None, 10);
    std::fs::create_dir(root.join("lost+found")).unwrap();
    std::fs::write(root.join("lost+found/a\nb"), b"x").unwrap();
    std::fs::write(root.join("new\nline"), b"x").unwrap();
    std::fs::create_dir(root.join("dir\nectory")).unwrap();
    std::fs::write(root.join(std::ffi::OsStr::from_bytes(b"latin\xe91")), b"x").unwrap();
    std::fs::create_dir(root.join(std::ffi::OsStr::from_bytes(b"d\xe9"))).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
    assert_eq!(repository.list().unwrap().len(), 1);
    assert_eq!(repository.resolve("latest").unwrap(), full_name(0));
}

#[test]
fn a_schema_name_too_long_for_a_directory_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::open(dir.path().to_str().unwrap()).unwrap();
    let upload = repository.begin(&full_name(0), 1).unwrap();
    let fits = format!("{}/t.ibd", "x".repeat(252));
    put_file(&upload, &fits, 1).unwrap();
    let long = format!("{}/t.ibd", "x".repeat(253));
    let error = upload
        .put(&long, 0, 0, object(&long, 0, b"x", true))
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::Manifest(ManifestError::BadPath { reason, .. }) if reason.contains("253 bytes")),
        "{error}"
    );
    upload.abort().unwrap();
}

#[test]
fn no_staging_file_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::open(dir.path().to_str().unwrap()).unwrap();
    let name = full_name(0);
    let upload = repository.begin(&name, 4).unwrap();
    let blocked = dir
        .path()
        .join(name.as_str())
        .join("a.00000000000000000000");
    std::fs::write(&blocked, b"theirs").unwrap();
    upload
        .put("a", 0, 0, object("a", 0, b"mine", true))
        .unwrap();
    assert!(matches!(
        upload.finish_file("a"),
        Err(StoreError::ObjectExists { .. })
    ));
    upload.abort().unwrap();
    assert_eq!(files(dir.path()).len(), 1);
    assert_eq!(std::fs::read(&blocked).unwrap(), b"theirs");
}

#[test]
fn the_longest_file_names_are_supported() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::open(&url(dir.path())).unwrap();
    // full, incremental, compressed, encrypted
    let paths: Vec<String> = [225, 226, 231, 232, 251]
        .iter()
        .flat_map(|len| {
            ["", ".delta", ".meta", ".delta.zst.xbcrypt"]
                .map(|suffix| format!("db/{}.ibd{suffix}", "x".repeat(len - 4)))
        })
        .collect();
    let name = full_name(0);
    let upload = repository.begin(&name, 4).unwrap();
    let mut entries = Vec::new();
    for (n, path) in paths.iter().enumerate() {
        if n % 3 == 0 {
            upload
                .put_packed(path, object(path, 0, b"packed", true))
                .unwrap();
            continue;
        }
        entries.push(put_file(&upload, path, 3).unwrap());
    }
    for path in paths.iter().step_by(3) {
        entries.push(FileEntry {
            wrapping: None,
            path: StoredPath::new(path.clone()),
            role: FileRole::Plain,
            bytes: 6,
            objects: upload.finish_file(path).unwrap(),
        });
    }
    let mut made = manifest(&name, None, 10, entries);
    made.format = crate::manifest::packed::format_of(&made.files);
    upload.finish(&made).unwrap();
    // also if the directory was copied to a bucket
    let (copy, store) = memory();
    for key in files(dir.path()) {
        let key = String::from_utf8(key).unwrap();
        put_raw(
            &*store,
            &key,
            &std::fs::read(dir.path().join(&key)).unwrap(),
        );
    }
    for repository in [&repository, &copy] {
        assert!(repository.list().unwrap()[0].is_whole());
        let manifest = repository.manifest(&name).unwrap();
        for file in &manifest.files {
            for object in &file.objects {
                repository
                    .fetch(&name, file.path.as_stored(), object)
                    .unwrap();
            }
        }
    }
    // an aborted upload leaves nothing
    let upload = repository.begin(&full_name(9), 4).unwrap();
    put_file(&upload, &paths[paths.len() - 1], 3).unwrap();
    upload.abort().unwrap();
    assert_eq!(repository.list().unwrap().len(), 1);
}
