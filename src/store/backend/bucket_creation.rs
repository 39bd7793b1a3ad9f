//! Creates a bucket of S3: one signed request, which `object_store` doesn't have.

use crate::store::backend::clouds::{Opening, opened};
use crate::store::backend::fault::classified;
use crate::store::backend::headers::Signer;
use crate::store::backend::options::{StoreOptions, bad};
use crate::store::backend::outage::{Limits, Outages};
use crate::store::backend::runtime::Runtime;
use crate::store::backend::s3::Bucket;
use crate::store::backend::url::{Cloud, Location, parse};
use crate::store::error::StoreError;
use crate::store::objects::repository::Repository;
use object_store::client::{
    HttpClient, HttpConnector as _, HttpError, HttpRequest, HttpRequestBody,
};
use object_store::{ClientOptions, Error};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use std::sync::Arc;
use std::time::Instant;

/// The region in which a bucket is created by a request without a body.
const DEFAULT_REGION: &str = "us-east-1";
/// The code of a store for a bucket that exists and belongs to the account.
const OWNED: &str = "BucketAlreadyOwnedByYou";

impl Repository {
    /// Creates the bucket of an `s3://` URL, with the store's defaults. A bucket that exists and
    /// belongs to the account is not an error. Nothing else in lsnap creates buckets.
    ///
    /// # Errors
    /// [`OpenFault::BadOption`](crate::store::OpenFault::BadOption) for another kind of URL, or an
    /// error of the store.
    pub fn create_bucket(url: &str, options: &StoreOptions) -> Result<(), StoreError> {
        let Location::Bucket {
            cloud: Cloud::S3,
            bucket: name,
            ..
        } = parse(url)?
        else {
            return Err(bad(
                "the URL",
                format!(
                    "`{url}` is not one of S3; create the bucket or container with the tools of its cloud"
                ),
            ));
        };
        // The settings for objects are none for the bucket.
        let plain = StoreOptions {
            endpoint: options.endpoint.clone(),
            region: options.region.clone(),
            addressing: options.addressing,
            ca_file: options.ca_file.clone(),
            insecure: options.insecure,
            allow_http: options.allow_http,
            profile: options.profile.clone(),
            timeout: options.timeout,
            connect_timeout: options.connect_timeout,
            max_retries: options.max_retries,
            max_backoff: options.max_backoff,
            retry_deadline: options.retry_deadline,
            variables: options.variables.clone(),
            ..StoreOptions::default()
        };
        let versions = Arc::default();
        let place = (Cloud::S3, name.as_str());
        let (bucket, client) = opened(url, place, &plain, (None, &versions), |opening| {
            Ok((opening.s3_bucket()?, client(opening)?))
        })?;
        let limits = Limits {
            retries: plain.max_retries,
            longest_wait: plain.max_backoff,
            deadline: plain.retry_deadline,
        };
        let outages = Outages::new(url, limits, crate::cancel::Cancel::new());
        let created = Runtime::new()?.wait("creating the bucket", async move {
            outages.repeated(|| create(&bucket, &client)).await
        })?;
        created.map_err(|error| StoreError::backend("creating the bucket", name, error))
    }
}

fn client(opening: &Opening<'_>) -> Result<HttpClient, StoreError> {
    let client = opening.connector.connect(&ClientOptions::new());
    client.map_err(|error| opening.refused(&error))
}

/// Makes the request once.
async fn create(bucket: &Bucket, client: &HttpClient) -> Result<(), Error> {
    let began = Instant::now();
    let mut request = request(bucket)?;
    let signer = Signer {
        credentials: Arc::clone(&bucket.credentials),
        region: bucket.region.clone(),
    };
    // The signer signs requests anew that were signed before.
    let placeholder = HeaderValue::from_static("AWS4-HMAC-SHA256");
    request.headers_mut().insert(AUTHORIZATION, placeholder);
    signer.sign(&mut request).await?;
    let answer = client.execute(request).await;
    let answer = answer.map_err(|error| failed(bucket, error))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body = answer.into_body().bytes().await;
    let body = body.map_err(|error| failed(bucket, error))?;
    let body = String::from_utf8_lossy(&body);
    if body.contains(OWNED) {
        return Ok(());
    }
    // The form of the errors of object_store, by which they are classified.
    let text = format!(
        "Error performing PUT {} in {:?} - Server returned non-2xx status code: {status}: {body}",
        bucket.url,
        began.elapsed()
    );
    Err(classified(Error::Generic {
        store: "S3",
        source: text.into(),
    }))
}

fn failed(bucket: &Bucket, error: HttpError) -> Error {
    #[derive(Debug, thiserror::Error)]
    #[error("Error performing PUT {url} in 0ms")]
    struct Performing {
        url: String,
        source: HttpError,
    }
    classified(Error::Generic {
        store: "S3",
        source: Box::new(Performing {
            url: bucket.url.clone(),
            source: error,
        }),
    })
}

fn request(bucket: &Bucket) -> Result<HttpRequest, Error> {
    let body = if bucket.region == DEFAULT_REGION {
        HttpRequestBody::empty()
    } else {
        format!(
            "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
            bucket.region
        )
        .into()
    };
    let mut request = HttpRequest::new(body);
    *request.method_mut() = reqwest::Method::PUT;
    *request.uri_mut() = bucket.url.parse().map_err(|error| Error::Generic {
        store: "S3",
        source: Box::new(error),
    })?;
    Ok(request)
}
