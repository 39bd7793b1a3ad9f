//! Adds headers to requests: storage class, encryption by the store, object lock, requester pays,
//! and headers of the caller.
//!
//! `object_store` 0.14 has options for some of them, but not for object lock, and doesn't sign the
//! default headers of its client: S3 refuses `x-amz-` headers that are not signed. Therefore a
//! request is signed again after headers were added. This covers every request that creates an
//! object: `PutObject`, `CopyObject` and `CreateMultipartUpload` (for copies within the store).
//!
//! | headers | requests |
//! |---|---|
//! | requester pays | all |
//! | storage class | that create an object with data |
//! | object lock | that create an object of a backup |
//! | encryption | that create any object |
//! | of the caller | all; those that S3 accepts only with certain requests, only with these |
//!
//! lsnap's documents keep the default storage class, because listings read them: in an archive class
//! no backup could be listed. Leases, records of readers, pins and markers are not locked, because
//! they are removed during normal work.
//!
//! The layer also counts the objects whose removal left a version in the bucket.

use crate::store::backend::options::{StoreOptions, bad};
use crate::store::backend::url::Cloud;
use crate::store::error::StoreError;
use async_trait::async_trait;
use chrono::{SecondsFormat, TimeDelta, Utc};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{CredentialProvider, Error};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Headers that lsnap sets itself.
const RESERVED: [&str; 17] = [
    "authorization",
    "content-length",
    "host",
    "if-match",
    "if-none-match",
    "range",
    "transfer-encoding",
    // only by the options: lsnap's documents and leases must not have them
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-storage-class",
    "x-goog-if-generation-match",
    "x-goog-storage-class",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-date",
    "x-amz-security-token",
];
/// The beginning of the headers with a key of the caller (SSE-C), which reads need too.
const CUSTOMER_KEY: &str = "x-amz-server-side-encryption-customer-";
/// Beginnings of the headers of requests that create an object.
const OF_CREATES: [&str; 14] = [
    "cache-control",
    "content-",
    "expires",
    "x-amz-acl",
    "x-amz-grant-",
    "x-amz-meta-",
    "x-amz-object-lock-",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-website-",
    "x-goog-acl",
    "x-goog-meta-",
    "x-goog-storage-class",
];
const UNSIGNED: &[u8] = b"UNSIGNED-PAYLOAD";
/// In the response to a removal: the object is an old version now.
const DELETE_MARKER: &str = "x-amz-delete-marker";
const DELETE_MARKER_ELEMENT: &str = "<DeleteMarker>true</DeleteMarker>";

/// The headers to add.
#[derive(Clone, Default)]
pub(super) struct Rules {
    storage_class: Vec<(HeaderName, HeaderValue)>,
    encryption: Vec<(HeaderName, HeaderValue)>,
    lock: Vec<(HeaderName, HeaderValue)>,
    /// The retention of a lock; its end is computed for each request.
    retain: Option<TimeDelta>,
    always: Vec<(HeaderName, HeaderValue)>,
    of_caller: Vec<(HeaderName, HeaderValue)>,
}

/// Written by hand, because values of headers may be secrets.
impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}

fn header(name: &'static str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::from_str(value).ok()?;
    Some((HeaderName::from_static(name), value))
}

