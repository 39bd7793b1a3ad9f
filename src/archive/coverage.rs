//! Tracks the bytes of a file that were received.

use std::collections::BTreeMap;

/// Maximum number of separate runs of one file. Chunks have 10 MiB, so no real stream comes near it.
pub(crate) const RUNS_MAX: usize = 1 << 16;

/// The reason why a run can't be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CoverageFault {
    /// Some of its bytes were already received, in the run from the first offset to the second.
    Overlap(u64, u64),
    /// There would be more than [`RUNS_MAX`] separate runs.
    Gaps,
}

impl CoverageFault {
    /// Describes the fault of a chunk with the bytes `from..to`.
    fn of_chunk(self, from: u64, to: u64) -> String {
        match self {
            Self::Overlap(start, end) => format!(
                "a chunk of bytes {from} to {to}, but bytes {start} to {end} were already received"
            ),
            Self::Gaps => {
                format!("its chunks leave more than {RUNS_MAX} gaps, which no backup program does")
            }
        }
    }
}

/// Disjoint runs of bytes. Adjacent runs are merged.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// The start of each run, and its end.
    runs: BTreeMap<u64, u64>,
}

impl Coverage {
    /// Adds `from..to`. With `again`, it may overlap with earlier runs.
    ///
    /// # Errors
    /// The overlap, or too many runs.
    pub(crate) fn add(&mut self, from: u64, to: u64, again: bool) -> Result<(), CoverageFault> {
        if from >= to {
            return Ok(());
        }
        let (mut from, mut to) = (from, to);
        if let Some((&start, &end)) = self.runs.range(..to).next_back()
            && end > from
            && !again
        {
            return Err(CoverageFault::Overlap(start, end));
        }
        while let Some((&start, &end)) = self.runs.range(..=to).next_back() {
            if end < from {
                break;
            }
            self.runs.remove(&start);
            from = from.min(start);
            to = to.max(end);
        }
        self.runs.insert(from, to);
        if self.runs.len() > RUNS_MAX {
            return Err(CoverageFault::Gaps);
        }
        Ok(())
    }

    /// Returns the end of the last run.
    fn end(&self) -> u64 {
        self.runs.last_key_value().map_or(0, |(_, end)| *end)
    }

    /// Returns the first bytes that are missing before the end of the last run.
    pub(crate) fn gap(&self) -> Option<(u64, u64)> {
        let mut runs = self.runs.iter();
        let (&start, &end) = runs.next()?;
        if start > 0 {
            return Some((0, start));
        }
        runs.next().map(|(&next, _)| (end, next))
    }
}

/// The received bytes of a file, and the expected position of its next chunk.
///
/// The chunks of a file can come in any order. After one of MariaDB's seeks, each chunk must start at the
/// end of the chunk before it, and can overlap with bytes from before the seek.
#[derive(Debug, Default)]
pub(super) struct Track {
    coverage: Coverage,
    /// The required start of the next chunk, after a seek.
    next: Option<u64>,
    /// The end of the received bytes.
    length: u64,
}

impl Track {
    /// Requires that the next chunk starts at `offset`. Skipped bytes are a hole if data follows.
    ///
    /// # Errors
    /// Too many gaps.
    pub(super) fn seek(&mut self, offset: u64) -> Result<(), String> {
        self.next = Some(offset);
        let end = self.coverage.end();
        let added = self.coverage.add(end, offset, true);
        added.map_err(|fault| fault.of_chunk(end, offset))
    }

    /// Checks the position of the next chunk of the stream; called in the order of the stream.
    ///
    /// # Errors
    /// The chunk doesn't start at the required position.
    pub(super) fn expect(&mut self, (from, to): (u64, u64)) -> Result<(), String> {
        match self.next {
            Some(next) if next != from => Err(format!(
                "a chunk of bytes {from} to {to}, but there was a seek, after which the next byte is {next}"
            )),
            Some(_) => {
                self.next = Some(to);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Records that the bytes `from..to` were received.
    ///
    /// # Errors
    /// As [`Coverage::add`].
    pub(super) fn add(&mut self, from: u64, to: u64) -> Result<(), String> {
        if from < to {
            self.length = self.length.max(to);
        }
        let added = self.coverage.add(from, to, self.next.is_some());
        added.map_err(|fault| fault.of_chunk(from, to))
    }

    /// Returns the length of the file. A seek alone doesn't extend it.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// See [`Coverage::gap`].
    pub(super) fn gap(&self) -> Option<(u64, u64)> {
        self.coverage.gap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn overlaps_are_refused_unless_allowed() {
        let mut c = Coverage::default();
        c.add(10, 20, false).unwrap();
        assert_eq!(c.gap(), Some((0, 10)));
        for (from, to) in [(10, 20), (0, 11), (19, 30), (12, 13), (5, 25)] {
            let fault = c.add(from, to, false).unwrap_err();
            assert_eq!(fault, CoverageFault::Overlap(10, 20));
            let error = fault.of_chunk(from, to);
            assert!(error.contains("10 to 20"), "{error}");
        }
        c.add(0, 10, false).unwrap();
        c.add(30, 40, false).unwrap();
        assert_eq!((c.gap(), c.end()), (Some((20, 30)), 40));
        c.add(5, 35, true).unwrap();
        assert_eq!((c.gap(), c.end(), c.runs.len()), (None, 40, 1));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_bitmap(adds in proptest::collection::vec((0u64..60, 0u64..20, any::<bool>()), 0..40)) {
            let mut coverage = Coverage::default();
            let mut bits = [false; 80];
            for (from, len, again) in adds {
                let range = from as usize..(from + len) as usize;
                let free = !bits[range.clone()].contains(&true);
                let added = coverage.add(from, from + len, again).is_ok();
                prop_assert_eq!(added, free || again);
                if added {
                    bits[range].fill(true);
                }
            }
            let end = bits.iter().rposition(|b| *b).map_or(0, |at| at + 1);
            prop_assert_eq!(coverage.end(), end as u64);
            prop_assert_eq!(coverage.gap().is_none(), !bits[..end].contains(&false));
        }
    }
}
