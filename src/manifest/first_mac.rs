//! The first form of a manifest's MAC, which lsnap no longer writes.
//!
//! It covers a list of fields: the identity of the backup, its base, its LSNs, and the path,
//! length, tablespace, position and digest of every file and object. Roles of files, the binary log
//! position, the properties of the server and other fields are not covered, so they can be changed
//! without the key. It therefore proves less than the current MAC (see [`crate::manifest::mac`]),
//! and is accepted only if the caller explicitly allows it.

use crate::manifest::{Manifest, SpaceFile};

impl Manifest {
    /// Computes the MAC of the first form.
    pub(crate) fn first_mac(&self, key: &[u8; 32]) -> blake3::Hash {
        let mut mac = Fields(blake3::Hasher::new_keyed(key));
        mac.text("lsnap manifest 1");
        mac.text(&self.id);
        mac.text(self.name.as_str());
        mac.text(&format!("{:?} {:?}", self.kind, self.layout));
        match &self.base {
            None => mac.text(""),
            Some(base) => mac.text(&base.id),
        }
        mac.text(&self.server.uuid);
        mac.text(&self.server.redo_creator);
        for lsn in [
            self.lsn.from_lsn,
            self.lsn.scan_floor,
            self.lsn.start_checkpoint,
            self.lsn.to_lsn,
            self.lsn.last_lsn,
        ] {
            mac.number(lsn.0);
        }
        mac.number(self.files.len() as u64);
        for file in &self.files {
            mac.text(file.path.as_stored());
            mac.text(file.plain_path());
            mac.number(file.bytes);
            if let Some(space) = file.role.space() {
                mac.space(space);
            }
            mac.number(file.objects.len() as u64);
            for object in &file.objects {
                for number in [object.index, object.offset, object.bytes] {
                    mac.number(number);
                }
                mac.number(object.at.map_or(u64::MAX, |at| at.0));
                mac.text(&object.digest_text());
                if let Some(place) = &object.pack {
                    mac.text(&place.object);
                    mac.number(place.from);
                }
            }
        }
        mac.0.finalize()
    }
}

/// Hashes fields with their lengths, so that bytes can't be moved from one field to the next.
struct Fields(blake3::Hasher);

impl Fields {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn space(&mut self, space: &SpaceFile) {
        self.text(&space.name);
        self.text(space.external.as_deref().unwrap_or_default());
        for number in [space.space_id.0, space.node, space.flags.0] {
            self.number(u64::from(number));
        }
        self.number(space.page_size.bytes() as u64);
        self.number(space.bytes);
        self.number(u64::from(space.undo) | u64::from(space.encrypted) << 1);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }
}
