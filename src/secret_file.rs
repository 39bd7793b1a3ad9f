//! Reads files that hold a secret (a key, a password). All such files are read here.
//!
//! | file | what happens |
//! |---|---|
//! | writable by others than the owner, or replaceable by everybody in its directory | refused: they could choose the secret |
//! | readable by others than the owner | read, with a warning |
//! | a pipe or FIFO (`<(...)` of a shell, `/dev/fd/N`, `/dev/stdin` behind a pipe) | read to its end, which must come within [`PATIENCE`] |
//! | a directory, a device, a terminal | refused |
//!
//! Symbolic links are followed (the secrets of Kubernetes are symbolic links), and the target is
//! checked. A FIFO is opened without waiting for its writer, so no call here blocks forever.
//! Commands read their secrets before they install signal handlers, so a signal ends the process at
//! once.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::counted::count;
use crate::shown::shown_path;

/// Time within which the writer of a pipe must write the secret and close its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a secret can't be read from a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFileError {
    #[error("can't be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("is a {0}: expected a file or a pipe")]
    Kind(&'static str),
    #[error("its mode is {mode:04o}, so {who} can exchange the {thing}: run `chmod 600` on it")]
    Writable {
        mode: u32,
        who: &'static str,
        thing: &'static str,
    },
    #[error(
        "the mode of its directory {} is {mode:04o}, so everybody can exchange the file: run `chmod o-w` on the \
         directory, or move the file",
        shown_path(directory)
    )]
    Directory { directory: PathBuf, mode: u32 },
    #[error("is a pipe that was not written and closed within {}: check the program that writes it", count(.0.as_secs(), "second"))]
    Late(Duration),
}

/// A secret that was read.
#[derive(Debug)]
pub(crate) struct Secret {
    pub bytes: Zeroizing<Vec<u8>>,
    /// A warning about the file, without its name.
    pub warning: Option<String>,
}

/// Reads a file that holds `thing` (a noun for messages: `key`), at most `most` bytes of it.
pub(crate) fn read(path: &Path, thing: &'static str, most: u64) -> Result<Secret, SecretFileError> {
    read_within(path, thing, most, PATIENCE)
}

fn read_within(
    path: &Path,
    thing: &'static str,
    most: u64,
    patience: Duration,
) -> Result<Secret, SecretFileError> {
    // Without this flag, opening a FIFO waits for a writer.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        return Err(SecretFileError::Kind(match kind {
            kind if kind.is_dir() => "directory",
            _ => "device",
        }));
    }
    let warning = guard(path, thing, &metadata)?;
    let mut bytes = Zeroizing::new(Vec::new());
    if kind.is_fifo() {
        drain(&file, most, patience, &mut bytes)?;
    } else {
        file.take(most).read_to_end(&mut bytes)?;
    }
    Ok(Secret { bytes, warning })
}

