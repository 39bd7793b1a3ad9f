//! Backups without a server: one file of 1000 bytes as one object, and its manifest.

use bytes::Bytes;
use lsnap::innodb::Lsn;
use lsnap::manifest::{
    BackupKind, BackupName, BaseRef, FileEntry, FileRole, LsnRange, Manifest, ServerIdentity,
    StoredPath,
};
use lsnap::store::{Repository, StoreError, Upload};
use lsnap::xbstream;

/// The UUID of the server in [`manifest`].
pub const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

/// Begins a backup and uploads its only file.
pub fn begin(
    repository: &Repository,
    name: &BackupName,
) -> Result<(Upload, FileEntry), StoreError> {
    let upload = repository.begin(name, 2)?;
    let data = vec![7; 1000];
    let head = xbstream::payload_head("a", 0, 1000, xbstream::crc(&data)).unwrap();
    let parts = vec![head, Bytes::from(data), xbstream::end_chunk("a").unwrap()];
    upload.put("a", 0, 0, parts)?;
    let file = FileEntry {
        path: StoredPath::new("a"),
        role: FileRole::Plain,
        bytes: 1000,
        wrapping: None,
        objects: upload.finish_file("a")?,
    };
    Ok((upload, file))
}

/// Returns the server of `testdata/server.json`, which the crate's own tests use too.
fn server() -> ServerIdentity {
    serde_json::from_str(include_str!("../../testdata/server.json")).unwrap()
}

/// Returns the manifest of a backup that ends at LSN `to`: full, or an incremental of `base`. Its
/// time is now.
pub fn manifest(name: &BackupName, base: Option<&Manifest>, to: u64, file: FileEntry) -> Manifest {
    let from_lsn = base.map_or(Lsn(0), |b| b.lsn.to_lsn);
    Manifest {
        lsnap_version: "0.1.0".to_owned(),
        id: format!("id of {name}"),
        kind: base.map_or(BackupKind::Full, |_| BackupKind::Incremental),
        base: base.map(|b| BaseRef {
            name: b.name.clone(),
            id: b.id.clone(),
            to_lsn: b.lsn.to_lsn,
        }),
        started_at: chrono::Utc::now(),
        finished_at: chrono::Utc::now(),
        server: server(),
        lsn: LsnRange {
            from_lsn,
            scan_floor: from_lsn,
            start_checkpoint: Lsn(to - 1),
            to_lsn: Lsn(to),
            last_lsn: Lsn(to + 5),
        },
        files: vec![file],
        ..Manifest::blank(name.clone())
    }
}
