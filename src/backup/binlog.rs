//! The end of the binary log, which recovery needs to complete commits in progress.
//!
//! When `log_status` is read, transactions may be between two stages: written to the binary log
//! before its position, but only *prepared* in InnoDB at its LSN, and not in its `gtid_executed`
//! (the group commit writes first and commits afterwards). A recovery without the binary log would
//! roll them back, and a replay from the recorded position would lose them. So the binary log is
//! rotated first, which waits for all earlier transactions, and the new file up to the position is
//! copied into the backup. Recovery then commits exactly the transactions in that file, and the
//! state is that of the position.
//!
//! The recorded GTID set is also that of the position: the set of `log_status` and the GTIDs of the
//! copied file.
//!
//! Facts: events have a header of 19 bytes, little-endian (timestamp u32, type u8, server id u32,
//! length u32, next position u32, flags u16). Type 33 is a GTID event: flags u8, uuid 16 bytes,
//! number i64. Type 42 is a tagged GTID event, with a different layout (MySQL's `binlog_event.h`).

use super::error::BackupError;
use super::plain::{self, CopiedFile};
use super::sink::Sink;
use super::wrap::WrapMode;
use crate::counted::count;
use crate::datadir::PlainFile;
use crate::progress::Silent;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

/// Magic number of a binary log file.
const MAGIC: &[u8; 4] = b"\xFEbin";
/// Magic number of an encrypted one; its content starts after a header of 512 bytes.
pub(super) const ENCRYPTED: &[u8; 4] = b"\xFDbin";
/// Header length of an encrypted file, in bytes.
const ENCRYPTED_HEADER: u64 = 512;
/// Length of an event header, in bytes.
const HEADER: usize = 19;
const GTID: u8 = 33;
const GTID_TAGGED: u8 = 42;

/// The transactions of a binary log file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gtids {
    /// Transaction numbers by server uuid.
    pub numbers: BTreeMap<String, Vec<i64>>,
    /// Whether the file has GTIDs that this code can't read: they are tagged, or the file is
    /// encrypted.
    pub unreadable: bool,
}

impl Gtids {
    /// Returns the set in MySQL's notation; adjacent numbers are not merged into ranges.
    pub(crate) fn text(&self) -> String {
        let uuid = |(uuid, numbers): (&String, &Vec<i64>)| {
            let numbers: Vec<_> = numbers.iter().map(i64::to_string).collect();
            format!("{uuid}:{}", numbers.join(":"))
        };
        self.numbers.iter().map(uuid).collect::<Vec<_>>().join(",")
    }
}

/// The stored files of the binary log, and the digest of the start of the log file.
pub(super) type Stored = (Vec<CopiedFile>, Option<String>);

/// The end of the binary log.
pub(super) struct Tail {
    source: PlainFile,
    /// Opened once: the name may refer to another file later (`RESET BINARY LOGS AND GTIDS`).
    file: File,
    position: u64,
    pub gtids: Gtids,
}

impl Tail {
    /// Reads `file` of the binary log up to `position`. `basename` is the path of the log without
    /// the number.
    pub(super) fn read(basename: &Path, file: &str, position: u64) -> Result<Self, BackupError> {
        let path = basename.with_file_name(file);
        let wrong = |what: String| BackupError::Binlog {
            path: path.clone(),
            what,
        };
        let io = |e: std::io::Error| wrong(format!("cannot read it: {e}"));
        let opened = File::open(&path).map_err(io)?;
        let mut source = BufReader::new(opened.try_clone().map_err(io)?);
        let mut magic = [0; MAGIC.len()];
        source.read_exact(&mut magic).map_err(io)?;
        let encrypted = magic == *ENCRYPTED;
        let end = if encrypted {
            position + ENCRYPTED_HEADER
        } else {
            position
        };
        let length = source.get_ref().metadata().map_err(io)?.len();
        if length < end {
            return Err(wrong(format!(
                "it has {length}, the server's position is {position}",
                length = count(length, "byte")
            )));
        }
        let gtids = match &magic {
            ENCRYPTED => Gtids {
                unreadable: true,
                ..Gtids::default()
            },
            MAGIC => gtids(source.take(end - MAGIC.len() as u64)).map_err(wrong)?,
            _ => {
                return Err(wrong(
                    "it does not begin with the magic number of a binary log".to_owned(),
                ));
            }
        };
        let source = PlainFile {
            source: path,
            name: file.to_owned(),
            bytes: end,
        };
        Ok(Self {
            source,
            file: opened,
            position,
            gtids,
        })
    }

    /// Stores the file, and an index that lists only this file. Returns paths and lengths, and the
    /// digest with which the next incremental identifies the file.
    pub(super) fn put(mut self, sink: &Sink, index: &str) -> Result<Stored, BackupError> {
        let path = &self.source.source;
        let failed = |what| BackupError::io(path.clone(), what);
        self.file.rewind().map_err(failed("read"))?;
        let digest = binlog_digest(&mut self.file, self.position);
        let digest = digest.map_err(failed("read"))?;
        self.file.rewind().map_err(failed("read"))?;
        let list = format!("./{}\n", self.source.name);
        let listed = list.len() as u64;
        let limit = self.source.bytes;
        let bytes = plain::copy_open(sink, &self.source, &mut self.file, limit, &Silent)?;
        plain::put_bytes(sink, index, WrapMode::All, list)?;
        let tail = CopiedFile {
            name: self.source.name,
            bytes,
        };
        let index = CopiedFile {
            name: index.to_owned(),
            bytes: listed,
        };
        Ok((vec![tail, index], digest))
    }
}

