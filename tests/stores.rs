//! One test suite for every store: the guarantees that lsnap relies on, tested with a directory,
//! S3, GCS and Azure; all but the first are a real process on loopback over TLS
//! (`common/servers.rs`).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "stores/conformance.rs"]
mod conformance;
#[path = "stores/copying.rs"]
mod copying;
#[path = "stores/faults.rs"]
mod faults;
#[path = "stores/identity.rs"]
mod identity;
#[path = "stores/journey.rs"]
mod journey;
#[path = "stores/odd.rs"]
mod odd;
#[path = "stores/outages.rs"]
mod outages;
#[path = "stores/retries.rs"]
mod retries;
#[path = "stores/strange.rs"]
mod strange;
#[path = "stores/xbcloud.rs"]
mod xbcloud;

use common::{proxy, servers};
use servers::Kind;

#[test]
fn file() {
    conformance::all(Kind::File);
}

#[test]
fn s3() {
    conformance::all(Kind::S3);
}

#[test]
fn gcs() {
    conformance::all(Kind::Gcs);
}

#[test]
fn azure() {
    conformance::all(Kind::Azure);
}
