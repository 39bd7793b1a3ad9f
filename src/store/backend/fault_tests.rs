//! The texts of `object_store`'s errors, which [`Fault::read`] parses. The crate is pinned exactly
//! in `Cargo.toml`; these tests fail if another version has other texts.

use super::*;
use async_trait::async_trait;
use futures::StreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpResponse, HttpService};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};
use std::sync::Arc;
use std::time::Duration;

/// A client that gives every request the same response; without a status the connection fails.
#[derive(Debug, Clone)]
struct Fixed {
    status: Option<u16>,
    content_type: &'static str,
    body: String,
}

#[async_trait]
impl HttpService for Fixed {
    async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        let Some(status) = self.status else {
            let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            return Err(HttpError::new(HttpErrorKind::Connect, refused));
        };
        let mut answer = HttpResponse::new(self.body.clone().into());
        *answer.status_mut() = status.try_into().unwrap();
        let kind = self.content_type.parse().unwrap();
        answer.headers_mut().insert("content-type", kind);
        Ok(answer)
    }
}

impl HttpConnector for Fixed {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

fn fixed(status: Option<u16>, body: &str) -> Fixed {
    Fixed {
        status,
        content_type: "application/xml",
        body: body.to_owned(),
    }
}

fn once() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        retry_timeout: Duration::from_secs(1),
        ..RetryConfig::default()
    }
}

fn s3(answer: Fixed) -> Arc<dyn ObjectStore> {
    let builder = AmazonS3Builder::new()
        .with_bucket_name("b")
        .with_region("r")
        .with_endpoint("http://h:1")
        .with_allow_http(true)
        .with_access_key_id("id")
        .with_secret_access_key("key")
        .with_retry(once())
        .with_http_connector(answer);
    Arc::new(builder.build().unwrap())
}

fn azure(answer: Fixed) -> Arc<dyn ObjectStore> {
    let builder = MicrosoftAzureBuilder::new()
        .with_account("a")
        .with_container_name("c")
        .with_endpoint("http://h:1/a".to_owned())
        .with_allow_http(true)
        .with_access_key("a2V5")
        .with_retry(once())
        .with_http_connector(answer);
    Arc::new(builder.build().unwrap())
}

fn error_xml(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said</Message></Error>")
}

#[tokio::test]
async fn a_failed_request_has_the_expected_text() {
    for (status, code, kind) in [
        (403, "AccessDenied", Kind::Denied),
        (404, "NoSuchBucket", Kind::NoBucket),
        (404, "XAdminUserNotFound", Kind::Denied),
        (400, "ExpiredToken", Kind::Expired),
        (403, "RequestTimeTooSkewed", Kind::Skew),
        (503, "SlowDown", Kind::Busy),
        (501, "NotImplemented", Kind::Unsupported),
    ] {
        let store = s3(fixed(Some(status), &error_xml(code)));
        let error = store.get(&Path::from("k")).await.unwrap_err();
        let texts: Vec<String> = chain(&error).map(ToString::to_string).collect();
        let read = texts
            .iter()
            .any(|text| text.starts_with(PERFORMING) && text.contains(STATUS));
        assert!(read, "{texts:?}");
        let fault = Fault::read(&error).unwrap();
        assert_eq!(fault.kind, kind, "{texts:?}");
        let expected = format!("GET http://h:1/b/k: status {status}, {code} (said)");
        assert_eq!(fault.what, expected);
    }
}

#[tokio::test]
async fn a_broken_connection_has_the_expected_text() {
    let store = s3(fixed(None, ""));
    let error = store.get(&Path::from("k")).await.unwrap_err();
    let fault = Fault::read(&error).unwrap();
    assert_eq!(fault.kind, Kind::Unreachable, "{error:?}");
    assert!(
        fault.what.starts_with("GET http://h:1/b/k: "),
        "{}",
        fault.what
    );
}

async fn removed(store: &dyn ObjectStore) -> object_store::Error {
    let wanted = futures::stream::iter([Ok(Path::from("k"))]).boxed();
    let mut results = store.delete_stream(wanted);
    results.next().await.unwrap().unwrap_err()
}

#[tokio::test]
async fn a_failed_batch_delete_has_the_expected_text() {
    let body = "<DeleteResult><Error><Key>k</Key><Code>ServiceUnavailable</Code><Message>m</Message></Error></DeleteResult>";
    let error = removed(&*s3(fixed(Some(200), body))).await;
    assert!(error.to_string().contains(DELETE_FAILED), "{error}");
    assert_eq!(Fault::read(&error).unwrap().kind, Kind::Busy, "{error}");
    // a response for each request of the batch
    let part = "--batch_x\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\nHTTP/1.1 404 The specified \
                container does not exist.\r\nx-ms-error-code: ContainerNotFound\r\n\r\n\r\n--batch_x--\r\n";
    let answer = Fixed {
        status: Some(202),
        content_type: "multipart/mixed; boundary=batch_x",
        body: part.to_owned(),
    };
    let error = removed(&*azure(answer)).await;
    assert!(error.to_string().contains(NO_CONTAINER), "{error}");
    assert_eq!(Fault::read(&error).unwrap().kind, Kind::NoBucket, "{error}");
}
