//! How a store over a network is reached: what a command line or a caller may choose.
//!
//! Credentials come from where each cloud's own tools find them, never from an argument: the process's
//! environment, or [`Variables`] instead of it for a program that serves several repositories.

use crate::store::error::StoreError;
use crate::store::error::open::OpenFault;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

/// Where the bucket's name stands in a request to S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`.
    VirtualHosted,
}

/// Environment variables. What it shows of itself is names only: values may be secrets.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Those of the process, without what is empty or no UTF-8.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// The value of a variable, unless it is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Those whose names begin with `prefix` and are not empty.
    pub(in crate::store) fn starting<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty())
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// How to reach a store. The default is what the cloud's own tools would do; `file://` uses none of it
/// but `max_rate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// The server, `https://host[:port]`; `None`: the environment's, else the cloud itself. With
    /// `az://` it includes the account where the server has it in the path.
    pub endpoint: Option<String>,
    /// S3 only; `None`: the environment's, else the profile's, else `us-east-1`.
    pub region: Option<String>,
    /// S3 only; `None`: path style at an endpoint of one's own and for a bucket with a dot in its name
    /// (no wildcard certificate fits that), else virtual-hosted.
    pub addressing: Option<Addressing>,
    /// Certificates (PEM, one or more) to trust besides the system's: of authorities, or the server's own.
    pub ca_file: Option<PathBuf>,
    /// Accepts any certificate of the server: whoever is on the way can then read and change the backup and use
    /// the credentials. Only for tests.
    pub insecure: bool,
    /// Permits an endpoint of `http://`: everyone on the way can then read and change the backup.
    pub allow_http: bool,
    /// S3 only: the profile of the shared credentials and config files. Comes before the environment's
    /// keys, as with `aws --profile`.
    pub profile: Option<String>,
    /// Longest time for one request with its body, both ways. An object of 16 MiB in 120 s is
    /// 140 KB/s: slower links need more.
    pub timeout: Duration,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// S3 only: sends the header `x-amz-checksum-sha256` with every put. Some stores refuse it. The signature
    /// covers the digest of the body in any case.
    pub checksum_header: bool,
    /// Tries after a request that failed in passing (5xx, 429, no connection, connection lost, time out);
    /// `usize::MAX`: only `retry_deadline` ends them.
    pub max_retries: usize,
    /// Longest wait between two tries; the wait is random and grows from 0.1 s.
    pub max_backoff: Duration,
    /// How long a store may be away: no try begins later than this after the first one that failed.
    pub retry_deadline: Duration,
    /// Bytes a second that may go to the store and come from it, all requests together and with those
    /// that are sent again. The only option that `file://` has too.
    pub max_rate: Option<NonZeroU64>,
    /// Where credentials and the rest are looked for; `None`: the process's environment.
    pub variables: Option<Variables>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            addressing: None,
            ca_file: None,
            insecure: false,
            allow_http: false,
            profile: None,
            timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(10),
            checksum_header: true,
            max_retries: usize::MAX,
            max_backoff: Duration::from_secs(5),
            retry_deadline: Duration::from_secs(600),
            max_rate: None,
            variables: None,
        }
    }
}

pub(in crate::store) fn bad(option: &'static str, reason: String) -> StoreError {
    StoreError::Open(OpenFault::BadOption { option, reason })
}
