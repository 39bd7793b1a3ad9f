//! Checks that a response comes from an object store and not, for example, from a captive portal or
//! a proxy, and detects a response that means that the clocks differ.
//!
//! `object_store` parses listings leniently: to it, an HTML page, or an `<Error>` with the status
//! 200, is an empty listing. A repository would then seem to be empty.

use chrono::{DateTime, TimeDelta, Utc};
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse};

use crate::store::backend::fault::{Fault, Kind, element, kind_of, short};

/// Prefixes of the header names that only stores send.
const OF_STORES: [&str; 4] = ["x-amz", "x-goog-", "x-guploader", "x-ms-"];
/// Codes with which a store refuses a request because of its time. "" stands for a response without
/// a code.
const OF_TIME: [&str; 5] = [
    "",
    "AccessDenied",
    "AuthenticationFailed",
    "RequestExpired",
    "SignatureDoesNotMatch",
];
/// S3 and Azure accept a clock that is off by 15 minutes. The limit here is lower, because the
/// `Date` of the response is later than the time in the request.
const ACCEPTED: TimeDelta = TimeDelta::minutes(14);

/// The parts of a request that are needed to judge its response.
#[derive(Debug)]
pub(super) struct SentRequest {
    /// Method and URL, without the query, which may contain a signature.
    what: String,
    /// The root element that the response must have.
    root: Option<&'static str>,
    /// Whether the response can have a body, so that an HTML page can be recognised.
    body: bool,
    /// Whether the request is signed with a time.
    timed: bool,
}

impl SentRequest {
    pub fn of(request: &HttpRequest) -> Self {
        let (method, uri) = (request.method().as_str(), request.uri());
        let query = uri.query().unwrap_or_default();
        let has = |wanted: &str| query.split('&').any(|part| part == wanted);
        let root = match method {
            "GET" if has("list-type=2") => Some("ListBucketResult"),
            "GET" if has("comp=list") => Some("EnumerationResults"),
            "POST" if has("delete") || has("delete=") => Some("DeleteResult"),
            _ => None,
        };
        let text = uri.to_string();
        let url = text.split('?').next().unwrap_or_default();
        Self {
            what: format!("{method} {url}"),
            root,
            body: method != "HEAD",
            timed: !bearer(request),
        }
    }

    /// Returns an error for this request.
    pub fn failed(&self, kind: Kind, why: &str) -> HttpError {
        let what = format!("{}: {why}", self.what);
        HttpError::new(HttpErrorKind::Unknown, Fault { kind, what })
    }

    /// Returns the response if it can come from a store.
    ///
    /// # Errors
    /// The [`Fault`] that the response means, or the body can't be read.
    pub async fn check(&self, answer: HttpResponse) -> Result<HttpResponse, HttpError> {
        let status = answer.status().as_u16();
        let good = answer.status().is_success();
        if (good || (status == 404 && self.body)) && is_page(&answer) {
            let why = format!("status {status} with a page of HTML");
            return Err(self.failed(Kind::NotAStore, &why));
        }
        match self.root {
            Some(root) if good => self.check_root(root, answer).await,
            _ if status == 403 && self.timed => self.check_clock(answer).await,
            _ => Ok(answer),
        }
    }

    async fn check_root(
        &self,
        root: &str,
        answer: HttpResponse,
    ) -> Result<HttpResponse, HttpError> {
        let (parts, body) = answer.into_parts();
        let bytes = body.bytes().await?;
        let text = String::from_utf8_lossy(&bytes);
        match root_of(&text) {
            Some(found) if found == root => Ok(HttpResponse::from_parts(parts, bytes.into())),
            Some("Error") => {
                let code = element(&text, "Code").unwrap_or_default();
                let kind = kind_of(200, &code, &text);
                Err(self.failed(kind, &format!("status 200 with an error, {code}")))
            }
            Some(found) => {
                let why = format!("status 200 with <{}>, expected <{root}>", short(found));
                Err(self.failed(Kind::NotAStore, &why))
            }
            None => {
                let why = format!("status 200 without XML, expected <{root}>");
                Err(self.failed(Kind::NotAStore, &why))
            }
        }
    }

    /// Detects a clock difference. S3 has a code for it; other stores report a wrong signature.
    async fn check_clock(&self, answer: HttpResponse) -> Result<HttpResponse, HttpError> {
        let (parts, body) = answer.into_parts();
        let bytes = body.bytes().await?;
        let text = String::from_utf8_lossy(&bytes);
        let code = element(&text, "Code").unwrap_or_default();
        let is_skew = code == "RequestTimeTooSkewed";
        let may_be = OF_TIME.contains(&code.as_str());
        let date = parts.headers.get("date").and_then(|v| v.to_str().ok());
        let theirs = element(&text, "ServerTime")
            .and_then(|time| time.parse::<DateTime<Utc>>().ok())
            .or_else(|| Some(DateTime::parse_from_rfc2822(date?).ok()?.to_utc()));
        let now = Utc::now();
        match theirs {
            Some(theirs) if is_skew || (may_be && (now - theirs).abs() > ACCEPTED) => {
                Err(self.failed(Kind::Skew, &difference(now, theirs)))
            }
            None if is_skew => Err(self.failed(
                Kind::Skew,
                "status 403, RequestTimeTooSkewed; the response has no time of the store",
            )),
            _ => Ok(HttpResponse::from_parts(parts, bytes.into())),
        }
    }
}

/// Returns whether a request has a bearer token, which doesn't depend on the time of this host.
fn bearer(request: &HttpRequest) -> bool {
    let value = request.headers().get("authorization");
    value.is_some_and(|value| value.as_bytes().starts_with(b"Bearer "))
}

/// Describes the difference between two clocks.
fn difference(ours: DateTime<Utc>, theirs: DateTime<Utc>) -> String {
    let (seconds, how) = match (ours - theirs).num_seconds() {
        ahead @ 0.. => (ahead, "ahead of"),
        behind => (-behind, "behind"),
    };
    let time = |t: DateTime<Utc>| t.format("%Y-%m-%d %H:%M:%S").to_string();
    format!(
        "status 403; the clock of this host is {seconds} s {how} the store's ({} here, {} there, UTC)",
        time(ours),
        time(theirs)
    )
}

/// Returns whether a response is an HTML page. Some stores label every response as HTML; these have
/// headers that only stores send.
fn is_page(answer: &HttpResponse) -> bool {
    let headers = answer.headers();
    let html = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.contains("html"));
    let of_store = |name: &str| OF_STORES.iter().any(|prefix| name.starts_with(prefix));
    html && !headers.keys().any(|name| of_store(name.as_str()))
}

/// Returns the name of the first element of an XML document, without its namespace.
fn root_of(text: &str) -> Option<&str> {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let tag = rest.strip_prefix('<')?;
        if tag.starts_with(['?', '!']) {
            rest = tag.split_once('>')?.1.trim_start();
            continue;
        }
        let end = tag.find(|c: char| c.is_whitespace() || c == '>' || c == '/')?;
        let name = &tag[..end];
        return Some(name.rsplit(':').next().unwrap_or(name));
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
