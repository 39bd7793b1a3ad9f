//! The files of the system tablespace: `innodb_data_file_path`.

use super::{DatadirError, ServerPaths};
use std::path::PathBuf;

const MIB: u64 = 1 << 20;

/// One entry of `innodb_data_file_path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SystemFile {
    /// The name in the setting: `ibdata1`, `/disk2/ibdata2`.
    pub name: String,
    /// The configured size in bytes; for the last file, its initial size.
    pub bytes: u64,
}

impl SystemFile {
    /// Returns the path of the file. Relative names are relative to `innodb_data_home_dir`, which
    /// is relative to the data directory; absolute names are unchanged.
    pub(super) fn path(&self, paths: &ServerPaths) -> PathBuf {
        paths.datadir.join(&paths.data_home).join(&self.name)
    }
}

/// Parses `ibdata1:12M;/disk2/ibdata2:12M:autoextend:max:50G`.
pub(super) fn parse_data_file_path(spec: &str) -> Result<Vec<SystemFile>, DatadirError> {
    let bad = |entry: &str, why| DatadirError::DataFilePath {
        spec: spec.to_owned(),
        entry: entry.to_owned(),
        why,
    };
    let entries: Vec<&str> = spec.split(';').map(str::trim).collect();
    let mut files = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        let mut parts = entry.split(':');
        let name = parts.next().unwrap_or_default();
        if name.is_empty() {
            return Err(bad(entry, "no file name"));
        }
        let size = parts.next().ok_or_else(|| bad(entry, "no size"))?;
        if size.ends_with("raw") || parts.clone().any(|p| p.ends_with("raw")) {
            return Err(DatadirError::RawDevice {
                name: name.to_owned(),
            });
        }
        let bytes = parse_size(size).ok_or_else(|| bad(entry, "no valid size"))?;
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (None, ..) => {}
            (Some("autoextend"), ..) if i + 1 < entries.len() => {
                return Err(bad(entry, "autoextend (allowed only for the last file)"));
            }
            (Some("autoextend"), None, ..) => {}
            (Some("autoextend"), Some("max"), Some(max), None) if parse_size(max).is_some() => {}
            _ => return Err(bad(entry, "unknown text after the size")),
        }
        files.push(SystemFile {
            name: name.to_owned(),
            bytes,
        });
    }
    Ok(files)
}

/// Parses `12M`, `1G`, `65536K` or bytes; like the server, rounds down to whole MiB.
fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 1 << 10),
        b'M' | b'm' => (&text[..text.len() - 1], MIB),
        b'G' | b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let bytes = whole_mib(digits.parse::<u64>().ok()?.checked_mul(unit)?);
    (bytes > 0).then_some(bytes)
}

/// Rounds down to whole MiB: the server uses only these of a file of the system tablespace.
pub(super) fn whole_mib(bytes: u64) -> u64 {
    bytes / MIB * MIB
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::innodb::PageSize;
    use proptest::prelude::*;

    fn parsed(spec: &str) -> Vec<(String, u64)> {
        let files = parse_data_file_path(spec).unwrap();
        files.into_iter().map(|f| (f.name, f.bytes >> 20)).collect()
    }

    #[test]
    fn examples_of_the_manual_are_parsed() {
        assert_eq!(parsed("ibdata1:12M:autoextend"), [("ibdata1".into(), 12)]);
        assert_eq!(
            parsed("ibdata1:12M;ibdata2:50M:autoextend:max:500M"),
            [("ibdata1".into(), 12), ("ibdata2".into(), 50)]
        );
        assert_eq!(
            parsed("/a/ibdata1:1G;b/ibdata2:65536K;c:10485760"),
            [
                ("/a/ibdata1".into(), 1024),
                ("b/ibdata2".into(), 64),
                ("c".into(), 10)
            ]
        );
    }

    #[test]
    fn raw_devices_are_refused() {
        for spec in [
            "ibdata1:12M;/dev/sdb1:3Gnewraw",
            "/dev/sdb1:3Graw",
            "/dev/sdb1:3G:raw",
        ] {
            let error = parse_data_file_path(spec).unwrap_err();
            assert!(
                matches!(error, DatadirError::RawDevice { .. }),
                "{spec}: {error}"
            );
        }
    }

    #[test]
    fn invalid_settings_are_refused() {
        for spec in [
            "",
            ":12M",
            "ibdata1",
            "ibdata1:",
            "ibdata1:x",
            "ibdata1:+5M",
            "ibdata1:1K",
            "a:12M;",
            "a:12M:autoextend;b:12M",
            "a:12M:extend",
            "a:12M:autoextend:max",
            "a:12M:autoextend:max:z",
            "a:99999999999999999999G",
            "a:18446744073709551615G",
            "a:12M:autoextend:max:5M:x",
            "a:é",
        ] {
            let error = parse_data_file_path(spec).unwrap_err();
            assert!(
                matches!(error, DatadirError::DataFilePath { .. }),
                "{spec}: {error}"
            );
        }
    }

    #[test]
    fn paths_are_resolved_like_in_the_server() {
        let mut paths = ServerPaths {
            datadir: "/data".into(),
            data_home: "".into(),
            data_file_path: String::new(),
            undo_dir: ".".into(),
            redo_dir: ".".into(),
            doublewrite_dir: None,
            temp_dir: "#innodb_temp".into(),
            page_size: PageSize::DEFAULT,
        };
        let path = |name: &str, paths: &ServerPaths| {
            let file = SystemFile {
                name: name.into(),
                bytes: 1,
            };
            file.path(paths)
        };
        assert_eq!(path("ibdata1", &paths), PathBuf::from("/data/ibdata1"));
        assert_eq!(path("/x/ibdata1", &paths), PathBuf::from("/x/ibdata1"));
        paths.data_home = "/home".into();
        assert_eq!(path("ibdata1", &paths), PathBuf::from("/home/ibdata1"));
        paths.data_home = "sys".into();
        assert_eq!(path("ibdata1", &paths), PathBuf::from("/data/sys/ibdata1"));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(spec in ".{0,200}") {
            let _ = parse_data_file_path(&spec);
        }

        #[test]
        fn sizes_are_parsed_unchanged(sizes in prop::collection::vec(1u64..1_000_000, 1..9)) {
            let spec: Vec<String> = sizes.iter().enumerate().map(|(i, s)| format!("f{i}:{s}M")).collect();
            let files = parse_data_file_path(&spec.join(";")).unwrap();
            let read: Vec<u64> = files.iter().map(|f| f.bytes >> 20).collect();
            prop_assert_eq!(read, sizes);
        }
    }
}
