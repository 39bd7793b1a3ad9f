//! The server's log tables (`log_output=TABLE`): `mysql.general_log` and `mysql.slow_log`, two
//! tables that the server writes to regardless of all locks: `LOCK TABLES` refuses them, and the
//! global read lock does not cover them. They are CSV tables; `ALTER TABLE` can convert them to
//! MyISAM tables ([`log_myisam`]), and the server refuses any other engine.
//!
//! A row of a CSV table is one line, which is appended in one write (line ends in values are
//! written as `\n`). So the file up to its last line end is a consistent table. The `.CSM` file of
//! the table counts the rows and has a flag for a table that is open for writing, which a later
//! check would interpret as a crash. So lsnap writes its own `.CSM` file, for exactly the rows that
//! are copied:
//!
//! ```text
//! 0 check 0xFE    1 version 1    2 rows u64    10 check point u64    18 auto increment u64
//! 26 forced flushes u64          34 dirty u8   (all little-endian)
//! ```

use super::error::BackupError;
use super::log_myisam::{self, Fault, TableState};
use super::plain::{self, CopiedFile};
use super::sink::Sink;
use super::wrap::WrapMode;
use crate::counted::count;
use crate::datadir::{PlainFile, Survey};
use crate::progress::Progress;
use std::fs::File;
use std::io::{Read, Seek};

/// Paths of the log tables, without suffix.
const TABLES: [&str; 2] = ["mysql/general_log", "mysql/slow_log"];
const ROWS: &str = ".CSV";
const META: &str = ".CSM";
const DATA: &str = ".MYD";
const INDEX: &str = ".MYI";
const SDI: &str = ".sdi";
/// Length of a `.CSM` file in bytes.
const META_BYTES: usize = 35;
const META_CHECK: u8 = 0xFE;
const META_VERSION: u8 = 1;

/// Returns whether the file belongs to a log table, also with an unknown engine.
pub(super) fn is_one(file: &PlainFile) -> bool {
    split(&file.name).is_some_and(|(stem, suffix)| TABLES.contains(&stem) && suffix != SDI)
}

/// Splits a path into stem and suffix, as in `mysql/general_log` and `.CSV`.
fn split(name: &str) -> Option<(&str, &str)> {
    name.rfind('.').map(|dot| name.split_at(dot))
}

/// Checks, before the copy, that each log table can be copied.
pub(super) fn check(survey: &Survey) -> Result<(), BackupError> {
    for stem in TABLES {
        if let Table::MyIsam { index, .. } = Table::of(stem, &survey.plain)? {
            table_state(stem, index)?;
        }
    }
    Ok(())
}

/// Copies the log tables.
pub(super) fn copy_all(
    sink: &Sink,
    files: &[PlainFile],
    progress: &dyn Progress,
) -> Result<Vec<CopiedFile>, BackupError> {
    let mut copied = Vec::with_capacity(files.len());
    for stem in TABLES {
        match Table::of(stem, files)? {
            Table::None => {}
            Table::Csv { rows, meta } => copy_csv(sink, rows, meta, progress, &mut copied)?,
            // Without a `.CSV` file, the `.CSM` file is copied unchanged.
            Table::MetaOnly(meta) => copied.push(plain::copied(sink, meta, progress)?),
            Table::MyIsam { data, index } => {
                copy_myisam(sink, stem, data, index, progress, &mut copied)?;
            }
        }
    }
    Ok(copied)
}

/// The files of one log table.
enum Table<'f> {
    None,
    Csv {
        rows: &'f PlainFile,
        meta: Option<&'f PlainFile>,
    },
    MetaOnly(&'f PlainFile),
    MyIsam {
        data: &'f PlainFile,
        index: &'f PlainFile,
    },
}

impl<'f> Table<'f> {
    fn of(stem: &str, files: &'f [PlainFile]) -> Result<Self, BackupError> {
        let own =
            |file: &&PlainFile| is_one(file) && split(&file.name).is_some_and(|(s, _)| s == stem);
        let own: Vec<_> = files.iter().filter(own).collect();
        let get = |wanted: &str| own.iter().copied().find(|f| f.name.ends_with(wanted));
        match (own.len(), get(ROWS), get(META), get(DATA), get(INDEX)) {
            (0, ..) => Ok(Self::None),
            (1, Some(rows), None, ..) => Ok(Self::Csv { rows, meta: None }),
            (2, Some(rows), meta @ Some(_), ..) => Ok(Self::Csv { rows, meta }),
            (1, None, Some(meta), ..) => Ok(Self::MetaOnly(meta)),
            (2, None, None, Some(data), Some(index)) => Ok(Self::MyIsam { data, index }),
            _ => {
                let names: Vec<_> = own.iter().map(|f| f.name.as_str()).collect();
                Err(log_table(
                    stem,
                    format!(
                        "its files are {}, those of a CSV or of a MyISAM table expected",
                        names.join(", ")
                    ),
                ))
            }
        }
    }
}

