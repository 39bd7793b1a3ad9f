//! `xtrabackup_checkpoints` (`docs/format/checkpoints.md#xtrabackup_checkpoints`): the type of a
//! backup directory and its LSNs.
//!
//! ```text
//! backup_type = full-backuped | incremental | log-applied | full-prepared
//! from_lsn = N
//! to_lsn = N
//! last_lsn = N
//! flushed_lsn = N
//! redo_memory = N
//! redo_frames = N
//! ```
//! xtrabackup reads it by position: the order of the lines counts, and the last three lines may be
//! missing.

use crate::counted::count;
use crate::innodb::Lsn;
use std::fmt;

/// The name of the file.
pub const CHECKPOINTS: &str = "xtrabackup_checkpoints";

/// Longest file that is read, in bytes.
const LONGEST: usize = 4096;

/// The type of a backup directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupType {
    /// `full-backuped`: a full backup whose redo log is not applied yet.
    Full,
    /// `incremental`.
    Incremental,
    /// `log-applied`: a full backup with its redo log applied and nothing rolled back.
    LogApplied,
    /// `full-prepared`: ready to start.
    Prepared,
}

const TYPES: [(&str, BackupType); 4] = [
    ("full-backuped", BackupType::Full),
    ("incremental", BackupType::Incremental),
    ("log-applied", BackupType::LogApplied),
    ("full-prepared", BackupType::Prepared),
];

impl fmt::Display for BackupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = TYPES.iter().find(|(_, kind)| kind == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// The content of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoints {
    /// The type of the backup directory.
    pub kind: BackupType,
    /// `to_lsn` of the base; 0 for a full backup.
    pub from_lsn: Lsn,
    /// `from_lsn` of the next incremental. lsnap writes the start checkpoint of the backup,
    /// xtrabackup the last checkpoint at the end.
    pub to_lsn: Lsn,
    /// The end of the redo log of the backup.
    pub last_lsn: Lsn,
    /// The LSN up to which the redo log was flushed when DDL was blocked; 0: unknown.
    pub flushed_lsn: Lsn,
    /// Memory in bytes that `--prepare` needs for parsed redo; 0: not estimated.
    pub redo_memory: u64,
    /// Pages that `--prepare` touches; 0: not estimated.
    pub redo_frames: u64,
}

impl Checkpoints {
    /// Parses the file.
    ///
    /// # Errors
    /// The line, what was found in it, and what was expected.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!(
                "{}, at most {LONGEST} expected",
                count(text.len(), "byte")
            ));
        }
        let text = std::str::from_utf8(text).map_err(|e| format!("it is not UTF-8: {e}"))?;
        let mut lines = text.lines().enumerate();
        let (_, first) = lines.next().unwrap_or((0, ""));
        let kind = value(first, 1, "backup_type")?;
        let kind = TYPES
            .iter()
            .find(|(name, _)| *name == kind)
            .ok_or_else(|| {
                format!(
                    "line 1: backup_type = {kind:?} found, expected full-backuped, incremental, \
                     log-applied or full-prepared"
                )
            })?
            .1;
        let mut number = |key, needed: bool| match lines.next() {
            Some((at, line)) => {
                let text = value(line, at + 1, key)?;
                text.parse::<u64>().map_err(|_| {
                    format!("line {}: {key} = {text:?} found, expected a number", at + 1)
                })
            }
            None if needed => Err(format!("it ends before {key}")),
            None => Ok(0),
        };
        let checkpoints = Self {
            kind,
            from_lsn: Lsn(number("from_lsn", true)?),
            to_lsn: Lsn(number("to_lsn", true)?),
            last_lsn: Lsn(number("last_lsn", true)?),
            flushed_lsn: Lsn(number("flushed_lsn", false)?),
            redo_memory: number("redo_memory", false)?,
            redo_frames: number("redo_frames", false)?,
        };
        checkpoints.check()?;
        Ok(checkpoints)
    }

    fn check(&self) -> Result<(), String> {
        let Self {
            from_lsn,
            to_lsn,
            last_lsn,
            ..
        } = self;
        if from_lsn > to_lsn || to_lsn > last_lsn {
            return Err(format!(
                "its LSNs are not in order: from_lsn {from_lsn}, to_lsn {to_lsn}, last_lsn {last_lsn}"
            ));
        }
        // An incremental from LSN 0 on has all pages.
        if from_lsn.0 != 0 && self.kind != BackupType::Incremental {
            return Err(format!(
                "backup_type {} with from_lsn {from_lsn}: only an incremental begins at an LSN",
                self.kind
            ));
        }
        Ok(())
    }
}

