use super::*;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::time::Duration;

fn certificate(name: &str) -> CertificateDer<'static> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/tls")
        .join(name);
    CertificateDer::from_pem_file(path).unwrap()
}

/// Verifies a server that shows the certificate `shown`, which is among the named ones, in that year.
fn verify(shown: &str, host: HostName, name: &str, year: u64) -> Result<ServerCertVerified, Error> {
    let shown = certificate(shown);
    let mut roots = RootCertStore::empty();
    roots.add(certificate("own-ca.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let named = Named {
        authorities: authorities.build().unwrap(),
        certificates: vec![certificate("own-ca.pem"), shown.clone()],
        host,
    };
    let now =
        UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_556_952 + 15_000_000));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    named.verify_server_cert(&shown, &[], &name, &[], now)
}

#[test]
fn a_server_that_signed_its_certificate_itself() {
    for host in [HostName::Checked, HostName::Any] {
        verify("own-server.pem", host, "db.example", 2026).unwrap();
        let expired = verify("own-server.pem", host, "db.example", 2028).unwrap_err();
        let text = expired.to_string();
        assert!(text.contains("expired"), "{text}");
    }
    assert!(verify("own-server.pem", HostName::Checked, "other.example", 2026).is_err());
    verify("own-server.pem", HostName::Any, "other.example", 2026).unwrap();
}

/// rustls maps this error to `Other`, as that of a certificate of an authority; webpki returns it before it checks
/// the dates.
#[test]
fn a_certificate_that_webpki_cannot_parse_is_refused() {
    for (host, year) in [(HostName::Checked, 2020), (HostName::Any, 2026)] {
        let error = verify("own-odd.pem", host, "db.example", year).unwrap_err();
        let Error::InvalidCertificate(CertificateError::Other(other)) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(format!("{:?}", other.0), "UnsupportedCriticalExtension");
    }
}
