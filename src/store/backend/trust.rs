//! Which certificates of a store are trusted: those that the system's authorities signed, those that an
//! authority of `--ca-file` signed, and the very certificates in that file (see [`crate::named_certificate`]), if
//! they have not expired and are for this host.

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

/// TLS that trusts what the file names besides what the system trusts.
///
/// # Errors
/// [`OpenFault::BadOption`](crate::store::OpenFault::BadOption), or the file can't be read.
pub(in crate::store) fn config(path: &Path) -> Result<ClientConfig, StoreError> {
    let pem = std::fs::read(path).map_err(|e| StoreError::io("reading the CA file", path, e))?;
    let wrong = |what: &str| bad("--ca-file", format!("{} {what}", path.display()));
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| wrong("holds no certificate in PEM form"))?;
    let provider = CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let verifier =
        Verifier::new_with_extra_roots(certificates.iter().cloned(), Arc::clone(&provider))
            .map_err(|e| wrong(&format!("holds a certificate that can't be used ({e})")))?;
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
