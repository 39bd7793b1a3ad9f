//! The end of the binary log: what recovery needs to finish what the server had begun to commit.
//!
//! `log_status` is read while transactions are between two stages: written to the binary log before
//! its position, but only *prepared* in InnoDB at its LSN, and not in its `gtid_executed` (the group
//! commit writes first and commits afterwards). A recovery without the binary log would roll them
//! back, and whoever replays from the recorded position would lose them. So the binary log is rotated
//! first, which waits for everything before, and the new file up to the position goes into the
//! backup: recovery then commits exactly what stands in it, and the state is that of the position.
//!
//! The recorded GTID set is that of the position too: what `log_status` says, and the GTIDs of the
//! copied file.
//!
//! Facts: events have a header of 19 bytes, little-endian (timestamp u32, type u8, server id u32,
//! length u32, next position u32, flags u16); type 33 is a GTID event: flags u8, uuid 16 bytes,
//! number i64; type 42 is one with a tag, of another layout (MySQL's `binlog_event.h`).

use super::error::BackupError;
use super::plain;
use crate::store::Upload;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a binary log file begins with.
const MAGIC: &[u8; 4] = b"\xFEbin";
/// What an encrypted one begins with; its content starts after a header of 512 bytes.
const ENCRYPTED: &[u8; 4] = b"\xFDbin";
/// Length of the header of an encrypted file, in bytes.
const ENCRYPTED_HEADER: u64 = 512;
/// Length of an event's header, in bytes.
const HEADER: usize = 19;
const GTID: u8 = 33;
const GTID_TAGGED: u8 = 42;
/// The file was rotated just before: more than this in it means that something is wrong.
const BYTES_MAX: u64 = 256 << 20;

/// The transactions of a binary log file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gtids {
    /// Numbers by server uuid.
    pub numbers: BTreeMap<String, Vec<i64>>,
    /// Whether there are any that this code can't read (tagged, or the file is encrypted).
    pub unreadable: bool,
}

impl Gtids {
    /// As MySQL writes a set; neighbours are not joined.
    pub(super) fn text(&self) -> String {
        let uuid = |(uuid, numbers): (&String, &Vec<i64>)| {
            let numbers: Vec<_> = numbers.iter().map(i64::to_string).collect();
            format!("{uuid}:{}", numbers.join(":"))
        };
        self.numbers.iter().map(uuid).collect::<Vec<_>>().join(",")
    }
}

/// A copy of the end of the binary log, in memory: the file is new and small.
pub(super) struct Tail {
    pub file: String,
    bytes: Vec<u8>,
    pub gtids: Gtids,
}

impl Tail {
    /// Reads `file` of the binary log whose path without number is `basename`, up to `position`.
    pub(super) fn read(basename: &Path, file: &str, position: u64) -> Result<Self, BackupError> {
        let path = basename.with_file_name(file);
        let mut source =
            File::open(&path).map_err(BackupError::io(&path, "open the binary log"))?;
        let mut bytes = Vec::new();
        let mut take = |bytes: &mut Vec<u8>, up_to: u64| {
            (&mut source)
                .take(up_to.saturating_sub(bytes.len() as u64))
                .read_to_end(bytes)
                .map_err(BackupError::io(&path, "read the binary log"))
        };
        take(&mut bytes, MAGIC.len() as u64)?;
        let encrypted = bytes.starts_with(ENCRYPTED);
        let end = if encrypted {
            position + ENCRYPTED_HEADER
        } else {
            position
        };
        if end > BYTES_MAX {
            return Err(BackupError::Binlog {
                path,
                what: format!(
                    "it was begun for this backup and is {end} bytes already, expected less than {BYTES_MAX}"
                ),
            });
        }
        take(&mut bytes, end)?;
        if (bytes.len() as u64) < end {
            return Err(BackupError::Binlog {
                path,
                what: format!(
                    "it has {} bytes, the server's position is {position}",
                    bytes.len()
                ),
            });
        }
        let gtids = if encrypted {
            Gtids {
                unreadable: true,
                ..Gtids::default()
            }
        } else {
            gtids(&bytes).map_err(|what| BackupError::Binlog { path, what })?
        };
        Ok(Self {
            file: file.to_owned(),
            bytes,
            gtids,
        })
    }

