//! The key of encrypted backups: always out of a file, so that it is in no argument list.

use super::exit::Failure;
use crate::codec::xbcrypt::{Algorithm, Key};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A key file is at most this long, in bytes: the longest key in hexadecimal digits, and a newline.
const MAX: u64 = 4096;

/// Arguments of whatever looks into encrypted backups.
#[derive(Debug, clap::Args)]
pub(super) struct Opening {
    /// The algorithm of an encrypted backup: AES128, AES192 or AES256.
    #[arg(
        long,
        short = 'd',
        value_name = "ALGORITHM",
        requires = "encrypt_key_file"
    )]
    decrypt: Option<String>,
    /// The file with the key of an encrypted backup.
    #[arg(long, short = 'f', value_name = "FILE", requires = "decrypt")]
    encrypt_key_file: Option<PathBuf>,
}

impl Opening {
    /// The key, if one was given.
    pub(super) fn key(&self) -> Result<Option<Key>, Failure> {
        of(self.decrypt.as_deref(), self.encrypt_key_file.as_ref())
    }
}

/// Reads a key.
pub(super) fn read(algorithm: Algorithm, path: &Path) -> Result<Key, Failure> {
    let wrong = |what: String| {
        Failure::arguments(format!(
            "key file {}: {what}; expected the {} bytes of a key for {algorithm}, raw or as hexadecimal digits",
            path.display(),
            algorithm.key_len(),
        ))
    };
    let mut text = zeroize::Zeroizing::new(Vec::new());
    let file = std::fs::File::open(path).map_err(|e| wrong(e.to_string()))?;
    file.take(MAX)
        .read_to_end(&mut text)
        .map_err(|e| wrong(e.to_string()))?;
    Key::from_text(algorithm, &text).map_err(|e| wrong(e.to_string()))
}

/// The key that `algorithm` and `file` name together; neither: none.
pub(super) fn of(algorithm: Option<&str>, file: Option<&PathBuf>) -> Result<Option<Key>, Failure> {
    let (Some(algorithm), Some(file)) = (algorithm, file) else {
        return Ok(None);
    };
    let algorithm = algorithm
        .parse::<Algorithm>()
        .map_err(|e| Failure::arguments(e.to_string()))?;
    read(algorithm, file).map(Some)
}
