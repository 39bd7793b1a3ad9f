//! The requests, with the answers of the operator's sidecar.

use super::Sidecar;
use super::children::Log;
use super::config::BackupConfig;
use super::name::is_name;
use super::work::Work;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use axum::{Json, Router};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceBuilder;

/// The longest body, in bytes.
const MAX_BODY: usize = 1 << 20;
/// The longest log that is returned, in bytes: its end.
const MAX_LOG: u64 = 16 << 20;
/// The time for the headers of a request, and for its body.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The most requests at the same time. A backup is one of them as long as it runs.
const MAX_REQUESTS: usize = 64;
/// The time for the answers after the last backup has ended.
const ENDING: Duration = Duration::from_secs(5);

type Shared = State<Arc<Sidecar>>;

/// Serves until the sidecar is cancelled and its backup has ended.
pub(super) fn serve(sidecar: Sidecar) -> io::Result<()> {
    let listener = TcpListener::bind(&sidecar.settings.listen)?;
    listener.set_nonblocking(true)?;
    let sidecar = Arc::new(sidecar);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("sidecar-http")
        .enable_all()
        .build()?;
    runtime.block_on(serve_on(listener, sidecar))
}

/// Serves on a listener.
pub(super) async fn serve_on(listener: TcpListener, sidecar: Arc<Sidecar>) -> io::Result<()> {
    let handle = axum_server::Handle::new();
    let (ending, of_ending) = (handle.clone(), Arc::clone(&sidecar));
    tokio::spawn(async move {
        of_ending.cancel.cancelled().await;
        let running = of_ending.running.clone();
        // New backups get 503 meanwhile.
        let _ended = tokio::task::spawn_blocking(move || running.wait()).await;
        ending.graceful_shutdown(Some(ENDING));
    });
    let patience = sidecar.patience;
    let mut server = axum_server::from_tcp(listener)?.handle(handle);
    server
        .http_builder()
        .http1()
        .header_read_timeout(patience)
        .max_headers(64);
    server.serve(router(sidecar).into_make_service()).await
}

pub(super) fn router(sidecar: Arc<Sidecar>) -> Router {
    let limits = ServiceBuilder::new()
        .layer(axum::error_handling::HandleErrorLayer::new(
            |_: tower::BoxError| async {
                text(StatusCode::SERVICE_UNAVAILABLE, "too many requests")
            },
        ))
        .load_shed()
        .layer(tower::limit::GlobalConcurrencyLimitLayer::new(MAX_REQUESTS));
    Router::new()
        .route("/backup/checkpoint-info", any(checkpoint_info))
        .route("/backup/", any(backup_without_name))
        .route("/backup/{name}", any(backup))
        .route("/logs/{name}", any(logs))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(limits)
        // Probes of kubelet are answered whatever else happens.
        .route("/health", any(health))
        .route("/health/", any(health))
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .with_state(sidecar)
}

async fn health() -> &'static str {
    "OK"
}

/// Returns an answer as the operator's sidecar does: a line of text.
fn text(status: StatusCode, line: &str) -> Response {
    let plain = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ];
    (status, plain, format!("{line}\n")).into_response()
}

fn not_supported() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "method not supported")
}

async fn backup_without_name(sidecar: Shared, request: Request) -> Response {
    backup(sidecar, Path(String::new()), request).await
}

async fn backup(State(sidecar): Shared, Path(name): Path<String>, request: Request) -> Response {
    match request.method().as_str() {
        // Of any name: the operator gives none.
        "GET" | "HEAD" => match sidecar.running.shown() {
            Some(config) => Json(config).into_response(),
            None => text(StatusCode::NOT_FOUND, "backup is not running"),
        },
        "POST" => create(sidecar, &name, request).await,
        "DELETE" => delete(sidecar, &name, request).await,
        _ => not_supported(),
    }
}

