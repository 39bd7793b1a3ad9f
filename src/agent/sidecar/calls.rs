//! The arguments and the option file of each program, as the operator's sidecar calls xtrabackup and xbcloud. Secrets are
//! in the option file, not in the arguments.

use super::USER;
use super::config::{BackupConfig, Secret};
use std::fmt::Write as _;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The descriptor of a program at which its option file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionsAt {
    /// Standard input.
    Input,
    /// Standard output: the program's input is the stream, and it prints nothing.
    Output,
}

/// A program with its arguments.
pub(super) struct Call {
    /// The arguments, without those that select option files.
    pub(super) args: Vec<String>,
    /// The name of the program.
    pub(super) program: &'static str,
    /// The option file.
    pub(super) options: Zeroizing<String>,
    /// Where it is.
    pub(super) options_at: OptionsAt,
    /// More variables of the environment.
    pub(super) env: Vec<(String, Secret)>,
}

impl Call {
    /// Returns all arguments of this program.
    pub(super) fn arguments(&self) -> Vec<&str> {
        let options = match self.options_at {
            OptionsAt::Input => "--defaults-file=/proc/self/fd/0",
            OptionsAt::Output => "--defaults-file=/proc/self/fd/1",
        };
        let mut all = vec![self.program, options, "--no-login-paths"];
        all.extend(self.args.iter().map(String::as_str));
        all
    }
}

/// Returns `xtrabackup --backup`, which writes the stream to its standard output.
pub(super) fn backup(config: &BackupConfig, password: &str, files: &[PathBuf]) -> Call {
    let mut args: Vec<String> = [
        "--backup",
        "--stream=xbstream",
        "--safe-slave-backup",
        "--slave-info",
        "--target-dir=/backup/",
        "--databases-exclude=lost+found",
    ]
    .map(str::to_owned)
    .into();
    args.push(format!("--user={USER}"));
    let own = &config.container_options.args.xtrabackup;
    if !config.encryption_key_file.is_empty() {
        args.push(format!("--encrypt-key-file={}", config.encryption_key_file));
        if !own.iter().any(|arg| arg.starts_with("--encrypt=")) {
            args.push("--encrypt=AES256".to_owned());
        }
    }
    args.extend(own.iter().cloned());
    if !config.incremental_lsn.is_empty() {
        args.push(format!("--incremental-lsn={}", config.incremental_lsn));
    }
    let mut options = included(files);
    options.push_str("[client]\n");
    option(&mut options, "password", password);
    Call {
        program: "xtrabackup",
        args,
        options,
        options_at: OptionsAt::Input,
        env: env(config),
    }
}

/// Returns `xbcloud put`, which reads the stream from its standard input.
pub(super) fn put(config: &BackupConfig, files: &[PathBuf]) -> Call {
    let mut call = xbcloud("put", config, files);
    call.options_at = OptionsAt::Output;
    call
}

/// Returns `xbcloud delete`.
pub(super) fn delete(config: &BackupConfig, files: &[PathBuf]) -> Call {
    xbcloud("delete", config, files)
}

/// Returns `xbcloud state`.
pub(super) fn state(config: &BackupConfig, files: &[PathBuf]) -> Call {
    xbcloud("state", config, files)
}

/// Returns `xbcloud get` of one file of a backup, which writes the stream to its standard output.
pub(super) fn get(config: &BackupConfig, file: &str, files: &[PathBuf]) -> Call {
    let mut call = xbcloud("get", config, files);
    call.args.push(file.to_owned());
    call
}

/// Returns the option file for a connection of this process.
pub(super) fn client_options(password: &str, files: &[PathBuf]) -> Zeroizing<String> {
    let mut options = included(files);
    options.push_str("[client]\n");
    option(&mut options, "password", password);
    options
}

fn xbcloud(verb: &str, config: &BackupConfig, files: &[PathBuf]) -> Call {
    let mut args: Vec<String> = [verb, "--parallel=10", "--curl-retriable-errors=7"]
        .map(str::to_owned)
        .into();
    args.extend(config.container_options.args.xbcloud.iter().cloned());
    if !config.verify_tls {
        args.push("--insecure".to_owned());
    }
    let mut options = included(files);
    options.push_str("[xbcloud]\n");
    let mut given = |name: &str, value: &str| {
        if !value.is_empty() {
            args.push(format!("--{name}={value}"));
        }
    };
    match config.kind.as_str() {
        "gcs" => {
            given("storage", "google");
            given("google-bucket", &config.gcs.bucket);
            given("google-endpoint", &config.gcs.endpoint_url);
            given("google-storage-class", &config.gcs.storage_class);
            option(
                &mut options,
                "google-access-key",
                config.gcs.access_key.text(),
            );
            option(
                &mut options,
                "google-secret-key",
                config.gcs.secret_key.text(),
            );
            args.push("--md5".to_owned());
        }
        "azure" => {
            given("storage", "azure");
            given("azure-container-name", &config.azure.container_name);
            given("azure-endpoint", &config.azure.endpoint_url);
            option(
                &mut options,
                "azure-storage-account",
                config.azure.storage_account.text(),
            );
            option(
                &mut options,
                "azure-access-key",
                config.azure.access_key.text(),
            );
        }
        _ => {
            given("storage", "s3");
            given("s3-bucket", &config.s3.bucket);
            given("s3-region", &config.s3.region);
            given("s3-endpoint", &config.s3.endpoint_url);
            given("s3-storage-class", &config.s3.storage_class);
            option(&mut options, "s3-access-key", config.s3.access_key.text());
            option(&mut options, "s3-secret-key", config.s3.secret_key.text());
            args.push("--md5".to_owned());
        }
    }
    // A destination that begins with dashes is no option.
    args.push("--".to_owned());
    args.push(config.destination.clone());
    Call {
        program: "xbcloud",
        args,
        options,
        options_at: OptionsAt::Input,
        env: env(config),
    }
}

fn env(config: &BackupConfig) -> Vec<(String, Secret)> {
    let variables = config.container_options.env.iter();
    variables
        .map(|variable| (variable.name.clone(), variable.value.clone()))
        .collect()
}

/// Returns the beginning of an option file that reads these files first, those that exist.
fn included(files: &[PathBuf]) -> Zeroizing<String> {
    let mut options = Zeroizing::new(String::new());
    for file in files.iter().filter(|file| file.exists()) {
        let _never = writeln!(options, "!include {}", file.display());
    }
    options
}

/// Adds an option, unless its value is empty.
fn option(options: &mut String, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    let _never = write!(options, "{name}=\"");
    for c in value.chars() {
        match c {
            '\\' | '"' => options.extend(['\\', c]),
            '\n' => options.push_str("\\n"),
            '\r' => options.push_str("\\r"),
            c => options.push(c),
        }
    }
    options.push_str("\"\n");
}
