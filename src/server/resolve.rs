//! The options of a connection: the layers and their precedence.
//!
//! From the highest: the given options ([`Overrides`]), the environment, the option files, the
//! defaults. The environment: `LSNAP_PASSWORD`; then MySQL's own `MYSQL_PWD` (with a warning: other
//! processes may see it), `MYSQL_HOST`, `MYSQL_TCP_PORT`, `MYSQL_UNIX_PORT`. MySQL's own programs
//! give these a *lower* precedence than the option files; in lsnap it is higher, so that a variable
//! that is set for one run has an effect.
//!
//! As in every MySQL client, no host or `localhost` means the unix socket, any other host
//! (`127.0.0.1` too) means TCP, unless `protocol` is given. A socket or host in a higher layer
//! overrides the other one of a lower layer.

use std::path::PathBuf;
use std::time::Duration;

use super::ServerError;
use super::layers::{
    bad, layer_of_env, layer_of_files, login_name, merge, password, ssl_mode, transport,
};
use super::option_file::{FileChoice, OptionFiles};
use super::options::{ConnectOptions, Overrides, Prompt};

impl ConnectOptions {
    /// Reads the option files and the environment of the process, and resolves them.
    ///
    /// # Errors
    /// The same as [`OptionFiles::read`] and [`Self::resolve`].
    pub fn load(
        choice: &FileChoice,
        overrides: &Overrides,
        prompt: Option<&mut Prompt<'_>>,
    ) -> Result<Self, ServerError> {
        let env = |name: &str| std::env::var(name).ok();
        let mut choice = choice.clone();
        if choice.group_suffix.is_none() {
            choice.group_suffix = env("MYSQL_GROUP_SUFFIX");
        }
        let home = env("HOME").filter(|h| !h.is_empty()).map(PathBuf::from);
        let files = OptionFiles::read(&choice, home.as_deref())?;
        Self::resolve(&files, &env, overrides, prompt)
    }

    /// Merges the layers. The password comes from the highest layer that has one; `prompt` is
    /// called at most once, if that layer requires it.
    ///
    /// # Errors
    /// An invalid value, with its origin; a password file that can't be used; a failed prompt.
    pub fn resolve(
        files: &OptionFiles,
        env: &dyn Fn(&str) -> Option<String>,
        overrides: &Overrides,
        prompt: Option<&mut Prompt<'_>>,
    ) -> Result<Self, ServerError> {
        let mut warnings = files.warnings.clone();
        if overrides.password_file.is_some()
            && (overrides.password.is_some() || overrides.ask_password)
        {
            return Err(bad(
                "Overrides::password_file",
                "the given options",
                "given together with Overrides::password; leave one out".into(),
            ));
        }
        let from_files = layer_of_files(files)?;
        let from_env = layer_of_env(env, &mut warnings)?;
        let all = merge(overrides.clone(), merge(from_env, from_files));
        let user = all.user.clone().unwrap_or_else(|| login_name(env));
        let transport = transport(&all, &mut warnings)?;
        let ssl_mode = ssl_mode(&all)?;
        if all.ssl_cert.is_some() != all.ssl_key.is_some() {
            return Err(bad(
                "ssl-cert",
                "all sources",
                "ssl-cert and ssl-key go together; one of them is missing".into(),
            ));
        }
        let password = password(&all, &user, &transport, prompt, &mut warnings)?;
        Ok(Self {
            user,
            password,
            transport,
            ssl_mode,
            ssl_ca: all.ssl_ca,
            ssl_cert: all.ssl_cert,
            ssl_key: all.ssl_key,
            server_public_key: all.server_public_key,
            get_server_public_key: all.get_server_public_key.unwrap_or(false),
            connect_timeout: all.connect_timeout.unwrap_or(Duration::from_secs(10)),
            warnings,
        })
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
