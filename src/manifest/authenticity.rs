//! The MAC of a manifest: made and checked with the key of the backup.

use super::{CompressionFormat, EncryptionAlgorithm, Mac, Manifest, ManifestError, document};

/// The result of checking a manifest's MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authenticity {
    /// The manifest has no MAC, and no file is encrypted.
    Plain,
    /// Files are encrypted, but the manifest has no MAC.
    Stripped,
    /// The MAC is right: the manifest was written with the key, every byte of it.
    Proven,
    /// The MAC has the first form and is right: the fields that it covers were written with the
    /// key.
    FirstForm,
    /// None of the keys gives this MAC.
    Wrong,
}

impl Manifest {
    /// Computes the MAC of the manifest and sets it. The manifest must not be changed afterwards.
    ///
    /// # Errors
    /// [`ManifestError::Refused`] if the manifest can't be written as JSON.
    pub fn authenticate(&mut self, key: &[u8; 32]) -> Result<(), ManifestError> {
        self.mac = Some(Mac::unmade());
        let document = document::without_digits(self).map_err(|reason| {
            let name = self.name.clone();
            ManifestError::Refused { name, reason }
        })?;
        self.mac = Some(Mac::of(key, document));
        Ok(())
    }

    /// Stores the hash of the document that the manifest was read from, for checking its MAC.
    pub(crate) fn read_from(&mut self, json: &[u8]) {
        if let Some(mac) = &mut self.mac {
            mac.read_with(document::hash_without_digits(json));
        }
    }

    /// Returns whether the backup is meant to be encrypted: it has a MAC or an encrypted file.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.mac.is_some() || self.encryption().is_some()
    }

    /// Returns the encryption algorithm of the first encrypted file; `None` if no file is
    /// encrypted.
    #[must_use]
    pub fn encryption(&self) -> Option<&str> {
        let wrappings = self.files.iter().filter_map(|file| file.wrapping.as_ref());
        wrappings
            .filter_map(|w| w.encryption.as_ref().map(EncryptionAlgorithm::as_str))
            .next()
    }

    /// Returns the compression format of the first compressed file; `None` if no file is
    /// compressed.
    #[must_use]
    pub fn compression(&self) -> Option<&str> {
        let wrappings = self.files.iter().filter_map(|file| file.wrapping.as_ref());
        wrappings
            .filter_map(|w| w.compression.as_ref().map(CompressionFormat::as_str))
            .next()
    }

    /// Checks the MAC with these keys (all forms of one key).
    #[must_use]
    pub fn authenticity(&self, keys: &[[u8; 32]]) -> Authenticity {
        let Some(mac) = &self.mac else {
            return match self.encryption() {
                Some(_) => Authenticity::Stripped,
                None => Authenticity::Plain,
            };
        };
        if !keys
            .iter()
            .any(|key| mac.is_right(key, || self.first_mac(key)))
        {
            return Authenticity::Wrong;
        }
        if mac.is_first_form() {
            return Authenticity::FirstForm;
        }
        Authenticity::Proven
    }
}
