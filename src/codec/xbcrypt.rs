//! xbcrypt: chunks of AES in counter mode.
//!
//! Facts: `docs/format/wrapping.md#xbcrypt`, and `xbcrypt_common.cc` and `xbcrypt_read.cc` of
//! percona-xtrabackup. All numbers are little-endian, except the counter of the mode: it is 16
//! bytes, big-endian, and starts at the IV.
//!
//! ```text
//! +0   "XBCRYP03"           8
//! +8   reserved, 0        u64
//! +16  plaintext length   u64  with the hash's 32 bytes
//! +24  ciphertext length  u64  the same
//! +32  CRC-32 of the ciphertext  u32
//! +36  IV length          u64  16
//! +44  IV                      [IV length]
//!      ciphertext              [ciphertext length]  of: data, SHA-256 of the data
//! ```
//!
//! Protection: without the key, the data can't be read. Damage is detected (by the CRC without the
//! key, by the hash with it). The format is not authenticated: an attacker who knows the data of a
//! chunk can make another valid chunk from it without the key, and chunks can be omitted or
//! exchanged. The MAC in lsnap's manifest protects against that (see `store`).
//!
//! **The length of the key decides which AES is used**, not the algorithm that was named: the
//! original passes the bytes of the key, as they are in the file, to libgcrypt, whose AES accepts
//! 16, 24 and 32 bytes under each of its three names. This module does the same.

use super::CodecError;
use crate::counted::count;
use aes::{Aes128, Aes192, Aes256};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::Read;
use std::str::FromStr;
use zeroize::Zeroizing;

const MAGIC: &[u8; 8] = b"XBCRYP03";
/// Length of the fields before the IV, in bytes.
const HEAD: usize = 44;
const IV: usize = 16;
const HASH: usize = 32;
/// Plaintext of a chunk in bytes, as xbcrypt writes it (`--encrypt-chunk-size`).
pub const CHUNK: usize = 64 << 10;
/// Largest ciphertext of a chunk that is accepted, in bytes.
pub const CHUNK_MAX: u64 = 256 << 20;
/// Memory is allocated in steps of this size as bytes arrive, independent of the length field.
const STEP: u64 = 1 << 20;

/// The AES variant that an option names; the length of the key decides which variant is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Usually with a key of 16 bytes.
    Aes128,
    /// Usually with a key of 24 bytes.
    Aes192,
    /// Usually with a key of 32 bytes.
    Aes256,
}

impl Algorithm {
    /// Returns the key length in bytes that the name stands for.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// Returns the variant of a key of `length` bytes.
    #[must_use]
    pub const fn of_length(length: usize) -> Option<Self> {
        match length {
            16 => Some(Self::Aes128),
            24 => Some(Self::Aes192),
            32 => Some(Self::Aes256),
            _ => None,
        }
    }

    /// Returns the name that options use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128 => "AES128",
            Self::Aes192 => "AES192",
            Self::Aes256 => "AES256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = CodecError;

    fn from_str(text: &str) -> Result<Self, CodecError> {
        [Self::Aes128, Self::Aes192, Self::Aes256]
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| CodecError::BadSpec {
                found: text.to_owned(),
                what: "encryption algorithm",
                expected: "AES128, AES192 or AES256",
            })
    }
}

/// A key. Its bytes don't appear in any output, and are overwritten when it is dropped.
#[derive(Clone)]
pub struct Key {
    algorithm: Algorithm,
    bytes: Bytes,
    /// The key that earlier versions of lsnap derived from the same text; only for reading.
    earlier: Option<Bytes>,
}

type Bytes = Zeroizing<Vec<u8>>;

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, ...)", self.algorithm)
    }
}

impl Key {
    /// Creates a key of 16, 24 or 32 bytes.
    ///
    /// # Errors
    /// [`CodecError::BadKey`].
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, CodecError> {
        if Algorithm::of_length(bytes.len()).is_none() {
            return Err(CodecError::BadKey { found: bytes.len() });
        }
        Ok(Self {
            algorithm,
            bytes: Zeroizing::new(bytes.to_vec()),
            earlier: None,
        })
    }

