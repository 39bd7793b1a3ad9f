//! Classification of failed requests to a store over a network.
//!
//! `object_store` has variants for a few failures and a text for the others, which may contain
//! whole XML documents. This module maps every failure to one of a few kinds, with one line that
//! names the request (its URL without the query, which may contain a signature) and what the server
//! or the network reported.
//!
//! The underlying type (`RetryError`) is private in object_store 0.14.2, so its text is parsed. The
//! version is pinned in `Cargo.toml`; `fault_tests.rs` has its texts, and the conformance suite
//! (`tests/stores.rs`) checks them against every store:
//! `Error performing PUT https://host/path in 3ms, after 2 retries, ... - Server returned non-2xx
//! status
//! code: 403 Forbidden: <body>`.

use std::error::Error as StdError;
use std::fmt;

use object_store::client::{HttpError, HttpErrorKind};

/// Longest text that is taken from a server's response, in characters.
const LONGEST: usize = 300;

/// The beginning of the text of a failed request.
const PERFORMING: &str = "Error performing ";
/// Azure's message in the response to a batch for a missing container.
const NO_CONTAINER: &str = "The specified container does not exist";
/// The text of `object_store` for one object of an S3 batch, before its code.
const DELETE_FAILED: &str = "DeleteObjects request failed";
/// Codes of temporary failures.
const BUSY: [&str; 4] = [
    "InternalError",
    "SlowDown",
    "ServiceUnavailable",
    "ServerBusy",
];
/// Texts for a response that isn't HTTP, or that redirects away from the store.
const NO_ANSWER: [&str; 3] = ["invalid HTTP", "redirect", "URL scheme is not allowed"];
/// Parts of messages about a locked object.
const LOCKED: [&str; 3] = ["object lock", "WORM protected", "retention policy"];
/// The text before a status.
const STATUS: &str = "non-2xx status code: ";

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    /// The bucket or container doesn't exist.
    NoBucket,
    /// The credentials lack the permission, or are wrong.
    Denied,
    /// The credentials have expired.
    Expired,
    /// No credentials were found.
    NoCredentials,
    /// The clocks of this host and of the store differ too much.
    Skew,
    /// The server's certificate is not trusted, or TLS failed for another reason.
    Tls,
    /// Plain HTTP was used on a TLS port, or TLS on a plain HTTP port.
    WrongScheme,
    /// The response doesn't come from a store of this type.
    NotAStore,
    /// The object is in an archive class: it must be restored there before it can be read.
    Archived,
    /// The object is locked or under a retention rule, so that it can't be removed.
    Retained,
    /// The object is larger than the store permits.
    TooLarge,
    /// The store doesn't support the request.
    Unsupported,
    /// A connection could not be made.
    Unreachable,
    /// The response did not come in time.
    TimedOut,
    /// The connection broke. The request may have been executed.
    Broken,
    /// The server could not execute the request for now (5xx, 429), also after retries.
    Busy,
    /// Anything else.
    Other,
}

/// A classified failure; the source of an `object_store::Error::Generic`.
#[derive(Debug, Clone)]
pub(in crate::store) struct Fault {
    pub kind: Kind,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Fault {}

impl Fault {
    /// Converts the fault into the error type of `object_store`.
    pub(in crate::store) fn into_error(self) -> object_store::Error {
        object_store::Error::Generic {
            store: "network",
            source: Box::new(self),
        }
    }

    /// Returns the fault in an error.
    pub(in crate::store) fn of(error: &object_store::Error) -> Option<&Self> {
        chain(error).find_map(|e| e.downcast_ref())
    }

    /// Derives the fault from an error of `object_store`'s own clients; `None` if the error isn't
    /// that of a request.
    pub(in crate::store) fn read(error: &object_store::Error) -> Option<Self> {
        if let Some(fault) = Self::of(error) {
            return Some(fault.clone());
        }
        let message = chain(error)
            .map(ToString::to_string)
            .filter(|text| text.starts_with(PERFORMING))
            // `Error performing list request: ...` may precede it
            .last();
        let http = chain(error).find_map(|e| e.downcast_ref::<HttpError>());
        match (message, http) {
            (Some(message), None) => Some(Self::of_answer(&message)),
            (Some(message), Some(http)) => Some(transport(&request(&message), http)),
            // the response body broke off
            (None, Some(http)) => Some(transport("the answer", http)),
            (None, None) => Self::of_batch(error),
        }
    }

    /// Derives the fault from a failed batch of deletes. Its response has one status, code or
    /// reason for each object.
    fn of_batch(error: &object_store::Error) -> Option<Self> {
        let what = error.to_string();
        let kind = if what.contains(NO_CONTAINER) {
            Kind::NoBucket
        } else if what.contains(DELETE_FAILED) && BUSY.iter().any(|code| what.contains(code)) {
            Kind::Busy
        } else {
            return None;
        };
        let what = short(&what);
        Some(Self { kind, what })
    }

