//! The verifier on real pages, intact and damaged.

use super::fixtures::{CHECKED, COMPRESSED, Fixture, UNPROVEN};
use super::*;
use proptest::prelude::*;

fn verify(f: &Fixture, page: &[u8]) -> Result<PageState, PageFault> {
    f.verifier().verify(f.number, page)
}

#[test]
fn real_pages_of_every_kind_are_verified() {
    for f in CHECKED.iter().chain(COMPRESSED) {
        assert_eq!(verify(f, &f.page()), Ok(PageState::Verified), "{}", f.name);
    }
    for f in UNPROVEN {
        assert_eq!(
            verify(f, &f.page()),
            Ok(PageState::Unverifiable),
            "{}",
            f.name
        );
    }
}

/// Returns whether no algorithm covers the byte; see the module `checksum`.
fn uncovered(f: &Fixture, at: usize) -> bool {
    let of_both = (26..34).contains(&at);
    of_both || (f.flags.zip_size().is_some() && (16..24).contains(&at))
}

#[test]
fn a_flip_of_any_covered_byte_is_refused() {
    for f in CHECKED {
        let mut page = f.page();
        // All bytes of the header and the trailer, and a sample between them (all bytes would take
        // minutes with the slower algorithms).
        let len = page.len();
        let places = (0..64)
            .chain((64..len - 16).step_by(131))
            .chain(len - 16..len);
        for at in places {
            for flip in [0x01, 0x80, 0xFF] {
                page[at] ^= flip;
                let result = verify(f, &page);
                page[at] ^= flip;
                if uncovered(f, at) {
                    assert_eq!(result, Ok(PageState::Verified), "{} byte {at}", f.name);
                } else {
                    assert!(result.is_err(), "{} byte {at} ^ {flip:#x}", f.name);
                }
            }
        }
        assert_eq!(page, f.page());
    }
}

/// A flipped bit is detected, or it changes nothing (a match at another distance in repetitive
/// data).
#[test]
fn a_flip_of_any_used_byte_of_a_compressed_page_is_refused() {
    let plain_of = |page: &[u8]| decompress::with_decompressed(page, <[u8]>::to_vec).ok();
    for f in COMPRESSED {
        let mut page = f.page();
        let plain = plain_of(&page);
        let mut harmless = 0;
        let used = 38 + usize::from(be::u16_at(&page, 32));
        for at in (0..64).chain((64..used).step_by(37)).chain(used - 8..used) {
            page[at] ^= 0x01;
            let result = verify(f, &page);
            let same = plain_of(&page).map(|p| p[38..] == plain.as_ref().unwrap()[38..]);
            page[at] ^= 0x01;
            if at >= 64 && same == Some(true) {
                harmless += 1;
                continue;
            }
            assert!(result.is_err(), "{} byte {at}: {result:?}", f.name);
        }
        assert!(harmless < 5, "{}: {harmless}", f.name);
        for at in [used, page.len() - 1] {
            page[at] ^= 0x01;
            assert_eq!(
                verify(f, &page),
                Ok(PageState::Verified),
                "beyond the used bytes"
            );
            page[at] ^= 0x01;
        }
    }
}

/// The scratch memory still contains the page from the first read: a stream that ends early must
/// not take the rest from it.
#[test]
fn a_stream_that_ends_early_is_refused_after_a_good_read_of_the_same_page() {
    for (f, algorithm) in COMPRESSED.iter().zip([1, 2, 2]) {
        let good = f.page();
        let plain = decompress::with_decompressed(&good, <[u8]>::to_vec).unwrap();
        let half = &plain[38..8192];
        let stream = if algorithm == 2 {
            lz4_flex::block::compress(half)
        } else {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut zlib, half).unwrap();
            zlib.finish().unwrap()
        };
        let mut short = vec![0; good.len()];
        short[..38].copy_from_slice(&good[..38]);
        assert_eq!(short[27], algorithm);
        short[32..34].copy_from_slice(&(stream.len() as u16).to_be_bytes());
        short[38..38 + stream.len()].copy_from_slice(&stream);
        assert_eq!(verify(f, &good), Ok(PageState::Verified));
        assert!(
            matches!(
                verify(f, &short),
                Err(PageFault::Undecodable {
                    reason: Undecodable::Stream,
                    ..
                })
            ),
            "{}",
            f.name
        );
    }
}

