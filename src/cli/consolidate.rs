//! `lsnap consolidate`.

use super::exit::Failure;
use super::interrupt;
use super::job::{Job, JobArgs};
use super::json::ConsolidateDocument;
use super::latest_args::LatestArgs;
use super::progress::Shown;
use super::store_args::{Packing, RepoArg, StoreArgs};
use super::{Context, human, key};
use crate::codec::Compression;
use crate::consolidate;
use crate::consolidate::{Compress, ConsolidateOptions, ConsolidateReport};
use crate::counted::count;
use crate::manifest::BackupName;
use chrono::Utc;

/// Arguments of `lsnap consolidate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    repo: RepoArg,
    /// The backup whose state the new full backup will hold: its name, the last part of its name,
    /// or `latest`. If it is encrypted, the new backup is encrypted with the same key.
    name: String,
    #[command(flatten)]
    latest: LatestArgs,
    /// The name of the new backup [default: the cluster of the chain and the current time].
    #[arg(long, value_name = "NAME")]
    to_name: Option<String>,
    /// Compress: `zstd` (or `zstd:LEVEL`), `lz4` or `none` [default: as NAME].
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "zstd")]
    compress: Option<String>,
    /// Store files of at most 128 KiB together in objects of 4 MiB: if there are more than 1,000
    /// tablespace files (auto), always (on), never (off). Separate objects that did not change are
    /// copied as they are.
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    pack_small_files: Packing,
    /// Use N threads to fetch and merge [default: the number of cores, at least 2].
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: Option<u16>,
    /// Write N objects at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    uploads: u16,
    /// Use at most this much memory for pages and objects in transit.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = human::parse_memory)]
    memory: usize,
    #[command(flatten)]
    opening: key::Opening,
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl Args {
    pub(super) fn job(&self) -> Job {
        Job::new("consolidate", Some(&self.repo.repo), &self.job)
    }

    fn options(&self) -> Result<ConsolidateOptions, Failure> {
        let defaults = ConsolidateOptions::default();
        Ok(ConsolidateOptions {
            name: self.to_name.as_deref().map(BackupName::parse).transpose()?,
            threads: self.parallel.map_or(defaults.threads, usize::from).max(1),
            uploads: usize::from(self.uploads),
            memory: self.memory,
            key: self.opening.key()?,
            accept_unauthenticated: self.opening.accept_unauthenticated,
            pack_small_files: self.pack_small_files.into(),
            compress: match self.compress.as_deref() {
                None => Compress::Keep,
                Some("none") => Compress::Not,
                Some(how) => {
                    let how = how.parse::<Compression>();
                    Compress::With(how.map_err(|e| Failure::arguments(e.to_string()))?)
                }
            },
            ..defaults
        })
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let mut options = args.options()?;
    options.cancel = interrupt::on_signal(interrupt::UPLOADS)?;
    let latest = args.latest.of(Some(&args.name))?;
    let repo = args.store.open(&args.repo.repo)?.with_latest(latest);
    context.facts.opened(&repo);
    let shown = Shown::new(context.progress);
    let result = consolidate::consolidate(&repo, &args.name, &options, &shown);
    shown.end();
    let report = result?;
    context.facts.made(&report.name);
    let document = ConsolidateDocument::of(&report, Utc::now());
    context.print_report(&document, |_| brief(&report), |_| summary(&report));
    Ok(())
}

fn brief(report: &ConsolidateReport) -> String {
    format!(
        "{}: full backup that equals {}, {}\n",
        report.name,
        report.of,
        human::bytes(report.stored_bytes)
    )
}

fn summary(report: &ConsolidateReport) -> String {
    format!(
        "{}\n  a full backup that equals {}, made of {}\n  {} in {}; {} of them ({}) copied \
         within the store, {} fetched, {} checked\n",
        report.name,
        report.of,
        count(report.chain.len(), "member"),
        human::bytes(report.stored_bytes),
        count(report.objects, "object"),
        report.copied_objects,
        human::bytes(report.copied_bytes),
        human::bytes(report.fetched_bytes),
        count(report.checked_pages, "page")
    )
}
