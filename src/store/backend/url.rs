//! Parsing of repository URLs.
//!
//! # Stores
//!
//! | URL | store | tested against |
//! |---|---|---|
//! | `file:///path`, `file:/path`, or a plain path | a directory | itself |
//! | `s3://bucket/prefix` | Amazon S3 and compatible stores (`StoreOptions::endpoint`) | moto 5.2 |
//! | `gs://bucket/prefix` | Google Cloud Storage | moto behind a translator of headers |
//! | `az://container/prefix` | Azure Blob Storage | Azurite 3.37 |
//!
//! The three real clouds were **not** tested. The prefix is used byte for byte (no
//! percent-encoding), as in `aws s3` and `gsutil`. Credentials are never part of a URL or of an
//! argument; they are searched in the same places as by the cloud's own tools, in this order:
//!
//! * **S3**: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` (skipped if
//!   `StoreOptions::profile` is set); web identity (`AWS_WEB_IDENTITY_TOKEN_FILE` and
//!   `AWS_ROLE_ARN`: IRSA on EKS); the profile `StoreOptions::profile`, `AWS_PROFILE` or `default`
//!   of `~/.aws/credentials` and `~/.aws/config` (or `AWS_SHARED_CREDENTIALS_FILE`,
//!   `AWS_CONFIG_FILE`): static keys, web identity, `region`, `endpoint_url`; the container's
//!   (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, or `..._FULL_URI` with
//!   `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`: ECS, EKS Pod Identity); the instance's (IMDSv2,
//!   unless `AWS_EC2_METADATA_DISABLED=true`). *Not* supported in a profile, and refused by name:
//!   `credential_process`, `sso_*`, `role_arn` with `source_profile`, `login_session`; `aws
//!   configure export-credentials --format env` converts them into environment variables.
//!   `services` sections are not read.
//! * **GCS**: `GOOGLE_SERVICE_ACCOUNT` (a file) or `GOOGLE_SERVICE_ACCOUNT_KEY`,
//!   `GOOGLE_BEARER_TOKEN`, `GOOGLE_APPLICATION_CREDENTIALS`, the file that `gcloud auth
//!   application-default login` writes, the metadata server (Compute Engine, GKE Workload
//!   Identity). Not supported: `external_account` files (federation from outside Google).
//! * **Azure**: `AZURE_STORAGE_CONNECTION_STRING` (`AccountName`, `AccountKey`,
//!   `SharedAccessSignature`, `BlobEndpoint`, `EndpointSuffix`, `DefaultEndpointsProtocol`), else the
//!   account in `AZURE_STORAGE_ACCOUNT` or `AZURE_STORAGE_ACCOUNT_NAME` with `AZURE_STORAGE_KEY` or
//!   `AZURE_STORAGE_ACCOUNT_KEY`; workload identity (`AZURE_CLIENT_ID`, `AZURE_TENANT_ID`,
//!   `AZURE_FEDERATED_TOKEN_FILE`); a client secret (`AZURE_CLIENT_SECRET`); `AZURE_STORAGE_SAS_TOKEN`;
//!   the Azure CLI with `AZURE_USE_AZURE_CLI=true`; managed identity.
//!
//! `AWS_SKIP_SIGNATURE`, `GOOGLE_SKIP_SIGNATURE` and `AZURE_SKIP_SIGNATURE` (`true`) send requests
//! without credentials. Options ([`crate::store::backend::options::StoreOptions`]) have priority
//! over the environment.
//!
//! A store must support create-only puts (S3 `If-None-Match: *`, which Amazon, MinIO's successors
//! and R2 support, GCS `x-goog-if-generation-match: 0`, Azure `If-None-Match: *`). Every object is
//! one PUT: lsnap's objects have at most tens of MiB (S3 accepts 5 GiB), and object_store 0.14
//! doesn't have a multipart upload that refuses to overwrite. Therefore an aborted upload can't
//! leave parts behind. S3 receives and checks a SHA-256 of each object.
//!
//! A store without create-only puts (it responds with 501, or 400 `NotImplemented`) can't be used,
//! and there is no option to permit it: two backups under one name could overwrite each other's
//! objects, and two incrementals on one base could both look finished, of which a restore would
//! silently omit one. Back up to a directory, or as a stream, and copy that with the store's own
//! tools. A store that only refuses the header `x-amz-checksum-sha256` can be used without it
//! ([`crate::store::backend::options::StoreOptions::checksum_header`]); then only the signature
//! protects the body in transit.
//!
//! # A store that is unavailable
//!
//! No connection, a broken one, a timeout, 408, 429 and 5xx (except 501) are retried for
//! [`crate::store::backend::options::StoreOptions::retry_deadline`], ten minutes by default, with
//! waits that grow to a few seconds. A warning is logged after two seconds, then every half minute,
//! and when the store is available again. Meanwhile a backup continues to copy the redo log into
//! its spool; the tables of the server are not kept locked (`staged`); the lease of a chain stays
//! valid, unless another agent that can reach the store takes it over. Refused credentials, a
//! missing bucket, an untrusted certificate and responses that don't come from a store are final at
//! once.
//!
//! Differences between the test servers and the clouds: moto accepts any signature and doesn't
//! check permissions, and executes create-only puts under one lock, where Amazon may respond with
//! 409 first (a proxy does so in the tests). Azurite checks signatures. No server in the registries
//! has the XML interface of GCS that object_store uses (fake-gcs-server refuses its PUT,
//! gcp-storage-emulator ignores the condition): `tests/stores/gcs_front.py` translates GCS headers
//! into S3 headers and forwards the requests to moto. So for `gs://` the requests and responses are
//! tested, but not Google's own conditions. Credentials of an instance, a container and web
//! identity on S3 are tested with responses as Amazon documents them. OAuth of Google and Azure and
//! their metadata services were not tested: there the code of object_store is trusted.
//!
//! Known limit: a foreign key with an empty segment (`a//b`) ends a listing with an error, because
//! object_store can't represent it.

