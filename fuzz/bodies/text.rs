//! Short texts: names, URLs, option files, version texts of programs and servers.

use lsnap::codec::suffixes;
use lsnap::fuzzing::{external_places, extracted_name, repository_directory};
use lsnap::manifest::{BackupName, Checkpoints, check_path, object_name, split_object_name};
use lsnap::restore::{Release, parse_mysqld, parse_xtrabackup};
use lsnap::server::{LogStatus, OptionFiles, Version};
use std::path::{Component, Path};

/// Parses names of objects, files and backups, and URLs.
pub fn names(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    if let Some((path, index)) = split_object_name(text) {
        assert_eq!(object_name(path, index), text);
    }
    let made = object_name(text, data.len() as u64);
    if !text.is_empty() {
        assert_eq!(split_object_name(&made), Some((text, data.len() as u64)));
    }
    if check_path(text).is_ok() {
        let parts = Path::new(text).components();
        assert!(
            !text.starts_with('/')
                && parts
                    .clone()
                    .all(|part| matches!(part, Component::Normal(_)))
        );
        assert!(
            extracted_name(text, false).is_ok() || text.split('/').any(|part| part.len() > 255)
        );
    }
    extracted(text);
    if let Ok(name) = BackupName::parse(text) {
        assert_eq!(name.as_str(), text);
        assert!(text.ends_with(name.last_part()) && !name.last_part().contains('/'));
        assert!(
            check_path(text).is_ok(),
            "the name of a backup is not a path of a store"
        );
        let base = name.base();
        assert_eq!(BackupName::parse(base.as_str()).ok().as_ref(), Some(&base));
        assert!(!base.is_incremental() && base.base() == base);
    }
    let found = suffixes(text);
    assert!(text.starts_with(found.inner) && (found.inner.is_empty() == text.is_empty()));
    let wrapped = found.encrypted || found.quicklz || found.compression.is_some();
    assert_eq!(wrapped, found.inner.len() < text.len());
    if let Ok(directory) = repository_directory(text) {
        assert!(directory.is_absolute(), "{directory:?}");
    }
}

/// Checks that the path of a stream entry stays below the root.
pub fn extracted(name: &str) {
    if let Ok(parts) = extracted_name(name, false) {
        assert!(!name.starts_with('/') && !parts.is_empty());
        for part in parts {
            let mut components = Path::new(part).components();
            assert!(matches!(components.next(), Some(Component::Normal(same)) if same == part));
            assert!(components.next().is_none());
        }
    }
    let _ = extracted_name(name, true);
}

/// Parses an option file, for clients with and without a group suffix.
pub fn options(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let plain = OptionFiles::parse(&text, None);
    let more = OptionFiles::parse(&text, Some("_x"));
    for (found, suffix) in [(&plain, ""), (&more, "_x")] {
        let Ok(found) = found else { continue };
        assert!(found.files.is_empty(), "parsing a text must not read files");
        let mut last = 0;
        for entry in &found.entries {
            let group = entry.group.strip_suffix(suffix).unwrap_or(&entry.group);
            assert!(matches!(group, "client" | "lsnap" | "client_x" | "lsnap_x"));
            assert!(entry.line > last && !entry.name.is_empty() && !entry.name.contains('_'));
            last = entry.line;
        }
        assert!(last <= text.lines().count());
    }
    if let (Ok(plain), Ok(more)) = (plain, more) {
        assert!(
            plain
                .entries
                .iter()
                .all(|entry| more.entries.contains(entry))
        );
    }
}

/// Parses the `--version` output of programs, and the log status of a server: three columns
/// separated by NUL.
pub fn versions(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    if let Some((_, release)) = parse_mysqld(text) {
        assert_eq!(Release::parse(&release.to_string()), Some(release));
    }
    if let Some(found) = parse_xtrabackup(text) {
        assert!(text.contains(&found.own) && !found.own.contains(char::is_whitespace));
        assert_eq!(
            Release::parse(&found.server.to_string()),
            Some(found.server)
        );
    }
    if let Ok(version) = text.parse::<Version>() {
        assert_eq!(version.to_string().parse::<Version>().ok(), Some(version));
    }
    let mut columns = text.split('\0');
    let mut column = || columns.next().unwrap_or_default();
    if let Ok(status) = LogStatus::parse("uuid", column(), column()) {
        assert!(status.checkpoint_lsn <= status.lsn);
        assert!(!status.gtid_executed.contains(char::is_whitespace));
    }
}

/// Parses an `xtrabackup_checkpoints` file.
pub fn checkpoints(data: &[u8]) {
    if let Ok(found) = Checkpoints::parse(data) {
        let text = found.to_string();
        assert_eq!(Checkpoints::parse(text.as_bytes()), Ok(found), "{text}");
    }
}

/// Parses an `xtrabackup_tablespaces` file: every place that is accepted is that of a tablespace file, and outside of the
/// backup; a relative one is in the data directory.
pub fn tablespaces(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (datadir, backup) = (Path::new("/data"), Path::new("/backup"));
    let Ok(places) = external_places(text, datadir, backup) else {
        return;
    };
    for place in places.into_iter().flatten() {
        assert!(
            place.is_absolute() && !place.starts_with(backup),
            "{place:?}"
        );
        assert_eq!(place.extension(), Some("ibd".as_ref()));
        let mut parts = place.components();
        assert!(
            parts.all(|part| !matches!(part, Component::ParentDir | Component::CurDir)),
            "{place:?}"
        );
        let text = place.to_string_lossy();
        if text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-#".contains(&byte))
        {
            let again = format!(r#"{{"external_tablespaces":[{{"file_name":"{text}"}}]}}"#);
            let again = external_places(&again, datadir, backup);
            assert_eq!(again, Ok(vec![Some(place)]));
        }
    }
}
