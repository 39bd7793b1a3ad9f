//! The source of the stored bytes: objects of a repository, or files of extracted backups.

use crate::manifest::Manifest;
use crate::reader::error::ReadError;
use crate::reader::stored::Stored;
use crate::reader::{directory, streamed};
use crate::store::windows::Reading;
use crate::store::{Repository, Streamed};
use bytes::Bytes;
use std::path::PathBuf;

/// The source of a restore.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// Each object is one or more whole xbstream chunks.
    Repository(&'a Repository),
    /// One directory for each member, newest first. Each object is a range of a file.
    Directories(&'a [PathBuf]),
    /// A repository in which some members are uploaded streams: one entry for each member, newest
    /// first, `None` for those that are not streams. Each object of a stream is a range of a file.
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

    /// Returns whether an object is a range of its file, instead of whole xbstream chunks.
    pub(crate) fn holds_ranges(self, stored: Stored<'_>) -> bool {
        match self {
            Self::Repository(_) => false,
            Self::Directories(_) => true,
            Self::Streams(_, members) => matches!(members.get(stored.member), Some(Some(_))),
        }
    }

    /// Reads an object: its length is that in the manifest, and its digest is right if it has one.
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
