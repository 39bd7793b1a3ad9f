//! Options for the connection to an object store, of every command that takes a URL.
//!
//! No option takes a secret: other users of the machine can read command lines.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use super::config::with_false;
use super::exit::Failure;
use super::{headers, human, interrupt, modes, refused};
use crate::manifest::PackChoice;
use crate::store::{Addressing, ObjectLockMode, Repository, Sse, StoreOptions};
use clap::{CommandFactory as _, FromArgMatches as _};

/// The repository of a command.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct RepoArg {
    /// The repository: a URL, for example `file:///backups/mysql`, or the name of a configured
    /// repository.
    #[arg(long, value_name = "REPO", aliases = ["from", "to"], overrides_with = "repo")]
    pub(super) repo: String,
}

/// Options of the store; flattened last into the commands.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Store")]
pub(super) struct StoreArgs {
    /// The server of a store that is not in the cloud: `https://host[:port]`.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// S3: the region [default: from the environment, from the profile, us-east-1].
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// S3: use `https://host/bucket/key` [default with --endpoint].
    #[arg(long, conflicts_with = "virtual_hosted")]
    path_style: bool,
    /// S3: use `https://bucket.host/key` [default without --endpoint].
    #[arg(long)]
    virtual_hosted: bool,
    /// Trust these certificates (PEM) in addition to the system's: of authorities, or the server's
    /// own.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Accept any certificate of the store. Only for tests: the connection can be read and changed
    /// on its way.
    #[arg(long, conflicts_with = "ca_file")]
    insecure: bool,
    /// Allow an `http://` endpoint. The connection can be read and changed on its way.
    #[arg(long)]
    allow_http: bool,
    /// S3: the profile in ~/.aws/credentials and ~/.aws/config. It has precedence over keys in the
    /// environment.
    #[arg(long, value_name = "NAME")]
    aws_profile: Option<String>,
    /// Time limit of a request with its object, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// S3: don't send `x-amz-checksum-sha256`, for stores that refuse it.
    #[arg(long)]
    no_checksum_header: bool,
    /// Retry a request at most N times after temporary failures [default: as often as
    /// --retry-deadline allows].
    #[arg(long, value_name = "N")]
    max_retries: Option<u32>,
    /// Wait at most this long between two retries, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    max_backoff: u64,
    /// Retry for at most this long after the first failure, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(0..=604_800))]
    retry_deadline: u64,
    /// Transfer at most this many bytes a second to and from the repository, in all requests
    /// together: `50M`, `1.5GiB`.
    #[arg(long, value_name = "BYTES", value_parser = human::parse_rate)]
    max_rate: Option<NonZeroU64>,
    /// S3, GCS: the storage class of objects with data, for example STANDARD_IA [default: the
    /// bucket's].
    #[arg(long, value_name = "CLASS")]
    storage_class: Option<String>,
    /// S3: let the store encrypt objects: AES256, aws:kms or aws:kms:dsse [default: as the bucket is
    /// configured].
    #[arg(long, value_name = "HOW", value_parser = sse)]
    sse: Option<Sse>,
    /// S3, with --sse=aws:kms: the id or ARN of the key [default: the account's own key for S3].
    #[arg(long, value_name = "ID")]
    sse_kms_key_id: Option<String>,
    /// S3, with --sse=aws:kms: use a key of the bucket, for fewer requests to KMS.
    #[arg(long)]
    sse_bucket_key: bool,
    /// S3: lock the objects of backups: GOVERNANCE or COMPLIANCE. The bucket must have object lock.
    #[arg(long, value_name = "MODE", value_parser = lock_mode)]
    object_lock_mode: Option<ObjectLockMode>,
    /// S3, with --object-lock-mode: how long to lock them, for example 30d.
    #[arg(long, value_name = "TIME", value_parser = human::parse_duration)]
    object_lock_retain: Option<Duration>,
    /// S3: put a legal hold on the objects of backups. Only other programs remove it.
    #[arg(long)]
    object_lock_legal_hold: bool,
    /// S3: pay for the requests to a bucket of another account.
    #[arg(long)]
    requester_pays: bool,
    /// S3, GCS: send this header with every request, for example `X-Team: dba`. May be repeated. A
    /// secret belongs into --header-file.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// S3, GCS: send the headers in this file, one a line. Only its owner should have access to it.
    #[arg(long, value_name = "FILE")]
    header_file: Option<PathBuf>,
}

