//! Digests: BLAKE3 hashes, written as `blake3:<64 hex digits>`.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Hexadecimal digits of a digest or a MAC.
pub(crate) const HEX: usize = 64;

/// Returns `blake3:<hex>`, the form of all digests in a repository.
pub(crate) fn digest_text(hash: blake3::Hash) -> String {
    format!("{DIGEST_TAG}{}", hash.to_hex())
}

pub(crate) const DIGEST_TAG: &str = "blake3:";

/// A BLAKE3 hash. Displayed, and written in manifests, as `blake3:<64 lower-case hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        blake3::hash(bytes).into()
    }

    /// Parses the text of a digest; `None` if it has another form.
    fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(DIGEST_TAG)?;
        let lower = hex.bytes().all(|b| !b.is_ascii_uppercase());
        let hash = blake3::Hash::from_hex(hex).ok().filter(|_| lower)?;
        Some(hash.into())
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(hash.into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DIGEST_TAG}{}", blake3::Hash::from(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A digest, or an empty text if it is unknown; for `serde(with)`.
pub(super) mod known {
    use super::{Deserialize, Deserializer, Digest, Serialize, Serializer, Text};

    #[allow(clippy::trivially_copy_pass_by_ref, clippy::ref_option)] // the signature that serde requires
    pub(in crate::manifest) fn serialize<S: Serializer>(
        digest: &Option<Digest>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match digest {
            Some(digest) => to.collect_str(digest),
            None => "".serialize(to),
        }
    }

    pub(in crate::manifest) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Digest>, D::Error> {
        Ok(Text::deserialize(from)?.0)
    }
}

/// The text of a digest that may be empty.
struct Text(Option<Digest>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(TextVisitor).map(Self)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Option<Digest>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DIGEST_TAG}<{HEX} hex digits>")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<Digest>, E> {
        if text.is_empty() {
            return Ok(None);
        }
        let digest = Digest::parse(text);
        let unknown = || {
            E::custom(format!(
                "digest `{text}`, expected {DIGEST_TAG}<{HEX} hex digits>"
            ))
        };
        digest.map(Some).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Field {
        #[serde(with = "known")]
        digest: Option<Digest>,
    }

    #[test]
    fn digests_are_read_and_written_as_text() {
        let digest = Digest::of(b"abc");
        let text = digest_text(blake3::hash(b"abc"));
        assert_eq!(digest.to_string(), text);
        for (text, digest) in [(text.as_str(), Some(digest)), ("", None)] {
            let field = Field { digest };
            assert_eq!(to_value(&field).unwrap(), json!({ "digest": text }));
            assert_eq!(
                from_value::<Field>(json!({ "digest": text })).unwrap(),
                field
            );
        }
        for bad in [
            json!({}),
            json!({ "digest": null }),
            json!({ "digest": "blake3:" }),
            json!({ "digest": text.to_uppercase() }),
            json!({ "digest": text.replace("blake3", "sha256") }),
            json!({ "digest": format!("{text}0") }),
            json!({ "digest": format!("blake3:{}", "AB".repeat(32)) }),
            json!({ "digest": format!("blake3:{}", "zz".repeat(32)) }),
        ] {
            assert!(from_value::<Field>(bad.clone()).is_err(), "{bad}");
        }
    }
}