/// Returns the value of a `key = value` line.
fn value<'a>(line: &'a str, at: usize, key: &str) -> Result<&'a str, String> {
    line.split_once('=')
        .filter(|(found, _)| found.trim() == key)
        .map(|(_, value)| value.trim())
        .ok_or_else(|| format!("line {at}: {line:?} found, expected `{key} = ...`"))
}

impl fmt::Display for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "backup_type = {}\nfrom_lsn = {}\nto_lsn = {}\nlast_lsn = {}\nflushed_lsn = {}\n\
             redo_memory = {}\nredo_frames = {}\n",
            self.kind,
            self.from_lsn,
            self.to_lsn,
            self.last_lsn,
            self.flushed_lsn,
            self.redo_memory,
            self.redo_frames
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::checkpoints::*;
    use proptest::prelude::*;

    const REAL: &str = "backup_type = incremental\nfrom_lsn = 100\nto_lsn = 200\nlast_lsn = 300\n\
                        flushed_lsn = 7\nredo_memory = 0\nredo_frames = 0\n";

    #[test]
    fn a_file_is_written_as_it_was_read() {
        let read = Checkpoints::parse(REAL.as_bytes()).unwrap();
        assert_eq!(read.kind, BackupType::Incremental);
        assert_eq!((read.from_lsn, read.to_lsn), (Lsn(100), Lsn(200)));
        assert_eq!((read.last_lsn, read.flushed_lsn), (Lsn(300), Lsn(7)));
        assert_eq!(read.to_string(), REAL);
    }

    /// The form of MariaDB 10.11 and older versions of xtrabackup.
    #[test]
    fn the_last_lines_may_be_missing() {
        let short = "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 2\nlast_lsn = 3\n";
        let read = Checkpoints::parse(short.as_bytes()).unwrap();
        assert_eq!((read.kind, read.redo_frames), (BackupType::Full, 0));
    }

    #[test]
    fn errors_name_the_line_and_the_expected_value() {
        let line = |n: usize, text: &str| {
            let mut lines: Vec<&str> = REAL.lines().collect();
            lines[n] = text;
            Checkpoints::parse(lines.join("\n").as_bytes()).unwrap_err()
        };
        for (n, text, expected) in [
            (0, "", "line 1: \"\" found, expected `backup_type = ...`"),
            (
                0,
                "backup_type = half",
                "line 1: backup_type = \"half\" found, expected full-backuped, incremental, log-applied or full-prepared",
            ),
            (
                1,
                "to_lsn = 100",
                "line 2: \"to_lsn = 100\" found, expected `from_lsn = ...`",
            ),
            (
                2,
                "to_lsn = x",
                "line 3: to_lsn = \"x\" found, expected a number",
            ),
            (
                2,
                "to_lsn = 18446744073709551616",
                "line 3: to_lsn = \"18446744073709551616\" found, expected a number",
            ),
            (
                3,
                "last_lsn = 199",
                "its LSNs are not in order: from_lsn 100, to_lsn 200, last_lsn 199",
            ),
            (
                0,
                "backup_type = full-backuped",
                "backup_type full-backuped with from_lsn 100: only an incremental begins at an LSN",
            ),
        ] {
            assert_eq!(line(n, text), expected);
        }
        let cut = Checkpoints::parse(b"backup_type = incremental\nfrom_lsn = 1\n").unwrap_err();
        assert_eq!(cut, "it ends before to_lsn");
        assert!(Checkpoints::parse(&[b'x'; 5000]).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Checkpoints::parse(&bytes);
        }

        #[test]
        fn round_trip(from in 0u64..1 << 40, to in 0u64..1 << 40, last in 0u64..1 << 40, flushed: u64) {
            let made = Checkpoints {
                kind: BackupType::Incremental,
                from_lsn: Lsn(from),
                to_lsn: Lsn(from + to),
                last_lsn: Lsn(from + to + last),
                flushed_lsn: Lsn(flushed),
                redo_memory: flushed,
                redo_frames: to,
            };
            prop_assert_eq!(Checkpoints::parse(made.to_string().as_bytes()), Ok(made));
        }
    }
}