impl Rules {
    /// Returns the headers of the options.
    ///
    /// # Errors
    /// [`OpenFault::BadOption`](crate::store::OpenFault::BadOption): the store doesn't support an
    /// option, or options contradict each other.
    pub(super) fn of(options: &StoreOptions, cloud: Cloud) -> Result<Self, StoreError> {
        refuse_elsewhere(options, cloud)?;
        let mut rules = Self::default();
        if let Some(class) = &options.storage_class {
            let name = match cloud {
                Cloud::Gcs => "x-goog-storage-class",
                _ => "x-amz-storage-class",
            };
            let valid = |class: &str| {
                class
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b"_0123456789".contains(&b))
            };
            let found = header(name, class).filter(|_| !class.is_empty() && valid(class));
            rules.storage_class.push(found.ok_or_else(|| {
                bad(
                    "StoreOptions::storage_class",
                    format!("{class:?} is not a storage class; expected capital letters, like STANDARD_IA"),
                )
            })?);
        }
        rules.encrypt(options)?;
        rules.lock(options)?;
        if options.requester_pays {
            rules
                .always
                .extend(header("x-amz-request-payer", "requester"));
        }
        for (name, value) in options.headers.iter() {
            rules.of_caller.push(checked(name, value)?);
        }
        Ok(rules)
    }

    fn encrypt(&mut self, options: &StoreOptions) -> Result<(), StoreError> {
        let with_kms = matches!(
            options.sse,
            Some(super::put_options::Sse::Kms | super::put_options::Sse::KmsDsse)
        );
        let needs_kms = |option| {
            bad(
                option,
                "it also needs StoreOptions::sse with a key of KMS".to_owned(),
            )
        };
        if let Some(sse) = options.sse {
            self.encryption
                .extend(header("x-amz-server-side-encryption", sse.name()));
        }
        if let Some(id) = &options.sse_kms_key_id {
            let option = "StoreOptions::sse_kms_key_id";
            if !with_kms {
                return Err(needs_kms(option));
            }
            let found = header("x-amz-server-side-encryption-aws-kms-key-id", id);
            let wrong = || {
                bad(
                    option,
                    "it has characters that a header can't have".to_owned(),
                )
            };
            self.encryption.push(found.ok_or_else(wrong)?);
        }
        if options.sse_bucket_key {
            if !with_kms {
                return Err(needs_kms("StoreOptions::sse_bucket_key"));
            }
            self.encryption.extend(header(
                "x-amz-server-side-encryption-bucket-key-enabled",
                "true",
            ));
        }
        Ok(())
    }

    fn lock(&mut self, options: &StoreOptions) -> Result<(), StoreError> {
        match (options.object_lock_mode, options.object_lock_retain) {
            (Some(mode), Some(retain)) => {
                self.lock
                    .extend(header("x-amz-object-lock-mode", mode.name()));
                self.retain = Some(retention(retain)?);
            }
            (Some(_), None) => {
                return Err(bad(
                    "StoreOptions::object_lock_mode",
                    "it also needs StoreOptions::object_lock_retain".to_owned(),
                ));
            }
            (None, Some(_)) => {
                return Err(bad(
                    "StoreOptions::object_lock_retain",
                    "it also needs StoreOptions::object_lock_mode".to_owned(),
                ));
            }
            (None, None) => {}
        }
        if options.object_lock_legal_hold {
            self.lock
                .extend(header("x-amz-object-lock-legal-hold", "ON"));
        }
        if !self.lock.is_empty() && !options.checksum_header {
            return Err(bad(
                "StoreOptions::checksum_header",
                "S3 refuses locked objects without a checksum: set it to true, or remove the object lock".to_owned(),
            ));
        }
        Ok(())
    }

    /// Returns the headers to add to a request.
    fn headers(&self, request: &HttpRequest) -> Vec<(HeaderName, HeaderValue)> {
        let (kind, path) = (Kind::of(request), request.uri().path());
        let of_caller = self
            .of_caller
            .iter()
            .filter(|(name, _)| kind.takes(name.as_str()));
        let mut all: Vec<_> = self.always.iter().chain(of_caller).cloned().collect();
        if kind != Kind::Create {
            return all;
        }
        all.extend_from_slice(&self.encryption);
        if is_data(path) {
            all.extend_from_slice(&self.storage_class);
        }
        if is_of_a_backup(path) {
            all.extend_from_slice(&self.lock);
            let end = self
                .retain
                .and_then(|retain| Utc::now().checked_add_signed(retain));
            let end = end.map(|end| end.to_rfc3339_opts(SecondsFormat::Secs, true));
            all.extend(end.and_then(|end| header("x-amz-object-lock-retain-until-date", &end)));
        }
        all
    }
}

fn retention(retain: Duration) -> Result<TimeDelta, StoreError> {
    let hundred_years = TimeDelta::days(36_500);
    let found = TimeDelta::from_std(retain).ok();
    found
        .filter(|retain| *retain > TimeDelta::zero() && *retain <= hundred_years)
        .ok_or_else(|| {
            bad(
                "StoreOptions::object_lock_retain",
                "it must be more than 0 and at most 100 years".to_owned(),
            )
        })
}

/// Refuses options that a cloud doesn't support.
fn refuse_elsewhere(options: &StoreOptions, cloud: Cloud) -> Result<(), StoreError> {
    let only_s3 = [
        ("StoreOptions::sse", options.sse.is_some()),
        (
            "StoreOptions::sse_kms_key_id",
            options.sse_kms_key_id.is_some(),
        ),
        ("StoreOptions::sse_bucket_key", options.sse_bucket_key),
        (
            "StoreOptions::object_lock_mode",
            options.object_lock_mode.is_some(),
        ),
        (
            "StoreOptions::object_lock_retain",
            options.object_lock_retain.is_some(),
        ),
        (
            "StoreOptions::object_lock_legal_hold",
            options.object_lock_legal_hold,
        ),
        ("StoreOptions::requester_pays", options.requester_pays),
    ];
    let not_azure = [
        (
            "StoreOptions::storage_class",
            options.storage_class.is_some(),
        ),
        ("StoreOptions::headers", !options.headers.is_empty()),
    ];
    let given =
        |all: &[(&'static str, bool)]| all.iter().find(|(_, given)| *given).map(|(o, _)| *o);
    if cloud != Cloud::S3
        && let Some(option) = given(&only_s3)
    {
        return Err(bad(option, "only s3:// supports it".to_owned()));
    }
    if cloud == Cloud::Azure
        && let Some(option) = given(&not_azure)
    {
        return Err(bad(option, "only s3:// and gs:// support it".to_owned()));
    }
    Ok(())
}

/// Checks a header of the caller. The error doesn't have its value.
fn checked(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), StoreError> {
    let wrong = |why: &str| bad("StoreOptions::headers", format!("{name:?} {why}"));
    let found = HeaderName::from_bytes(name.as_bytes());
    let found = found.map_err(|_| wrong("is not the name of a header"))?;
    if RESERVED.contains(&found.as_str()) {
        return Err(wrong(
            "is a header that lsnap sets itself; use its option if there is one",
        ));
    }
    let mut value =
        HeaderValue::from_str(value).map_err(|_| wrong("has a value that a header can't have"))?;
    value.set_sensitive(true);
    Ok((found, value))
}

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Creates an object, or begins to.
    Create,
    /// Reads an object, or writes a part of it.
    Data,
    /// Any other.
    Other,
}

impl Kind {
    fn of(request: &HttpRequest) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let has = |wanted: &str| {
            let mut parts = query.split('&');
            parts.any(|part| part.split('=').next() == Some(wanted))
        };
        match request.method().as_str() {
            "PUT" if has("partNumber") => Self::Data,
            "PUT" => Self::Create,
            "POST" if has("uploads") => Self::Create,
            "GET" | "HEAD" if !has("list-type") && !has("prefix") => Self::Data,
            _ => Self::Other,
        }
    }

    fn takes(self, name: &str) -> bool {
        if name.starts_with(CUSTOMER_KEY) {
            return matches!(self, Self::Create | Self::Data);
        }
        self == Self::Create || !OF_CREATES.iter().any(|start| name.starts_with(start))
    }
}