/// Returns the GTIDs of all events in `source`. A file that was just started may have a transaction
/// of any size, so events are skipped, not held in memory.
pub(crate) fn gtids(mut source: impl Read) -> Result<Gtids, String> {
    let mut found = Gtids::default();
    let mut at = MAGIC.len() as u64;
    loop {
        let mut head = Vec::with_capacity(HEADER);
        let io = |e: std::io::Error| format!("the event at offset {at} can't be read: {e}");
        (&mut source)
            .take(HEADER as u64)
            .read_to_end(&mut head)
            .map_err(io)?;
        if head.is_empty() {
            return Ok(found);
        }
        let cut = || format!("the event at offset {at} has an invalid length");
        let length = head.get(9..13).ok_or_else(cut)?;
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        let body = length.checked_sub(HEADER as u32).ok_or_else(cut)?;
        let mut event = (&mut source).take(u64::from(body));
        let mut passed = 0;
        match head[4] {
            GTID => {
                let mut start = [0; 25];
                event.read_exact(&mut start).map_err(|_| cut())?;
                passed = start.len() as u64;
                let (uuid, number) = gtid(&start);
                found.numbers.entry(uuid).or_default().push(number);
            }
            GTID_TAGGED => found.unreadable = true,
            _ => {}
        }
        passed += std::io::copy(&mut event, &mut std::io::sink()).map_err(io)?;
        if passed != u64::from(body) {
            return Err(cut());
        }
        at += u64::from(length);
    }
}

/// Parses the uuid and the number at the start of the body of a GTID event.
fn gtid(body: &[u8; 25]) -> (String, i64) {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&body[1..17]);
    let mut number = [0; 8];
    number.copy_from_slice(&body[17..25]);
    (
        uuid::Uuid::from_bytes(uuid).to_string(),
        i64::from_le_bytes(number),
    )
}

/// Returns the full path of the binary log without its number.
pub(super) fn basename(datadir: &Path, text: &str) -> PathBuf {
    datadir.join(text)
}

pub(super) const IN_USE: u8 = 1;

/// Offset of the first event's flags in a binary log file; the flag [`IN_USE`] is set while the
/// file is open.
pub(super) const FLAGS: usize = 21;

/// Number of bytes of a binary log file that are compared.
const BINLOG: u64 = 4 << 20;

/// Returns the digest of the start of a binary log file, up to `position`; `None` if the file is
/// shorter.
pub(super) fn binlog_digest(file: &mut File, position: u64) -> io::Result<Option<String>> {
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    let mut wanted = position.min(BINLOG);
    let mut hasher = blake3::Hasher::new();
    if magic == *ENCRYPTED {
        let header = file.take(ENCRYPTED_HEADER - magic.len() as u64);
        io::copy(&mut { header }, &mut io::sink())?;
    } else {
        hasher.update(&magic);
        wanted = wanted.saturating_sub(magic.len() as u64);
    }
    let mut bytes = Vec::new();
    let read = file.take(wanted).read_to_end(&mut bytes)? as u64;
    // Encryption keeps the offset of each byte, so the flags can be cleared in an encrypted file
    // too.
    let flags = if magic == *ENCRYPTED {
        FLAGS
    } else {
        FLAGS - 4
    };
    if let Some(flags) = bytes.get_mut(flags) {
        *flags &= !IN_USE;
    }
    hasher.update(&bytes);
    Ok((read == wanted).then(|| format!("blake3:{}", hasher.finalize().to_hex())))
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
        let events = [
            event(15, &[0; 90]),
            gtid_event(7),
            event(2, b"x"),
            gtid_event(8),
        ]
        .concat();
        let found = gtids(&events[..]).unwrap();
        assert_eq!(found.text(), "abababab-abab-abab-abab-abababababab:7:8");
        assert!(!found.unreadable);
    }

    #[test]
    fn tagged_gtids_are_reported_as_unreadable() {
        assert!(gtids(&event(GTID_TAGGED, b"?")[..]).unwrap().unreadable);
    }

    #[test]
    fn a_file_truncated_within_an_event_is_refused() {
        let whole = [event(15, b"x"), gtid_event(7)].concat();
        for cut in [whole.len() - 1, 20 + HEADER + 3, 20 + HEADER, 25] {
            let error = gtids(&whole[..cut]).unwrap_err();
            assert!(error.contains("offset 24"), "{cut}: {error}");
        }
        let mut short = event(2, b"x");
        short[9] = 18;
        assert!(gtids(&short[..]).is_err());
    }

    #[test]
    fn a_file_shorter_than_the_position_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("binlog.000002");
        let read = |position| Tail::read(&dir.path().join("binlog"), "binlog.000002", position);
        std::fs::write(&path, MAGIC).unwrap();
        assert_eq!(read(4).unwrap().source.bytes, 4);
        let error = read(157).err().unwrap().to_string();
        assert!(
            error.contains("it has 4 bytes") && error.contains("157"),
            "{error}"
        );
        std::fs::write(&path, [&ENCRYPTED[..], &[0; 600]].concat()).unwrap();
        let tail = read(50).unwrap();
        assert!(tail.gtids.unreadable && tail.source.bytes == 562);
        std::fs::write(&path, b"rubbish").unwrap();
        assert!(
            read(5)
                .err()
                .unwrap()
                .to_string()
                .contains("does not begin")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = gtids(&bytes[..]);
        }
    }
}
