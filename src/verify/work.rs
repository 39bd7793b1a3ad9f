//! The values that the workers of one member share, and the reporting of problems.

use super::report::{MemberReport, PageReport, Problem, ProblemKind};
use crate::locked::Locked;
use crate::manifest::{Finding, SpaceFile, packed};
use crate::reader::ReadError;
use crate::reader::fetch::Fetcher;
use crate::reader::spaces::Spaces;
use crate::reader::stored::Stored;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::Mutex;

/// Receives bytes of an object with their offset in the file.
type Receiver<'p> = dyn FnMut(u64, &[u8]) -> Result<(), ReadError> + 'p;

/// The values that the workers of one member share.
pub(super) struct Work<'a> {
    pub(super) fetcher: Fetcher<'a>,
    pub(super) report: Mutex<&'a mut MemberReport>,
    /// True if the content of encrypted files is checked.
    pub(super) readable: bool,
    /// The tablespace files of the base, if they are known.
    pub(super) base: Option<&'a Spaces>,
    /// True if every page that was changed before the end of the base was on the disk when this
    /// copy began.
    pub(super) settled: bool,
    /// The tablespaces of the manifest, by their names.
    pub(super) spaces: HashMap<&'a str, &'a SpaceFile>,
}

impl Work<'_> {
    pub(super) fn problem(&self, problem: Problem) {
        let mut report = self.report.locked();
        report.add(problem);
    }

    /// Records an error about stored bytes as a problem; other errors end the work.
    pub(super) fn record(&self, stored: Stored<'_>, error: ReadError) -> Result<(), ReadError> {
        let mut problem = Problem::of_read(error)?;
        if !problem.object.starts_with(stored.manifest.name.as_str()) {
            problem.object = format!("{}/{}", stored.manifest.name, problem.object);
        }
        self.problem(problem);
        Ok(())
    }

    pub(super) fn pages(&self, pages: &PageReport) {
        let mut report = self.report.locked();
        report.pages.merge(pages);
    }

    /// Calls `look` for every object of a file, concurrently.
    pub(super) fn objects(
        &self,
        stored: Stored<'_>,
        look: impl Fn(usize) -> Result<(), ReadError> + Sync,
    ) -> Result<(), ReadError> {
        let indices = 0..stored.entry.objects.len();
        indices
            .into_par_iter()
            .try_for_each(|index| look(index).or_else(|error| self.record(stored, error)))
    }

    /// Fetches an object and passes its bytes to `place`.
    pub(super) fn bytes(
        &self,
        stored: Stored<'_>,
        index: usize,
        place: &mut Receiver<'_>,
    ) -> Result<(), ReadError> {
        self.fetcher
            .each(stored, index, &mut |offset, data| place(offset, &data))
            .map_err(|error| locate(stored, index, error))
    }

    pub(super) fn page(&self, stored: Stored<'_>, index: usize, checked: Result<(), Finding>) {
        if let Err(what) = checked {
            let object = key(stored, index);
            self.problem(Problem::of_finding(ProblemKind::Page, object, what));
        }
    }
}

/// Returns the key of an object, with the file if it is in a pack.
pub(super) fn key(stored: Stored<'_>, index: usize) -> String {
    packed::named(&stored.manifest.name, stored.entry, index as u64)
}

/// Adds the key of the object to an error that has only its file.
pub(super) fn locate(stored: Stored<'_>, index: usize, error: ReadError) -> ReadError {
    error.of_object(|| key(stored, index))
}
