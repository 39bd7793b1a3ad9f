//! The place of a backup: `NAME` with `--storage` and a bucket, or a URI with all three.

use super::Failure;
use super::settings::{Environment, given};
use super::table::{NO_SWIFT, Opt};
use crate::compat::options::Parsed;
use crate::manifest::BackupName;

/// A kind of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    S3,
    /// Google's XML API, with the requests and the signatures of S3.
    Google,
    Azure,
}

/// The place of a backup.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) storage: Storage,
    /// The URL of the repository: the bucket, and the directories before the backup's name.
    pub(super) url: String,
    pub(super) name: BackupName,
}

/// The schemes of URIs; none of lsnap's own.
const SCHEMES: [(&str, Option<Storage>); 4] = [
    ("s3://", Some(Storage::S3)),
    ("google://", Some(Storage::Google)),
    ("azure://", Some(Storage::Azure)),
    ("swift://", None),
];
const CHAIN: &str = ".incr";

impl Place {
    /// Returns the place that an argument and the options name.
    pub(super) fn of(
        argument: &str,
        options: &Parsed,
        env: &Environment<'_>,
    ) -> Result<Self, Failure> {
        let uri = SCHEMES
            .iter()
            .find_map(|(scheme, storage)| Some((argument.strip_prefix(scheme)?, *storage)));
        let storage = match (uri, options.is_on(Opt::AzureDevelopmentStorage)) {
            (_, true) => Some(Storage::Azure),
            (Some((_, storage)), false) => storage,
            (None, false) => match options.word(Opt::Storage) {
                Some("S3") => Some(Storage::S3),
                Some("GOOGLE") => Some(Storage::Google),
                Some("AZURE") => Some(Storage::Azure),
                _ => None,
            },
        };
        let storage = storage.ok_or_else(|| {
            Failure(format!(
                "{NO_SWIFT}, which is the default; give --storage=S3, GOOGLE or AZURE, or a URI like s3://bucket/name"
            ))
        })?;
        let (bucket, name) = match uri {
            Some((rest, _)) => {
                let split = rest.split_once('/');
                let (bucket, name) = split.ok_or_else(|| {
                    Failure(format!(
                        "the URI has no name of a backup: '{argument}'; give bucket and name"
                    ))
                })?;
                (Some(bucket.to_owned()), name)
            }
            None => (None, argument),
        };
        let (option, variable) = match storage {
            Storage::S3 => (Opt::S3Bucket, None),
            Storage::Google => (Opt::GoogleBucket, None),
            Storage::Azure => (Opt::AzureContainerName, Some("AZURE_CONTAINER_NAME")),
        };
        let bucket = match bucket {
            Some(bucket) => Some(bucket),
            None => given(options, option, env, variable.as_slice())?,
        };
        let bucket = bucket.ok_or_else(|| {
            Failure(match storage {
                Storage::S3 => "S3 bucket is not specified; give --s3-bucket".to_owned(),
                Storage::Google => {
                    "Google bucket is not specified; give --google-bucket".to_owned()
                }
                Storage::Azure => {
                    "Azure container is not specified; give --azure-container-name".to_owned()
                }
            })
        })?;
        let (directory, name) = split(name)?;
        let scheme = match storage {
            Storage::S3 | Storage::Google => "s3",
            Storage::Azure => "az",
        };
        let url = format!("{scheme}://{bucket}/{directory}");
        Ok(Self {
            storage,
            url: url.trim_end_matches('/').to_owned(),
            name,
        })
    }
}

/// Splits a name into the directory of a repository, which may be empty, and the name in it: the
/// last component, or `<full>.incr/<name>`. So a backup in a repository of lsnap is found in it.
fn split(text: &str) -> Result<(String, BackupName), Failure> {
    let text = text.trim_matches('/');
    let components: Vec<&str> = text.split('/').collect();
    let of_name = match components[..] {
        [.., chain, _] if chain.ends_with(CHAIN) => 2,
        _ => 1,
    };
    let (directory, name) = components.split_at(components.len() - of_name);
    let name = BackupName::parse(&name.join("/")).map_err(|error| Failure(error.to_string()))?;
    Ok((directory.join("/"), name))
}
