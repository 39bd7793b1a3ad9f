//! Who made a manifest: its MAC is made, and checked, with the key of the backup.

use super::{CompressionFormat, EncryptionAlgorithm, Mac, Manifest, ManifestError, document};

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

impl Manifest {
    /// Gives the manifest its MAC. Nothing of it may be changed afterwards.
    ///
    /// # Errors
    /// [`ManifestError::Refused`] when it can't be written as JSON.
    pub fn authenticate(&mut self, key: &[u8; 32]) -> Result<(), ManifestError> {
        self.mac = Some(Mac::unmade());
        let document = document::without_digits(self).map_err(|reason| {
            let name = self.name.clone();
            ManifestError::Refused { name, reason }
        })?;
        self.mac = Some(Mac::of(key, document));
        Ok(())
    }

    /// Remembers the document that the manifest was read from, for its MAC.
    pub(crate) fn read_from(&mut self, json: &[u8]) {
        if let Some(mac) = &mut self.mac {
            mac.read_with(document::hash_without_digits(json));
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
        wrappings
            .filter_map(|w| w.encryption.as_ref().map(EncryptionAlgorithm::as_str))
            .next()
    }

    /// How its files are compressed, if they are.
    #[must_use]
    pub fn compression(&self) -> Option<&str> {
        let wrappings = self.files.iter().filter_map(|file| file.wrapping.as_ref());
        wrappings
            .filter_map(|w| w.compression.as_ref().map(CompressionFormat::as_str))
            .next()
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