/// Reads a pipe until all its writers have closed it.
fn drain(
    mut pipe: &File,
    most: u64,
    patience: Duration,
    bytes: &mut Vec<u8>,
) -> Result<(), SecretFileError> {
    let until = Instant::now() + patience;
    let mut buffer = Zeroizing::new([0; 4096]);
    while (bytes.len() as u64) < most {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(SecretFileError::Late(patience));
        }
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        // a FIFO without a writer is not at its end: it becomes readable when a writer writes
        let mut watched = [PollFd::new(pipe, PollFlags::IN)];
        match poll(&mut watched, Some(&left)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        match pipe.read(&mut buffer[..]) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    Ok(())
}

/// Checks the permissions of the file: a user who can change the file can choose the secret, and a
/// user who can read the file has the secret. Returns a warning.
fn guard(
    path: &Path,
    thing: &'static str,
    found: &Metadata,
) -> Result<Option<String>, SecretFileError> {
    let mode = found.mode() & 0o7777;
    if mode & 0o022 != 0 {
        let who = if mode & 0o002 != 0 {
            "everybody"
        } else {
            "its group"
        };
        return Err(SecretFileError::Writable { mode, who, thing });
    }
    if let Some((directory, mode)) = open_directory(path) {
        return Err(SecretFileError::Directory { directory, mode });
    }
    Ok((mode & 0o044 != 0).then(|| {
        format!(
            "its mode is {mode:04o}, so others than its owner can read the {thing}: run `chmod 600` on it"
        )
    }))
}

/// Returns the directory of the file, with its mode, if everybody can replace files in it.
fn open_directory(path: &Path) -> Option<(PathBuf, u32)> {
    const STICKY: u32 = 0o1000;
    let directory = path.canonicalize().ok()?.parent()?.to_owned();
    let mode = std::fs::metadata(&directory)
        .as_ref()
        .map_or(0, Metadata::mode)
        & 0o7777;
    (mode & 0o002 != 0 && mode & STICKY == 0).then_some((directory, mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, mkfifoat};
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Returns the result for a file with this mode in a directory with that mode.
    fn read_at(mode: u32, directory: u32) -> Result<Secret, SecretFileError> {
        let room = tempfile::tempdir().unwrap();
        let dir = room.path().join("keys");
        fs::create_dir(&dir).unwrap();
        let path = dir.join("key");
        fs::write(&path, "0".repeat(64)).unwrap();
        set(&path, mode);
        set(&dir, directory);
        let link = room.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let (direct, linked) = (read(&path, "key", 100), read(&link, "key", 100));
        assert_eq!(direct.is_ok(), linked.is_ok(), "a link changes the result");
        direct
    }

    #[test]
    fn a_file_that_others_can_change_is_refused() {
        for mode in [0o600, 0o400] {
            assert_eq!(read_at(mode, 0o755).unwrap().warning, None, "{mode:o}");
        }
        for mode in [0o640, 0o644, 0o604] {
            let warning = read_at(mode, 0o755).unwrap().warning.unwrap();
            assert!(warning.contains("chmod 600"), "{mode:o}: {warning}");
        }
        for mode in [0o620, 0o602, 0o660, 0o666, 0o664] {
            let refusal = read_at(mode, 0o755).unwrap_err().to_string();
            assert!(refusal.contains("chmod 600"), "{mode:o}: {refusal}");
        }
        let refusal = read_at(0o600, 0o777).unwrap_err().to_string();
        assert!(refusal.contains("its directory"), "{refusal}");
        assert!(read_at(0o600, 0o1777).is_ok(), "a sticky directory");
        assert!(read_at(0o600, 0o775).is_ok());
    }

    fn fifo(mode: u32) -> (tempfile::TempDir, PathBuf) {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("fifo");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        set(&path, mode);
        (room, path)
    }

    #[test]
    fn the_wait_for_a_pipe_has_a_timeout() {
        let short = Duration::from_millis(50);
        let (_room, path) = fifo(0o600);
        let late = read_within(&path, "key", 100, short).unwrap_err();
        assert!(matches!(late, SecretFileError::Late(_)), "{late}");
        // a writer that writes and doesn't close
        let mut writer = File::options().read(true).write(true).open(&path).unwrap();
        writer.write_all(b"secret").unwrap();
        let late = read_within(&path, "key", 100, short).unwrap_err();
        assert!(matches!(late, SecretFileError::Late(_)), "{late}");
        drop(writer);
        let (_room, path) = fifo(0o622);
        assert!(read_within(&path, "key", 100, short).is_err());
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let (_room, path) = fifo(0o600);
        let to = path.clone();
        let writer = std::thread::spawn(move || {
            let mut to = File::options().write(true).open(to).unwrap();
            for part in ["sec", "ret"] {
                to.write_all(part.as_bytes()).unwrap();
            }
        });
        assert_eq!(&read(&path, "key", 100).unwrap().bytes[..], b"secret");
        writer.join().unwrap();
        // the path that a shell passes as /dev/fd/N
        let (reader, mut writer) = io::pipe().unwrap();
        let name = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        writer.write_all(b"another secret").unwrap();
        drop(writer);
        let found = read(Path::new(&name), "key", 7).unwrap();
        assert_eq!((&found.bytes[..], found.warning), (&b"another"[..], None));
    }

    #[test]
    fn only_files_and_pipes_hold_secrets() {
        for path in ["/", "/dev/zero"] {
            let refusal = read(Path::new(path), "key", 100).unwrap_err();
            assert!(matches!(refusal, SecretFileError::Kind(_)), "{refusal}");
        }
    }
}
