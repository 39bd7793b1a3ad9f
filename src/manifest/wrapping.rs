//! The compression and encryption of a stored file, as the manifest records it.

use crate::codec::Compression;
use crate::codec::xbcrypt::Algorithm;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The compression and encryption of a stored file, applied in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrapping {
    /// Concatenated frames, at least one for each range of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<CompressionFormat>,
    /// xbcrypt chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionAlgorithm>,
}

/// A compression format. Serialised as its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum CompressionFormat {
    /// `zstd`.
    Zstd,
    /// `lz4`.
    Lz4,
    /// The name of a format that this version doesn't know.
    Unknown(String),
}

/// An encryption algorithm. Serialised as its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum EncryptionAlgorithm {
    /// `AES128`.
    Aes128,
    /// `AES192`.
    Aes192,
    /// `AES256`.
    Aes256,
    /// The name of an algorithm that this version doesn't know.
    Unknown(String),
}

impl CompressionFormat {
    /// Returns the name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Unknown(name) => name,
        }
    }
}

impl EncryptionAlgorithm {
    /// Returns the name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Aes128 => "AES128",
            Self::Aes192 => "AES192",
            Self::Aes256 => "AES256",
            Self::Unknown(name) => name,
        }
    }
}

impl From<String> for CompressionFormat {
    fn from(name: String) -> Self {
        match name.as_str() {
            "zstd" => Self::Zstd,
            "lz4" => Self::Lz4,
            _ => Self::Unknown(name),
        }
    }
}

impl From<String> for EncryptionAlgorithm {
    fn from(name: String) -> Self {
        match name.as_str() {
            "AES128" => Self::Aes128,
            "AES192" => Self::Aes192,
            "AES256" => Self::Aes256,
            _ => Self::Unknown(name),
        }
    }
}

impl From<CompressionFormat> for String {
    fn from(format: CompressionFormat) -> Self {
        format.as_str().to_owned()
    }
}

impl From<EncryptionAlgorithm> for String {
    fn from(algorithm: EncryptionAlgorithm) -> Self {
        algorithm.as_str().to_owned()
    }
}

impl From<Compression> for CompressionFormat {
    fn from(how: Compression) -> Self {
        how.name().to_owned().into()
    }
}

impl From<Algorithm> for EncryptionAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Aes128 => Self::Aes128,
            Algorithm::Aes192 => Self::Aes192,
            Algorithm::Aes256 => Self::Aes256,
        }
    }
}

impl fmt::Display for CompressionFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for EncryptionAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_they_were_read() {
        for name in ["zstd", "lz4", "ZSTD", "brotli", ""] {
            let format = CompressionFormat::from(name.to_owned());
            let known = !matches!(format, CompressionFormat::Unknown(_));
            assert_eq!(known, matches!(name, "zstd" | "lz4"), "{name}");
            assert_eq!(serde_json::to_value(&format).unwrap(), name);
        }
        for name in ["AES128", "AES192", "AES256", "aes128", "ChaCha20"] {
            let algorithm = EncryptionAlgorithm::from(name.to_owned());
            let known = !matches!(algorithm, EncryptionAlgorithm::Unknown(_));
            assert_eq!(known, name.starts_with("AES"), "{name}");
            assert_eq!(serde_json::to_value(&algorithm).unwrap(), name);
        }
        for how in ["zstd", "lz4"] {
            let format = CompressionFormat::from(how.parse::<Compression>().unwrap());
            assert_eq!(format.as_str(), how);
        }
        for algorithm in [Algorithm::Aes128, Algorithm::Aes192, Algorithm::Aes256] {
            let written = EncryptionAlgorithm::from(algorithm);
            assert_eq!(written.as_str(), algorithm.to_string());
        }
    }
}
