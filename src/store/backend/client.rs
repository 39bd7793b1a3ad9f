//! The HTTP client of a store: TLS, time limits, and the checks of each response.
//!
//! ```text
//! object_store: one request, signed
//!   -> PacedService (with a limit): a retried request waits again
//!     -> HeadersService: adds headers and signs again
//!       -> CheckedService: is the response one of a store? is TLS used where it should be?
//!         -> reqwest
//! ```

use crate::store::error::open::OpenFault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientOptions, Result};

use crate::store::backend::answer::SentRequest;
use crate::store::backend::fault::Kind;
use crate::store::backend::headers::{HeadersService, Rules, Signer};
use crate::store::backend::options::StoreOptions;
use crate::store::backend::pace::Pace;
use crate::store::backend::paced;
use crate::store::backend::probe;
use crate::store::backend::probe::Protocol;
use crate::store::backend::trust;
use crate::store::error::StoreError;

/// How long to wait for the first response of a server before its protocol is probed.
const SILENCE: Duration = Duration::from_secs(3);
/// Variables that set a proxy. With a proxy, a direct connection to the server may be impossible,
/// so the protocol isn't probed.
const PROXIES: [&str; 6] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
];

/// Creates the HTTP clients of one store.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    client: reqwest::Client,
    pace: Option<Arc<Pace>>,
    rules: Arc<Rules>,
    signer: Option<Signer>,
    versions: Arc<AtomicU64>,
}

impl Connector {
    /// # Errors
    /// [`OpenFault::BadOption`](crate::store::OpenFault::BadOption), or a file can't be read.
    pub fn new(
        options: &StoreOptions,
        rules: Rules,
        pace: Option<&Arc<Pace>>,
        versions: &Arc<AtomicU64>,
    ) -> Result<Self, StoreError> {
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("lsnap/", env!("CARGO_PKG_VERSION")))
            .timeout(options.timeout)
            .connect_timeout(options.connect_timeout.min(options.timeout))
            .https_only(!options.allow_http);
        if options.insecure {
            client = client.tls_danger_accept_invalid_certs(true);
        } else if let Some(path) = &options.ca_file {
            client = client.tls_backend_preconfigured(trust::config(path)?);
        }
        let client = client.build().map_err(|e| {
            StoreError::Open(OpenFault::BadOption {
                option: "the HTTP client",
                reason: format!("it can't be created ({e})"),
            })
        })?;
        Ok(Self {
            client,
            pace: pace.cloned(),
            rules: Arc::new(rules),
            signer: None,
            versions: Arc::clone(versions),
        })
    }

    /// Signs requests again to which headers were added.
    pub fn signed_by(self, signer: Signer) -> Self {
        Self {
            signer: Some(signer),
            ..self
        }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> Result<HttpClient> {
        let checked = CheckedService {
            inner: HttpClient::new(self.client.clone()),
            known: AtomicBool::new(PROXIES.iter().any(|name| std::env::var_os(name).is_some())),
        };
        let client = HttpClient::new(HeadersService {
            inner: HttpClient::new(checked),
            rules: Arc::clone(&self.rules),
            signer: self.signer.clone(),
            versions: Arc::clone(&self.versions),
        });
        Ok(match &self.pace {
            Some(pace) => paced::service(client, pace),
            None => client,
        })
    }
}

#[derive(Debug)]
struct CheckedService {
    inner: HttpClient,
    /// Whether the protocol is right or can't be probed.
    known: AtomicBool,
}

impl CheckedService {
    /// Returns the error if the protocol is the reason why there is no response.
    async fn mismatch(
        &self,
        sent: &SentRequest,
        target: Option<(bool, String, u16)>,
    ) -> Option<HttpError> {
        let (tls, host, port) = target?;
        if self.known.swap(true, Ordering::AcqRel) {
            return None;
        }
        let probing = tokio::task::spawn_blocking(move || probe::other_protocol(tls, &host, port));
        let why = match probing.await.ok()?? {
            Protocol::Http => "the server uses plain HTTP, but the endpoint is https://",
            Protocol::Tls => "the server uses TLS, but the endpoint is http://",
        };
        // every later request would fail the same way
        self.known.store(false, Ordering::Release);
        Some(sent.failed(Kind::WrongScheme, why))
    }
}

/// Returns whether TLS is to be used, and the host and port.
fn target(request: &HttpRequest) -> Option<(bool, String, u16)> {
    let uri = request.uri();
    let tls = uri.scheme_str()? == "https";
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Some((tls, uri.host()?.to_owned(), port))
}

#[async_trait]
impl HttpService for CheckedService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let sent = SentRequest::of(&request);
        if self.known.load(Ordering::Acquire) {
            return sent.check(self.inner.execute(request).await?).await;
        }
        let target = target(&request);
        let answer = self.inner.execute(request);
        tokio::pin!(answer);
        let result = tokio::select! {
            biased;
            result = &mut answer => result,
            () = tokio::time::sleep(SILENCE) => match self.mismatch(&sent, target.clone()).await {
                Some(mismatch) => return Err(mismatch),
                None => answer.await,
            }
        };
        match result {
            Ok(answer) => {
                self.known.store(true, Ordering::Release);
                sent.check(answer).await
            }
            Err(error) => Err(self.mismatch(&sent, target).await.unwrap_or(error)),
        }
    }
}
