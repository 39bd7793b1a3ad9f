//! The location of a file and its name in a backup.

use super::{DatadirError, TablespaceKind};
use std::path::{Component, Path, PathBuf};

/// Resolves links and `..` in the path; if it doesn't exist, only removes `.`.
pub(super) fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        path.components()
            .filter(|c| *c != Component::CurDir)
            .collect()
    })
}

/// Returns the path for reports: relative to the data directory if it is inside.
pub(super) fn shown(datadir: &Path, path: &Path) -> String {
    let inside = path
        .strip_prefix(datadir)
        .ok()
        .map(Path::to_owned)
        .or_else(|| {
            real(path)
                .strip_prefix(real(datadir))
                .ok()
                .map(Path::to_owned)
        });
    inside
        .as_deref()
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

/// The name in the backup and, if the file isn't at `datadir/name`, the directory it belongs into.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StoredLocation {
    pub name: String,
    pub external: Option<PathBuf>,
}

/// Returns the stored location of a tablespace file: the last two parts of the path of a table, the
/// last part of others (`docs/format/delta.md#names`).
pub(super) fn place(
    datadir: &Path,
    source: &Path,
    kind: TablespaceKind,
) -> Result<StoredLocation, DatadirError> {
    let depth = match kind {
        TablespaceKind::FilePerTable => 2,
        _ => 1,
    };
    let mut home = source;
    let mut parts = Vec::with_capacity(depth);
    for _ in 0..depth {
        if let (Some(parent), Some(part)) = (home.parent(), home.file_name()) {
            let part = part.to_str().ok_or_else(|| DatadirError::NotUtf8 {
                path: source.to_owned(),
            })?;
            parts.push(part);
            home = parent;
        }
    }
    parts.reverse();
    let at_home = home == datadir || real(home) == real(datadir);
    Ok(StoredLocation {
        name: parts.join("/"),
        external: (!at_home).then(|| home.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(source: &str, kind: TablespaceKind) -> (String, Option<PathBuf>) {
        let place = place(Path::new("/no/data"), Path::new(source), kind).unwrap();
        (place.name, place.external)
    }

    #[test]
    fn tablespaces_have_names_and_external_directories() {
        use TablespaceKind::{FilePerTable, General, System, Undo};
        assert_eq!(at("/no/data/ibdata1", System), ("ibdata1".into(), None));
        assert_eq!(at("/no/data/./ts.ibd", General), ("ts.ibd".into(), None));
        assert_eq!(
            at("/no/data/db/t#p#p0.ibd", FilePerTable),
            ("db/t#p#p0.ibd".into(), None)
        );
        assert_eq!(
            at("/ext/db/t.ibd", FilePerTable),
            ("db/t.ibd".into(), Some("/ext".into()))
        );
        assert_eq!(
            at("/ext/u.ibu", Undo),
            ("u.ibu".into(), Some("/ext".into()))
        );
        assert_eq!(
            at("/no/data/sub/undo_001", Undo),
            ("undo_001".into(), Some("/no/data/sub".into()))
        );
    }

    #[test]
    fn paths_are_shown_relative_to_the_datadir() {
        assert_eq!(
            shown(Path::new("/no/data"), Path::new("/no/data/db/t.ibd")),
            "db/t.ibd"
        );
        assert_eq!(
            shown(Path::new("/no/data"), Path::new("/other/t.ibd")),
            "/other/t.ibd"
        );
    }
}
