//! Waits for the encryption key: kubelet copies a changed secret into the pod after a while.

use crate::cancel::Cancel;
use std::path::Path;
use std::time::{Duration, Instant};

/// The file with the version of the key, next to the key.
const VERSION: &str = ".version";

/// How long, and how often, the files are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) total: Duration,
    pub(super) each: Duration,
}

/// As long as the operator's sidecar waits.
pub(super) const PATIENCE: Patience = Patience {
    total: Duration::from_secs(5 * 60),
    each: Duration::from_secs(5),
};

/// Waits until the key exists and has this version. An empty version is not compared.
///
/// # Errors
/// The reason: the time is over, or `cancel` was cancelled.
pub(super) fn wait_for_key(
    file: &Path,
    version: &str,
    patience: Patience,
    cancel: &Cancel,
) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let missing = match file.try_exists() {
            Ok(true) if version.is_empty() => return Ok(()),
            Ok(true) => match std::fs::read_to_string(file.with_file_name(VERSION)) {
                Ok(found) if found.trim() == version => return Ok(()),
                Ok(_) => "it has another version".to_owned(),
                Err(error) => format!("its version can't be read: {error}"),
            },
            Ok(false) => "it doesn't exist".to_owned(),
            Err(error) => error.to_string(),
        };
        if begun.elapsed() >= patience.total {
            return Err(format!(
                "the encryption key {} can't be used: {missing}",
                file.display()
            ));
        }
        if cancel.wait(patience.each) {
            return Err("the agent is shutting down".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Patience = Patience {
        total: Duration::from_millis(30),
        each: Duration::from_millis(1),
    };

    #[test]
    fn the_key_must_have_its_version() {
        let room = tempfile::tempdir().unwrap();
        let key = room.path().join("encryption-key");
        let wait = |version| wait_for_key(&key, version, SHORT, &Cancel::new());
        assert!(wait("").unwrap_err().contains("doesn't exist"));
        std::fs::write(&key, "k").unwrap();
        assert_eq!(wait(""), Ok(()));
        assert!(wait("2").unwrap_err().contains("can't be read"));
        std::fs::write(room.path().join(VERSION), "1\n").unwrap();
        assert!(wait("2").unwrap_err().contains("another version"));
        assert_eq!(wait("1"), Ok(()));
    }

    #[test]
    fn a_key_that_comes_later_is_found() {
        let room = tempfile::tempdir().unwrap();
        let key = room.path().join("encryption-key");
        let long = Patience {
            total: Duration::from_secs(60),
            ..SHORT
        };
        let found = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait_for_key(&key, "7", long, &Cancel::new()));
            std::fs::write(&key, "k").unwrap();
            std::fs::write(room.path().join(VERSION), "7").unwrap();
            waiting.join().unwrap()
        });
        assert_eq!(found, Ok(()));
    }

    #[test]
    fn the_wait_ends_with_the_agent() {
        let cancel = Cancel::new();
        cancel.cancel();
        let ended = wait_for_key(Path::new("/nonexistent/key"), "", PATIENCE, &cancel);
        assert!(ended.unwrap_err().contains("shutting down"));
    }
}
