//! Manifests with a MAC, stored and read.

use super::*;
use crate::manifest::{Authenticity, manifest_chunks, parse_manifest};

const KEY: [u8; 32] = [7; 32];

#[test]
fn a_stored_manifest_is_authenticated_when_read() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::open(dir.path().to_str().unwrap()).unwrap();
    let name = full_name(5);
    let upload = repository.begin(&name, 1).unwrap();
    let file = put_file(&upload, "a", 2).unwrap();
    let mut manifest = manifest(&name, None, 100, vec![file]);
    manifest.authenticate(&KEY).unwrap();
    upload.finish(&manifest).unwrap();
    let read = repository.manifest(&name).unwrap();
    assert_eq!(read.authenticity(&[KEY]), Authenticity::Proven);
    assert_eq!(read.mac, manifest.mac);
    let parts = manifest_chunks(&manifest).unwrap();
    let again = parse_manifest(&parts[1]).unwrap();
    assert_eq!(again.authenticity(&[KEY]), Authenticity::Proven);
}
