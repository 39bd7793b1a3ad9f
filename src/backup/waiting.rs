//! Pieces of a delta that wait for an earlier piece.
//!
//! The header of a cluster is known after its pages (64 MiB of them, or 1 GiB with pages of 64
//! KiB). If pieces must be put in order, the pages wait here: a part in memory, the rest in an
//! unnamed file.

use super::error::BackupError;
use super::wrap::Piece;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The waiting pieces of one file.
pub(super) struct Waiting {
    next: u64,
    held: BTreeMap<u64, Held>,
    in_memory: usize,
    limit: usize,
    dir: PathBuf,
    spill: Option<(File, u64)>,
}

struct Held {
    offset: u64,
    last: bool,
    data: Data,
}

enum Data {
    Memory(Bytes),
    Disk { at: u64, len: usize },
}

impl Waiting {
    /// Holds up to `limit` bytes in memory, the rest in an unnamed file in `dir`.
    pub(super) const fn new(limit: usize, dir: PathBuf) -> Self {
        Self {
            next: 0,
            held: BTreeMap::new(),
            in_memory: 0,
            limit,
            dir,
            spill: None,
        }
    }

    /// Adds a piece, in any order.
    ///
    /// # Errors
    /// [`BackupError::Io`] if the unnamed file can't be created or written.
    pub(super) fn hold(&mut self, piece: Piece) -> Result<(), BackupError> {
        let data = if piece.index == self.next || self.in_memory + piece.data.len() <= self.limit {
            self.in_memory += piece.data.len();
            Data::Memory(piece.data)
        } else {
            self.spill_out(&piece.data)?
        };
        let held = Held {
            offset: piece.offset,
            last: piece.last,
            data,
        };
        self.held.insert(piece.index, held);
        Ok(())
    }

    fn spill_out(&mut self, data: &[u8]) -> Result<Data, BackupError> {
        let failed = |action| BackupError::io(&self.dir, action);
        if self.spill.is_none() {
            let file = tempfile::tempfile_in(&self.dir).map_err(failed("create the spool"))?;
            self.spill = Some((file, 0));
        }
        let Some((file, end)) = &mut self.spill else {
            return Err(BackupError::Panicked("spool"));
        };
        let at = *end;
        file.write_all_at(data, at).map_err(failed(
            "write the spool of a delta (use another directory: BackupOptions::spool_dir)",
        ))?;
        *end += data.len() as u64;
        let len = data.len();
        Ok(Data::Disk { at, len })
    }

    /// Returns the next piece in order, if it has been added.
    ///
    /// # Errors
    /// [`BackupError::Io`] if the unnamed file can't be read.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, BackupError> {
        let Some(held) = self.held.remove(&self.next) else {
            return Ok(None);
        };
        let data = match held.data {
            Data::Memory(data) => {
                self.in_memory -= data.len();
                data
            }
            Data::Disk { at, len } => self.read_back(at, len)?,
        };
        if self.held.is_empty() {
            // All of its pieces have been returned: the next cluster uses a new file.
            self.spill = None;
        }
        self.next += 1;
        Ok(Some(Piece {
            index: self.next - 1,
            offset: held.offset,
            hole: 0,
            data,
            last: held.last,
        }))
    }

    fn read_back(&self, at: u64, len: usize) -> Result<Bytes, BackupError> {
        let mut data = vec![0; len];
        if let Some((file, _)) = &self.spill {
            file.read_exact_at(&mut data, at)
                .map_err(BackupError::io(&self.dir, "read the spool of a delta"))?;
        }
        Ok(Bytes::from(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(index: u64, len: usize) -> Piece {
        Piece {
            index,
            offset: index * 100,
            hole: 0,
            data: Bytes::from(vec![index as u8; len]),
            last: index == 5,
        }
    }

    #[test]
    fn pieces_are_returned_in_order_with_any_memory_limit() {
        for limit in [0, 60, 1000] {
            let mut waiting = Waiting::new(limit, std::env::temp_dir());
            let mut out = Vec::new();
            for index in [1, 2, 0, 4, 5, 3] {
                waiting.hold(piece(index, 50)).unwrap();
                assert!(waiting.in_memory <= limit + 50, "{}", waiting.in_memory);
                while let Some(piece) = waiting.next().unwrap() {
                    assert_eq!(&piece.data[..], &[piece.index as u8; 50]);
                    assert_eq!(piece.offset, piece.index * 100);
                    assert_eq!(piece.last, piece.index == 5);
                    out.push(piece.index);
                }
                let expected: &[u64] = match index {
                    1 | 2 => &[],
                    0 | 4 | 5 => &[0, 1, 2],
                    _ => &[0, 1, 2, 3, 4, 5],
                };
                assert_eq!(out, expected, "after {index}, limit {limit}");
            }
            assert_eq!(waiting.in_memory, 0);
        }
    }

    /// Indices and lengths of pieces, in the order of arrival.
    fn arrivals() -> impl Strategy<Value = Vec<(u64, usize)>> {
        let pieces = proptest::collection::vec(0..200usize, 1..40);
        pieces.prop_flat_map(|lens| {
            let pieces: Vec<_> = (0u64..).zip(lens).collect();
            Just(pieces).prop_shuffle()
        })
    }

    proptest! {
        /// For any order of arrival, every piece is returned once and in order, and memory is
        /// bounded.
        #[test]
        fn any_order(arrivals in arrivals(), limit in 0..500usize) {
            let mut waiting = Waiting::new(limit, std::env::temp_dir());
            let mut out = 0;
            for &(index, len) in &arrivals {
                waiting.hold(piece(index, len)).unwrap();
                prop_assert!(waiting.in_memory <= limit + len);
                while let Some(found) = waiting.next().unwrap() {
                    let len = arrivals.iter().find(|(index, _)| *index == found.index).unwrap().1;
                    prop_assert_eq!(found.index, out);
                    prop_assert_eq!(&found.data[..], &vec![found.index as u8; len][..]);
                    out += 1;
                }
            }
            prop_assert_eq!(out, arrivals.len() as u64);
            prop_assert_eq!(waiting.in_memory, 0);
            prop_assert!(waiting.spill.is_none(), "the disk space is freed");
        }
    }

    #[test]
    fn the_error_has_the_path_of_a_spool_that_cannot_be_created() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let mut waiting = Waiting::new(60, missing.clone());
        waiting.hold(piece(1, 50)).unwrap();
        let error = waiting.hold(piece(2, 50)).unwrap_err();
        assert!(
            error.to_string().contains(missing.to_str().unwrap()),
            "{error}"
        );
        assert!(error.to_string().contains("spool"), "{error}");
    }
}