use crate::store::error::open::OpenFault;
use std::path::PathBuf;

use object_store::path::Path;
use url::Url;

use crate::store::error::StoreError;

/// A cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Cloud {
    S3,
    Gcs,
    Azure,
}

/// The location of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Location {
    /// An absolute path of a directory.
    Directory(PathBuf),
    /// A bucket (or container), and the prefix of every key in it.
    Bucket {
        cloud: Cloud,
        bucket: String,
        prefix: Path,
    },
}

/// Permitted lengths of a bucket's name. GCS permits the longest, with dots in it.
const BUCKET: std::ops::RangeInclusive<usize> = 3..=222;

/// Parses a URL or a path.
pub(in crate::store) fn parse(text: &str) -> Result<Location, StoreError> {
    refuse_typos(text)?;
    let cloud = match scheme(text).as_deref() {
        Some("s3") => Cloud::S3,
        Some("gs") => Cloud::Gcs,
        Some("az") => Cloud::Azure,
        _ => return directory(text).map(Location::Directory),
    };
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let bad = |reason: &str| {
        StoreError::Open(OpenFault::BadUrl {
            url: without_secrets(text),
            reason: reason.to_owned(),
        })
    };
    if bucket.contains('@') {
        return Err(bad(
            "credentials must not be in a URL: lsnap reads them from the same places as the cloud's own tools",
        ));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '$');
    if !BUCKET.contains(&bucket.len()) || !bucket.chars().all(plain) {
        return Err(bad(
            "a bucket's name has 3 or more letters, digits, `-`, `.` and `_`, as in s3://bucket/prefix",
        ));
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let path = Path::parse(prefix)
        .ok()
        .filter(|path| path.as_ref() == prefix)
        .ok_or_else(|| {
            bad("the prefix has an empty, `.` or `..` component or control characters")
        })?;
    Ok(Location::Bucket {
        cloud,
        bucket: bucket.to_owned(),
        prefix: path,
    })
}

/// Returns the URL for messages: without the part before an `@` in its host.
pub(super) fn without_secrets(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        // a secret may contain `/` and `@`: then any part after the scheme may belong to it
        Some((_, host)) if !path.contains('@') => format!("{scheme}://***@{host}{path}"),
        None if !path.contains('@') => text.to_owned(),
        _ => format!("{scheme}://***"),
    }
}

