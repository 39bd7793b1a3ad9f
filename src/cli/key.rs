//! The key of encrypted backups: always out of a file, so that it is in no argument list.

use super::exit::Failure;
use crate::codec::xbcrypt::{Algorithm, Key};
use crate::shown::shown_path;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
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
    /// The file with the key of an encrypted backup. With it, every backup that it does not prove to be made
    /// by a holder of the key is refused.
    #[arg(long, short = 'f', value_name = "FILE", requires = "decrypt")]
    encrypt_key_file: Option<PathBuf>,
    /// Accept backups that the key proves nothing of: plain ones, also in a chain of encrypted ones, and those
    /// whose MAC was made by the first versions of lsnap. Whoever can write to the repository can have made or
    /// changed them.
    #[arg(long, requires = "encrypt_key_file")]
    pub(super) accept_unauthenticated: bool,
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
            shown_path(path),
            algorithm.key_len(),
        ))
    };
    let mut text = zeroize::Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
    guard(path, &file)?;
    file.take(MAX)
        .read_to_end(&mut text)
        .map_err(|e| wrong(e.to_string()))?;
    let key = Key::from_text(algorithm, &text).map_err(|e| wrong(e.to_string()))?;
    if key.cipher() != algorithm {
        tracing::warn!(
            "key file {}: its key has {} bytes, so {} is used and not {algorithm}, as xtrabackup and xbcrypt do",
            shown_path(path),
            key.cipher().key_len(),
            key.cipher(),
        );
    }
    Ok(key)
}

/// Whoever can change a key file can choose the key of the next backup; whoever can read it can read them all.
/// Symbolic links are followed (secrets of Kubernetes are some): the file at the end counts. What is no file, such as a
/// pipe of the shell, has no mode that means anything.
fn guard(path: &Path, file: &File) -> Result<(), Failure> {
    let refuse =
        |what: String| Failure::arguments(format!("key file {}: {what}", shown_path(path)));
    let found = file
        .metadata()
        .map_err(|e| refuse(format!("cannot look at it: {e}")))?;
    if !found.is_file() {
        return Ok(());
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o022 != 0 {
        let who = if mode & 0o002 != 0 {
            "everybody"
        } else {
            "its group"
        };
        return Err(refuse(format!(
            "its mode is {mode:04o}, so {who} can exchange the key: run `chmod 600` on it"
        )));
    }
    if let Some((directory, mode)) = open_directory(path) {
        return Err(refuse(format!(
            "the mode of its directory {} is {mode:04o}, so everybody can exchange the file: run `chmod o-w` on the \
             directory, or move the file",
            shown_path(&directory)
        )));
    }
    if mode & 0o044 != 0 {
        tracing::warn!(
            "key file {}: its mode is {mode:04o}, so others than its owner can read the key: run `chmod 600` on it",
            shown_path(path)
        );
    }
    Ok(())
}

/// The directory of the file, with its mode, if everybody can replace files in it.
fn open_directory(path: &Path) -> Option<(PathBuf, u32)> {
    const STICKY: u32 = 0o1000;
    let directory = path.canonicalize().ok()?.parent()?.to_owned();
    let mode = std::fs::metadata(&directory)
        .as_ref()
        .map_or(0, Metadata::mode)
        & 0o7777;
    (mode & 0o002 != 0 && mode & STICKY == 0).then_some((directory, mode))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What is said of a key file with this mode in a directory with that one.
    fn read_at(mode: u32, directory: u32) -> Result<Key, Failure> {
        let room = tempfile::tempdir().unwrap();
        let dir = room.path().join("keys");
        fs::create_dir(&dir).unwrap();
        let path = dir.join("key");
        fs::write(&path, "0".repeat(64)).unwrap();
        set(&path, mode);
        set(&dir, directory);
        let link = room.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let (direct, linked) = (
            read(Algorithm::Aes256, &path),
            read(Algorithm::Aes256, &link),
        );
        assert_eq!(direct.is_ok(), linked.is_ok(), "a link changes the verdict");
        direct
    }

    #[test]
    fn a_key_file_that_others_can_change_is_refused() {
        for mode in [0o600, 0o400, 0o640, 0o644] {
            assert!(read_at(mode, 0o755).is_ok(), "{mode:o}");
        }
        for mode in [0o620, 0o602, 0o660, 0o666, 0o664] {
            let refusal = format!("{:?}", read_at(mode, 0o755).unwrap_err());
            assert!(refusal.contains("chmod 600"), "{mode:o}: {refusal}");
        }
        let refusal = format!("{:?}", read_at(0o600, 0o777).unwrap_err());
        assert!(refusal.contains("its directory"), "{refusal}");
        assert!(read_at(0o600, 0o1777).is_ok(), "a sticky directory");
        assert!(read_at(0o600, 0o775).is_ok());
    }
}
