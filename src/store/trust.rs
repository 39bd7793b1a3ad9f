//! Which certificates of a store are trusted: those that the system's authorities signed, those that an
//! authority of `--ca-file` signed, and the very certificates in that file.
//!
//! The last are for servers with a certificate that they signed themselves. Such a certificate usually says
//! that it is an authority, and then rustls refuses it as a server's (`CaUsedAsEndEntity`); or it is a server's
//! only, whose authority nobody named. Naming the certificate itself says more than naming its authority, so it
//! is accepted, if it has not expired and is for this host.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
};
use rustls_platform_verifier::Verifier;

use crate::store::StoreError;
use crate::store::clouds::bad;

/// webpki's name for a certificate of an authority that a server shows as its own.
const AUTHORITY_AS_SERVER: &str = "CaUsedAsEndEntity";

#[derive(Debug)]
struct Named {
    verifier: Verifier,
    certificates: Vec<CertificateDer<'static>>,
}

/// TLS that trusts what the file names besides what the system trusts.
///
/// # Errors
/// [`StoreError::BadOption`], or the file can't be read.
pub(super) fn config(path: &Path) -> Result<ClientConfig, StoreError> {
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
        verifier,
        certificates,
    };
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&format!("can't be used ({e})")))?;
    Ok(versions
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(named))
        .with_no_client_auth())
}

/// Whether an error says no more than that nobody else vouches for the certificate.
fn is_of_its_authority(error: &TlsError) -> bool {
    match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        TlsError::InvalidCertificate(CertificateError::Other(other)) => {
            format!("{other:?}").contains(AUTHORITY_AS_SERVER)
        }
        _ => false,
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified = self.verifier.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let named = self.certificates.iter().any(|known| known == end_entity);
        match verified {
            // webpki looks at the dates before it says either of them
            Err(error) if named && is_of_its_authority(&error) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
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
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
