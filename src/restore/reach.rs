//! Whether the account of the recovering server can get to the directory that it recovers. To root every directory is
//! open, so root wouldn't notice; the server would only say that it can't change to its data directory.

use super::error::{RestoreError, refuse};
use super::owner::Owner;
use super::target_place;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Checks the directories above the target.
///
/// # Errors
/// [`RestoreError::Target`], which names the directory.
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

/// The first directory on the way to `directory` that the account can't enter, and its mode. One with an access
/// control list is taken as open: its mode doesn't say who may enter.
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
    fn the_directory_that_is_closed_is_named() {
        let room = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set(room.path(), 0o711);
        let (outer, inner) = (room.path().join("outer"), room.path().join("outer/inner"));
        std::fs::create_dir_all(&inner).unwrap();
        let stranger = Owner::numbered(4242, 4343);
        set(&inner, 0o711);
        set(&outer, 0o700);
        let error = check(&inner.join("data"), &stranger)
            .unwrap_err()
            .to_string();
        let named = format!(
            "enter {} (mode 0700)",
            outer.canonicalize().unwrap().display()
        );
        assert!(error.contains(&named) && error.contains("4242"), "{error}");
        set(&outer, 0o711);
        check(&inner.join("data"), &stranger).unwrap();
        // The target itself is made anew, or given to the account.
        set(&inner, 0o700);
        check(&inner, &stranger).unwrap();
        assert!(check(&inner.join("data"), &stranger).is_err());
        check(&inner.join("data"), &Owner::numbered(0, 0)).unwrap();
    }
}
