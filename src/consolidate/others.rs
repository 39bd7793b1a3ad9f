//! Files other than tablespaces: unchanged from the newest member, or rewritten.

use super::run::{Run, Sum};
use super::write::{Writer, wrapped};
use super::{Compress, ConsolidateError, metadata};
use crate::manifest::{CHECKPOINTS, FileEntry, FileRole, ObjectEntry, Wrap};
use crate::reader::stored::Stored;
use crate::reader::{ReadError, content, spaces};
use bytes::Bytes;

/// The last file except for the manifest: xbcloud takes its existence as the sign that a backup is
/// complete.
const TABLESPACES: &str = "xtrabackup_tablespaces";
const INFO: &str = "xtrabackup_info";

/// Uploaded files: each with its entry in the newest member, and its length in bytes.
type Open<'a> = Vec<(Writer<'a>, &'a FileEntry, u64)>;

impl Run<'_> {
    /// Uploads these files: their entries are added to `files`, the copied bytes to `sum`. `id` is
    /// the new backup's.
    pub(super) fn others(
        &self,
        id: &str,
        files: &mut Vec<FileEntry>,
        sum: &mut Sum,
    ) -> Result<(), ConsolidateError> {
        let is_other = |f: &&FileEntry| f.role.space().is_none() && f.role != FileRole::DeltaMeta;
        let mut others: Vec<&FileEntry> = self.newest.files.iter().filter(is_other).collect();
        others.sort_by_key(|entry| entry.plain_path() == TABLESPACES);
        let mut open = Open::new();
        for entry in others {
            if entry.plain_path() == TABLESPACES {
                // It is stored after all others.
                finish(&mut open, files, sum)?;
            }
            open.push(self.other(entry, id)?);
        }
        finish(&mut open, files, sum)
    }

    /// Uploads a file other than a tablespace: unchanged from the newest member, or rewritten.
    fn other<'w>(
        &'w self,
        entry: &'w FileEntry,
        id: &str,
    ) -> Result<(Writer<'w>, &'w FileEntry, u64), ConsolidateError> {
        let stored = Stored {
            member: 0,
            manifest: self.newest,
            entry,
        };
        let name = entry.plain_path();
        let wrap = self.wrap_other(entry);
        let mut out = Writer::new(self.upload, wrap, name, false);
        let rewritten = self.rewritten(stored, id)?;
        if let Some(text) = rewritten {
            let bytes = text.len() as u64;
            let data = wrapped(wrap, out.path(), Bytes::from(text))?;
            out.put(0, data, true)?;
            return Ok((out, entry, bytes));
        }
        spaces::check_objects(self.newest.name.as_str(), entry)?;
        let same = entry.path.as_stored() == out.path() && entry.wrapping == wrap.wrapping();
        let count = entry.objects.len();
        for (index, object) in entry.objects.iter().enumerate() {
            if same && object.digest.is_some() {
                let next = entry.objects.get(index + 1);
                let length = next.and_then(|next| next.at?.since(object.at?));
                out.copy(
                    &self.newest.name,
                    object,
                    length.unwrap_or(0),
                    index + 1 == count,
                )?;
                continue;
            }
            let data = self.plain_object(stored, index, object)?;
            let last = index + 1 == count;
            let data = match data.is_empty() {
                true if index > 0 => Bytes::new(),
                _ => wrapped(wrap, out.path(), Bytes::from(data))?,
            };
            out.put(object.offset, data, last)?;
        }
        Ok((out, entry, entry.bytes))
    }

    /// Returns the text of a file that records whether the backup is a full one; `None` for other
    /// files.
    fn rewritten(&self, stored: Stored<'_>, id: &str) -> Result<Option<String>, ConsolidateError> {
        Ok(match stored.entry.plain_path() {
            CHECKPOINTS => {
                let text = content::content(&self.fetcher, stored)?;
                let full = metadata::checkpoints(&text).map_err(|what| stored.damaged(what))?;
                Some(full)
            }
            INFO => {
                let text = content::content(&self.fetcher, stored)?;
                let text = String::from_utf8_lossy(&text);
                let name = self.upload.name().as_str();
                Some(metadata::info(&text, id, name, &self.wrap))
            }
            _ => None,
        })
    }

    /// Returns the bytes of an object, with zeros in place of holes.
    fn plain_object(
        &self,
        stored: Stored<'_>,
        index: usize,
        object: &ObjectEntry,
    ) -> Result<Vec<u8>, ReadError> {
        let mut data = Vec::new();
        self.fetcher
            .each::<ReadError>(stored, index, &mut |offset, piece| {
                // A plain file can have holes, which have no bytes.
                let at = usize::try_from(offset - object.offset).unwrap_or(usize::MAX);
                if at > data.len() {
                    data.resize(at, 0);
                }
                data.extend_from_slice(&piece);
                Ok(())
            })?;
        Ok(data)
    }

    /// Returns the wrapping of a file. Files keep their compression; if another one is requested,
    /// all files get it except for `xtrabackup_checkpoints`.
    fn wrap_other(&self, entry: &FileEntry) -> Wrap<'_> {
        let wrapping = entry.wrapping.clone().unwrap_or_default();
        let name = entry.plain_path();
        let compression = match self.options.compress {
            _ if name == CHECKPOINTS => None,
            Compress::Keep => wrapping
                .compression
                .and_then(|how| how.as_str().parse().ok()),
            Compress::Not => None,
            Compress::With(how) => Some(how),
        };
        Wrap {
            compression,
            key: self.wrap.key.filter(|_| name != CHECKPOINTS),
        }
    }
}

/// Waits for uploaded files.
fn finish(
    open: &mut Open<'_>,
    files: &mut Vec<FileEntry>,
    sum: &mut Sum,
) -> Result<(), ConsolidateError> {
    for (writer, entry, bytes) in open.drain(..) {
        sum.written(&writer);
        files.push(writer.finish(entry.role.clone(), bytes)?);
    }
    Ok(())
}
