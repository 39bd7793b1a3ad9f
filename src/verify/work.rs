//! What the workers of one member share, and how they report what they find.

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

/// Receives the bytes of an object, with their offset in the file.
type Receiver<'p> = dyn FnMut(u64, &[u8]) -> Result<(), ReadError> + 'p;

/// What the workers of one member share.
pub(super) struct Work<'a> {
    pub(super) fetcher: Fetcher<'a>,
    pub(super) report: Mutex<&'a mut MemberReport>,
    /// Files that are encrypted are looked into.
    pub(super) readable: bool,
    /// The tablespace files of the base, where they are known.
    pub(super) base: Option<&'a Spaces>,
    /// Every page that was changed before the base ended was on the disk when this copy began.
    pub(super) settled: bool,
    /// What the manifest says of tablespaces, by their names.
    pub(super) spaces: HashMap<&'a str, &'a SpaceFile>,
}

impl Work<'_> {
    pub(super) fn problem(&self, problem: Problem) {
        let mut report = self.report.locked();
        report.add(problem);
    }

    /// Tells what an error says of stored bytes; one about something else ends the work.
    pub(super) fn tell(&self, stored: Stored<'_>, error: ReadError) -> Result<(), ReadError> {
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

    /// Looks at every object of a file, beside each other.
    pub(super) fn objects(
        &self,
        stored: Stored<'_>,
        look: impl Fn(usize) -> Result<(), ReadError> + Sync,
    ) -> Result<(), ReadError> {
        let indices = 0..stored.entry.objects.len();
        indices
            .into_par_iter()
            .try_for_each(|index| look(index).or_else(|error| self.tell(stored, error)))
    }

    /// Fetches an object and hands its bytes over.
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

/// The key of an object, and of one in a pack the file.
pub(super) fn key(stored: Stored<'_>, index: usize) -> String {
    packed::named(&stored.manifest.name, stored.entry, index as u64)
}

/// Names the object in an error that names only its file.
pub(super) fn locate(stored: Stored<'_>, index: usize, error: ReadError) -> ReadError {
    error.of_object(|| key(stored, index))
}
