//! Encrypted backups, and their keys.

use crate::journey::Journey;
use crate::lsnap::{self, Said};
use std::path::Path;

/// 32 bytes in hexadecimal digits, as in a key file.
pub const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A key file.
pub struct Sealed(String);

impl Sealed {
    /// Creates a key file with [`KEY`], in the journey's directory.
    pub fn new(journey: &Journey) -> Self {
        Self::with(journey, "key", KEY)
    }

    pub fn with(journey: &Journey, file: &str, key: &str) -> Self {
        let path = journey.path().join(file);
        std::fs::write(&path, key).unwrap();
        Self(path.to_str().unwrap().to_owned())
    }

    /// Makes the journey's next member; `more` are other arguments of the backup.
    pub fn member(&self, journey: &mut Journey, more: &[&str]) {
        let seal = ["--encrypt=AES256", "--encrypt-key-file", &self.0];
        let how = [&seal[..], more].concat();
        journey.member_by(|server, repository| lsnap::backup(server, repository, &how));
    }

    /// Returns the arguments of commands that decrypt.
    pub fn open(&self) -> [&str; 3] {
        ["--decrypt=AES256", "--encrypt-key-file", &self.0]
    }

    /// Restores a member with the `mysqld` of the journey's source.
    pub fn try_restore(&self, journey: &Journey, name: &str, datadir: &Path) -> Said {
        let mysqld = journey.source.program("mysqld");
        let applier = [
            "--redo-applier=mysqld",
            "--mysqld",
            mysqld.to_str().unwrap(),
        ];
        let how = [&applier[..], &self.open()].concat();
        lsnap::try_restore(&journey.repository(), name, datadir, &how)
    }

    /// Same as [`Journey::prove`].
    pub fn prove(&self, journey: &Journey, index: usize) {
        journey.prove_by(index, &[], |name, datadir| {
            self.try_restore(journey, name, datadir).ok();
        });
    }
}
