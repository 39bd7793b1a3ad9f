//! xbstreams and the objects that xbcloud makes of them.
//!
//! Facts: `specs/xtrabackup-formats.md` section 8.
