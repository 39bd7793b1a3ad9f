//! How the bytes of a file are compressed and encrypted (`docs/format/wrapping.md`).

use super::RANGE_BYTES;
use super::error::BackupError;
use crate::codec::xbcrypt::{self, Key};
use crate::codec::{self, Compression};
use crate::manifest::Wrapping;
use bytes::Bytes;
use std::sync::OnceLock;

/// What is done to a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treat {
    /// Compressed, then encrypted.
    All,
    /// Only encrypted: the server encrypted it already, and ciphertext can't be compressed.
    Ciphertext,
    /// Neither: what a reader must see before it has a key (`docs/format/wrapping.md#what-is-wrapped`).
    Plain,
}

/// A run of a file's bytes.
pub(super) struct Piece {
    /// Dense from 0, ascending with the offset.
    pub index: u64,
    /// Where the run begins, its hole included.
    pub offset: u64,
    /// Length of the hole before the data; 0 where [`Sink::takes_holes`] is false.
    pub hole: u64,
    pub data: Bytes,
    /// No more of the file follows.
    pub last: bool,
}

/// The compression and the encryption of a backup.
pub(super) struct Wrap {
    compression: OnceLock<Compression>,
    key: Option<Key>,
}

impl Wrap {
    pub(super) fn new(compression: Option<Compression>, key: Option<Key>) -> Self {
        Self {
            compression: compression.map(OnceLock::from).unwrap_or_default(),
            key,
        }
    }

    /// Sets the compression, if none is set.
    pub(super) fn compress(&self, how: Compression) {
        let _ = self.compression.set(how);
    }

    pub(super) fn compression(&self) -> Option<Compression> {
        self.compression.get().copied()
    }

    /// Whether files are compressed or encrypted at all.
    pub(super) fn is_any(&self) -> bool {
        self.compression().is_some() || self.key.is_some()
    }

    /// What `treat` means here; `None`: the bytes stay as they are.
    pub(super) fn wrapping(&self, treat: Treat) -> Option<Wrapping> {
        let compression = match (treat, self.compression()) {
            (Treat::All, Some(how)) => Some(how.name().to_owned()),
            _ => None,
        };
        let encryption = match (treat, &self.key) {
            (Treat::All | Treat::Ciphertext, Some(key)) => Some(key.algorithm().to_string()),
            _ => None,
        };
        (compression.is_some() || encryption.is_some()).then_some(Wrapping {
            compression,
            encryption,
        })
    }

    /// The path under which the file `name` is stored.
    pub(super) fn path(&self, name: &str, treat: Treat) -> String {
        let mut path = name.to_owned();
        if let (Treat::All, Some(how)) = (treat, self.compression()) {
            path += how.suffix();
        }
        if treat != Treat::Plain && self.key.is_some() {
            path += ".xbcrypt";
        }
        path
    }

    /// Compresses and encrypts a piece.
    ///
    /// # Errors
    /// What the codec says.
    pub(super) fn wrap(&self, treat: Treat, piece: Piece) -> Result<Piece, BackupError> {
        let mut data = piece.data;
        // An empty file becomes an empty frame: the programs refuse a file without any.
        if !data.is_empty() || (piece.last && piece.index == 0) {
            if let (Treat::All, Some(how)) = (treat, self.compression()) {
                data = compress(how, &data)?;
            }
            if let (Treat::All | Treat::Ciphertext, Some(key)) = (treat, &self.key)
                && !data.is_empty()
            {
                data = Bytes::from(xbcrypt::encrypt(key, xbcrypt::CHUNK, &data)?);
            }
        }
        Ok(Piece { data, ..piece })
    }
}

/// As frames of [`RANGE_BYTES`], so that readers can take them apart beside each other.
fn compress(how: Compression, data: &[u8]) -> Result<Bytes, BackupError> {
    if data.len() <= RANGE_BYTES {
        return Ok(Bytes::from(codec::compress(how, data)?));
    }
    let mut frames = Vec::new();
    for part in data.chunks(RANGE_BYTES) {
        frames.extend_from_slice(&codec::compress(how, part)?);
    }
    Ok(Bytes::from(frames))
}
