//! Additional headers for a store: from options, and from a file for secrets.

use super::exit::Failure;
use crate::secret_file;
use crate::shown::shown_path;
use crate::store::Headers;
use std::path::Path;

/// Longest file of headers, in bytes.
const MAX: u64 = 64 << 10;
/// Parts of the names of headers with secrets, in lower case.
const SECRETS: &[&str] = &[
    "auth",
    "cookie",
    "credential",
    "key",
    "password",
    "secret",
    "token",
];

/// Returns the headers of `--header` and of a file. Errors don't have values of headers.
pub(super) fn of(given: &[String], file: Option<&Path>) -> Result<Headers, Failure> {
    let mut all = Vec::new();
    for (at, line) in given.iter().enumerate() {
        let (name, value) = split(line).ok_or_else(|| {
            Failure::arguments(format!("--header, number {}: expected NAME: VALUE", at + 1))
        })?;
        if is_secret(&name) {
            return Err(Failure::arguments(format!(
                "--header: {name} can be a secret, which other users of this machine can read in the arguments, and others \
                 in the configuration file: put it into the file of --header-file"
            )));
        }
        all.push((name, value));
    }
    let Some(path) = file else {
        return Ok(all.into_iter().collect());
    };
    let wrong =
        |what: String| Failure::arguments(format!("header file {}: {what}", shown_path(path)));
    let found = secret_file::read(path, "header", MAX).map_err(|e| wrong(e.to_string()))?;
    if let Some(warning) = found.warning {
        tracing::warn!("header file {}: {warning}", shown_path(path));
    }
    let text =
        std::str::from_utf8(&found.bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    for (at, line) in text.lines().enumerate() {
        if !line.trim().is_empty() {
            let header = split(line)
                .ok_or_else(|| wrong(format!("line {}: expected NAME: VALUE", at + 1)))?;
            all.push(header);
        }
    }
    Ok(all.into_iter().collect())
}

fn split(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim();
    (!name.is_empty()).then(|| (name.to_owned(), value.trim().to_owned()))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|word| name.contains(word))
}

/// Returns a header without its value.
pub(super) fn masked(line: &str) -> String {
    match split(line) {
        Some((name, _)) => format!("{name}: ***"),
        None => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_a_file_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "Authorization-X: s3cret\n\nX-B: c: d\n").unwrap();
        let given = ["X-Team: dba".to_owned()];
        let found = of(&given, Some(file.path())).unwrap();
        let expected = [
            ("X-Team", "dba"),
            ("Authorization-X", "s3cret"),
            ("X-B", "c: d"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found, expected.into_iter().collect());
        assert!(!format!("{found:?}").contains("s3cret"));
        for bad in [
            "X-Auth: s3cret",
            "no colon s3cret",
            ": s3cret",
            "cookie:s3cret",
        ] {
            let (_, _, message) = of(&[bad.to_owned()], None).unwrap_err().into_parts();
            assert!(!message.contains("s3cret"), "{message}");
        }
        assert_eq!(masked("X-Team: dba"), "X-Team: ***");
        assert_eq!(masked("dba"), "***");
    }
}
