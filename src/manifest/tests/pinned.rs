//! The manifests in `testdata/manifest`, which released versions wrote, are read and written again without a difference.

use crate::manifest::{Manifest, Summary, parse_manifest};
use serde_json::Value;
use std::path::Path;

#[test]
fn manifests_of_testdata_are_written_as_they_were_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/manifest");
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let manifest: Manifest = serde_json::from_str(&text).unwrap();
        manifest.check().unwrap();
        // A MAC of the first form was the last field; now it is the first.
        let unmarked = Manifest {
            mac: None,
            ..manifest.clone()
        };
        let written = serde_json::to_string(&unmarked).unwrap();
        // The digest of the document is added as the first field when it is sealed.
        let rest = text.trim_end().split_once("\",").unwrap().1;
        let rest = match rest.split_once(",\"mac\":\"") {
            Some((before, after)) => before.to_owned() + after.split_once('"').unwrap().1,
            None => rest.to_owned(),
        };
        assert_eq!(written, format!("{{{rest}"), "{}", path.display());
        if parse_manifest(text.trim_end().as_bytes()).is_ok() {
            assert_eq!(
                parse_manifest(text.trim_end().as_bytes()).unwrap().id,
                manifest.id
            );
        }
        let summary = Summary::of(&manifest, String::new(), 0);
        assert_eq!(summary.differences(&manifest), [], "{}", path.display());
        assert!(
            value["files"]
                .as_array()
                .is_some_and(|files| !files.is_empty())
        );
        seen += 1;
    }
    assert!(seen >= 3, "{seen}");
}
