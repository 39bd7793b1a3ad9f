//! Golden bytes (`docs/format/delta.md`), the pieces of the writer, malformed input.

use super::*;
use crate::innodb::{PageNo, SpaceFlags, SpaceId};
use proptest::prelude::*;

/// The smallest page size: 255 pages in a cluster.
fn p1k() -> PageSize {
    PageSize::new(1024).unwrap()
}

fn page(fill: u8) -> Vec<u8> {
    vec![fill; 1024]
}

/// Returns all pieces, in the order in which the writer emitted them.
fn write(numbers: &[u32], piece_bytes: usize) -> (Vec<Piece>, DeltaStats) {
    let mut pieces = Vec::new();
    let mut writer = DeltaWriter::new(p1k(), piece_bytes);
    for n in numbers {
        writer.push(PageNo(*n), &page(*n as u8), &mut |p| pieces.push(p));
    }
    let stats = writer.finish(&mut |p| pieces.push(p));
    (pieces, stats)
}

/// Returns the delta as a file, after a check of the guarantees that [`Piece`] documents.
fn file(pieces: &[Piece], stats: DeltaStats) -> Vec<u8> {
    assert!(pieces.last().unwrap().last, "the last piece comes last");
    assert_eq!(pieces.iter().filter(|p| p.last).count(), 1);
    let mut sorted = pieces.to_vec();
    sorted.sort_by_key(|p| p.index);
    let mut out = Vec::new();
    for (n, piece) in sorted.iter().enumerate() {
        assert_eq!(piece.index, n as u64, "indices have no gaps");
        assert_eq!(piece.offset, out.len() as u64, "pieces are contiguous");
        out.extend_from_slice(&piece.data);
    }
    assert_eq!(sorted.last().unwrap().index, pieces.last().unwrap().index);
    assert_eq!(out.len() as u64, stats.bytes);
    out
}

fn read(bytes: &[u8]) -> Result<Vec<(u32, Vec<u8>)>, DeltaError> {
    let mut reader = DeltaReader::new(bytes, p1k());
    let mut buffer = Vec::new();
    let mut out = Vec::new();
    while let Some(number) = reader.next_page(&mut buffer)? {
        out.push((number.0, buffer.clone()));
    }
    Ok(out)
}

#[test]
fn the_bytes_are_those_of_the_format() {
    let (pieces, stats) = write(&[7, 0x01020304], 1 << 20);
    let bytes = file(&pieces, stats);
    assert_eq!(bytes.len(), 3 * 1024); // header page and two images
    assert_eq!(&bytes[..4], b"XTRA"); // the last cluster
    assert_eq!(&bytes[4..8], &[0, 0, 0, 7]); // page numbers, big-endian
    assert_eq!(&bytes[8..12], &[1, 2, 3, 4]);
    assert_eq!(&bytes[12..16], &[0xFF; 4]); // the end of a list that is not full
    assert!(bytes[16..1024].iter().all(|b| *b == 0)); // nothing after it
    assert_eq!(&bytes[1024..2048], page(7)); // image of the first listed page
    assert_eq!(&bytes[2048..], page(4)); // and of the second
}

#[test]
fn a_delta_without_pages_is_one_page() {
    let (pieces, stats) = write(&[], 1 << 20);
    let bytes = file(&pieces, stats);
    assert_eq!(bytes.len(), 1024);
    assert_eq!(&bytes[..8], b"XTRA\xFF\xFF\xFF\xFF");
    assert_eq!(read(&bytes).unwrap(), []);
}

/// A small delta is one piece. A larger delta is split as usual, and so is a delta of which a piece
/// was already emitted.
#[test]
fn a_small_delta_is_one_piece() {
    let finish = |pages: u32, piece_bytes, most| {
        let mut pieces = Vec::new();
        let mut writer = DeltaWriter::new(p1k(), piece_bytes);
        for n in 0..pages {
            writer.push(PageNo(n), &page(n as u8), &mut |p| pieces.push(p));
        }
        let stats = writer.finish_whole(most, &mut |p| pieces.push(p));
        let numbers: Vec<u32> = (0..pages).collect();
        let (split, _) = write(&numbers, piece_bytes);
        let found = file(&pieces, stats);
        assert_eq!(found, file(&split, stats));
        (pieces.len(), split.len())
    };
    assert_eq!(finish(0, 1 << 20, 4096), (1, 1));
    assert_eq!(finish(3, 1 << 20, 4096), (1, 2));
    assert_eq!(finish(4, 1 << 20, 4096), (2, 2));
    assert_eq!(finish(3, 2048, 1 << 20), (3, 3));
    assert_eq!(finish(256, 1 << 20, 1 << 20), (4, 4));
    assert_eq!(finish(3, 1 << 20, 0), (2, 2));
}

