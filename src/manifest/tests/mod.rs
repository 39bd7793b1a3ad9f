//! Tests of manifests that need more than one of the module's files.

mod macs;
mod pinned;
