//! `xbcrypt`: a filter that encrypts or decrypts (`docs/format/wrapping.md#xbcrypt`).

use super::options::{self, Kind, OptionError, Parsed, State, options};
use super::{log, secrets, version};
use crate::codec::xbcrypt::{Algorithm, CHUNK, CHUNK_MAX, Key, Reader, encrypt};
use crate::counted::count;
use crate::secret_file;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Longest key file in bytes.
const KEY_FILE_MAX: u64 = 4096;

const TEXT: Kind = Kind::Text;
const DONE: State = State::Done;

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

options! {
    Help = "help" '?', Flag, Kind::Switch, Client, DONE,
        "", "Print this text.";
    Version = "version" 'V', Flag, Kind::Switch, Client, DONE,
        "", "Print the version.";
    Decrypt = "decrypt" 'd', Flag, Kind::Switch, Client, DONE,
        "", "Decrypt; without it: encrypt.";
    Input = "input" 'i', Required, TEXT, Client, DONE,
        "standard input", "The file to read.";
    Output = "output" 'o', Required, TEXT, Client, DONE,
        "standard output", "The file to write.";
    EncryptAlgo = "encrypt-algo" 'a', Required, Kind::Word(&["NONE", "AES128", "AES192", "AES256"]), Client, DONE,
        "AES256", "The algorithm.";
    EncryptKey = "encrypt-key" 'k', Required, Kind::Secret, Client, DONE,
        "", "The key.";
    EncryptKeyFile = "encrypt-key-file" 'f', Required, TEXT, Client, DONE,
        "", "The file with the key.";
    EncryptChunkSize = "encrypt-chunk-size" 's', Required, number(1024, CHUNK_MAX / 2), Client, DONE,
        "64K", "The size of a chunk in bytes.";
    EncryptThreads = "encrypt-threads" 't', Required, number(1, u64::MAX), Client,
        State::Accepted("one thread encrypts as fast as a pipe transports"),
        "1", "Threads for the encryption.";
    ReadBufferSize = "read-buffer-size" 'r', Required, number(4096, u64::MAX), Client,
        State::Accepted("reads have the size of a chunk"),
        "10M", "The size of reads.";
    Verbose = "verbose" 'v', Flag, Kind::Switch, Client, DONE,
        "", "Print the number of bytes.";
}

/// Runs the program.
pub(super) fn main(args: &[OsString], before: usize) -> ExitCode {
    secrets::blank(args, secrets::XBCRYPT_LETTERS);
    let run = || -> Result<(), Failure> {
        let mut parsed = Parsed::new(TABLE);
        options::command_line(&mut parsed, &args[before..])?;
        run(&parsed)
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::plain("xbcrypt", &error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// The failure of a run.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Options(#[from] OptionError),
    #[error("{0}")]
    Arguments(String),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error(transparent)]
    Codec(#[from] crate::codec::CodecError),
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure::Io {
        what: what.into(),
        source,
    }
}

fn run(parsed: &Parsed) -> Result<(), Failure> {
    if parsed.is_on(Opt::Help) {
        return print(&format!(
            "Usage: xbcrypt [OPTIONS]\nEncrypt or decrypt standard input to standard output.\n\n{}",
            options::usage(TABLE)
        ));
    }
    if parsed.is_on(Opt::Version) {
        return print(&format!(
            "xbcrypt  Ver 1.1 for Linux ({}) (lsnap {}, as of xtrabackup {})\n",
            std::env::consts::ARCH,
            env!("CARGO_PKG_VERSION"),
            version::XTRABACKUP
        ));
    }
    if let Some(unknown) = parsed.unknown.first() {
        return Err(Failure::Arguments(format!(
            "unknown option '{}'",
            unknown.name
        )));
    }
    if let Some(stray) = parsed.stray.first() {
        return Err(Failure::Arguments(format!(
            "unknown argument: '{}'; give files with --input and --output",
            stray.to_string_lossy()
        )));
    }
    let key = key(parsed)?;
    let path = |option| parsed.path(option).filter(|path| path.as_os_str() != "-");
    let (from, to) = (path(Opt::Input), path(Opt::Output));
    if let (Some(from), Some(to)) = (&from, &to)
        && is_same(from, to)
    {
        return Err(Failure::Arguments(format!(
            "--input and --output are the same file, {}; give another output",
            to.display()
        )));
    }
    let input = input(from.as_deref())?;
    let bytes = match &to {
        Some(to) if !is_special(to) => into_file(to, |file| convert(parsed, key, input, file))?,
        _ => {
            let output = output(to.as_deref())?;
            convert(parsed, key, input, output)?
        }
    };
    if parsed.is_on(Opt::Verbose) {
        log::plain("xbcrypt", &count(bytes, "byte").to_string());
    }
    Ok(())
}

/// Returns whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.dev(), meta.ino()))
    };
    place(one).is_some_and(|found| place(other) == Some(found))
}