    /// Creates a key from the text of an option or a file. A text of 16, 24 or 32 bytes is used
    /// unchanged, whatever it contains: so does xbcrypt, so each can decrypt the files of the
    /// other. xbcrypt refuses any other length. For other lengths, this function removes a
    /// newline at the end, and decodes the hexadecimal digits of a key; xbcrypt must get such
    /// a key as bytes.
    ///
    /// Earlier versions of lsnap decoded 32 digits for AES128 too. Files that they encrypted can
    /// still be decrypted.
    ///
    /// # Errors
    /// [`CodecError::BadKey`].
    pub fn from_text(algorithm: Algorithm, text: &[u8]) -> Result<Self, CodecError> {
        let decoded = |digits: &[u8]| {
            Algorithm::of_length(digits.len() / 2)
                .filter(|_| digits.len().is_multiple_of(2))
                .and_then(|_| unhex(digits))
        };
        if Algorithm::of_length(text.len()).is_some() {
            let earlier = match algorithm {
                Algorithm::Aes128 => decoded(text),
                _ => None,
            };
            return Ok(Self {
                earlier,
                ..Self::new(algorithm, text)?
            });
        }
        let line = text.strip_suffix(b"\n").unwrap_or(text);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // If a line can be either, the usual key length of its algorithm decides.
        match decoded(line) {
            Some(bytes) if line.len() != algorithm.key_len() => Self::new(algorithm, &bytes),
            _ => Self::new(algorithm, line),
        }
    }

    /// Returns the AES variant that is used.
    #[must_use]
    pub fn cipher(&self) -> Algorithm {
        Algorithm::of_length(self.bytes.len()).unwrap_or(self.algorithm)
    }

    /// Returns the algorithm that was named with the key.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Derives a key for MACs, from which this key can't be computed.
    #[must_use]
    pub fn mac_key(&self) -> [u8; 32] {
        mac_key(&self.bytes)
    }

    /// Returns the keys that MACs may have been made with, [`Self::mac_key`] first.
    #[must_use]
    pub fn mac_keys(&self) -> Vec<[u8; 32]> {
        let all = std::iter::once(&self.bytes).chain(&self.earlier);
        all.map(|bytes| mac_key(bytes)).collect()
    }

    /// Encrypts in place.
    fn apply(&self, iv: &[u8], data: &mut [u8]) -> Result<(), CodecError> {
        apply(&self.bytes, iv, data)
    }

    /// Decrypts the ciphertext of a chunk in place and returns whether its hash matches.
    fn open(&self, iv: &[u8], data: &mut [u8]) -> Result<bool, CodecError> {
        apply(&self.bytes, iv, data)?;
        if hash_is_right(data) {
            return Ok(true);
        }
        let Some(earlier) = &self.earlier else {
            return Ok(false);
        };
        // In counter mode, a second pass with the same key restores the ciphertext.
        apply(&self.bytes, iv, data)?;
        apply(earlier, iv, data)?;
        Ok(hash_is_right(data))
    }
}

fn mac_key(bytes: &[u8]) -> [u8; 32] {
    blake3::derive_key("lsnap 2026-11 manifest mac", bytes)
}

/// Encrypts or decrypts in place; in counter mode the two are the same.
fn apply(key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CodecError> {
    match Algorithm::of_length(key.len()) {
        Some(Algorithm::Aes128) => run::<Ctr128BE<Aes128>>(key, iv, data),
        Some(Algorithm::Aes192) => run::<Ctr128BE<Aes192>>(key, iv, data),
        Some(Algorithm::Aes256) => run::<Ctr128BE<Aes256>>(key, iv, data),
        None => Err(CodecError::BadKey { found: key.len() }),
    }
}

fn run<C: KeyIvInit + StreamCipher>(
    key: &[u8],
    iv: &[u8],
    data: &mut [u8],
) -> Result<(), CodecError> {
    let failed = |why: &dyn fmt::Display| CodecError::Failed {
        what: "use the cipher",
        why: why.to_string(),
    };
    let mut cipher = C::new_from_slices(key, iv).map_err(|e| failed(&e))?;
    cipher.try_apply_keystream(data).map_err(|e| failed(&e))
}

/// Returns whether the hash at the end matches the bytes before it.
fn hash_is_right(plain: &[u8]) -> bool {
    plain
        .split_last_chunk::<HASH>()
        .is_some_and(|(data, hash)| Sha256::digest(data)[..] == hash[..])
}

fn unhex(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let value = |digit: u8| (digit as char).to_digit(16).map(|n| n as u8);
    let pairs = digits.chunks_exact(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?))
        .collect();
    bytes.map(Zeroizing::new)
}