#[test]
fn page_number_and_space_id_are_checked_for_every_kind() {
    for f in CHECKED.iter().chain(COMPRESSED).chain(UNPROVEN) {
        let page = f.page();
        let elsewhere = PageNo(f.number.0 + 1);
        assert!(
            matches!(
                f.verifier().verify(elsewhere, &page),
                Err(PageFault::WrongPageNumber { found, expected, .. })
                    if found == f.number && expected == elsewhere
            ),
            "{}",
            f.name
        );
        let other = PageVerifier::new(SpaceId(4711), f.flags).unwrap();
        assert!(
            matches!(
                other.verify(f.number, &page),
                Err(PageFault::WrongSpace { found, expected: SpaceId(4711), .. }) if found == f.space
            ),
            "{}",
            f.name
        );
    }
}

/// A page whose first half is from one write and whose second half is from another.
#[test]
fn half_written_pages_are_torn() {
    for f in CHECKED {
        let old = f.page();
        let mut new = old.clone();
        let len = new.len();
        new[22] ^= 0x55;
        if f.flags.zip_size().is_none() {
            new[len - 2] ^= 0x55;
        }
        new[len - 100] ^= 0x55;
        let torn: Vec<u8> = [&new[..len / 2], &old[len / 2..]].concat();
        let result = verify(f, &torn);
        if f.flags.zip_size().is_some() {
            // Without a trailer, and with an LSN that no checksum covers, only other bytes could
            // show the fault.
            assert_eq!(result, Ok(PageState::Verified));
            let torn: Vec<u8> = [&old[..len / 2], &new[len / 2..]].concat();
            assert!(matches!(verify(f, &torn), Err(PageFault::Checksum { .. })));
        } else {
            assert!(matches!(result, Err(PageFault::Torn { .. })), "{}", f.name);
        }
    }
}

#[test]
fn zero_is_zero_only_when_every_byte_is() {
    for flags in [0x4000, 0x4029, 0x41C0] {
        let flags = SpaceFlags(flags);
        let verifier = PageVerifier::new(SpaceId(9), flags).unwrap();
        let mut page = vec![0; flags.physical_page_size().unwrap().bytes()];
        assert_eq!(verifier.verify(PageNo(3), &page), Ok(PageState::Zero));
        for at in [
            0,
            4,
            8,
            16,
            23,
            24,
            34,
            38,
            600,
            page.len() - 8,
            page.len() - 1,
        ] {
            page[at] = 1;
            assert!(verifier.verify(PageNo(3), &page).is_err(), "byte {at}");
            page[at] = 0;
        }
        page[30] = 1;
        assert_eq!(verifier.verify(PageNo(3), &page), Ok(PageState::Verified));
    }
}

#[test]
fn encrypted_types_are_refused_if_impossible() {
    let f = &UNPROVEN[2];
    let page = f.page();
    let plain = PageVerifier::new(f.space, SpaceFlags(0x4021)).unwrap();
    assert!(matches!(
        plain.verify(f.number, &page),
        Err(PageFault::Undecodable { .. })
    ));
    // A tablespace whose page 0 with the flag may not have been flushed yet.
    let switched = plain.with_encryption();
    assert_eq!(
        switched.verify(f.number, &page),
        Ok(PageState::Unverifiable)
    );
    let mut zero = page;
    zero[4..8].fill(0);
    assert!(matches!(
        f.verifier().verify(PageNo(0), &zero),
        Err(PageFault::Undecodable { .. })
    ));
}

