//! TLS to a server whose own certificate is among the trusted certificates that the user named.
//!
//! Such a server usually has a self-signed certificate. In most cases the certificate is marked as
//! that of an authority, and webpki refuses it for a server (`CaUsedAsEndEntity`); or it is only
//! for a server, and its authority is not among the trusted certificates (`UnknownIssuer`). Naming
//! the certificate itself is a stronger statement than naming its authority, so it is accepted.
//!
//! Only these two errors are ignored: webpki returns them after it has parsed the certificate and
//! checked its dates. rustls has one variant, `CertificateError::Other`, for every error of webpki
//! that it doesn't map to a variant of its own. These include versions and critical extensions that
//! webpki doesn't support, which are detected before the dates are checked, constraints of
//! authorities, and signatures of another algorithm than stated.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// webpki's name for the error that a server presents the certificate of an authority as its own.
const AUTHORITY_AS_SERVER: &str = "CaUsedAsEndEntity";

/// The check of the host name in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostName {
    /// Must be the name of the server.
    Checked,
    /// May be another name.
    Any,
}

/// Accepts the certificates that `authorities` accepts, and the named certificates themselves.
#[derive(Debug)]
pub(crate) struct Named {
    pub authorities: Arc<dyn ServerCertVerifier>,
    pub certificates: Vec<CertificateDer<'static>>,
    pub host: HostName,
}

/// Returns whether an error only means that no authority signed the certificate.
fn is_of_its_authority(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            format!("{:?}", other.0) == AUTHORITY_AS_SERVER
        }
        _ => false,
    }
}

/// Returns whether an error only means that the certificate is for another host.
const fn is_of_the_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .authorities
            .verify_server_cert(shown, intermediates, name, ocsp, now);
        let named = || self.certificates.iter().any(|known| known == shown);
        match verified {
            Err(error) if self.host == HostName::Any && is_of_the_name(&error) => {
                Ok(ServerCertVerified::assertion())
            }
            Err(error) if is_of_its_authority(&error) && named() => {
                if self.host == HostName::Checked {
                    verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

#[cfg(test)]
#[path = "named_certificate_tests.rs"]
mod tests;
