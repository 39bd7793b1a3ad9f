//! Collection of small files into a pack.

use crate::manifest::packed::{PACK_BYTES, SMALL};
use crate::manifest::{Digest, ObjectEntry, PackPlace};
use bytes::{Bytes, BytesMut};
use std::collections::HashSet;

/// The current pack.
#[derive(Debug, Default)]
pub(super) struct Packer {
    pub(super) bytes: BytesMut,
    pub(super) members: Vec<Member>,
    paths: HashSet<String>,
}

/// A file in the pack.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) path: String,
    from: u64,
    bytes: u64,
    digest: Digest,
}

impl Packer {
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    pub fn add(&mut self, path: &str, parts: &[Bytes], digest: Digest) {
        let from = self.bytes.len();
        if from == 0 {
            // Growth would copy the pack repeatedly, while all threads wait for it.
            self.bytes.reserve(PACK_BYTES + SMALL);
        }
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.paths.insert(path.to_owned());
        self.members.push(Member {
            path: path.to_owned(),
            from: from as u64,
            bytes: (self.bytes.len() - from) as u64,
            digest,
        });
    }

    /// Returns the files' entries, for a pack stored as `object`. A single file is stored as an
    /// ordinary object.
    pub fn entries(self, object: &str) -> Vec<(String, ObjectEntry)> {
        let alone = self.members.len() == 1;
        let entry = |member: Member| {
            let place = PackPlace {
                object: object.to_owned(),
                from: member.from,
            };
            let entry = ObjectEntry {
                index: 0,
                offset: 0,
                at: None,
                bytes: member.bytes,
                digest: Some(member.digest),
                pack: (!alone).then_some(place),
            };
            (member.path, entry)
        };
        self.members.into_iter().map(entry).collect()
    }
}
