//! End-to-end proofs: the real program backs up a real server under write load, every member of the
//! chain can be restored, and the restored server equals the source *at the recorded GTID position*
//! (see [`proof`]). The server comes from `tools/sandbox`. Each test names its servers after
//! itself, starts few of them, and removes them when it ends, also when it fails
//! (`LSNAP_E2E_KEEP=1` keeps them for inspection).
#![allow(clippy::unwrap_used)]

mod absent;
mod agent;
mod authentic;
mod bad_bytes;
mod bad_chain;
mod bad_server;
mod bad_target;
mod callers;
mod cancels;
mod chains;
mod clouds;
#[path = "../common/mod.rs"]
mod common;
mod configured;
mod consolidate;
mod crashes;
mod ddl;
mod doubtful;
mod drill;
mod encryption;
mod forked;
mod hostile_restore;
mod journey;
mod layouts;
mod left_out;
mod load;
mod memory;
mod move_aside;
mod named_account;
mod named_back;
mod named_callers;
mod named_chain;
mod named_keyring;
mod named_lsn;
mod named_output;
mod named_partial;
mod named_xtrabackup;
mod next_steps;
mod night;
mod outages;
mod overlap;
mod packs;
mod prepared;
mod proof;
mod redo_size;
mod replica;
mod repository;
mod restore_ends;
mod schema;
mod sealed;
mod selftest;
mod session;
mod sidecar;
mod sidecar_failures;
mod streams;
mod throttled;
mod tracking;
mod waits;
mod wrapped;

use common::{lsnap, proxy, sandbox, servers};
