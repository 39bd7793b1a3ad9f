//! TLS to a server whose very certificate is among those that a person named as trusted.
//!
//! Such a server usually signed its certificate itself. The certificate then mostly says that it is an authority,
//! and webpki refuses it as a server's (`CaUsedAsEndEntity`); or it is a server's only, whose authority nobody
//! named (`UnknownIssuer`). Naming the certificate itself says more than naming its authority, so it is accepted.
//!
//! These two errors alone are passed over: webpki gives them after it has read the certificate and checked its
//! dates. rustls has one name, `CertificateError::Other`, for everything of webpki that it has no name of its own
//! for: also versions and critical extensions that webpki doesn't support, which are found before the dates are
//! looked at, constraints of authorities, and signatures of another algorithm than said.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// webpki's name for a certificate of an authority that a server shows as its own.
const AUTHORITY_AS_SERVER: &str = "CaUsedAsEndEntity";

/// The host's name in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostName {
    /// Must be that of the server.
    Checked,
    /// May be another one.
    Any,
}

/// Takes what `authorities` takes, and the named certificates themselves.
#[derive(Debug)]
pub(crate) struct Named {
    pub authorities: Arc<dyn ServerCertVerifier>,
    pub certificates: Vec<CertificateDer<'static>>,
    pub host: HostName,
}

/// Whether an error says no more than that nobody else vouches for the certificate.
fn is_of_its_authority(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            format!("{:?}", other.0) == AUTHORITY_AS_SERVER
        }
        _ => false,
    }
}

/// Whether an error says no more than that the certificate is for another host.
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
