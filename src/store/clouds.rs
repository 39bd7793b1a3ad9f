//! Opens the three clouds: credentials, endpoint, TLS and patience, each from the options first, then
//! from the environment, as [`super::url`] documents.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as S3Key, Checksum, S3CopyIfNotExists};
use object_store::azure::{AzureConfigKey as AzureKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::store::credentials::Told;
use crate::store::remote::{Patience, Remote};
use crate::store::url::{Cloud, without_secrets};
use crate::store::{
    Addressing, StoreError, StoreOptions, Variables, aws_profile, azure_connection,
};

/// The first wait between two tries.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How long credentials are asked for: an instance's metadata service answers at once or is not there.
const CREDENTIALS: (usize, Duration) = (3, Duration::from_secs(15));

const NO_S3: &str = "no credentials for S3: there is neither AWS_ACCESS_KEY_ID, nor web identity, nor a \
    profile with keys, nor a container's credentials, and the last resort, the instance's metadata \
    service, gave none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE";
const NO_GCS: &str = "no credentials for GCS: of GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT, \
    the file of `gcloud auth application-default login` and the metadata server none gave a token; set \
    GOOGLE_APPLICATION_CREDENTIALS to the file of a service account's key";
const NO_AZURE: &str = "no credentials for Azure: of AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY, \
    workload identity, client secret, AZURE_STORAGE_SAS_TOKEN and managed identity none gave a token; \
    set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY";

/// Opens the store; asks it nothing yet.
pub(super) fn open(
    url: &str,
    (cloud, bucket, prefix): (Cloud, &str, &Path),
    options: &StoreOptions,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    // reqwest takes the process's provider; one that the program chose before stays
    let _ = rustls::crypto::ring::default_provider().install_default();
    let variables = options
        .variables
        .clone()
        .unwrap_or_else(Variables::of_process);
    let env = |name: &str| variables.get(name).map(str::to_owned);
    if cloud != Cloud::S3 {
        only_s3(options)?;
    }
    let opening = Opening {
        url,
        bucket,
        options,
        client: client(options)?,
        variables: &variables,
        env: &env,
    };
    let store = match cloud {
        Cloud::S3 => opening.s3()?,
        Cloud::Gcs => opening.gcs()?,
        Cloud::Azure => opening.azure()?,
    };
    let patience = Patience {
        retries: options.max_retries,
        longest_wait: options.max_backoff,
        deadline: options.retry_deadline,
    };
    Ok(Arc::new(Remote::new(
        Arc::new(PrefixStore::new(store, prefix.clone())),
        patience,
    )))
}

fn only_s3(options: &StoreOptions) -> Result<(), StoreError> {
    let given = [
        ("--region", options.region.is_some()),
        ("--profile", options.profile.is_some()),
        (
            "--path-style or --virtual-hosted",
            options.addressing.is_some(),
        ),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(bad(option, "only s3:// has it".to_owned())),
        None => Ok(()),
    }
}

fn client(options: &StoreOptions) -> Result<ClientOptions, StoreError> {
    let mut client = ClientOptions::new()
        .with_timeout(options.timeout)
        .with_connect_timeout(options.connect_timeout.min(options.timeout))
        .with_allow_http(options.allow_http);
    if let Some(path) = &options.ca_file {
        let pem =
            std::fs::read(path).map_err(|e| StoreError::io("reading the CA file", path, e))?;
        let found = Certificate::from_pem_bundle(&pem)
            .ok()
            .filter(|found| !found.is_empty());
        let found = found.ok_or_else(|| {
            bad(
                "--ca-file",
                format!("{} holds no certificate in PEM form", path.display()),
            )
        })?;
        for certificate in found {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

fn retry(options: &StoreOptions) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: FIRST_WAIT.min(options.max_backoff),
            max_backoff: options.max_backoff,
            base: 2.0,
        },
        max_retries: options.max_retries,
        retry_timeout: options.retry_deadline,
    }
}

/// The same for credentials.
fn quick(options: &StoreOptions) -> RetryConfig {
    let (retries, deadline) = CREDENTIALS;
    RetryConfig {
        max_retries: options.max_retries.min(retries),
        retry_timeout: options.retry_deadline.min(deadline),
        ..retry(options)
    }
}

fn bad(option: &'static str, reason: String) -> StoreError {
    StoreError::BadOption { option, reason }
}

struct Opening<'a> {
    url: &'a str,
    bucket: &'a str,
    options: &'a StoreOptions,
    client: ClientOptions,
    variables: &'a Variables,
    env: &'a dyn Fn(&str) -> Option<String>,
}

