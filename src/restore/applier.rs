//! The choice of the redo applier: an `xtrabackup` or a `mysqld`, and the reason for the choice.

use super::error::RestoreError;
use super::version::{self, Flavour, Release};
use super::{ApplierChoice, RestoreOptions};
use crate::child;
use crate::manifest::ServerIdentity;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The kind of a program that applies redo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApplierKind {
    /// `xtrabackup --prepare`.
    Xtrabackup,
    /// The crash recovery of a server, started in isolation on the merged directory.
    Mysqld,
    /// The first start of the restored server: the redo log is left in the directory for it.
    Server,
}

/// The chosen program.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ApplierPlan {
    /// Its kind.
    pub kind: ApplierKind,
    /// Its path.
    pub program: PathBuf,
    /// The server release of its recovery code.
    pub version: String,
    /// The reason for the choice.
    pub reason: String,
}

impl fmt::Display for ApplierPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ApplierKind::Xtrabackup => "xtrabackup",
            ApplierKind::Mysqld => "mysqld",
            ApplierKind::Server => {
                return write!(f, "the restored server {}: {}", self.version, self.reason);
            }
        };
        write!(
            f,
            "{kind} {} ({}): {}",
            self.version,
            self.program.display(),
            self.reason
        )
    }
}

/// Directories with server programs that may not be on the PATH.
const SERVER_DIRECTORIES: [&str; 4] = [
    "/usr/sbin",
    "/usr/libexec",
    "/usr/local/sbin",
    "/usr/local/mysql/bin",
];

/// The beginning of the revision that lsnap shows under the name of xtrabackup.
const OWN_REVISION: &str = "(revision id: lsnap-";

/// Chooses the program that would apply the redo log of a server's backups.
///
/// # Errors
/// [`RestoreError::NoApplier`], as for a restore.
pub fn applier_of(
    flavor: &str,
    version: &str,
    options: &RestoreOptions,
) -> Result<ApplierPlan, RestoreError> {
    let server = ServerIdentity {
        flavor: flavor.to_owned(),
        version: version.to_owned(),
        ..ServerIdentity::blank()
    };
    choose(&server, options)
}

/// Chooses a program for a backup of `server`.
///
/// # Errors
/// [`RestoreError::NoApplier`] with the required release and all programs that were considered.
pub(crate) fn choose(
    server: &ServerIdentity,
    options: &RestoreOptions,
) -> Result<ApplierPlan, RestoreError> {
    let source = Source::of(server)?;
    if options.applier == ApplierChoice::Server {
        return Ok(source.server());
    }
    let mut looked = Vec::new();
    if options.applier != ApplierChoice::Mysqld {
        for program in candidates("xtrabackup", options.xtrabackup.as_deref()) {
            match source.xtrabackup(&program) {
                Ok(plan) => return Ok(plan),
                Err(why) => looked.push(format!("{}: {why}", program.display())),
            }
        }
        if looked.is_empty() {
            looked.push("no xtrabackup on the PATH".to_owned());
        }
    }
    if options.applier != ApplierChoice::Xtrabackup {
        let strict = options.applier == ApplierChoice::Auto && options.mysqld.is_none();
        if let Some(plan) = source.first_mysqld(options, strict, &mut looked) {
            return Ok(plan);
        }
    }
    Err(source.none(server, options.applier, &looked))
}

/// Chooses a server program, without looking for an xtrabackup. `strict`: its flavour must be that
/// of the backup.
///
/// # Errors
/// The same as those of [`choose`].
pub(crate) fn choose_mysqld(
    server: &ServerIdentity,
    options: &RestoreOptions,
    strict: bool,
) -> Result<ApplierPlan, RestoreError> {
    let source = Source::of(server)?;
    let mut looked = Vec::new();
    let found = source.first_mysqld(options, strict, &mut looked);
    found.ok_or_else(|| source.none(server, ApplierChoice::Mysqld, &looked))
}

/// The server that wrote the redo log.
struct Source {
    flavour: Flavour,
    release: Release,
}

impl Source {
    fn of(server: &ServerIdentity) -> Result<Self, RestoreError> {
        let release = Release::parse(&server.version).ok_or_else(|| RestoreError::NoApplier {
            server: server.version.clone(),
            needed: "a server version that can be read (major.minor.patch)".to_owned(),
            looked: "the manifest".to_owned(),
        })?;
        Ok(Self {
            flavour: Flavour::of(&server.flavor),
            release,
        })
    }

    /// Returns the first suitable server program; adds the reasons against others to `looked`.
    fn first_mysqld(
        &self,
        options: &RestoreOptions,
        strict: bool,
        looked: &mut Vec<String>,
    ) -> Option<ApplierPlan> {
        let before = looked.len();
        for program in candidates("mysqld", options.mysqld.as_deref()) {
            match self.mysqld(&program, strict) {
                Ok(plan) => return Some(plan),
                Err(why) => looked.push(format!("{}: {why}", program.display())),
            }
        }
        if looked.len() == before {
            looked.push(format!(
                "no mysqld on the PATH or in {}",
                SERVER_DIRECTORIES.join(", ")
            ));
        }
        None
    }