/// Returns the last component of a path.
fn file(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Returns whether an object belongs to a backup, and isn't removed during normal work.
fn is_of_a_backup(path: &str) -> bool {
    let others = ["lsnap_pinned.", "lsnap_repository", "lsnap_deleting.json"];
    !path.contains("/.lsnap/") && !others.iter().any(|start| file(path).starts_with(start))
}

/// Returns whether an object has data of a backup: it is none of lsnap's documents.
fn is_data(path: &str) -> bool {
    let documents = [
        "lsnap_manifest.json",
        "lsnap_summary.json",
        "lsnap_upload.json",
    ];
    is_of_a_backup(path) && !documents.iter().any(|start| file(path).starts_with(start))
}

/// The means to sign a request of S3 again.
#[derive(Clone)]
pub(super) struct Signer {
    pub credentials: Arc<dyn CredentialProvider<Credential = AwsCredential>>,
    pub region: String,
}

/// Written by hand, because the provider may contain secrets.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    /// Signs a request anew, unless it has no signature.
    pub(super) async fn sign(&self, request: &mut HttpRequest) -> Result<(), Error> {
        let is_signed = |value: &HeaderValue| value.as_bytes().starts_with(b"AWS4-");
        if !request
            .headers()
            .get("authorization")
            .is_some_and(is_signed)
        {
            return Ok(());
        }
        let credential = self.credentials.get_credential().await?;
        let digest = request.headers().get("x-amz-content-sha256");
        let digest = digest
            .map(|value| value.as_bytes().to_vec())
            .unwrap_or_default();
        let authorizer = AwsAuthorizer::new(&credential, "s3", &self.region)
            .with_sign_payload(digest != UNSIGNED);
        authorizer.try_authorize(request, bytes_of(&digest).as_deref())
    }
}

/// Parses a SHA-256 in hexadecimal digits.
fn bytes_of(hex: &[u8]) -> Option<Vec<u8>> {
    if hex.len() != 64 {
        return None;
    }
    let pairs = hex.chunks(2).map(|pair| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    });
    pairs.collect()
}

/// Adds the headers of its rules to each request.
#[derive(Debug)]
pub(super) struct HeadersService {
    pub inner: HttpClient,
    pub rules: Arc<Rules>,
    pub signer: Option<Signer>,
    /// Number of removed objects of which the bucket keeps a version.
    pub versions: Arc<AtomicU64>,
}

#[async_trait]
impl HttpService for HeadersService {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let added = self.rules.headers(&request);
        if !added.is_empty() {
            add(request.headers_mut(), added);
            if let Some(signer) = &self.signer {
                let signed = signer.sign(&mut request).await;
                signed.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
            }
        }
        let removes = match request.method().as_str() {
            "DELETE" => true,
            "POST" => {
                let mut query = request.uri().query().unwrap_or_default().split('&');
                query.any(|part| matches!(part, "delete" | "delete="))
            }
            _ => false,
        };
        let answer = self.inner.execute(request).await?;
        if !removes {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let bytes = body.bytes().await?;
        let is_marker = |value: &HeaderValue| value.as_bytes() == b"true";
        let mut kept = u64::from(parts.headers.get(DELETE_MARKER).is_some_and(is_marker));
        let text = String::from_utf8_lossy(&bytes);
        kept += text.matches(DELETE_MARKER_ELEMENT).count() as u64;
        self.versions.fetch_add(kept, Ordering::AcqRel);
        Ok(HttpResponse::from_parts(parts, bytes.into()))
    }
}

fn add(headers: &mut HeaderMap, added: Vec<(HeaderName, HeaderValue)>) {
    for (name, value) in added {
        headers.insert(name, value);
    }
}
