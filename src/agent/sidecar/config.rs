//! The body of a request. Fields that the operator leaves out, or sends as `null`, have their zero value; unknown fields
//! are ignored: its program is of Go.

use super::name::check_destination;
use serde::{Deserialize, Deserializer};
use std::fmt;
use zeroize::Zeroizing;

/// A backup: where it is stored, and how it is made.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BackupConfig {
    /// The path without the bucket.
    #[serde(deserialize_with = "or_zero")]
    pub(super) destination: String,
    /// The kind of storage: `s3`, `gcs` or `azure`.
    #[serde(rename = "type", deserialize_with = "or_zero")]
    pub(super) kind: String,
    /// Whether the certificate of the store is checked.
    #[serde(rename = "verifyTLS", deserialize_with = "or_zero")]
    pub(super) verify_tls: bool,
    #[serde(deserialize_with = "or_zero")]
    pub(super) container_options: ContainerOptions,
    #[serde(deserialize_with = "or_zero")]
    pub(super) s3: S3,
    #[serde(deserialize_with = "or_zero")]
    pub(super) gcs: Gcs,
    #[serde(deserialize_with = "or_zero")]
    pub(super) azure: Azure,
    #[serde(deserialize_with = "or_zero")]
    pub(super) encryption_key_file: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) encryption_key_version: String,
    /// The backup is incremental if this is not empty.
    #[serde(deserialize_with = "or_zero")]
    pub(super) incremental_lsn: String,
}

/// More arguments and variables for the programs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerOptions {
    #[serde(deserialize_with = "or_zero")]
    pub(super) env: Vec<Variable>,
    #[serde(deserialize_with = "or_zero")]
    pub(super) args: Args,
}

/// A variable of the environment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Variable {
    #[serde(deserialize_with = "or_zero")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) value: Secret,
}

/// More arguments of each program. Those of `xbstream` are for restores.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Args {
    #[serde(deserialize_with = "or_zero")]
    pub(super) xtrabackup: Vec<String>,
    #[serde(deserialize_with = "or_zero")]
    pub(super) xbcloud: Vec<String>,
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments can be secrets.
        f.debug_struct("Args").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct S3 {
    #[serde(deserialize_with = "or_zero")]
    pub(super) bucket: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) region: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) endpoint_url: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) storage_class: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) access_key: Secret,
    #[serde(deserialize_with = "or_zero")]
    pub(super) secret_key: Secret,
}

/// Google's XML API, with HMAC keys.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Gcs {
    #[serde(deserialize_with = "or_zero")]
    pub(super) bucket: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) endpoint_url: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) storage_class: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) access_key: Secret,
    #[serde(deserialize_with = "or_zero")]
    pub(super) secret_key: Secret,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Azure {
    #[serde(deserialize_with = "or_zero")]
    pub(super) container_name: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) endpoint_url: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) storage_class: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) storage_account: Secret,
    #[serde(deserialize_with = "or_zero")]
    pub(super) access_key: Secret,
}

/// A text that is not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    /// Returns the text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

fn or_zero<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl BackupConfig {
    /// Parses and checks a body.
    ///
    /// # Errors
    /// What is wrong, without values: they may be secrets.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(body).map_err(|error| {
            format!(
                "the body is not the JSON of a backup: line {}, column {}",
                error.line(),
                error.column()
            )
        })?;
        if !["s3", "gcs", "azure"].contains(&config.kind.as_str()) {
            return Err("the type of the storage is none of s3, gcs, azure".to_owned());
        }
        check_destination(&config.destination)
            .map_err(|reason| format!("the destination can't be used: {reason}"))?;
        let lsn = &config.incremental_lsn;
        if !lsn.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("incrementalLsn is not a number".to_owned());
        }
        let names = config.container_options.env.iter().map(|v| v.name.as_str());
        let is_bad = |name: &str| name.is_empty() || name.contains(['=', '\0']);
        if names.into_iter().any(is_bad) {
            return Err("a variable of containerOptions has no valid name".to_owned());
        }
        let args = &config.container_options.args;
        let mut words = args.xtrabackup.iter().chain(&args.xbcloud);
        let values = &config.container_options.env;
        if words.any(|word| word.contains('\0'))
            || values.iter().any(|v| v.value.text().contains('\0'))
            || config.encryption_key_file.contains('\0')
        {
            return Err("containerOptions has a NUL character".to_owned());
        }
        Ok(config)
    }

    /// Returns the configuration without secrets. Arguments and variables can be secrets.
    pub(super) fn public(&self) -> serde_json::Value {
        let bucket = |bucket: &str, endpoint: &str, class: &str| serde_json::json!({"bucket": bucket, "endpointUrl": endpoint, "storageClass": class});
        let mut s3 = bucket(
            &self.s3.bucket,
            &self.s3.endpoint_url,
            &self.s3.storage_class,
        );
        s3["region"] = self.s3.region.as_str().into();
        serde_json::json!({
            "destination": self.destination,
            "type": self.kind,
            "verifyTLS": self.verify_tls,
            "s3": s3,
            "gcs": bucket(&self.gcs.bucket, &self.gcs.endpoint_url, &self.gcs.storage_class),
            "azure": {
                "containerName": self.azure.container_name,
                "endpointUrl": self.azure.endpoint_url,
                "storageClass": self.azure.storage_class,
            },
            "encryptionKeyFile": self.encryption_key_file,
            "encryptionKeyVersion": self.encryption_key_version,
            "incrementalLsn": self.incremental_lsn,
        })
    }
}
