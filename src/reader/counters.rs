//! Counts of the data that were read from each member of a chain.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// The data that were read from one member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MemberReport {
    /// Its name.
    pub name: String,
    /// Pages that were taken from it.
    pub pages: u64,
    /// Objects that were fetched.
    pub objects: u64,
    /// Objects that did not have to be fetched.
    pub objects_skipped: u64,
    /// Bytes that were fetched.
    pub fetched_bytes: u64,
    /// Length of all its objects in bytes.
    pub stored_bytes: u64,
}

#[derive(Debug, Default)]
struct MemberCounters {
    pages: AtomicU64,
    objects: AtomicU64,
    skipped: AtomicU64,
    fetched: AtomicU64,
}

/// Counters that all workers share.
#[derive(Debug)]
pub(crate) struct Counters {
    members: Vec<MemberCounters>,
    written: AtomicU64,
}

impl Counters {
    /// Creates counters for a chain of this many members.
    pub(crate) fn new(members: usize) -> Self {
        Self {
            members: (0..members).map(|_| MemberCounters::default()).collect(),
            written: AtomicU64::new(0),
        }
    }

    fn with(&self, member: usize, add: impl FnOnce(&MemberCounters)) {
        if let Some(counters) = self.members.get(member) {
            add(counters);
        }
    }

    pub(crate) fn fetched(&self, member: usize, bytes: u64) {
        self.with(member, |counters| {
            counters.objects.fetch_add(1, Ordering::Relaxed);
            counters.fetched.fetch_add(bytes, Ordering::Relaxed);
        });
    }

    pub(crate) fn skipped(&self, member: usize) {
        self.with(member, |counters| {
            counters.skipped.fetch_add(1, Ordering::Relaxed);
        });
    }

    pub(crate) fn pages(&self, member: usize, pages: u64) {
        self.with(member, |counters| {
            counters.pages.fetch_add(pages, Ordering::Relaxed);
        });
    }

    pub(crate) fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn fetched_total(&self) -> u64 {
        let each = self
            .members
            .iter()
            .map(|m| m.fetched.load(Ordering::Relaxed));
        each.sum()
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Returns a report for each member; `members` has the name and the stored bytes of each,
    /// newest first.
    pub(crate) fn members(
        &self,
        members: impl Iterator<Item = (String, u64)>,
    ) -> Vec<MemberReport> {
        self.members
            .iter()
            .zip(members)
            .map(|(counters, (name, stored_bytes))| MemberReport {
                name,
                stored_bytes,
                pages: counters.pages.load(Ordering::Relaxed),
                objects: counters.objects.load(Ordering::Relaxed),
                objects_skipped: counters.skipped.load(Ordering::Relaxed),
                fetched_bytes: counters.fetched.load(Ordering::Relaxed),
            })
            .collect()
    }
}
