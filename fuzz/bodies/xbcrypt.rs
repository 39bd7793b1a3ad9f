//! Encrypted chunks, with a fixed key.

use super::{Dribble, le};
use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use lsnap::codec::CodecError;
use lsnap::codec::xbcrypt::{Algorithm, Key, Reader, decrypt, encrypt};
use sha2::{Digest, Sha256};
use std::io::Read;

/// The key of the files in `testdata/xbcrypt`.
const KEY: &[u8; 32] = b"lsnap fuzzing: not a secret key!";
/// Largest output that is accepted, in bytes.
const MAX: usize = 1 << 20;

/// Parses the input as chunks, as chunks with corrected digests, and encrypts it as data.
pub fn chunks(data: &[u8]) {
    let key = Key::new(Algorithm::Aes256, KEY).expect("32 bytes");
    agree(&key, data);
    agree(&key, &sealed(data));
    there_and_back(&key, data);
}

fn agree(key: &Key, data: &[u8]) {
    let at_once = decrypt(key, data, MAX);
    for cut in [false, true] {
        let inner: Box<dyn Read + '_> = if cut {
            Box::new(Dribble::new(data))
        } else {
            Box::new(data)
        };
        let mut plain = Vec::new();
        let read = Reader::new(inner, key.clone()).read_to_end(&mut plain);
        match (&at_once, read) {
            (Ok(all), Ok(_)) => assert_eq!(all, &plain),
            (Err(all), Err(error)) => assert_eq!(all.to_string(), error.to_string()),
            (all, read) => panic!("the decrypters disagree: {all:?}, {read:?}"),
        }
        assert!(plain.len() <= data.len());
    }
    if let Ok(plain) = &at_once {
        let less = plain.len().saturating_sub(1);
        let bounded = decrypt(key, data, less);
        assert!(
            plain.is_empty() || matches!(bounded, Err(CodecError::TooLarge { .. })),
            "{bounded:?}"
        );
    }
}

/// Fills in the values that the fuzzer can't guess: the hash and the CRC of every chunk that can be
/// parsed, and the length that occurs twice.
fn sealed(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    let mut at = 0;
    while let Some(next) = seal(&mut out, at) {
        at = next;
    }
    out
}

fn seal(out: &mut [u8], at: usize) -> Option<usize> {
    let length = usize::try_from(le(out, at + 24, 8)?).ok()?;
    let iv_end = at
        + 44
        + usize::try_from(le(out, at + 36, 8)?)
            .ok()
            .filter(|n| *n < 64)?;
    let iv = out.get(at + 44..iv_end)?.to_vec();
    let end = iv_end.checked_add(length)?;
    out.copy_within(at + 24..at + 32, at + 16);
    let cipher = out.get_mut(iv_end..end)?;
    // a chunk that is too short for a hash still gets its CRC
    if let Some(hash_at) = length.checked_sub(32) {
        let mut aes = Ctr128BE::<Aes256>::new_from_slices(KEY, &iv).ok()?;
        let hash = Sha256::digest(&cipher[..hash_at]);
        cipher[hash_at..].copy_from_slice(&hash);
        aes.apply_keystream(cipher);
    }
    let crc = crc32fast::hash(cipher);
    out[at + 32..at + 36].copy_from_slice(&crc.to_le_bytes());
    Some(end)
}

fn there_and_back(key: &Key, data: &[u8]) {
    let chunk = 1 + data.first().map_or(0, |first| usize::from(*first) * 16);
    if data.len() / chunk > 64 {
        return;
    }
    let made = encrypt(key, chunk, data).expect("random numbers are available");
    assert_eq!(
        decrypt(key, &made, data.len()).expect("it was just encrypted"),
        data
    );
    let chunks = data.len().div_ceil(chunk);
    assert_eq!(made.len(), data.len() + chunks * (44 + 16 + 32));
    if let Some(short) = made.len().checked_sub(1) {
        assert!(matches!(
            decrypt(key, &made[..short], MAX),
            Err(CodecError::Truncated { .. })
        ));
        let mut other = KEY.to_vec();
        other[0] ^= 1;
        let other = Key::new(Algorithm::Aes256, &other).expect("32 bytes");
        assert!(matches!(
            decrypt(&other, &made, MAX),
            Err(CodecError::WrongKey { .. })
        ));
    }
}
