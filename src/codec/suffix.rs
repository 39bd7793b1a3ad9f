//! Names of wrapped files (`docs/format/wrapping.md`).

use super::Format;

/// What a file's name says of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suffixes<'a> {
    /// The name without the suffixes.
    pub inner: &'a str,
    /// How it is compressed, as far as it can be read here.
    pub compression: Option<Format>,
    /// It is compressed with quicklz (`.qp`), which is not read here.
    pub quicklz: bool,
    /// It is encrypted.
    pub encrypted: bool,
}

/// Reads `name[.zst|.lz4|.qp][.xbcrypt]`. A name that is nothing but a suffix has none.
#[must_use]
pub fn suffixes(path: &str) -> Suffixes<'_> {
    let (rest, encrypted) = strip(path, ".xbcrypt");
    let (zst, is_zst) = strip(rest, ".zst");
    let (lz4, is_lz4) = strip(rest, ".lz4");
    let (qp, quicklz) = strip(rest, ".qp");
    let (inner, compression) = match (is_zst, is_lz4, quicklz) {
        (true, _, _) => (zst, Some(Format::Zstd)),
        (_, true, _) => (lz4, Some(Format::Lz4)),
        (_, _, true) => (qp, None),
        _ => (rest, None),
    };
    Suffixes {
        inner,
        compression,
        quicklz,
        encrypted,
    }
}

fn strip<'a>(path: &'a str, suffix: &str) -> (&'a str, bool) {
    match path.strip_suffix(suffix) {
        Some(rest) if !rest.is_empty() && !rest.ends_with('/') => (rest, true),
        _ => (path, false),
    }
}
