//! Verifies every page of a whole data directory, and damage in every region of its pages. Run it
//! manually on the data directory of a real server that was shut down.
//!
//! `LSNAP_TREE=/path/to/datadir cargo test --lib innodb::real_tree -- --ignored --nocapture`

use super::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn tablespaces(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('#') {
                tablespaces(&path, found);
            }
        } else if name.ends_with(".ibd")
            || name.ends_with(".ibu")
            || name.starts_with("undo_")
            || name.starts_with("ibdata")
        {
            found.push(path);
        }
    }
}

/// Returns the verifier and the number of the first page of one file. The first of several `ibdata`
/// files has 12 MiB.
fn verifier(path: &Path, bytes: &[u8]) -> (PageVerifier, SpaceHeader, u32) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    if !name.starts_with("ibdata") {
        let header = SpaceHeader::parse(bytes).unwrap();
        let verifier = PageVerifier::new(header.space_id, header.flags).unwrap();
        return (verifier, header, 0);
    }
    let first = std::fs::read(path.with_file_name("ibdata1")).unwrap();
    let header = SpaceHeader::parse(&first).unwrap();
    let size = header.flags.physical_page_size().unwrap().bytes();
    let extents = doublewrite_extents(&first[5 * size..6 * size]);
    println!("doublewrite {extents:?}");
    let verifier = PageVerifier::new(header.space_id, header.flags).unwrap();
    let number = if name == "ibdata1" {
        0
    } else {
        first.len() / size
    };
    (verifier.with_doublewrite(extents), header, number as u32)
}

/// Returns the algorithm of the page's first checksum field.
fn algorithm(page: &[u8], flags: SpaceFlags) -> &'static str {
    let found = be::u32_at(page, 0);
    let zip = flags.zip_size().is_some();
    match found {
        _ if page::kind(page) == PageKind::COMPRESSED => "page-compressed",
        0xDEAD_BEEF => "none",
        _ if zip && found == checksum::zip_crc32(page) => "zip crc32",
        _ if zip && found == checksum::zip_adler32(page) => "zip adler32",
        _ if !zip && found == checksum::crc32(page) => "crc32",
        _ if !zip && found == checksum::fold_both(page) => "innodb",
        _ => "another",
    }
}

#[test]
#[ignore = "needs LSNAP_TREE"]
fn every_page_of_a_tree() {
    let tree = PathBuf::from(std::env::var_os("LSNAP_TREE").unwrap());
    let mut files = Vec::new();
    tablespaces(&tree, &mut files);
    files.sort();
    let mut faults = 0;
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let (verifier, header, first) = verifier(&path, &bytes);
        let size = header.flags.physical_page_size().unwrap().bytes();
        let mut tally: BTreeMap<String, u32> = BTreeMap::new();
        for (index, page) in bytes.chunks(size).enumerate() {
            let number = PageNo(first + index as u32);
            let state = match verifier.verify(number, page) {
                Ok(PageState::Verified) => algorithm(page, header.flags).to_owned(),
                Ok(state) => format!("{state:?}"),
                Err(fault) => {
                    faults += 1;
                    println!("FAULT {fault}");
                    "FAULT".to_owned()
                }
            };
            *tally
                .entry(format!("{state} {}", page::kind(page)))
                .or_default() += 1;
        }
        println!(
            "{}: {:?} flags {:#x} page {size} file pages {}\n    {tally:?}",
            path.display(),
            header,
            header.flags.0,
            bytes.len() / size
        );
    }
    assert_eq!(faults, 0);
}
