//! How the bytes of a file are compressed and encrypted (`docs/format/wrapping.md`).

use super::RANGE_BYTES;
use super::error::BackupError;
use crate::codec::Compression;
use crate::codec::xbcrypt::Key;
use crate::manifest::{self, Wrapping};
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

    /// What `treat` means here.
    fn of(&self, treat: Treat) -> manifest::Wrap<'_> {
        manifest::Wrap {
            compression: self.compression().filter(|_| treat == Treat::All),
            key: self.key.as_ref().filter(|_| treat != Treat::Plain),
        }
    }

    /// The entry of a manifest; `None`: the bytes stay as they are.
    pub(super) fn wrapping(&self, treat: Treat) -> Option<Wrapping> {
        self.of(treat).wrapping()
    }

    /// The path under which the file `name` is stored.
    pub(super) fn path(&self, name: &str, treat: Treat) -> String {
        self.of(treat).path(name)
    }

    /// Compresses and encrypts a piece, as frames of [`RANGE_BYTES`], so that readers can take them apart concurrently.
    ///
    /// # Errors
    /// The error of the codec.
    pub(super) fn wrap(&self, treat: Treat, piece: Piece) -> Result<Piece, BackupError> {
        // An empty file becomes an empty frame: the programs refuse a file without any.
        if piece.data.is_empty() && !(piece.last && piece.index == 0) {
            return Ok(piece);
        }
        let data = self.of(treat).wrap(piece.data, RANGE_BYTES)?;
        Ok(Piece { data, ..piece })
    }
}
