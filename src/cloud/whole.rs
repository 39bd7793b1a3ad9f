//! Checks that the chunks of a file make the whole file.
//!
//! The newest format notes allow chunks of one path in any order (the offsets count, see
//! `docs/format/xbstream.md#order`), so the order can't be checked. The check is that every byte
//! comes exactly once.

use crate::archive::coverage;
use crate::archive::coverage::{CoverageFault, RUNS_MAX};
use crate::counted::count;
use crate::xbstream::Chunk;

/// The ranges of a file that have arrived, each once.
#[derive(Debug, Default)]
pub(super) struct Coverage(coverage::Coverage);

impl Coverage {
    /// Adds the range of a chunk. The error says what was found.
    pub(super) fn add(&mut self, start: u64, len: u64) -> Result<(), String> {
        let bytes = count(len, "byte");
        let end = start
            .checked_add(len)
            .ok_or_else(|| format!("{bytes} at file offset {start}: larger than any file"))?;
        self.0.add(start, end, false).map_err(|fault| match fault {
            CoverageFault::Overlap(..) => format!("{bytes} at file offset {start} came before"),
            CoverageFault::Gaps => format!("more than {RUNS_MAX} ranges with gaps between them"),
        })
    }

    /// Checks that every byte from 0 to the last one has arrived. The error says what is missing.
    pub(super) fn finish(&self) -> Result<(), String> {
        match self.0.gap() {
            Some((from, to)) => Err(format!("its bytes {from} to {to} are missing")),
            None => Ok(()),
        }
    }
}

/// Returns the range of its file that a chunk covers, holes included: offset and length.
pub(super) fn range(chunk: &Chunk) -> Option<(u64, u64)> {
    match chunk {
        Chunk::Payload { offset, .. } | Chunk::Sparse { offset, .. } => {
            Some((*offset, chunk.span()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gaps_and_overlaps_are_refused() {
        let mut c = Coverage::default();
        c.add(0, 10).unwrap();
        c.add(20, 10).unwrap();
        assert_eq!(c.finish().unwrap_err(), "its bytes 10 to 20 are missing");
        for (start, len) in [(0, 1), (9, 1), (9, 5), (15, 6), (29, 1), (5, 100), (20, 1)] {
            assert!(c.add(start, len).is_err(), "{start} {len}");
        }
        c.add(10, 10).unwrap();
        c.finish().unwrap();
        assert!(c.add(u64::MAX, 2).is_err());
    }

    proptest! {
        #[test]
        fn any_order_of_all_pieces_is_whole(lens in proptest::collection::vec(0u64..9, 1..20), seed in any::<u64>(), drop in any::<prop::sample::Index>()) {
            let mut at = 0;
            let mut pieces: Vec<(u64, u64)> = lens.iter().map(|len| { at += len; (at - len, *len) }).collect();
            pieces.sort_by_key(|(start, len)| blake3::hash(&(start ^ seed ^ len << 32).to_le_bytes()).as_bytes()[0]);
            let mut whole = Coverage::default();
            for (start, len) in &pieces { whole.add(*start, *len).unwrap(); }
            prop_assert!(whole.finish().is_ok());
            let gone = drop.index(pieces.len());
            let (start, len) = pieces.remove(gone);
            let mut less = Coverage::default();
            for (start, len) in &pieces { less.add(*start, *len).unwrap(); }
            // a missing range at the very end isn't detected: only the end chunk shows where the
            // file ends
            prop_assert_eq!(less.finish().is_ok(), len == 0 || start + len == at);
        }
    }
}
