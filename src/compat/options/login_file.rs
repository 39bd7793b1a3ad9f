//! The login file of `mysql_config_editor`: an option file whose lines are encrypted, so that a
//! password is not read by accident. The key is in the file.
//!
//! ```text
//! +0   0                              4
//! +4   the key                       20  folded to 16 bytes by XOR
//! +24  for each line: its length    i32  little-endian, a multiple of 16
//!      the line, AES-128 in ECB mode, PKCS #7 padding
//! ```
//!
//! Facts: the manual's "mysql_config_editor", and files that the program of MySQL 9.7 wrote.

use super::OptionError;
use aes::Aes128;
use ctr::cipher::{Array, BlockCipherDecrypt as _, KeyInit as _};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// Length of what stands before the first line, in bytes.
const HEAD: usize = 24;
const KEY: std::ops::Range<usize> = 4..HEAD;
const BLOCK: usize = 16;
/// Longest file that is read, in bytes. Real ones have some hundred bytes.
const MAX: u64 = 1 << 20;

/// Returns the text of a login file; nothing if there is none, or, with a warning, if others have
/// access to it.
///
/// # Errors
/// [`OptionError::LoginFile`].
pub(super) fn read(
    path: &Path,
    warnings: &mut Vec<String>,
) -> Result<Option<Zeroizing<String>>, OptionError> {
    let wrong = |problem: String| OptionError::LoginFile {
        file: path.to_path_buf(),
        problem,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let meta = file.metadata().map_err(|error| wrong(error.to_string()))?;
    if !meta.is_file() || meta.permissions().mode() & 0o077 != 0 {
        warnings.push(format!(
            "login file {} is ignored because others than its owner have access to it (mode {:o}); chmod 600 it",
            path.display(),
            meta.permissions().mode() & 0o7777
        ));
        return Ok(None);
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > MAX {
        return Err(wrong(format!("longer than {MAX} bytes")));
    }
    decrypted(&bytes)
        .map(Some)
        .map_err(|problem| wrong(problem.to_owned()))
}

/// Returns the text of a login file's bytes.
pub(super) fn decrypted(bytes: &[u8]) -> Result<Zeroizing<String>, &'static str> {
    let (Some(given), Some(mut rest)) = (bytes.get(KEY), bytes.get(HEAD..)) else {
        return Err("shorter than its header; make it anew with mysql_config_editor");
    };
    let mut key = Zeroizing::new([0; BLOCK]);
    for (at, byte) in given.iter().enumerate() {
        key[at % BLOCK] ^= byte;
    }
    let cipher = Aes128::new(&Array::from(*key));
    let mut text = Zeroizing::new(Vec::new());
    while !rest.is_empty() {
        let (length, line) = rest
            .split_first_chunk()
            .ok_or("cut off in the length of a line; make it anew with mysql_config_editor")?;
        let length = usize::try_from(i32::from_le_bytes(*length)).unwrap_or(0);
        if length == 0 || !length.is_multiple_of(BLOCK) || length > line.len() {
            return Err("a line has an impossible length; make it anew with mysql_config_editor");
        }
        let (line, after) = line.split_at(length);
        append(&cipher, line, &mut text)?;
        rest = after;
    }
    let text = std::str::from_utf8(&text).map_err(|_| "the decrypted text is not UTF-8")?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Decrypts a line, and appends it without its padding.
fn append(cipher: &Aes128, line: &[u8], text: &mut Vec<u8>) -> Result<(), &'static str> {
    for block in line.as_chunks::<BLOCK>().0 {
        let mut block = Array::from(*block);
        cipher.decrypt_block(&mut block);
        text.extend_from_slice(&block);
    }
    let padding = text.last().copied().map_or(0, usize::from);
    if padding == 0 || padding > BLOCK || padding > line.len() {
        return Err(
            "a line has a wrong padding: the file is damaged; make it anew with mysql_config_editor",
        );
    }
    text.truncate(text.len() - padding);
    Ok(())
}