async fn create(sidecar: Arc<Sidecar>, name: &str, request: Request) -> Response {
    if !is_name(name) {
        return text(StatusCode::BAD_REQUEST, "invalid backup name");
    }
    let config = match config(&sidecar, request, "backup failed").await {
        Ok(config) => config,
        Err(response) => return response,
    };
    if sidecar.cancel.is_cancelled() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "shutting down");
    }
    let Some(taken) = sidecar.running.take(&config) else {
        return text(StatusCode::CONFLICT, "backup is already running");
    };
    let failed = || text(StatusCode::INTERNAL_SERVER_ERROR, "backup failed");
    let work = match work(&sidecar, name, config) {
        Ok(work) => work,
        Err(()) => return failed(),
    };
    work.log.empty();
    let made = work.run(async move |work| {
        let made = work.back_up().await;
        drop(taken);
        made
    });
    match made.await {
        Ok(()) => ([(header::CONTENT_TYPE, "application/octet-stream")], ()).into_response(),
        Err(_logged) => failed(),
    }
}

async fn delete(sidecar: Arc<Sidecar>, name: &str, request: Request) -> Response {
    if !is_name(name) {
        return text(StatusCode::BAD_REQUEST, "invalid backup name");
    }
    let config = match config(&sidecar, request, "delete failed").await {
        Ok(config) => config,
        Err(response) => return response,
    };
    if sidecar.running.is_to(&config.destination) {
        return text(StatusCode::CONFLICT, "backup is running");
    }
    let failed = |error: &str| {
        let line = format!("delete failed: {error}");
        text(StatusCode::INTERNAL_SERVER_ERROR, &line)
    };
    let Ok(work) = work(&sidecar, name, config) else {
        return failed("the log file can't be opened");
    };
    match work.run(async |work| work.delete_existing().await).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => failed(&error),
    }
}

async fn checkpoint_info(State(sidecar): Shared, request: Request) -> Response {
    if request.method() != "POST" {
        return not_supported();
    }
    let config = match config(&sidecar, request, "failed to unmarshal backup config").await {
        Ok(config) => config,
        Err(response) => return response,
    };
    let failed = |error: &str| text(StatusCode::INTERNAL_SERVER_ERROR, error);
    let Ok(work) = work(&sidecar, "checkpoint-info", config) else {
        return failed("the log file can't be opened");
    };
    work.log.empty();
    match work.run(async |work| work.checkpoint().await).await {
        Ok(info) => Json(info).into_response(),
        Err(error) => failed(&error),
    }
}

async fn logs(State(sidecar): Shared, Path(name): Path<String>) -> Response {
    if !is_name(&name) {
        return text(StatusCode::BAD_REQUEST, "invalid backup name");
    }
    let path = Log::path(&sidecar.settings.log_dir, &name);
    match tokio::task::spawn_blocking(move || end_of(&path)).await {
        Ok(Ok(log)) => ([(header::CONTENT_TYPE, "text/plain")], Body::from(log)).into_response(),
        _ => text(StatusCode::INTERNAL_SERVER_ERROR, "failed to open log file"),
    }
}

/// Returns the end of a log.
fn end_of(path: &std::path::Path) -> io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_LOG)))?;
    let mut bytes = Vec::new();
    file.take(MAX_LOG).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the backup in the body. An error is the answer.
async fn config(
    sidecar: &Sidecar,
    request: Request,
    refusal: &str,
) -> Result<BackupConfig, Response> {
    let body = tokio::time::timeout(sidecar.patience, Bytes::from_request(request, &())).await;
    let body = match body {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return Err(text(error.status(), &error.body_text())),
        Err(_late) => return Err(text(StatusCode::REQUEST_TIMEOUT, "the body came too late")),
    };
    BackupConfig::parse(&body).map_err(|reason| {
        let line = format!("{refusal}: {reason}");
        text(StatusCode::BAD_REQUEST, &line)
    })
}

fn work(sidecar: &Arc<Sidecar>, name: &str, config: BackupConfig) -> Result<Work, ()> {
    let log = Log::open(&sidecar.settings.log_dir, name);
    let log =
        log.map_err(|error| tracing::error!(backup = name, "the log can't be opened: {error}"));
    Ok(Work {
        sidecar: Arc::clone(sidecar),
        config,
        log: log?,
    })
}