#[test]
fn only_the_doublewrite_area_is_skipped() {
    let verifier = PageVerifier::new(SpaceId(0), SpaceFlags(0x4800))
        .unwrap()
        .with_doublewrite(vec![64..128, 128..192]);
    let damaged = vec![7; 16384];
    for (number, skipped) in [
        (63, false),
        (64, true),
        (127, true),
        (191, true),
        (192, false),
    ] {
        let result = verifier.verify(PageNo(number), &damaged);
        assert_eq!(result == Ok(PageState::Skipped), skipped, "page {number}");
    }
}

#[test]
fn a_wrong_length_is_a_fault() {
    let f = &CHECKED[0];
    let page = f.page();
    for len in [0, 1, 38, 512, 4096, 16383] {
        assert!(matches!(
            verify(f, &page[..len]),
            Err(PageFault::Undecodable { reason: Undecodable::Length { found, expected: 16384 }, .. })
                if found == len
        ));
    }
}

#[test]
fn faults_contain_the_values_found_and_expected() {
    let f = &CHECKED[0];
    let mut page = f.page();
    let wrong = f
        .verifier()
        .verify(PageNo(8), &page)
        .unwrap_err()
        .to_string();
    assert!(
        wrong.contains("page 8") && wrong.contains("number 7, expected 8"),
        "{wrong}"
    );
    page[100] ^= 1;
    let sum = verify(f, &page).unwrap_err().to_string();
    let found = format!("{:#010x} found", be::u32_at(&page, 0));
    assert!(sum.contains("page 7") && sum.contains(&found), "{sum}");
}

/// Changes random bytes so that they pass the first checks of a page.
fn dressed(mut page: Vec<u8>, kind: u16, control: [u8; 8], sizes: bool) -> Vec<u8> {
    let len = page.len();
    page[24..26].copy_from_slice(&kind.to_be_bytes());
    page[26..34].copy_from_slice(&control);
    if sizes {
        page[26] = 2;
        page[27] = 1 + (control[1] & 1);
        page[30..32].copy_from_slice(&((len - 38) as u16).to_be_bytes());
    }
    page
}

proptest! {
    #[test]
    fn random_pages_never_panic_and_are_never_verified(
        seed in proptest::collection::vec(any::<u8>(), 64),
        flags in prop_oneof![Just(0x4021_u32), Just(0x6021), Just(0x4029), Just(0x4023), Just(0x40E1), any::<u32>()],
        kind in prop_oneof![Just(14_u16), Just(15), Just(16), Just(17855), any::<u16>()],
        control in any::<[u8; 8]>(),
        sizes in any::<bool>(),
    ) {
        let Ok(verifier) = PageVerifier::new(SpaceId(9), SpaceFlags(flags)) else { return Ok(()) };
        let len = SpaceFlags(flags).physical_page_size().unwrap().bytes();
        let page: Vec<u8> = seed.iter().copied().cycle().take(len).collect();
        let page = dressed(page, kind, control, sizes);
        let result = verifier.verify(PageNo(1), &page);
        prop_assert!(result != Ok(PageState::Verified), "{result:?}");
        prop_assert!(page::stored_len(&page, 4096) <= page.len());
    }

    #[test]
    fn random_bytes_never_panic_the_parsers(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = SpaceHeader::parse(&bytes);
        let _ = doublewrite_extents(&bytes);
        let _ = (page::lsn(&bytes), page::number(&bytes), page::space_id(&bytes), page::kind(&bytes));
        let _ = page::stored_len(&bytes, 4096);
        prop_assert_eq!(page::is_zero(&bytes), bytes.iter().all(|b| *b == 0));
    }

    #[test]
    fn flags_either_fail_or_give_sizes_that_fit(flags in any::<u32>()) {
        let flags = SpaceFlags(flags);
        if flags.check().is_ok() {
            let (logical, physical) = (flags.page_size().unwrap(), flags.physical_page_size().unwrap());
            prop_assert!(physical <= logical);
            prop_assert_eq!(flags.zip_size().unwrap_or(logical), physical);
            PageVerifier::new(SpaceId(1), flags).unwrap();
        }
    }
}

