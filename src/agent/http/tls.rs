//! Certificates: the server's own, and the authority of its clients.

use super::listen::HttpError;
use crate::agent::settings::HttpSettings;
use crate::secret_file;
use crate::shown::shown_path;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;

/// Longest file with a key, in bytes.
const LONGEST: u64 = 1 << 20;

/// Returns the configuration of TLS; `None` without certificates.
pub(super) fn config(settings: &HttpSettings) -> Result<Option<Arc<ServerConfig>>, HttpError> {
    let Some((certificate, key)) = &settings.tls else {
        return Ok(None);
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let of = |path: &Path| {
        let at = shown_path(path).to_string();
        move |error: rustls::Error| HttpError::system(&at, error)
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(of(certificate))?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(of(path))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .map_err(|error| HttpError::system(shown_path(path), error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder
        .with_single_cert(certificates(certificate)?, private_key(key)?)
        .map_err(of(certificate))?;
    Ok(Some(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let at = |why: String| HttpError::system(shown_path(path), why);
    let found = CertificateDer::pem_file_iter(path).map_err(|error| at(error.to_string()))?;
    let found: Vec<_> = found
        .collect::<Result<_, _>>()
        .map_err(|error| at(error.to_string()))?;
    if found.is_empty() {
        return Err(at("has no certificate: expected PEM".to_owned()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, HttpError> {
    let at = |why: String| HttpError::system(shown_path(path), why);
    let secret = secret_file::read(path, "key", LONGEST).map_err(|error| at(error.to_string()))?;
    if let Some(warning) = &secret.warning {
        tracing::warn!("{}: {warning}", shown_path(path));
    }
    PrivateKeyDer::from_pem_slice(&secret.bytes)
        .map_err(|_| at("has no private key: expected PEM".to_owned()))
}
