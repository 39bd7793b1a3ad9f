//! A hook that is a URL.

use crate::cli::{human, interrupt};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, redirect};
use std::time::Duration;

/// Waits before the repetitions of a request.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Sends a JSON document by POST. Temporary failures are retried; all attempts together may take `timeout`. Redirects
/// are not followed. An error doesn't have the URL.
pub(super) fn post(url: &str, json: Vec<u8>, timeout: Duration) -> Result<(), String> {
    // If a repository has installed a provider before, that one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let cancel = interrupt::cancel();
    let was_cancelled = cancel.is_cancelled();
    runtime.block_on(async {
        let stop = async {
            if was_cancelled {
                std::future::pending::<()>().await;
            }
            cancel.cancelled().await;
        };
        tokio::select! {
            sent = send(url, json) => sent,
            () = stop => Err("it was ended by a signal to lsnap".to_owned()),
            () = tokio::time::sleep(timeout) => {
                Err(format!("there was no answer within {}", human::duration(timeout)))
            }
        }
    })
}

async fn send(url: &str, json: Vec<u8>) -> Result<(), String> {
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .user_agent(concat!("lsnap/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(text)?;
    let mut waits = WAITS.iter();
    loop {
        let request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .body(json.clone());
        let (failure, is_temporary) = match request.send().await {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => {
                let status = response.status();
                let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                (format!("the answer was {status}, expected 2xx"), again)
            }
            Err(error) => (text(error), true),
        };
        match waits.next() {
            Some(wait) if is_temporary => tokio::time::sleep(*wait).await,
            _ => return Err(failure),
        }
    }
}

/// Returns the text of an error and its causes.
fn text(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(std::error::Error::source(&error), |e| e.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    std::iter::once(error.to_string())
        .chain(causes)
        .collect::<Vec<_>>()
        .join(": ")
}