    fn of_answer(message: &str) -> Self {
        let request = request(message);
        let Some((status, body)) = message.split_once(STATUS).map(|(_, rest)| status(rest)) else {
            // an error in a response with status 200, or a redirect
            let body = message.split_once(" - ").map_or(message, |(_, rest)| rest);
            let code = element(body, "Code");
            let kind = kind_of(200, code.as_deref().unwrap_or_default(), body);
            let said = code.unwrap_or_else(|| short(body.lines().next().unwrap_or_default()));
            return Self {
                kind,
                what: format!("{request}: {said}"),
            };
        };
        let (code, message) = (element(body, "Code"), element(body, "Message"));
        let header = element(body, "Header");
        let mut what = format!("{request}: status {status}");
        if let Some(code) = &code {
            what += &format!(", {code}");
        }
        if let Some(message) = &message {
            what += &format!(" ({message})");
        }
        if let Some(header) = &header {
            what += &format!(", header {header}");
        }
        let kind = kind_of(status, code.as_deref().unwrap_or_default(), body);
        Self { kind, what }
    }

    /// Returns whether a later attempt may succeed. The request may have been executed despite the
    /// failure.
    pub(super) const fn is_passing(&self) -> bool {
        matches!(
            self.kind,
            Kind::Unreachable | Kind::TimedOut | Kind::Broken | Kind::Busy
        )
    }
}

/// Classifies an error. Variants that other code matches on stay as they are.
pub(in crate::store) fn classified(error: object_store::Error) -> object_store::Error {
    use object_store::Error;
    let fault = Fault::read(&error);
    match (error, fault) {
        (error @ (Error::AlreadyExists { .. } | Error::Precondition { .. }), _) => error,
        // a missing bucket or an unknown key must not look like a missing object
        (error @ Error::NotFound { .. }, fault) => match fault {
            Some(fault) if matches!(fault.kind, Kind::NoBucket | Kind::Denied) => {
                fault.into_error()
            }
            _ => error,
        },
        (_, Some(fault)) => fault.into_error(),
        (error, None) => error,
    }
}

/// Returns the kind for a status and the code in the response body. The code has priority, because
/// some failures come with an unspecific status.
pub(super) fn kind_of(status: u16, code: &str, body: &str) -> Kind {
    match (status, code) {
        (_, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired") => Kind::Expired,
        // Azure reports an expired SAS in the detail only
        (403, "AuthenticationFailed")
            if body.contains("Signature not valid in the specified time") =>
        {
            Kind::Expired
        }
        (403, "InvalidObjectState") | (409, "BlobArchived") => Kind::Archived,
        (
            _,
            "ObjectLocked"
            | "RetentionPolicyNotMet"
            | "ObjectUnderActiveHold"
            | "BlobImmutableDueToPolicy"
            | "BlobImmutableDueToLegalHold",
        ) => Kind::Retained,
        // S3 and its successors report a lock in the message only
        (400 | 403 | 409, _) if LOCKED.iter().any(|words| body.contains(words)) => Kind::Retained,
        (404, "NoSuchBucket" | "ContainerNotFound") => Kind::NoBucket,
        // a GCS or Azure account that doesn't exist
        (404, "AccountNotFound" | "ResourceNotFound") => Kind::NoBucket,
        (
            _,
            "InvalidAccessKeyId"
            // versitygw's, with status 404
            | "XAdminUserNotFound"
            | "SignatureDoesNotMatch"
            | "AccessDenied"
            | "InvalidToken"
            | "AuthorizationHeaderMalformed",
        ) => Kind::Denied,
        (_, "RequestTimeTooSkewed") => Kind::Skew,
        (401 | 403, _) => Kind::Denied,
        (413, _) | (_, "EntityTooLarge" | "RequestBodyTooLarge") => Kind::TooLarge,
        (501, _) | (_, "NotImplemented") => Kind::Unsupported,
        (
            _,
            "SlowDown" | "InternalError" | "ServerBusy" | "ServiceUnavailable" | "RequestTimeout",
        ) => Kind::Busy,
        (408, _) => Kind::TimedOut,
        (429 | 500..=599, _) => Kind::Busy,
        _ => Kind::Other,
    }
}

fn transport(request: &str, error: &HttpError) -> Fault {
    let mut said: Vec<String> = Vec::new();
    for text in chain(error).map(ToString::to_string) {
        // each error repeats the text of its source
        if !said.iter().any(|s| s.contains(&text)) {
            said.push(text);
        }
    }
    let said = short(&said.join(": "));
    let tls = chain(error).any(|e| e.is::<rustls::Error>())
        || chain(error)
            .filter_map(|e| e.downcast_ref::<std::io::Error>())
            .any(|e| e.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()))
        || said.contains("certificate");
    let kind = match error.kind() {
        _ if tls => Kind::Tls,
        HttpErrorKind::Timeout => Kind::TimedOut,
        HttpErrorKind::Connect => Kind::Unreachable,
        HttpErrorKind::Request | HttpErrorKind::Interrupted => Kind::Broken,
        HttpErrorKind::Decode => Kind::Broken,
        // hyper's texts for a response that isn't HTTP, reqwest's for a redirect
        _ if NO_ANSWER.iter().any(|words| said.contains(words)) => Kind::NotAStore,
        _ => Kind::Broken,
    };
    Fault {
        kind,
        what: format!("{request}: {said}"),
    }
}

/// Parses the status `403` and the body from `403 Forbidden: body`.
fn status(text: &str) -> (u16, &str) {
    let digits = text.get(..3).and_then(|digits| digits.parse().ok());
    let body = text.split_once(": ").map_or("", |(_, body)| body);
    (digits.unwrap_or_default(), body)
}

/// Parses `PUT https://host/bucket/key` from `Error performing PUT https://host/bucket/key?x in 3ms
/// ...`.
fn request(text: &str) -> String {
    let mut words = text
        .split(' ')
        .skip_while(|word| *word != "performing")
        .skip(1);
    match (words.next(), words.next()) {
        (Some(method), Some(url)) => {
            let url = url.split('?').next().unwrap_or_default();
            format!("{method} {url}")
        }
        _ => "a request".to_owned(),
    }
}

/// Returns the first line of the text of the first `<name>` element in an XML document.
pub(super) fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    let line = text.lines().next().unwrap_or_default().trim();
    (!line.is_empty()).then(|| short(line))
}

