//! Deltas and their `.meta` files.

use super::Dribble;
use lsnap::delta::{ClusterHeader, DeltaReader, DeltaWriter, Meta};
use lsnap::innodb::{PageNo, PageSize};
use std::io::Read;

/// Reads a delta with every page size; the pages are written again and the result is read again.
pub fn delta(data: &[u8]) {
    for shift in 0..7 {
        let size = PageSize::new(1024 << shift).expect("1 to 64 KiB");
        let (whole, error) = pages(data, size);
        let (cut, cut_error) = pages(Dribble::new(data), size);
        assert_eq!(
            (&whole, &error),
            (&cut, &cut_error),
            "the result depends on the lengths of the reads"
        );
        if let Some(first) = data.get(..size.bytes()) {
            // the header alone must give the same result as the reader
            assert!(ClusterHeader::parse(first, size, 0).is_ok() || whole.is_empty());
        }
        if error.is_none() {
            assert_eq!(pages(&written(&whole, size)[..], size), (whole, None));
        }
    }
}

type Pages = Vec<(PageNo, Vec<u8>)>;

fn pages(data: impl Read, size: PageSize) -> (Pages, Option<String>) {
    let mut reader = DeltaReader::new(data, size);
    let (mut all, mut page) = (Vec::new(), Vec::new());
    loop {
        match reader.next_page(&mut page) {
            Ok(Some(number)) => {
                assert_eq!(page.len(), size.bytes());
                assert_ne!(number.0, u32::MAX);
                all.push((number, page.clone()));
            }
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error.to_string())),
        }
    }
}

fn written(pages: &Pages, size: PageSize) -> Vec<u8> {
    let mut pieces = Vec::new();
    let mut writer = DeltaWriter::new(size, 3 * size.bytes());
    for (number, page) in pages {
        writer.push(*number, page, &mut |piece| pieces.push(piece));
    }
    let stats = writer.finish(&mut |piece| pieces.push(piece));
    assert_eq!(stats.pages, pages.len() as u64);
    pieces.sort_by_key(|piece| piece.index);
    let mut out = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        assert_eq!(
            (piece.index, piece.offset),
            (index as u64, out.len() as u64)
        );
        out.extend_from_slice(&piece.data);
    }
    assert_eq!(stats.bytes, out.len() as u64);
    out
}

/// Parses a `.meta` file.
pub fn meta(data: &[u8]) {
    if let Ok(meta) = Meta::parse(&String::from_utf8_lossy(data)) {
        assert_eq!(Meta::parse(&meta.encode()).ok(), Some(meta));
    }
}
