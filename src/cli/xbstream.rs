//! `lsnap xbstream`: Percona's xbstream with its options (`docs/format/xbstream.md#extraction`), and
//! a list and a check.

use super::exit::Failure;
use super::exit_code::ExitCode;
use super::progress::Shown;
use super::{Context, human, interrupt, key, output, streams};
use crate::archive::{
    self, ArchiveError, CreateOptions, ExtractOptions, ExtractReport, Input, ListOptions,
    ListReport, Listed,
};
use crate::codec::xbcrypt::{Algorithm, Key};
use crate::counted::count;
use crate::mem::Mapping;
use crate::progress::{Phase, Progress as _};
use crate::shown;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;

/// Arguments of `lsnap xbstream`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
#[command(group(clap::ArgGroup::new("mode").required(true).args(["create", "extract", "list", "verify"])))]
pub(super) struct Args {
    /// Write a stream of FILES to standard output.
    #[arg(long, short)]
    create: bool,
    /// Extract the stream on standard input.
    #[arg(long, short = 'x')]
    extract: bool,
    /// List the files of the stream on standard input.
    #[arg(long, short = 't')]
    list: bool,
    /// Check the stream on standard input: every checksum, that its files are complete, and that -x
    /// accepts their paths.
    #[arg(long)]
    verify: bool,
    /// With -c: the files to put into the stream. Else: only these files of the stream, which must
    /// be in it.
    files: Vec<PathBuf>,
    /// Extract into DIR; with -c, the directory that FILES are relative to.
    #[arg(long, short = 'C', value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Process N files, or N pieces of one file, at the same time.
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: u16,
    /// Use at most this much memory for chunks in transit.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = human::parse_memory)]
    memory: usize,
    /// Decompress `.zst` and `.lz4` files while extracting.
    #[arg(long)]
    decompress: bool,
    /// Accepted for compatibility; ignored. Each file is decompressed in a thread of its own.
    #[arg(long, value_name = "N", hide = true)]
    decompress_threads: Option<u16>,
    /// Decrypt `.xbcrypt` files while extracting: AES128, AES192 or AES256.
    #[arg(long, short, value_name = "ALGORITHM")]
    decrypt: Option<Algorithm>,
    /// The key itself. Prefer --encrypt-key-file: every user of the machine can see this in the
    /// process list.
    #[arg(
        long,
        short = 'k',
        value_name = "KEY",
        requires = "decrypt",
        conflicts_with = "encrypt_key_file"
    )]
    encrypt_key: Option<String>,
    /// The file with the key.
    #[arg(long, short = 'f', value_name = "FILE", requires = "decrypt")]
    encrypt_key_file: Option<PathBuf>,
    /// Accepted for compatibility; ignored. Each file is decrypted in a thread of its own.
    #[arg(long, value_name = "N", hide = true)]
    encrypt_threads: Option<u16>,
    /// Accept absolute paths and `..`: the stream can then write anywhere.
    #[arg(long, short = 'P')]
    absolute_names: bool,
    #[command(flatten)]
    fifos: streams::Fifos,
    /// Print help.
    #[arg(long, short = 'h', short_alias = '?', action = clap::ArgAction::Help)]
    help: Option<bool>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if args.create {
        create(args, context)
    } else if args.extract {
        extract(args, context)
    } else {
        list(args, context)
    }
}

impl Args {
    /// Returns whether standard output is a stream.
    pub(super) const fn writes_a_stream(&self) -> bool {
        self.create
    }

    fn key(&self) -> Result<Option<Key>, Failure> {
        let Some(algorithm) = self.decrypt else {
            return Ok(None);
        };
        match (&self.encrypt_key, &self.encrypt_key_file) {
            (Some(text), _) => Key::from_text(algorithm, text.as_bytes())
                .map(Some)
                .map_err(|e| Failure::arguments(format!("--encrypt-key: {e}"))),
            (None, Some(file)) => key::read(algorithm, file).map(Some),
            (None, None) => Err(Failure::arguments(
                "--decrypt needs --encrypt-key-file".to_owned(),
            )),
        }
    }

    /// Returns the streams. A regular file is read in place when it is extracted. A list maps it,
    /// because it only needs the chunk headers.
    fn inputs(&self) -> Result<Vec<Input>, Failure> {
        let inputs = self.fifos.inputs()?.into_iter().map(|file| {
            if self.extract && file.metadata().is_ok_and(|meta| meta.is_file()) {
                return Ok(Input::File(file));
            }
            let mapped = Mapping::of(&file)
                .map_err(|e| Failure::internal(format!("cannot read the stream: {e}")))?;
            Ok(match mapped {
                Some(mapping) => Input::Mapped(mapping),
                None => Input::Pipe(wider(file)),
            })
        });
        inputs.collect()
    }

    /// Returns `files` as paths in a stream, or nothing without them.
    fn only(&self) -> Option<std::collections::HashSet<String>> {
        let names = self.files.iter().map(|f| f.to_string_lossy().into_owned());
        (!self.files.is_empty()).then(|| names.collect())
    }
}

