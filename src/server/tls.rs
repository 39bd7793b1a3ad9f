//! TLS of a connection to the server: whose certificates are believed, and what is shown to the server.
//!
//! Only the authorities in `ssl-ca` are trusted, none that a library or the system brings: a server's database
//! has no business with public authorities, any of which would otherwise vouch for any host.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned,
};

use super::options::{ConnectOptions, SslMode, Transport};
use super::wait::Patient;
use crate::named_certificate::{HostName, Named};

/// A connection in TLS.
pub(super) type Secured = StreamOwned<ClientConnection, Patient>;

/// Whether TLS is asked for on this way to the server: over a unix socket, as with MySQL's own clients, only from
/// `REQUIRED` on.
pub(super) fn is_wanted(o: &ConnectOptions) -> bool {
    match (o.ssl_mode, &o.transport) {
        (SslMode::Disabled, _) | (SslMode::Preferred, Transport::Socket(_)) => false,
        (SslMode::Preferred, Transport::Tcp { .. }) => true,
        (SslMode::Required | SslMode::VerifyCa | SslMode::VerifyIdentity, _) => true,
    }
}

/// Whether a server without TLS is an error.
pub(super) fn is_needed(o: &ConnectOptions) -> bool {
    is_wanted(o) && o.ssl_mode != SslMode::Preferred
}

/// Wraps the connection; the handshake itself happens with the first bytes.
///
/// # Errors
/// A text for people: a file that can't be used, a host name that can't be one.
pub(super) fn secure(peer: Patient, o: &ConnectOptions) -> Result<Secured, String> {
    let name = match &o.transport {
        // What MySQL's own clients compare with.
        Transport::Socket(_) => "localhost",
        Transport::Tcp { host, .. } => host,
    };
    let name = ServerName::try_from(name.to_owned()).map_err(|e| format!("{name}: {e}"))?;
    let connection = ClientConnection::new(Arc::new(config(o)?), name).map_err(|e| text(&e))?;
    Ok(StreamOwned::new(connection, peer))
}

fn text(error: &Error) -> String {
    error.to_string()
}

fn config(o: &ConnectOptions) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match (o.ssl_mode, &o.ssl_ca) {
        (SslMode::VerifyCa, Some(ca)) => {
            Arc::new(authority(ca, HostName::Any, Arc::clone(&provider))?)
        }
        (SslMode::VerifyIdentity, Some(ca)) => {
            Arc::new(authority(ca, HostName::Checked, Arc::clone(&provider))?)
        }
        (SslMode::VerifyCa | SslMode::VerifyIdentity, None) => {
            return Err("no ssl-ca was given to check the server by".into());
        }
        _ => Arc::new(Anyone(Arc::clone(&provider))),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| text(&e))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match (&o.ssl_cert, &o.ssl_key) {
        (Some(cert), Some(key)) => {
            let shown = certificates(cert)?;
            let key =
                PrivateKeyDer::from_pem_file(key).map_err(|e| format!("{}: {e}", key.display()))?;
            builder
                .with_client_auth_cert(shown, key)
                .map_err(|e| text(&e))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

/// The certificates of a file: PEM, or one in DER.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |what: String| format!("{}: {what}", path.display());
    let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let mut found = found.map_err(|e| wrong(e.to_string()))?;
    if found.is_empty() && !bytes.is_empty() {
        found.push(CertificateDer::from(bytes));
    }
    if found.is_empty() {
        return Err(wrong("holds no certificate".into()));
    }
    Ok(found)
}

/// Takes every certificate: `PREFERRED` and `REQUIRED` keep listeners out, not who sits in between.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes what the authorities of one file signed, or a certificate that is itself in that file; `host` says whether
/// the certificate must be for the host's name.
fn authority(ca: &Path, host: HostName, provider: Arc<CryptoProvider>) -> Result<Named, String> {
    let wrong = |what: String| format!("{}: {what}", ca.display());
    let certificates = certificates(ca)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots
            .add(certificate.clone())
            .map_err(|e| wrong(text(&e)))?;
    }
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| wrong(e.to_string()))?;
    Ok(Named {
        authorities,
        certificates,
        host,
    })
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
