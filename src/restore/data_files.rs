//! `innodb_data_file_path` of a manifest, which is passed to the recovering server on its command
//! line.

use super::error::RestoreError;
use crate::innodb::{self, data_files};
use crate::manifest::{MANIFEST, Manifest};
use crate::reader::{ReadError, bare};

/// The default value of a server.
pub(super) const DEFAULT: &str = "ibdata1:12M:autoextend";

/// Returns the value for a recovering server.
///
/// # Errors
/// [`ReadError::Damaged`](crate::reader::ReadError::Damaged).
pub(super) fn of(newest: &Manifest) -> Result<String, RestoreError> {
    base_names(&newest.server.data_file_path)
        .map_err(|what| RestoreError::Read(ReadError::damaged(&newest.name, MANIFEST, what)))
}

/// Returns the names of the files, in their order.
///
/// # Errors
/// The same as those of [`base_names`].
pub(super) fn names(data_file_path: &str) -> Result<Vec<String>, String> {
    base_names(data_file_path)?;
    Ok(data_files(data_file_path)
        .map(|(name, _)| name.to_owned())
        .collect())
}

/// Replaces the paths of `ibdata1:12M;/fast/ibdata2:50M:autoextend` by those in the restored
/// directory.
///
/// # Errors
/// The value has a raw device, a name or an attribute that no server accepts.
pub(super) fn base_names(data_file_path: &str) -> Result<String, String> {
    for (name, rest) in data_files(data_file_path) {
        if bare::fault(name).is_some() || !attributes(rest) {
            return Err(format!(
                "its innodb_data_file_path {data_file_path:?} has a file that cannot be restored: \
                 {:?}",
                format!("{name}:{rest}")
            ));
        }
    }
    Ok(innodb::base_names(data_file_path))
}

/// Returns whether the attributes are like `50M:autoextend:max:5G`; a raw device has others.
fn attributes(text: &str) -> bool {
    let size = |word: &str| {
        let digits = word.trim_end_matches(['K', 'M', 'G', 'k', 'm', 'g']);
        !digits.is_empty()
            && word.len() - digits.len() <= 1
            && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let words: Vec<&str> = text.split(':').collect();
    match words[..] {
        [first] => size(first),
        [first, "autoextend"] => size(first),
        [first, "autoextend", "max", most] => size(first) && size(most),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_files_are_in_the_restored_directory() {
        assert_eq!(base_names(DEFAULT).unwrap(), DEFAULT);
        assert_eq!(
            base_names("ibdata1:12M;/fast/disk/ibdata2:50M:autoextend:max:5G").unwrap(),
            "ibdata1:12M;ibdata2:50M:autoextend:max:5G"
        );
        for wrong in [
            "/dev/sdb1:10Graw",
            "/dev/sdb1:10Gnewraw",
            "",
            "..:12M",
            "x/.:12M",
            "ibdata1:12M:/victim",
            "ibdata1:12M\n--log-error=/victim",
            "ibdata1",
            "ibdata1:",
        ] {
            assert!(base_names(wrong).is_err(), "{wrong}");
        }
    }
}
