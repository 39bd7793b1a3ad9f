//! The bearer token: read from a file, read again when the file changes, compared in constant time.

use super::listen::HttpError;
use crate::counted::count;
use crate::locked::Locked as _;
use crate::secret_file;
use crate::shown::shown_path;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use subtle::ConstantTimeEq as _;

/// Shortest token, in bytes.
const SHORTEST: usize = 16;
/// Longest file, in bytes.
const LONGEST: u64 = 4096;

/// The token of a file.
#[derive(Debug)]
pub(super) struct Token {
    path: PathBuf,
    known: Mutex<Known>,
}

/// The digest of the token, and the state of the file from which it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    file: Option<FileState>,
    /// None if the file can't be used: then no token is right.
    digest: Option<blake3::Hash>,
}

/// The values of a file that change when it is written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Token {
    /// Reads a file.
    pub(super) fn of(path: &Path) -> Result<Self, HttpError> {
        let file = state(path).map_err(|why| HttpError::system(shown_path(path), why))?;
        let digest = read(path).map_err(|why| HttpError::system(shown_path(path), why))?;
        Ok(Self {
            path: path.to_owned(),
            known: Mutex::new(Known {
                file: Some(file),
                digest: Some(digest),
            }),
        })
    }

    /// Returns whether it is the token.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let Some(expected) = self.current() else {
            return false;
        };
        // Digests have one length, so neither the token nor its length changes the time.
        let given = blake3::hash(given);
        given.as_bytes().ct_eq(expected.as_bytes()).into()
    }

    /// Returns the digest of the token that the file has now.
    fn current(&self) -> Option<blake3::Hash> {
        let mut known = self.known.locked();
        let file = state(&self.path).ok();
        if known.file != file {
            let digest = match file {
                Some(_) => read(&self.path),
                None => Err("can't be read".to_owned()),
            };
            if let Err(why) = &digest {
                tracing::error!(
                    "{}: {why}; every request with a token is refused until it is right",
                    shown_path(&self.path)
                );
            }
            *known = Known {
                file,
                digest: digest.ok(),
            };
        }
        known.digest
    }
}

fn state(path: &Path) -> Result<FileState, String> {
    let found = std::fs::metadata(path).map_err(|error| error.to_string())?;
    // A pipe can be read once only.
    if !found.is_file() {
        return Err("is not a regular file".to_owned());
    }
    Ok(FileState {
        device: found.dev(),
        inode: found.ino(),
        length: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

fn read(path: &Path) -> Result<blake3::Hash, String> {
    let secret = secret_file::read(path, "token", LONGEST).map_err(|error| error.to_string())?;
    if let Some(warning) = &secret.warning {
        tracing::warn!("{}: {warning}", shown_path(path));
    }
    let token = secret.bytes.trim_ascii();
    if token.len() < SHORTEST {
        return Err(format!(
            "has a token of {}: expected at least {}, for example from `openssl rand -hex 32`",
            count(token.len(), "byte"),
            count(SHORTEST, "byte")
        ));
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err("has other characters than visible ones of ASCII".to_owned());
    }
    Ok(blake3::hash(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        write(&path, "0123456789abcdef\n");
        let token = Token::of(&path).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in [&b""[..], b"0123456789abcdee", b"0123456789abcdef0", b"\n"] {
            assert!(!token.is(wrong));
        }
        // As Kubernetes changes secrets: another file gets the name.
        let new = dir.path().join("new");
        write(&new, "fedcba9876543210");
        std::fs::rename(&new, &path).unwrap();
        assert!(!token.is(b"0123456789abcdef") && token.is(b"fedcba9876543210"));
        // A file that can't be used doesn't keep the old token valid, nor an empty one.
        write(&path, "");
        assert!(!token.is(b"fedcba9876543210") && !token.is(b""));
        std::fs::remove_file(&path).unwrap();
        assert!(!token.is(b"fedcba9876543210") && !token.is(b""));
        write(&path, "0123456789abcdef");
        assert!(token.is(b"0123456789abcdef"), "it is right again");
    }

    #[test]
    fn a_bad_file_is_refused_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert!(Token::of(&path).is_err());
        for bad in ["", "short", "0123456789abcde f", "0123456789abcdeä"] {
            write(&path, bad);
            let error = Token::of(&path).unwrap_err().to_string();
            assert!(!bad.is_empty() || error.contains("0 bytes"), "{error}");
            assert!(
                bad.is_empty() || !error.contains(bad),
                "the secret: {error}"
            );
        }
        write(&path, "0123456789abcdef");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(Token::of(&path).is_err(), "everybody can choose the token");
    }
}
