//! One suite for every store: what lsnap relies on, asked of a directory, of S3, of GCS and of Azure, each
//! but the first a real process on loopback over TLS (`stores/servers.rs`).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "stores/conformance.rs"]
mod conformance;
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
