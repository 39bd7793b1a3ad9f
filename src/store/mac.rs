//! What only the holder of a backup's key can have written.
//!
//! A digest finds damage: whoever changes an object on purpose can change its digest too. CTR mode
//! hides bytes and does not protect them, and the hash inside of an xbcrypt chunk says only that the
//! chunk was decrypted with the right key: chunks can be exchanged for others of the same key, or
//! left out, without anybody noticing. So the manifest of an encrypted backup carries a BLAKE3 MAC
//! over what it consists of: which backup it is, what it stands on, its LSNs, and the path, length,
//! tablespace, place and digest of every file and object. The key of the MAC is derived from the backup's key, which
//! can't be learned from it.
//!
//! What it does not protect against: that a whole backup is taken away, or replaced by an older one
//! of the same name and key.

use super::{Manifest, SpaceFile};

/// What the text of a MAC begins with.
const TAG: &str = "blake3-keyed:";

impl Manifest {
    /// The MAC of this manifest, as text.
    #[must_use]
    pub fn mac(&self, key: &[u8; 32]) -> String {
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
                mac.number(object.at.unwrap_or(u64::MAX));
                mac.text(&object.digest);
                if let Some(place) = &object.pack {
                    mac.text(&place.object);
                    mac.number(place.from);
                }
            }
        }
        format!("{TAG}{}", mac.0.finalize().to_hex())
    }

    /// Whether it carries the MAC that `key` gives. Compared without telling how much was right.
    #[must_use]
    pub fn mac_is_right(&self, key: &[u8; 32]) -> bool {
        let hash = |text: &str| blake3::Hash::from_hex(text.strip_prefix(TAG)?).ok();
        match self.mac.as_deref().and_then(hash) {
            Some(found) => hash(&self.mac(key)) == Some(found),
            None => false,
        }
    }
}

/// Fields with their lengths, so that none can be moved into its neighbour.
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
