//! Servers that emulate the clouds: real processes on loopback, over TLS with their own authority.
//! Each test starts the servers that it needs; dropping the value ends them. The scripts are in
//! `tests/stores`.
//!
//! | store | server |
//! |---|---|
//! | `file://` | none |
//! | `s3://` | `moto_server` (PyPI), through `moto_atomic.py`, which documents the reason; with `LSNAP_S3_SERVER=versitygw`, `versitygw` (a Go module) on a directory |
//! | `gs://` | `gcs_front.py` before a `moto_server`; the script documents the reason |
//! | `az://` | Azurite (npm) |

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ::lsnap::store::{Repository, StoreOptions, Variables};

/// The bucket (or container) of every server.
pub const BUCKET: &str = "lsnap-test";
/// A secret that must not appear in any output; Azurite has another one.
pub const SECRET: &str = "c2VjcmV0LW9mLXRoZS10ZXN0cy0wMTIzNDU2Nzg5";
/// The key id to which [`SECRET`] belongs.
pub const ACCESS_KEY: &str = "AKIDTEST";
const AZURE_ACCOUNT: &str = "lsnaptests";

/// The kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    S3,
    Gcs,
    Azure,
}

/// A store with its server.
pub struct Server {
    pub kind: Kind,
    /// `https://127.0.0.1:port...`
    pub endpoint: String,
    /// The authority's certificate.
    pub ca: PathBuf,
    children: Vec<Child>,
    dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Server {
    /// Creates the value without a server; `ca` is the file name of the authority's certificate in
    /// the directory.
    fn new(kind: Kind, ca: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            kind,
            endpoint: String::new(),
            ca: dir.path().join(ca),
            children: Vec::new(),
            dir,
        }
    }

    pub fn start(kind: Kind) -> Self {
        let mut server = Self::new(kind, "ca.pem");
        if kind != Kind::File {
            install();
            certificates(server.dir.path());
        }
        match kind {
            Kind::File => {}
            Kind::S3 => {
                let port = server.s3(true);
                server.endpoint = format!("https://127.0.0.1:{port}");
                server.bucket(port, true);
            }
            Kind::Gcs => {
                let moto = server.moto(false);
                server.bucket(moto, false);
                server.python("gcs_front.py", &[moto.to_string()]);
            }
            Kind::Azure => server.azurite(),
        }
        server
    }

    /// Starts S3 with a self-signed certificate, which is also its `ca`.
    pub fn start_self_signed_s3() -> Self {
        install();
        let mut server = Self::new(Kind::S3, "cert.pem");
        self_signed(server.dir.path());
        let port = server.s3(true);
        server.endpoint = format!("https://127.0.0.1:{port}");
        server.bucket(port, true);
        server
    }

    /// Starts S3 without TLS, for tests with a proxy that reads the requests.
    pub fn start_plain_s3() -> Self {
        install();
        let mut server = Self::new(Kind::S3, "none");
        let port = server.s3(false);
        server.endpoint = format!("http://127.0.0.1:{port}");
        server.bucket(port, false);
        server
    }

    /// Starts the part of Amazon's token service that the tests need.
    pub fn start_sts() -> Self {
        let mut server = Self::new(Kind::S3, "ca.pem");
        install();
        certificates(server.dir.path());
        server.python("sts.py", &[]);
        server
    }

    /// Starts a server of `tests/stores` with its port, `args`, certificate and key.
    fn python(&mut self, script: &str, args: &[String]) {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stores");
        let port = free_port();
        let mut command = Command::new(stores().join("venv/bin/python"));
        command
            .arg(Path::new(dir).join(script))
            .arg(port.to_string())
            .args(args);
        command.args([self.path("cert.pem"), self.path("key.pem")]);
        self.spawn(command, port);
        self.endpoint = format!("https://127.0.0.1:{port}");
    }

    /// Returns the port of the server.
    pub fn port(&self) -> u16 {
        url::Url::parse(&self.endpoint).unwrap().port().unwrap()
    }

    /// Returns the URL of a separate prefix in the store.
    pub fn url(&self, prefix: &str) -> String {
        match self.kind {
            Kind::File => url::Url::from_file_path(self.path(prefix)).unwrap().into(),
            Kind::S3 => format!("s3://{BUCKET}/{prefix}"),
            Kind::Gcs => format!("gs://{BUCKET}/{prefix}"),
            Kind::Azure => format!("az://{BUCKET}/{prefix}"),
        }
    }

    /// Returns the command-line options.
    pub fn args(&self) -> Vec<String> {
        match self.kind {
            Kind::File => Vec::new(),
            _ => vec![
                "--endpoint".to_owned(),
                self.endpoint.clone(),
                "--ca-file".to_owned(),
                self.ca.display().to_string(),
            ],
        }
    }

