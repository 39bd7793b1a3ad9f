//! The redo log of the newest member, in the form that the applier needs. For `mysqld`, bytes after
//! `last_lsn` are cut off, because its recovery continues as long as blocks are valid.

use super::error::{RestoreError, io};
use super::merge::stored;
use super::new_directory::DIRECTORY_MODE;
use super::plain;
use super::plan::RestorePlan;
use crate::innodb::redo;
use crate::innodb::redo::BLOCK;
use crate::reader::ReadError;
use crate::reader::fetch::Fetcher;
use crate::reader::redo_log::{Log, creator, open};
use bytes::Bytes;
use rayon::prelude::*;
use std::borrow::Cow;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;

/// The blocks that are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// All, as they are stored.
    Nowhere,
    /// Only up to `last_lsn`.
    AtLast,
}

/// Writes `#innodb_redo/#ib_redo0` for a server. It gets a new `log_uuid`, so that the restored
/// server's redo log can be distinguished from the source's, whose LSNs it continues.
pub(crate) fn for_mysqld(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    root: &Path,
    log_uuid: u32,
) -> Result<(), RestoreError> {
    let (log, head) = open(fetcher, stored(plan, 0, plan.redo)?)?;
    let server = &log.stored.manifest.server;
    let creator = creator(&server.redo_creator).ok_or_else(|| {
        log.stored.damaged(format!(
            "the manifest's redo creator {:?} does not fit into 32 bytes",
            server.redo_creator
        ))
    })?;
    let named = |source| ReadError::Innodb {
        what: format!("{}/{}", log.stored.manifest.name, log.stored.entry.path),
        source,
    };
    let (mut head, _) =
        redo::recovery_header(&head, &creator, server.redo_log_uuid).map_err(named)?;
    let mut first = redo::FileHeader::parse(&head[..BLOCK]).map_err(named)?;
    first.log_uuid = log_uuid;
    head[..BLOCK].copy_from_slice(&first.encode());
    let directory = root.join("#innodb_redo");
    DirBuilder::new()
        .mode(DIRECTORY_MODE)
        .create(&directory)
        .map_err(io("create the directory", &directory))?;
    let path = directory.join("#ib_redo0");
    let file = plain::create(&path)?;
    let blocks = (log.last.0 - log.base.0).next_multiple_of(BLOCK as u64);
    file.set_len(redo::recovery_file_len(blocks))
        .map_err(io("set the length of", &path))?;
    log.write(fetcher, &file, &path, Cut::AtLast)?;
    if let Some((lsn, block)) = log.missing_last(log.end()) {
        let at = redo::HEADER as u64 + lsn.0 - log.base.0;
        file.write_all_at(&block, at).map_err(io("write", &path))?;
    }
    file.write_all_at(&head, 0).map_err(io("write", &path))?;
    file.sync_all().map_err(io("sync", &path))
}

/// Writes `xtrabackup_logfile` exactly as it is stored.
pub(crate) fn for_xtrabackup(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    root: &Path,
) -> Result<(), RestoreError> {
    let (log, _) = open(fetcher, stored(plan, 0, plan.redo)?)?;
    let path = root.join("xtrabackup_logfile");
    let file = plain::create(&path)?;
    log.write(fetcher, &file, &path, Cut::Nowhere)?;
    file.sync_all().map_err(io("sync", &path))
}

impl Log<'_> {
    fn write(
        &self,
        fetcher: &Fetcher<'_>,
        file: &File,
        path: &Path,
        cut: Cut,
    ) -> Result<(), RestoreError> {
        (0..self.stored.entry.objects.len())
            .into_par_iter()
            .try_for_each(|index| {
                fetcher.each(self.stored, index, &mut |offset, data| {
                    self.piece(fetcher, file, path, cut, offset, data)
                })
            })
    }

    /// Checks the blocks of a piece and writes the wanted ones.
    fn piece(
        &self,
        fetcher: &Fetcher<'_>,
        file: &File,
        path: &Path,
        cut: Cut,
        offset: u64,
        data: Bytes,
    ) -> Result<(), RestoreError> {
        self.whole(offset, &data)?;
        let mut whole = 0;
        let mut tail = None;
        for (number, block) in data.chunks_exact(BLOCK).enumerate() {
            let at = offset + (number * BLOCK) as u64;
            match self.block(at, block)? {
                Some(Cow::Borrowed(_)) => whole = (number + 1) * BLOCK,
                Some(Cow::Owned(changed)) => tail = Some((at, changed)),
                None => {}
            }
        }
        let keep = match cut {
            Cut::Nowhere => data.len(),
            Cut::AtLast => whole,
        };
        let put = |bytes: &[u8], at| file.write_all_at(bytes, at).map_err(io("write", path));
        put(&data[..keep], offset)?;
        if let (Cut::AtLast, Some((at, block))) = (cut, tail) {
            put(&block, at)?;
        }
        fetcher.counters.wrote(keep as u64);
        Ok(())
    }
}

/// Returns a redo log uuid other than the source's.
pub(crate) fn new_log_uuid(source: u32) -> u32 {
    loop {
        let random = uuid::Uuid::new_v4().as_u128() as u32;
        if random != 0 && random != source {
            return random;
        }
    }
}

/// Changes the log uuid of the applier's redo files, if it is still the source's. The server must
/// be shut down.
pub(crate) fn renew_identity(root: &Path, source: u32) -> Result<(), RestoreError> {
    let directory = root.join("#innodb_redo");
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("list", &directory)(error)),
    };
    let uuid = new_log_uuid(source);
    for entry in entries {
        let path = entry.map_err(io("list", &directory))?.path();
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io("open", &path))?;
        let mut block = [0u8; BLOCK];
        if file.read_exact_at(&mut block, 0).is_err() {
            continue;
        }
        // A spare file is all zeros: it has no header yet.
        let Ok(mut header) = redo::FileHeader::parse(&block) else {
            continue;
        };
        if header.log_uuid == source {
            header.log_uuid = uuid;
            file.write_all_at(&header.encode(), 0)
                .map_err(io("write", &path))?;
            file.sync_all().map_err(io("sync", &path))?;
        }
    }
    Ok(())
}
