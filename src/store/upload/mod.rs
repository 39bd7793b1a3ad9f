//! Writing the objects of a backup.

pub(super) mod abort;
pub(super) mod copy;
pub(super) mod finish;
pub(super) mod packer;
pub(super) mod put;
pub(super) mod staged;
