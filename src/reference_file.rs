//! Compares the files of the reference with the code that makes them.

use std::path::{Path, PathBuf};

/// Compares a file with its text, or writes it if `LSNAP_WRITE_REFERENCE` is set. `file` is its path in the repository,
/// `source` names the source of the text.
pub(crate) fn compare_or_write(file: &str, text: &str, source: &str) {
    let path = in_tree(file);
    if std::env::var_os("LSNAP_WRITE_REFERENCE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    assert!(
        has(&path, text),
        "{file} differs from {source}: run the unit tests with LSNAP_WRITE_REFERENCE=1"
    );
}

fn in_tree(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn has(path: &Path, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|found| found == text)
}

#[test]
fn a_file_that_differs_is_found() {
    let text = std::fs::read_to_string(in_tree("LICENSE")).unwrap();
    assert!(has(&in_tree("LICENSE"), &text));
    assert!(!has(&in_tree("LICENSE"), &(text + " ")));
    assert!(!has(&in_tree("no/such/file"), ""));
}
