use super::*;
use rustls::CertificateError;
use std::path::PathBuf;
use std::time::Duration;

const PUBLIC_NAME: &str = "aws.amazon.com";
/// 2 February 2026.
const PUBLIC_VALID_AT: u64 = 1_770_000_000;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/tls")
        .join(name)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Returns a chain that a public CA signed, and a time at which it was valid.
fn public_chain() -> (Vec<CertificateDer<'static>>, UnixTime) {
    let chain = ["public-1.crt", "public-2.crt"].map(|name| certificates(&fixture(name)).unwrap());
    let now = UnixTime::since_unix_epoch(Duration::from_secs(PUBLIC_VALID_AT));
    (chain.concat(), now)
}

fn verify(authority: &Named, name: &str) -> Result<ServerCertVerified, Error> {
    let (chain, now) = public_chain();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    authority.verify_server_cert(&chain[0], &chain[1..], &name, &[], now)
}

#[test]
fn only_the_given_ca_is_trusted() {
    let ours = authority(&fixture("own-ca.pem"), HostName::Any, provider()).unwrap();
    let error = verify(&ours, PUBLIC_NAME).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
        ),
        "{error:?}"
    );
    // The chain itself is valid.
    let theirs = authority(&fixture("public-2.crt"), HostName::Checked, provider()).unwrap();
    verify(&theirs, PUBLIC_NAME).unwrap();
    assert!(verify(&theirs, "db.example").is_err(), "VERIFY_IDENTITY");
    let any_name = authority(&fixture("public-2.crt"), HostName::Any, provider()).unwrap();
    verify(&any_name, "db.example").unwrap();
}

#[test]
fn a_certificate_in_the_file_itself_is_accepted() {
    let pinned = authority(&fixture("public-1.crt"), HostName::Checked, provider()).unwrap();
    verify(&pinned, PUBLIC_NAME).unwrap();
    assert!(verify(&pinned, "db.example").is_err());
}

#[test]
fn the_error_has_the_path_of_a_file_without_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.pem");
    std::fs::write(&path, "").unwrap();
    let error = authority(&path, HostName::Any, provider()).unwrap_err();
    assert!(error.contains("empty.pem"), "{error}");
}