/// Enlarges a pipe's buffer from 64 KiB to 1 MiB. A failure only costs speed.
fn wider(file: File) -> File {
    let _ = rustix::pipe::fcntl_setpipe_size(&file, 1 << 20);
    file
}

fn create(args: &Args, context: &Context) -> Result<(), Failure> {
    if args.files.is_empty() {
        return Err(Failure::arguments("--create needs FILES".to_owned()));
    }
    let mut options = CreateOptions::new(&args.directory);
    options.parallel = usize::from(args.parallel);
    options.absolute_names = args.absolute_names;
    let outputs = args.fifos.outputs()?;
    let shown = Shown::transferring(context.progress, "writing");
    shown.phase(Phase::Transfer, None);
    let result = archive::create(&args.files, outputs, &options, &shown);
    shown.end();
    let report = result?;
    streams::sync_output()?;
    if context.json {
        output::json(&report);
    } else if context.verbose > 0 {
        output::err(&format!(
            "{}, {}\n",
            count(report.files, "file"),
            human::bytes(report.bytes)
        ));
    }
    Ok(())
}

fn extract(args: &Args, context: &Context) -> Result<(), Failure> {
    let options = ExtractOptions {
        parallel: usize::from(args.parallel),
        memory: args.memory,
        decompress: args.decompress,
        key: args.key()?,
        absolute_names: args.absolute_names,
        only: args.only(),
        cancel: interrupt::on_signal(interrupt::FILES)?,
        ..ExtractOptions::new(&args.directory)
    };
    let inputs = args.inputs()?;
    let shown = Shown::transferring(context.progress, "extracting");
    shown.phase(Phase::Transfer, None);
    let result = archive::extract(inputs, options, &shown);
    shown.end();
    let report = result?;
    if context.json {
        output::json(&report);
    } else if context.verbose > 0 {
        output::err(&format!("{}\n", extracted(&report)));
    }
    Ok(())
}

fn extracted(report: &ExtractReport) -> String {
    let ignored = match report.ignored_chunks {
        0 => String::new(),
        n => format!("; {} of unknown types ignored", count(n, "chunk")),
    };
    format!(
        "{}, {}, from {}{ignored}",
        count(report.files, "file"),
        human::bytes(report.bytes),
        count(report.chunks, "chunk")
    )
}

fn list(args: &Args, context: &Context) -> Result<(), Failure> {
    let inputs = args.inputs()?;
    let progress = Shown::transferring(context.progress, "reading");
    progress.phase(Phase::Transfer, None);
    let options = ListOptions {
        verify: args.verify,
        absolute_names: args.absolute_names,
        ..ListOptions::default()
    };
    let result = archive::list(inputs, options, &progress);
    progress.end();
    let mut report = result?;
    let mut not_there = None;
    if let Some(mut only) = args.only() {
        report.files.retain(|file| only.contains(&file.path));
        for file in &report.files {
            only.remove(&file.path);
        }
        not_there = ArchiveError::not_there(only.into_iter().collect::<BTreeSet<_>>());
    }
    context.print(&report, table);
    match faults(&report).or_else(|| not_there.map(Failure::from)) {
        None => Ok(()),
        Some(failure) => Err(failure),
    }
}

/// Returns the failure of a stream with damaged or refused files.
fn faults(report: &ListReport) -> Option<Failure> {
    let damaged = |file: &&Listed| !file.complete;
    let refused = |file: &&Listed| file.refused.is_some();
    let text = if let Some(first) = report.files.iter().find(damaged) {
        let count = count(report.files.iter().filter(damaged).count(), "file");
        let what = first.fault.as_deref().unwrap_or("it is not complete");
        format!(
            "{count} of the stream not complete; {}: {what}",
            shown::shown(&first.path)
        )
    } else {
        let first = report.files.iter().find(refused)?;
        let count = count(report.files.iter().filter(refused).count(), "file");
        let what = first.refused.as_deref().unwrap_or_default();
        format!(
            "{count} of the stream would not be extracted; path {:?} {what}",
            first.path
        )
    };
    Some(Failure::with_code(ExitCode::Damaged, text))
}

fn table(report: &ListReport) -> String {
    let mut out = format!("{:>12} {:>8} {:<9} PATH\n", "SIZE", "CHUNKS", "STATE");
    for Listed {
        path,
        bytes,
        chunks,
        complete,
        refused,
        ..
    } in &report.files
    {
        let state = match (complete, refused) {
            (false, _) => "NOT WHOLE",
            (true, Some(_)) => "REFUSED",
            (true, None) => "whole",
        };
        out += &format!(
            "{:>12} {chunks:>8} {state:<9} {}\n",
            human::bytes(*bytes),
            shown::shown(path)
        );
    }
    let bytes = report.files.iter().map(|file| file.bytes).sum();
    out += &format!(
        "{}, {}{}\n",
        count(report.files.len(), "file"),
        human::bytes(bytes),
        if report.verified {
            ", every checksum correct"
        } else {
            ""
        }
    );
    out
}
