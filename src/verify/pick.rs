//! The choice of a backup for a restore drill.

use crate::manifest::BackupName;
use crate::restore::sample::Sample;
use crate::store::Listed;
use chrono::{DateTime, Utc};

/// Chooses a finished backup at random, by its age: a moment between the start of the oldest and that of the newest one
/// is drawn, and the newest backup up to it is chosen. So every moment that the backups cover is as likely, however many
/// backups were made in it. `None` without a finished backup.
pub(crate) fn by_age(listed: &[Listed], cluster: Option<&str>, seed: u64) -> Option<BackupName> {
    let of_cluster =
        |name: &BackupName| cluster.is_none_or(|cluster| name.cluster() == Some(cluster));
    let mut all: Vec<(DateTime<Utc>, &BackupName)> = listed
        .iter()
        .filter(|l| of_cluster(&l.name))
        .filter_map(|l| Some((l.finished()?.started_at, &l.name)))
        .collect();
    all.sort();
    let times: Vec<i64> = all.iter().map(|(time, _)| time.timestamp()).collect();
    Some(all[at(&times, seed)?].1.clone())
}

/// Returns the index of the choice among ascending times in seconds.
fn at(times: &[i64], seed: u64) -> Option<usize> {
    let (first, last) = (times.first()?, times.last()?);
    let span = last.saturating_sub(*first).unsigned_abs();
    let drawn = Sample::new(seed).below(span.saturating_add(1));
    let moment = first.saturating_add_unsigned(drawn);
    Some(
        times
            .partition_point(|time| *time <= moment)
            .saturating_sub(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_chosen_by_the_time_that_it_covers() {
        assert_eq!(at(&[], 1), None);
        assert_eq!(at(&[5], 1), Some(0));
        // One backup covers 9 of 10 days; ten cover the last one.
        let mut times = vec![0];
        times.extend((0..10).map(|n| 90_000 + n * 1000));
        let chosen = (0..1000)
            .filter(|seed| at(&times, *seed) == Some(0))
            .count();
        assert!((860..960).contains(&chosen), "{chosen}");
        for wanted in 0..10 {
            assert!(
                (0..1000).any(|seed| at(&times, seed) == Some(wanted)),
                "{wanted}"
            );
        }
        assert_eq!(at(&times, 42), at(&times, 42));
    }
}
