//! `xbstream` (`docs/format/xbstream.md#extraction`): makes and extracts streams.
//!
//! `lsnap xbstream` has more: a list, a check, JSON. Under its own name, the program has the options, the output and the
//! exit codes of the original.

use super::options::{self, Kind, OptionError, Parsed, State, options};
use super::{log, secrets, version, xbcrypt};
use crate::archive::fifo::{self, FifoOptions};
use crate::archive::{self, ArchiveError, CreateOptions, ExtractOptions, Input, OnFile};
use crate::cancel::Cancel;
use crate::cli;
use crate::codec::xbcrypt::{Algorithm, Key};
use crate::progress::Silent;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const TEXT: Kind = Kind::Text;
const DONE: State = State::Done;
const ALGORITHM: Kind = Kind::Word(&["NONE", "AES128", "AES192", "AES256"]);

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

options! {
    Help = "help" '?', Flag, Kind::Switch, Client, DONE,
        "", "Print this text.";
    Version = "version" 'V', Flag, Kind::Switch, Client, DONE,
        "", "Print the version.";
    Create = "create" 'c', Flag, Kind::Switch, Client, DONE,
        "", "Write a stream of the given files to standard output.";
    Extract = "extract" 'x', Flag, Kind::Switch, Client, DONE,
        "", "Extract the stream on standard input.";
    Directory = "directory" 'C', Required, TEXT, Client, DONE,
        ".", "The directory to extract into; with -c, the directory of relative paths.";
    Verbose = "verbose" 'v', Flag, Kind::Switch, Client, DONE,
        "", "Print the name of each file on standard error.";
    Parallel = "parallel" 'p', Required, number(1, 1024), Client, DONE,
        "1", "The number of threads.";
    Decompress = "decompress", Flag, Kind::Switch, Client, DONE,
        "", "Decompress .zst and .lz4 files while extracting.";
    DecompressThreads = "decompress-threads", Required, number(1, u64::MAX), Client,
        State::Accepted("each file is decompressed in a thread of its own"),
        "1", "Threads for the decompression.";
    Decrypt = "decrypt" 'd', Required, ALGORITHM, Client, DONE,
        "", "Decrypt .xbcrypt files while extracting.";
    EncryptKey = "encrypt-key" 'k', Required, Kind::Secret, Client, DONE,
        "", "The key.";
    EncryptKeyFile = "encrypt-key-file" 'f', Required, TEXT, Client, DONE,
        "", "The file with the key.";
    EncryptThreads = "encrypt-threads", Required, number(1, u64::MAX), Client,
        State::Accepted("each file is decrypted in a thread of its own"),
        "1", "Threads for the decryption.";
    AbsoluteNames = "absolute-names" 'P', Flag, Kind::Switch, Client, DONE,
        "", "Accept absolute paths and `..`: the stream can then write anywhere.";
    FifoStreams = "fifo-streams", Required, number(1, 1024), Client, DONE,
        "1", "The number of FIFOs that carry the stream.";
    FifoDir = "fifo-dir", Required, TEXT, Client, DONE,
        "", "The directory of the FIFOs.";
    FifoTimeout = "fifo-timeout", Required, number(1, 31_536_000), Client, DONE,
        "60", "Seconds to wait for the other side of the FIFOs.";
}

