//! Credentials of a machine: an instance's, a container's and web identity, from answers as Amazon
//! documents them. The requests show which key signs.

use lsnap::store::{Repository, StoreOptions};

use crate::proxy::{Deed, Proxy};
use crate::servers::Server;

const CREDENTIALS: &str = r#"{"Code":"Success","LastUpdated":"2026-01-01T00:00:00Z","Type":"AWS-HMAC",
 "AccessKeyId":"MACHINE","SecretAccessKey":"x","Token":"MACHINETOKEN","Expiration":"2099-01-01T00:00:00Z"}"#;

fn answer(body: &str) -> Deed {
    let text = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    Deed::Answer(Box::leak(text.into_boxed_str()))
}

/// Looks up an object with credentials of `variables`; returns the head of the request that reached
/// S3.
fn head_of(server: &Server, proxy: &Proxy, variables: &[(&str, String)]) -> String {
    let none = [
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ];
    let none = none.map(|(k, v)| (k.to_owned(), v.to_owned()));
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), v.clone()));
    let options = StoreOptions {
        endpoint: Some(format!("http://127.0.0.1:{}", proxy.port)),
        allow_http: true,
        ca_file: server.ca.exists().then(|| server.ca.clone()),
        variables: Some(variables.chain(none).collect()),
        ..StoreOptions::default()
    };
    let bucket = Repository::open_with(&server.url("p"), &options)
        .unwrap()
        .bucket();
    proxy.plan(&[]);
    bucket.length("k").unwrap();
    proxy.heads().join("")
}

#[test]
fn credentials_of_an_instance() {
    if crate::servers::lacks_moto("versitygw has no temporary keys") {
        return;
    }
    let server = Server::start_plain_s3();
    let (proxy, metadata) = (Proxy::before(server.port()), Proxy::before(1));
    metadata.plan(&[answer("TOKEN"), answer("the-role"), answer(CREDENTIALS)]);
    let endpoint = format!("http://127.0.0.1:{}", metadata.port);
    let head = head_of(&server, &proxy, &[("AWS_METADATA_ENDPOINT", endpoint)]);
    assert!(head.contains("Credential=MACHINE/"), "{head}");
    assert!(head.contains("MACHINETOKEN"), "{head}");
    // version 2: first a token is requested, then it is sent
    let asked = metadata.heads();
    assert!(asked[0].starts_with("PUT /latest/api/token "), "{asked:?}");
    assert!(
        asked[1].contains("x-aws-ec2-metadata-token: TOKEN"),
        "{asked:?}"
    );
    assert!(
        asked[2].contains("security-credentials/the-role "),
        "{asked:?}"
    );
}

#[test]
fn credentials_of_a_container() {
    if crate::servers::lacks_moto("versitygw has no temporary keys") {
        return;
    }
    let server = Server::start_plain_s3();
    let (proxy, agent) = (Proxy::before(server.port()), Proxy::before(1));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "AGENTTOKEN").unwrap();
    agent.plan(&[answer(CREDENTIALS)]);
    let variables = [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://127.0.0.1:{}/c", agent.port),
        ),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            file.display().to_string(),
        ),
    ];
    let head = head_of(&server, &proxy, &variables);
    assert!(head.contains("Credential=MACHINE/"), "{head}");
    assert!(
        agent.heads()[0].contains("AGENTTOKEN"),
        "{:?}",
        agent.heads()
    );
}

#[test]
fn credentials_of_a_web_identity() {
    if crate::servers::lacks_moto("versitygw has no temporary keys") {
        return;
    }
    let (mut server, sts) = (Server::start_plain_s3(), Server::start_sts());
    let proxy = Proxy::before(server.port());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "IDENTITY").unwrap();
    server.ca.clone_from(&sts.ca);
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.display().to_string()),
        (
            "AWS_ROLE_ARN",
            "arn:aws:iam::123456789012:role/backup".to_owned(),
        ),
        ("AWS_ENDPOINT_URL_STS", sts.endpoint.clone()),
    ];
    let head = head_of(&server, &proxy, &variables);
    assert!(head.contains("Credential=WEBIDENTITY/"), "{head}");
    assert!(head.contains("x-amz-security-token: STSTOKEN"), "{head}");
}
