//! Tests of the server, over a fake agent.

mod access;
mod backups;
pub(super) mod fake;
mod jobs;
mod live;
mod load;
mod sockets;

use super::guard::Guard;
use super::limits::Limits;
use super::listen::Listen;
use super::router::router;
use super::shared::Shared;
use crate::agent::settings::HttpSettings;
use crate::cancel::Cancel;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use fake::Fake;
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt as _;

/// Returns settings of a server on loopback without credentials.
pub(super) fn settings(listen: &str) -> HttpSettings {
    HttpSettings {
        listen: listen.to_owned(),
        tls: None,
        client_ca: None,
        token_file: None,
    }
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// Returns the kind of the error, after a check of its shape.
    pub(super) fn error(&self) -> String {
        let document = self.json();
        let error = document["error"].as_object().unwrap();
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()));
        assert_eq!(document.as_object().unwrap().len(), 1, "{document}");
        error["kind"].as_str().unwrap().to_owned()
    }
}

/// Sends a request to the router, as curl does to a server on loopback.
pub(super) fn send(fake: &Arc<Fake>, method: Method, path: &str, body: Option<&str>) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:6460");
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = Body::from(body.unwrap_or_default().to_owned());
    exchange(fake, request.body(body).unwrap())
}

pub(super) fn get(fake: &Arc<Fake>, path: &str) -> Answer {
    send(fake, Method::GET, path, None)
}

pub(super) fn post(fake: &Arc<Fake>, path: &str, body: &str) -> Answer {
    send(fake, Method::POST, path, Some(body))
}

/// Sends any request to the router of a server on loopback.
pub(super) fn exchange(fake: &Arc<Fake>, request: Request<Body>) -> Answer {
    let settings = settings("127.0.0.1:6460");
    let listen = Listen::parse(&settings.listen).unwrap();
    let guard = Arc::new(Guard::of(&settings, &listen).unwrap());
    let shared = Shared::new(fake.clone(), Cancel::new(), Limits::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let response = router(shared, guard).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: to_bytes(body, 1 << 24).await.unwrap().to_vec(),
        }
    })
}
