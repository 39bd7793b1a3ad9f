//! The store behind a repository: its URL, the clouds and their credentials, retries, failures by
//! kind, pace.

pub(super) mod answer;
pub(super) mod aws_profile;
pub(super) mod azure_connection;
pub(super) mod bounded_list;
pub(super) mod bucket_creation;
pub(super) mod client;
pub(super) mod clouds;
pub(super) mod credentials;
pub(super) mod decorated;
pub(super) mod dropped;
pub(super) mod fault;
pub(super) mod headers;
pub(super) mod local_read;
pub(super) mod options;
pub(super) mod outage;
pub(super) mod pace;
pub(super) mod paced;
pub(super) mod probe;
pub(super) mod put_options;
pub(super) mod remote;
pub(super) mod resume;
pub(super) mod runtime;
pub(super) mod s3;
pub(super) mod trust;
pub(crate) mod url;
