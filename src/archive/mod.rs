//! xbstreams and the directories that they are made of and extracted to.
//!
//! Facts: `specs/xtrabackup-formats.md` 1.9, 1.10, 8.5.
