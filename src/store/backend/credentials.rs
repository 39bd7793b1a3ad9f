//! A credential provider that reports missing credentials as such.
//!
//! `object_store` requests credentials at the first request. On a host without credentials this
//! fails with a timed out connection to 169.254.169.254, which doesn't look like missing
//! credentials.
//!
//! If there were credentials before, a failure to renew them means that the service is unavailable,
//! and is temporary.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use object_store::CredentialProvider;

use crate::store::backend::fault::{Fault, Kind};

struct Explained<C> {
    inner: Arc<dyn CredentialProvider<Credential = C>>,
    /// The sources that were tried, and how to fix it.
    hint: &'static str,
    /// Whether there were credentials before.
    had: AtomicBool,
}

/// Wraps a provider so that its failure names the sources of credentials that were tried.
pub(super) fn explained<C: Send + Sync + 'static>(
    inner: &Arc<dyn CredentialProvider<Credential = C>>,
    hint: &'static str,
) -> Arc<dyn CredentialProvider<Credential = C>> {
    Arc::new(Explained {
        inner: Arc::clone(inner),
        hint,
        had: AtomicBool::new(false),
    })
}

/// Written by hand, because the inner provider may contain secrets.
impl<C> fmt::Debug for Explained<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("credentials")
    }
}

#[async_trait]
impl<C: Send + Sync> CredentialProvider for Explained<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        let error = match self.inner.get_credential().await {
            Ok(credential) => {
                self.had.store(true, Ordering::Release);
                return Ok(credential);
            }
            Err(error) => error,
        };
        let fault = Fault::read(&error);
        if let Some(fault) = &fault
            && fault.is_passing()
            && self.had.load(Ordering::Acquire)
        {
            let what = format!("renewing the credentials: {}", fault.what);
            let kind = fault.kind;
            return Err(Fault { kind, what }.into_error());
        }
        let why = fault.map_or_else(|| "no response".to_owned(), |f| f.what);
        Err(Fault {
            kind: Kind::NoCredentials,
            what: format!("{} ({why})", self.hint),
        }
        .into_error())
    }
}
