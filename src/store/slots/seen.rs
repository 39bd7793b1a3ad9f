//! A listing of the objects of a schedule.

use super::key::Name;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// What a listing found of a schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Slots up to this time are over; `None`: the schedule is new.
    pub(crate) since: Option<DateTime<Utc>>,
    /// Whether the schedule is paused.
    pub(crate) paused: bool,
    /// The slots that have records.
    pub(crate) slots: BTreeMap<DateTime<Utc>, SeenSlot>,
    /// The other marks.
    pub(super) old_marks: Vec<DateTime<Utc>>,
}

/// What a listing found of a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeenSlot {
    /// The number of its newest record.
    pub(crate) newest: u64,
    /// The time of its newest object, by the store's clock.
    pub(super) seen: Option<DateTime<Utc>>,
    /// The names of its objects.
    pub(in crate::store) names: Vec<String>,
}

impl Seen {
    pub(super) fn add(&mut self, name: &str, time: DateTime<Utc>) {
        match Name::parse(name) {
            Some(Name::Paused) => self.paused = true,
            Some(Name::Mark(mark)) if self.since.is_none_or(|since| since < mark) => {
                self.old_marks.extend(self.since.replace(mark));
            }
            Some(Name::Mark(mark)) => self.old_marks.push(mark),
            Some(Name::Record(slot, number) | Name::Beat(slot, number)) => {
                let seen = self.slots.entry(slot).or_default();
                seen.names.push(name.to_owned());
                seen.newest = seen.newest.max(number);
                seen.seen = seen.seen.max(Some(time));
            }
            None => {}
        }
    }
}
