//! Names of wrapped files (`docs/format/wrapping.md`).

use super::Format;

/// The wrapping of a file, according to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suffixes<'a> {
    /// The name without the suffixes.
    pub inner: &'a str,
    /// The compression, if this module can decompress it.
    pub compression: Option<Format>,
    /// True if the file is compressed with quicklz (`.qp`), which is not supported.
    pub quicklz: bool,
    /// True if the file is encrypted.
    pub encrypted: bool,
}

/// Parses `name[.zst|.lz4|.qp][.xbcrypt]`. A name that consists only of a suffix is not a wrapped
/// name.
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
