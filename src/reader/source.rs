//! Where the stored bytes come from: objects of a repository, or files of extracted backups.

use crate::manifest::Manifest;
use crate::reader::error::ReadError;
use crate::reader::stored::Stored;
use crate::reader::{directory, streamed};
use crate::store::windows::Reading;
use crate::store::{Repository, Streamed};
use bytes::Bytes;
use std::path::PathBuf;

/// What a restore reads from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// Each object is one or more whole xbstream chunks.
    Repository(&'a Repository),
    /// One directory a member, newest first. Each object is a range of a file.
    Directories(&'a [PathBuf]),
    /// A repository in which members are streams that were put there: one entry a member, newest first,
    /// `None` for those that are not. Each object of a stream is a range of a file.
    Streams(&'a Repository, &'a [Option<Streamed>]),
}

impl<'a> Source<'a> {
    /// Begins to read these backups, see [`Reading`].
    pub(crate) fn reading<'m>(
        self,
        manifests: impl IntoIterator<Item = &'m Manifest>,
        memory: u64,
    ) -> Option<Reading<'a>> {
        match self {
            Self::Repository(repo) | Self::Streams(repo, _) => {
                Some(repo.reading(manifests, memory))
            }
            Self::Directories(_) => None,
        }
    }

    /// Whether an object is a range of its file, and not whole xbstream chunks.
    pub(crate) fn holds_ranges(self, stored: Stored<'_>) -> bool {
        match self {
            Self::Repository(_) => false,
            Self::Directories(_) => true,
            Self::Streams(_, members) => matches!(members.get(stored.member), Some(Some(_))),
        }
    }

    /// The bytes of an object, as long as the manifest says, their digest right where it has one.
    pub(crate) fn read(self, stored: Stored<'_>, index: usize) -> Result<Bytes, ReadError> {
        let object = stored.object(index)?;
        match self {
            Self::Repository(repo) => {
                let name = &stored.manifest.name;
                Ok(repo.fetch(name, stored.entry.path.as_stored(), object)?)
            }
            Self::Directories(directories) => {
                let directory = directories
                    .get(stored.member)
                    .ok_or_else(|| stored.damaged("the plan has no directory for it"))?;
                directory::range(directory, stored, object)
            }
            Self::Streams(repo, members) => match members.get(stored.member) {
                Some(Some(streamed)) => Ok(streamed::range(
                    repo,
                    streamed,
                    stored.entry.path.as_stored(),
                    object,
                )?),
                _ => Self::Repository(repo).read(stored, index),
            },
        }
    }
}
