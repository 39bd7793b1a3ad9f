//! A log table that was altered to MyISAM: two files that the server writes to regardless of all
//! locks.
//!
//! Rows are appended to the `.MYD` file and never changed: the server refuses `UPDATE` and `DELETE`
//! of a log table, and the instance lock keeps `TRUNCATE` out. So the `.MYD` file up to a length
//! that was once in the `.MYI` file is a consistent table. The server writes the state in the
//! header of the `.MYI` file after each row, and index pages before it; two equal reads of the
//! whole file are a consistent state. The header counts the sessions that have the table open,
//! which a later check would interpret as a crash, so the copy has 0 there:
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

/// Magic number of a `.MYI` file.
const MAGIC: [u8; 3] = [0xFE, 0xFE, 0x07];
const INDEXES: usize = 18;
const OPEN_COUNT: std::ops::Range<usize> = 24..26;
const DATA_LENGTH: std::ops::Range<usize> = 68..76;
/// Length of the header up to the last field used here, in bytes.
const HEADER: usize = DATA_LENGTH.end;
/// Maximum length of a `.MYI` file, in bytes: it is held in memory.
const MAX_INDEX: u64 = 256 << 20;
/// Maximum number of reads until two are equal.
const TRIES: u32 = 200;
/// Pause between two reads of a table with indexes, because index pages are written before the
/// state.
const PAUSE: Duration = Duration::from_millis(10);

/// A consistent state of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TableState {
    /// The `.MYI` file.
    pub index: Vec<u8>,
    /// Length of the `.MYD` file in this state, in bytes.
    pub data: u64,
}

/// The reason why a consistent state can't be read.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    /// The text has the finding and the expectation.
    NotWhole(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a consistent `.MYI` file of a table that the server is writing to.
pub(super) fn table_state(path: &Path) -> Result<TableState, Fault> {
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
    ReadAt(file, 0).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file from its own offset, independent of the file's cursor.
struct ReadAt<'a>(&'a File, u64);

impl io::Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(buffer, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

fn has_indexes(index: &[u8]) -> bool {
    index.get(INDEXES).is_none_or(|n| *n > 0)
}

fn of(mut index: Vec<u8>) -> Result<TableState, String> {
    let length = index.get(DATA_LENGTH).and_then(|b| b.try_into().ok());
    let (Some(length), true) = (length, index.starts_with(&MAGIC)) else {
        return Err(format!(
            "its .MYI file of {} has no MyISAM header, {} expected",
            count(index.len(), "byte"),
            count(HEADER, "byte")
        ));
    };
    index[OPEN_COUNT].fill(0);
    Ok(TableState {
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
    fn the_open_count_is_zero_in_the_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("general_log.MYI");
        std::fs::write(&path, index(3, 4711)).unwrap();
        let found = table_state(&path).unwrap();
        assert_eq!(found.data, 4711);
        assert_eq!(found.index, index(0, 4711));
        std::fs::write(&path, b"something else").unwrap();
        let fault = table_state(&path).unwrap_err();
        assert!(
            matches!(&fault, Fault::NotWhole(what) if what.contains("14 bytes")),
            "{fault:?}"
        );
        let gone = table_state(&dir.path().join("none"));
        assert!(matches!(gone, Err(Fault::Io(_))), "{gone:?}");
    }
}
