//! Backups that were made as a stream and put into the repository chunk by chunk (`lsnap backup
//! --stream | lsnap cloud put`). Each object is one chunk of one file of the stream. The manifest
//! is one of these files, and describes the others as they are in the stream and in the directory
//! that it is extracted to.

use crate::counted::count;
use crate::manifest::document::{MANIFEST, MAX_DOCUMENT};
use crate::manifest::{
    BackupName, Finding, Layout, Manifest, object_name, parse_manifest, split_object_name,
};
use crate::store::error::StoreError;
use crate::store::error::backup::BackupFault;
use crate::store::objects::bucket::Held;
use crate::store::objects::repository::Repository;
use crate::xbstream;
use crate::xbstream::Chunk;
use bytes::Bytes;
use std::collections::BTreeMap;

/// A stream in a repository: its manifest, and the positions of the bytes of its files.
#[derive(Debug)]
pub struct Streamed {
    name: BackupName,
    manifest: Manifest,
    files: BTreeMap<String, Vec<Piece>>,
}

/// The payload of one chunk.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Offset of its first byte in the file.
    offset: u64,
    /// Its length in bytes.
    length: u64,
    /// Length of its object, in bytes.
    object: u64,
}

impl Repository {
    /// Opens the stream that was put as `name`: one listing, and its manifest.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if objects are missing or are not chunks of files without holes;
    /// [`BackupFault::Foreign`](crate::store::BackupFault::Foreign) if lsnap did not make the
    /// stream; or an error of the store.
    pub fn streamed(&self, name: &BackupName) -> Result<Streamed, StoreError> {
        let mut objects: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
        self.each_object(name.as_str(), |object, bytes| {
            if let Some((path, index)) = split_object_name(object) {
                objects
                    .entry(path.to_owned())
                    .or_default()
                    .insert(index, bytes);
            }
            true
        })?;
        let mut files = BTreeMap::new();
        for (path, objects) in objects {
            let pieces = pieces(&path, &objects).map_err(|what| StoreError::Damaged {
                object: format!("{name}/{path}"),
                what,
            })?;
            files.insert(path, pieces);
        }
        let length = files.get(MANIFEST).map(|pieces| end_of(pieces));
        let Some(length) = length.filter(|length| *length <= MAX_DOCUMENT) else {
            return Err(StoreError::Backup(BackupFault::Foreign {
                name: name.clone(),
            }));
        };
        let text = self.range_of(name, &files, MANIFEST, 0, length)?;
        let damaged = |what| StoreError::Damaged {
            object: format!("{name}/{MANIFEST}"),
            what,
        };
        let manifest = parse_manifest(&text).map_err(damaged)?;
        if manifest.layout != Layout::Stream {
            return Err(damaged(
                "the layout `objects`, expected `stream`".to_owned().into(),
            ));
        }
        Ok(Streamed {
            name: name.clone(),
            manifest,
            files,
        })
    }

    fn range_of(
        &self,
        name: &BackupName,
        files: &BTreeMap<String, Vec<Piece>>,
        path: &str,
        from: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        let pieces = files.get(path).map_or(&[][..], Vec::as_slice);
        let to = from.saturating_add(length);
        let first = pieces.partition_point(|piece| piece.offset + piece.length <= from);
        let mut parts = Vec::new();
        for (index, piece) in (first as u64..).zip(&pieces[first..]) {
            if piece.offset >= to {
                break;
            }
            let data = self.payload(name, path, index, *piece)?;
            let begin = from.saturating_sub(piece.offset) as usize;
            let end = (to.min(piece.offset + piece.length) - piece.offset) as usize;
            parts.push(data.slice(begin..end));
        }
        let found: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if found != length {
            return Err(StoreError::Damaged {
                object: format!("{name}/{path}"),
                what: Finding::new(
                    format!(
                        "{found} from offset {from} on",
                        found = count(found, "byte")
                    ),
                    length,
                ),
            });
        }
        Ok(match parts.len() {
            1 => parts.swap_remove(0),
            _ => Bytes::from(parts.concat()),
        })
    }

    /// Returns the checked payload of one chunk.
    fn payload(
        &self,
        name: &BackupName,
        path: &str,
        index: u64,
        piece: Piece,
    ) -> Result<Bytes, StoreError> {
        let object = format!("{name}/{}", object_name(path, index));
        let damaged = |what: Finding| StoreError::Damaged {
            object: object.clone(),
            what,
        };
        let bytes = match self.bucket().get(&object, piece.object)? {
            Held::Bytes(bytes) if bytes.len() as u64 == piece.object => bytes,
            Held::Nothing => {
                return Err(StoreError::Missing {
                    object,
                    bytes: piece.object,
                });
            }
            _ => {
                return Err(damaged(Finding::new(
                    "it changed",
                    count(piece.object, "byte"),
                )));
            }
        };
        match xbstream::chunks(bytes).next() {
            Some(Ok(Chunk::Payload {
                path: of,
                offset,
                data,
                ..
            })) if of == path && offset == piece.offset && data.len() as u64 == piece.length => {
                Ok(data)
            }
            Some(Err(error)) => Err(damaged(error.to_string().into())),
            _ => Err(damaged(format!(
                "not the {} of {path} from offset {} on: extract the stream into a directory (cloud get)",
                count(piece.length, "byte"),
                piece.offset
            ).into())),
        }
    }
}

impl Streamed {
    /// Returns the name that it was put as.
    #[must_use]
    pub const fn name(&self) -> &BackupName {
        &self.name
    }

    /// Returns its manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the length of a file as stored, in bytes, or `None` if there is no such file.
    #[must_use]
    pub fn length(&self, path: &str) -> Option<u64> {
        self.files.get(path).map(|pieces| end_of(pieces))
    }

    /// Reads `length` bytes of a file as stored, from offset `from` on.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], or an error of the store.
    pub fn range(
        &self,
        repo: &Repository,
        path: &str,
        from: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        repo.range_of(&self.name, &self.files, path, from, length)
    }
}

fn end_of(pieces: &[Piece]) -> u64 {
    pieces.last().map_or(0, |last| last.offset + last.length)
}

/// Determines the positions of the payloads from the lengths of the objects alone: the headers of
/// chunks without holes all have the same length. Each chunk that is read is checked against this.
fn pieces(path: &str, objects: &BTreeMap<u64, u64>) -> Result<Vec<Piece>, Finding> {
    let head = xbstream::payload_head(path, 0, 0, 0)
        .map_err(|e| e.to_string())?
        .len() as u64;
    let end = xbstream::end_chunk(path).map_err(|e| e.to_string())?.len() as u64;
    let mut pieces = Vec::with_capacity(objects.len());
    let mut offset = 0u64;
    let mut ended = false;
    for (expected, (index, object)) in (0u64..).zip(objects) {
        if *index != expected {
            return Err(format!("object {expected} is missing").into());
        }
        if ended {
            return Err(format!("object {index} follows the one that ends the file").into());
        }
        match object.checked_sub(head) {
            Some(length) => {
                pieces.push(Piece {
                    offset,
                    length,
                    object: *object,
                });
                offset = offset
                    .checked_add(length)
                    .ok_or("its length is more than 2^64 bytes")?;
            }
            None if *object == end => ended = true,
            None => {
                return Err(Finding::new(
                    format!(
                        "object {index} has {object}",
                        object = count(object, "byte")
                    ),
                    "a chunk",
                ));
            }
        }
    }
    if ended {
        Ok(pieces)
    } else {
        Err("its last object is missing".to_owned().into())
    }
}
