//! The server.

use super::api::Api;
use super::guard::Guard;
use super::limits::{Capped, Limits};
use super::listen::{HttpError, Listen, Socket, bind_tcp, bind_unix};
use super::router::router;
use super::shared::Shared;
use super::tls;
use crate::agent::settings::HttpSettings;
use crate::cancel::Cancel;
use axum_server::accept::DefaultAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Address, Control, Handle};
use rustls::ServerConfig;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

/// A server that is bound, and doesn't answer yet.
#[derive(Debug)]
pub(crate) struct Server {
    bound: Bound,
    tls: Option<Arc<ServerConfig>>,
    guard: Arc<Guard>,
    limits: Limits,
    at: String,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(Socket),
}

impl Server {
    /// Binds the socket and reads the certificates and the token.
    ///
    /// # Errors
    /// [`HttpError::Settings`] if anybody of another host could use it, [`HttpError::InUse`] if another process has the
    /// address, [`HttpError::System`] if a file can't be used.
    pub(crate) fn bind(settings: &HttpSettings) -> Result<Self, HttpError> {
        let listen = Listen::parse(&settings.listen)?;
        listen.check(settings)?;
        let tls = tls::config(settings)?;
        let guard = Arc::new(Guard::of(settings, &listen)?);
        let (bound, at) = match &listen {
            Listen::Tcp(address) => {
                let listener = bind_tcp(*address)?;
                let scheme = if tls.is_some() { "https" } else { "http" };
                let address = listener
                    .local_addr()
                    .map_err(|error| HttpError::system(address, error))?;
                (Bound::Tcp(listener), format!("{scheme}://{address}"))
            }
            Listen::Unix(path) => (
                Bound::Unix(bind_unix(path)?),
                format!("unix:{}", path.display()),
            ),
        };
        Ok(Self {
            bound,
            tls,
            guard,
            limits: Limits::default(),
            at,
        })
    }

    /// Returns the URL or the path, for people.
    pub(crate) fn at(&self) -> &str {
        &self.at
    }

    /// Replaces the limits.
    #[cfg(test)]
    pub(super) fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Answers requests until `cancel` is cancelled. Requests that run then have a short time.
    ///
    /// # Errors
    /// [`HttpError::System`] if the system has no more threads or files.
    pub(crate) fn run(self, api: Arc<dyn Api>, cancel: &Cancel) -> Result<(), HttpError> {
        let at = self.at.clone();
        // One thread: handlers don't block, and the agent's memory stays small.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("lsnap-http")
            .max_blocking_threads(4)
            .build()
            .map_err(|error| HttpError::system(&at, error))?;
        let result = runtime.block_on(self.answer(api, cancel.clone()));
        runtime.shutdown_background();
        result.map_err(|error| HttpError::system(at, error))
    }

    async fn answer(self, api: Arc<dyn Api>, cancel: Cancel) -> io::Result<()> {
        let shared = Shared::new(api, cancel.clone(), self.limits);
        let recording = tokio::spawn(shared.recorder.clone().record(Arc::clone(&shared.api)));
        let router = router(shared, self.guard);
        let control = Control::new();
        let (limits, ended) = (self.limits, control.clone());
        tokio::spawn(async move {
            cancel.cancelled().await;
            ended.graceful_shutdown(Some(limits.grace));
        });
        let result = match (self.bound, self.tls) {
            (Bound::Tcp(listener), Some(config)) => {
                let server = axum_server::from_tcp(listener)?;
                let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(config))
                    .handshake_timeout(limits.head);
                let server = limited(server, acceptor, control, limits);
                server.serve(router.into_make_service()).await
            }
            (Bound::Tcp(listener), None) => {
                let server = axum_server::from_tcp(listener)?;
                let server = limited(server, DefaultAcceptor::new(), control, limits);
                server.serve(router.into_make_service()).await
            }
            (Bound::Unix(socket), _) => {
                let _file = socket.file;
                let server = axum_server::from_unix(socket.listener)?;
                let server = limited(server, DefaultAcceptor::new(), control, limits);
                server.serve(router.into_make_service()).await
            }
        };
        recording.abort();
        result
    }
}

/// Returns a server with its limits.
fn limited<A: Address, Acc>(
    server: axum_server::Server<A>,
    acceptor: Acc,
    control: Control,
    limits: Limits,
) -> axum_server::Server<A, Capped<Acc>> {
    let capped = Capped {
        inner: acceptor,
        control: control.clone(),
        most: limits.connections,
    };
    let mut server = server
        .acceptor(capped)
        .handle(Handle::with_control(control))
        .first_request_timeout(limits.head)
        .http1_only();
    server
        .http_builder()
        .http1()
        .max_buf_size(32 << 10)
        .header_read_timeout(limits.head);
    server
}
