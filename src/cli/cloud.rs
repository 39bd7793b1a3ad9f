//! `lsnap cloud put|get|delete`: stores and gets streams, as xbcloud does.

use super::exit::Failure;
use super::exit_code::ExitCode;
use super::progress::Shown;
use super::store_args::{RepoArg, StoreArgs};
use super::{Context, human, interrupt, key, streams};
use crate::archive::{ExtractOptions, Input};
use crate::cloud::{
    DeleteOptions, DeleteReport, GetOptions, GetReport, Proof, PutOptions, PutReport,
};
use crate::codec::xbcrypt::{Algorithm, Key};
use crate::counted::count;
use crate::manifest::{Authenticity, BackupName};
use crate::store::BackupFault;
use crate::store::{Repository, StoreError};
use std::path::{Path, PathBuf};

/// Arguments of `lsnap cloud`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

impl Args {
    /// Returns whether standard output is a stream.
    pub(super) const fn writes_a_stream(&self) -> bool {
        matches!(&self.command, Command::Get(args) if args.directory.is_none())
    }
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Store an xbstream from standard input as a backup, in the same objects as xbcloud.
    Put(Put),
    /// Write a backup, or some of its files, to standard output as an xbstream.
    Get(Get),
    /// Delete a backup's objects.
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
struct Put {
    #[command(flatten)]
    repo: RepoArg,
    /// The name of the new backup. No object may exist under it.
    name: String,
    /// Store `NAME.md5` too: the MD5 digest of every object.
    #[arg(long)]
    md5: bool,
    #[command(flatten)]
    fifos: streams::Fifos,
    #[command(flatten)]
    transfer: Transfer,
}

#[derive(Debug, clap::Args)]
struct Get {
    #[command(flatten)]
    repo: RepoArg,
    /// The full name of the backup.
    name: String,
    /// Get only these files, with the names they are stored under: `db/t.ibd`, `ibdata1.zst`.
    files: Vec<String>,
    /// Extract into DIR instead of writing a stream.
    #[arg(long, short = 'C', value_name = "DIR")]
    directory: Option<PathBuf>,
    /// With --directory: decompress `.zst` and `.lz4` files while extracting.
    #[arg(long, requires = "directory")]
    decompress: bool,
    /// With --directory: decrypt `.xbcrypt` files while extracting.
    #[arg(
        long,
        short = 'd',
        value_name = "ALGORITHM",
        requires = "directory",
        requires = "encrypt_key_file"
    )]
    decrypt: Option<Algorithm>,
    /// The file with the key.
    #[arg(long, short = 'f', value_name = "FILE", requires = "decrypt")]
    encrypt_key_file: Option<PathBuf>,
    /// Get the files of an unfinished backup that were stored.
    #[arg(long)]
    unfinished: bool,
    #[command(flatten)]
    transfer: Transfer,
}

#[derive(Debug, clap::Args)]
struct Delete {
    #[command(flatten)]
    repo: RepoArg,
    /// The full name of the backup.
    name: String,
    #[command(flatten)]
    transfer: Transfer,
}

/// Options of all three commands, with xbcloud's names.
#[derive(Debug, clap::Args)]
struct Transfer {
    /// Transfer N objects at the same time.
    #[arg(long, short = 'p', value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: u16,
    /// Use at most this much memory for objects in transit [default: 256MiB, with several streams
    /// 64MiB for each]. A chunk may have a quarter of it, divided by the number of streams.
    #[arg(long, value_name = "SIZE", value_parser = human::parse_memory)]
    memory: Option<usize>,
    #[command(flatten)]
    store: StoreArgs,
}

impl Transfer {
    fn memory(&self, streams: u64) -> u64 {
        let default = PutOptions::memory_for(streams);
        self.memory.map_or(default, |bytes| bytes as u64)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::Put(args) => put(args, context),
        Command::Get(args) => get(args, context),
        Command::Delete(args) => delete(args, context),
    }
}

fn put(args: &Put, context: &Context) -> Result<(), Failure> {
    let name = BackupName::parse(&args.name)?;
    let repository = args.transfer.store.open(&args.repo.repo)?;
    let options = PutOptions {
        parallel: usize::from(args.transfer.parallel),
        memory: args
            .transfer
            .memory(u64::from(args.fifos.fifo_streams.unwrap_or(1))),
        md5: args.md5,
        manner: crate::cloud::PutManner::Lsnap,
        cancel: interrupt::on_signal(interrupt::UPLOADS)?,
    };
    let inputs = args.fifos.inputs()?.into_iter().map(Input::Pipe).collect();
    let shown = Shown::transferring(context.progress, "uploading");
    let result = crate::cloud::put(&repository, &name, inputs, &options, &shown);
    shown.end();
    let report = result?;
    context.print(&report, put_summary);
    Ok(())
}

