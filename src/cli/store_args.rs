//! How a store over a network is reached: the options of every command that takes a URL.
//!
//! No option takes a secret: other users of the machine read command lines.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use super::exit::Failure;
use super::{human, interrupt, modes};
use crate::manifest::PackChoice;
use crate::store::{Addressing, Repository, StoreOptions};

/// Flattened into the commands.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Store")]
pub(super) struct StoreArgs {
    /// The server of the store, for what is not the cloud itself: `https://host[:port]`.
    #[arg(long, value_name = "URL", env = "LSNAP_ENDPOINT")]
    endpoint: Option<String>,
    /// S3: the region [default: the environment's, the profile's, us-east-1].
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// S3: `https://host/bucket/key` [default with --endpoint].
    #[arg(long, conflicts_with = "virtual_hosted")]
    path_style: bool,
    /// S3: `https://bucket.host/key` [default without --endpoint].
    #[arg(long)]
    virtual_hosted: bool,
    /// Certificates (PEM) to trust besides the system's: of authorities, or the server's own.
    #[arg(long, value_name = "FILE", env = "LSNAP_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Accept any certificate of the store; only for tests: everyone on the way can read and change the backup.
    #[arg(long, conflicts_with = "ca_file")]
    insecure: bool,
    /// Permit an endpoint of `http://`, where everyone on the way reads the backup.
    #[arg(long)]
    allow_http: bool,
    /// S3: the profile of ~/.aws/credentials and ~/.aws/config; comes before keys in the environment.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Longest time for a request with its object, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// S3: send no `x-amz-checksum-sha256`, for stores that refuse it.
    #[arg(long)]
    no_checksum_header: bool,
    /// Tries after a request that failed in passing [default: as many as --retry-deadline has time for].
    #[arg(long, value_name = "N")]
    max_retries: Option<u32>,
    /// Longest wait between two tries, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    max_backoff: u64,
    /// How long the store may be away, in seconds: no try begins later than this after the first that failed.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(0..=604_800))]
    retry_deadline: u64,
    /// Most bytes a second to the repository and from it, all requests together: `50M`, `1.5GiB`.
    #[arg(long, value_name = "BYTES", value_parser = human::parse_rate)]
    max_rate: Option<NonZeroU64>,
}

impl StoreArgs {
    fn options(&self) -> StoreOptions {
        StoreOptions {
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
            profile: self.profile.clone(),
            timeout: Duration::from_secs(self.timeout),
            max_retries: self.max_retries.map_or(usize::MAX, |n| n as usize),
            max_backoff: Duration::from_millis(self.max_backoff),
            retry_deadline: Duration::from_secs(self.retry_deadline),
            max_rate: self.max_rate,
            ..StoreOptions::default()
        }
    }

    /// Refuses a limit that would have no effect, where no repository is in the play.
    pub(super) fn no_rate(&self, instead: &str) -> Result<(), Failure> {
        match self.max_rate {
            Some(_) => Err(Failure::arguments(format!(
                "--max-rate is about what goes to a repository and comes from it; {instead}"
            ))),
            None => Ok(()),
        }
    }

    /// Opens the repository that a command names.
    pub(super) fn open(&self, url: &str) -> Result<Repository, Failure> {
        let repository = Repository::open_with(url, &self.options())?;
        modes::follow(repository.directory());
        repository.cancel_on(interrupt::cancel());
        Ok(repository)
    }
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
