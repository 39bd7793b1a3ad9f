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

use crate::manifest::document::HEX;
use crate::manifest::{Manifest, ManifestError, document};

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

/// What a manifest's MAC proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authenticity {
    /// There is none, and no file is encrypted.
    Plain,
    /// Files are encrypted, but there is no MAC.
    Stripped,
    /// The holder of the key wrote every byte of the manifest.
    Proven,
    /// The MAC has the first form and is right: the holder of the key wrote some of the fields.
    FirstForm,
    /// The MAC is not the one that any of the keys gives.
    Wrong,
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

    fn is_right(&self, manifest: &Manifest, key: &[u8; 32]) -> bool {
        let found = |tag| blake3::Hash::from_hex(self.text.strip_prefix(tag)?).ok();
        // `blake3::Hash` compares in constant time
        if let Some(found) = found(FIRST_TAG) {
            return found == manifest.first_mac(key);
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

impl Manifest {
    /// Gives the manifest its MAC. Nothing of it may be changed afterwards.
    ///
    /// # Errors
    /// [`ManifestError::Refused`] when it can't be written as JSON.
    pub fn authenticate(&mut self, key: &[u8; 32]) -> Result<(), ManifestError> {
        self.mac = Some(Mac {
            text: format!("{TAG}{}", "0".repeat(HEX)),
            document: None,
        });
        let document = document::without_digits(self).map_err(|reason| {
            let name = self.name.clone();
            ManifestError::Refused { name, reason }
        })?;
        self.mac = Some(Mac {
            text: text(key, &document),
            document: Some(document),
        });
        Ok(())
    }

    /// Remembers the document that the manifest was read from, for its MAC.
    pub(crate) fn read_from(&mut self, json: &[u8]) {
        if let Some(mac) = &mut self.mac {
            mac.document = document::hash_without_digits(json);
        }
    }

    /// Whether the backup is meant to be encrypted: it has a MAC or an encrypted file.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.mac.is_some() || self.encryption().is_some()
    }

    /// The algorithm of its encrypted files, if there are any.
    #[must_use]
    pub fn encryption(&self) -> Option<&str> {
        let wrappings = self.files.iter().filter_map(|file| file.wrapping.as_ref());
        wrappings.filter_map(|w| w.encryption.as_deref()).next()
    }

    /// How its files are compressed, if they are.
    #[must_use]
    pub fn compression(&self) -> Option<&str> {
        let wrappings = self.files.iter().filter_map(|file| file.wrapping.as_ref());
        wrappings.filter_map(|w| w.compression.as_deref()).next()
    }

    /// What the MAC proves to the holder of these keys (the forms of one key).
    #[must_use]
    pub fn authenticity(&self, keys: &[[u8; 32]]) -> Authenticity {
        let Some(mac) = &self.mac else {
            return match self.encryption() {
                Some(_) => Authenticity::Stripped,
                None => Authenticity::Plain,
            };
        };
        if !keys.iter().any(|key| mac.is_right(self, key)) {
            return Authenticity::Wrong;
        }
        if mac.is_first_form() {
            return Authenticity::FirstForm;
        }
        Authenticity::Proven
    }
}
