//! The paths, and the layers around them.

use super::error::{ApiError, in_one_shape};
use super::guard::{Guard, checked};
use super::shared::Shared;
use super::{metrics, page, probes, v1};
use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::get;
use std::sync::Arc;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::{BoxError, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

/// Only files of this server are loaded, and no other site shows the page in a frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn headers() -> [(HeaderName, &'static str); 6] {
    [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ]
}

async fn overloaded(_: BoxError) -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "the agent answers too many requests at the moment",
    )
}

/// Returns the service of a server.
pub(super) fn router(shared: Shared, guard: Arc<Guard>) -> Router {
    let limits = shared.limits;
    let busy = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(overloaded))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(limits.requests));
    let time = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limits.request);
    let mut router = Router::new()
        .route("/", get(page::show))
        .route("/static/{file}", get(page::file))
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(metrics::scrape))
        .merge(v1::routes())
        .layer(CsrfLayer::new())
        .layer(from_fn_with_state(guard, checked))
        .layer(RequestBodyLimitLayer::new(limits.body))
        .layer(time)
        .layer(busy)
        .layer(CatchPanicLayer::new())
        .layer(map_response(in_one_shape));
    for (name, value) in headers() {
        let layer = SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
        router = router.layer(layer);
    }
    router.with_state(shared)
}
