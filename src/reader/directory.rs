//! A backup that lies in a directory: a stream of `lsnap backup --stream`, or a backup out of a
//! repository, as `xbstream -x`, `mbstream -x`, `lsnap xbstream -x` or `lsnap cloud get` extracted it.
//!
//! The manifest of a stream has the length and the digest of every range of every file as it was
//! stored. Files may have been decrypted and decompressed since: those have no digests any more, and
//! neither have the files of a repository's backup, whose digests are of chunks. There the pages'
//! own checksums are looked at when they are merged, blocks of redo always are.

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

/// Looks at a directory.
///
/// # Errors
/// [`ReadError::NoBackup`], [`ReadError::Damaged`] for files that are missing or of the wrong
/// length, [`ReadError::Key`].
pub(crate) fn open(directory: &Path, opening: Opening<'_>) -> Result<Opened, ReadError> {
    let path = directory.join(MANIFEST);
    match std::fs::read(&path) {
        Ok(text) => ours(directory, &text, opening),
        Err(error) if error.kind() == ErrorKind::NotFound => theirs(directory, opening),
        Err(error) => Err(io("read", &path)(error)),
    }
}

/// Nothing can prove who made a backup without a manifest.
fn theirs(directory: &Path, opening: Opening<'_>) -> Result<Opened, ReadError> {
    if opening.key.is_some() && !opening.unauthenticated {
        return Err(ReadError::Key {
            backup: directory.display().to_string(),
            why: format!(
                "a key was given, but there is no {MANIFEST}, whose MAC would prove who made the backup: restore \
                 it without the key, or add --accept-unauthenticated"
            ),
        });
    }
    foreign::open(directory)
}

/// The MAC covers files as they were stored: what lies there decrypted can be anybody's.
fn decrypted(manifest: &Manifest, forms: &[Form]) -> Option<String> {
    let wrapped = manifest.files.iter().zip(forms).find(|(entry, form)| {
        let wrapping = entry.wrapping.as_ref();
        matches!(form, Form::Plain(_)) && wrapping.is_some_and(|w| w.encryption.is_some())
    });
    wrapped.map(|(entry, _)| entry.plain_path().to_owned())
}

fn ours(directory: &Path, text: &[u8], opening: Opening<'_>) -> Result<Opened, ReadError> {
    let mut manifest = parse_manifest(text)
        .map_err(|what| ReadError::damaged(directory.display(), MANIFEST, what))?;
    let mut forms = Vec::with_capacity(manifest.files.len());
    for entry in &manifest.files {
        forms.push(form(directory, &manifest, entry)?);
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
                "a key was given, but {path} lies decrypted in {}, where nothing proves what is in it: extract the \
                 stream again as it is, restore without the key, or add --accept-unauthenticated",
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
            "{unproven} of {} in {} are in another form than the one that the manifest has digests of; \
             their pages are checked one by one, small files cannot be",
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

/// How a file of the manifest lies in the directory, with its length in bytes.
enum Form {
    /// Under the name that the manifest gives it.
    Stored(u64),
    /// Decrypted and decompressed.
    Plain(u64),
}

fn form(directory: &Path, manifest: &Manifest, entry: &FileEntry) -> Result<Form, ReadError> {
    if let Some(length) = length(directory, entry.path.as_stored())? {
        return Ok(Form::Stored(length));
    }
    let damaged = |what: String| ReadError::damaged(&manifest.name, &entry.path, what);
    let plain = entry.plain_path();
    if plain != entry.path.as_stored() {
        if let Some(length) = length(directory, plain)? {
            return Ok(Form::Plain(length));
        }
        let half = entry.path.as_stored().trim_end_matches(".xbcrypt");
        if length_of_half(directory, half, entry.path.as_stored())? {
            return Err(damaged(format!(
                "only {half} is in {}: it was decrypted and not decompressed; run `lsnap decompress {}`",
                directory.display(),
                directory.display()
            )));
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

/// The length of a regular file, if there is one of that name.
fn length(directory: &Path, name: &str) -> Result<Option<u64>, ReadError> {
    let path = directory.join(name);
    match std::fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(_) => Err(ReadError::damaged(
            directory.display(),
            name,
            "it is no regular file",
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("look at", &path)(error)),
    }
}

/// Makes the ranges of a file that lies as it was stored; false when there are no digests for them.
///
/// # Errors
/// What is wrong with its length.
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

/// Makes the ranges of a file that was decrypted and decompressed.
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

/// Reads a range of a stored file.
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