/// Returns the directory that `text` names: `file:///path` or `file:/path` (percent-decoded), or a
/// plain path, made absolute.
pub(crate) fn directory(text: &str) -> Result<PathBuf, StoreError> {
    refuse_typos(text)?;
    let bad = |reason: &str| {
        StoreError::Open(OpenFault::BadUrl {
            url: text.to_owned(),
            reason: reason.to_owned(),
        })
    };
    if text.is_empty() {
        return Err(bad("it is empty"));
    }
    let Some(scheme) = scheme(text) else {
        return std::path::absolute(text).map_err(|e| bad(&e.to_string()));
    };
    if scheme != "file" {
        return Err(StoreError::Open(OpenFault::UnsupportedScheme { scheme }));
    }
    let url = Url::parse(text).map_err(|e| bad(&e.to_string()))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("`?` and `#` in a path must be written as %3F and %23"));
    }
    // `Url` completes `file://relative` in surprising ways, so the text itself is checked
    let after = text.get("file:".len()..).unwrap_or_default();
    let absolute = match after.strip_prefix("//") {
        Some(after) => after.starts_with('/') || after.starts_with("localhost/"),
        None => after.starts_with('/'),
    };
    if !absolute {
        return Err(bad("the path is not absolute"));
    }
    url.to_file_path()
        .map_err(|()| bad("it is not a local path"))
}

/// Returns the scheme in lower case, if the text begins with `scheme://` or `file:/`.
fn scheme(text: &str) -> Option<String> {
    if text
        .get(..6)
        .is_some_and(|head| head.eq_ignore_ascii_case("file:/"))
    {
        return Some("file".to_owned());
    }
    let (scheme, _) = text.split_once("://")?;
    is_scheme(scheme).then(|| scheme.to_ascii_lowercase())
}

fn is_scheme(text: &str) -> bool {
    let mut chars = text.chars();
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.all(letters)
}

/// Common spellings of the supported schemes.
const SPELLINGS: [(&str, &str); 8] = [
    ("s3", "s3"),
    ("s3a", "s3"),
    ("s3n", "s3"),
    ("gs", "gs"),
    ("gcs", "gs"),
    ("az", "az"),
    ("azure", "az"),
    ("file", "file"),
];

/// Refuses a mistyped URL that would count as a plain path: `s3:/bucket/prefix`, `s3//bucket`, `
/// s3://bucket`. A backup would go to a directory of that name, on the server's own disk.
fn refuse_typos(text: &str) -> Result<(), StoreError> {
    let Some(likely) = typo(text) else {
        return Ok(());
    };
    let hint = match likely.as_str() {
        // the rest may contain a secret
        _ if text.contains('@') => "it looks like a URL with a mistake at its beginning".to_owned(),
        "" => "it looks like a URL with a scheme that lsnap doesn't support".to_owned(),
        likely => format!("it looks like a mistake for `{likely}`"),
    };
    Err(StoreError::Open(OpenFault::BadUrl {
        url: if text.contains('@') {
            "***".to_owned()
        } else {
            text.escape_debug().to_string()
        },
        reason: format!("{hint}; for a directory of this name, write `./` before it"),
    }))
}