/// Runs the program.
pub(super) fn main(args: &[OsString], before: usize) -> ExitCode {
    secrets::blank(args, secrets::XBSTREAM_LETTERS);
    let run = || -> Result<(), Failure> {
        let mut parsed = Parsed::new(TABLE);
        options::command_line(&mut parsed, &args[before..])?;
        run(&parsed)
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::plain("xbstream", &error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// The failure of a run.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Options(#[from] OptionError),
    #[error("{0}")]
    Arguments(String),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

fn run(parsed: &Parsed) -> Result<(), Failure> {
    if parsed.is_on(Opt::Help) {
        cli::print(&format!(
            "Usage: xbstream -c [OPTIONS] FILES...  # write files as a stream to standard output\n       \
             xbstream -x [OPTIONS]           # extract the stream on standard input\n\n{}",
            options::usage(TABLE)
        ));
        return Ok(());
    }
    if parsed.is_on(Opt::Version) {
        cli::print(&format!("{}\n", version::of_tool("xbstream")));
        return Ok(());
    }
    for warning in &parsed.warnings {
        log::plain("xbstream", warning);
    }
    if let Some(unknown) = parsed.unknown.first() {
        return Err(Failure::Arguments(format!(
            "unknown option '{}'",
            unknown.name
        )));
    }
    match (parsed.is_on(Opt::Create), parsed.is_on(Opt::Extract)) {
        (true, false) => create(parsed),
        (false, true) => extract(parsed),
        (true, true) => Err(Failure::Arguments(
            "-c and -x can't be used together; leave one out".to_owned(),
        )),
        (false, false) => Err(Failure::Arguments(
            "either -c or -x must be specified".to_owned(),
        )),
    }
}

fn create(parsed: &Parsed) -> Result<(), Failure> {
    if parsed.stray.is_empty() {
        return Err(Failure::Arguments("no files are specified".to_owned()));
    }
    let files: Vec<PathBuf> = parsed.stray.iter().map(PathBuf::from).collect();
    let mut how = CreateOptions::new(directory(parsed));
    how.parallel = threads(parsed);
    how.absolute_names = parsed.is_on(Opt::AbsoluteNames);
    how.on_file = names(parsed);
    how.cancel = cli::on_signal("the stream ends").map_err(Failure::Arguments)?;
    let outputs = match fifos(parsed, &how.cancel)? {
        Some(fifos) => fifo::writers(&fifos)?,
        None => vec![cli::standard_output().map_err(Failure::Arguments)?],
    };
    archive::create(&files, outputs, &how, &Silent)?;
    cli::sync_output().map_err(Failure::Arguments)
}

fn extract(parsed: &Parsed) -> Result<(), Failure> {
    let mut how = ExtractOptions::new(directory(parsed));
    how.parallel = threads(parsed);
    how.decompress = parsed.is_on(Opt::Decompress);
    how.key = key(parsed)?;
    how.absolute_names = parsed.is_on(Opt::AbsoluteNames);
    let only = parsed.stray.iter();
    let only: HashSet<String> = only
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    how.only = (!only.is_empty()).then_some(only);
    how.on_file = names(parsed);
    how.cancel =
        cli::on_signal("incomplete files are being removed").map_err(Failure::Arguments)?;
    let files = match fifos(parsed, &how.cancel)? {
        Some(fifos) => fifo::readers(&fifos)?,
        None => vec![standard_input()?],
    };
    let inputs = files.into_iter().map(|file| {
        if file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Input::File(file);
        }
        // From 64 KiB; a failure only costs speed.
        let _ = rustix::pipe::fcntl_setpipe_size(&file, 1 << 20);
        Input::Pipe(file)
    });
    archive::extract(inputs.collect(), how, &Silent)?;
    Ok(())
}

fn directory(parsed: &Parsed) -> PathBuf {
    parsed
        .path(Opt::Directory)
        .unwrap_or_else(|| PathBuf::from("."))
}

fn threads(parsed: &Parsed) -> usize {
    let threads = parsed.number(Opt::Parallel).unwrap_or(1);
    usize::try_from(threads).unwrap_or(1)
}

/// Returns the function that prints the names of files, in the form of the original: the path in the stream.
fn names(parsed: &Parsed) -> Option<OnFile> {
    let print = |path: &str| cli::print_to_stderr(&format!("{}\n", crate::shown::shown(path)));
    parsed.is_on(Opt::Verbose).then(|| OnFile::new(print))
}

fn key(parsed: &Parsed) -> Result<Option<Key>, Failure> {
    let Some(name) = parsed.word(Opt::Decrypt).filter(|name| *name != "NONE") else {
        return Ok(None);
    };
    let text = parsed.text(Opt::EncryptKey)?.map(str::to_owned);
    let file = parsed.path(Opt::EncryptKeyFile);
    let algorithm: Algorithm = name
        .parse()
        .map_err(|error| Failure::Arguments(format!("{error}")))?;
    xbcrypt::key_of(algorithm, text, file)
        .map(Some)
        .map_err(|error| Failure::Arguments(error.to_string()))
}

fn fifos(parsed: &Parsed, cancel: &Cancel) -> Result<Option<FifoOptions>, Failure> {
    let count = parsed.number(Opt::FifoStreams).unwrap_or(1);
    let Some(directory) = parsed.path(Opt::FifoDir) else {
        if count > 1 {
            return Err(Failure::Arguments(
                "--fifo-streams requires --fifo-dir".to_owned(),
            ));
        }
        return Ok(None);
    };
    // With one stream, the original doesn't use FIFOs.
    Ok((count > 1).then(|| FifoOptions {
        directory,
        count: usize::try_from(count).unwrap_or(1),
        timeout: Duration::from_secs(parsed.number(Opt::FifoTimeout).unwrap_or(60)),
        cancel: cancel.clone(),
    }))
}

fn standard_input() -> Result<File, Failure> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return Err(Failure::Arguments(
            "standard input is a terminal; pipe a stream into it".to_owned(),
        ));
    }
    // Without the buffer of std: chunks are read directly into their memory.
    let input = rustix::io::dup(&input)
        .map_err(|error| Failure::Arguments(format!("cannot use standard input: {error}")))?;
    Ok(File::from(input))
}