fn sse(text: &str) -> Result<Sse, String> {
    let mut all = [Sse::Aes256, Sse::Kms, Sse::KmsDsse].into_iter();
    all.find(|sse| sse.name() == text)
        .ok_or_else(|| "expected AES256, aws:kms or aws:kms:dsse".to_owned())
}

fn lock_mode(text: &str) -> Result<ObjectLockMode, String> {
    let mut all = [ObjectLockMode::Governance, ObjectLockMode::Compliance].into_iter();
    all.find(|mode| mode.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| "expected GOVERNANCE or COMPLIANCE".to_owned())
}

impl StoreArgs {
    fn options(&self) -> Result<StoreOptions, Failure> {
        Ok(StoreOptions {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            addressing: match (self.path_style, self.virtual_hosted) {
                (true, _) => Some(Addressing::Path),
                (_, true) => Some(Addressing::VirtualHosted),
                _ => None,
            },
            ca_file: self.ca_file.clone(),
            insecure: self.insecure,
            checksum_header: !self.no_checksum_header,
            allow_http: self.allow_http,
            profile: self.aws_profile.clone(),
            timeout: Duration::from_secs(self.timeout),
            max_retries: self.max_retries.map_or(usize::MAX, |n| n as usize),
            max_backoff: Duration::from_millis(self.max_backoff),
            retry_deadline: Duration::from_secs(self.retry_deadline),
            max_rate: self.max_rate,
            storage_class: self.storage_class.clone(),
            sse: self.sse,
            sse_kms_key_id: self.sse_kms_key_id.clone(),
            sse_bucket_key: self.sse_bucket_key,
            object_lock_mode: self.object_lock_mode,
            object_lock_retain: self.object_lock_retain,
            object_lock_legal_hold: self.object_lock_legal_hold,
            requester_pays: self.requester_pays,
            headers: headers::of(&self.header, self.header_file.as_deref())?,
            ..StoreOptions::default()
        })
    }

    /// Refuses `--max-rate` if no repository is used, because it would have no effect.
    pub(super) fn no_rate(&self, instead: &str) -> Result<(), Failure> {
        match self.max_rate {
            Some(_) => Err(Failure::arguments(format!(
                "--max-rate limits transfers to and from a repository, and this command uses none; {instead}"
            ))),
            None => Ok(()),
        }
    }

    /// Opens the repository of a command.
    pub(super) fn open(&self, url: &str) -> Result<Repository, Failure> {
        let repository = Repository::open_with(url, &self.options()?)?;
        modes::follow(repository.directory());
        repository.cancel_on(interrupt::cancel());
        Ok(repository)
    }
}

/// Parses store options that are given as `KEY=VALUE`. A later value replaces an earlier one.
pub(super) fn store_args<'a>(pairs: impl Iterator<Item = &'a String>) -> Result<StoreArgs, String> {
    let program = with_false(Target::command());
    let args = pairs.map(|pair| format!("--{pair}"));
    let args = std::iter::once("lsnap".to_owned()).chain(args);
    let matches = program
        .try_get_matches_from(args)
        .map_err(|error| refused::message(&error))?;
    let target = Target::from_arg_matches(&matches);
    target
        .map(|target| target.store)
        .map_err(|error| refused::message(&error))
}

/// The arguments of [`store_args`].
#[derive(Debug, clap::Parser)]
#[command(name = "lsnap", disable_help_flag = true, args_override_self = true)]
struct Target {
    #[command(flatten)]
    store: StoreArgs,
}

/// When small files share objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Packing {
    Auto,
    On,
    Off,
}

impl From<Packing> for PackChoice {
    fn from(packing: Packing) -> Self {
        match packing {
            Packing::Auto => Self::Auto,
            Packing::On => Self::On,
            Packing::Off => Self::Off,
        }
    }
}
