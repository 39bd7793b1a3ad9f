//! The objects of a repository: their keys, and access to single objects.

pub(super) mod bucket;
pub(super) mod checked;
pub(super) mod documents;
pub(super) mod entries;
pub(super) mod key;
pub(super) mod manifest_key;
pub(super) mod marker;
pub(super) mod own;
pub(super) mod packed;
pub(super) mod parallel;
pub(super) mod pin;
pub(super) mod repository;
pub(super) mod short;
pub(super) mod single;
pub(crate) mod windows;
