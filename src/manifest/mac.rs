//! The MAC of an encrypted backup's manifest: it can only be made with the backup's key.
//!
//! A digest detects damage, but an attacker who changes an object can change its digest too. CTR
//! mode doesn't protect bytes against changes, and the hash in an xbcrypt chunk shows only that the
//! chunk was decrypted with the right key: chunks can be omitted, or exchanged for others of the
//! same key. The manifest of an encrypted backup therefore has a BLAKE3 MAC:
//!
//! ```text
//! {"digest":"blake3:<64 digits>","mac":"blake3-keyed-2:<64 digits>",<the rest of the JSON object>
//!
//! document = BLAKE3(all bytes of the document, both runs of 64 digits replaced by `0`)
//! mac      = BLAKE3 keyed with the MAC key ("lsnap manifest 2" ++ document)
//! ```
//!
//! Like the digest, it covers bytes: every field, including fields of a newer lsnap that this
//! version doesn't know, and whitespace. The manifest contains the digests of all objects, the name
//! and id of the backup, and the name and id of its base. So neither a member nor a file can be
//! exchanged for one of another backup with the same key. The MAC key is derived from the backup's
//! key; the backup's key can't be computed from it.
//!
//! The MAC doesn't detect that a whole backup was removed, or replaced by an older one with the
//! same name and key.

use serde::{Deserialize, Serialize};

use super::digest::HEX;

/// The beginning of a MAC's text.
const TAG: &str = "blake3-keyed-2:";
/// The beginning of a MAC's text in the first form, see [`crate::manifest::first_mac`].
const FIRST_TAG: &str = "blake3-keyed:";
/// The beginning of the field, directly after the digest.
pub(crate) const FIELD: &str = "\"mac\":\"blake3-keyed-2:";
/// The prefix of the bytes that the MAC is computed of.
const CONTEXT: &[u8] = b"lsnap manifest 2";

/// A manifest's MAC, and the hash of the document that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mac {
    text: String,
    /// The hash of the document that was read or written, with zeros as all digits; `None` if the
    /// field is not at its position, so that the MAC can't be checked.
    #[serde(skip)]
    document: Option<[u8; 32]>,
}

impl Mac {
    /// Returns whether it has the first form, which doesn't cover the whole manifest.
    #[must_use]
    pub fn is_first_form(&self) -> bool {
        self.text.starts_with(FIRST_TAG)
    }

    /// Returns whether it has a form that lsnap writes or wrote, at its position.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let hex = |tag| {
            let digits = self.text.strip_prefix(tag);
            digits.is_some_and(|digits| blake3::Hash::from_hex(digits).is_ok())
        };
        hex(FIRST_TAG) || (hex(TAG) && self.document.is_some())
    }

    /// Returns a MAC of zeros, to be computed later.
    pub(super) fn unmade() -> Self {
        Self {
            text: format!("{TAG}{}", "0".repeat(HEX)),
            document: None,
        }
    }

    /// Computes the MAC of a document.
    pub(super) fn of(key: &[u8; 32], document: [u8; 32]) -> Self {
        Self {
            text: text(key, &document),
            document: Some(document),
        }
    }

    /// Sets the hash of the document that the MAC was read with.
    pub(super) const fn read_with(&mut self, document: Option<[u8; 32]>) {
        self.document = document;
    }

    /// Returns whether this key gives the MAC; `first_form` computes the MAC of the first form.
    pub(super) fn is_right(
        &self,
        key: &[u8; 32],
        first_form: impl FnOnce() -> blake3::Hash,
    ) -> bool {
        let found = |tag| blake3::Hash::from_hex(self.text.strip_prefix(tag)?).ok();
        // `blake3::Hash` compares in constant time.
        if let Some(found) = found(FIRST_TAG) {
            return found == first_form();
        }
        match (found(TAG), &self.document) {
            (Some(found), Some(document)) => found == keyed(key, document),
            _ => false,
        }
    }
}

/// Computes the MAC of a document as text.
pub(crate) fn text(key: &[u8; 32], document: &[u8; 32]) -> String {
    format!("{TAG}{}", keyed(key, document).to_hex())
}

fn keyed(key: &[u8; 32], document: &[u8; 32]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(CONTEXT).update(document);
    hasher.finalize()
}
