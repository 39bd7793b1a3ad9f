//! Reads the key of encrypted backups: always from a file, because argument lists are public.

use super::exit::Failure;
use crate::codec::CodecError;
use crate::codec::xbcrypt::{Algorithm, Key};
use crate::counted::count;
use crate::secret_file;
use crate::shown::shown_path;
use std::path::{Path, PathBuf};

/// Longest key file in bytes. The longest key has 64 hexadecimal digits and a newline.
const MAX: u64 = 4096;

/// Options of commands that read encrypted backups.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Encryption")]
pub(super) struct Opening {
    /// The algorithm of an encrypted backup, AES128, AES192 or AES256 [default: from the manifest
    /// and the key].
    #[arg(long, short = 'd', value_name = "ALGORITHM", requires = "key_file")]
    decrypt: Option<String>,
    /// The file with the key of encrypted backups. Every backup that the key doesn't authenticate
    /// is then refused.
    #[arg(long, short = 'f', value_name = "FILE", alias = "encrypt-key-file")]
    key_file: Option<PathBuf>,
    /// Accept backups that the key doesn't authenticate: unencrypted ones, also in an encrypted
    /// chain, and those whose MAC has the form of the first versions of lsnap. Anyone with write
    /// access to the repository can have made or changed them.
    #[arg(long, requires = "key_file")]
    pub(super) accept_unauthenticated: bool,
}

impl Opening {
    /// Returns the key, if one was given.
    pub(super) fn key(&self) -> Result<Option<Key>, Failure> {
        match (&self.decrypt, &self.key_file) {
            (None, Some(file)) => read_any(file).map(Some),
            (algorithm, file) => of(algorithm.as_deref(), file.as_ref()),
        }
    }
}

/// Reads a key for an algorithm.
pub(super) fn read(algorithm: Algorithm, path: &Path) -> Result<Key, Failure> {
    let key = from_file(path, &|text| Key::from_text(algorithm, text))?;
    if key.cipher() != algorithm {
        tracing::warn!(
            "key file {}: its key has {}, so {} is used and not {algorithm}, as xtrabackup and xbcrypt do",
            shown_path(path),
            count(key.cipher().key_len(), "byte"),
            key.cipher(),
        );
    }
    Ok(key)
}

/// Reads a key for any algorithm.
pub(super) fn read_any(path: &Path) -> Result<Key, Failure> {
    from_file(path, &Key::of_any_algorithm)
}

fn from_file(
    path: &Path,
    parse: &dyn Fn(&[u8]) -> Result<Key, CodecError>,
) -> Result<Key, Failure> {
    let wrong = |what: String| Failure::arguments(format!("key file {}: {what}", shown_path(path)));
    let found = secret_file::read(path, "key", MAX).map_err(|e| wrong(e.to_string()))?;
    if let Some(warning) = found.warning {
        tracing::warn!("key file {}: {warning}", shown_path(path));
    }
    parse(&found.bytes).map_err(|error| {
        wrong(match error {
            CodecError::AmbiguousKey => format!("{error} with --decrypt"),
            error => error.to_string(),
        })
    })
}

/// Returns the key of `algorithm` and `file`, or nothing without them.
pub(super) fn of(algorithm: Option<&str>, file: Option<&PathBuf>) -> Result<Option<Key>, Failure> {
    let (Some(algorithm), Some(file)) = (algorithm, file) else {
        return Ok(None);
    };
    let algorithm = algorithm
        .parse::<Algorithm>()
        .map_err(|e| Failure::arguments(e.to_string()))?;
    read(algorithm, file).map(Some)
}