#[test]
fn clusters_but_the_last_are_full_and_the_last_is_marked() {
    for (pages, clusters) in [(254, 1), (255, 1), (256, 2), (510, 2), (511, 3)] {
        let numbers: Vec<u32> = (0..pages).collect();
        let (pieces, stats) = write(&numbers, 100 * 1024);
        let bytes = file(&pieces, stats);
        let magics: Vec<_> = bytes.chunks(256 * 1024).map(|c| c[..4].to_vec()).collect();
        assert_eq!(magics.len(), clusters, "{pages} pages");
        assert!(magics[..clusters - 1].iter().all(|m| m == b"xtra"));
        assert_eq!(magics[clusters - 1], b"XTRA");
        let found: Vec<_> = read(&bytes).unwrap().into_iter().map(|(n, _)| n).collect();
        assert_eq!(found, numbers);
        assert!(
            pieces.iter().all(|p| p.data.len() <= 100 * 1024),
            "pieces are bounded"
        );
    }
}

#[test]
fn bytes_after_the_last_cluster_are_ignored() {
    let (pieces, stats) = write(&[1], 4096);
    let bytes = [file(&pieces, stats), b"rubbish".to_vec()].concat();
    assert_eq!(read(&bytes).unwrap().len(), 1);
}

#[test]
fn malformed_deltas_are_refused_with_the_value_found() {
    let numbers: Vec<u32> = (0..300).collect();
    let (pieces, stats) = write(&numbers, 1 << 20);
    let whole = file(&pieces, stats);
    let damaged = |damage: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        read(&bytes).unwrap_err().to_string()
    };
    assert!(damaged(&|b| b[0] = b'y').contains("offset 0: a cluster"));
    assert!(damaged(&|b| b[256 * 1024] = b'y').contains("offset 262144: a cluster"));
    assert!(damaged(&|b| b.truncate(100)).contains("offset 0: the delta ends inside the header"));
    assert!(
        damaged(&|b| b.truncate(2048 + 5)).contains("offset 2048: the delta ends inside page 1:")
    );
    assert!(
        damaged(&|b| b.truncate(255 * 1024))
            .contains("offset 261120: the delta ends inside page 254:")
    );
    assert!(damaged(&|b| b[400..404].fill(0xFF)).contains("lists 99 pages and is not the last"));
    assert!(read(&[]).unwrap_err().to_string().contains("the header"));
    assert!(ClusterHeader::parse(b"XTRA", p1k(), 0).is_err());
}

#[test]
fn full_clusters_have_the_sizes_of_the_format() {
    let full = |bytes| pages_per_cluster(PageSize::new(bytes).unwrap());
    assert_eq!(
        [4096, 8192, 16384, 65536].map(full),
        [1023, 2047, 4095, 16383]
    );
}

#[test]
fn meta_is_the_text_that_xtrabackup_writes() {
    let meta = Meta {
        page_size: PageSize::new(8192).unwrap(),
        zip_size: 8192,
        space_id: SpaceId(42),
        space_flags: SpaceFlags(41),
    };
    let text = "page_size = 8192\nzip_size = 8192\nspace_id = 42\nspace_flags = 41\n";
    assert_eq!(meta.encode(), text);
    assert_eq!(Meta::parse(text).unwrap(), meta);
    let any_order = "new_key = x\nspace_id=42\npage_size =8192\n\nspace_flags= 41\nzip_size = 8192";
    assert_eq!(Meta::parse(any_order).unwrap(), meta);
}

#[test]
fn a_meta_without_a_required_key_is_refused() {
    for (text, expected) in [
        ("space_id = 1", "page_size is missing"),
        ("page_size = 16384", "space_id is missing"),
        (
            "page_size = 1000\nspace_id = 1",
            "1000 is no InnoDB page size",
        ),
        ("page_size = 16384\nspace_id = -1", "space_id is \"-1\""),
        (
            "page_size = 99999999999\nspace_id = 1",
            "expected a number below 2^32",
        ),
    ] {
        let error = Meta::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(Meta::parse(&"x".repeat(65537)).is_err());
}

proptest! {
    #[test]
    fn any_pages_in_any_pieces_round_trip(
        numbers in proptest::collection::vec(any::<u32>().prop_filter("END", |n| *n != END), 0..600),
        piece_bytes in 1usize..300_000,
    ) {
        let (pieces, stats) = write(&numbers, piece_bytes);
        prop_assert_eq!(stats.pages, numbers.len() as u64);
        let found = read(&file(&pieces, stats)).unwrap();
        let wanted: Vec<_> = numbers.iter().map(|n| (*n, page(*n as u8))).collect();
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let _ = read(&bytes);
        let _ = read(&[&LAST[..], &bytes].concat());
        let _ = Meta::parse(&String::from_utf8_lossy(&bytes));
    }
}
