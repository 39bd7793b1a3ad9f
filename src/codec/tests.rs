use super::*;
use proptest::prelude::*;
use std::io::Read;

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * i / 7) as u8).collect()
}

#[test]
fn frames_round_trip() {
    for how in ["zstd", "zstd:3", "lz4"] {
        let how: Compression = how.parse().unwrap();
        let format = if how == Compression::Lz4 {
            Format::Lz4
        } else {
            Format::Zstd
        };
        for len in [0, 1, 100, 70_000, 300_000] {
            let plain = data(len);
            let frame = compress(how, &plain).unwrap();
            assert_eq!(
                decompress(format, &frame, len).unwrap(),
                plain,
                "{how} {len}"
            );
            let twice = [&frame[..], &frame[..]].concat();
            assert_eq!(
                decompress(format, &twice, 2 * len).unwrap(),
                [&plain[..], &plain[..]].concat()
            );
            if len > 0 {
                assert!(matches!(
                    decompress(format, &frame, len - 1),
                    Err(CodecError::TooLarge { .. })
                ));
                for cut in [1, 3, 5, frame.len() / 2, frame.len() - 1] {
                    let error = decompress(format, &frame[..cut], len).unwrap_err();
                    assert!(
                        matches!(error, CodecError::Truncated { at: 0, .. }),
                        "{how} {len} {cut}: {error:?}"
                    );
                }
                let error = decompress(format, &[&frame[..], b"junk"].concat(), len).unwrap_err();
                assert!(
                    matches!(error, CodecError::NotA { at, .. } if at == frame.len() as u64),
                    "{error:?}"
                );
            }
        }
    }
}

