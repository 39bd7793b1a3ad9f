//! Opens the three clouds: credentials, endpoint, TLS and patience, each from the options first, then
//! from the environment, as [`crate::store::backend::url`] documents.

use crate::store::backend::options::bad;
use crate::store::error::open::OpenFault;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::azure::{AzureConfigKey as AzureKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::cancel::Cancel;
use crate::store::backend::azure_connection;
use crate::store::backend::bounded_list::BoundedList;
use crate::store::backend::client::Connector;
use crate::store::backend::credentials;
use crate::store::backend::fault::chain;
use crate::store::backend::options::{StoreOptions, Variables};
use crate::store::backend::outage::{Limits, Outages};
use crate::store::backend::pace::Pace;
use crate::store::backend::remote::Remote;
use crate::store::backend::url::{Cloud, without_secrets};
use crate::store::error::StoreError;

/// The first wait between two tries.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How long credentials are asked for: an instance's metadata service answers at once or is not there.
const CREDENTIALS: (usize, Duration) = (3, Duration::from_secs(15));

const NO_GCS: &str = "no credentials for GCS: of GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT, \
    the file of `gcloud auth application-default login` and the metadata server none gave a token; set \
    GOOGLE_APPLICATION_CREDENTIALS to the file of a service account's key";
const NO_AZURE: &str = "no credentials for Azure: of AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY, \
    workload identity, client secret, AZURE_STORAGE_SAS_TOKEN and managed identity none gave a token; \
    set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY";

/// Opens the store; asks it nothing yet.
pub(in crate::store) fn open(
    url: &str,
    (cloud, bucket, prefix): (Cloud, &str, &Path),
    options: &StoreOptions,
    pace: Option<&Arc<Pace>>,
    cancel: &Cancel,
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
    if options.insecure {
        tracing::warn!(
            "{url}: the store's certificate is not checked: whoever is on the way can read and change the backup and \
             use the credentials; only for tests"
        );
    }
    let opening = Opening {
        url,
        bucket,
        options,
        client: client(options)?,
        connector: Connector::new(options, pace)?,
        prefix: match cloud {
            Cloud::S3 => "AWS_",
            Cloud::Gcs => "GOOGLE_",
            Cloud::Azure => "AZURE_",
        },
        variables: &variables,
        env: &env,
    };
    let store = match cloud {
        Cloud::S3 => opening.s3()?,
        Cloud::Gcs => opening.gcs()?,
        Cloud::Azure => opening.azure()?,
    };
    let limits = Limits {
        retries: options.max_retries,
        longest_wait: options.max_backoff,
        deadline: options.retry_deadline,
    };
    Ok(Arc::new(Remote::new(
        Arc::new(PrefixStore::new(store, prefix.clone())),
        Outages::new(url, limits, cancel.clone()),
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
        ("--no-checksum-header", !options.checksum_header),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(bad(option, "only s3:// has it".to_owned())),
        None => Ok(()),
    }
}

/// What asks for credentials.
fn client(options: &StoreOptions) -> Result<ClientOptions, StoreError> {
    let mut client = ClientOptions::new()
        .with_timeout(options.timeout)
        .with_connect_timeout(options.connect_timeout.min(options.timeout))
        .with_allow_http(options.allow_http)
        .with_allow_invalid_certificates(options.insecure);
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

/// Requests of the store are tried once: [`crate::store::backend::outage`] has the rest.
pub(in crate::store) fn once() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

/// Credentials are asked for a few times.
pub(in crate::store) fn quick(options: &StoreOptions) -> RetryConfig {
    let (retries, deadline) = CREDENTIALS;
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: FIRST_WAIT.min(options.max_backoff),
            max_backoff: options.max_backoff,
            base: 2.0,
        },
        max_retries: options.max_retries.min(retries),
        retry_timeout: options.retry_deadline.min(deadline),
    }
}

pub(in crate::store) struct Opening<'a> {
    pub url: &'a str,
    pub bucket: &'a str,
    pub options: &'a StoreOptions,
    pub client: ClientOptions,
    /// What makes the requests of the store itself.
    pub connector: Connector,
    /// How the cloud's variables begin.
    prefix: &'static str,
    variables: &'a Variables,
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl Opening<'_> {
    /// Hands every variable that a builder knows to it, as its own `from_env` does.
    pub(in crate::store) fn configured<B, K: FromStr>(
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
        let credentials =
            credentials::told(asked.map_err(|e| self.refused(&e))?.credentials(), NO_GCS);
        let store = builder
            .with_http_connector(self.connector.clone())
            .with_credentials(credentials)
            .with_retry(once())
            .build();
        Ok(BoundedList::over(store.map_err(|e| self.refused(&e))?))
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
        let credentials =
            credentials::told(asked.map_err(|e| self.refused(&e))?.credentials(), NO_AZURE);
        let store = builder
            .with_http_connector(self.connector.clone())
            .with_credentials(credentials)
            .with_retry(once())
            .build();
        Ok(BoundedList::over(store.map_err(|e| self.refused(&e))?))
    }

    /// Checks an endpoint, whoever gave it.
    pub(in crate::store) fn endpoint(&self, text: &str) -> Result<Url, StoreError> {
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

    /// A builder's refusal. Its text may quote a key, so that only a file's error and the names of the
    /// variables are told.
    pub(in crate::store) fn refused(&self, error: &object_store::Error) -> StoreError {
        let file = chain(error).find_map(|e| e.downcast_ref::<std::io::Error>());
        let names = self.variables.starting(self.prefix).map(|(name, _)| name);
        let names: Vec<_> = names.collect();
        let why = file.map_or_else(String::new, |e| format!(" ({e})"));
        self.no_credentials(&format!(
            "what the environment says can't be used{why}; check the form of what these variables hold, \
             or name (their values are not shown): {}",
            if names.is_empty() { "none is set".to_owned() } else { names.join(", ") }
        ))
    }

    pub(in crate::store) fn no_credentials(&self, what: &str) -> StoreError {
        StoreError::Open(OpenFault::NoCredentials {
            url: self.url.to_owned(),
            what: what.to_owned(),
        })
    }
}
