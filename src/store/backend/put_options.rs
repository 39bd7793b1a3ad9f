//! Options for how a store keeps objects, and for additional headers. The requests are changed in
//! [`crate::store::backend::headers`].

use std::fmt;

/// The encryption of objects by the store (`x-amz-server-side-encryption`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sse {
    /// With keys of S3 (SSE-S3).
    Aes256,
    /// With a key of KMS (SSE-KMS).
    Kms,
    /// With a key of KMS, in two layers (DSSE-KMS).
    KmsDsse,
}

impl Sse {
    /// Returns the value of the header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::Kms => "aws:kms",
            Self::KmsDsse => "aws:kms:dsse",
        }
    }
}

/// The mode of an object lock (`x-amz-object-lock-mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectLockMode {
    /// Users with a special permission can remove a locked version.
    Governance,
    /// Nobody can remove a locked version.
    Compliance,
}

impl ObjectLockMode {
    /// Returns the value of the header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// Additional headers of requests. `Debug` shows the names only, because values may be secrets.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Headers {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}
