//! The two metadata files that record whether a backup is a full one.

use crate::innodb::Lsn;
use crate::manifest::{BackupType, Checkpoints, Wrap};

/// Returns `xtrabackup_checkpoints` of the same backup as a full one.
///
/// # Errors
/// The fault of the file.
pub(super) fn checkpoints(text: &[u8]) -> Result<String, String> {
    let found = Checkpoints::parse(text)?;
    let full = Checkpoints {
        kind: BackupType::Full,
        from_lsn: Lsn(0),
        ..found
    };
    Ok(full.to_string())
}

/// Returns `xtrabackup_info` of the same backup as a full one: the lines about an incremental, and
/// the identity of the backup, are replaced.
pub(super) fn info(text: &str, id: &str, name: &str, wrap: &Wrap<'_>) -> String {
    let yes = |is: bool, word| if is { word } else { "N" };
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        let key = line.split_once('=').map(|(key, _)| key.trim());
        match key {
            Some("uuid") => out += &format!("uuid = {id}"),
            Some("name") => out += &format!("name = {name}"),
            Some("tool_version") => {
                out += &format!("tool_version = {}", env!("CARGO_PKG_VERSION"));
            }
            Some("innodb_from_lsn") => out += "innodb_from_lsn = 0",
            Some("incremental") => out += "incremental = N",
            Some("compressed") => {
                out += "compressed = ";
                out += yes(wrap.compression.is_some(), "compressed");
            }
            Some("encrypted") => {
                out += "encrypted = ";
                out += yes(wrap.key.is_some(), "Y");
            }
            _ => out += line,
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incremental_becomes_a_full_one() {
        let text =
            "backup_type = incremental\nfrom_lsn = 5\nto_lsn = 7\nlast_lsn = 9\nflushed_lsn = 6\n";
        let full = checkpoints(text.as_bytes()).unwrap();
        assert!(full.starts_with(
            "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 7\nlast_lsn = 9\nflushed_lsn = 6\n"
        ));
        assert!(checkpoints(b"nonsense").is_err());
        let text = "uuid = a\nname = b\ninnodb_from_lsn = 5\ninnodb_to_lsn = 7\nincremental = Y\n";
        assert_eq!(
            info(text, "id", "new", &Wrap::default()),
            "uuid = id\nname = new\ninnodb_from_lsn = 0\ninnodb_to_lsn = 7\nincremental = N\n"
        );
        let wrap = Wrap {
            compression: "lz4".parse().ok(),
            key: None,
        };
        assert_eq!(
            info("compressed = N\nencrypted = Y\n", "id", "new", &wrap),
            "compressed = compressed\nencrypted = N\n"
        );
    }
}
