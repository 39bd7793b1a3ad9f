//! Documents of a repository, and the end of a binary log.

use super::Dribble;
use bytes::Bytes;
use lsnap::fuzzing::{binlog_gtids, open_document};
use lsnap::manifest::{MANIFEST, manifest_chunks, parse_manifest};

const HEAD: &[u8] = b"{\"digest\":\"blake3:";
const HEX: usize = 64;

/// Parses a manifest: its text, its text with a corrected digest, its object.
pub fn manifest(data: &[u8]) {
    text(data);
    if let Some(sealed) = sealed(data) {
        text(&sealed);
    }
    let object = Bytes::copy_from_slice(data);
    if let Ok(json) = open_document(MANIFEST, &object) {
        text(&json);
    }
}

fn text(text: &[u8]) {
    let Ok(manifest) = parse_manifest(text) else {
        return;
    };
    let _ = (
        manifest.objects(),
        manifest.stored_bytes(),
        manifest.data_bytes(),
    );
    let object = manifest_chunks(&manifest).expect("it was read").concat();
    let json = open_document(MANIFEST, &object.into()).expect("it was just made");
    let mut again = parse_manifest(&json).expect("it was just made");
    again.digest.clone_from(&manifest.digest);
    assert_eq!(again, manifest);
}

/// Returns the text with the correct digest, which the fuzzer can't guess.
fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    let mut out = data.to_vec();
    let digits = HEAD.len()..HEAD.len() + HEX;
    out.get_mut(..HEAD.len())?.copy_from_slice(HEAD);
    out.get_mut(digits.clone())?.fill(b'0');
    let hash = blake3::hash(&out);
    out[digits].copy_from_slice(hash.to_hex().as_bytes());
    Some(out)
}

/// Parses the events of a binary log.
pub fn binlog(data: &[u8]) {
    let events = data.strip_prefix(b"\xFEbin").unwrap_or(data);
    let found = binlog_gtids(events);
    let cut = binlog_gtids(Dribble::new(events));
    assert_eq!(
        found.is_ok(),
        cut.is_ok(),
        "the result depends on the lengths of the reads: {found:?}, {cut:?}"
    );
    if let (Ok(found), Ok(cut)) = (found, cut) {
        assert_eq!(found, cut, "the result depends on the lengths of the reads");
        // each number takes an event of at least 19 + 25 bytes
        assert!(found.0.matches(':').count() <= events.len() / 44);
    }
}
