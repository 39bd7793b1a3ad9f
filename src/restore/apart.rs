//! A restore must not write into a backup: neither into the repository or directory that it reads,
//! nor into another repository.

use super::error::{RestoreError, refuse};
use super::target_place;
use crate::store::MARKER;
use std::path::Path;

/// Refuses a target that is one of `sources`, is inside one, or contains one; and one below the
/// marker of any repository.
///
/// # Errors
/// [`RestoreError::Target`].
pub(super) fn check<'a>(
    datadir: &Path,
    sources: impl IntoIterator<Item = &'a Path>,
) -> Result<(), RestoreError> {
    let target = target_place::real(datadir)?;
    for source in sources {
        let Ok(source) = source.canonicalize() else {
            continue;
        };
        let how = if target == source {
            "it is"
        } else if target.starts_with(&source) {
            "it is in"
        } else if source.starts_with(&target) {
            "it contains"
        } else {
            continue;
        };
        return Err(refuse(
            &target,
            format!(
                "{how} {}, which the restore reads; name another directory",
                source.display()
            ),
        ));
    }
    let repository = target.ancestors().find(|above| above.join(MARKER).exists());
    repository.map_or(Ok(()), |repository| {
        Err(refuse(
            &target,
            format!(
                "{} is a repository (it has {MARKER}); name a directory outside of it",
                repository.display()
            ),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_near_backups_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for directory in ["a/repository/2026", "b/other/in"] {
            std::fs::create_dir_all(at(directory)).unwrap();
        }
        std::fs::write(at("b/other").join(MARKER), "{}").unwrap();
        std::os::unix::fs::symlink(at("a/repository"), at("link")).unwrap();
        for (datadir, word) in [
            ("a/repository", "it is"),
            ("a/repository/new", "it is in"),
            ("a/repository/2026/new", "it is in"),
            ("link/new", "it is in"),
            ("a", "it contains"),
            ("b/other", "is a repository"),
            ("b/other/in/new", "is a repository"),
        ] {
            let source = at("link");
            let error = check(&at(datadir), [source.as_path()]).unwrap_err();
            assert!(error.to_string().contains(word), "{datadir}: {error}");
        }
        for datadir in ["new", "a/repository2", "b/new"] {
            check(&at(datadir), [at("a/repository").as_path()]).unwrap();
        }
    }
}
