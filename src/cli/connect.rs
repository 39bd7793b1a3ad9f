//! Options for the connection to the server, as every MySQL client has them.

use super::exit::Failure;
use super::output;
use crate::server::{ConnectOptions, FileChoice, Overrides, Protocol, SslMode};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;

/// Options that every MySQL client has. If one is missing, its value comes from the environment,
/// then from the option files (`/etc/my.cnf`, `/etc/mysql/my.cnf`, `~/.my.cnf`; groups `[client]`
/// and `[lsnap]`).
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
#[group(skip)]
pub(super) struct Args {
    /// Read options only from this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["defaults_extra_file", "no_defaults"])]
    defaults_file: Option<PathBuf>,
    /// Read options from this file too, after the others.
    #[arg(long, value_name = "FILE")]
    defaults_extra_file: Option<PathBuf>,
    /// Don't read option files.
    #[arg(long)]
    no_defaults: bool,
    /// Read the groups with this suffix too.
    #[arg(long, value_name = "SUFFIX")]
    defaults_group_suffix: Option<String>,
    /// The MySQL account.
    #[arg(short, long)]
    user: Option<String>,
    /// Prompt for the password. It can't be given here, where every user of the machine could read
    /// it.
    // A value is parsed only to be refused: clap's error for an unexpected value would repeat it.
    #[arg(short, long, num_args = 0..=1, hide_possible_values = true, value_name = "",
          value_parser = OsStringValueParser::new().map(|_| OnCommandLine))]
    password: Option<Option<OnCommandLine>>,
    /// Read the password from this file of one line. Only its owner should have access to it. A
    /// pipe is accepted.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The server's host. Without it, and for `localhost`, the socket is used.
    #[arg(long)]
    host: Option<String>,
    /// The server's TCP port.
    #[arg(short = 'P', long)]
    port: Option<u16>,
    /// The server's unix socket.
    #[arg(short = 'S', long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// The connection: tcp or socket.
    #[arg(long)]
    protocol: Option<Protocol>,
    /// The TLS mode: DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY.
    #[arg(long)]
    ssl_mode: Option<SslMode>,
    /// The certificate of the authority that signed the server's certificate, PEM.
    #[arg(long, value_name = "FILE")]
    ssl_ca: Option<PathBuf>,
    /// The client's certificate, PEM.
    #[arg(long, value_name = "FILE")]
    ssl_cert: Option<PathBuf>,
    /// The client's key, PEM.
    #[arg(long, value_name = "FILE")]
    ssl_key: Option<PathBuf>,
    /// Trust the RSA key that the server sends, for a password over TCP without TLS.
    #[arg(long)]
    get_server_public_key: bool,
}

/// A secret that was given on the command line. Its value isn't kept.
#[derive(Debug, Clone, Copy)]
struct OnCommandLine;

impl Args {
    pub(super) fn resolve(&self) -> Result<ConnectOptions, Failure> {
        if let Some(Some(OnCommandLine)) = self.password {
            return Err(Failure::arguments(
                "--password takes no value, because every user of the machine can read a command line: give it alone \
                 to type the password, or use --password-file; change a password that others may have read"
                    .to_owned(),
            ));
        }
        let files = FileChoice {
            defaults_file: self.defaults_file.clone(),
            defaults_extra_file: self.defaults_extra_file.clone(),
            no_defaults: self.no_defaults,
            group_suffix: self.defaults_group_suffix.clone(),
        };
        let overrides = Overrides {
            user: self.user.clone(),
            ask_password: self.password.is_some(),
            password_file: self.password_file.clone(),
            host: self.host.clone(),
            port: self.port,
            socket: self.socket.clone(),
            protocol: self.protocol,
            ssl_mode: self.ssl_mode,
            ssl_ca: self.ssl_ca.clone(),
            ssl_cert: self.ssl_cert.clone(),
            ssl_key: self.ssl_key.clone(),
            get_server_public_key: self.get_server_public_key.then_some(true),
            ..Overrides::default()
        };
        let options = ConnectOptions::load(&files, &overrides, Some(&mut ask))?;
        for warning in &options.warnings {
            output::err(&format!("lsnap: warning: {warning}\n"));
        }
        Ok(options)
    }
}

/// Reads a line: from a terminal without echo, else from standard input.
pub(super) fn ask(prompt: &str) -> io::Result<String> {
    let stdin = io::stdin();
    let hidden = stdin
        .is_terminal()
        .then(|| Hidden::new(&stdin))
        .transpose()?;
    if hidden.is_some() {
        output::err(prompt);
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    if hidden.is_some() {
        output::err("\n");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal without echo. Dropping it turns the echo on again.
struct Hidden<'a> {
    terminal: &'a io::Stdin,
    before: rustix::termios::Termios,
}

impl<'a> Hidden<'a> {
    fn new(terminal: &'a io::Stdin) -> io::Result<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
