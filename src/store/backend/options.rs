//! Options for access to a store over a network.
//!
//! Credentials come from the same places as for each cloud's own tools, never from an argument: the
//! environment of the process, or [`Variables`] in its place for a program that serves several
//! repositories.

use crate::store::backend::put_options::{Headers, ObjectLockMode, Sse};
use crate::store::error::StoreError;
use crate::store::error::open::OpenFault;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

/// The position of the bucket's name in a request to S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`.
    VirtualHosted,
}

/// Environment variables. `Debug` shows the names only, because values may be secrets.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Returns the variables of the process, except those that are empty or not UTF-8.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// Returns the value of a variable, unless it is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns these variables with those of `others`, which have priority.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Returns the variables whose names begin with `prefix`, except empty ones.
    pub(super) fn starting<'a>(
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

/// How to access a store. The defaults are those of the cloud's own tools. `file://` uses only
/// `max_rate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// The server, `https://host[:port]`. `None`: the environment's, else the cloud itself. With
    /// `az://` it includes the account if the server expects it in the path.
    pub endpoint: Option<String>,
    /// S3 only. `None`: the environment's, else the profile's, else `us-east-1`.
    pub region: Option<String>,
    /// S3 only. `None`: path style at a custom endpoint and for a bucket with a dot in its name
    /// (wildcard certificates don't match it), else virtual-hosted.
    pub addressing: Option<Addressing>,
    /// A file of certificates (PEM, one or more) to trust in addition to the system's: of
    /// authorities, or the server's own.
    pub ca_file: Option<PathBuf>,
    /// Accepts any certificate of the server. Others on the network can then read and change the
    /// backup and use the credentials. For tests only.
    pub insecure: bool,
    /// Permits an `http://` endpoint. Others on the network can then read and change the backup.
    pub allow_http: bool,
    /// S3 only: the profile of the shared credentials and config files. It has priority over keys
    /// in the environment, as with `aws --profile`.
    pub profile: Option<String>,
    /// Longest time for one request with the bodies of the request and of the response. An object
    /// of 16 MiB in 120 s is 140 KB/s; slower links need more.
    pub timeout: Duration,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// S3 only: sends the header `x-amz-checksum-sha256` with every put. Some stores refuse it. The
    /// signature covers the digest of the body in either case.
    pub checksum_header: bool,
    /// Number of retries after a request failed temporarily (5xx, 429, no connection, connection
    /// lost, timeout). `usize::MAX`: only `retry_deadline` limits them.
    pub max_retries: usize,
    /// Longest wait between two attempts. The wait is random and grows from 0.1 s.
    pub max_backoff: Duration,
    /// How long a store may be unavailable: the last attempt begins at most this long after the
    /// first failure.
    pub retry_deadline: Duration,
    /// Largest number of bytes a second to and from the store, for all requests together, including
    /// retries. The only option that applies to `file://` too.
    pub max_rate: Option<NonZeroU64>,
    /// S3 and GCS: the storage class of objects with data, for example `STANDARD_IA`. Objects that
    /// listings read keep the default of the bucket.
    pub storage_class: Option<String>,
    /// S3 only: the encryption of objects by the store. `None`: the default of the bucket.
    pub sse: Option<Sse>,
    /// S3 only, with a key of KMS: its id or ARN. `None`: the account's own key for S3.
    pub sse_kms_key_id: Option<String>,
    /// S3 only, with a key of KMS: derives keys of objects from a key of the bucket.
    pub sse_bucket_key: bool,
    /// S3 only: locks the objects of backups for `object_lock_retain`. The bucket must have object
    /// lock.
    pub object_lock_mode: Option<ObjectLockMode>,
    /// S3 only: how long objects are locked, from when they are put.
    pub object_lock_retain: Option<Duration>,
    /// S3 only: locks the objects of backups until the legal hold is removed by other programs.
    pub object_lock_legal_hold: bool,
    /// S3 only: this account pays for its requests to a bucket of another account.
    pub requester_pays: bool,
    /// S3 and GCS: additional headers of requests. Headers about the creation of objects are sent
    /// only when objects are created.
    pub headers: Headers,
    /// The variables with credentials and other settings. `None`: the environment of the process.
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
            storage_class: None,
            sse: None,
            sse_kms_key_id: None,
            sse_bucket_key: false,
            object_lock_mode: None,
            object_lock_retain: None,
            object_lock_legal_hold: false,
            requester_pays: false,
            headers: Headers::default(),
            variables: None,
        }
    }
}

pub(in crate::store) fn bad(option: &'static str, reason: String) -> StoreError {
    StoreError::Open(OpenFault::BadOption { option, reason })
}
