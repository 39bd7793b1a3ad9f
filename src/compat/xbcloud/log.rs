//! xbcloud's messages on standard error: `YYMMDD hh:mm:ss xbcloud: the text`.

use crate::cli;
use crate::shown;
use chrono::Local;

/// Fields of the library, and the options of xbcloud that set them.
const FIELDS: &[(&str, &str)] = &[
    ("FifoOptions::count", "--fifo-streams"),
    ("FifoOptions::directory", "--fifo-dir"),
    ("FifoOptions::timeout", "--fifo-timeout"),
    ("StoreOptions::addressing", "--s3-bucket-lookup"),
    ("StoreOptions::ca_file", "--cacert"),
    (
        "StoreOptions::endpoint",
        "--s3-endpoint, --google-endpoint or --azure-endpoint",
    ),
    ("StoreOptions::headers", "--header"),
    ("StoreOptions::insecure", "--insecure"),
    ("StoreOptions::max_backoff", "--max-backoff"),
    ("StoreOptions::max_retries", "--max-retries"),
    ("StoreOptions::region", "--s3-region or --google-region"),
    (
        "StoreOptions::storage_class",
        "--s3-storage-class or --google-storage-class",
    ),
    ("StoreOptions::timeout", "--timeout"),
];
/// Parts of messages that advise settings which xbcloud doesn't have.
const WITHOUT: &[&str] = &[
    "; if it refuses the checksum, set StoreOptions::checksum_header to false",
    " (http:// also needs StoreOptions::allow_http)",
];

/// Writes a message. It may begin with the name of the program.
pub(super) fn line(text: &str) {
    let text = translated(&shown::lines(text));
    let text = text.strip_prefix("xbcloud: ").unwrap_or(&text);
    let time = Local::now().format("%y%m%d %H:%M:%S");
    for line in text.lines() {
        cli::print_to_stderr(&format!("{time} xbcloud: {line}\n"));
    }
}

/// Replaces fields of the library by options of xbcloud.
fn translated(text: &str) -> String {
    let parts = WITHOUT.iter();
    let text = parts.fold(text.to_owned(), |text, part| text.replace(part, ""));
    let own = |owner: &str, field: &str| {
        let path = format!("{owner}::{field}");
        let own = FIELDS.iter().find(|(other, _)| *other == path);
        own.map(|(_, option)| (*option).to_owned())
    };
    cli::translated_by(&text, &own).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::xbcloud::table::TABLE;

    #[test]
    fn messages_name_options_of_xbcloud() {
        for (_, options) in FIELDS {
            let mut words = options.split([' ', ',']).filter(|w| w.starts_with("--"));
            let known = |word: &str| TABLE.iter().any(|spec| spec.to_string() == word);
            assert!(
                words.clone().next().is_some() && words.all(known),
                "{options}"
            );
        }
        assert_eq!(
            translated("set StoreOptions::ca_file to the certificate"),
            "set --cacert to the certificate"
        );
        assert_eq!(
            translated(
                "correct the endpoint's scheme (http:// also needs StoreOptions::allow_http)"
            ),
            "correct the endpoint's scheme"
        );
    }
}
