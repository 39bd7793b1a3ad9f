//! The lag of a replica.

use super::{Server, ServerError};

impl Server {
    /// Returns the seconds by which this server lags behind its source, the longest of all channels: `Some(None)` if
    /// replication doesn't run, `None` if this server isn't a replica. Needs `REPLICATION CLIENT`.
    ///
    /// # Errors
    /// A failed query.
    pub(crate) fn replica_lag(&mut self) -> Result<Option<Option<u64>>, ServerError> {
        let rows = self.rows("reading the replication channels", "SHOW REPLICA STATUS")?;
        let lags = rows
            .iter()
            .map(|row| row.named("Seconds_Behind_Source")?.parse::<u64>().ok());
        Ok(longest(lags))
    }
}

/// Returns the longest lag. One that isn't known could be any.
fn longest(lags: impl Iterator<Item = Option<u64>>) -> Option<Option<u64>> {
    lags.reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b)))
}

#[cfg(test)]
mod tests {
    use super::longest;

    #[test]
    fn a_channel_that_stands_still_has_no_known_lag() {
        let of = |lags: &[Option<u64>]| longest(lags.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[Some(3), Some(9), Some(1)]), Some(Some(9)));
        assert_eq!(of(&[Some(3), None]), Some(None));
    }
}