/// Returns the URL that a mistyped text was probably meant to be; empty if it can't be derived,
/// `None` if the text is a plain path.
fn typo(text: &str) -> Option<String> {
    if scheme(text).is_some() {
        return None;
    }
    let trimmed = text.trim_start();
    let end = trimmed.find(|c: char| !c.is_ascii_alphanumeric());
    let (word, rest) = trimmed.split_at(end.unwrap_or(trimmed.len()));
    let rest = rest.trim_start();
    let word = word.to_ascii_lowercase();
    let known = SPELLINGS.iter().find(|(spelling, _)| *spelling == word);
    let after = rest.trim_start_matches([':', ';', '/', '\\', ' ']);
    if let Some((_, scheme)) = known {
        let head = rest.strip_suffix(after).unwrap_or_default();
        // `s3/b` is an ordinary path
        let looks = head.contains([':', ';', '\\']) || head.contains("//");
        let slash = if *scheme == "file" { "/" } else { "" };
        return looks.then(|| format!("{scheme}://{slash}{after}"));
    }
    // `word:/...`, and a scheme with blanks in front or within
    let (scheme, _) = trimmed.split_once(":/")?;
    is_scheme(scheme.trim_end()).then(String::new)
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
            ("a:b", cwd.join("a:b")),
            ("2026:/x", cwd.join("2026:/x")),
            ("s3", cwd.join("s3")),
            ("s3/b/p", cwd.join("s3/b/p")),
            ("gs-backups/az", cwd.join("gs-backups/az")),
            ("./s3:b", cwd.join("s3:b")),
            ("/s3:/b", PathBuf::from("/s3:/b")),
            ("file:/var/b%20c", PathBuf::from("/var/b c")),
            ("FILE:/var/b", PathBuf::from("/var/b")),
        ] {
            assert_eq!(directory(text).unwrap(), path, "{text}");
        }
    }

    #[test]
    fn mistyped_urls_are_refused() {
        for (text, likely) in [
            ("s3:/b/p", "`s3://b/p`"),
            ("s3:b", "`s3://b`"),
            ("s3//b", "`s3://b`"),
            ("S3:/b", "`s3://b`"),
            ("s3;//b", "`s3://b`"),
            ("s3 ://b", "`s3://b`"),
            (" s3://b", "`s3://b`"),
            ("s3: //b", "`s3://b`"),
            ("s3:\\\\b", "`s3://b`"),
            ("gs:/b", "`gs://b`"),
            ("gcs:b", "`gs://b`"),
            ("az:c/x", "`az://c/x`"),
            ("file:b/c", "`file:///b/c`"),
            (" file:///b", "`file:///b`"),
            ("file//b", "`file:///b`"),
            ("host:/b", "doesn't support"),
            ("swift:/b", "doesn't support"),
        ] {
            for error in [parse(text).unwrap_err(), directory(text).unwrap_err()] {
                assert!(
                    matches!(error, StoreError::Open(OpenFault::BadUrl { .. })),
                    "{text}: {error}"
                );
                let error = error.to_string();
                assert!(error.contains(likely), "{text}: {error}");
            }
        }
        for text in ["S3://", "s3://", "s3:///b"] {
            parse(text).unwrap_err();
        }
        let error = parse("s3:/key:secret@b/p").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn invalid_directories_are_refused_with_a_reason() {
        for url in ["", "file://", "file://b/c", "file:///a#b", "file:///a?b"] {
            assert!(
                matches!(
                    directory(url),
                    Err(StoreError::Open(OpenFault::BadUrl { .. }))
                ),
                "{url}"
            );
        }
        for url in ["swift://key:secret@x", "abfss://c/x", "https://b.example/x"] {
            let error = directory(url).unwrap_err().to_string();
            assert!(error.contains("not available in this build"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
    #[test]
    fn buckets() {
        for (text, cloud, bucket, prefix) in [
            ("s3://bucket", Cloud::S3, "bucket", ""),
            ("S3://bucket/", Cloud::S3, "bucket", ""),
            ("s3://bucket/a b/%41#ü/", Cloud::S3, "bucket", "a b/%41#ü"),
            ("gs://my.bucket/p@q", Cloud::Gcs, "my.bucket", "p@q"),
            ("az://con-tainer/x/y", Cloud::Azure, "con-tainer", "x/y"),
        ] {
            let expected = Location::Bucket {
                cloud,
                bucket: bucket.to_owned(),
                prefix: Path::parse(prefix).unwrap(),
            };
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn invalid_buckets_are_refused_without_the_secret() {
        for text in [
            "s3://",
            "s3://ab/x",
            "s3:///x",
            "gs://buck et/x",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "s3://key:secret@bucket/p",
            "s3://key:sec/secret@bucket/p",
            "az://key:secret@bucket",
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                matches!(error, StoreError::Open(OpenFault::BadUrl { .. })),
                "{text}: {error}"
            );
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(text in "(s3://|gs://|az://|file://)?.{0,40}") {
            let _ = parse(&text);
            let _ = without_secrets(&text);
        }
    }
}
