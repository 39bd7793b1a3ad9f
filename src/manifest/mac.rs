//! The MAC of an encrypted backup's manifest: only the holder of the backup's key can have made it.
//!
//! A digest finds damage, but a person who changes an object on purpose can change its digest too. CTR mode
//! hides bytes and doesn't protect them, and the hash in an xbcrypt chunk shows only that the chunk was
//! decrypted with the right key: chunks can be exchanged for others of the same key, or left out. So the
//! manifest of an encrypted backup carries a BLAKE3 MAC:
//!
//! ```text
//! {"digest":"blake3:<64 digits>","mac":"blake3-keyed-2:<64 digits>",<the rest of the JSON object>
//!
//! document = BLAKE3(all bytes of the document, both runs of 64 digits replaced by `0`)
//! mac      = BLAKE3 keyed with the MAC key ("lsnap manifest 2" ++ document)
//! ```
//!
//! It is taken over bytes, as the digest is: each field counts, also one of a newer lsnap that this one
//! doesn't know, and whitespace. The manifest has the digests of all objects, the backup's own name and id, and
//! the name and id of its base. So neither a member nor a file can be exchanged for one of another backup
//! that was made with the same key. The MAC key is derived from the backup's key, which can't be learned from it.
//!
//! It can't show that a whole backup was removed, or replaced by an older one of the same name and key.

use serde::{Deserialize, Serialize};

use super::digest::HEX;

/// The beginning of the text of a MAC.
const TAG: &str = "blake3-keyed-2:";
/// The beginning of one of the first form, see [`crate::manifest::first_mac`].
const FIRST_TAG: &str = "blake3-keyed:";
/// The field, as it stands directly behind the digest.
pub(crate) const FIELD: &str = "\"mac\":\"blake3-keyed-2:";
/// What is MACed begins with it.
const CONTEXT: &[u8] = b"lsnap manifest 2";

/// A manifest's MAC, and the document that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mac {
    text: String,
    /// The hash of the document that was read or made, all digits zero; `None` when the field doesn't stand
    /// in its place, so that nothing is proven by it.
    #[serde(skip)]
    document: Option<[u8; 32]>,
}

impl Mac {
    /// Whether it has the form that doesn't cover the whole manifest.
    #[must_use]
    pub fn is_first_form(&self) -> bool {
        self.text.starts_with(FIRST_TAG)
    }

    /// Whether it has a form that lsnap writes, in the place where it stands.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let hex = |tag| {
            let digits = self.text.strip_prefix(tag);
            digits.is_some_and(|digits| blake3::Hash::from_hex(digits).is_ok())
        };
        hex(FIRST_TAG) || (hex(TAG) && self.document.is_some())
    }

    /// One whose digits are to be filled in.
    pub(super) fn unmade() -> Self {
        Self {
            text: format!("{TAG}{}", "0".repeat(HEX)),
            document: None,
        }
    }

    /// The MAC of a document.
    pub(super) fn of(key: &[u8; 32], document: [u8; 32]) -> Self {
        Self {
            text: text(key, &document),
            document: Some(document),
        }
    }

    /// Remembers the hash of the document that it was read with.
    pub(super) const fn read_with(&mut self, document: Option<[u8; 32]>) {
        self.document = document;
    }

    /// Whether a key gives it; `first_form` makes the hash of the first form.
    pub(super) fn is_right(
        &self,
        key: &[u8; 32],
        first_form: impl FnOnce() -> blake3::Hash,
    ) -> bool {
        let found = |tag| blake3::Hash::from_hex(self.text.strip_prefix(tag)?).ok();
        // `blake3::Hash` compares in constant time
        if let Some(found) = found(FIRST_TAG) {
            return found == first_form();
        }
        match (found(TAG), &self.document) {
            (Some(found), Some(document)) => found == keyed(key, document),
            _ => false,
        }
    }
}

/// The MAC of a document as text.
pub(crate) fn text(key: &[u8; 32], document: &[u8; 32]) -> String {
    format!("{TAG}{}", keyed(key, document).to_hex())
}

fn keyed(key: &[u8; 32], document: &[u8; 32]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(CONTEXT).update(document);
    hasher.finalize()
}
