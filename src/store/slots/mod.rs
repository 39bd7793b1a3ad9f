//! The slots of schedules: which agent runs a slot, and how it ended (`docs/format/slots.md`).
//!
//! A slot is a schedule's name and a nominal time. Several agents share a repository, and one of them runs a slot. A
//! claim with a time limit can't ensure that: its holder may be paused past the limit, right before its last request,
//! and continue then. So the time limit only prevents wasted work. That a slot succeeds once is ensured by an order
//! that all agents agree on, built as that of a chain ([`crate::store::lease::chain_lease`]).
//!
//! # The protocol
//! A slot is a sequence of records, numbered from 0 without gaps, each created only if it is absent:
//!
//! | record | written by | meaning |
//! |---|---|---|
//! | claim | an agent | it runs the slot, and puts heartbeats |
//! | commit | the job of that claim, which makes a backup | it is about to put the manifest of this backup |
//! | released | the agent | it gave the slot up, another may claim it at once |
//! | end | an agent | how the slot ended; no record follows |
//!
//! 1. A claim follows nothing, a release, or a claim or commit of a dead holder. Before it follows a commit, the backup
//!    in the commit is *decided*: a void is put at the key of its manifest ([`crate::store::objects::manifest_key`]). If
//!    a manifest is there, the slot has succeeded, and an end is written instead.
//! 2. A commit follows the claim with its token, or an earlier commit with that token whose backup was decided. Then the
//!    manifest is put, create-only. A void refuses it.
//! 3. An end follows the writer's own claim or commit, a dead holder's, or nothing (a missed slot). A commit is decided
//!    first; if its backup is finished, the slot has succeeded.
//!
//! # Why a slot can't succeed twice
//! - A manifest is put after its commit. If the commit is record `n`, record `n + 1` exists only if that backup is
//!   decided: finished for ever, or never. So at most one backup of a slot is undecided, that of the newest record.
//! - If it is finished, the only record that follows is an end.
//! - An agent that was paused finds a later record when its job commits, or a void when it puts the manifest.
//!
//! Records of old slots are removed, after a mark was put: slots up to the mark are over. Each claim and each commit looks
//! for a mark after it was created, so a record that appears in place of a removed one has no effect.
//!
//! Jobs that make no backup have no commit. They run at least once: an agent that is paused may run one a second time,
//! but only one end is recorded.

mod book;
mod claim;
mod key;
mod record;
mod seen;

pub(crate) use book::{Claimed, Decided, ScheduleSlots};
pub use claim::SlotClaim;
pub(crate) use key::valid_schedule_name;
pub(crate) use record::{Ended, Entry, SlotEnd};
pub(crate) use seen::Seen;