    fn none(
        &self,
        server: &ServerIdentity,
        choice: ApplierChoice,
        looked: &[String],
    ) -> RestoreError {
        RestoreError::NoApplier {
            server: format!("{} {}", self.flavour, server.version),
            needed: self.needed(choice),
            looked: looked.join("; "),
        }
    }

    fn needed(&self, choice: ApplierChoice) -> String {
        let Release {
            major,
            minor,
            patch,
        } = self.release;
        let server = format!(
            "a {} server program (mysqld) {major}.{minor}.N with N >= {patch} (RestoreOptions::mysqld)",
            self.flavour
        );
        let tool = format!(
            "an xtrabackup based on {major}.{minor}.N with N >= {patch} (RestoreOptions::xtrabackup)"
        );
        match choice {
            ApplierChoice::Auto => format!("{tool}, or {server}"),
            ApplierChoice::Xtrabackup => tool,
            ApplierChoice::Mysqld | ApplierChoice::Server => server,
        }
    }

    /// The server that will be started on the directory; it is not known yet.
    fn server(&self) -> ApplierPlan {
        let Release { major, minor, .. } = self.release;
        ApplierPlan {
            kind: ApplierKind::Server,
            program: PathBuf::new(),
            version: self.release.to_string(),
            reason: format!(
                "the redo log of {} {} is left in the directory; its first server must be {major}.{minor}, this \
                 release or a later one",
                self.flavour, self.release
            ),
        }
    }

    fn xtrabackup(&self, program: &Path) -> Result<ApplierPlan, String> {
        let output = ask_version(program)?;
        if output.contains(OWN_REVISION) {
            return Err("is lsnap under the name of xtrabackup".to_owned());
        }
        let found = version::parse_xtrabackup(&output).ok_or_else(|| {
            format!(
                "is not Percona XtraBackup, its version is {:?}",
                first_line(&output)
            )
        })?;
        if !found.server.may_recover(self.release) {
            return Err(format!("is based on {}", found.server));
        }
        Ok(ApplierPlan {
            kind: ApplierKind::Xtrabackup,
            program: program.to_path_buf(),
            version: found.server.to_string(),
            reason: format!(
                "xtrabackup {} has the recovery code of {}, the backup is of {}",
                found.own, found.server, self.release
            ),
        })
    }

    /// `strict`: the flavour must be the same, because the caller did not name this program.
    fn mysqld(&self, program: &Path, strict: bool) -> Result<ApplierPlan, String> {
        self.judged(program, &ask_version(program)?, strict)
    }

    /// `output`: what the program says of its version.
    fn judged(&self, program: &Path, output: &str, strict: bool) -> Result<ApplierPlan, String> {
        let (flavour, release) = version::parse_mysqld(output).ok_or_else(|| {
            format!(
                "is not a server program, its version is {:?}",
                first_line(output)
            )
        })?;
        if flavour == Flavour::Mariadb {
            return Err(format!(
                "is MariaDB {release}, whose redo log has another format"
            ));
        }
        if strict && flavour != self.flavour {
            return Err(format!(
                "is {flavour} {release}, set RestoreOptions::mysqld to use it"
            ));
        }
        if !release.may_recover(self.release) {
            return Err(format!("is {flavour} {release}"));
        }
        Ok(ApplierPlan {
            kind: ApplierKind::Mysqld,
            program: program.to_path_buf(),
            version: release.to_string(),
            reason: format!(
                "{flavour} {release} recovers the redo log of {} {}",
                self.flavour, self.release
            ),
        })
    }
}

/// Returns the named program alone, or all of that name on the PATH and in the usual directories.
fn candidates(name: &str, named: Option<&Path>) -> Vec<PathBuf> {
    if let Some(program) = named {
        return vec![program.to_path_buf()];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = Vec::new();
    let usual = SERVER_DIRECTORIES.iter().map(PathBuf::from);
    for directory in std::env::split_paths(&path).chain(usual) {
        let program = directory.join(name);
        if directory.is_absolute() && program.is_file() && !found.contains(&program) {
            found.push(program);
        }
    }
    found
}

/// Runs the program with `--version` and returns its output of both streams.
fn ask_version(program: &Path) -> Result<String, String> {
    // xtrabackup and mysqld read option files first; an unknown option in one must not make the
    // program unsuitable.
    let output = child::command(program)
        .args(["--no-defaults", "--version"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!(
            "--version ends with {}: {:?}",
            output.status,
            first_line(&text)
        ))
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a program that the caller named may be of another flavour.
    #[test]
    fn another_flavour_is_taken_only_if_it_was_named() {
        let server = ServerIdentity {
            flavor: "MySQL".to_owned(),
            version: "8.0.36".to_owned(),
            ..ServerIdentity::blank()
        };
        let source = Source::of(&server).unwrap();
        let line = |of: &str| format!("mysqld  Ver 8.0.36-28 for Linux on x86_64 ({of})");
        let percona = line("Percona Server (GPL), Release 28, Revision 47601f19");
        let program = Path::new("/usr/sbin/mysqld");
        assert!(source.judged(program, &percona, true).is_err());
        assert!(source.judged(program, &percona, false).is_ok());
        let mysql = "mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)";
        assert!(source.judged(program, mysql, true).is_ok());
    }
}
