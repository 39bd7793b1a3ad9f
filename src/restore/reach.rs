//! The check that the account of the recovering server can reach the directory that it recovers.
//! Root can enter every directory, so this process would not notice; the server would only report
//! that it can't change to its data directory.

use super::error::{RestoreError, refuse};
use super::owner::Owner;
use super::target_place;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Checks the directories above the target.
///
/// # Errors
/// [`RestoreError::Target`] with the directory.
pub(super) fn check(datadir: &Path, owner: &Owner) -> Result<(), RestoreError> {
    let target = target_place::real(datadir)?;
    let blocked = target.parent().and_then(|parent| blocked(parent, owner));
    blocked.map_or(Ok(()), |(directory, mode)| {
        Err(refuse(
            &target,
            format!(
                "{owner} can't enter {} (mode {mode:04o}), and the server that recovers the directory runs under this \
                 account: run `chmod o+x` on {0}, or name a directory that {owner} can reach",
                directory.display()
            ),
        ))
    })
}

/// Returns the first directory on the path to `directory` that the account can't enter, and its
/// mode. A directory with an access control list counts as accessible, because its mode doesn't
/// determine who may enter.
pub(super) fn blocked(directory: &Path, owner: &Owner) -> Option<(PathBuf, u32)> {
    let real = directory.canonicalize().ok()?;
    let mut way: Vec<&Path> = real.ancestors().collect();
    way.reverse();
    way.into_iter().find_map(|directory| {
        let found = std::fs::metadata(directory).ok()?;
        let closed = !owner.can_enter(found.mode(), found.uid(), found.gid());
        (closed && !has_access_list(directory))
            .then(|| (directory.to_path_buf(), found.mode() & 0o7777))
    })
}

fn has_access_list(directory: &Path) -> bool {
    let mut value = [0_u8; 4096];
    rustix::fs::getxattr(directory, "system.posix_acl_access", &mut value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_inaccessible_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set(dir.path(), 0o711);
        let (outer, inner) = (dir.path().join("outer"), dir.path().join("outer/inner"));
        std::fs::create_dir_all(&inner).unwrap();
        let other = Owner::numbered(4242, 4343);
        set(&inner, 0o711);
        set(&outer, 0o700);
        let error = check(&inner.join("data"), &other).unwrap_err().to_string();
        let named = format!(
            "enter {} (mode 0700)",
            outer.canonicalize().unwrap().display()
        );
        assert!(error.contains(&named) && error.contains("4242"), "{error}");
        set(&outer, 0o711);
        check(&inner.join("data"), &other).unwrap();
        // The target itself is created, or its owner is changed to the account.
        set(&inner, 0o700);
        check(&inner, &other).unwrap();
        assert!(check(&inner.join("data"), &other).is_err());
        check(&inner.join("data"), &Owner::numbered(0, 0)).unwrap();
    }
}
