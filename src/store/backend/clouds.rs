//! Opens the three clouds. Credentials, endpoint, TLS and time limits come from the options first,
//! then from the environment, as [`crate::store::backend::url`] documents.

use crate::store::backend::options::bad;
use crate::store::error::open::OpenFault;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
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
use crate::store::backend::headers::Rules;
use crate::store::backend::options::{StoreOptions, Variables};
use crate::store::backend::outage::{Limits, Outages};
use crate::store::backend::pace::Pace;
use crate::store::backend::remote::Remote;
use crate::store::backend::url::{Cloud, without_secrets};
use crate::store::error::StoreError;

/// The first wait between two attempts.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Limits of requests for credentials: retries and total time. An instance's metadata service
/// answers at once or doesn't exist.
const CREDENTIALS: (usize, Duration) = (3, Duration::from_secs(15));

const NO_GCS: &str = "no credentials for GCS: GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT, \
    the file of `gcloud auth application-default login` and the metadata server did not give a token; set \
    GOOGLE_APPLICATION_CREDENTIALS to the file of a service account's key";
const NO_AZURE: &str = "no credentials for Azure: AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY, \
    workload identity, client secret, AZURE_STORAGE_SAS_TOKEN and managed identity did not give a token; \
    set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY";

/// Opens the store, without a request to it.
pub(in crate::store) fn open(
    url: &str,
    (cloud, bucket, prefix): (Cloud, &str, &Path),
    options: &StoreOptions,
    pace: Option<&Arc<Pace>>,
    versions: &Arc<AtomicU64>,
    cancel: &Cancel,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let store = opened(
        url,
        (cloud, bucket),
        options,
        (pace, versions),
        |opening| match cloud {
            Cloud::S3 => opening.s3(),
            Cloud::Gcs => opening.gcs(),
            Cloud::Azure => opening.azure(),
        },
    )?;
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

/// Calls `with` with the settings of a bucket.
pub(super) fn opened<T>(
    url: &str,
    (cloud, bucket): (Cloud, &str),
    options: &StoreOptions,
    (pace, versions): (Option<&Arc<Pace>>, &Arc<AtomicU64>),
    with: impl FnOnce(&Opening<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // reqwest uses the process's provider; if the program installed one before, that one stays
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
            "{url}: the store's certificate is not checked: others on the network can read and change the backup and \
             use the credentials; do this in tests only"
        );
    }
    with(&Opening {
        url,
        bucket,
        options,
        client: client(options)?,
        connector: Connector::new(options, Rules::of(options, cloud)?, pace, versions)?,
        prefix: match cloud {
            Cloud::S3 => "AWS_",
            Cloud::Gcs => "GOOGLE_",
            Cloud::Azure => "AZURE_",
        },
        variables: &variables,
        env: &env,
    })
}

fn only_s3(options: &StoreOptions) -> Result<(), StoreError> {
    let given = [
        ("StoreOptions::region", options.region.is_some()),
        ("StoreOptions::profile", options.profile.is_some()),
        ("StoreOptions::addressing", options.addressing.is_some()),
        ("StoreOptions::checksum_header", !options.checksum_header),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(bad(option, "only s3:// supports it".to_owned())),
        None => Ok(()),
    }
}

/// Returns the options of the client that requests credentials.
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
                "StoreOptions::ca_file",
                format!("{} has no certificate in PEM format", path.display()),
            )
        })?;
        for certificate in found {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

/// The retries of requests to the store: none, because [`crate::store::backend::outage`] retries.
pub(in crate::store) fn once() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

/// The retries of requests for credentials: a few.
pub(super) fn quick(options: &StoreOptions) -> RetryConfig {
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

pub(super) struct Opening<'a> {
    pub url: &'a str,
    pub bucket: &'a str,
    pub options: &'a StoreOptions,
    pub client: ClientOptions,
    /// Creates the clients for requests to the store.
    pub connector: Connector,
    /// The prefix of the cloud's variables.
    prefix: &'static str,
    variables: &'a Variables,
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl Opening<'_> {
    /// Passes every variable that a builder supports to it, as the builder's own `from_env` does.
    pub(super) fn configured<B, K: FromStr>(
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
            credentials::explained(asked.map_err(|e| self.refused(&e))?.credentials(), NO_GCS);
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
            credentials::explained(asked.map_err(|e| self.refused(&e))?.credentials(), NO_AZURE);
        let store = builder
            .with_http_connector(self.connector.clone())
            .with_credentials(credentials)
            .with_retry(once())
            .build();
        Ok(BoundedList::over(store.map_err(|e| self.refused(&e))?))
    }

    /// Checks an endpoint from the options or the environment.
    pub(in crate::store) fn endpoint(&self, text: &str) -> Result<Url, StoreError> {
        let shown = without_secrets(text);
        let wrong = |reason: &str| bad("StoreOptions::endpoint", format!("`{shown}` {reason}"));
        let url = Url::parse(text).map_err(|_| wrong("is not a URL; write https://host[:port]"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "contains credentials: remove them, lsnap reads them from the same places as the cloud's own tools",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad(
                "StoreOptions::endpoint",
                "it has a `?` or a `#`".to_owned(),
            ));
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.options.allow_http => Ok(url),
            "http" => Err(wrong(
                "is not encrypted: others on the network could read and change the backup; use https, \
                 or set StoreOptions::allow_http to true",
            )),
            _ => Err(wrong("is neither https nor http")),
        }
    }

    /// Converts an error of a builder. The error's text may contain a key, so the result has only
    /// the error of a file and the names of the variables.
    pub(in crate::store) fn refused(&self, error: &object_store::Error) -> StoreError {
        let file = chain(error).find_map(|e| e.downcast_ref::<std::io::Error>());
        let names = self.variables.starting(self.prefix).map(|(name, _)| name);
        let names: Vec<_> = names.collect();
        let why = file.map_or_else(String::new, |e| format!(" ({e})"));
        self.no_credentials(&format!(
            "the settings in the environment are not valid{why}; check the values of these variables, \
             or the files that they name (the values are not shown): {}",
            if names.is_empty() { "none is set".to_owned() } else { names.join(", ") }
        ))
    }

    pub(super) fn no_credentials(&self, what: &str) -> StoreError {
        StoreError::Open(OpenFault::NoCredentials {
            url: self.url.to_owned(),
            what: what.to_owned(),
        })
    }
}
