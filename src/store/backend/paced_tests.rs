use super::*;
use crate::cancel::Cancel;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpConnector;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::memory::InMemory;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, ObjectStoreExt, RetryConfig, StaticCredentialProvider,
};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

const MIB: u64 = 1 << 20;

fn pace() -> Arc<Pace> {
    Arc::new(Pace::new(NonZeroU64::new(MIB).unwrap(), Cancel::new()))
}

fn payload(mib: u64) -> PutPayload {
    Bytes::from(vec![7; (mib * MIB) as usize]).into()
}

fn expecting(bytes: u64) -> GetOptions {
    let mut options = GetOptions::default();
    options.extensions.insert(Expected(bytes));
    options
}

#[tokio::test(start_paused = true)]
async fn puts_and_gets_share_one_limit() {
    let store = Paced::over(Arc::new(InMemory::new()), Some(&pace()));
    let began = Instant::now();
    let at = |n: u64| Path::from(format!("b/t.ibd.{n}"));
    for n in 0..4 {
        store.put(&at(n), payload(1)).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), n);
    }
    store.get_opts(&at(0), expecting(MIB)).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 4);
    store.get_range(&at(0), 0..MIB / 2).await.unwrap();
    assert_eq!(began.elapsed().as_millis(), 5000);
    store.head(&at(0)).await.unwrap();
    store.delete(&at(3)).await.unwrap();
    store.copy(&at(0), &at(3)).await.unwrap();
    assert_eq!(began.elapsed().as_millis(), 5000, "these have no bytes");
    // half a second of the range is left, and the burst of a quarter is more than none
    store.put(&at(4), payload(1)).await.unwrap();
    assert_eq!(began.elapsed().as_millis(), 5500);
}

#[tokio::test(start_paused = true)]
async fn missing_bytes_are_returned_and_unexpected_bytes_are_charged() {
    let store = Paced::over(Arc::new(InMemory::new()), Some(&pace()));
    let at = Path::from("b/t.ibd.0");
    store.put(&at, payload(1)).await.unwrap();
    let began = Instant::now();
    let get = || store.get_opts(&at, expecting(100 * MIB));
    get().await.unwrap();
    get().await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 2, "two got one MiB each");
    let none = Path::from("b/none");
    assert!(store.get_opts(&none, expecting(MIB)).await.is_err());
    assert_eq!(began.elapsed().as_secs(), 3, "the second one is paid for");
    store.get(&at).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 3, "its length was unknown");
    get().await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_lease_does_not_wait_in_the_queue() {
    let store = Paced::over(Arc::new(InMemory::new()), Some(&pace()));
    let began = Instant::now();
    let waiting: Vec<_> = (0..100)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.put(&Path::from(format!("b/{n}")), payload(8)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let lease = Path::from("b.incr/.lsnap/lease");
    store
        .put(&lease, Bytes::from(vec![1; 400]).into())
        .await
        .unwrap();
    assert_eq!(began.elapsed().as_secs(), 0);
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    assert_eq!(
        began.elapsed().as_secs(),
        792,
        "and the 400 bytes are charged"
    );
    assert!(began.elapsed() > Duration::from_secs(792));
}

/// A server that responds by a plan, then with success.
#[derive(Debug)]
struct Server {
    plan: Mutex<VecDeque<u16>>,
    came: Mutex<Vec<Instant>>,
}

#[derive(Debug)]
struct Answers(Arc<Server>);

#[async_trait]
impl HttpService for Answers {
    async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.0.came.lock().unwrap().push(Instant::now());
        let status = self.0.plan.lock().unwrap().pop_front().unwrap_or(200);
        let body = object_store::client::HttpResponseBody::from(vec![0; 8]);
        let mut answer = HttpResponse::new(body);
        *answer.status_mut() = status.try_into().unwrap();
        for (name, value) in [
            ("etag", "\"e\""),
            ("content-length", "8"),
            ("last-modified", "Mon, 23 Nov 2026 12:00:00 GMT"),
        ] {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        Ok(answer)
    }
}

#[derive(Debug)]
struct Connector(Arc<Server>, Arc<Pace>);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(PacedService {
            inner: HttpClient::new(Answers(Arc::clone(&self.0))),
            pace: Arc::clone(&self.1),
        }))
    }
}

fn retry() -> RetryConfig {
    let instant = Duration::from_nanos(1);
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: instant,
            max_backoff: instant,
            base: 2.0,
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(100),
    }
}

/// Returns the three clouds, each with its own server that fails twice.
fn clouds(pace: &Arc<Pace>) -> Vec<(Arc<Server>, Arc<dyn ObjectStore>)> {
    let server = || {
        Arc::new(Server {
            plan: Mutex::new([503, 503].into()),
            came: Mutex::default(),
        })
    };
    let (s3, gcs, azure) = (server(), server(), server());
    let connector = |server: &Arc<Server>| Connector(Arc::clone(server), Arc::clone(pace));
    let aws = AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_skip_signature(true)
        .with_retry(retry())
        .with_http_connector(connector(&s3));
    let token = GcpCredential {
        bearer: "token".to_owned(),
    };
    let google = GoogleCloudStorageBuilder::new()
        .with_bucket_name("bucket")
        .with_credentials(Arc::new(StaticCredentialProvider::new(token)))
        .with_retry(retry())
        .with_http_connector(connector(&gcs));
    let microsoft = MicrosoftAzureBuilder::new()
        .with_container_name("bucket")
        .with_account("account")
        .with_skip_signature(true)
        .with_retry(retry())
        .with_http_connector(connector(&azure));
    vec![
        (s3, Arc::new(aws.build().unwrap())),
        (gcs, Arc::new(google.build().unwrap())),
        (azure, Arc::new(microsoft.build().unwrap())),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_retried_request_waits_again_in_every_cloud() {
    for which in 0..3 {
        let pace = pace();
        let (server, store) = clouds(&pace).swap_remove(which);
        let store = Paced::over(store, Some(&pace));
        let began = Instant::now();
        let at = Path::from("b/t.ibd.0");
        store.put(&at, payload(2)).await.unwrap();
        server.plan.lock().unwrap().push_back(503);
        store.get_opts(&at, expecting(MIB)).await.unwrap();
        let came = server.came.lock().unwrap();
        let came: Vec<_> = came.iter().map(|at| (*at - began).as_secs()).collect();
        assert_eq!(came, [0, 2, 4, 6, 7], "{store}");
    }
}
