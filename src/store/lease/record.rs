//! The records of a ledger, and the names of its objects.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::manifest::BackupName;
use crate::store::lease::holder::LeaseHolder;

pub(super) const FORMAT: u32 = 1;

/// Largest extra wait for a holder whose lease has expired. It is longer than the wait between two
/// attempts of a request.
const GRACE: Duration = Duration::from_secs(10);

/// Parses a number of exactly 20 digits.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    // `u64::MAX` has no successor
    plain
        .then(|| digits.parse().ok())?
        .filter(|n| *n < u64::MAX)
}

/// An object of the ledger, parsed from its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub epoch: u64,
    pub time: DateTime<Utc>,
    pub end: Option<End>,
}

impl Found {
    pub fn parse(name: &str, time: DateTime<Utc>) -> Option<Self> {
        let rest = name.strip_prefix("lease.")?;
        let (digits, rest) = match rest.split_once('.') {
            Some((digits, rest)) => (digits, Some(rest)),
            None => (rest, None),
        };
        let epoch = number(digits)?;
        let end = match rest.map(|r| r.split_once('.')) {
            None => None,
            Some(Some(("beat", n))) => number(n).map(|_| None)?,
            Some(Some(("end", how))) => Some(End::ALL.into_iter().find(|e| e.name() == how)?),
            Some(_) => return None,
        };
        Some(Self { epoch, time, end })
    }
}

pub(super) fn beat_name(epoch: u64, n: u64) -> String {
    format!("{}.beat.{n:020}", record_name(epoch))
}

pub(super) fn record_name(epoch: u64) -> String {
    format!("lease.{epoch:020}")
}

/// The rule of the program: a lease has expired if its last heartbeat is older than the holder's
/// own TTL, or if the holder was a process of this host that no longer exists.
#[derive(Debug)]
pub(super) struct ByTime;

/// Decides whether the lease of a holder that has not recorded its end has expired. A wrong
/// decision can make a backup fail, but can't damage the chain.
pub(in crate::store) trait ExpiryRule: Send + Sync {
    /// Returns whether the lease has expired. `now` is the store's time.
    fn is_over(&self, entry: &Entry, now: DateTime<Utc>) -> bool;

    /// Returns how much longer to wait for a holder whose lease has expired.
    fn grace(&self, _entry: &Entry) -> Option<Duration> {
        None
    }
}

impl ExpiryRule for ByTime {
    fn is_over(&self, entry: &Entry, now: DateTime<Utc>) -> bool {
        now >= entry.expires() || entry.record.holder.is_gone()
    }

    /// If the store was unavailable, it was unavailable for the holder too, which gets the time for
    /// another attempt.
    fn grace(&self, entry: &Entry) -> Option<Duration> {
        let half = Duration::from_secs(entry.record.ttl_seconds) / 2;
        (!entry.record.holder.is_gone()).then_some(half.min(GRACE))
    }
}

/// An entry of the ledger with its state.
#[derive(Debug, Clone)]
pub(in crate::store) struct Entry {
    pub record: Record,
    /// The time of the record, by the store's clock.
    pub since: DateTime<Utc>,
    /// The time of the last heartbeat, by the store's clock.
    pub seen: DateTime<Utc>,
    pub end: Option<End>,
}

impl Entry {
    /// Returns when the lease expires, by the store's clock.
    pub(in crate::store) fn expires(&self) -> DateTime<Utc> {
        let seconds = i64::try_from(self.record.ttl_seconds).unwrap_or(i64::MAX);
        let ttl = TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX);
        self.seen
            .checked_add_signed(ttl)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// The outcome of a holder's work, as the holder recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum End {
    /// The work was done.
    Done,
    /// The decisive request was never sent.
    Unsent,
    /// The decisive request was sent; the next holder must find out its outcome.
    Unsure,
}

impl End {
    pub const ALL: [Self; 3] = [Self::Done, Self::Unsent, Self::Unsure];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unsent => "unsent",
            Self::Unsure => "unsure",
        }
    }
}

/// The change that a holder makes to the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::store) enum Work {
    /// Append `backup` to its newest member, `base`.
    Append {
        backup: BackupName,
        base: BackupName,
    },
    /// Delete its newest member; the newest is then `then`. `None`: the member is the full backup,
    /// and the whole chain is deleted.
    Delete {
        member: BackupName,
        then: Option<BackupName>,
    },
}

impl Work {
    pub const fn is_deletion(&self) -> bool {
        matches!(self, Self::Delete { .. })
    }
}

/// The stored form of a ledger entry: JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Record {
    pub format: u32,
    /// Its position in the ledger, from 0, without gaps.
    pub epoch: u64,
    /// A UUID, by which the holder recognises its record if the response to its put was lost.
    pub token: String,
    pub holder: LeaseHolder,
    pub ttl_seconds: u64,
    pub work: Work,
}

impl Record {
    pub fn new(work: Work, ttl_seconds: u64, holder: LeaseHolder) -> Self {
        Self {
            format: FORMAT,
            epoch: 0,
            token: uuid::Uuid::new_v4().to_string(),
            holder,
            ttl_seconds,
            work,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_ledger_objects_are_parsed() {
        let time = DateTime::<Utc>::MIN_UTC;
        let of = |name: &str| Found::parse(name, time).map(|f| (f.epoch, f.end));
        assert_eq!(of(&record_name(7)), Some((7, None)));
        assert_eq!(of(&beat_name(7, 3)), Some((7, None)));
        for end in End::ALL {
            let name = format!("{}.end.{}", record_name(7), end.name());
            assert_eq!(of(&name), Some((7, Some(end))));
        }
        for name in [
            "",
            "lease.",
            "lease.7",
            "lease.18446744073709551615",
            "lease.00000000000000000007.end.maybe",
            "lease.00000000000000000007.beat.",
            "lease.00000000000000000007.x",
            "clock.00000000000000000007",
        ] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_object_is_parsed_without_panic(tail in any::<String>(), bytes in any::<Vec<u8>>()) {
            for name in [format!("lease.{tail}"), format!("{}{tail}", record_name(1))] {
                let _ = Found::parse(&name, DateTime::<Utc>::MIN_UTC);
            }
            let _ = serde_json::from_slice::<Record>(&bytes);
            let _ = crate::store::objects::manifest_key::is_void(&bytes);
        }

        #[test]
        fn a_lease_of_any_ttl_expires_without_overflow(ttl_seconds in any::<u64>()) {
            let holder = LeaseHolder::this();
            let work = Work::Delete { member: BackupName::unnamed(), then: None };
            let record = Record::new(work, ttl_seconds, holder);
            let (since, seen) = (Utc::now(), Utc::now());
            let entry = Entry { record, since, seen, end: None };
            prop_assert!(entry.expires() >= seen);
        }
    }
}
