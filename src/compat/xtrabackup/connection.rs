//! The connection, from the options of a MySQL client.

use super::Failure;
use super::table::Opt;
use crate::cli;
use crate::compat::log;
use crate::compat::options::Parsed;
use crate::server::{ConnectOptions, FileChoice, Overrides, Password};

pub(super) fn options(options: &Parsed) -> Result<ConnectOptions, Failure> {
    let text = |option| options.text(option).map(|text| text.map(str::to_owned));
    let password = text(Opt::Password)?;
    let no_host = std::env::var_os("MYSQL_HOST").is_some() && !options.is_given(Opt::Socket);
    let overrides = Overrides {
        user: text(Opt::User)?,
        ask_password: password.is_none() && options.is_given(Opt::Password),
        password: password.map(Password::new),
        // MYSQL_HOST is not a variable of xtrabackup.
        host: text(Opt::Host)?.or_else(|| no_host.then(|| "localhost".to_owned())),
        port: options
            .number(Opt::Port)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port != 0),
        socket: options.path(Opt::Socket),
        protocol: parsed(text(Opt::Protocol)?)?,
        ssl_mode: parsed(text(Opt::SslMode)?)?,
        ssl_ca: options.path(Opt::SslCa),
        ssl_cert: options.path(Opt::SslCert),
        ssl_key: options.path(Opt::SslKey),
        server_public_key: options.path(Opt::ServerPublicKeyPath),
        get_server_public_key: options.switch(Opt::GetServerPublicKey),
        ..Overrides::default()
    };
    // The option files were read already, with the groups of xtrabackup.
    let none = FileChoice {
        no_defaults: true,
        ..FileChoice::default()
    };
    let connect = ConnectOptions::load(&none, &overrides, Some(&mut cli::ask))
        .map_err(|error| Failure(error.to_string()))?;
    for warning in &connect.warnings {
        log::warning(warning);
    }
    Ok(connect)
}

fn parsed<T: std::str::FromStr<Err = String>>(text: Option<String>) -> Result<Option<T>, Failure> {
    text.map(|text| text.parse()).transpose().map_err(Failure)
}
