//! The server's log tables (`log_output=TABLE`): `mysql.general_log` and `mysql.slow_log`, two CSV tables that the
//! server writes to while everything else is locked. No lock holds them: `LOCK TABLES` refuses them, and the
//! global read lock passes them by.
//!
//! A row is one line that is appended at once (line ends within are written as `\n`), so the file up to its last
//! line end is a table. The `.CSM` file beside it counts the rows and says whether the table is open for writing,
//! which a later check would call a crash; so it is written here, for exactly the rows that are copied:
//!
//! ```text
//! 0 check 0xFE    1 version 1    2 rows u64    10 check point u64    18 auto increment u64
//! 26 forced flushes u64          34 dirty u8   (all little-endian)
//! ```

use super::error::BackupError;
use super::plain::{self, Lengths, Numbered};
use super::sink::{Sink, Treat};
use crate::progress::Progress;
use std::fs::File;
use std::io::{Read, Seek};

/// The files of the log tables, without their suffixes.
const TABLES: [&str; 2] = ["mysql/general_log", "mysql/slow_log"];
const ROWS: &str = ".CSV";
const META: &str = ".CSM";
/// Length of a `.CSM` file in bytes.
const META_BYTES: usize = 35;
const META_CHECK: u8 = 0xFE;
const META_VERSION: u8 = 1;

/// The files of log tables, and the others.
pub(super) fn apart<'a>(files: Vec<Numbered<'a>>) -> (Vec<Numbered<'a>>, Vec<Numbered<'a>>) {
    let is_log = |(_, file): &Numbered<'_>| {
        let suffixes = [ROWS, META].into_iter();
        let mut stems = suffixes.filter_map(|suffix| file.name.strip_suffix(suffix));
        stems.any(|stem| TABLES.contains(&stem))
    };
    files.into_iter().partition(is_log)
}

/// Copies the log tables.
pub(super) fn copy_all(
    sink: &Sink,
    files: &[Numbered<'_>],
    progress: &dyn Progress,
) -> Result<Lengths, BackupError> {
    let mut lengths = Vec::with_capacity(files.len());
    for (place, rows) in files {
        let Some(stem) = rows.name.strip_suffix(ROWS) else {
            continue;
        };
        let mut source = File::open(&rows.source).map_err(BackupError::io(&rows.source, "open"))?;
        let failed = |action| BackupError::io(&rows.source, action);
        let whole = whole_rows(&mut source).map_err(failed("read"))?;
        source.rewind().map_err(failed("read"))?;
        let bytes = plain::copy_open(sink, rows, &mut source, whole.bytes, progress)?;
        lengths.push((*place, bytes));
        let meta = files
            .iter()
            .find(|(_, f)| f.name.strip_suffix(META) == Some(stem));
        if let Some((place, meta)) = meta {
            plain::put_bytes(sink, &meta.name, Treat::All, whole.meta().to_vec())?;
            lengths.push((*place, META_BYTES as u64));
        }
    }
    // A `.CSM` file without its `.CSV` is as it is.
    for (place, file) in files {
        if !lengths.iter().any(|(known, _)| known == place) {
            lengths.push((*place, plain::copy_file(sink, file, progress)?));
        }
    }
    Ok(lengths)
}

/// What of a `.CSV` file is whole.
#[derive(Debug, Default, PartialEq, Eq)]
struct WholeRows {
    bytes: u64,
    rows: u64,
}

impl WholeRows {
    fn meta(&self) -> [u8; META_BYTES] {
        let mut meta = [0; META_BYTES];
        meta[0] = META_CHECK;
        meta[1] = META_VERSION;
        meta[2..10].copy_from_slice(&self.rows.to_le_bytes());
        meta
    }
}

fn whole_rows(source: &mut impl Read) -> std::io::Result<WholeRows> {
    let mut found = WholeRows::default();
    let (mut at, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => return Ok(found),
            Ok(read) => read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let ends = buffer[..read]
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'\n');
        for (end, _) in ends {
            found.rows += 1;
            found.bytes = at + end as u64 + 1;
        }
        at += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datadir::PlainFile;

    #[test]
    fn a_row_that_is_being_written_is_left_out() {
        let of = |text: &str| whole_rows(&mut text.as_bytes()).unwrap();
        assert_eq!(of(""), WholeRows::default());
        assert_eq!(of("\"half a ro"), WholeRows::default());
        assert_eq!(of("\"a\",1\n"), WholeRows { bytes: 6, rows: 1 });
        let two = "\"a\\nb\",1\n\"b\",2\n";
        let whole = WholeRows {
            bytes: two.len() as u64,
            rows: 2,
        };
        assert_eq!(of(&format!("{two}\"c")), whole);
        let long = format!("\"{}\"\n", "x".repeat(100_000));
        assert_eq!(of(&long).bytes, long.len() as u64);
    }

    #[test]
    fn the_count_of_rows_is_where_the_server_reads_it() {
        let meta = WholeRows {
            bytes: 9,
            rows: 258,
        }
        .meta();
        assert_eq!(meta[..4], [0xFE, 1, 2, 1]);
        assert!(meta[4..].iter().all(|b| *b == 0));
    }

    #[test]
    fn other_csv_tables_are_not_touched() {
        let file = |name: &str| PlainFile {
            source: name.into(),
            name: name.into(),
            bytes: 1,
        };
        let files = [
            "mysql/general_log.CSV",
            "mysql/general_log.CSM",
            "mysql/slow_log.CSV",
            "mysql/general_log_2.CSV",
            "shop/general_log.CSV",
            "mysql/general_log.sdi",
        ]
        .map(file);
        let (logs, others) = apart(files.iter().enumerate().collect());
        let places = |files: Vec<Numbered<'_>>| files.iter().map(|f| f.0).collect::<Vec<_>>();
        assert_eq!(places(logs), [0, 1, 2]);
        assert_eq!(places(others), [3, 4, 5]);
    }
}