fn log_table(stem: &str, what: String) -> BackupError {
    BackupError::LogTable {
        table: stem.replace('/', "."),
        what,
    }
}

fn copy_csv(
    sink: &Sink,
    rows: &PlainFile,
    meta: Option<&PlainFile>,
    progress: &dyn Progress,
    copied: &mut Vec<CopiedFile>,
) -> Result<(), BackupError> {
    let mut source = File::open(&rows.source).map_err(BackupError::io(&rows.source, "open"))?;
    let failed = |action| BackupError::io(&rows.source, action);
    let whole = whole_rows(&mut source).map_err(failed("read"))?;
    source.rewind().map_err(failed("read"))?;
    let bytes = plain::copy_open(sink, rows, &mut source, whole.bytes, progress)?;
    copied.push(of(rows, bytes));
    if let Some(meta) = meta {
        plain::put_bytes(sink, &meta.name, WrapMode::All, whole.meta().to_vec())?;
        copied.push(of(meta, META_BYTES as u64));
    }
    Ok(())
}

fn of(file: &PlainFile, bytes: u64) -> CopiedFile {
    let name = file.name.clone();
    CopiedFile { name, bytes }
}

fn copy_myisam(
    sink: &Sink,
    stem: &str,
    data: &PlainFile,
    index: &PlainFile,
    progress: &dyn Progress,
    copied: &mut Vec<CopiedFile>,
) -> Result<(), BackupError> {
    // The index before the data: the data file has at least the length in the index.
    let whole = table_state(stem, index)?;
    let bytes = plain::copy_up_to(sink, data, whole.data, progress)?;
    if bytes != whole.data {
        return Err(log_table(
            stem,
            format!(
                "its .MYD file has {}, its .MYI file records {}",
                count(bytes, "byte"),
                whole.data
            ),
        ));
    }
    copied.push(of(data, bytes));
    copied.push(of(index, whole.index.len() as u64));
    plain::put_bytes(sink, &index.name, WrapMode::All, whole.index)
}

fn table_state(stem: &str, index: &PlainFile) -> Result<TableState, BackupError> {
    log_myisam::table_state(&index.source).map_err(|error| match error {
        Fault::NotWhole(what) => log_table(stem, what),
        Fault::Io(error) => BackupError::io(&index.source, "read")(error),
    })
}

/// The complete rows of a `.CSV` file.
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
    fn the_count_of_rows_is_at_the_offset_that_the_server_reads() {
        let meta = WholeRows {
            bytes: 9,
            rows: 258,
        }
        .meta();
        assert_eq!(meta[..4], [0xFE, 1, 2, 1]);
        assert!(meta[4..].iter().all(|b| *b == 0));
    }

    fn file(name: &str) -> PlainFile {
        PlainFile {
            source: name.into(),
            name: name.into(),
            bytes: 1,
        }
    }

    #[test]
    fn other_tables_are_not_touched() {
        let files = [
            "mysql/general_log.CSV",
            "mysql/general_log.CSM",
            "mysql/slow_log.MYD",
            "mysql/general_log_2.CSV",
            "shop/general_log.CSV",
            "mysql/general_log_213.sdi",
            "mysql/general_log.sdi",
        ]
        .map(file);
        let logs: Vec<bool> = files.iter().map(is_one).collect();
        assert_eq!(logs, [true, true, true, false, false, false, false]);
    }

    #[test]
    fn a_log_table_of_an_unknown_engine_is_refused() {
        for names in [
            &["mysql/slow_log.ARZ"][..],
            &["mysql/slow_log.MYD"],
            &[
                "mysql/slow_log.CSV",
                "mysql/slow_log.CSM",
                "mysql/slow_log.MYI",
            ],
        ] {
            let plain = names.iter().map(|name| file(name)).collect();
            let survey = Survey {
                plain,
                ..Survey::default()
            };
            let text = check(&survey).unwrap_err().to_string();
            assert!(text.contains("mysql.slow_log"), "{text}");
            assert!(text.contains(names[0]), "{text}");
        }
    }
}
