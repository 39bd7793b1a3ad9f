//! TLS of a connection to the server: the verification of its certificate, and the client's
//! certificate.
//!
//! Only the CAs in `ssl-ca` are trusted, none of a library or of the system: a database server
//! usually has no certificate of a public CA, and any public CA could otherwise issue one for any
//! host.

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
use super::wait::TimedStream;
use crate::named_certificate::{HostName, Named};

/// A TLS connection.
pub(super) type Secured = StreamOwned<ClientConnection, TimedStream>;

/// Returns whether TLS is requested on this transport: over a unix socket, as in MySQL's own
/// clients, only from `REQUIRED` on.
pub(super) fn is_wanted(o: &ConnectOptions) -> bool {
    match (o.ssl_mode, &o.transport) {
        (SslMode::Disabled, _) | (SslMode::Preferred, Transport::Socket(_)) => false,
        (SslMode::Preferred, Transport::Tcp { .. }) => true,
        (SslMode::Required | SslMode::VerifyCa | SslMode::VerifyIdentity, _) => true,
    }
}

/// Returns whether a server without TLS is an error.
pub(super) fn is_needed(o: &ConnectOptions) -> bool {
    is_wanted(o) && o.ssl_mode != SslMode::Preferred
}

/// Wraps the connection; the handshake happens with the first bytes.
///
/// # Errors
/// The reason as a message: a file that can't be used, or an invalid host name.
pub(super) fn secure(peer: TimedStream, o: &ConnectOptions) -> Result<Secured, String> {
    let name = match &o.transport {
        // MySQL's own clients compare with the same name.
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
            return Err("no ssl-ca was given for the verification of the server".into());
        }
        _ => Arc::new(AcceptAnyCertificate(Arc::clone(&provider))),
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

/// Reads the certificates of a file: PEM, or one in DER.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |what: String| format!("{}: {what}", path.display());
    let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let mut found = found.map_err(|e| wrong(e.to_string()))?;
    if found.is_empty() && !bytes.is_empty() {
        found.push(CertificateDer::from(bytes));
    }
    if found.is_empty() {
        return Err(wrong("contains no certificate".into()));
    }
    Ok(found)
}

/// Accepts every certificate: `PREFERRED` and `REQUIRED` protect against eavesdropping, not against
/// a man in the middle.
#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyCertificate {
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

/// Creates a verifier for certificates that a CA of the file signed, or that are in the file
/// themselves; `host` determines whether the certificate must be for the host's name.
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