/// A cut of a file at any offset is detected, unless the cut is between two frames.
#[test]
fn every_truncation_is_detected() {
    // Three blocks of lz4: the decoder takes a cut between two of them for the end.
    let plain = vec![7; 150_000];
    let skippable = [&[0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"???"].concat();
    for (how, format) in [("zstd", Format::Zstd), ("lz4", Format::Lz4)] {
        for plain in [&plain[..], b"", b"x"] {
            let frame = compress(how.parse().unwrap(), plain).unwrap();
            let file = [&frame[..], &skippable, &frame].concat();
            let whole = [0, frame.len(), frame.len() + skippable.len(), file.len()];
            for cut in 0..=file.len() {
                let result = decompress(format, &file[..cut], 2 * plain.len());
                if whole.contains(&cut) {
                    let frames = usize::from(cut > 0) + usize::from(cut == file.len());
                    assert_eq!(result.unwrap(), plain.repeat(frames), "{how} {cut}");
                } else {
                    let error = result.unwrap_err();
                    let cut_off = matches!(error, CodecError::Truncated { .. });
                    assert!(cut_off, "{how}, {} bytes, {cut}: {error:?}", plain.len());
                }
            }
        }
    }
}

/// A flip of any bit is detected: both formats have a checksum of the content here.
#[test]
fn every_flipped_bit_is_detected() {
    let plain = [vec![7; 100_000], data(200)].concat();
    for (how, format) in [("zstd", Format::Zstd), ("lz4", Format::Lz4)] {
        let frame = compress(how.parse().unwrap(), &plain).unwrap();
        for bit in 0..8 * frame.len() {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let result = decompress(format, &bad, 1 << 20);
            assert!(
                !result.is_ok_and(|found| found != plain),
                "{how}, bit {bit}"
            );
        }
    }
}

#[test]
fn xbcrypt_round_trip() {
    let key = xbcrypt::Key::new(xbcrypt::Algorithm::Aes256, &[7; 32]).unwrap();
    let other = xbcrypt::Key::new(xbcrypt::Algorithm::Aes256, &[8; 32]).unwrap();
    for len in [0, 1, 65536, 200_000] {
        let plain = data(len);
        let cipher = xbcrypt::encrypt(&key, xbcrypt::CHUNK, &plain).unwrap();
        assert_eq!(xbcrypt::decrypt(&key, &cipher, len).unwrap(), plain);
        if len > 0 {
            assert!(matches!(
                xbcrypt::decrypt(&other, &cipher, len),
                Err(CodecError::WrongKey { .. })
            ));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut out = Vec::new();
        let _ = Decompressor::new(Format::Zstd, &bytes[..]).read_to_end(&mut out);
        let _ = Decompressor::new(Format::Lz4, &bytes[..]).read_to_end(&mut out);
    }
}

/// With the IV of the golden file (see `tests/golden.rs`), the output is the same bytes.
#[test]
fn a_chunk_is_written_like_the_golden_file() {
    let golden = include_bytes!("../../testdata/xbcrypt/golden.xbcrypt");
    let secret: Vec<u8> = (0..32).collect();
    let key = xbcrypt::Key::new(xbcrypt::Algorithm::Aes256, &secret).unwrap();
    let mut ours = Vec::new();
    xbcrypt::append(&key, &golden[44..60], b"hello", &mut ours).unwrap();
    assert_eq!(ours, golden);
}

#[test]
fn the_key_length_selects_the_aes_as_in_xbcrypt() {
    use xbcrypt::{Algorithm, Key};
    const ALL: [Algorithm; 3] = [Algorithm::Aes128, Algorithm::Aes192, Algorithm::Aes256];
    let open = |key: &Key, data: &[u8]| xbcrypt::decrypt(key, data, 100);
    for length in [16, 24, 32] {
        let keys = ALL.map(|named| Key::from_text(named, &vec![b'z'; length]).unwrap());
        let sealed = xbcrypt::encrypt(&keys[0], 64, b"rows").unwrap();
        for key in &keys {
            assert_eq!(key.cipher().key_len(), length);
            assert_eq!(open(key, &sealed).unwrap(), b"rows");
        }
    }
    for length in [0, 15, 17, 31, 33, 62, 66] {
        assert!(
            Key::from_text(Algorithm::Aes256, &vec![b'1'; length]).is_err(),
            "{length}"
        );
    }

    // 64 and 48 digits can only be hexadecimal; to xbcrypt, 32 digits are a key of 32 bytes
    let digits = "00112233445566778899aabbccddeeff0011223344556677".repeat(2);
    for (named, text, bytes) in [
        (Algorithm::Aes256, digits[..64].to_owned(), 32),
        (Algorithm::Aes256, format!("{}\n", &digits[..64]), 32),
        (Algorithm::Aes192, digits[..48].to_owned(), 24),
        (Algorithm::Aes128, format!("{}\n", &digits[..32]), 16),
        (Algorithm::Aes256, format!("{}\r\n", &digits[..32]), 32),
        (Algorithm::Aes128, digits[..32].to_owned(), 32),
        (Algorithm::Aes192, format!("{}\n", &digits[..24]), 24),
    ] {
        let key = Key::from_text(named, text.as_bytes()).unwrap();
        assert_eq!(key.cipher().key_len(), bytes, "{named} {text:?}");
    }

    // files that an earlier lsnap encrypted with 32 digits can still be read, and its MAC is
    // accepted
    let bytes: Vec<u8> = (0..16).map(|n| n * 0x11).collect();
    let earlier = Key::new(Algorithm::Aes128, &bytes).unwrap();
    let now = Key::from_text(Algorithm::Aes128, &digits.as_bytes()[..32]).unwrap();
    let sealed = xbcrypt::encrypt(&earlier, 2, b"rows").unwrap();
    assert_eq!(open(&now, &sealed).unwrap(), b"rows");
    assert_eq!(now.mac_keys()[1], earlier.mac_key());
    assert_eq!(now.mac_keys()[0], now.mac_key());
    let raw = Key::from_text(Algorithm::Aes256, &digits.as_bytes()[..32]).unwrap();
    let sealed = xbcrypt::encrypt(&now, 2, b"rows").unwrap();
    assert_eq!(
        open(&raw, &sealed).unwrap(),
        b"rows",
        "as xbcrypt writes it"
    );
    assert!(open(&earlier, &sealed).is_err());
}
