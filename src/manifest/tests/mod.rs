//! Tests of manifests that involve several files of the module.

mod macs;
mod pinned;