    /// Puts the file and an index that names it alone; gives paths and lengths.
    pub(super) fn put(
        self,
        upload: &Upload,
        index: &str,
    ) -> Result<Vec<(String, u64)>, BackupError> {
        let list = format!("./{}\n", self.file);
        let lengths = [self.bytes.len() as u64, list.len() as u64];
        plain::put_bytes(upload, &self.file, self.bytes)?;
        plain::put_bytes(upload, index, list)?;
        Ok(vec![
            (self.file, lengths[0]),
            (index.to_owned(), lengths[1]),
        ])
    }
}

/// The GTIDs of a whole file's bytes.
fn gtids(bytes: &[u8]) -> Result<Gtids, String> {
    if !bytes.starts_with(MAGIC) {
        return Err("it does not begin as a binary log".to_owned());
    }
    let mut found = Gtids::default();
    let mut rest = &bytes[MAGIC.len()..];
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let event = rest
            .get(9..13)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
            .filter(|len| *len >= HEADER)
            .and_then(|len| rest.get(..len))
            .ok_or_else(|| format!("the event at offset {at} has a length that can't be"))?;
        match event[4] {
            GTID => {
                let body = event
                    .get(HEADER..HEADER + 25)
                    .ok_or_else(|| format!("the GTID event at offset {at} is too short"))?;
                let (uuid, number) = gtid(body);
                found.numbers.entry(uuid).or_default().push(number);
            }
            GTID_TAGGED => found.unreadable = true,
            _ => {}
        }
        rest = &rest[event.len()..];
    }
    Ok(found)
}

/// The uuid and number in the body of a GTID event, which is at least 25 bytes long.
fn gtid(body: &[u8]) -> (String, i64) {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&body[1..17]);
    let mut number = [0; 8];
    number.copy_from_slice(&body[17..25]);
    (
        uuid::Uuid::from_bytes(uuid).to_string(),
        i64::from_le_bytes(number),
    )
}

/// The path of the binary log without its number, whole.
pub(super) fn basename(datadir: &Path, text: &str) -> PathBuf {
    datadir.join(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut e = vec![0; HEADER];
        e[4] = kind;
        e[9..13].copy_from_slice(&((HEADER + body.len()) as u32).to_le_bytes());
        e.extend_from_slice(body);
        e
    }

    fn gtid_event(number: i64) -> Vec<u8> {
        let mut body = vec![1];
        body.extend_from_slice(&[0xAB; 16]);
        body.extend_from_slice(&number.to_le_bytes());
        body.extend_from_slice(&[0; 20]);
        event(GTID, &body)
    }

    #[test]
    fn gtids_of_a_file_are_found() {
        let file = [
            MAGIC.to_vec(),
            event(15, &[0; 90]),
            gtid_event(7),
            event(2, b"x"),
            gtid_event(8),
        ]
        .concat();
        let found = gtids(&file).unwrap();
        assert_eq!(found.text(), "abababab-abab-abab-abab-abababababab:7:8");
        assert!(!found.unreadable);
    }

    #[test]
    fn tagged_gtids_are_noticed() {
        assert!(
            gtids(&[MAGIC.to_vec(), event(GTID_TAGGED, b"?")].concat())
                .unwrap()
                .unreadable
        );
    }

    #[test]
    fn a_file_cut_inside_of_an_event_is_refused() {
        let file = [MAGIC.to_vec(), gtid_event(7)].concat();
        let error = gtids(&file[..file.len() - 1]).unwrap_err();
        assert!(error.contains("offset 4"), "{error}");
        assert!(gtids(b"\xFEbi").is_err());
    }

    #[test]
    fn a_file_shorter_than_the_position_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("binlog.000002"), MAGIC).unwrap();
        let read = |position| Tail::read(&dir.path().join("binlog"), "binlog.000002", position);
        assert_eq!(read(4).unwrap().bytes, MAGIC);
        let error = read(157).err().unwrap().to_string();
        assert!(
            error.contains("it has 4 bytes") && error.contains("157"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = gtids(&bytes);
            let _ = gtids(&[MAGIC.to_vec(), bytes].concat());
        }
    }
}