fn put_summary(report: &PutReport) -> String {
    let mut out = format!(
        "{}\n  {} stored as {}, {}\n",
        report.name,
        count(report.files, "file"),
        count(report.objects, "object"),
        human::bytes(report.bytes)
    );
    if let Some(md5) = &report.md5 {
        out += &format!("  MD5 digests in {md5}\n");
    }
    out
}

fn get(args: &Get, context: &Context) -> Result<(), Failure> {
    let name = BackupName::parse(&args.name)?;
    let repository = args.transfer.store.open(&args.repo.repo)?;
    let mut options = GetOptions {
        parallel: usize::from(args.transfer.parallel),
        memory: args.transfer.memory(1),
        files: args.files.clone(),
        unfinished: args.unfinished,
        ..GetOptions::default()
    };
    if let Some(directory) = &args.directory {
        options.cancel = interrupt::on_signal(interrupt::FILES)?;
        return get_into(args, directory, &repository, &name, &options, context);
    }
    let mut out = streams::standard_output()?;
    let shown = Shown::transferring(context.progress, "downloading");
    let result = crate::cloud::get(&repository, &name, &mut out, &options, &shown);
    shown.end();
    let report = result?;
    streams::sync_output()?;
    context.print_to_stderr(&report, get_summary);
    Ok(())
}

/// Refuses to decrypt a backup of lsnap whose manifest isn't authenticated by the key. Backups of
/// other programs have no MAC.
fn prove(repository: &Repository, name: &BackupName, key: &Key) -> Result<(), Failure> {
    let refuse = |why: &str| {
        Err(Failure::with_code(
            ExitCode::Denied,
            format!("{name}: {why}"),
        ))
    };
    let manifest = match repository.manifest(name) {
        Ok(manifest) => manifest,
        Err(
            StoreError::Backup(BackupFault::Foreign { .. })
            | StoreError::Backup(BackupFault::Streamed { .. })
            | StoreError::Backup(BackupFault::NotFinished { .. }),
        ) => {
            tracing::warn!("{name} has no manifest of lsnap, so it can't be authenticated");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    match manifest.authenticity(&key.mac_keys()) {
        Authenticity::Proven => Ok(()),
        Authenticity::FirstForm => {
            tracing::warn!(
                "{name}: its MAC has the form of the first versions of lsnap and does not cover the whole manifest"
            );
            Ok(())
        }
        Authenticity::Plain => refuse(
            "a key was given, but it is not encrypted: anyone with write access to the repository can have replaced an \
             encrypted backup by it; if it is meant to be unencrypted, remove --decrypt",
        ),
        Authenticity::Stripped | Authenticity::Wrong => refuse(
            "the key does not fit the MAC of its manifest: it is another key, or the manifest was \
             changed without the key",
        ),
    }
}

/// Extracts a backup into a directory, without a stream in between.
fn get_into(
    args: &Get,
    directory: &Path,
    repository: &Repository,
    name: &BackupName,
    options: &GetOptions,
    context: &Context,
) -> Result<(), Failure> {
    let key = match (args.decrypt, &args.encrypt_key_file) {
        (Some(algorithm), Some(file)) => Some(key::read(algorithm, file)?),
        _ => None,
    };
    if let Some(key) = &key {
        prove(repository, name, key)?;
    }
    let into = ExtractOptions {
        parallel: options.parallel,
        decompress: args.decompress,
        key,
        ..ExtractOptions::new(directory)
    };
    let shown = Shown::transferring(context.progress, "extracting");
    let result = crate::cloud::get_into(repository, name, into, options, &shown);
    shown.end();
    let report = result?;
    context.print(&report, get_summary);
    Ok(())
}

fn get_summary(report: &GetReport) -> String {
    let proof = match report.proof {
        Proof::Manifest => "digests match the manifest",
        _ => "checksums correct; there is no lsnap manifest to compare with",
    };
    format!(
        "{}\n  {} from {}, {}; {proof}\n",
        report.name,
        count(report.files, "file"),
        count(report.objects, "object"),
        human::bytes(report.bytes)
    )
}

fn delete(args: &Delete, context: &Context) -> Result<(), Failure> {
    let name = BackupName::parse(&args.name)?;
    let repository = args.transfer.store.open(&args.repo.repo)?;
    let options = DeleteOptions {
        parallel: usize::from(args.transfer.parallel),
        cancel: interrupt::on_signal(interrupt::DELETIONS)?,
    };
    let shown = Shown::transferring(context.progress, "deleting");
    let result = crate::cloud::delete(&repository, &name, &options, &shown);
    shown.end();
    context.print(&result?, |report: &DeleteReport| {
        format!(
            "{} deleted: {}, {}\n",
            report.name,
            count(report.objects, "object"),
            human::bytes(report.bytes)
        )
    });
    Ok(())
}
