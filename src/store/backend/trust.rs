//! The trust in certificates of a store. Trusted are certificates that an authority of the system
//! signed, certificates that an authority in `StoreOptions::ca_file` signed, and the certificates
//! in that file themselves (see [`crate::named_certificate`]), if they have not expired and are for
//! this host.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use crate::named_certificate::{HostName, Named};
use crate::store::backend::options::bad;
use crate::store::error::StoreError;

/// Returns a TLS configuration that trusts the certificates in the file in addition to the
/// system's.
///
/// # Errors
/// [`OpenFault::BadOption`](crate::store::OpenFault::BadOption), or the file can't be read.
pub(super) fn config(path: &Path) -> Result<ClientConfig, StoreError> {
    let pem = std::fs::read(path).map_err(|e| StoreError::io("reading the CA file", path, e))?;
    let wrong = |what: &str| {
        bad(
            "StoreOptions::ca_file",
            format!("{} {what}", path.display()),
        )
    };
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| wrong("has no certificate in PEM format"))?;
    let provider = CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let verifier =
        Verifier::new_with_extra_roots(certificates.iter().cloned(), Arc::clone(&provider))
            .map_err(|e| wrong(&format!("has a certificate that can't be used ({e})")))?;
    let named = Named {
        authorities: Arc::new(verifier),
        certificates,
        host: HostName::Checked,
    };
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&format!("can't be used ({e})")))?;
    Ok(versions
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(named))
        .with_no_client_auth())
}
