//! Backups in a directory: a stream of `lsnap backup --stream`, or a backup from a repository,
//! extracted by `xbstream -x`, `mbstream -x`, `lsnap xbstream -x` or `lsnap cloud get`.
//!
//! The manifest of a stream has the length and the digest of every stored range of every file.
//! Files that were decrypted or decompressed since then have no digests, and neither have the files
//! of a repository's backup, whose digests are those of chunks. For these, the checksums of the
//! pages are checked when they are merged. The blocks of the redo log are always checked.

use super::error::{ReadError, io};
use super::opened::{Opened, ranges};
use super::stored::Stored;
use super::unwrap::Opening;
use super::{foreign, unwrap};
use crate::counted::count;
use crate::manifest::{
    Digest, FileEntry, Finding, Layout, MANIFEST, Manifest, ObjectEntry, StoredPath, parse_manifest,
};
use bytes::Bytes;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The file in a backup whose files are being moved to a data directory.
pub(crate) const MOVED: &str = "lsnap_moved.json";

/// Refuses a backup of which files were moved away.
fn complete(directory: &Path) -> Result<(), ReadError> {
    let path = directory.join(MOVED);
    match std::fs::symlink_metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("look at", &path)(error)),
        Ok(_) => Err(ReadError::NoBackup {
            path: directory.to_path_buf(),
            why: format!(
                "it is incomplete: an xtrabackup --move-back that did not end moved files of it to a data directory, \
                 which {MOVED} names. Run that command again, which continues; or use another backup"
            ),
        }),
    }
}

/// Opens the backup in a directory.
///
/// # Errors
/// [`ReadError::NoBackup`]; [`ReadError::Damaged`] for files that are missing or have a wrong
/// length; [`ReadError::Key`].
pub(crate) fn open(directory: &Path, opening: Opening<'_>) -> Result<Opened, ReadError> {
    complete(directory)?;
    let path = directory.join(MANIFEST);
    match std::fs::read(&path) {
        Ok(text) => with_manifest(directory, &text, opening),
        Err(error) if error.kind() == ErrorKind::NotFound => without_manifest(directory, opening),
        Err(error) => Err(io("read", &path)(error)),
    }
}