impl Opening<'_> {
    /// Hands every variable that a builder knows to it, as its own `from_env` does.
    fn configured<B, K: FromStr>(
        &self,
        builder: B,
        prefix: &str,
        with: impl Fn(B, K, &str) -> B,
    ) -> B {
        let variables = self.variables.starting(prefix);
        variables.fold(builder, |builder, (name, value)| {
            match name.to_ascii_lowercase().parse() {
                Ok(key) => with(builder, key, value),
                Err(_) => builder,
            }
        })
    }

    fn s3(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let mut builder = self.configured(AmazonS3Builder::new(), "AWS_", |b, key, value| {
            b.with_config(key, value)
        });
        let env = self.env;
        let named = self.options.profile.clone().or_else(|| env("AWS_PROFILE"));
        let keys = self.options.profile.is_none() && env("AWS_ACCESS_KEY_ID").is_some();
        let identity =
            env("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() && env("AWS_ROLE_ARN").is_some();
        let profile = match &named {
            // what comes first decides: then a profile that is not supported does no harm
            None if keys || identity => None,
            _ => {
                let name = named.as_deref().unwrap_or("default");
                let profile = aws_profile::read(name, named.is_some(), env);
                // keys in the environment come before AWS_PROFILE's, its region does not
                if keys { profile.ok() } else { Some(profile?) }
            }
        };
        let profile = profile.unwrap_or_default();
        if self.options.profile.is_some() || !(keys || identity) {
            if let Some((id, secret, token)) = &profile.keys {
                builder = builder
                    .with_access_key_id(id)
                    .with_secret_access_key(secret.as_str());
                builder = builder.with_token(token.as_ref().map_or("", |t| t.as_str()));
            } else if let Some((role, file)) = &profile.web_identity {
                builder = builder
                    .with_config(S3Key::RoleArn, role)
                    .with_config(S3Key::WebIdentityTokenFile, file);
            } else if self.options.profile.is_some() {
                return Err(bad("--profile", "the profile has no keys".to_owned()));
            } else if env("AWS_EC2_METADATA_DISABLED")
                .is_some_and(|v| v.eq_ignore_ascii_case("true"))
                && !env("AWS_SKIP_SIGNATURE").is_some_and(|v| v == "true")
                && env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_none()
                && env("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_none()
            {
                return Err(self.no_credentials(NO_S3));
            }
        }
        let region = self.options.region.clone();
        let region = region
            .or_else(|| env("AWS_REGION"))
            .or_else(|| env("AWS_DEFAULT_REGION"));
        let region = region
            .or(profile.region)
            .unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = self.options.endpoint.clone();
        let endpoint = endpoint
            .or_else(|| env("AWS_ENDPOINT_URL_S3"))
            .or_else(|| env("AWS_ENDPOINT_URL"));
        let endpoint = endpoint
            .or_else(|| env("AWS_ENDPOINT"))
            .or(profile.endpoint);
        let (virtual_hosted, endpoint) = self.s3_endpoint(endpoint)?;
        builder = builder
            .with_bucket_name(self.bucket)
            .with_region(region)
            .with_virtual_hosted_style_request(virtual_hosted)
            .with_checksum_algorithm(Checksum::SHA256)
            // the only create-only copy that Amazon has
            .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
            .with_client_options(self.client.clone());
        if let Some(endpoint) = endpoint {
            // the S3 one, which comes before the general one that `from_env` may have found
            builder = builder.with_config(S3Key::S3Endpoint, endpoint);
        }
        let asked = builder.clone().with_retry(quick(self.options)).build();
        let credentials = Told::new(asked.map_err(|e| self.refused(&e))?.credentials(), NO_S3);
        let store = builder
            .with_credentials(credentials)
            .with_retry(retry(self.options))
            .build();
        Ok(Arc::new(store.map_err(|e| self.refused(&e))?))
    }

    /// Whether the bucket is in the host's name, and the endpoint with it in that case.
    fn s3_endpoint(&self, endpoint: Option<String>) -> Result<(bool, Option<String>), StoreError> {
        let own = endpoint.is_some();
        let style = self
            .options
            .addressing
            .unwrap_or(if own || self.bucket.contains('.') {
                Addressing::Path
            } else {
                Addressing::VirtualHosted
            });
        let hosted = style == Addressing::VirtualHosted;
        let Some(endpoint) = endpoint else {
            return Ok((hosted, None));
        };
        let mut url = self.endpoint(&endpoint)?;
        if hosted {
            let host = format!("{}.{}", self.bucket, url.host_str().unwrap_or_default());
            url.set_host(Some(&host)).map_err(|_| {
                bad(
                    "--virtual-hosted",
                    format!("{host} can't be a host's name; use --path-style"),
                )
            })?;
        }
        Ok((hosted, Some(url.as_str().trim_end_matches('/').to_owned())))
    }

    fn gcs(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let mut builder = self
            .configured(
                GoogleCloudStorageBuilder::new(),
                "GOOGLE_",
                |b, key, value| b.with_config(key, value),
            )
            .with_bucket_name(self.bucket)
            .with_client_options(self.client.clone());
        if let Some(endpoint) = &self.options.endpoint {
            let endpoint = self.endpoint(endpoint)?;
            builder = builder.with_base_url(endpoint.as_str().trim_end_matches('/'));
        }
        let asked = builder.clone().with_retry(quick(self.options)).build();
        let credentials = Told::new(asked.map_err(|e| self.refused(&e))?.credentials(), NO_GCS);
        let store = builder
            .with_credentials(credentials)
            .with_retry(retry(self.options))
            .build();
        Ok(Arc::new(store.map_err(|e| self.refused(&e))?))
    }

    fn azure(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let env = self.env;
        let connection = env("AZURE_STORAGE_CONNECTION_STRING");
        let connection = connection
            .as_deref()
            .map(azure_connection::parse)
            .transpose()?
            .unwrap_or_default();
        let mut builder = self
            .configured(MicrosoftAzureBuilder::new(), "AZURE_", |b, key, value| {
                b.with_config(key, value)
            })
            .with_container_name(self.bucket)
            .with_client_options(self.client.clone());
        if let Some(endpoint) = env("IDENTITY_ENDPOINT") {
            builder = builder.with_msi_endpoint(endpoint);
        }
        let account = connection.account.or_else(|| env("AZURE_STORAGE_ACCOUNT"));
        if let Some(account) = account.or_else(|| env("AZURE_STORAGE_ACCOUNT_NAME")) {
            builder = builder.with_account(account);
        } else if builder.get_config_value(&AzureKey::AccountName).is_none() {
            return Err(self.no_credentials(
                "no storage account for az://: set AZURE_STORAGE_ACCOUNT, or \
                 AZURE_STORAGE_CONNECTION_STRING",
            ));
        }
        if let Some(key) = connection.key.or_else(|| env("AZURE_STORAGE_KEY")) {
            builder = builder.with_access_key(key);
        }
        if let Some(sas) = connection.sas {
            builder = builder.with_config(AzureKey::SasKey, sas);
        }
        let endpoint = self.options.endpoint.clone().or(connection.endpoint);
        let endpoint = endpoint.or_else(|| builder.get_config_value(&AzureKey::Endpoint));
        if let Some(endpoint) = endpoint {
            let endpoint = self.endpoint(&endpoint)?;
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned());
        }
        let asked = builder.clone().with_retry(quick(self.options)).build();
        let credentials = Told::new(asked.map_err(|e| self.refused(&e))?.credentials(), NO_AZURE);
        let store = builder
            .with_credentials(credentials)
            .with_retry(retry(self.options))
            .build();
        Ok(Arc::new(store.map_err(|e| self.refused(&e))?))
    }

    /// Checks an endpoint, whoever gave it.
    fn endpoint(&self, text: &str) -> Result<Url, StoreError> {
        let shown = without_secrets(text);
        let wrong = |reason: &str| bad("--endpoint", format!("`{shown}` {reason}"));
        let url = Url::parse(text).map_err(|_| wrong("is no URL; write https://host[:port]"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "holds credentials: lsnap finds them where the cloud's own tools do",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("--endpoint", "it has a `?` or a `#`".to_owned()));
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.options.allow_http => Ok(url),
            "http" => Err(wrong(
                "is not encrypted: everyone on the way could read and change the backup; use https, \
                 or give --allow-http",
            )),
            _ => Err(wrong("is neither https nor http")),
        }
    }

    /// A builder's refusal. Its text may quote a key: only what kind it is gets told.
    fn refused(&self, error: &object_store::Error) -> StoreError {
        let text = error.to_string();
        // of object_store's own texts those that hold no value
        let plain = ["Missing", "missing", "not found", "file", "No such"];
        let what = if plain.iter().any(|p| text.contains(p)) && !text.contains("://") {
            text
        } else {
            "a setting of the environment is not what it should be (it is not shown, it may be a \
             secret)"
                .to_owned()
        };
        StoreError::NoCredentials {
            url: self.url.to_owned(),
            what,
        }
    }

    fn no_credentials(&self, what: &str) -> StoreError {
        StoreError::NoCredentials {
            url: self.url.to_owned(),
            what: what.to_owned(),
        }
    }
}