/// Returns `text` without control characters, cut to [`LONGEST`] characters.
pub(in crate::store) fn short(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(LONGEST)
        .collect()
}

/// Returns an error and its sources.
pub(in crate::store) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let this = next?;
        next = this.source();
        Some(this)
    })
}

#[cfg(test)]
#[path = "fault_tests.rs"]
mod texts;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_classified_by_code() {
        for (status, code, kind) in [
            (404, "NoSuchBucket", Kind::NoBucket),
            (404, "ContainerNotFound", Kind::NoBucket),
            (404, "NoSuchKey", Kind::Other),
            (403, "InvalidObjectState", Kind::Archived),
            (409, "BlobArchived", Kind::Archived),
            (403, "RetentionPolicyNotMet", Kind::Retained),
            (409, "BlobImmutableDueToPolicy", Kind::Retained),
            (403, "AccessDenied", Kind::Denied),
            (403, "", Kind::Denied),
            (401, "", Kind::Denied),
            (400, "ExpiredToken", Kind::Expired),
            (400, "InvalidToken", Kind::Denied),
            (503, "SlowDown", Kind::Busy),
            (429, "", Kind::Busy),
            (400, "EntityTooLarge", Kind::TooLarge),
            (413, "", Kind::TooLarge),
            (403, "RequestTimeTooSkewed", Kind::Skew),
            (501, "", Kind::Unsupported),
            (400, "NotImplemented", Kind::Unsupported),
            (500, "", Kind::Busy),
            (504, "", Kind::Busy),
        ] {
            assert_eq!(kind_of(status, code, ""), kind, "{status} {code}");
        }
        let locked = "Access Denied because object protected by object lock.";
        assert_eq!(kind_of(403, "AccessDenied", locked), Kind::Retained);
    }

    #[test]
    fn a_response_becomes_one_line_without_its_quoted_data() {
        let message = "Error performing GET https://h/b/k?x=secret in 1.2ms, after 1 retries, max_retries: \
            1, retry_timeout: 1s  - Server returned non-2xx status code: 403 Forbidden: <?xml?><Error>\n\
            <Code>SignatureDoesNotMatch</Code><Message>no\nsecret</Message><StringToSign>secret</StringToSign>";
        let fault = Fault::of_answer(message);
        assert_eq!(fault.kind, Kind::Denied);
        assert_eq!(
            fault.what,
            "GET https://h/b/k: status 403, SignatureDoesNotMatch (no)"
        );
        let message = "Error performing PUT https://h/b in 1ms - Server returned error response: \
            <Error><Code>SlowDown</Code></Error>";
        assert_eq!(Fault::of_answer(message).kind, Kind::Busy);
    }

    #[test]
    fn a_request_is_named_without_its_query() {
        let text = "Error performing PUT https://h/b/k?sig=secret in 3ms, after 2 retries";
        assert_eq!(request(text), "PUT https://h/b/k");
        assert_eq!(request("something else"), "a request");
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read_without_panic(body in ".{0,100}") {
            let _ = element(&body, "Code");
            let _ = element(&format!("<Code>{body}"), "Code");
            let _ = request(&body);
        }
    }
}
