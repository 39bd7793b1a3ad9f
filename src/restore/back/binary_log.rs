//! The places of the binary logs of a backup. The server reads the index at each start, so it is
//! written anew, with the paths of this server.

use super::places::Places;
use super::plan::Made;
use super::source::Source;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The binary logs of a backup.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Logs {
    /// The files and their places.
    pub(super) files: BTreeMap<PathBuf, PathBuf>,
    /// The index in the backup, which is not placed.
    pub(super) index: Option<PathBuf>,
    /// The new index.
    pub(super) made: Option<Made>,
}

/// Returns the binary logs of a backup: the last one is named in `xtrabackup_binlog_info`.
pub(super) fn of(source: &Source, places: &Places) -> Logs {
    let Some((stem, _)) = source.binary_log.as_deref().and_then(numbered) else {
        return Logs::default();
    };
    let base = base(stem, places);
    let top = source.files.iter().filter_map(|file| file.name.to_str());
    let mut found: Vec<(&str, &str)> = top
        .filter_map(|name| Some((name, numbered(name).filter(|(other, _)| *other == stem)?.1)))
        .collect();
    let index = index(source, stem);
    if found.is_empty() {
        return Logs {
            index,
            ..Logs::default()
        };
    }
    found.sort_by_key(|(_, number)| (number.len(), *number));
    let mut text = Vec::new();
    let mut files = BTreeMap::new();
    for (name, number) in found {
        let to = with_end(&base, number);
        text.extend_from_slice(entry(&to, &places.datadir).as_encoded_bytes());
        text.push(b'\n');
        files.insert(PathBuf::from(name), to);
    }
    let to = match &places.log_bin_index {
        Some(index) if index.extension().is_some() => index.clone(),
        Some(index) => with_end(index, "index"),
        None => with_end(&base, "index"),
    };
    Logs {
        files,
        index,
        made: Some(Made { to, text }),
    }
}

/// Returns the base name of the logs: an end after a dot is not part of it, as for the server.
fn base(stem: &str, places: &Places) -> PathBuf {
    places
        .log_bin
        .as_ref()
        .map_or_else(|| places.datadir.join(stem), |base| base.with_extension(""))
}

/// Returns the index in the backup: that of the name, or the only one.
fn index(source: &Source, stem: &str) -> Option<PathBuf> {
    let own = PathBuf::from(format!("{stem}.index"));
    if source.has(&own) {
        return Some(own);
    }
    let is_index = |name: &&PathBuf| {
        name.components().count() == 1 && name.extension() == Some("index".as_ref())
    };
    let mut others = source.files.iter().map(|file| &file.name).filter(is_index);
    match (others.next(), others.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => None,
    }
}

/// Returns the line of the index.
fn entry(log: &Path, datadir: &Path) -> OsString {
    match log.strip_prefix(datadir) {
        Ok(name) => Path::new(".").join(name).into_os_string(),
        Err(_) => log.as_os_str().to_owned(),
    }
}

fn with_end(base: &Path, end: &str) -> PathBuf {
    let mut path = base.as_os_str().to_owned();
    path.push(".");
    path.push(end);
    path.into()
}

/// Splits the name of a binary log into its base and its number.
fn numbered(name: &str) -> Option<(&str, &str)> {
    let (stem, number) = name.rsplit_once('.')?;
    let is_number = number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit());
    (is_number && !stem.is_empty() && !stem.contains('/')).then_some((stem, number))
}
