use super::*;

fn outages(limits: Limits) -> (Arc<Outages>, Cancel) {
    let cancel = Cancel::new();
    (Outages::new("s3://b/p", limits, cancel.clone()), cancel)
}

fn ten_minutes() -> Limits {
    Limits {
        retries: usize::MAX,
        longest_wait: Duration::from_secs(5),
        deadline: Duration::from_secs(600),
    }
}

fn failure(kind: Kind) -> Error {
    let what = "PUT http://h/b/k: status 503".to_owned();
    Fault { kind, what }.into_error()
}

/// Makes requests to a store that is available again after some time.
async fn away(for_seconds: u64, limits: Limits) -> (Result<u64>, u64) {
    let (outages, _) = outages(limits);
    let (began, mut tries) = (Instant::now(), 0);
    let result = outages
        .repeated(|| {
            tries += 1;
            async move {
                if began.elapsed().as_secs() < for_seconds {
                    return Err(failure(Kind::Busy));
                }
                Ok(began.elapsed().as_secs())
            }
        })
        .await;
    (result, tries)
}

#[tokio::test(start_paused = true)]
async fn retries_are_limited_by_time_and_not_by_number() {
    for seconds in [1, 30, 300, 590] {
        let (result, tries) = away(seconds, ten_minutes()).await;
        let took = result.unwrap();
        assert!((seconds..=seconds + 5).contains(&took), "{took}");
        assert!(seconds < 100 || tries > seconds / 5, "{tries}");
    }
    let (result, tries) = away(1000, ten_minutes()).await;
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains(&format!("tried {tries} times in 600 s")),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn retries_can_be_limited_by_number() {
    let limits = Limits {
        retries: 2,
        ..ten_minutes()
    };
    assert_eq!(away(100, limits).await.1, 3);
    let limits = Limits {
        retries: 0,
        ..ten_minutes()
    };
    let (result, tries) = away(100, limits).await;
    assert_eq!(tries, 1);
    let error = result.unwrap_err().to_string();
    assert!(!error.contains("tried"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn permanent_failures_are_not_retried() {
    let (outages, _) = outages(ten_minutes());
    for kind in [
        Kind::Denied,
        Kind::Expired,
        Kind::NoBucket,
        Kind::NoCredentials,
        Kind::Skew,
        Kind::Tls,
        Kind::WrongScheme,
        Kind::NotAStore,
        Kind::TooLarge,
        Kind::Unsupported,
        Kind::Other,
    ] {
        let mut tries = 0;
        let result: Result<()> = outages
            .repeated(|| {
                tries += 1;
                async move { Err(failure(kind)) }
            })
            .await;
        assert!(result.is_err() && tries == 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn cancellation_ends_waits_and_blocked_requests() {
    for hangs in [false, true] {
        let (outages, cancel) = outages(ten_minutes());
        let began = Instant::now();
        let waiting = tokio::spawn({
            let outages = Arc::clone(&outages);
            async move {
                outages
                    .repeated(|| async move {
                        if hangs {
                            std::future::pending::<()>().await;
                        }
                        Err::<(), _>(failure(Kind::Unreachable))
                    })
                    .await
            }
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        cancel.cancel();
        waiting.await.unwrap().unwrap_err();
        let took = began.elapsed().as_secs();
        assert!((60..=66).contains(&took), "{took}");
        // requests of the cleanup are attempted for a limited time: the first one shows that the
        // store is unavailable
        for _ in 0..100 {
            let tidying = outages.attempt(async {
                std::future::pending::<()>().await;
                Ok(())
            });
            tidying.await.unwrap_err();
        }
        assert!(began.elapsed().as_secs() <= took + 6);
    }
}

/// A reader of an empty body polls it again after its end.
#[tokio::test]
async fn an_empty_object_is_read() {
    use crate::store::backend::remote::Remote;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
    let inner = Arc::new(InMemory::new());
    let at = Path::from("k");
    inner.put(&at, Vec::new().into()).await.unwrap();
    let remote = Remote::new(inner, outages(ten_minutes()).0);
    let got = remote.get_opts(&at, GetOptions::default()).await.unwrap();
    assert!(got.bytes().await.unwrap().is_empty());
}
