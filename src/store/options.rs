//! How a store over a network is reached: what a command line or a caller may choose.
//!
//! No field is a secret: credentials come from where each cloud's own tools find them
//! ([`super::Repository::open_with`]), never from an argument.

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

/// How to reach a store. The default is what the cloud's own tools would do; `file://` uses none of it.
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
    /// Certificates (PEM, one or more) to trust besides the system's.
    pub ca_file: Option<PathBuf>,
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
    /// Tries after a request that failed in passing (5xx, 429, connection lost, time out).
    pub max_retries: usize,
    /// Longest wait between two tries; the wait is random and grows from 0.1 s.
    pub max_backoff: Duration,
    /// No try begins later than this after the first. A request keeps its signature, which S3 takes
    /// for 15 minutes.
    pub retry_deadline: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            addressing: None,
            ca_file: None,
            allow_http: false,
            profile: None,
            timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(10),
            max_retries: 10,
            max_backoff: Duration::from_secs(30),
            retry_deadline: Duration::from_secs(300),
        }
    }
}
