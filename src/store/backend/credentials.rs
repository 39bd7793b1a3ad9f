//! Credentials that could not be had, told as such.
//!
//! `object_store` asks for credentials when the first request is made, and an instance that has none
//! shows as a connection to 169.254.169.254 that timed out. Nobody reads "no credentials" into that.
//!
//! Once there were credentials, a failure to get new ones is that of a service that is away, and passes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use object_store::CredentialProvider;

use crate::store::backend::fault::{Fault, Kind};

struct Told<C> {
    inner: Arc<dyn CredentialProvider<Credential = C>>,
    /// What the last resort was, and what to do.
    hint: &'static str,
    /// There were credentials before.
    had: AtomicBool,
}

/// A provider whose failure says where credentials were looked for.
pub(in crate::store) fn told<C: Send + Sync + 'static>(
    inner: &Arc<dyn CredentialProvider<Credential = C>>,
    hint: &'static str,
) -> Arc<dyn CredentialProvider<Credential = C>> {
    Arc::new(Told {
        inner: Arc::clone(inner),
        hint,
        had: AtomicBool::new(false),
    })
}

/// By hand: what is inside may hold secrets.
impl<C> fmt::Debug for Told<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("credentials")
    }
}

#[async_trait]
impl<C: Send + Sync> CredentialProvider for Told<C> {
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
            let what = format!("getting new credentials: {}", fault.what);
            let kind = fault.kind;
            return Err(Fault { kind, what }.into_error());
        }
        let why = fault.map_or_else(|| "no answer".to_owned(), |f| f.what);
        Err(Fault {
            kind: Kind::NoCredentials,
            what: format!("{} ({why})", self.hint),
        }
        .into_error())
    }
}
