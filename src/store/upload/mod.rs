//! Writing the objects of a backup.

pub(super) mod abort;
pub(super) mod begin;
pub(super) mod copy;
pub(super) mod file;
pub(super) mod finish;
pub(super) mod follow;
pub(super) mod packer;
pub(super) mod packs;
pub(super) mod put;
pub(super) mod replica;
pub(super) mod send;
pub(super) mod staged;
pub(super) mod staging;
pub(super) mod state;