/// Returns the number of bytes of plaintext, or, without a key, of all bytes.
fn convert(
    parsed: &Parsed,
    key: Option<Key>,
    input: Box<dyn Read>,
    output: File,
) -> Result<u64, Failure> {
    match key {
        Some(key) if parsed.is_on(Opt::Decrypt) => copy(Reader::new(input, key), output),
        Some(key) => {
            let chunk = parsed.number(Opt::EncryptChunkSize).unwrap_or(CHUNK as u64);
            sealed(&key, usize::try_from(chunk).unwrap_or(CHUNK), input, output)
        }
        None => copy(input, output),
    }
}

/// Returns the key; nothing with `--encrypt-algo=NONE`.
fn key(parsed: &Parsed) -> Result<Option<Key>, Failure> {
    let algorithm = match parsed.word(Opt::EncryptAlgo) {
        Some("NONE") => return Ok(None),
        Some(name) => name.parse()?,
        None => Algorithm::Aes256,
    };
    let text = parsed.text(Opt::EncryptKey)?.map(str::to_owned);
    let file = parsed.path(Opt::EncryptKeyFile);
    key_of(algorithm, text, file).map(Some)
}

/// Returns the key that was given as a text, in a file, or in the environment.
pub(super) fn key_of(
    algorithm: Algorithm,
    text: Option<String>,
    file: Option<PathBuf>,
) -> Result<Key, Failure> {
    let environment = || std::env::var("XBCRYPT_ENCRYPTION_KEY").ok();
    match (text, file) {
        (Some(_), Some(_)) => Err(Failure::Arguments(
            "--encrypt-key and --encrypt-key-file can't be used together; leave one out".to_owned(),
        )),
        (None, Some(path)) => {
            let read = secret_file::read(&path, "key", KEY_FILE_MAX).map_err(|error| {
                Failure::Arguments(format!("key file {}: {error}", path.display()))
            })?;
            Ok(Key::from_text(algorithm, &read.bytes)?)
        }
        (text, None) => {
            let text = text.or_else(environment).ok_or_else(|| {
                Failure::Arguments(
                    "no key was given; give it with --encrypt-key-file or --encrypt-key".to_owned(),
                )
            })?;
            Ok(Key::from_text(algorithm, text.as_bytes())?)
        }
    }
}

fn input(path: Option<&Path>) -> Result<Box<dyn Read>, Failure> {
    let Some(path) = path else {
        return Ok(Box::new(io::stdin()));
    };
    let file = File::open(path).map_err(io_error(path.display().to_string()))?;
    Ok(Box::new(file))
}

/// Returns whether there is a link, a FIFO or a device at the path: that is written to as it is.
fn is_special(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| !found.is_file())
}

/// Writes a file under a private name, and gives it its name when it is complete: what was written so far could be taken
/// for the whole, and an earlier file of this name stays after a failure.
fn into_file(
    path: &Path,
    write: impl FnOnce(File) -> Result<u64, Failure>,
) -> Result<u64, Failure> {
    let failed = || io_error(path.display().to_string());
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".lsnap-{}", std::process::id()));
    let private = path.with_file_name(name);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&private)
        .map_err(failed())?;
    let result = write(file).and_then(|bytes| {
        std::fs::rename(&private, path)
            .map(|()| bytes)
            .map_err(failed())
    });
    if result.is_err() {
        let _ = std::fs::remove_file(&private);
    }
    result
}

fn output(path: Option<&Path>) -> Result<File, Failure> {
    let Some(path) = path else {
        return crate::cli::standard_output().map_err(Failure::Arguments);
    };
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(path)
        .map_err(io_error(path.display().to_string()))
}

fn print(text: &str) -> Result<(), Failure> {
    crate::cli::print(text);
    Ok(())
}

/// Copies everything. The errors of a codec are in the reader's.
fn copy(mut from: impl Read, mut to: File) -> Result<u64, Failure> {
    let bytes = io::copy(&mut from, &mut to).map_err(io_error("the data"))?;
    synced(&to)?;
    Ok(bytes)
}

/// Syncs an output that is a file.
fn synced(to: &File) -> Result<(), Failure> {
    if !to.metadata().is_ok_and(|found| found.is_file()) {
        return Ok(());
    }
    to.sync_all().map_err(io_error("the output"))
}

/// Encrypts everything, a chunk at a time.
fn sealed(key: &Key, chunk: usize, mut from: impl Read, mut to: File) -> Result<u64, Failure> {
    let mut buffer = Vec::with_capacity(chunk);
    let mut bytes = 0;
    loop {
        buffer.clear();
        from.by_ref()
            .take(chunk as u64)
            .read_to_end(&mut buffer)
            .map_err(io_error("the input"))?;
        if buffer.is_empty() {
            synced(&to)?;
            return Ok(bytes);
        }
        to.write_all(&encrypt(key, chunk, &buffer)?)
            .map_err(io_error("the output"))?;
        bytes += buffer.len() as u64;
    }
}
