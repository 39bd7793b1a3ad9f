//! The HTTP client of a store: its TLS, its time limits, and what is looked at in each answer.
//!
//! ```text
//! object_store: one request, signed
//!   -> PacedService (with a limit): what is sent again waits again
//!     -> Watched: is it an answer of a store? is TLS spoken where it should be?
//!       -> reqwest
//! ```

use crate::store::error::open::OpenFault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientOptions, Result};

use crate::store::backend::answer::Asked;
use crate::store::backend::fault::Kind;
use crate::store::backend::options::StoreOptions;
use crate::store::backend::pace::Pace;
use crate::store::backend::paced;
use crate::store::backend::probe;
use crate::store::backend::probe::Spoken;
use crate::store::backend::trust;
use crate::store::error::StoreError;

/// How long the first answer of a server may take before it is asked which protocol it speaks.
const SILENCE: Duration = Duration::from_secs(3);
/// Where a proxy is named: then a connection of one's own need not reach the server.
const PROXIES: [&str; 6] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
];

/// Makes the clients of one store.
#[derive(Debug, Clone)]
pub(in crate::store) struct Connector {
    client: reqwest::Client,
    pace: Option<Arc<Pace>>,
}

impl Connector {
    /// # Errors
    /// [`OpenFault::BadOption`](crate::store::OpenFault::BadOption), or a file can't be read.
    pub fn new(options: &StoreOptions, pace: Option<&Arc<Pace>>) -> Result<Self, StoreError> {
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
                reason: format!("it can't be set up ({e})"),
            })
        })?;
        Ok(Self {
            client,
            pace: pace.cloned(),
        })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> Result<HttpClient> {
        let watched = Watched {
            inner: HttpClient::new(self.client.clone()),
            known: AtomicBool::new(PROXIES.iter().any(|name| std::env::var_os(name).is_some())),
        };
        let client = HttpClient::new(watched);
        Ok(match &self.pace {
            Some(pace) => paced::service(client, pace),
            None => client,
        })
    }
}

#[derive(Debug)]
struct Watched {
    inner: HttpClient,
    /// The protocol is right, or can't be found out.
    known: AtomicBool,
}

impl Watched {
    /// The failure that explains why there is no answer.
    async fn mismatch(
        &self,
        asked: &Asked,
        target: Option<(bool, String, u16)>,
    ) -> Option<HttpError> {
        let (tls, host, port) = target?;
        if self.known.swap(true, Ordering::AcqRel) {
            return None;
        }
        let probing = tokio::task::spawn_blocking(move || probe::spoken_instead(tls, &host, port));
        let why = match probing.await.ok()?? {
            Spoken::Http => "the server speaks plain HTTP, and the endpoint says https://",
            Spoken::Tls => "the server speaks TLS, and the endpoint says http://",
        };
        // every later request would fail the same way
        self.known.store(false, Ordering::Release);
        Some(asked.failed(Kind::WrongScheme, why))
    }
}

/// Whether TLS is to be spoken, and where.
fn target(request: &HttpRequest) -> Option<(bool, String, u16)> {
    let uri = request.uri();
    let tls = uri.scheme_str()? == "https";
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Some((tls, uri.host()?.to_owned(), port))
}

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let asked = Asked::of(&request);
        if self.known.load(Ordering::Acquire) {
            return asked.check(self.inner.execute(request).await?).await;
        }
        let target = target(&request);
        let answer = self.inner.execute(request);
        tokio::pin!(answer);
        let result = tokio::select! {
            biased;
            result = &mut answer => result,
            () = tokio::time::sleep(SILENCE) => match self.mismatch(&asked, target.clone()).await {
                Some(mismatch) => return Err(mismatch),
                None => answer.await,
            }
        };
        match result {
            Ok(answer) => {
                self.known.store(true, Ordering::Release);
                asked.check(answer).await
            }
            Err(error) => Err(self.mismatch(&asked, target).await.unwrap_or(error)),
        }
    }
}