/// A free page as `IMPORT TABLESPACE` writes it: zeros, compressed.
fn compressed_zeros(size: usize, algorithm: u8, version: u8) -> Vec<u8> {
    let zeros = vec![0; size - 38];
    let stream = if algorithm == 2 {
        lz4_flex::block::compress(&zeros)
    } else {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut zlib, &zeros).unwrap();
        zlib.finish().unwrap()
    };
    let mut page = vec![0; size];
    page[24..26].copy_from_slice(&14u16.to_be_bytes());
    page[26] = version;
    page[27] = algorithm;
    page[30..32].copy_from_slice(&((size - 38) as u16).to_be_bytes());
    page[32..34].copy_from_slice(&(stream.len() as u16).to_be_bytes());
    page[38..38 + stream.len()].copy_from_slice(&stream);
    page
}

/// The same page, encrypted: type 15, or 16 with the fields of compression, and ciphertext.
fn encrypted_zeros(size: usize, kind: u16) -> Vec<u8> {
    let mut page = vec![0; size];
    page[24..26].copy_from_slice(&kind.to_be_bytes());
    if kind == 16 {
        page[26..34].copy_from_slice(&[2, 1, 0, 0, 0x3F, 0xDA, 0, 46]);
    }
    page[38..size].fill(0xC5);
    page
}

const PLAIN: SpaceFlags = SpaceFlags(0x4021);
const ENCRYPTED: SpaceFlags = SpaceFlags(0x6021);

#[test]
fn free_pages_of_an_imported_file_are_valid() {
    for (algorithm, version) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let page = compressed_zeros(16384, algorithm, version);
        for flags in [PLAIN, ENCRYPTED] {
            let verifier = PageVerifier::new(SpaceId(9), flags).unwrap();
            assert_eq!(verifier.verify(PageNo(4), &page), Ok(PageState::Verified));
            assert!(
                verifier.verify(PageNo(0), &page).is_err(),
                "a first page is never free"
            );
        }
    }
    for kind in [15, 16] {
        let page = encrypted_zeros(16384, kind);
        let verifier = PageVerifier::new(SpaceId(9), ENCRYPTED).unwrap();
        assert_eq!(
            verifier.verify(PageNo(4), &page),
            Ok(PageState::Unverifiable)
        );
        assert!(verifier.verify(PageNo(0), &page).is_err());
        let plain = PageVerifier::new(SpaceId(9), PLAIN).unwrap();
        assert!(
            plain.verify(PageNo(4), &page).is_err(),
            "this tablespace is not encrypted"
        );
    }
}

proptest! {
    /// With one more byte in the header, or in the compressed page, it is not a free page.
    #[test]
    fn only_zeros_are_accepted_as_a_free_page(at in 0usize..38, byte in 1u8.., filled in 38usize..16384, kind in 15u16..17) {
        let verifier = PageVerifier::new(SpaceId(9), ENCRYPTED).unwrap();
        let of_kind = (24..34).contains(&at);
        let mut page = compressed_zeros(16384, 1, 2);
        page[at] = byte;
        prop_assert!(of_kind || verifier.verify(PageNo(4), &page).is_err(), "byte {}", at);
        let mut page = encrypted_zeros(16384, kind);
        page[at] = byte;
        prop_assert!(of_kind || verifier.verify(PageNo(4), &page).is_err(), "byte {}", at);
        let mut plain = vec![0; 16384];
        plain[filled] = byte;
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut zlib, &plain[38..]).unwrap();
        let stream = zlib.finish().unwrap();
        let mut page = compressed_zeros(16384, 1, 2);
        page[32..34].copy_from_slice(&(stream.len() as u16).to_be_bytes());
        page[38..38 + stream.len()].copy_from_slice(&stream);
        prop_assert!(verifier.verify(PageNo(4), &page).is_err(), "byte {}", filled);
    }
}
