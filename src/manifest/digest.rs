//! Digests as text.

/// Hexadecimal digits of a digest or a MAC.
pub(crate) const HEX: usize = 64;

/// `blake3:<hex>`, as digests are written everywhere in a repository.
pub(crate) fn digest_text(hash: blake3::Hash) -> String {
    format!("{DIGEST_TAG}{}", hash.to_hex())
}

pub(crate) const DIGEST_TAG: &str = "blake3:";

pub(super) fn is_digest(text: &str) -> bool {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix(DIGEST_TAG)
        .is_some_and(|hex| hex.len() == HEX && hex.bytes().all(lower_hex))
}
