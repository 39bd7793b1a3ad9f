//! Which requests are answered.
//!
//! | request | check |
//! |---|---|
//! | to a loopback address | `Host` is a name of loopback. A page whose host name was changed to 127.0.0.1 (DNS rebinding) has another one. |
//! | if there is a token | `Authorization: Bearer`, but for `/healthz` and `/readyz`, which tell no details then |
//! | that changes anything | `Origin` and `Sec-Fetch-Site` (`tower_http::csrf`), and a body must be declared as JSON |

use super::error::ApiError;
use super::listen::{HttpError, Listen};
use super::token::Token;
use crate::agent::settings::HttpSettings;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use std::net::IpAddr;
use std::sync::Arc;

/// The paths that need no token.
const OPEN: &[&str] = &["/healthz", "/readyz"];

/// Whether a request had the token, or none is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trusted(pub bool);

/// The rules of a server.
#[derive(Debug)]
pub(super) struct Guard {
    only_loopback: bool,
    token: Option<Token>,
}

impl Guard {
    /// Reads the token.
    pub(super) fn of(settings: &HttpSettings, listen: &Listen) -> Result<Self, HttpError> {
        Ok(Self {
            only_loopback: listen.is_local() && matches!(listen, Listen::Tcp(_)),
            token: settings.token_file.as_deref().map(Token::of).transpose()?,
        })
    }

    fn host(&self, request: &Request) -> Result<(), ApiError> {
        if !self.only_loopback {
            return Ok(());
        }
        let bad = |message: &str| {
            Err(
                ApiError::new(StatusCode::FORBIDDEN, "access_denied", message).with_hint(
                    "use http://localhost or http://127.0.0.1 with the port of the agent",
                ),
            )
        };
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return bad("the request has no `Host`, or several");
        };
        let host = host.to_str().ok().and_then(|text| text.parse().ok());
        let is_loopback = |authority: &Authority| is_loopback(authority.host());
        // A request can name a host in its first line too.
        if !host.as_ref().is_some_and(is_loopback)
            || !request.uri().authority().is_none_or(is_loopback)
        {
            return bad("the `Host` of the request is not this host");
        }
        Ok(())
    }

    fn credentials(&self, request: &Request) -> Result<Trusted, ApiError> {
        let Some(token) = &self.token else {
            return Ok(Trusted(true));
        };
        let given = bearer(request.headers());
        if given.is_some_and(|given| token.is(given)) {
            return Ok(Trusted(true));
        }
        if OPEN.contains(&request.uri().path()) {
            return Ok(Trusted(false));
        }
        let message = match given {
            Some(_) => "the token is wrong",
            None => "the request has no token",
        };
        Err(
            ApiError::new(StatusCode::UNAUTHORIZED, "access_denied", message)
                .with_hint("send the header `Authorization: Bearer TOKEN`"),
        )
    }
}

fn is_loopback(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || ip.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Returns the token of a request.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// A form of a page can send any text, but not as JSON.
fn content(request: &Request) -> Result<(), ApiError> {
    if matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) {
        return Ok(());
    }
    let found = request.headers().get(header::CONTENT_TYPE);
    let is_json = |value: &[u8]| {
        let kind = value.split(|c| *c == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    };
    match found {
        Some(found) if !is_json(found.as_bytes()) => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "arguments",
            "the body is not declared as JSON",
        )
        .with_hint("send the header `Content-Type: application/json`")),
        _ => Ok(()),
    }
}

/// Checks a request before it is handled.
pub(super) async fn checked(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    guard.host(&request)?;
    let trusted = guard.credentials(&request)?;
    content(&request)?;
    request.extensions_mut().insert(trusted);
    Ok(next.run(request).await)
}
