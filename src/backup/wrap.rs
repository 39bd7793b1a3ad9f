//! The compression and encryption of a file's bytes (`docs/format/wrapping.md`).

use super::RANGE_BYTES;
use super::error::BackupError;
use crate::codec::Compression;
use crate::codec::xbcrypt::Key;
use crate::manifest::{self, Wrapping};
use bytes::Bytes;
use std::sync::OnceLock;

/// How a file is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrapMode {
    /// Compressed, then encrypted.
    All,
    /// Only encrypted: the server has encrypted it already, and ciphertext can't be compressed.
    Ciphertext,
    /// Neither: readers need the file before they have a key
    /// (`docs/format/wrapping.md#what-is-wrapped`).
    Plain,
}

/// A part of a file.
pub(super) struct Piece {
    /// Consecutive from 0, ascending with the offset.
    pub index: u64,
    /// The offset of the part in the file, including its hole.
    pub offset: u64,
    /// Length of the hole before the data in bytes; 0 if
    /// [`Sink::takes_holes`](super::sink::Sink::takes_holes) is false.
    pub hole: u64,
    pub data: Bytes,
    /// Whether this is the last part of the file.
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

    /// Returns whether files are compressed or encrypted.
    pub(super) fn is_any(&self) -> bool {
        self.compression().is_some() || self.key.is_some()
    }

    /// Returns the compression and key for a mode.
    fn of(&self, wrap_mode: WrapMode) -> manifest::Wrap<'_> {
        manifest::Wrap {
            compression: self.compression().filter(|_| wrap_mode == WrapMode::All),
            key: self.key.as_ref().filter(|_| wrap_mode != WrapMode::Plain),
        }
    }

    /// Returns the wrapping for the manifest; `None` if the bytes stay unchanged.
    pub(super) fn wrapping(&self, wrap_mode: WrapMode) -> Option<Wrapping> {
        self.of(wrap_mode).wrapping()
    }

    /// Returns the path under which the file `name` is stored.
    pub(super) fn path(&self, name: &str, wrap_mode: WrapMode) -> String {
        self.of(wrap_mode).path(name)
    }

    /// Compresses and encrypts a piece, as frames of [`RANGE_BYTES`], so that readers can decode
    /// them concurrently.
    ///
    /// # Errors
    /// The error of the codec.
    pub(super) fn wrap(&self, wrap_mode: WrapMode, piece: Piece) -> Result<Piece, BackupError> {
        // An empty file becomes an empty frame: the decoders refuse a file without a frame.
        if piece.data.is_empty() && !(piece.last && piece.index == 0) {
            return Ok(piece);
        }
        let data = self.of(wrap_mode).wrap(piece.data, RANGE_BYTES)?;
        Ok(Piece { data, ..piece })
    }
}
