//! `lsnap decompress` and `lsnap decrypt`: unwrap the files of an extracted backup in place.

use super::exit::Failure;
use super::progress::Shown;
use super::{Context, human, interrupt, key};
use crate::archive::{InPlaceOptions, InPlaceReport, Layer, unwrap_in_place};
use crate::codec::xbcrypt::Algorithm;
use crate::counted::count;
use std::path::PathBuf;

/// Arguments of `lsnap decompress`.
#[derive(Debug, clap::Args)]
pub(super) struct Decompress {
    #[command(flatten)]
    common: Common,
}

/// Arguments of `lsnap decrypt`.
#[derive(Debug, clap::Args)]
pub(super) struct Decrypt {
    #[command(flatten)]
    common: Common,
    /// The algorithm: AES128, AES192 or AES256.
    #[arg(long, short = 'd', value_name = "ALGORITHM", default_value = "AES256")]
    decrypt: Algorithm,
    /// The file with the key: 16, 24 or 32 bytes, or 48 or 64 hexadecimal digits.
    #[arg(long, short = 'f', value_name = "FILE", required = true)]
    encrypt_key_file: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The directory of the extracted backup, with its subdirectories.
    directory: PathBuf,
    /// Remove each original file after its content is on the disk.
    #[arg(long)]
    remove_original: bool,
    /// Process N files at the same time [default: the number of cores].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: Option<u16>,
}

pub(super) fn decompress(args: &Decompress, context: &Context) -> Result<(), Failure> {
    unwrap(&args.common, Layer::Compression, context)
}

pub(super) fn decrypt(args: &Decrypt, context: &Context) -> Result<(), Failure> {
    let key = key::read(args.decrypt, &args.encrypt_key_file)?;
    unwrap(&args.common, Layer::Encryption(key), context)
}

fn unwrap(args: &Common, layer: Layer, context: &Context) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = InPlaceOptions::new(&args.directory, layer);
    options.remove_original = args.remove_original;
    options.parallel = args.parallel.map_or(cores, usize::from);
    options.cancel = interrupt::on_signal(interrupt::FILES)?;
    let shown = Shown::transferring(context.progress, "unwrapping");
    let result = unwrap_in_place(&options, &shown);
    shown.end();
    let report = result?;
    context.print(&report, |report| summary(args, report));
    Ok(())
}

fn summary(args: &Common, report: &InPlaceReport) -> String {
    if report.files + report.already == 0 {
        return format!(
            "nothing to do: no file in {} has a suffix of compression or encryption\n",
            args.directory.display()
        );
    }
    format!(
        "{}, {} out of {}{}{}\n",
        count(report.files, "file"),
        human::bytes(report.bytes),
        human::bytes(report.read_bytes),
        match report.already {
            0 => String::new(),
            n => format!("; already there, with the same bytes: {n}"),
        },
        match report.removed {
            0 => String::new(),
            n => format!("; {n} originals removed"),
        }
    )
}
