//! A log table that was altered to MyISAM: two files that the server writes to while everything else is locked.
//!
//! Rows are appended to the `.MYD` file and never changed, as the server refuses `UPDATE` and `DELETE` of a log table
//! and the instance lock keeps `TRUNCATE` out. So the `.MYD` file up to a length that the `.MYI` file once named is
//! the table of that moment. The server writes the state in the `.MYI` file's header after each row, and pages of
//! indexes before that; two equal reads of the whole file are one moment. The header counts the sessions that have the
//! table open, which a later check would call a crash, so the copy has 0 there:
//!
//! ```text
//! 0 magic number FE FE 07 u8 version   2 * 5 .. 23 lengths and options   18 number of indexes u8
//! 24 open count u16   28 rows u64   68 length of the .MYD file u64       (all big-endian)
//! ```

use crate::counted::count;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

/// What a `.MYI` file begins with.
const MAGIC: [u8; 3] = [0xFE, 0xFE, 0x07];
const INDEXES: usize = 18;
const OPEN_COUNT: std::ops::Range<usize> = 24..26;
const DATA_LENGTH: std::ops::Range<usize> = 68..76;
/// The header up to its last field that is used here, in bytes.
const HEADER: usize = DATA_LENGTH.end;
/// The longest `.MYI` file that is read, in bytes: it is held in memory.
const MAX_INDEX: u64 = 256 << 20;
/// How often the file is read until two reads are equal.
const TRIES: u32 = 200;
/// The pause between two reads of a table with indexes, whose pages are written before the state.
const PAUSE: Duration = Duration::from_millis(10);

/// A table at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// The `.MYI` file.
    pub index: Vec<u8>,
    /// How much of the `.MYD` file belongs to it, in bytes.
    pub data: u64,
}

/// Why a table can't be read as of one moment.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    /// What was found, and what was expected.
    NotWhole(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the `.MYI` file of a table that is being written to.
pub(super) fn moment(path: &Path) -> Result<Moment, Fault> {
    let file = File::open(path)?;
    let mut before = whole(&file)?;
    for _ in 0..TRIES {
        if has_indexes(&before) {
            std::thread::sleep(PAUSE);
        }
        let now = whole(&file)?;
        if now == before {
            return of(now).map_err(Fault::NotWhole);
        }
        before = now;
    }
    Err(Fault::NotWhole(format!(
        "{TRIES} reads of its .MYI file differed, as the server writes to it"
    )))
}

fn whole(file: &File) -> Result<Vec<u8>, Fault> {
    let length = file.metadata()?.len();
    if length > MAX_INDEX {
        return Err(Fault::NotWhole(format!(
            "its .MYI file has {}, at most {MAX_INDEX} expected",
            count(length, "byte")
        )));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    At(file, 0).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file from a place of its own.
struct At<'a>(&'a File, u64);

impl io::Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(buffer, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

fn has_indexes(index: &[u8]) -> bool {
    index.get(INDEXES).is_none_or(|n| *n > 0)
}

fn of(mut index: Vec<u8>) -> Result<Moment, String> {
    let length = index.get(DATA_LENGTH).and_then(|b| b.try_into().ok());
    let (Some(length), true) = (length, index.starts_with(&MAGIC)) else {
        return Err(format!(
            "its .MYI file of {} has no header of MyISAM's, {} expected",
            count(index.len(), "byte"),
            count(HEADER, "byte")
        ));
    };
    index[OPEN_COUNT].fill(0);
    Ok(Moment {
        data: u64::from_be_bytes(length),
        index,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(open: u8, data: u64) -> Vec<u8> {
        let mut bytes = vec![7; 1024];
        bytes[..4].copy_from_slice(&[0xFE, 0xFE, 0x07, 1]);
        bytes[INDEXES] = 0;
        bytes[OPEN_COUNT].copy_from_slice(&[0, open]);
        bytes[DATA_LENGTH].copy_from_slice(&data.to_be_bytes());
        bytes
    }

    #[test]
    fn the_copy_is_of_a_table_that_nobody_has_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("general_log.MYI");
        std::fs::write(&path, index(3, 4711)).unwrap();
        let found = moment(&path).unwrap();
        assert_eq!(found.data, 4711);
        assert_eq!(found.index, index(0, 4711));
        std::fs::write(&path, b"something else").unwrap();
        let fault = moment(&path).unwrap_err();
        assert!(
            matches!(&fault, Fault::NotWhole(what) if what.contains("14 bytes")),
            "{fault:?}"
        );
        let gone = moment(&dir.path().join("none"));
        assert!(matches!(gone, Err(Fault::Io(_))), "{gone:?}");
    }
}
