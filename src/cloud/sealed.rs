//! Checks whether a stream may be stored in a repository that accepts encrypted backups only.

use crate::manifest::is_document;
use crate::xbstream::Chunk;

/// Suffix of an encrypted file.
const SUFFIX: &str = ".xbcrypt";
/// First bytes of an encrypted file.
const MAGIC: &[u8] = b"XBCRYP0";

/// Returns whether `path` is a file that xtrabackup and lsnap never encrypt: a reader needs it
/// before it has a key, and it doesn't contain data.
fn is_always_plain(path: &str) -> bool {
    path == "xtrabackup_checkpoints" || path.ends_with(".meta") || is_document(path)
}

/// Refuses a chunk of a file that is not encrypted, by its name and its first bytes.
///
/// # Errors
/// What is wrong, and how to fix it.
pub(super) fn check(chunk: &Chunk) -> Result<(), String> {
    let path = chunk.path();
    let starts_wrong = match chunk {
        Chunk::Payload {
            offset: 0, data, ..
        } => !data.starts_with(MAGIC),
        _ => false,
    };
    if is_always_plain(path) || path.ends_with(SUFFIX) && !starts_wrong {
        return Ok(());
    }
    Err(format!(
        "its file {path} is not encrypted, but the repository takes encrypted backups only: encrypt the backup when it is taken \
         (BackupOptions::key, or the options of xtrabackup for it), or put it into another repository"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xbstream;
    use bytes::Bytes;

    fn chunk(path: &str, data: &[u8]) -> Chunk {
        let crc = xbstream::crc(data);
        let head = xbstream::payload_head(path, 0, data.len() as u64, crc).unwrap();
        let bytes = Bytes::from([&head[..], data].concat());
        xbstream::chunks(bytes).next().unwrap().unwrap()
    }

    #[test]
    fn unencrypted_files_are_refused() {
        for (path, data, good) in [
            ("db/t.ibd.zst.xbcrypt", &b"XBCRYP03..."[..], true),
            ("db/t.ibd.xbcrypt", b"plain rows", false),
            ("db/t.ibd", b"XBCRYP03...", false),
            ("xtrabackup_info.zst", b"x", false),
            ("xtrabackup_checkpoints", b"x", true),
            ("db/t.ibd.meta", b"x", true),
            ("lsnap_manifest.json", b"{", true),
        ] {
            assert_eq!(check(&chunk(path, data)).is_ok(), good, "{path}");
        }
    }
}
