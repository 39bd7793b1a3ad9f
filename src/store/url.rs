//! What a person may write for a repository.

use std::path::PathBuf;

use url::Url;

use crate::store::StoreError;

/// The directory that `text` names: `file:///path` (percent-encoding undone) or a plain path, made
/// absolute.
pub(crate) fn directory(text: &str) -> Result<PathBuf, StoreError> {
    let bad = |reason: &str| StoreError::BadUrl {
        url: text.to_owned(),
        reason: reason.to_owned(),
    };
    if text.is_empty() {
        return Err(bad("it is empty"));
    }
    let Some(scheme) = scheme(text) else {
        return std::path::absolute(text).map_err(|e| bad(&e.to_string()));
    };
    if scheme != "file" {
        return Err(StoreError::UnsupportedScheme { scheme });
    }
    let url = Url::parse(text).map_err(|e| bad(&e.to_string()))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("`?` and `#` in a path must be written as %3F and %23"));
    }
    // Url fills in what `file://relative` lacks in surprising ways: the text itself must say it
    let after = text.get("file://".len()..).unwrap_or_default();
    if !after.starts_with('/') && !after.starts_with("localhost/") {
        return Err(bad("the path is not absolute"));
    }
    url.to_file_path()
        .map_err(|()| bad("it names no local path"))
}

/// The scheme in lower case, when there is a `scheme://`.
fn scheme(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once("://")?;
    let mut chars = scheme.chars();
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (chars.next()?.is_ascii_alphabetic() && chars.all(letters)).then(|| scheme.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories() {
        let cwd = std::env::current_dir().unwrap();
        for (text, path) in [
            ("file:///var/b%20c", PathBuf::from("/var/b c")),
            ("FILE:///var/b", PathBuf::from("/var/b")),
            ("file://localhost/var/b/", PathBuf::from("/var/b/")),
            ("/var/b#c%20", PathBuf::from("/var/b#c%20")),
            ("b", cwd.join("b")),
            ("./a:b", cwd.join("a:b")),
        ] {
            assert_eq!(directory(text).unwrap(), path, "{text}");
        }
    }

    #[test]
    fn what_is_no_directory_says_why() {
        for url in ["", "file://", "file://b/c", "file:///a#b", "file:///a?b"] {
            assert!(
                matches!(directory(url), Err(StoreError::BadUrl { .. })),
                "{url}"
            );
        }
        for url in [
            "s3://key:secret@bucket/p",
            "gs://b",
            "az://c",
            "S3://b",
            "swift://x",
            "abfss://c/x",
        ] {
            let error = directory(url).unwrap_err().to_string();
            assert!(error.contains("not available in this build"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