    /// Returns the environment with the credentials.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let pairs: &[(&'static str, &str)] = match self.kind {
            Kind::File => &[],
            Kind::S3 => &[
                ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
                ("AWS_SECRET_ACCESS_KEY", SECRET),
                ("AWS_REGION", "us-east-1"),
            ],
            Kind::Gcs => &[("GOOGLE_BEARER_TOKEN", SECRET)],
            Kind::Azure => &[
                ("AZURE_STORAGE_ACCOUNT", AZURE_ACCOUNT),
                ("AZURE_STORAGE_KEY", SECRET),
            ],
        };
        pairs.iter().map(|(k, v)| (*k, (*v).to_owned())).collect()
    }

    /// Returns the same settings as `args` and `env`, for the library.
    pub fn options(&self) -> StoreOptions {
        let env = self.env();
        let remote = self.kind != Kind::File;
        StoreOptions {
            endpoint: remote.then(|| self.endpoint.clone()),
            ca_file: remote.then(|| self.ca.clone()),
            variables: Some(
                env.into_iter()
                    .map(|(k, v)| (k.to_owned(), v))
                    .collect::<Variables>(),
            ),
            ..StoreOptions::default()
        }
    }

    pub fn repository(&self, prefix: &str) -> Repository {
        Repository::open_with(&self.url(prefix), &self.options()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the S3 server that `LSNAP_S3_SERVER` names: moto if it is not set.
    fn s3(&mut self, tls: bool) -> u16 {
        if is_moto() {
            self.moto(tls)
        } else {
            self.versitygw(tls)
        }
    }

    fn versitygw(&mut self, tls: bool) -> u16 {
        let port = free_port();
        let data = self.path("versitygw");
        std::fs::create_dir(&data).unwrap();
        let mut command = Command::new(stores().join("versitygw"));
        command
            .args(["--access", ACCESS_KEY, "--secret", SECRET])
            .args(["--region", "us-east-1", "--port"])
            .arg(format!("127.0.0.1:{port}"));
        if tls {
            command.arg("--cert").arg(self.path("cert.pem"));
            command.arg("--key").arg(self.path("key.pem"));
        }
        command.arg("posix").arg(data);
        self.spawn(command, port);
        port
    }

    fn moto(&mut self, tls: bool) -> u16 {
        let port = free_port();
        let mut command = Command::new(stores().join("venv/bin/python"));
        command.arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/stores/moto_atomic.py"
        ));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        if tls {
            command
                .arg("-c")
                .arg(self.path("cert.pem"))
                .arg("-k")
                .arg(self.path("key.pem"));
        }
        self.spawn(command, port);
        port
    }

    fn azurite(&mut self) {
        let port = free_port();
        let mut command = Command::new(stores().join("node/node_modules/.bin/azurite-blob"));
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        command.args([
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
            "--inMemoryPersistence",
        ]);
        command
            .arg("--cert")
            .arg(self.path("cert.pem"))
            .arg("--key")
            .arg(self.path("key.pem"));
        command.env("AZURITE_ACCOUNTS", format!("{AZURE_ACCOUNT}:{SECRET}"));
        self.spawn(command, port);
        self.endpoint = format!("https://127.0.0.1:{port}/{AZURE_ACCOUNT}");
        let made = Command::new(stores().join("venv/bin/python"))
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/stores/azure_container.py"
            ))
            .args([&self.endpoint, AZURE_ACCOUNT, SECRET, BUCKET])
            .arg(&self.ca)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    }

    fn bucket(&self, port: u16, tls: bool) {
        let scheme = if tls { "https" } else { "http" };
        let made = Command::new("curl")
            .args(["-sfX", "PUT"])
            .args(
                tls.then(|| ["--cacert".as_ref(), self.ca.as_os_str()])
                    .into_iter()
                    .flatten(),
            )
            .args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user"])
            .arg(format!("{ACCESS_KEY}:{SECRET}"))
            .args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
            .arg(format!("{scheme}://127.0.0.1:{port}/{BUCKET}"))
            .output()
            .unwrap();
        assert!(made.status.success(), "the bucket: {made:?}");
    }

    /// Starts a server and waits until it accepts connections.
    fn spawn(&mut self, mut command: Command, port: u16) {
        let log = self.path(&format!("{port}.log"));
        let out = File::create(&log).unwrap();
        let child = command
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        self.children.push(child);
        let until = Instant::now() + Duration::from_secs(120);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.children.last_mut().and_then(|c| c.try_wait().unwrap());
            if ended.is_some() || Instant::now() > until {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("{command:?} does not respond: {ended:?} {said}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Returns whether moto is the S3 server of the tests.
pub fn is_moto() -> bool {
    match std::env::var("LSNAP_S3_SERVER").as_deref() {
        Ok("versitygw") => false,
        Ok("moto") | Err(_) => true,
        Ok(other) => panic!("LSNAP_S3_SERVER={other}; expected moto or versitygw"),
    }
}

/// Returns whether a test that needs moto for this reason can't run.
pub fn lacks_moto(reason: &str) -> bool {
    if !is_moto() {
        eprintln!("not run with another S3 server than moto: {reason}");
    }
    !is_moto()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn tool() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/stores"))
}

/// Installs the servers, once in each process.
fn install() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| assert!(tool().arg("install").status().unwrap().success()));
}

fn stores() -> PathBuf {
    let out = tool().arg("dir").output().unwrap();
    PathBuf::from(String::from_utf8(out.stdout).unwrap().trim_end())
}

/// Creates a certificate as `openssl req -x509` does (`cert.pem`, `key.pem`): it is marked as that
/// of an authority.
pub fn self_signed(dir: &Path) {
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
                  -keyout key.pem -out cert.pem -addext subjectAltName=IP:127.0.0.1";
    run_openssl(script, dir);
}

/// Creates an authority (`ca.pem`) and its certificate for 127.0.0.1 (`cert.pem`, `key.pem`).
fn certificates(dir: &Path) {
    let script = r#"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
            -subj "/CN=lsnap test authority" -keyout ca.key -out ca.pem \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
            -subj "/CN=127.0.0.1" -keyout key.pem -out cert.csr
        printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n' > ext
        openssl x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
            -extfile ext -out cert.pem
    "#;
    run_openssl(script, dir);
}

fn run_openssl(script: &str, dir: &Path) {
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}
