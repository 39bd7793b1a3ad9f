//! Backups made by lsnap: objects of several chunks, and a manifest to compare with.

use super::*;
use crate::manifest::{FileEntry, FileRole, Manifest, StoredPath};
use crate::store::tests::{backup, full_name, incr_name, manifest, object};
use crate::store::{ListedState, StoreError};

/// Makes a backup with a file whose objects contain a hole, payload and the end chunk, as
/// consolidation writes them.
fn holes(repository: &Repository) -> Manifest {
    let name = full_name(0);
    let upload = repository.begin(&name, 2).unwrap();
    let path = "db/holes.ibd";
    let mut second = vec![xbstream::hole_chunk(path, 100, 1 << 20).unwrap()];
    second.extend(object(path, 100 + (1 << 20), &[2; 50], false));
    second.extend(object(path, 150 + (1 << 20), &[3; 7], true));
    upload
        .put(path, 0, 0, object(path, 0, &[1; 100], false))
        .unwrap();
    upload.put(path, 1, 100, second).unwrap();
    let objects = upload.finish_file(path).unwrap();
    let files = vec![FileEntry {
        wrapping: None,
        path: StoredPath::new(path),
        role: FileRole::Plain,
        bytes: 157 + (1 << 20),
        objects,
    }];
    let manifest = manifest(&name, None, 10, files);
    upload.finish(&manifest).unwrap();
    manifest
}

#[test]
fn the_stream_has_the_documents_and_is_compared_with_the_manifest() {
    let (repository, ..) = faulty();
    let made = holes(&repository);
    let (out, report) = get_bytes(&repository, made.name.as_str(), |_| {});
    let report = report.unwrap();
    assert_eq!(
        (report.files, report.objects, report.proof),
        (4, 5, Proof::Manifest)
    );
    let chunks = by_path(&out);
    let paths: Vec<&str> = chunks.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "db/holes.ibd",
            "lsnap_manifest.json",
            "lsnap_summary.json",
            "lsnap_upload.json"
        ]
    );
    assert_eq!(chunks["db/holes.ibd"].len(), 5);
    // the files that mark it as finished come last
    assert!(out.ends_with(&xbstream::end_chunk(MANIFEST).unwrap()));
}

#[test]
fn an_incremental_can_be_got_by_its_whole_name() {
    let (repository, ..) = faulty();
    let full = backup(&repository, &full_name(0), None, 10);
    let incr = backup(&repository, &incr_name(&full.name, 5), Some(&full), 20);
    let (out, report) = get_bytes(&repository, incr.name.as_str(), |_| {});
    assert_eq!(report.unwrap().proof, Proof::Manifest);
    assert_eq!(by_path(&out)["db/t.ibd"].len(), 4);
    let (_, report) = get_bytes(&repository, full.name.as_str(), |o| {
        o.files = vec!["db/t.ibd".to_owned()];
    });
    assert_eq!(report.unwrap().objects, 3);
}

/// Chunks that are valid in themselves, but not the stored ones.
#[test]
fn forged_missing_and_foreign_objects_are_detected() {
    let (repository, _, store) = faulty();
    let full = backup(&repository, &full_name(0), None, 10);
    let name = full.name.as_str();
    let at = key(name, "db/t.ibd", 1);
    let right = get_raw(&*store, &at);
    put_raw(
        &*store,
        &at,
        &object("db/t.ibd", 100, &[9; 100], false).concat(),
    );
    let (_, report) = get_bytes(&repository, name, |_| {});
    let error = report.unwrap_err();
    assert!(
        matches!(&error, CloudError::Store(e) if e.is_damage()),
        "{error}"
    );
    assert!(error.to_string().contains("digest found"), "{error}");
    put_raw(&*store, &at, &right);

    let foreign = key(name, "db/other.ibd", 0);
    put_raw(
        &*store,
        &foreign,
        &xbstream::end_chunk("db/other.ibd").unwrap(),
    );
    let (_, report) = get_bytes(&repository, name, |_| {});
    assert!(report.unwrap_err().to_string().contains(&foreign));
    remove_raw(&*store, &foreign);

    for (path, index) in [("db/t.ibd", 2), ("db/t.ibd", 1), ("xtrabackup_info", 0)] {
        let at = key(name, path, index);
        let right = get_raw(&*store, &at);
        remove_raw(&*store, &at);
        let (out, report) = get_bytes(&repository, name, |_| {});
        let error = report.unwrap_err();
        assert!(
            matches!(
                error,
                CloudError::Store(StoreError::Missing { .. }) | CloudError::MissingObject { .. }
            ),
            "{error}"
        );
        assert!(error.to_string().contains(&at) && out.is_empty(), "{error}");
        put_raw(&*store, &at, &right);
    }
    get_bytes(&repository, name, |_| {}).1.unwrap();
}

#[test]
fn an_interrupted_backup_is_unfinished_whatever_objects_it_has() {
    let (repository, _, store) = faulty();
    let full = backup(&repository, &full_name(0), None, 10);
    remove_raw(&*store, &key(full.name.as_str(), MANIFEST, 0));
    // it has xtrabackup_tablespaces, which is enough for a backup of xbcloud
    let (_, report) = get_bytes(&repository, full.name.as_str(), |_| {});
    assert!(matches!(report, Err(CloudError::Unfinished { .. })));
}

#[test]
fn a_backup_put_as_a_stream_can_be_got() {
    let (repository, ..) = faulty();
    let made = backup(&repository, &full_name(0), None, 10);
    let (out, _) = get_bytes(&repository, made.name.as_str(), |_| {});
    // as `lsnap backup --stream` writes it: without the claim and the summary of a repository
    let mut bare = Writer::new(Vec::new());
    for chunk in xbstream::chunks(out.into()) {
        match chunk.unwrap() {
            c if c.path().contains("lsnap_upload") || c.path().contains("lsnap_summary") => {}
            xbstream::Chunk::Payload {
                path, offset, data, ..
            } => bare.payload(&path, offset, &data).unwrap(),
            xbstream::Chunk::Sparse {
                path, offset, map, ..
            } => bare.hole(&path, offset, map[0].skip.into()).unwrap(),
            xbstream::Chunk::End { path } => bare.end(&path).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    let moved = bare.into_inner();
    put_bytes(&repository, "moved", &moved, |_| {}).unwrap();
    let (again, report) = get_bytes(&repository, "moved", |_| {});
    assert_eq!(report.unwrap().proof, Proof::Checksums);
    assert_eq!(by_path(&again), by_path(&moved));
    let listed = repository.list().unwrap();
    let state = &listed
        .iter()
        .find(|l| l.name.as_str() == "moved")
        .unwrap()
        .state;
    assert!(
        matches!(state, ListedState::Stream { finished: true }),
        "{state:?}"
    );
}

#[test]
fn files_with_names_too_long_for_a_directory_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::open(dir.path().to_str().unwrap()).unwrap();
    let path = format!("db/{}.ibd.delta", "x".repeat(240));
    let name = full_name(0);
    let upload = repository.begin(&name, 2).unwrap();
    let files = vec![crate::store::tests::put_file(&upload, &path, 3).unwrap()];
    upload.finish(&manifest(&name, None, 10, files)).unwrap();
    let (out, report) = get_bytes(&repository, name.as_str(), |_| {});
    assert_eq!(report.unwrap().proof, Proof::Manifest);
    let named = |chunk: &xbstream::Chunk| chunk.path() == path;
    let chunks: Vec<_> = xbstream::chunks(out.into()).map(Result::unwrap).collect();
    assert_eq!(chunks.iter().filter(|c| named(c)).count(), 4);
}
