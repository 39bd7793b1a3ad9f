//! `--decrypt` and `--decompress`: the files of a backup are unpacked in place; with both, at once.

use super::table::Opt;
use super::{Failure, target, threads};
use crate::archive::{InPlaceOptions, Layer, unwrap_in_place};
use crate::cli;
use crate::codec::xbcrypt::{Algorithm, Key};
use crate::compat::log;
use crate::compat::options::Parsed;
use crate::counted::count;
use crate::progress::Silent;
use crate::secret_file;

/// Longest key file in bytes.
const KEY_FILE_MAX: u64 = 4096;

pub(super) fn run(options: &Parsed) -> Result<(), Failure> {
    let cancel = cli::on_signal("incomplete files are being removed").map_err(Failure)?;
    let key = match options.word(Opt::Decrypt) {
        None => None,
        Some(name) => Some(key(options, name)?.ok_or_else(|| {
            Failure(
                "--decrypt needs a key; give it with --encrypt-key-file or --encrypt-key"
                    .to_owned(),
            )
        })?),
    };
    let (layer, what) = match (key, options.is_on(Opt::Decompress)) {
        (Some(key), true) => (Layer::All(key), "decrypted and decompressed"),
        (Some(key), false) => (Layer::Encryption(key), "decrypted"),
        (None, _) => (Layer::Compression, "decompressed"),
    };
    let mut unwrap = InPlaceOptions::new(target(options), layer);
    unwrap.remove_original = options.is_on(Opt::RemoveOriginal);
    unwrap.parallel = threads(options);
    unwrap.cancel = cancel;
    let report = unwrap_in_place(&unwrap, &Silent).map_err(|error| Failure(error.to_string()))?;
    log::note(&format!(
        "{} {what}",
        count(report.files + report.already, "file")
    ));
    Ok(())
}

/// Returns the key for an algorithm, if one was given.
pub(super) fn key(options: &Parsed, algorithm: &str) -> Result<Option<Key>, Failure> {
    let algorithm: Algorithm = algorithm
        .parse()
        .map_err(|error| Failure(format!("{error}")))?;
    let read = match (
        options.text(Opt::EncryptKey)?,
        options.path(Opt::EncryptKeyFile),
    ) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Failure(
                "--encrypt-key and --encrypt-key-file can't be used together; leave one out"
                    .to_owned(),
            ));
        }
        (Some(text), None) => Key::from_text(algorithm, text.as_bytes()),
        (None, Some(path)) => {
            let secret = secret_file::read(&path, "key", KEY_FILE_MAX)
                .map_err(|error| Failure(format!("key file {}: {error}", path.display())))?;
            if let Some(warning) = secret.warning {
                log::warning(&format!("key file {}: {warning}", path.display()));
            }
            Key::from_text(algorithm, &secret.bytes)
        }
    };
    read.map(Some).map_err(|error| Failure(error.to_string()))
}
