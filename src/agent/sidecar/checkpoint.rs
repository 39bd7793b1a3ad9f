//! The checkpoint of a backup, from its file `xtrabackup_checkpoints` in a stream.

use crate::xbstream::{self, Chunk};
use bytes::Bytes;
use serde::Serialize;

/// The name of the file.
pub(super) const FILE: &str = "xtrabackup_checkpoints";

/// Its fields, as texts; those that the file doesn't have are empty.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct CheckpointInfo {
    backup_type: String,
    from_lsn: String,
    pub(super) to_lsn: String,
    last_lsn: String,
    flushed_lsn: String,
    redo_memory: String,
    redo_frames: String,
}

impl CheckpointInfo {
    /// Reads the file in a stream.
    ///
    /// # Errors
    /// The stream is damaged, or the file has no `to_lsn`: an incremental backup can't be based on it.
    pub(super) fn of_stream(stream: Vec<u8>) -> Result<Self, String> {
        let mut text = Vec::new();
        for chunk in xbstream::chunks(Bytes::from(stream)) {
            let chunk = chunk.map_err(|error| format!("{FILE} can't be read: {error}"))?;
            if let Chunk::Payload { path, data, .. } = chunk
                && path == FILE
            {
                text.extend_from_slice(&data);
            }
        }
        let info = Self::of_text(&String::from_utf8_lossy(&text));
        if info.to_lsn.is_empty() {
            return Err(format!("{FILE} has no to_lsn"));
        }
        Ok(info)
    }

    fn of_text(text: &str) -> Self {
        let mut info = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            let field = match name.trim() {
                "backup_type" => &mut info.backup_type,
                "from_lsn" => &mut info.from_lsn,
                "to_lsn" => &mut info.to_lsn,
                "last_lsn" => &mut info.last_lsn,
                "flushed_lsn" => &mut info.flushed_lsn,
                "redo_memory" => &mut info.redo_memory,
                "redo_frames" => &mut info.redo_frames,
                _ => continue,
            };
            *field = value.trim().to_owned();
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_the_file() {
        let text = "backup_type = incremental\nfrom_lsn = 1\nto_lsn = 22\nlast_lsn = 333\nflushed_lsn = 300\n\
                    redo_memory = 0\nredo_frames = 0\nother = x\n";
        let info = CheckpointInfo::of_text(text);
        let json = serde_json::to_value(&info).unwrap();
        let expected = serde_json::json!({
            "backup_type": "incremental", "from_lsn": "1", "to_lsn": "22", "last_lsn": "333", "flushed_lsn": "300",
            "redo_memory": "0", "redo_frames": "0",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_file_without_an_lsn_is_refused() {
        assert_eq!(
            CheckpointInfo::of_stream(Vec::new()),
            Err("xtrabackup_checkpoints has no to_lsn".to_owned())
        );
        assert!(CheckpointInfo::of_stream(b"to_lsn = 5\n".to_vec()).is_err());
    }
}
