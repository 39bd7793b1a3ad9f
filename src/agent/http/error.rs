//! Errors: their statuses and their one JSON shape.

use crate::agent::jobs::{Error, Refused};
use crate::agent::schedule::ScheduleError;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The document of an error: `{"error": {"kind": ..., "message": ..., "hint": ...}}`, as that of `--json`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ErrorDocument {
    /// The error.
    error: Error,
}

/// An error that ends a request.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    error: Error,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, kind: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            error: Error {
                kind: kind.to_owned(),
                message: message.into(),
                hint: None,
            },
        }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.error.hint = Some(hint.into());
        self
    }

    /// A value of the request is wrong.
    pub(super) fn arguments(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "arguments", message)
    }

    /// There is no such thing.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The state forbids it.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// An error of the agent itself, which is logged.
    pub(super) fn system(message: impl Into<String>) -> Self {
        let message = message.into();
        tracing::error!("{message}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "system", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let document = ErrorDocument { error: self.error };
        let mut response = (self.status, Json(document)).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let scheme = HeaderValue::from_static("Bearer realm=\"lsnap\"");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
            }
            _ => {}
        }
        response
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::ShuttingDown => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "interrupted", message)
            }
            Refused::Full { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", message),
        }
    }
}

impl From<ScheduleError> for ApiError {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::Refused(refused) => refused.into(),
            ScheduleError::Unknown { .. } => Self::not_found(error.to_string()),
            ScheduleError::Repository { .. } => {
                Self::new(StatusCode::BAD_GATEWAY, "unreachable", error.to_string())
            }
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let kind = "arguments";
        let message = rejection.body_text();
        match rejection {
            JsonRejection::MissingJsonContentType(_) => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                kind,
                "the body is not declared as JSON",
            )
            .with_hint("send the header `Content-Type: application/json`"),
            other => Self::new(other.status(), kind, message),
        }
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "arguments",
            rejection.body_text(),
        )
    }
}

/// Gives every error of a layer or of the router the one shape.
pub(super) async fn in_one_shape(response: Response<Body>) -> Response<Body> {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let content = response.headers().get(header::CONTENT_TYPE);
    if content.is_some_and(|found| found.as_bytes().starts_with(b"application/json")) {
        return response;
    }
    let (kind, message) = match status {
        StatusCode::NOT_FOUND => ("not_found", "there is nothing at this path"),
        StatusCode::METHOD_NOT_ALLOWED => ("arguments", "this path has no such method"),
        StatusCode::PAYLOAD_TOO_LARGE => ("arguments", "the body is too long"),
        StatusCode::REQUEST_TIMEOUT => ("unreachable", "the request took too long"),
        StatusCode::FORBIDDEN => (
            "access_denied",
            "a page of another site must not change anything here",
        ),
        StatusCode::INTERNAL_SERVER_ERROR => ("internal", "a bug of lsnap: see the agent's log"),
        _ => ("arguments", "the request can't be understood"),
    };
    let mut shaped = ApiError::new(status, kind, message).into_response();
    // 405 has the methods that the path has.
    if let Some(allow) = response.headers().get(header::ALLOW) {
        shaped.headers_mut().insert(header::ALLOW, allow.clone());
    }
    shaped
}