/// Opens the backup in a directory whose files must not be compressed or encrypted any more; if the
/// stored form of a file was kept, the plain one counts.
///
/// # Errors
/// The same as those of [`open`].
pub(crate) fn open_plain(directory: &Path) -> Result<Opened, ReadError> {
    complete(directory)?;
    let path = directory.join(MANIFEST);
    match std::fs::read(&path) {
        Ok(text) => {
            let mut manifest = parse_manifest(&text)
                .map_err(|what| ReadError::damaged(directory.display(), MANIFEST, what))?;
            let name = manifest.name.to_string();
            let layout = manifest.layout;
            for entry in &mut manifest.files {
                let plain = entry.plain_path().to_owned();
                let damaged = |what: Finding| {
                    ReadError::damaged(&name, &plain, what.found_in(directory.display()))
                };
                let length = length(directory, &plain)?
                    .ok_or_else(|| damaged(format!("{plain} is missing").into()))?;
                match entry.wrapping {
                    None => as_stored(entry, length, layout).map_err(damaged)?,
                    Some(_) => as_plain(entry, length).map_err(damaged)?,
                };
            }
            manifest.layout = Layout::Stream;
            Ok(Opened {
                manifest,
                foreign: false,
                warnings: Vec::new(),
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => foreign::open(directory),
        Err(error) => Err(io("read", &path)(error)),
    }
}

/// Opens a backup without a manifest. Nothing proves who made it, so it is refused if a key is
/// given.
fn without_manifest(directory: &Path, opening: Opening<'_>) -> Result<Opened, ReadError> {
    if opening.key.is_some() && !opening.unauthenticated {
        return Err(ReadError::Key {
            backup: directory.display().to_string(),
            why: format!(
                "a key was given, but there is no {MANIFEST}, whose MAC would prove who made the backup: restore \
                 it without the key, or set RestoreOptions::accept_unauthenticated"
            ),
        });
    }
    foreign::open(directory)
}

/// Returns a file that was decrypted since it was stored. The MAC covers only files as they were
/// stored, so anything can be in it.
fn decrypted(manifest: &Manifest, forms: &[Form]) -> Option<String> {
    let wrapped = manifest.files.iter().zip(forms).find(|(entry, form)| {
        let wrapping = entry.wrapping.as_ref();
        matches!(form, Form::Plain(_)) && wrapping.is_some_and(|w| w.encryption.is_some())
    });
    wrapped.map(|(entry, _)| entry.plain_path().to_owned())
}

fn with_manifest(directory: &Path, text: &[u8], opening: Opening<'_>) -> Result<Opened, ReadError> {
    let mut manifest = parse_manifest(text)
        .map_err(|what| ReadError::damaged(directory.display(), MANIFEST, what))?;
    let mut forms = Vec::with_capacity(manifest.files.len());
    for entry in &manifest.files {
        forms.push(form(directory, &manifest, entry, opening)?);
    }
    let closed = |(entry, form): (&FileEntry, &Form)| {
        matches!(form, Form::Stored(_))
            && entry
                .wrapping
                .as_ref()
                .is_some_and(|wrapping| wrapping.encryption.is_some())
    };
    let mut warnings = Vec::new();
    if opening.key.is_some() || manifest.files.iter().zip(&forms).any(closed) {
        warnings = unwrap::check(std::slice::from_ref(&manifest), opening)?;
    }
    if opening.key.is_some()
        && !opening.unauthenticated
        && let Some(path) = decrypted(&manifest, &forms)
    {
        return Err(ReadError::Key {
            backup: manifest.name.to_string(),
            why: format!(
                "a key was given, but {path} is decrypted in {}, so nothing proves its content: extract the stream \
                 again without decrypting it, restore without the key, or set RestoreOptions::accept_unauthenticated",
                directory.display()
            ),
        });
    }
    let (name, layout) = (manifest.name.to_string(), manifest.layout);
    let mut unproven = 0;
    for (entry, form) in manifest.files.iter_mut().zip(&forms) {
        let path = entry.path.to_string();
        let damaged =
            |what: Finding| ReadError::damaged(&name, path, what.found_in(directory.display()));
        let proven = match form {
            Form::Stored(length) => as_stored(entry, *length, layout).map_err(damaged)?,
            Form::Plain(length) => as_plain(entry, *length).map_err(damaged)?,
        };
        unproven += usize::from(!proven);
    }
    manifest.layout = Layout::Stream;
    if unproven > 0 {
        warnings.push(format!(
            "{unproven} of {} in {} are not in the form of which the manifest has digests; \
             their pages are checked one by one, small files cannot be checked",
            count(manifest.files.len(), "file"),
            directory.display()
        ));
    }
    Ok(Opened {
        manifest,
        foreign: false,
        warnings,
    })
}

/// The form of a manifest's file in the directory, with its length in bytes.
enum Form {
    /// Under the name in the manifest.
    Stored(u64),
    /// Decrypted and decompressed.
    Plain(u64),
}

/// Returns the form of a file. If both are there, because the original was kept when it was decrypted, the encrypted one
/// is read only with the key, which authenticates it.
fn form(
    directory: &Path,
    manifest: &Manifest,
    entry: &FileEntry,
    opening: Opening<'_>,
) -> Result<Form, ReadError> {
    let plain = entry.plain_path();
    let wrapping = entry.wrapping.as_ref();
    let is_closed =
        opening.key.is_none() && wrapping.is_some_and(|wrapping| wrapping.encryption.is_some());
    if is_closed
        && plain != entry.path.as_stored()
        && let Some(length) = length(directory, plain)?
    {
        return Ok(Form::Plain(length));
    }
    let half = entry.path.as_stored().trim_end_matches(".xbcrypt");
    let damaged = |what: String| ReadError::damaged(&manifest.name, &entry.path, what);
    let only_decrypted = || {
        damaged(format!(
            "only {half} is in {}: it was decrypted and not decompressed; decompress the files of the directory",
            directory.display()
        ))
    };
    if let Some(length) = length(directory, entry.path.as_stored())? {
        if is_closed && half != plain && length_of_half(directory, half, entry.path.as_stored())? {
            return Err(only_decrypted());
        }
        return Ok(Form::Stored(length));
    }
    if plain != entry.path.as_stored() {
        if let Some(length) = length(directory, plain)? {
            return Ok(Form::Plain(length));
        }
        if length_of_half(directory, half, entry.path.as_stored())? {
            return Err(only_decrypted());
        }
    }
    Err(damaged(format!(
        "it is not in {}: extract the whole stream again",
        directory.display()
    )))
}

fn length_of_half(directory: &Path, half: &str, whole: &str) -> Result<bool, ReadError> {
    Ok(half != whole && length(directory, half)?.is_some())
}

/// Returns the length of a regular file; `None` if there is no file of that name.
fn length(directory: &Path, name: &str) -> Result<Option<u64>, ReadError> {
    let path = directory.join(name);
    match std::fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(_) => Err(ReadError::damaged(
            directory.display(),
            name,
            "it is not a regular file",
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("look at", &path)(error)),
    }
}

/// Adjusts the ranges of a file in its stored form; returns false if there are no digests for them.
///
/// # Errors
/// The length of the file is not that of the ranges.
pub(crate) fn as_stored(
    entry: &mut FileEntry,
    length: u64,
    layout: Layout,
) -> Result<bool, Finding> {
    let wrapped = entry.wrapping.is_some();
    if layout == Layout::Objects && !wrapped {
        return as_ranges(entry, length);
    }
    let begin = |object: &ObjectEntry| object.stored_offset().0;
    let mut begins: Vec<u64> = entry.objects.iter().map(begin).collect();
    begins.push(length);
    for (number, object) in entry.objects.iter_mut().enumerate() {
        let (from, to) = (begins[number], begins[number + 1]);
        let last = number + 2 == begins.len();
        if layout == Layout::Objects {
            object.bytes = to.checked_sub(from).ok_or_else(|| {
                format!(
                    "it has {length}, object {number} begins at {from}",
                    length = count(length, "byte")
                )
            })?;
            object.digest = None;
        } else if from.checked_add(object.bytes) != Some(to) {
            let end = from.saturating_add(object.bytes);
            return Err(if last {
                Finding::new(
                    format!("it has {length}", length = count(length, "byte")),
                    end,
                )
            } else {
                format!("range {number} ends at {end}, the next one begins at {to}").into()
            });
        }
    }
    Ok(layout == Layout::Stream)
}

/// Sets the ranges of a file that was decrypted and decompressed.
fn as_plain(entry: &mut FileEntry, length: u64) -> Result<bool, Finding> {
    entry.path = StoredPath::new(entry.plain_path());
    entry.wrapping = None;
    as_ranges(entry, length)
}

fn as_ranges(entry: &mut FileEntry, length: u64) -> Result<bool, Finding> {
    if length != entry.bytes {
        return Err(Finding::new(
            format!("it has {length}", length = count(length, "byte")),
            entry.bytes,
        ));
    }
    entry.objects = ranges(&entry.role, length);
    Ok(false)
}

/// Reads a range of a stored file, and checks its digest if it has one.
pub(crate) fn range(
    directory: &Path,
    stored: Stored<'_>,
    object: &ObjectEntry,
) -> Result<Bytes, ReadError> {
    let path = directory.join(stored.entry.path.as_stored());
    let from = object.stored_offset().0;
    let length = usize::try_from(object.bytes)
        .map_err(|_| stored.damaged("a range is longer than the address space"))?;
    let mut data = vec![0; length];
    File::open(&path)
        .and_then(|file| file.read_exact_at(&mut data, from))
        .map_err(io("read", &path))?;
    if let Some(expected) = object.digest {
        let found = Digest::of(&data);
        if found != expected {
            return Err(stored.damaged(Finding::new(
                format!(
                    "the {length} at offset {from} of {} have the digest {found}",
                    path.display(),
                    length = count(length, "byte")
                ),
                expected,
            )));
        }
    }
    Ok(Bytes::from(data))
}