/// Encrypts `data` into whole chunks of `chunk` bytes each (the last may be shorter).
///
/// # Errors
/// [`CodecError::Failed`] if the system provides no random numbers.
pub fn encrypt(key: &Key, chunk: usize, data: &[u8]) -> Result<Vec<u8>, CodecError> {
    let chunk = chunk.max(1);
    let chunks = data.len().div_ceil(chunk);
    let mut ivs = vec![0; chunks * IV];
    getrandom::fill(&mut ivs).map_err(|e| CodecError::Failed {
        what: "make random numbers",
        why: e.to_string(),
    })?;
    let mut out = Vec::with_capacity(data.len() + chunks * (HEAD + IV + HASH));
    for (piece, iv) in data.chunks(chunk).zip(ivs.chunks_exact(IV)) {
        append(key, iv, piece, &mut out)?;
    }
    Ok(out)
}

/// Appends one chunk.
pub(super) fn append(
    key: &Key,
    iv: &[u8],
    data: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let length = ((data.len() + HASH) as u64).to_le_bytes();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&length);
    out.extend_from_slice(&length);
    let crc_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(iv.len() as u64).to_le_bytes());
    out.extend_from_slice(iv);
    let start = out.len();
    out.extend_from_slice(data);
    out.extend_from_slice(&Sha256::digest(data));
    key.apply(iv, &mut out[start..])?;
    let crc = crc32fast::hash(&out[start..]);
    out[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Decrypts all chunks of `data`. The result has at most `max` bytes.
///
/// # Errors
/// Same as [`Reader`].
pub fn decrypt(key: &Key, data: &[u8], max: usize) -> Result<Vec<u8>, CodecError> {
    let mut chunks = Chunks { inner: data, at: 0 };
    let mut out = Vec::with_capacity(max.min(data.len()));
    while let Some(plain) = chunks.next(key)? {
        if plain.len() > max - out.len() {
            return Err(CodecError::TooLarge {
                at: chunks.at,
                what: "the chunks hold more".to_owned(),
                max: max as u64,
            });
        }
        out.extend_from_slice(&plain);
    }
    Ok(out)
}

/// Reads the plaintext of any number of chunks. Its errors are [`CodecError`]s in
/// [`std::io::Error`]s: `Truncated`, `NotA`, `Damaged` (the CRC is wrong), `WrongKey` (the CRC is
/// right and the hash is wrong), `TooLarge` (beyond [`CHUNK_MAX`]), `Unsupported`.
#[derive(Debug)]
pub struct Reader<R> {
    chunks: Chunks<R>,
    key: Key,
    plain: Vec<u8>,
    given: usize,
    failed: bool,
}

impl<R: Read> Reader<R> {
    /// Creates a reader that decrypts the bytes of `inner`.
    pub const fn new(inner: R, key: Key) -> Self {
        Self {
            chunks: Chunks { inner, at: 0 },
            key,
            plain: Vec::new(),
            given: 0,
            failed: false,
        }
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.given == self.plain.len() {
            if self.failed || buffer.is_empty() {
                return Ok(0);
            }
            match self.chunks.next(&self.key) {
                Ok(Some(plain)) => (self.plain, self.given) = (plain, 0),
                Ok(None) => return Ok(0),
                Err(error) => {
                    self.failed = true;
                    return Err(error.into());
                }
            }
        }
        let length = buffer.len().min(self.plain.len() - self.given);
        buffer[..length].copy_from_slice(&self.plain[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }
}

/// Reads chunks from any reader.
#[derive(Debug)]
struct Chunks<R> {
    inner: R,
    at: u64,
}

/// The fields of the head of a chunk.
struct Head {
    plain: u64,
    cipher: u64,
    crc: u32,
    iv: u64,
}

impl<R: Read> Chunks<R> {
    /// Returns the plaintext of the next chunk.
    fn next(&mut self, key: &Key) -> Result<Option<Vec<u8>>, CodecError> {
        let at = self.at;
        let head = self.bytes(HEAD as u64)?;
        if head.is_empty() {
            return Ok(None);
        }
        let head = Head::parse(&head, at)?;
        let iv = self.exactly(head.iv, at, "the IV of an xbcrypt chunk")?;
        let mut data = self.exactly(head.cipher, at, "the ciphertext of an xbcrypt chunk")?;
        let crc = crc32fast::hash(&data);
        if crc != head.crc {
            return Err(CodecError::Damaged {
                at,
                what: format!(
                    "the CRC of an xbcrypt chunk is {crc:08x}, expected {:08x}",
                    head.crc
                ),
            });
        }
        let length = data.len() - HASH;
        if !key.open(&iv, &mut data)? {
            return Err(CodecError::WrongKey {
                at,
                algorithm: key.cipher().name(),
            });
        }
        data.truncate(length);
        debug_assert_eq!(head.plain, (length + HASH) as u64);
        Ok(Some(data))
    }

    /// Reads `length` bytes; fewer only at the end.
    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::new();
        while (out.len() as u64) < length {
            let want = (length - out.len() as u64).min(STEP);
            let got = (&mut self.inner)
                .take(want)
                .read_to_end(&mut out)
                .map_err(|e| CodecError::Failed {
                    what: "read",
                    why: e.to_string(),
                })? as u64;
            self.at += got;
            if got < want {
                break;
            }
        }
        Ok(out)
    }

    fn exactly(&mut self, length: u64, at: u64, part: &'static str) -> Result<Vec<u8>, CodecError> {
        let bytes = self.bytes(length)?;
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        Err(CodecError::Truncated { at, part })
    }
}

impl Head {
    fn parse(bytes: &[u8], at: u64) -> Result<Self, CodecError> {
        let magic = &bytes[..bytes.len().min(8)];
        if magic != &MAGIC[..magic.len()] {
            return Err(Self::no_chunk(magic, at));
        }
        if bytes.len() < HEAD {
            return Err(CodecError::Truncated {
                at,
                part: "the head of an xbcrypt chunk",
            });
        }
        let le = |from: usize, to: usize| {
            let bytes = bytes[from..to].iter().rev();
            bytes.fold(0u64, |n, b| n << 8 | u64::from(*b))
        };
        let this = Self {
            plain: le(16, 24),
            cipher: le(24, 32),
            crc: le(32, 36) as u32,
            iv: le(36, 44),
        };
        let wrong = |what: String| Err(CodecError::Damaged { at, what });
        if le(8, 16) != 0 {
            return wrong(format!("reserved field {:#x}, expected 0", le(8, 16)));
        }
        if this.cipher > CHUNK_MAX {
            return Err(CodecError::TooLarge {
                at,
                what: format!("an xbcrypt chunk of {}", count(this.cipher, "byte")),
                max: CHUNK_MAX,
            });
        }
        if this.plain != this.cipher || this.cipher < HASH as u64 {
            return wrong(format!(
                "plaintext of {} in ciphertext of {}, expected the same number, at least {HASH}",
                count(this.plain, "byte"),
                this.cipher
            ));
        }
        if this.iv != IV as u64 {
            return wrong(format!(
                "an IV of {}, expected {IV}",
                count(this.iv, "byte")
            ));
        }
        Ok(this)
    }

    fn no_chunk(magic: &[u8], at: u64) -> CodecError {
        if matches!(magic, b"XBCRYP01" | b"XBCRYP02") {
            return CodecError::Unsupported {
                at,
                what: format!(
                    "a chunk {} of an xtrabackup before 2.4, which has no digest: decrypt it with xbcrypt",
                    String::from_utf8_lossy(magic)
                ),
            };
        }
        CodecError::NotA {
            format: "an xbcrypt chunk",
            at,
            found: magic.to_vec(),
            expected: "\"XBCRYP03\"",
        }
    }
}
